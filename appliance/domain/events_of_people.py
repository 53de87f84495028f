"""Events of people: sessions, refusals, accounts, second persons and signatures."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    person: str
    name: str
    station: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    person: str
    station: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInRefused(Event):
    person: str
    station: str
    reason: str  # wrong_secret unknown_person locked_out delayed not_permitted
    failures: int
    locked: bool
    for_what: str = "sign_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountUnlocked(Event):
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeConfirmed(Event):
    """Two persons compared this unit's clock with a reference clock (SAFETY 17)."""

    reference_at: str
    difference_s: int
    first_person: str
    second_person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondPersonConfirmed(Event):
    phase: str
    key: str
    person: str
    first_person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureGiven(Event):
    """Bound to SHA-256 of exactly the bytes signed; the unit's chain and segments seal it."""

    phase: str
    key: str
    person: str
    name: str
    meaning: str
    signs: str
    what: str
    at: str
    content: str  # the exact text that was signed


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueCorrected(Event):
    """A value that a person entered was corrected; the event `corrected_seq` keeps the original (R-09)."""

    phase: str
    key: str
    field: str
    old: str
    new: str
    unit: str
    reason: str
    corrected_seq: int
    person: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureVoided(Event):
    """What the signature at `signed_seq` covered was changed by the event `because_seq`; sign again."""

    phase: str
    key: str
    person: str
    signed_seq: int
    because_seq: int
    words: str
