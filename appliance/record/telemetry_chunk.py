"""One minute of readings as the fewest bytes that give every digit back.

The layout is published in `docs/record-format.md`, section 8, with a golden vector. Nothing is rounded:
the decimal text that came in comes out. What was not read is a gap, never a value carried on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from appliance.record.errors import RecordRefused
from appliance.record.series import BitReader, BitWriter, Numbers

QUALITIES = ("good", "uncertain", "bad", "stale")
MOST_SAMPLES = 20_000
MOST_CHANNELS = 1_000
MOST_DIGITS = 9  # after the point
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]{0,16})(?:\.[0-9]{1,9})?")
_ALL_GOOD: list[int] = []


@dataclass(slots=True)
class Track:
    """The readings of one channel in one chunk, as they came in."""

    device: str
    name: str
    unit: str
    ticks: list[int] = field(default_factory=list)  # since the chunk's start, rising
    values: list[str | None] = field(default_factory=list)
    qualities: list[str] = field(default_factory=list)

    @property
    def names(self) -> tuple[str, str, str]:
        """What tells this channel from the others."""
        return self.device, self.name, self.unit


@dataclass(slots=True)
class Chunk:
    """All channels of about one minute. Tick 0 begins at `start`; `span` ticks were watched."""

    start: datetime
    tick_ms: int
    span: int
    tracks: list[Track]


@dataclass(frozen=True, slots=True)
class Row:
    """A channel as a table names it: digits after the point, and a number it lies near."""

    device: str
    name: str
    unit: str
    scale: int
    near: int

    @property
    def names(self) -> tuple[str, str, str]:
        """What tells this channel from the others."""
        return self.device, self.name, self.unit


Table = tuple[Row, ...]


@dataclass(slots=True)
class PackedTrack:
    """The readings of one channel as they lie in a chunk; `track` makes texts of them."""

    row: Row
    ticks: list[int]
    states: list[int]  # 2 * quality + 1 where no value came; empty when all are good
    series: Numbers  # scaled, or places in `words`
    scales: list[int]  # digits after the point of each number; empty when the row's holds for all
    words: list[str] | None

    @property
    def numbers(self) -> list[int]:
        """The scaled numbers, or the places in `words`, of the readings that have a value."""
        return self.series.all()

    @property
    def plain(self) -> bool:
        """Whether all are good numbers with the row's digits, so that `extremes` says what they span."""
        return not self.states and self.words is None and not self.scales

    def extremes(self) -> tuple[int, int]:
        """The lowest and the highest scaled number, found without making each one."""
        return self.series.extremes()

    def track(self) -> Track:
        """The readings as they came in."""
        track = Track(*self.row.names, self.ticks, [*self._came()], ["good"] * len(self.ticks))
        if self.states:
            came = iter(track.values)
            track.values = [None if state & 1 else next(came) for state in self.states]
            track.qualities = [QUALITIES[state >> 1] for state in self.states]
        return track

    def _came(self) -> list[str]:
        if self.words is not None:
            return [self.words[place] for place in self.numbers]
        if self.scales:
            return [_decimal(number, scale) for number, scale in zip(self.numbers, self.scales, strict=True)]
        texts = {number: _decimal(number, self.row.scale) for number in set(self.numbers)}
        return [texts[number] for number in self.numbers]


@dataclass(slots=True)
class PackedChunk:
    """A chunk as it was read; `table` when it carries the names of its channels itself."""

    start: datetime
    tick_ms: int
    span: int
    tracks: list[PackedTrack]
    table: Table | None = None


def table_of(tracks: Sequence[Track]) -> Table:
    """The table for these channels."""
    rows = []
    for track in sorted(tracks, key=lambda one: one.names):
        scales, numbers = _scaled([value for value in track.values if value is not None]) or ([], [])
        rows.append(Row(*track.names, scales[0] if scales else 0, numbers[0] if numbers else 0))
    return tuple(rows)


# ── Packing ────────────────────────────────────────────────────────────────────────────────


