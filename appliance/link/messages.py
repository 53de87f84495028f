"""The messages of `engine.sock`: newline-framed JSON, one object a line, at most 64 KiB.

Kinds: `hello` → `snapshot` → `event`*; `command` → `accepted` | `refused`; `telemetry`
(readings, at most 4 Hz, newest wins, never replayed); `ping` / `pong`. Numbers that
matter are decimal strings; times are aware UTC in RFC 3339.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

PROTOCOL_VERSION = 1
LINE_BYTES_MAX = 64 * 1024


# ── What a client sends ────────────────────────────────────────────────────────────────


class Hello(msgspec.Struct, tag="hello", tag_field="kind", kw_only=True):
    """First message of a client; the answer is `Snapshot` (or `Refused`)."""

    client: Literal["bedside", "sync", "cli", "demo"]
    station: str = ""
    since_seq: int = 0
    v: int = PROTOCOL_VERSION


class Proof(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Who acts, proven at this moment: a PIN for an act, a password for a signature.

    `person` is a person id or a badge payload. `new` comes with `change_secret` alone: the PIN or
    password that follows; secrets travel in no other field, so that none gets on record.
    """

    person: str
    pin: str = ""
    password: str = ""
    typed: str = ""
    new: str = ""


class Command(msgspec.Struct, tag="command", tag_field="kind", kw_only=True):
    """What somebody asks. A `command_id` seen before returns its first answer.

    Names and bodies are in `appliance/engine/commands.py`.
    """

    command_id: str
    name: str
    body: dict[str, Any] = {}
    proof: Proof | None = None
    term: int = 0
    expires: datetime | None = None
    v: int = PROTOCOL_VERSION


class Ping(msgspec.Struct, tag="ping", tag_field="kind", kw_only=True):
    v: int = PROTOCOL_VERSION


# ── What the engine sends ──────────────────────────────────────────────────────────────


class Accepted(msgspec.Struct, tag="accepted", tag_field="kind", kw_only=True):
    """The command was carried out (or taken in, for work that goes on); `seq` is the log's head after it."""

    command_id: str
    seq: int
    result: dict[str, Any] = {}
    v: int = PROTOCOL_VERSION


class Refused(msgspec.Struct, tag="refused", tag_field="kind", kw_only=True):
    """The command was not carried out; `words` is what the operator reads, `reason` a stable key."""

    command_id: str
    reason: str
    words: str
    v: int = PROTOCOL_VERSION


class EventMessage(msgspec.Struct, tag="event", tag_field="kind", kw_only=True):
    """One committed gxp event, as stored: name, actor, time, batch and body."""

    seq: int
    name: str
    actor: str
    occurred_at: datetime
    batch: str | None
    body: dict[str, Any]
    v: int = PROTOCOL_VERSION


class Telemetry(msgspec.Struct, tag="telemetry", tag_field="kind", kw_only=True):
    """Live values of the devices and the running timers; newest wins."""

    devices: list[DeviceView]
    timers: list[TimerView] = []
    v: int = PROTOCOL_VERSION


class Pong(msgspec.Struct, tag="pong", tag_field="kind", kw_only=True):
    v: int = PROTOCOL_VERSION


# ── Views: what a screen may show. A screen holds no rule; each word comes with the view ─


class UnitView(msgspec.Struct, kw_only=True):
    id: str
    site: str
    time_zone: str
    simulated: bool
    clock_speed: str
    software_version: str
    term: int
    identities_locked: bool = False  # names wait for the boot passphrase


class PersonView(msgspec.Struct, kw_only=True):
    id: str
    name: str
    roles: list[str]
    must_change: list[Literal["pin", "password"]] = []  # before this person may do anything else


class OrderView(msgspec.Struct, kw_only=True):
    """A signed order that this unit may make."""

    id: str
    recipe: str
    title: str
    patient: str
    din: str
    refused_because: str = ""


class ReadingView(msgspec.Struct, kw_only=True):
    """A value is never shown without its quality and age (SAFETY 7)."""

    name: str
    value: str | None
    unit: str
    quality: Literal["good", "uncertain", "bad", "stale"]
    age_s: str


