"""Readings in the telemetry log: writes one record a minute, reads all such records ever written."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from appliance.record.canonical import LAYOUT, StoredRecord, decode_payload
from appliance.record.errors import RecordRefused
from appliance.record.series import BitReader, Numbers
from appliance.record.telemetry_chunk import (
    EPOCH,
    QUALITIES,
    Chunk,
    PackedChunk,
    PackedTrack,
    Row,
    Table,
    Track,
    pack,
    table_of,
    unpack,
)

if TYPE_CHECKING:
    from appliance.record.log import Record

__all__ = ["KIND", "PAYLOAD_VERSION", "QUALITIES", "Chunk", "ChunkReader", "ChunkWriter", "Minute", "Track"]

KIND = "ReadingsPacked"
PAYLOAD_VERSION = 2
# The channels' names are written with the first chunk of an hour; the others name that one.
CHUNKS_A_TABLE = 60

_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
_NO_DIGIT = 255
_DIGITS = bytes(_ALPHABET.find(sign) if sign in _ALPHABET else _NO_DIGIT for sign in range(256))
_KIND_BYTES = KIND.encode().ljust(48, b"\x00")

Value = Decimal | str | None
Sample = tuple[datetime, Value, str]
Channel = tuple[str, str, str, list[Sample]]


@dataclass(frozen=True, slots=True)
class Minute:
    """A channel in one chunk: lowest, highest and last number, and the worst quality seen.

    `low` and `high` are None where no number was read; `last` may be text.
    """

    begin: datetime
    low: Decimal | None
    high: Decimal | None
    last: Value
    quality: str


class ChunkWriter:
    """Writes chunks for one telemetry log; the caller tells under which number each was stored."""

    def __init__(self) -> None:
        self._table: Table = ()
        self._table_seq = 0
        self._left = 0
        self._pending: Table | None = None

    def begin_anew(self) -> None:
        """The next chunk carries the channels' names again: a signed segment ends before it."""
        self._left = 0

    def body(self, chunk: Chunk) -> dict[str, Any]:
        """The record's body; what was packed is read back and compared before it is given out.

        Raises
        ------
        RecordRefused
            A name, a number or the whole is too large for a chunk.
        """
        known = {row.names for row in self._table}
        fits = self._left > 0 and all(track.names in known for track in chunk.tracks)
        self._pending = None if fits else table_of(chunk.tracks)
        raw = pack(chunk, self._pending or self._table, self._table_seq if fits else 0)
        again = unpack(raw, lambda _: self._table)
        told = sorted((track for track in chunk.tracks if track.ticks), key=lambda one: one.names)
        assert [track.track() for track in again.tracks] == told, "a chunk does not read back as it was"
        return {"chunk": base64.b85encode(raw).decode()}

    def stored(self, seq: int) -> None:
        """The body given out last is durable as record `seq`."""
        if self._pending is not None:
            self._table, self._table_seq, self._left = self._pending, seq, CHUNKS_A_TABLE
            self._pending = None
        self._left -= 1


class ChunkReader:
    """Reads chunks of every version, in any order; `fetch` gives the record that carries a table.

    Without `fetch` a table is known when its record was read before.
    """

    def __init__(self, fetch: Callable[[int], StoredRecord | None] | None = None) -> None:
        self._fetch = fetch
        self._tables: dict[int, Table] = {}

    def chunk(self, stored: StoredRecord) -> PackedChunk:
        """The readings of one record.

        Raises
        ------
        RecordRefused
            It is no telemetry chunk, or the record with its channels' names is not there.
        """
        version = LAYOUT.unpack_from(stored.data)[12]
        body = decode_payload(stored.payload).body
        if version == 1:
            return _of_version_1(body)
        if version != PAYLOAD_VERSION:
            raise RecordRefused(f"Telemetry of version {version} is newer than this software.")
        chunk = unpack(_raw(body), self._table)
        if chunk.table is not None:
            self._tables[stored.seq] = chunk.table
        return chunk

    def _table(self, seq: int) -> Table:
        if seq not in self._tables:
            stored = self._fetch(seq) if self._fetch is not None else None
            if stored is None or stored.data[156:204] != _KIND_BYTES:
                raise RecordRefused(f"The names of these channels stand in telemetry record {seq}.")
            table = unpack(_raw(decode_payload(stored.payload).body), _no_table).table
            assert table is not None
            self._tables[seq] = table
        return self._tables[seq]


def channels_named_at(stored: StoredRecord) -> int:
    """The number of the record that names a chunk's channels: its own, or an earlier one."""
    if stored.data[156:204] != _KIND_BYTES or stored.header.payload_version != PAYLOAD_VERSION:
        return stored.seq
    reader = BitReader(_raw(decode_payload(stored.payload).body))
    _start_ms, _tick_ms, _span, table_seq = (reader.number() for _ in range(4))
    return table_seq or stored.seq


def chunks(
    records: Record | Iterable[StoredRecord], first: datetime | None = None, last: datetime | None = None
) -> Iterator[PackedChunk]:
    """The chunks that reach past `first` and begin before `last`, oldest first.

    Parameters
    ----------
    records
        A record, or the records of a telemetry log (as an archive has them), in order.

    Raises
    ------
    RecordRefused
        A chunk cannot be read; `verify` says whether it was altered.
    """
    from appliance.record.log import Record

    reader = ChunkReader()
    if isinstance(records, Record):
        record = records
        reader = ChunkReader(lambda seq: next(record.read(seq, seq, log="telemetry"), None))
        records = record.read(log="telemetry")
    first_us = None if first is None else (first - EPOCH) // timedelta(microseconds=1)
    for stored in records:
        # Kind and time are looked at in the raw bytes: most of a long log is not asked for.
        if stored.data[156:204] != _KIND_BYTES:
            continue
        written_us = LAYOUT.unpack_from(stored.data)[7]
        if first_us is not None and written_us < first_us:
            continue
        chunk = reader.chunk(stored)
        if last is not None and chunk.start >= last:
            return
        yield chunk


