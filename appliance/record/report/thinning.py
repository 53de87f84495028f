"""Many telemetry chunks at once, as arrays: what makes the trends of eight days in a second.

`telemetry_chunk` reads one chunk after the other and is what everybody else uses; a test compares
the two. Here the same bits of hundreds of chunks are read in one step, because they follow one
table. What a chunk holds beyond plain numbers at every tick is left to the one-by-one reader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.record.report.unpacked import Packed
from appliance.record.series import AROUND, CONSTANT, ESCAPE, STEPS, BitReader
from appliance.record.telemetry_chunk import PackedTrack, Row, read_track

Bits = NDArray[np.uint8]
Numbers = NDArray[np.int64]
WIDEST_NUMBER_BITS = 40
_LENGTH_BITS, _SHIFT_BITS = 6, 5


class Irregular(Exception):
    """The chunks hold something that is read one by one."""


@dataclass(frozen=True, slots=True)
class Block:
    """One channel in many chunks: which of them have it, and its numbers, one row a chunk.

    `scales` is the power of ten by which a row's numbers are to be divided. Where `tracks` is set,
    the numbers were no plain ones and stand there instead.
    """

    row: Row
    chunks: Numbers
    numbers: Numbers
    scales: Numbers
    tracks: Sequence[PackedTrack] | None = None


def blocks(packed: Sequence[Packed]) -> Iterator[Block]:
    """Every channel of chunks that name the same channels and watched the same number of ticks.

    Raises
    ------
    Irregular
        A channel has missing ticks or qualities other than good; nothing is to be kept of these chunks.
    """
    reader = _Page(packed)
    for place in range(len(packed[0].table)):
        yield from reader.channel(place)
    reader.finish()


class _Page:
    """The bits of many chunks, one row each, and how far each is read."""

    def __init__(self, packed: Sequence[Packed]) -> None:
        self._packed = packed
        longest = max(len(one.raw) for one in packed) + 16
        raw = np.zeros((len(packed), longest), np.uint8)
        for number, one in enumerate(packed):
            raw[number, : len(one.raw)] = np.frombuffer(one.raw, np.uint8)
        self._bits: Bits = np.unpackbits(raw, axis=1)
        self._width = self._bits.shape[1]
        self._sizes = np.array([8 * len(one.raw) for one in packed])
        self._flat = self._bits.reshape(-1)
        self._ones = np.concatenate([np.flatnonzero(self._flat), np.full(64, self._flat.size)])
        self._at = np.array([one.at for one in packed])
        self._span = packed[0].span

    def channel(self, place: int) -> Iterator[Block]:
        """One channel of the table, in the chunks that have it."""
        there = np.flatnonzero(self._flags(np.arange(len(self._packed))))
        if not there.size:
            return
        before = self._at[there].copy()
        if not self._flags(there).all() or not self._flags(there).all():
            raise Irregular
        row = self._packed[int(there[0])].table[place]
        scales = np.array([self._packed[number].table[place].scale for number in there.tolist()])
        if self._flags(there).all():
            near = np.array([self._packed[number].table[place].near for number in there.tolist()])
            numbers = self._series(there, near)
            if numbers is not None:
                yield Block(row, there, numbers, scales)
                return
        self._at[there] = before
        tracks = [self._one(number, place) for number in there.tolist()]
        yield Block(row, there, np.empty((0, 0), np.int64), scales, tracks)

    def finish(self) -> None:
        """All bits but the zeros that fill the last byte were read."""
        left = self._sizes - self._at
        if ((left < 0) | (left >= 8)).any():
            raise Irregular

    def _one(self, number: int, place: int) -> PackedTrack:
        packed = self._packed[number]
        reader = BitReader.within(packed.raw, int(self._at[number]))
        track = read_track(reader, packed.table[place], list(range(self._span)), self._span)
        self._at[number] = reader.at
        return track

    def _flags(self, rows: Numbers) -> NDArray[np.bool_]:
        places = self._at[rows]
        self._at[rows] += 1
        return np.asarray(self._bits[rows, places] == 1)

    def _fixed(self, rows: Numbers, width: int) -> Numbers:
        """`width` bits of each chunk as a number; the chunks' places move on."""
        places = self._at[rows][:, None] + np.arange(width)
        if places.size and places.max() >= self._width:
            raise Irregular
        weights = 1 << np.arange(width - 1, -1, -1, dtype=np.int64)
        self._at[rows] += width
        return self._bits[rows[:, None], places].astype(np.int64) @ weights

    def _signed(self, rows: Numbers) -> Numbers:
        lengths = self._fixed(rows, _LENGTH_BITS)
        widest = int(lengths.max())
        if widest > WIDEST_NUMBER_BITS:
            raise Irregular
        codes = self._fixed(rows, widest) >> (widest - lengths)
        self._at[rows] += lengths - widest
        return _unfolded(codes)

    def _series(self, rows: Numbers, near: Numbers) -> Numbers | None:
        """The numbers of each chunk; None where one is written in a form for odd cases."""
        forms = self._fixed(rows, 2)
        if not np.isin(forms, (AROUND, CONSTANT, STEPS)).all():
            return None
        first = self._signed(rows) + near
        numbers = np.repeat(first[:, None], self._span, axis=1)
        for form, count in ((AROUND, self._span), (STEPS, self._span - 1)):
            mine = np.flatnonzero(forms == form)
            if mine.size and count:
                rests = self._rice(rows[mine], count)
                if rests is None:
                    return None
                numbers[mine, self._span - count :] += rests if form == AROUND else rests.cumsum(axis=1)
        return numbers

    def _rice(self, rows: Numbers, count: int) -> Numbers | None:
        """`count` numbers of each chunk in Rice's code; None where one is too long for it."""
        shifts = self._fixed(rows, _SHIFT_BITS)
        begin = rows * self._width + self._at[rows]
        nth = np.searchsorted(self._ones, begin)[:, None] + np.arange(count)
        ends = self._ones[np.minimum(nth, self._ones.size - 1)]
        if (ends >= ((rows + 1) * self._width)[:, None]).any():
            raise Irregular
        quotients = np.diff(ends, axis=1, prepend=(begin - 1)[:, None]) - 1
        if (quotients >= ESCAPE).any():
            return None
        self._at[rows] = ends[:, -1] - rows * self._width + 1
        codes = quotients << shifts[:, None]
        for shift in np.unique(shifts[shifts > 0]):
            mine = np.flatnonzero(shifts == shift)
            codes[mine] |= self._rests(rows[mine], count, int(shift))
        return _unfolded(codes)

    def _rests(self, rows: Numbers, count: int, shift: int) -> Numbers:
        places = self._at[rows][:, None] + np.arange(count * shift)
        if places.max() >= self._width:
            raise Irregular
        bits = self._bits[rows[:, None], places].reshape(len(rows), count, shift)
        self._at[rows] += count * shift
        return bits.astype(np.int64) @ (1 << np.arange(shift - 1, -1, -1, dtype=np.int64))


def _unfolded(codes: Numbers) -> Numbers:
    return (codes >> 1) ^ -(codes & 1)


def extremes(places: Numbers, values: NDArray[np.float64]) -> Iterable[tuple[int, float, float]]:
    """Lowest and highest value of each place; `places` never fall."""
    begins = np.flatnonzero(np.diff(places, prepend=places[0] - 1))
    low, high = np.minimum.reduceat(values, begins), np.maximum.reduceat(values, begins)
    return zip(places[begins].tolist(), low.tolist(), high.tolist(), strict=True)
