"""Events of materials: received, released, taken for a batch, recalled."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
MATERIAL_FACTS_OF_THE_UNIT: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialAccepted(Event):
    phase: str
    material: str
    catalogue: str
    lot: str
    expires_at: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialRefused(Event):
    phase: str
    scanned: str
    reason: str
    words: str
    picture: str