def pack(chunk: Chunk, table: Table, table_seq: int) -> bytes:
    """A chunk's bytes; the table goes with it where `table_seq` is 0, else it stands in that record.

    Raises
    ------
    RecordRefused
        A name, a number or the whole is too large for a chunk.
    """
    if len(table) > MOST_CHANNELS or sum(len(track.ticks) for track in chunk.tracks) > MOST_SAMPLES:
        raise RecordRefused("There are too many readings for one telemetry chunk.")
    writer = BitWriter()
    writer.number((chunk.start - EPOCH) // timedelta(milliseconds=1))
    writer.number(chunk.tick_ms)
    writer.number(chunk.span)
    writer.number(table_seq)
    if not table_seq:
        _pack_table(writer, table)
    tracks = {track.names: track for track in chunk.tracks if track.ticks}
    times = list(range(chunk.span))
    for row in table:
        track = tracks.get(row.names)
        writer.fixed(track is not None, 1)
        if track is not None:
            _pack_track(writer, track, row, times)
            times = track.ticks
    return writer.bytes()


def _pack_table(writer: BitWriter, table: Table) -> None:
    writer.number(len(table))
    for row in table:
        for text in row.names:
            writer.text(text)
        writer.number(row.scale)
        writer.signed(row.near)


def _pack_track(writer: BitWriter, track: Track, row: Row, times: Sequence[int]) -> None:
    writer.fixed(track.ticks == times, 1)
    if track.ticks != times:
        writer.number(len(track.ticks))
        writer.series(track.ticks)
    states = [
        2 * QUALITIES.index(quality) + (value is None)
        for quality, value in zip(track.qualities, track.values, strict=True)
    ]
    writer.fixed(not any(states), 1)
    if any(states):
        writer.series(states)
    values = [value for value in track.values if value is not None]
    if not values:
        return
    scaled = _scaled(values)
    if scaled is None:
        _pack_texts(writer, values)
        return
    scales, numbers = scaled
    usual = set(scales) == {row.scale}
    writer.fixed(usual, 1)
    if not usual:
        writer.fixed(0, 1)
        writer.series(scales)
    writer.series(numbers, row.near)


def _pack_texts(writer: BitWriter, values: Sequence[str]) -> None:
    writer.fixed(0b01, 2)
    texts = sorted(set(values))
    writer.number(len(texts))
    for text in texts:
        writer.text(text)
    writer.series([texts.index(value) for value in values])


def _scaled(values: Sequence[str]) -> tuple[list[int], list[int]] | None:
    """Digits after the point and scaled number of each; None when one would not come back as it was."""
    scales, numbers = [], []
    for text in values:
        if not _PLAIN.fullmatch(text) or (text[0] == "-" and not text.strip("-0.")):
            return None
        whole, _, digits = text.partition(".")
        scales.append(len(digits))
        numbers.append(int(whole + digits))
    if any(abs(number) >> 58 for number in numbers):
        return None
    return scales, numbers


# ── Unpacking ──────────────────────────────────────────────────────────────────────────────


def unpack(raw: bytes, table_at: Callable[[int], Table]) -> PackedChunk:
    """A chunk of its bytes; `table_at` gives the table that another record carries.

    Raises
    ------
    RecordRefused
        The bytes are no chunk.
    """
    reader = BitReader(raw)
    start_ms, tick_ms, span, table_seq = (reader.number() for _ in range(4))
    if span > MOST_SAMPLES or not tick_ms:
        raise RecordRefused("A telemetry chunk is longer than any that is written.")
    table = table_at(table_seq) if table_seq else read_table(reader)
    tracks = []
    times = list(range(span))
    for row in table:
        if reader.flag():
            track = read_track(reader, row, times, span)
            times = track.ticks
            tracks.append(track)
    if not reader.at_end():
        raise RecordRefused("A telemetry chunk holds more than its channels.")
    try:
        start = EPOCH + timedelta(milliseconds=start_ms)
    except OverflowError:
        raise RecordRefused("The time of a telemetry chunk lies outside the calendar.") from None
    return PackedChunk(start, tick_ms, span, tracks, None if table_seq else table)


def read_table(reader: BitReader) -> Table:
    """The channels that a chunk names itself, where the reader stands."""
    count = reader.number()
    if count > MOST_CHANNELS:
        raise RecordRefused("A telemetry chunk names more channels than any that is written.")
    table = tuple(
        Row(reader.text(), reader.text(), reader.text(), reader.number(), reader.signed())
        for _ in range(count)
    )
    if any(row.scale > MOST_DIGITS for row in table):
        raise RecordRefused("A channel of a telemetry chunk has too many digits.")
    return table


def read_track(reader: BitReader, row: Row, times: list[int], span: int) -> PackedTrack:
    """One channel, where the reader stands; `times` are the ticks of the channel before it."""
    ticks = times if reader.flag() else _read_ticks(reader, span)
    count = len(ticks)
    if not count:
        raise RecordRefused("A channel of a telemetry chunk has no readings.")
    states = _ALL_GOOD if reader.flag() else reader.series(count)
    if states:
        if min(states) < 0 or max(states) >= 2 * len(QUALITIES):
            raise RecordRefused("A telemetry chunk names an unknown quality.")
        count -= sum(state & 1 for state in states)
    if not count:
        return PackedTrack(row, ticks, states, Numbers([]), [], None)
    if reader.flag():
        return PackedTrack(row, ticks, states, reader.numbers(count, row.near), [], None)
    if reader.flag():
        words, places = _read_texts(reader, count)
        return PackedTrack(row, ticks, states, Numbers(places), [], words)
    scales = reader.series(count)
    if min(scales) < 0 or max(scales) > MOST_DIGITS:
        raise RecordRefused("A number in a telemetry chunk has too many digits.")
    return PackedTrack(row, ticks, states, reader.numbers(count, row.near), scales, None)


def _read_ticks(reader: BitReader, span: int) -> list[int]:
    count = reader.number()
    if not 0 < count <= span:
        raise RecordRefused("A telemetry chunk has more readings than ticks.")
    ticks = reader.series(count)
    rising = all(before < after for before, after in pairwise(ticks))
    if not rising or ticks[0] < 0 or ticks[-1] >= span:
        raise RecordRefused("The times of a telemetry chunk do not rise.")
    return ticks


def _read_texts(reader: BitReader, count: int) -> tuple[list[str], list[int]]:
    words = [reader.text() for _ in range(min(reader.number(), count + 1))]
    places = reader.series(count)
    if min(places) < 0 or max(places) >= len(words):
        raise RecordRefused("A telemetry chunk names a text that it does not hold.")
    return words, places


def _decimal(number: int, scale: int) -> str:
    if not scale:
        return str(number)
    digits = str(abs(number)).rjust(scale + 1, "0")
    return f"{'-' if number < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"
