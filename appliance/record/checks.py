"""Checks that a run of the log is whole: each says what is wrong, where, in words.

Records pass one after the other and are not kept: a record of a million events takes no more memory
than its hashes. What each record says is looked at only where it vouches for something else.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from appliance.domain.blob_names import named_blobs
from appliance.record.canonical import (
    ALGORITHM_SHA256_ED25519,
    EARLIEST_WALL_US,
    HASH_DOMAIN,
    HEADER_BYTES,
    HEADER_VERSION,
    LARGEST_PAYLOAD_BYTES,
    LATEST_WALL_US,
    MAGIC,
    QUALITY_SIMULATED,
    Header,
    Payload,
    checked_payload,
    split_record,
)
from appliance.record.errors import RecordRefused
from appliance.record.promises import Promises
from appliance.record.segment_checks import SIGNED_IS_MISSING, SegmentWalk
from appliance.record.segments import Segment

_PREFIX = struct.Struct(">4sHH32s16s16s")
_SEQ_AND_WALL = struct.Struct(">Qq")
_SIMULATED_TIME = "it carries a simulated time in the record of a real unit."
_KEPT = frozenset({"BatchOpened", "BatchSealed", "DispositionRecorded", "DocumentActivated"})
# A file is named under one of these keys; an escape in the JSON could hide a key from a look at the bytes.
_BLOB_MARKS = (b'blob"', b'picture"', b'overlay"', b'images"', b"\\u")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as it was recorded; `seq` is 0 when no event can be named."""

    words: str
    log: str = ""
    seq: int = 0
    kind: str = ""

    def __str__(self) -> str:
        if not self.log:
            return self.words
        return f"{self.log} event {self.seq} ({self.kind or 'unreadable'}): {self.words}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What every record and segment of one epoch has in common."""

    unit: str
    epoch: bytes
    public_key: bytes
    simulated: bool


@dataclass(frozen=True, slots=True)
class Trust:
    """Fingerprints of keys, by role, that someone outside the record vouches for."""

    keys: dict[str, frozenset[str]]

    def judges(self, role: str) -> bool:
        """Whether the list says anything about this role."""
        return role in self.keys

    def knows(self, role: str, key: str) -> bool:
        """Whether `key` is a trusted key of this role."""
        return key in self.keys.get(role, frozenset())


@dataclass(frozen=True, slots=True)
class Event:
    """A checked record: where it stands, what it says."""

    header: Header
    hash: bytes
    payload: Payload


