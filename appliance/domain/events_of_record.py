"""Events of the appliance and of the record itself: starts, clocks, documents, copies, checks."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance.domain.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStarted(Event):
    term: int
    software_version: str
    check: str  # the start-up check in words
    check_passed: bool
    configuration_hash: str
    recipe_hashes: list[str] = field(default_factory=list)
    build_hash: str = ""
    # Each device of the appliance file: id role title serial_number.
    devices: list[dict[str, str]] = field(default_factory=list)
    inputs_on_record: bool = False  # whether all that decides is an event, so that replay holds


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStoppedCleanly(Event):
    term: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredFromCrash(Event):
    """The last run did not end cleanly; running phases were put to held."""

    term: int
    phases: list[str]
    last_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockAdjusted(Event):
    """The wall clock stepped. While a batch is open its timers go on unmoved (`followed` is false)."""

    difference_s: int
    followed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFaultSeen(Event):
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordVerified(Event):
    """The whole record was read and checked while the unit worked (R-38)."""

    whole: bool
    events: int
    words: str  # the verdict as `cellwright verify` says it


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTaken(Event):
    """A copy of the record lies on a second medium; it was opened there and its whole chain read (R-37)."""

    place: str
    epoch: str
    seq: int
    hash: str
    telemetry_seq: int
    telemetry_hash: str
    bytes: int
    files: int
    made_at: str  # by the clock of the computer, which a simulated unit's record does not follow


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFailed(Event):
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreDrilled(Event):
    """A copy was restored beside the record, verified and compared with it; nothing was put in use."""

    place: str
    epoch: str
    seq: int
    hash: str
    good: bool
    behind: int  # events that the record has and the copy has not
    reason: str
    words: str
    made_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRestored(Event):
    """A copy was put back and a new log begins; what came after the copy is not on this unit (R-41)."""

    previous_epoch: str
    previous_seq: int
    previous_hash: str
    acked_seq: int  # the highest event of the log before that central is known to hold, 0 when none is
    copy: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordMigrated(Event):
    """The tables around the record were brought to a new version; every row of it is as it was (R-42)."""

    from_version: int
    to_version: int
    records: int
    rows_hash: str  # SHA-256 over every row, the same before and after
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentReceived(Event):
    type: str
    blob: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentVerified(Event):
    """A delivered list is signed as it must be and newer than the one that holds."""

    type: str  # people roles revocation
    version: int
    blob: str
    content_hash: str
    signed_by: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentActivated(Event):
    """From here on this version holds; a lower one is refused for ever."""

    type: str
    version: int
    blob: str
    content_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRefused(Event):
    type: str
    blob: str
    reason: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandWasRefused(Event):
    """A refusal that matters to a reviewer: identity, roles, release. What was refused is on record."""

    name: str
    reason: str
    words: str