class DeviceView(msgspec.Struct, kw_only=True):
    id: str
    title: str
    role: str
    state: Literal["starting", "ready", "silent", "fault", "by_hand"]  # by_hand: people run it, no line
    words: str
    readings: list[ReadingView] = []
    fitness: str = ""  # what keeps it from being used, or soon will
    identity: dict[str, str] = {}  # maker model serial_number firmware, as it told them


class TimerView(msgspec.Struct, kw_only=True):
    """Elapsed against target and maximum, and what the wait is for (C18)."""

    phase: str
    words: str
    elapsed_s: int
    target_s: int | None = None
    maximum_s: int | None = None


class PhaseView(msgspec.Struct, kw_only=True):
    id: str
    title: str
    operation: str
    unit_procedure: str
    type: str
    state: str  # ISA-88: idle running holding held restarting stopping stopped aborting aborted complete
    words: str = ""  # what it is doing or waiting for
    facts: list[FactView] = []


class FactView(msgspec.Struct, kw_only=True):
    """One raw fact a person looks at before deciding; marked when it is off limits."""

    label: str
    value: str
    out_of_limit: bool = False


class ChoiceView(msgspec.Struct, kw_only=True):
    value: str
    words: str


class FieldView(msgspec.Struct, kw_only=True):
    """One thing to enter. Numbers go as decimal strings in `unit`; choices by their `value`."""

    name: str
    label: str
    kind: Literal["number", "choice", "text"]
    unit: str = ""
    minimum: str | None = None
    maximum: str | None = None
    decimals: int = 0
    choices: list[ChoiceView] = []


class PromptView(msgspec.Struct, kw_only=True):
    """What the unit asks of people now. Answered by the command `answer` with this `id`.

    kind
        `confirm` one button; `scan` starts the camera (command `scan`); `enter` has fields;
        `import` a file of a device is chosen (command `import_file`: without `file` it lists them);
        `review` shows facts and a picture, with choices `accept` / `repeat`;
        `sign` needs a proof with password; `wait` nothing to do, shown for honesty.
    needs
        `session` the signed-in person acts; `second_person` a proof (PIN) of a person not in
        `not_by`; `signature` a proof with password of the signed-in person;
        `second_signature` a proof with password of a person not in `not_by`.
    """

    id: str
    phase: str
    kind: Literal["confirm", "scan", "import", "enter", "review", "sign", "wait"]
    title: str
    instruction: str
    button: str
    needs: Literal["session", "second_person", "signature", "second_signature"] = "session"
    roles: list[str] = []
    not_by: list[str] = []
    meaning: str = ""  # of a signature: performed verified reviewed …
    signs: str = ""  # short code of the hash that a signature would bind
    facts: list[FactView] = []
    fields: list[FieldView] = []
    picture: str = ""  # absolute path of a PNG to show
    expects: str = ""  # scan prompts: what symbol is awaited, in words
    action: str = ""  # key of the physical act that goes with it (a simulated bench plays it)
    typed: str = ""  # a label is typed here: bag dose material coi order (`domain.typed_entry`)
    until: datetime | None = None  # a second person must confirm before, else the first act lapses


class ScanView(msgspec.Struct, kw_only=True):
    """A scan that is under way. The picture for whoever aims is `Snapshot.aiming`, while it is there."""

    id: str  # what `cancel_scan` names
    prompt: str
    phase: str
    limit_s: str
    left_s: str
    at_patient: bool = False  # no picture is shown then, only where a symbol was seen


class BadgeView(msgspec.Struct, kw_only=True):
    """What the camera saw of a badge at this station, after the command `read_badge`."""

    scan: str
    state: Literal["looking", "read", "not_read"]
    badge: str = ""  # goes into `Proof.person`; it proves nothing by itself
    name: str = ""
    words: str = ""  # why nobody was recognised, and what to do
    left_s: str = "0"


class AlarmView(msgspec.Struct, kw_only=True):
    id: str
    priority: Literal["high", "medium", "low"]
    title: str
    cause: str
    action: str
    state: Literal["active", "acknowledged", "cleared"]
    raised_at: datetime
    phase: str = ""


