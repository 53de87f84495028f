"""Events of orders: which unit makes one, what was handed back, and what central says was used twice."""

from __future__ import annotations

from dataclasses import dataclass

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
ORDER_FACTS_OF_THE_UNIT = frozenset(
    {"OrderAssigned", "OrderHandedBack", "SecondUseNoticed", "CentralWordTaken"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderAssigned(Event):
    """Central's signed order of this assignment came; it may be for another unit than this one."""

    order: str
    unit: str
    assignment: int
    expires_at: str
    blob: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderHandedBack(Event):
    """This unit never makes this assignment of the order; central may give it to another one."""

    order: str
    assignment: int
    reason: str
    person: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondUseNoticed(Event):
    """Central found one order, bag or hand-over in the records of more than one batch (SAFETY 9)."""

    notice: str
    version: int
    subject: str  # order bag hand_over
    key: str  # order id, or donation, product and division of the bag
    batches: list[str]  # of this unit
    elsewhere: list[str]  # "unit batch" of the others
    words: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralWordTaken(Event):
    """A withdrawal, recall or notice signed by central has taken effect here; an older one is refused."""

    type: str
    document: str
    version: int
    blob: str
    content_hash: str
    signed_by: list[str]
