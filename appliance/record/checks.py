"""Checks that a run of the log is whole: each says what is wrong, where, in words.

Records pass one after the other and are not kept: a record of a million events takes no more memory
than its hashes. What each record says is looked at only where it vouches for something else.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.domain.blob_names import named_blobs, names_file
from appliance.record.canonical import (
    ALGORITHM_SHA256_ED25519,
    EARLIEST_WALL_US,
    HASH_DOMAIN,
    HEADER_BYTES,
    HEADER_VERSION,
    LARGEST_PAYLOAD_BYTES,
    LATEST_WALL_US,
    MAGIC,
    NOT_USUAL,
    QUALITY_SIMULATED,
    Header,
    Payload,
    checked_payload,
    read_usual_payload,
    split_record,
)
from appliance.record.errors import RecordRefused
from appliance.record.promises import Promises
from appliance.record.segment_checks import SIGNED_IS_MISSING, SegmentWalk
from appliance.record.segments import Segment

_PREFIX = struct.Struct(">4sHH32s16s16s")
# What of a header is looked at in passing: all up to the epoch, number, time, clock quality with algorithm,
# actor with kind, length of the payload.
_FIELDS = struct.Struct(">72sQq24x2s10x80sI")
assert _FIELDS.size == HEADER_BYTES
MOST_SHAPES = 10_000
_KEPT = frozenset({"BatchOpened", "BatchSealed", "DispositionRecorded", "DocumentActivated"})


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
    _usual: set[bytes] = field(default_factory=set)  # actors with kinds that vouch for nothing, as bytes
    _fileless: set[tuple[str, ...]] = field(default_factory=set)  # bodies whose fields name no file
    _qualities: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        origin = self.origin
        self.last, self._newest = self.first - 1, self.before
        self._prefix = _PREFIX.pack(
            MAGIC, HEADER_VERSION, HEADER_BYTES, origin.unit.encode(), self.log.encode(), origin.epoch
        )
        qualities = range(QUALITY_SIMULATED + origin.simulated)
        self._qualities = frozenset(bytes((one, ALGORITHM_SHA256_ED25519)) for one in qualities)
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
                words = self._take(data, computed)
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

    def add_withheld(self, leaf: bytes, stored_hash: bytes, batch: str | None, files: list[str]) -> None:
        """Go past a record of which only hashes are here; the next record and the tree prove them."""
        for sha256 in files:
            self.promises.file(batch, sha256)
        self._hashes += stored_hash
        self._newest = stored_hash
        self.last += 1
        if self.walk.ends_at:
            self.walk.leaves.append(leaf)
            if self.last == self.walk.ends_at:
                self.walk.close(stored_hash)

    def add_all(self, rows: Iterable[tuple[int, bytes, bytes]]) -> bool:
        """Check rows of records (number, hash, bytes) in order; False ends the run, as `add` does.

        A record like those before it, which vouches for nothing, is passed here in one go: this is
        nearly all of a long record. Anything else, and any doubt, goes the way of `add`.
        """
        sha256, fields, size_of_header, walk = hashlib.sha256, _FIELDS.unpack_from, HEADER_BYTES, self.walk
        prefix, usual, decode, hashes = self._prefix, self._usual, read_usual_payload, self._hashes
        newest, last, fileless, qualities = self._newest, self.last, self._fileless, self._qualities
        for _, stored_hash, data in rows:
            size = len(data)
            computed = sha256(HASH_DOMAIN + newest + size.to_bytes(8, "big") + data).digest()
            try:
                begin, seq, wall, quality, who_and_what, payload_bytes = fields(data)
                doubtful = (
                    computed != stored_hash
                    or seq != last + 1
                    or begin != prefix
                    or who_and_what not in usual
                    or quality not in qualities
                    or payload_bytes != size - size_of_header
                    or payload_bytes > LARGEST_PAYLOAD_BYTES
                    or not EARLIEST_WALL_US <= wall <= LATEST_WALL_US
                )
                if not doubtful:
                    body = decode(data[size_of_header:]).body
                    # Two braces are the payload's and its body's own: nothing lies deeper.
                    if data.count(b"{", size_of_header) != 2 or tuple(body) not in fileless:
                        doubtful = self._names_files(body)
            except NOT_USUAL:
                doubtful = True
            if doubtful:
                self._newest, self.last = newest, last
                if not self.add(data, stored_hash):
                    return False
                newest, last = self._newest, self.last
                continue
            hashes += computed
            newest, last = computed, seq
            if walk.ends_at:
                walk.leaves.append(sha256(b"\x00" + data).digest())
                if seq == walk.ends_at:
                    walk.close(computed)
        self._newest, self.last = newest, last
        return True

    def _names_files(self, body: Mapping[str, Any]) -> bool:
        """Whether a body names a file; sets of fields that cannot are kept in mind."""
        fields = tuple(body)
        if len(self._fileless) < MOST_SHAPES and not any(names_file(field) for field in fields):
            self._fileless.add(fields)
        return bool(named_blobs(body))

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

    def _take(self, data: bytes, computed: bytes) -> str:
        header, raw = split_record(data)
        payload = checked_payload(raw)
        if header.seq != self.last + 1:
            return f"it carries the number {header.seq}; events are missing, doubled or out of order."
        origin = self.origin
        if (header.log, header.unit, header.epoch) != (self.log, origin.unit, origin.epoch):
            return "it belongs to another unit, log or epoch."
        if header.clock_quality == QUALITY_SIMULATED and not origin.simulated:
            return "it carries a simulated time in the record of a real unit."
        words = self._look(header, data, computed, payload)
        if not words and header.kind not in self.promises.KINDS | _KEPT:
            self._usual.add(data[124:204])
        return words

    def _look(self, header: Header, data: bytes, computed: bytes, payload: Payload) -> str:
        """What the event vouches for, names or opens."""
        seq, kind, promises = header.seq, header.kind, self.promises
        words = promises.misfit(kind, seq, payload, self.hash_at) if kind in promises.KINDS else ""
        if words:
            return words
        for sha256 in named_blobs(payload.body):
            self.named.setdefault(sha256, (seq, kind))
            promises.file(payload.batch, sha256)
        if kind in _KEPT:
            self.kept.append(Event(header, computed, payload))
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
