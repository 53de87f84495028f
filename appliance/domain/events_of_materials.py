"""Events of materials: received, released, taken for a batch, recalled."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
MATERIAL_FACTS_OF_THE_UNIT: frozenset[str] = frozenset(
    {
        "MaterialReceived",
        "MaterialReleased",
        "MaterialRejected",
        "MaterialBookedOut",
        "LotRecalled",
        "RecallLifted",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialReceived(Event):
    """Pieces of one lot came in; they are in quarantine until another person has released them."""

    receipt: str
    catalogue: str  # ISBT 128 maker and catalogue number, GTIN of 14 digits, or HIBC maker and number
    title: str
    lot: str
    serial: str
    expires_at: str
    quantity: int  # pieces, or uses of what is used more than once
    supplier: str
    visual_check: str  # passed failed
    standard: str  # ISBT 128, GS1, HIBC
    texts: list[str]  # what the label's symbols said
    identifiers: list[str]  # symbology identifiers, parallel to `texts`
    picture: str  # blob
    certificate_blob: str = ""  # the certificate of analysis as it was given
    certificate_reference: str = ""  # where it is, when it is on paper
    typed: list[str] = field(default_factory=list)  # what the symbols did not tell: lot expires_on


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialReleased(Event):
    """A person who did not receive it looked at material and certificate: it may be used."""

    receipt: str
    person: str
    certificate: str  # which one was looked at: its SHA-256, or its reference
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialRejected(Event):
    receipt: str
    person: str
    certificate: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialBookedOut(Event):
    """Pieces that no batch took are gone: discarded, lost, sent back."""

    receipt: str
    quantity: int
    why: str  # discarded lost returned
    person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LotRecalled(Event):
    """No piece of this lot may be used from here on, whatever was decided before."""

    catalogue: str
    lot: str
    reference: str  # of the maker's or the authority's notice
    reason: str
    person: str = ""  # who entered it at the unit
    document_blob: str = ""  # or the signed document by which it came


@dataclass(frozen=True, slots=True, kw_only=True)
class RecallLifted(Event):
    catalogue: str
    lot: str
    reference: str
    reason: str
    first_person: str = ""
    second_person: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LotOfBatchRecalled(Event):
    """A lot that this batch has taken was recalled: a fact of the batch, which changes a sealed record."""

    material: str
    catalogue: str
    lot: str
    reference: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialAccepted(Event):
    phase: str
    material: str
    catalogue: str
    lot: str
    expires_at: str
    picture: str
    receipt: str = ""  # of the released stock; empty in a record by rules of before
    serial: str = ""
    substitutes: str = ""  # the recipe's catalogue number that this qualified alternate stands in for
    received_by: str = ""
    released_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialRefused(Event):
    phase: str
    scanned: str
    reason: str
    words: str
    picture: str
