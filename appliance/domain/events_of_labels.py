"""Events of labels: what the camera read, what was printed, applied, voided and destroyed."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event

# Those that are facts of the unit, not of a batch: they change no sealed record.
LABEL_FACTS_OF_THE_UNIT: frozenset[str] = frozenset({"PrintTestOrdered", "PrintHeadTested"})


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
    """A label is issued: its serial, what it says, and why there is one more."""

    phase: str
    label_id: str
    template: str
    fields: dict[str, str]  # what is printed
    identity: dict[str, str]  # what the applied label must say when it is scanned
    reprint: bool = False
    template_version: str = ""
    template_hash: str = ""  # SHA-256 of the approved text it is drawn by; none in a batch of before
    reason: str = ""  # of a reprint: why the one before is void
    replaces: str = ""  # the label that it stands in for
    copy: int = 1
    asked_by: str = ""  # who asked for a reprint; the first one the recipe asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDrawn(Event):
    """The raster of a label was drawn and read back; nothing is printed yet."""

    phase: str
    label_id: str
    template: str
    version: str  # of the template
    picture: str  # blob
    sha256: str  # of the picture
    texts: list[str]  # payloads as they were read back
    zpl_blob: str  # the bytes for the printer
    zpl_file: str
    dpi: str = "300"  # of the print head that it was drawn for


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPrinted(Event):
    """The label is out. Without a printer its picture is the label."""

    phase: str
    label_id: str
    picture: str
    texts: list[str]
    template: str = ""
    version: str = ""
    sha256: str = ""
    printer: str = ""  # the device; empty where the unit has none
    order_id: str = ""
    said_by: str = ""  # printer, or the person who looked


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVerified(Event):
    """The applied label was scanned: it is exactly this one."""

    phase: str
    label_id: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelVoided(Event):
    phase: str
    label_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelShown(Event):
    """A void label was shown to the camera: it is there, and counted."""

    phase: str
    label_id: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelDestroyed(Event):
    phase: str
    label_id: str
    person: str
    witness: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMissing(Event):
    """A label that came out is not there. It stays on record, found or not."""

    phase: str
    label_id: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelLossAccepted(Event):
    """Two persons signed that a label is missing; only so the step goes on without it."""

    phase: str
    label_id: str
    first_person: str
    second_person: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsReconciled(Event):
    phase: str
    printed: int
    applied: int
    void: int
    destroyed: int
    missing: int = 0  # signed for by two persons
    labels: dict[str, str] = field(default_factory=dict)  # each label's fate


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintTestOrdered(Event):
    """The test label of a print head goes to its printer."""

    device: str
    job: str
    payload: str  # of the label's linear symbol: which test it is
    picture: str
    zpl_blob: str
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintHeadTested(Event):
    """What the camera's picture of the test label shows of the print head."""

    device: str
    job: str
    verdict: str  # pass fail
    words: str
    picture: str
    dead_mm: list[str]  # where white lines are, from the label's left edge
    narrowest_mm: str  # the narrowest line that the picture would have shown
    person: str
    tested_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductLabelled(Event):
    phase: str
    din: str
    product_code: str
    division: str
    expires_at: str
    label_id: str
