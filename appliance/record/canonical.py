"""One byte form for one event: header, payload, hash.

The layout is published in `docs/record-format.md` with a golden vector and never changes. The exact
bytes made here are what is stored, hashed and sent; nothing is written again in order to be checked.
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any

import msgspec

from appliance.record.errors import RecordRefused

MAGIC = b"CWR1"
HEADER_VERSION = 1
HEADER_BYTES = 208
ALGORITHM_SHA256_ED25519 = 1
LAYOUT = struct.Struct(">4sHH32s16s16sQqQ16sBBHQ32s48sI")
assert LAYOUT.size == HEADER_BYTES

HASH_DOMAIN = b"cellwright/rec/1"
NO_HASH = bytes(32)
LARGEST_INTEGER = 2**53
LARGEST_PAYLOAD_BYTES = 192 * 1024
DEEPEST_NESTING = 32
QUALITY_UNTRUSTED, QUALITY_TRUSTED, QUALITY_SIMULATED = 0, 1, 2

EARLIEST_WALL_US, LATEST_WALL_US = -62135596800000000, 253402300799999999

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something was recorded, by both clocks."""

    wall: datetime  # aware, UTC
    monotonic_ns: int
    boot_id: bytes  # 16 bytes
    quality: int  # 0 untrusted, 1 trusted, 2 simulated

    def __post_init__(self) -> None:
        assert self.wall.utcoffset() == timedelta(0), self.wall
        assert len(self.boot_id) == 16, self.boot_id
        assert self.quality in (QUALITY_UNTRUSTED, QUALITY_TRUSTED, QUALITY_SIMULATED), self.quality


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The fixed head of every record."""

    unit: str
    log: str
    epoch: bytes
    seq: int
    wall: datetime
    monotonic_ns: int
    boot_id: bytes
    clock_quality: int
    algorithm: int
    payload_version: int
    down_cursor: int
    actor: str
    kind: str


class NewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is about to be written; the log gives it its number and place."""

    kind: str
    payload: bytes
    actor: str
    stamp: Stamp
    payload_version: int = 1
    log: str = "gxp"
    down_cursor: int = 0


@dataclass(frozen=True)
class StoredRecord:
    """A record as it lies in the log: number, chain hash and exact bytes."""

    seq: int
    hash: bytes
    data: bytes

    @cached_property
    def header(self) -> Header:
        """The decoded head."""
        return split_record(self.data)[0]

    @cached_property
    def payload(self) -> bytes:
        """The payload's exact bytes."""
        return self.data[HEADER_BYTES:]


class Payload(msgspec.Struct, frozen=True):
    """What a payload says: the batch it belongs to, the command that caused it, the facts."""

    batch: str | None
    command: str | None
    body: dict[str, Any]