@dataclass(slots=True)
class Run:
    """The records of one log as they pass the check, and what was found wrong with them."""

    log: str
    first: int
    before: bytes
    origin: Origin
    findings: list[Finding] = field(default_factory=list)
    kept: list[Event] = field(default_factory=list)  # of the kinds that name signed documents
    named: dict[str, tuple[int, str]] = field(default_factory=dict)  # file → the first event that names it
    batches: list[str] = field(default_factory=list)
    first_record: bytes = b""
    last: int = 0  # the number of the last good record; one less than `first` when there is none
    walk: SegmentWalk = field(init=False)
    promises: Promises = field(init=False)
    _hashes: bytearray = field(default_factory=bytearray)
    _newest: bytes = b""
    _prefix: bytes = b""
    _kinds: dict[bytes, str] = field(default_factory=dict)
    _actors: set[bytes] = field(default_factory=set)

    def __post_init__(self) -> None:
        origin = self.origin
        self.last, self._newest = self.first - 1, self.before
        self._prefix = _PREFIX.pack(
            MAGIC, HEADER_VERSION, HEADER_BYTES, origin.unit.encode(), self.log.encode(), origin.epoch
        )
        self.promises = Promises(self.first, origin.unit)
        self.signed_in(())

    def signed_in(self, segments: Iterable[Segment]) -> None:
        """The segments that sign this run, in order; to be said before the first record."""
        self.walk = SegmentWalk(self.log, self.first, self.before, self.origin, iter(segments))

    @property
    def count(self) -> int:
        """How many records passed."""
        return self.last - self.first + 1

    def hash_at(self, seq: int) -> bytes | None:
        """The chain hash of a record, or of the one before the run."""
        if seq == self.first - 1:
            return self.before
        if self.first <= seq <= self.last:
            begin = 32 * (seq - self.first)
            return bytes(self._hashes[begin : begin + 32])
        return None

    def add(self, data: bytes, stored_hash: bytes) -> bool:
        """Check the next record; False ends the run, because nothing after a break can be judged."""
        size = len(data)
        computed = hashlib.sha256(HASH_DOMAIN + self._newest + size.to_bytes(8, "big") + data).digest()
        words = ""
        if computed != stored_hash:
            words = "its bytes do not fit the chain of hashes."
        else:
            try:
                words = self._take(data, size, computed)
            except RecordRefused:
                words = "it is not a record of the known form."
        if words:
            self.findings.append(Finding(words, self.log, self.last + 1, _kind_of(data)))
            return False
        if not self._hashes:
            self.first_record = data
        self._hashes += computed
        self._newest = computed
        self.last += 1
        self.walk.pass_by(self.last, computed, data)
        return True

    def end(self, *, whole_run: bool) -> list[Finding]:
        """What is wrong with the segments; `whole_run`: nothing may be unsigned."""
        walk = self.walk
        walk.end(self.last)
        if walk.words == SIGNED_IS_MISSING:
            return [Finding(walk.words, self.log, self.last + 1, "missing")]
        if walk.words:
            return [Finding(walk.words, self.log, walk.expected, "segment")]
        if whole_run and walk.expected != self.last + 1 and not self.findings:
            words = "the events from here on are not signed."
            return [Finding(words, self.log, walk.expected, "segment")]
        return []

    def _take(self, data: bytes, size: int, computed: bytes) -> str:
        """Look at the next record; the usual one costs a few comparisons of bytes."""
        kind = self._kinds.get(data[156:204])
        usual = kind is not None and data[:72] == self._prefix and data[124:156] in self._actors
        size -= HEADER_BYTES
        quality = data[112] if usual else 0
        usual = usual and quality <= QUALITY_SIMULATED and data[113] == ALGORITHM_SHA256_ED25519
        usual = usual and int.from_bytes(data[204:208], "big") == size <= LARGEST_PAYLOAD_BYTES
        if not usual:
            return self._take_unusual(data, computed)
        seq, wall = _SEQ_AND_WALL.unpack_from(data, 72)
        if not EARLIEST_WALL_US <= wall <= LATEST_WALL_US:
            raise RecordRefused("The time lies outside the calendar.")
        payload = checked_payload(data[HEADER_BYTES:])
        if seq != self.last + 1:
            return _wrong_number(seq)
        if quality == QUALITY_SIMULATED and not self.origin.simulated:
            return _SIMULATED_TIME
        assert kind is not None
        return self._look(kind, data, computed, payload)

    def _take_unusual(self, data: bytes, computed: bytes) -> str:
        """The long way: every field of the header by itself."""
        header, raw = split_record(data)
        payload = checked_payload(raw)
        if header.seq != self.last + 1:
            return _wrong_number(header.seq)
        origin = self.origin
        if (header.log, header.unit, header.epoch) != (self.log, origin.unit, origin.epoch):
            return "it belongs to another unit, log or epoch."
        if header.clock_quality == QUALITY_SIMULATED and not origin.simulated:
            return _SIMULATED_TIME
        self._kinds[data[156:204]] = header.kind
        self._actors.add(data[124:156])
        return self._look(header.kind, data, computed, payload)

    def _look(self, kind: str, data: bytes, computed: bytes, payload: Payload) -> str:
        seq, promises = self.last + 1, self.promises
        words = promises.misfit(kind, seq, payload, self.hash_at) if kind in promises.KINDS else ""
        if words:
            return words
        if any(mark in data for mark in _BLOB_MARKS):
            for sha256 in named_blobs(payload.body):
                self.named.setdefault(sha256, (seq, kind))
                promises.file(payload.batch, sha256)
        if kind in _KEPT:
            self.kept.append(Event(split_record(data)[0], computed, payload))
            if kind == "BatchOpened" and payload.batch and payload.batch not in self.batches:
                self.batches.append(payload.batch)
        return ""


def check_anchors(gxp: Run, telemetry: Run) -> list[Finding]:
    """Each head of the telemetry log that a signed event of gxp names must be this telemetry log's."""
    for seq, kind, named_seq, named_hash in gxp.promises.telemetry:
        held = telemetry.hash_at(named_seq)
        if named_seq < telemetry.first - 1 or (held is None and telemetry.findings):
            continue
        if held is None or held.hex() != named_hash:
            return [Finding("it names telemetry that is not this record's.", gxp.log, seq, kind)]
    return []


def check_files(run: Run, whole: Callable[[str], bool]) -> list[Finding]:
    """Each file that an event names must be there and unchanged; `whole` says so of one."""
    return [
        Finding(f"the file {sha256} it names is missing or was changed.", run.log, seq, kind)
        for sha256, (seq, kind) in run.named.items()
        if not whole(sha256)
    ]


def _kind_of(data: bytes) -> str:
    raw = data[156:204].rstrip(b"\x00")
    text = raw.decode("ascii", "replace")
    return text if text.isalnum() else ""


def _wrong_number(seq: int) -> str:
    return f"it carries the number {seq}; events are missing, doubled or out of order."
