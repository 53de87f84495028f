"""Events of labels: what the camera read, what was printed, applied, voided and destroyed."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
LABEL_FACTS_OF_THE_UNIT: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequested(Event):
    """The camera is asked for one label; the picture is kept as evidence."""

    phase: str
    key: str
    scan_id: str
    formats: list[str]
    at_patient: bool = False  # its texts come pseudonymised and its picture is sealed


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRead(Event):
    """What the camera read: confirmed payloads only, or why not."""

    phase: str
    key: str
    scan_id: str
    texts: list[str]
    symbologies: list[str]
    reasons: list[str]
    picture: str  # blob, empty when there was none
    # Beside each text its symbology identifier, which decides its grammar; a record of before has none.
    identifiers: list[str] = field(default_factory=list)
    belongs_to: str = ""  # the batch of before whose label this is, as the unit knew when it was read
    shown: str = ""  # SHA-256 of the picture as it was taken: of a sealed one nothing else tells two apart


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequested(Event):
    phase: str
    label_id: str
    template: str
    fields: dict[str, str]  # what is printed
    identity: dict[str, str]  # what the applied label must say when it is scanned
    reprint: bool = False
    template_version: str = ""
    template_hash: str = ""  # SHA-256 of the approved text it is drawn by; none in a batch of before


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPrinted(Event):
    phase: str
    label_id: str
    picture: str
    texts: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVerified(Event):
    phase: str
    label_id: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVoided(Event):
    phase: str
    label_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsReconciled(Event):
    phase: str
    printed: int
    applied: int
    void: int
    destroyed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductLabelled(Event):
    phase: str
    din: str
    product_code: str
    division: str
    expires_at: str
    label_id: str
