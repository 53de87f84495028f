"""Whole numbers as few bits: what a telemetry chunk is made of.

Readings of one channel in one minute lie close together, with noise at the sensor's last digit. A
Rice code comes within a few percent of what such noise can be pressed to, needs no table, and is
described in a dozen lines of `docs/record-format.md`, so that it can be read without any library.
Bits are kept as text of `0` and `1`: Python's own string functions then do the work at C speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NoReturn

from appliance.record.errors import RecordRefused

CONSTANT, AROUND, STEPS, OTHER = 0, 1, 2, 3
# A quotient this long is written as an escape: one far-off value must not cost thousands of bits.
ESCAPE = 20
LARGEST_SHIFT = 31
LARGEST_NUMBER_BITS = 63
LONGEST_TEXT_BYTES = 1024

# What a run of zeros stands for, and what six bits do.
_UNARY = {"0" * code: (code >> 1) ^ -(code & 1) for code in range(ESCAPE)}
_AROUND_BITS = format(AROUND, "02b")
_SIX = {format(number, "06b"): number for number in range(64)}


def folded(value: int) -> int:
    """A signed number as one that is never negative: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 …"""
    return value << 1 if value >= 0 else (-value << 1) - 1


def unfolded(code: int) -> int:
    """The signed number of `folded`."""
    return (code >> 1) ^ -(code & 1)


class BitWriter:
    """Collects bits; `bytes` pads the last byte with zeros."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def fixed(self, value: int, width: int) -> None:
        """An unsigned number in `width` bits, the highest first."""
        assert 0 <= value < 1 << width, (value, width)
        self._parts.append(format(value, f"0{width}b"))

    def number(self, value: int) -> None:
        """An unsigned number after its own length: six bits, then that many."""
        length = value.bit_length()
        if value < 0 or length > LARGEST_NUMBER_BITS:
            raise RecordRefused(f"The number {value} does not fit a telemetry chunk.")
        self.fixed(length, 6)
        if length:
            self._parts.append(format(value, "b"))

    def signed(self, value: int) -> None:
        """A signed number, folded."""
        self.number(folded(value))

    def text(self, value: str) -> None:
        """UTF-8 after its length in bytes."""
        raw = value.encode()
        if len(raw) > LONGEST_TEXT_BYTES:
            raise RecordRefused(f"A text of {len(raw)} bytes does not fit a telemetry chunk.")
        self.number(len(raw))
        self._parts.extend(format(byte, "08b") for byte in raw)

    def series(self, values: Sequence[int], near: int = 0) -> None:
        """Numbers in the cheapest of five forms; their count, and `near`, the reader knows already."""
        best = min(_forms(values, near), key=len)
        self._parts.append(best)

    def bits(self) -> str:
        """All bits so far."""
        return "".join(self._parts)

    def bytes(self) -> bytes:
        """All bits so far as bytes."""
        bits = self.bits()
        size = (len(bits) + 7) // 8
        return int(bits.ljust(size * 8, "0") or "0", 2).to_bytes(size, "big")


class Numbers:
    """A series that was read; in its commonest form the numbers themselves are made when asked for.

    Whoever draws days of readings needs the lowest and highest of each minute, not every one.
    """

    __slots__ = ("_about", "_all", "_parts")

    def __init__(self, numbers: list[int] | None, about: int = 0, parts: Sequence[str] = ()) -> None:
        self._all, self._about, self._parts = numbers, about, parts

    def all(self) -> list[int]:
        """Every number, in order."""
        if self._all is None:
            about = self._about
            self._all = [about + _UNARY[part] for part in self._parts]
        return self._all

    def extremes(self) -> tuple[int, int]:
        """The lowest and the highest."""
        if self._all is not None:
            return min(self._all), max(self._all)
        rests = [_UNARY[part] for part in set(self._parts)]
        return self._about + min(rests), self._about + max(rests)

    def newest(self) -> int:
        """The last one."""
        return self._all[-1] if self._all is not None else self._about + _UNARY[self._parts[-1]]


