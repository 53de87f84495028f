"""Events of identity and custody: which bag, whose hands, which patient, with whose consent."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
CUSTODY_FACTS_OF_THE_UNIT = frozenset({"ConsentRecorded", "ConsentWithdrawn"})


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
    reason: str  # wrong_bag previous_patient expired not_read wrong_kind
    words: str
    picture: str
    belongs_to: str = ""  # the batch of before to which this label belongs


@dataclass(frozen=True, slots=True, kw_only=True)
class BedsideMatched(Event):
    phase: str
    wristband: str
    bag: str
    order: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustodyTransferred(Event):
    """Something passed from one hand to the next (F-006); the chain's last one says who holds it now."""

    phase: str
    coi: str
    kind: str  # bag sample dose
    key: str  # of the bag: donation, product, division; of a sample or a dose: its label's id
    giver: str
    receiver: str  # a person of the unit, or whom the giver names
    place: str
    holder: str  # unit ward courier laboratory
    seal_number: str = ""
    seal: str = ""  # intact broken none
    temperature_c: str = ""
    shipper: str = ""
    packing: str = ""
    remarks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportRecorded(Event):
    """What the logger of a shipper says of a transport (ISO 21973), held against the recipe's range."""

    phase: str
    coi: str
    key: str
    shipper: str
    logger: str
    packing: str
    sent_from: str
    sent_to: str
    started: str
    ended: str
    readings: int
    lowest_c: str
    highest_c: str
    range_c: list[str]  # lower and upper end of what the recipe allows
    gaps: list[dict[str, str]] = field(default_factory=list)  # at minutes
    excursions: list[dict[str, str]] = field(default_factory=list)  # at minutes furthest_c
    outside_min: str = "0"
    verdict: str = ""  # pass excursion gap
    blob: str = ""  # the logger's file, byte for byte
    seal_number: str = ""  # of the seal, as the sender wrote it


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentRecorded(Event):
    """The patient's consent to this treatment lies at the site, and two persons or a signed file say so."""

    consent: str
    coi: str
    patient: str  # the pseudonym
    received_from: str
    given_on: str
    first_person: str = ""
    second_person: str = ""
    document_blob: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentWithdrawn(Event):
    """The patient withdrew it: what this chain of identity makes is not used from here on (F-011)."""

    consent: str
    coi: str
    patient: str
    received_from: str
    withdrawn_at: str
    reason: str
    noted_by: str = ""
    document_blob: str = ""
