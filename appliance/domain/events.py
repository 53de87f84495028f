"""Every event of the gxp log as a frozen dataclass with its schema version.

An event says, in the past tense, what became true. Values are strings, integers, booleans and
lists of these: measures travel as decimal strings in the unit that their name ends with. The
record header carries the time, the actor and the kind (the class name); the payload carries
batch, command id and the fields below as `body`.

Some events also order an act (`DeviceOrdered`, `ScanRequested`, `CountRequested`,
`LabelRequested`, `BatchCompleted`): they are committed first, then the engine carries them out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import msgspec

from appliance.domain.event import Event as Event
from appliance.domain.events_of_counting import *  # noqa: F403  (one vocabulary in several files)
from appliance.domain.events_of_custody import *  # noqa: F403
from appliance.domain.events_of_custody import CUSTODY_FACTS_OF_THE_UNIT
from appliance.domain.events_of_devices import *  # noqa: F403
from appliance.domain.events_of_labels import *  # noqa: F403
from appliance.domain.events_of_labels import LABEL_FACTS_OF_THE_UNIT
from appliance.domain.events_of_materials import *  # noqa: F403
from appliance.domain.events_of_materials import MATERIAL_FACTS_OF_THE_UNIT
from appliance.domain.events_of_orders import *  # noqa: F403
from appliance.domain.events_of_orders import ORDER_FACTS_OF_THE_UNIT
from appliance.domain.events_of_people import *  # noqa: F403
from appliance.domain.events_of_record import *  # noqa: F403
from appliance.domain.events_of_scanning import *  # noqa: F403

# ── Batch ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOpened(Event):
    """Freezes the control recipe: recipe text, order text, versions and signers."""

    order_id: str
    order_text: str
    recipe_id: str
    recipe_version: str
    recipe_hash: str
    recipe_text: str
    recipe_signers: list[str]
    recipe_blob: str
    order_blob: str
    people_blob: str
    people_version: int
    software_version: str
    devices: list[str]
    simulated: bool
    clock_speed: str
    site: str
    time_zone: str
    station: dict[str, str]
    build_hash: str = ""  # SHA-256 over the program's files
    second_person_within_min: int = 10  # a verification that comes later asks for the first act anew
    # What the unit knew before, so that the batch's own record can be decided again by itself.
    bench: list[dict[str, str]] = field(default_factory=list)  # id role title serial_number state
    unit_before: dict[str, str] = field(default_factory=dict)
    open_alarms: list[dict[str, str]] = field(default_factory=list)
    # By which rules it is decided: from 2 on its record tells of each device's fitness, and pump and balance,
    # bath and probe are held against each other; from 3 on a count needs a qualified method; from 4 on its
    # materials come from the unit's released stock, and its order names unit and consent. A batch of
    # before is decided again by the rules of then.
    rules: int = 1
    # What the counting program told of the methods that the recipe asks for: id version hash.
    count_methods: list[dict[str, str]] = field(default_factory=list)
    # By which approved templates its labels are drawn: id → version hash template_blob signers.
    label_templates: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchCompleted(Event):
    """All work up to the seal is done; the engine seals the record next."""

    recipe_hash: str
    dose_labels: list[str]
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSealed(Event):
    """The head that a decision binds: everything of this batch up to `sealed_seq`."""

    log_epoch: str
    sealed_seq: int
    sealed_hash: str
    telemetry_seq: int
    telemetry_hash: str
    blobs_hash: str
    blob_count: int
    recipe_hash: str
    dose_labels: list[str]
    # The engine's own state at this moment, which replay is held against; empty before replay was built.
    state_digest: str = ""  # of the batch and what is asked of people
    unit_digest: str = ""  # of everything that the unit keeps from batch to batch


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchAborted(Event):
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DispositionRecorded(Event):
    disposition: str  # released rejected
    stage: str
    version: int
    by: str
    name: str
    decided_at: str
    expires_at: str
    decision_blob: str
    decision_hash: str
    sealed_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DispositionRefused(Event):
    """A decision came that does not hold; nothing was unlocked."""

    reason: str
    words: str
    decision_blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOverSigned(Event):
    giver: str
    receiver: str
    dose_label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HandedOver(Event):
    dose_label: str
    order_id: str


# ── Procedure ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted(Event):
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseHolding(Event):
    phase: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseHeld(Event):
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRestarting(Event):
    phase: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRestarted(Event):
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseAborted(Event):
    phase: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCompleted(Event):
    phase: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionConfirmed(Event):
    """A person did what the prompt `key` of a phase asked, and entered `values`."""

    phase: str
    key: str
    words: str
    action: str = ""
    values: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRecorded(Event):
    """A reading or result that decided something, with its quality, source and time of receipt."""

    phase: str
    key: str
    value: str
    unit: str
    quality: str
    source: str
    source_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerElapsed(Event):
    phase: str
    key: str
    target_s: int


# ── Devices ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceIdentified(Event):
    device: str
    maker: str
    model: str
    serial_number: str
    firmware: str
    qualified: bool
    words: str = ""
    calibrated_until: str = ""  # the day up to which its calibration holds; empty when none is told
    qualified_until: str = ""  # the same of its qualification


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOrdered(Event):
    phase: str
    order_id: str
    device: str
    name: str
    parameters: dict[str, str]
    term: int
    expires_in_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReported(Event):
    phase: str
    order_id: str
    device: str
    result: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRefusedOrder(Event):
    """The order did not take effect, or nobody knows (`fault` silent): read before any retry.

    `result` says how far an order came that was kept from its end: labels that came out.
    """

    phase: str
    order_id: str
    device: str
    fault: str
    words: str
    result: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLabelRefused(Event):
    """A device that people run showed another serial number than the qualified one, or none."""

    phase: str
    device: str
    scanned: str
    expected: str
    reason: str  # not_read wrong_device
    words: str
    picture: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFileRequested(Event):
    """A person chose the file that a device exported; the unit reads it next."""

    phase: str
    key: str
    import_id: str
    file: str  # its name in the station's folder


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFileRead(Event):
    """What the file says, or why it could not be read; only one that could is kept, byte for byte."""

    phase: str
    key: str
    import_id: str
    file: str
    sha256: str  # of the bytes that were read, also of those that are not kept
    size_bytes: int
    blob: str = ""
    reason: str = ""  # empty when it was read
    words: str = ""
    serial_number: str = ""
    programme: str = ""
    started: str = ""
    ended: str = ""
    results: list[dict[str, str]] = field(default_factory=list)  # name value unit
    used_in: str = ""  # the batch that took these very bytes over before


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFileAccepted(Event):
    """The file speaks of this device, programme and run; a person takes its values over next."""

    phase: str
    import_id: str
    file: str
    blob: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFileRefused(Event):
    """The file cannot be read, or contradicts the phase; none of its values is used."""

    phase: str
    import_id: str
    file: str
    sha256: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWentSilent(Event):
    device: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRecovered(Event):
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceRestartSeen(Event):
    """A device restarted by itself: tare and totals before it are void."""

    device: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStopped(Event):
    """STOP was sent to every device, first of all, and is recorded after (SAFETY 1)."""

    station: str
    latency_ms: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReleased(Event):
    reason: str


# ── Measurements and analyses ──────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementsSealed(Event):
    telemetry_seq: int
    telemetry_hash: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingsUsed(Event):
    """The readings that the decision of this commit looked at, as far as they are news to the record."""

    readings: list[dict[str, str]]  # device name value unit quality detail source_at received_at trace


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCrossed(Event):
    phase: str
    limit: str
    value: str
    unit: str
    bound: str
    level: str  # alert action


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleTaken(Event):
    phase: str
    sample_id: str
    volume_ml: str
    coi: str = ""  # the chain of identity that it belongs to; in a record of before its order tells


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRequested(Event):
    phase: str
    count_id: str
    replicate: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCountReported(Event):
    """One replicate: never without interval and verdict (SAFETY 8).

    `uncertainty` lists what the intervals are made of; a record from before it was told has none.
    """

    phase: str
    count_id: str
    replicate: int
    verdict: str
    reasons: list[str]
    live: int
    dead: int
    unclassified: int
    viability_percent: str
    viability_interval_percent: list[str]
    concentration_cells_ml: str
    concentration_interval_cells_ml: list[str]
    fields: int
    images: list[str]  # blobs
    overlay: str  # blob
    method: dict[str, str]
    station: dict[str, str]
    viable_concentration_cells_ml: str = ""
    viable_concentration_interval_cells_ml: list[str] = field(default_factory=list)
    # name of kind relative_standard_uncertainty degrees_of_freedom rests_on
    uncertainty: list[dict[str, str]] = field(default_factory=list)
    cells_blob: str = ""  # the table of all cells, one a line
    words: str = ""  # the reasons for people, with what to do; empty when there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFailed(Event):
    phase: str
    count_id: str
    replicate: int
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountRepeated(Event):
    phase: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultReceived(Event):
    """A result with its limit and verdict; `rule` says what was compared (F-041)."""

    phase: str
    test: str
    value: str
    interval: list[str]
    unit: str
    limit: str
    verdict: str  # pass fail pending report
    rule: str


# ── Alarms and quality ─────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmRaised(Event):
    alarm: str
    priority: str
    title: str
    cause: str
    action: str
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmAcknowledged(Event):
    alarm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmCleared(Event):
    alarm: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviationOpened(Event):
    deviation: str
    phase: str
    words: str
    classification: str  # minor major critical


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentAdded(Event):
    text: str


KINDS: dict[str, type[Event]] = {
    name: kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}

_OF_THE_UNIT = frozenset(
    {
        # Facts of the unit that change nothing of a batch.
        "EngineStarted",
        "EngineStoppedCleanly",
        "ClockAdjusted",
        "SessionOpened",
        "SessionClosed",
        "SignInRefused",
        "AccountUnlocked",
        "TimeConfirmed",
        "AccountSet",
        "AccountRemoved",
        "RolesApplied",
        "AccountDisabled",
        "AccountEnabled",
        "SecretChanged",
        "BadgeTested",
        "BadgeIssued",
        "BadgeWithdrawn",
        "SecurityNoticeRaised",
        "DocumentVerified",
        "DocumentActivated",
        "IdentitiesUnlocked",
        "IdentityErased",
        "DeviceIdentified",
        "DeviceQualified",
        "CountMethodQualified",
        "DeviceNoticeRaised",
        "WearCounted",
        "DeviceWentSilent",
        "DeviceRecovered",
        "StopReleased",
        "AlarmAcknowledged",
        "AlarmCleared",
        "MeasurementsSealed",
        "RecordVerified",
        "RecordMigrated",
        "RecordRestored",
        "BackupTaken",
        "BackupFailed",
        "RestoreDrilled",
    }
)

_OF_THE_UNIT |= CUSTODY_FACTS_OF_THE_UNIT | LABEL_FACTS_OF_THE_UNIT | MATERIAL_FACTS_OF_THE_UNIT

_OF_THE_UNIT |= ORDER_FACTS_OF_THE_UNIT

# Facts of the unit, not of a batch: they carry no batch id.
UNIT_KINDS = _OF_THE_UNIT | {"RecordFaultSeen"}

# The short named list of SAFETY 13: these may follow a sealed head without voiding a decision.
NOT_A_CHANGE_AFTER_SEAL = _OF_THE_UNIT | frozenset(
    {
        "BatchSealed",
        "EmergencyEnded",
        "RecoveredFromCrash",
        "DeviceRestartSeen",
        "DeviceStopped",
        "DocumentReceived",
        "DocumentRefused",
        "DispositionRefused",
        "CommandWasRefused",
        # What was asked and read; what follows from it stands by itself.
        "CommandTaken",
        "ReadingsUsed",
    }
)


def to_body(event: Event) -> dict[str, Any]:
    """The fields of an event as plain JSON values."""
    return dataclasses.asdict(event)


def from_body(kind: str, body: dict[str, Any]) -> Event:
    """Rebuild an event; raises `KeyError` for an unknown kind, `msgspec.ValidationError` for a bad body."""
    return msgspec.convert(body, KINDS[kind])
