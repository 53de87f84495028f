"""Events of identity and custody: which bag, whose hands, which patient, with whose consent."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
CUSTODY_FACTS_OF_THE_UNIT: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LineCleared(Event):
    phase: str
    performed_by: str
    verified_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BagAccepted(Event):
    phase: str
    din: str
    description_code: str
    division: str
    expires_at: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BagRefused(Event):
    phase: str
    scanned: str
    expected: str
    reason: str  # wrong_bag expired not_read wrong_kind
    words: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BedsideMatched(Event):
    phase: str
    wristband: str
    bag: str
    order: str