class BitReader:
    """Reads what a `BitWriter` wrote; damaged bits raise `RecordRefused`, never anything else."""

    def __init__(self, raw: bytes) -> None:
        self._bits = format(int.from_bytes(raw, "big"), f"0{len(raw) * 8}b") if raw else ""
        self._size = len(self._bits)
        self._at = 0

    @classmethod
    def within(cls, raw: bytes, at: int) -> BitReader:
        """A reader that goes on at bit `at`."""
        reader = cls(raw)
        reader._at = at
        return reader

    @property
    def at(self) -> int:
        """The number of the next bit."""
        return self._at

    def flag(self) -> bool:
        """One bit."""
        begin = self._at
        self._at = begin + 1
        return self._bits[begin : begin + 1] == "1" or (begin >= self._size and self._too_early())

    def number(self) -> int:
        """An unsigned number after its length."""
        begin = self._at + 6
        length = _SIX.get(self._bits[begin - 6 : begin])
        if length is None:
            return self._too_early()
        if not length:
            self._at = begin
            return 0
        self._at = begin
        return int(self._take(length), 2)

    def signed(self) -> int:
        """A signed number."""
        return unfolded(self.number())

    def text(self) -> str:
        """UTF-8 text."""
        size = self.number()
        if size > LONGEST_TEXT_BYTES:
            raise RecordRefused("A text in a telemetry chunk is too long.")
        try:
            return int(self._take(8 * size) or "0", 2).to_bytes(size, "big").decode()
        except UnicodeDecodeError:
            raise RecordRefused("A text in a telemetry chunk is not UTF-8.") from None

    def series(self, count: int, near: int = 0) -> list[int]:
        """`count` numbers, one or more."""
        form = int(self._take(2), 2)
        first = self.signed() + near
        if form == AROUND:
            return [first + rest for rest in self._rice(count)]
        if form == CONSTANT:
            return [first] * count
        if form == STEPS:
            return list(accumulate(self._rice(count - 1), initial=first))
        if self.flag():
            return self._runs(count, first)
        slope = self.signed()
        slopes = accumulate(self._rice(count - 2), initial=slope)
        return list(accumulate(slopes, initial=first))

    def numbers(self, count: int, near: int) -> Numbers:
        """A series whose numbers may never be asked for."""
        begin = self._at
        if self._bits[begin : begin + 2] == _AROUND_BITS:
            self._at = begin + 2
            first = self.signed() + near
            if self._bits[self._at : self._at + 5] == "00000":
                self._at += 5
                parts = self._quotients(count)
                if max(map(len, set(parts))) < ESCAPE:
                    return Numbers(None, first, parts)
            self._at = begin
        return Numbers(self.series(count, near))

    def at_end(self) -> bool:
        """Whether only the zeros that fill the last byte are left."""
        rest = self._bits[self._at :]
        return len(rest) < 8 and "1" not in rest

    def _take(self, width: int) -> str:
        begin = self._at
        self._at = end = begin + width
        if end > self._size:
            self._too_early()
        return self._bits[begin:end]

    def _too_early(self) -> NoReturn:
        raise RecordRefused("A telemetry chunk ends too early.")

    def _rice(self, count: int) -> list[int]:
        if count < 0:
            raise RecordRefused("A telemetry chunk names a form that its count does not allow.")
        shift = int(self._take(5), 2)
        parts = self._quotients(count)
        # Few different quotients occur: the length of each is asked once.
        longest = max(map(len, set(parts)), default=0)
        if longest > ESCAPE:
            raise RecordRefused("A telemetry chunk holds a quotient that is too long.")
        if not shift and longest < ESCAPE:
            return [*map(_UNARY.__getitem__, parts)]
        low = self._take(count * shift)
        rests = [int(low[at : at + shift], 2) for at in range(0, len(low), shift)] if shift else [0] * count
        quotients = [len(part) if len(part) < ESCAPE else ESCAPE + self.number() for part in parts]
        return [unfolded((quotient << shift) | rest) for quotient, rest in zip(quotients, rests, strict=True)]

    def _quotients(self, count: int) -> list[str]:
        parts = self._bits[self._at :].split("1", count)
        if len(parts) != count + 1:
            self._too_early()
        self._at = self._size - len(parts.pop())
        return parts

    def _runs(self, count: int, first: int) -> list[int]:
        values: list[int] = []
        value, runs = first, self.number()
        for number in range(runs):
            value += self.signed() if number else 0
            values += [value] * min(self.number(), count - len(values) + 1)
            if len(values) > count:
                break
        if len(values) != count:
            raise RecordRefused("The runs of a telemetry chunk do not add up.")
        return values


def _forms(values: Sequence[int], near: int) -> list[str]:
    """Every form that can hold these numbers."""
    first = values[0]
    low, high = min(values), max(values)
    if low == high:
        return [_head(CONSTANT, first - near)]
    middle = sorted(values)[len(values) // 2]
    steps = [after - before for before, after in pairwise(values)]
    forms = [
        _head(AROUND, middle - near) + _rice([value - middle for value in values]),
        _head(STEPS, first - near) + _rice(steps),
        _runs(values, near),
    ]
    if len(values) > 2:
        bends = [after - before for before, after in pairwise(steps)]
        writer = BitWriter()
        writer.signed(steps[0])
        forms.append(_head(OTHER, first - near) + "0" + writer.bits() + _rice(bends))
    return forms


def _head(form: int, first: int) -> str:
    writer = BitWriter()
    writer.fixed(form, 2)
    writer.signed(first)
    return writer.bits()


def _rice(values: Sequence[int]) -> str:
    codes = [folded(value) for value in values]
    mean = sum(codes) // max(len(codes), 1)
    guess = mean.bit_length()
    # The best shift lies at the mean's length or just below it; the median guards against one far value.
    median = sorted(codes)[len(codes) // 2].bit_length() if codes else 0
    shifts = {min(one, LARGEST_SHIFT) for one in (max(0, guess - 1), guess, max(0, median - 1), median)}
    shift = min(sorted(shifts), key=lambda one: _rice_cost(codes, one))
    writer = BitWriter()
    writer.fixed(shift, 5)
    quotients = [code >> shift for code in codes]
    parts = [writer.bits(), *("0" * min(quotient, ESCAPE) + "1" for quotient in quotients)]
    if shift:
        parts += [format(code & ((1 << shift) - 1), f"0{shift}b") for code in codes]
    far = BitWriter()
    for quotient in quotients:
        if quotient >= ESCAPE:
            far.number(quotient - ESCAPE)
    return "".join([*parts, far.bits()])


def _rice_cost(codes: Sequence[int], shift: int) -> int:
    cost = len(codes) * (shift + 1)
    for code in codes:
        quotient = code >> shift
        cost += quotient if quotient < ESCAPE else ESCAPE + 6 + (quotient - ESCAPE).bit_length()
    return cost


def _runs(values: Sequence[int], near: int) -> str:
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] += 1
        else:
            runs.append([value, 1])
    writer = BitWriter()
    writer.fixed(OTHER, 2)
    writer.signed(values[0] - near)
    writer.fixed(1, 1)
    writer.number(len(runs))
    before = values[0]
    for number, (value, length) in enumerate(runs):
        if number:
            writer.signed(value - before)
        writer.number(length)
        before = value
    return writer.bits()