def wall_us(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exact."""
    return (moment - _EPOCH) // _MICROSECOND


def wall_of(microseconds: int) -> datetime:
    """The UTC moment of a header's `wall_us`."""
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise RecordRefused("The time in a record's header lies outside the calendar.") from None


def encode_record(header: Header, payload: bytes) -> bytes:
    """Header and payload as the bytes that are stored.

    Raises
    ------
    RecordRefused
        A field does not fit its place, or the payload is not canonical.
    """
    check_payload(payload)
    try:
        head = LAYOUT.pack(
            MAGIC,
            HEADER_VERSION,
            HEADER_BYTES,
            _text(header.unit, 32, "unit"),
            _text(header.log, 16, "log"),
            _exactly(header.epoch, "epoch"),
            header.seq,
            wall_us(header.wall),
            header.monotonic_ns,
            _exactly(header.boot_id, "boot id"),
            header.clock_quality,
            header.algorithm,
            header.payload_version,
            header.down_cursor,
            _text(header.actor, 32, "actor"),
            _text(header.kind, 48, "kind"),
            len(payload),
        )
    except struct.error as problem:
        raise RecordRefused(f"A number does not fit the record's header: {problem}.") from None
    return head + payload


def split_record(data: bytes) -> tuple[Header, bytes]:
    """Header and payload of a record's bytes; every byte of the header is accounted for.

    Raises
    ------
    RecordRefused
        The bytes are not a record of this layout.
    """
    if len(data) < HEADER_BYTES:
        raise RecordRefused(f"A record has at least {HEADER_BYTES} bytes; this one has {len(data)}.")
    (magic, version, size, unit, log, epoch, seq, wall, monotonic_ns, boot_id, quality, algorithm,
     payload_version, down_cursor, actor, kind, payload_bytes) = LAYOUT.unpack_from(data)  # fmt: skip
    if (magic, version, size) != (MAGIC, HEADER_VERSION, HEADER_BYTES):
        raise RecordRefused("The record does not begin with the mark, version and size of this layout.")
    if payload_bytes != len(data) - HEADER_BYTES:
        raise RecordRefused("The record's length does not agree with its header.")
    if quality > QUALITY_SIMULATED:
        raise RecordRefused(f"The header names an unknown clock quality, {quality}.")
    if algorithm != ALGORITHM_SHA256_ED25519:
        raise RecordRefused(f"The header names an unknown algorithm, {algorithm}.")
    if seq < 1:
        raise RecordRefused("Records are numbered from 1.")
    header = Header(
        unit=_untext(unit, "unit"),
        log=_untext(log, "log"),
        epoch=epoch,
        seq=seq,
        wall=wall_of(wall),
        monotonic_ns=monotonic_ns,
        boot_id=boot_id,
        clock_quality=quality,
        algorithm=algorithm,
        payload_version=payload_version,
        down_cursor=down_cursor,
        actor=_untext(actor, "actor"),
        kind=_untext(kind, "kind"),
    )
    return header, data[HEADER_BYTES:]


def record_hash(previous: bytes, data: bytes) -> bytes:
    """The chain hash of a record that follows the record with hash `previous`."""
    assert len(previous) == 32, previous
    return hashlib.sha256(HASH_DOMAIN + previous + len(data).to_bytes(8, "big") + data).digest()


def encode_payload(batch: str | None, command: str | None, body: Mapping[str, Any]) -> bytes:
    """The payload's bytes.

    Raises
    ------
    RecordRefused
        A float, an integer beyond 2**53, a key that is not text, or too much of it.
    """
    _check_value(body, 0)
    payload = _ENCODER.encode({"batch": batch, "command": command, "body": body})
    if len(payload) > LARGEST_PAYLOAD_BYTES:
        raise RecordRefused(
            f"The facts of one event take {len(payload)} bytes; at most {LARGEST_PAYLOAD_BYTES} fit. "
            "Store the long part as a file and name it."
        )
    return payload


def decode_payload(payload: bytes) -> Payload:
    """What a payload says.

    Raises
    ------
    RecordRefused
        It is not JSON of the payload's shape.
    """
    return _envelope(payload).payload()


def checked_payload(payload: bytes) -> Payload:
    """What a payload says, read once and checked whole; raises what `check_payload` raises."""
    if len(payload) > LARGEST_PAYLOAD_BYTES:
        raise RecordRefused(f"The payload has {len(payload)} bytes; at most {LARGEST_PAYLOAD_BYTES} fit.")
    try:
        usual = read_usual_payload(payload)
    except NOT_USUAL:
        envelope = _envelope(payload)
        _check_value(envelope.body, 0)
        return envelope.payload()
    return Payload(usual.batch, usual.command, usual.body)


def check_payload(payload: bytes) -> None:
    """Refuse a payload that is not of the payload's shape, or holds a float or a huge integer."""
    checked_payload(payload)


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Compact UTF-8 JSON with sorted keys: the form of everything that is signed."""
    _check_value(value, 0)
    return _SORTED.encode(value)


def read_json(raw: bytes) -> Any:
    """The value of a JSON text.

    Raises
    ------
    RecordRefused
        The bytes are not UTF-8 or not JSON.
    """
    try:
        return _DECODER.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RecordRefused(f"It cannot be read as JSON: {problem}.") from None


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    batch: str | None
    command: str | None
    body: dict[str, Any]

    def payload(self) -> Payload:
        return Payload(self.batch, self.command, self.body)


# What the body of nearly every event holds, checked while it is read: text, whole numbers, lists and
# objects, three deep. Whatever else there is goes the long way, which decides.
_Whole = Annotated[int, msgspec.Meta(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
_Plain = str | _Whole | bool | None
_Lower = _Plain | list[_Plain] | dict[str, _Plain]
_Usual = _Plain | list[_Lower] | dict[str, _Lower]


class _UsualEnvelope(msgspec.Struct, forbid_unknown_fields=True):
    batch: str | None
    command: str | None
    body: dict[str, _Usual]


_ENCODER = msgspec.json.Encoder()
_SORTED = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder()
_ENVELOPES = msgspec.json.Decoder(_Envelope)
# Reads and checks in one; raises one of `NOT_USUAL` for a payload that may still be good.
read_usual_payload = msgspec.json.Decoder(_UsualEnvelope).decode
NOT_USUAL = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, struct.error)


def _envelope(payload: bytes) -> _Envelope:
    try:
        return _ENVELOPES.decode(payload)
    except msgspec.ValidationError as problem:
        raise RecordRefused(f"A record's payload is not of its form: {problem}.") from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise RecordRefused(f"It cannot be read as JSON: {problem}.") from None


def _check_value(value: object, depth: int) -> None:
    if depth > DEEPEST_NESTING:
        raise RecordRefused("The facts of an event are nested too deep.")
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise RecordRefused(f"The number {value} is too large for the record; write it as text.")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise RecordRefused(f"The key {key!r} of a fact is not text.")
            if item.__class__ is not str or depth == DEEPEST_NESTING:
                _check_value(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item, depth + 1)
    else:
        raise RecordRefused(
            f"The record takes text and whole numbers only, not {type(value).__name__} ({value!r}). "
            "Write a measured value as decimal text."
        )


@functools.lru_cache(maxsize=4096)
def _text(value: str, size: int, what: str) -> bytes:
    raw = value.encode()
    if not raw or len(raw) > size or b"\x00" in raw:
        raise RecordRefused(f"The {what} {value!r} must be 1 to {size} bytes of text without zero bytes.")
    return raw


@functools.lru_cache(maxsize=4096)
def _untext(raw: bytes, what: str) -> str:
    text = raw.rstrip(b"\x00")
    if not text or b"\x00" in text:
        raise RecordRefused(f"The {what} in a record's header is not zero-padded text.")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise RecordRefused(f"The {what} in a record's header is not UTF-8.") from None


def _exactly(raw: bytes, what: str) -> bytes:
    if len(raw) != 16:
        raise RecordRefused(f"The {what} must have 16 bytes, not {len(raw)}.")
    return raw
