"""Events of looking at labels beside the camera's own: a scan that a person ended, a label that was typed."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCancelled(Event):
    """A person ended a scan; whatever the camera says of it later decides nothing."""

    phase: str
    key: str
    scan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTyped(Event):
    """One of two people typed what a label says, because it could not be read.

    What was typed stands with the command; here is its hash, so that no screen shows the first entry to
    the second person.
    """

    phase: str
    key: str
    part: str  # first second
    entry_sha256: str
    number: int = 0  # of the second: how many labels were typed in this batch, this one included
    first_seq: int = 0  # of the second: the entry that it was compared with


@dataclass(frozen=True, slots=True, kw_only=True)
class TypedEntriesDiffered(Event):
    """Two people typed one label differently; neither entry is used."""

    phase: str
    key: str
    tries: int
    words: str