def channels(
    records: Record | Iterable[StoredRecord], first: datetime | None = None, last: datetime | None = None
) -> Iterator[Channel]:
    """Every channel with all its samples from `first` up to `last`, by device and name.

    A sample is the first reading that came in within its tick; its time is when the tick began.
    Numbers come as `Decimal` with the digits that were read, states as text, a failed reading as None.
    """
    found: dict[tuple[str, str, str], list[Sample]] = {}
    values: dict[str | None, Value] = {None: None}
    for chunk in chunks(records, first, last):
        moments = [chunk.start + timedelta(milliseconds=tick * chunk.tick_ms) for tick in range(chunk.span)]
        for packed in chunk.tracks:
            track = packed.track()
            samples = found.setdefault(track.names, [])
            for text in set(track.values) - values.keys():
                assert text is not None
                values[text] = value_of(text)
            came = zip(track.ticks, track.values, track.qualities, strict=True)
            samples += [(moments[tick], values[text], quality) for tick, text, quality in came]
    for (device, name, unit), samples in sorted(found.items()):
        inside = [
            one for one in samples if (first is None or one[0] >= first) and (last is None or one[0] < last)
        ]
        if inside:
            yield device, name, unit, inside


def minutes(
    records: Record | Iterable[StoredRecord], first: datetime | None = None, last: datetime | None = None
) -> Iterator[tuple[str, str, str, list[Minute]]]:
    """Every channel as lowest, highest, last and worst of each chunk that reaches into the time asked for.

    Several times faster than `channels`; a chunk in which a channel gave nothing has no `Minute`.
    """
    found: dict[tuple[str, str, str], list[Minute]] = {}
    for chunk in chunks(records, first, last):
        for packed in chunk.tracks:
            found.setdefault(packed.row.names, []).append(_minute(chunk.start, packed))
    for (device, name, unit), rows in sorted(found.items()):
        yield device, name, unit, rows


def value_of(text: str) -> Decimal | str:
    """A reading as a number where it is one."""
    return Decimal(text) if _NUMBER.fullmatch(text) else text


def _minute(begin: datetime, packed: PackedTrack) -> Minute:
    worst = QUALITIES[max(packed.states) >> 1] if packed.states else "good"
    if packed.plain:
        scale = -packed.row.scale
        spanned = (*packed.extremes(), packed.series.newest())
        low, high, last = (Decimal(number).scaleb(scale) for number in spanned)
        return Minute(begin, low, high, last, worst)
    values = packed.track().values
    numbers = [Decimal(text) for text in values if text is not None and _NUMBER.fullmatch(text)]
    final = values[-1]
    return Minute(
        begin,
        min(numbers, default=None),
        max(numbers, default=None),
        None if final is None else value_of(final),
        worst,
    )


def _raw(body: dict[str, Any]) -> bytes:
    text = body.get("chunk")
    if not isinstance(text, str) or not text.isascii():
        raise RecordRefused("A telemetry chunk is not of its form.")
    digits = text.encode().translate(_DIGITS)
    short = -len(digits) % 5
    digits += b"\x54" * short
    places = iter(digits)
    # Five digits at a time: several times faster than the standard library's own way.
    words = [
        (((a * 85 + b) * 85 + c) * 85 + d) * 85 + e
        for a, b, c, d, e in zip(places, places, places, places, places, strict=True)
    ]
    try:
        if _NO_DIGIT in digits:
            raise RecordRefused("A telemetry chunk holds a sign that is no digit.")
        raw = struct.pack(f">{len(words)}I", *words)
    except struct.error:
        raise RecordRefused("A telemetry chunk is not of its form.") from None
    return raw[: len(raw) - short]


def _no_table(seq: int) -> Table:
    raise RecordRefused(f"The names of these channels stand in telemetry record {seq}.")


def _of_version_1(body: dict[str, Any]) -> PackedChunk:
    """A chunk as the first versions wrote it: samples as JSON, each with its own milliseconds."""
    try:
        start, end = datetime.fromisoformat(body["from"]), datetime.fromisoformat(body["to"])
        tracks = [_track_of_version_1(one) for one in body["channels"] if one["samples"]]
    except (KeyError, TypeError, ValueError, IndexError) as problem:
        raise RecordRefused(f"A telemetry chunk is not of its form: {problem}.") from None
    past = max((track.ticks[-1] + 1 for track in tracks), default=0)
    return PackedChunk(start, 1, max(past, (end - start) // timedelta(milliseconds=1)), tracks)


def _track_of_version_1(channel: dict[str, Any]) -> PackedTrack:
    samples = channel["samples"]
    words = list(dict.fromkeys(str(sample[1]) for sample in samples if sample[1] is not None))
    states = [2 * QUALITIES.index(sample[2]) + (sample[1] is None) for sample in samples]
    return PackedTrack(
        Row(str(channel["device"]), str(channel["name"]), str(channel["unit"]), 0, 0),
        [int(sample[0]) for sample in samples],
        states if any(states) else [],
        Numbers([words.index(str(sample[1])) for sample in samples if sample[1] is not None]),
        [],
        words,
    )