class CountView(msgspec.Struct, kw_only=True):
    """One replicate's count: never without interval and verdict (SAFETY 8)."""

    replicate: int
    verdict: str
    live: int
    dead: int
    viability_percent: str
    viability_interval_percent: list[str]
    picture: str = ""
    words: str = ""  # why it cannot be used, and what to do


class BatchView(msgspec.Struct, kw_only=True):
    id: str
    order: str
    patient: str
    din: str
    recipe: str
    recipe_title: str
    state: str  # running held complete awaiting_disposition released rejected handed_over aborted
    phase_number: int
    phase_count: int
    opened_at: datetime
    expires_at: datetime | None = None
    disposition: str = ""
    phases: list[PhaseView] = []
    counts: list[CountView] = []
    deviations: list[str] = []
    signatures: list[SignatureView] = []
    entered: list[EnteredView] = []


class SignatureView(msgspec.Struct, kw_only=True):
    """One signature of the batch: printed name, time and meaning (R-21), and whether it still holds."""

    phase: str
    what: str
    person: str
    name: str
    meaning: str
    at: datetime
    signs: str  # short code of what was signed
    seq: int
    void: str = ""  # empty while it stands; else why it does not


class EnteredView(msgspec.Struct, kw_only=True):
    """One value that a person entered and may correct. `first` is the value as it was first entered."""

    prompt: str  # what the command `correct` names
    phase: str
    title: str
    field: FieldView
    value: str
    words: str
    first: str
    reasons: list[str] = []  # of its corrections, oldest first
    waits: str = ""  # the correction that waits for a second person, in words


class SyncView(msgspec.Struct, kw_only=True):
    """Offline honesty: what central has acknowledged, and how old that is."""

    acknowledged_seq: int
    behind: int
    last_acknowledged_at: datetime | None = None


class RecordView(msgspec.Struct, kw_only=True):
    seq: int
    hash: str
    committed_at: datetime | None
    words: str = ""  # empty when all is well; else what is wrong and what to do


class Snapshot(msgspec.Struct, tag="snapshot", tag_field="kind", kw_only=True):
    """Everything a screen needs to draw itself from nothing."""

    seq: int
    utc: datetime
    time_trust: Literal["trusted", "untrusted"]
    unit: UnitView
    people: list[PersonView]
    person: PersonView | None
    locked: bool
    stop_latched: bool
    orders: list[OrderView]
    batch: BatchView | None
    prompts: list[PromptView]
    alarms: list[AlarmView]
    devices: list[DeviceView]
    timers: list[TimerView]
    sync: SyncView
    record: RecordView
    scan: ScanView | None = None
    badge: BadgeView | None = None
    aiming: str = ""  # absolute path of the picture for whoever aims; the file is there while a scan goes on
    signature_needs: tuple[str, ...] = ("id", "password")  # of the signed-in person's next signature
    v: int = PROTOCOL_VERSION


FromClient = Hello | Command | Ping
FromEngine = Snapshot | Accepted | Refused | EventMessage | Telemetry | Pong

_encoder = msgspec.json.Encoder()
_from_client: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)
_from_engine: msgspec.json.Decoder[FromEngine] = msgspec.json.Decoder(FromEngine)


class MessageTooLong(ValueError):
    """A message does not fit in one line of the local protocol."""


def encode(message: FromClient | FromEngine) -> bytes:
    """One message as one line, newline included.

    Raises
    ------
    MessageTooLong
        The line would pass `LINE_BYTES_MAX`.
    """
    line = _encoder.encode(message) + b"\n"
    if len(line) > LINE_BYTES_MAX:
        raise MessageTooLong(f"A message of {len(line)} bytes passes the limit of {LINE_BYTES_MAX}.")
    return line


def decode_from_client(line: bytes) -> FromClient:
    """Parse a client's line; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _from_client.decode(line)


def decode_from_engine(line: bytes) -> FromEngine:
    """Parse an engine's line; raises `msgspec.ValidationError` or `msgspec.DecodeError`."""
    return _from_engine.decode(line)
