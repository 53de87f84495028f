"""One trend as SVG: a line that is broken where nothing was read. The same numbers give the same bytes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

WIDTH, HEIGHT = 900, 150
LEFT, RIGHT, TOP, BOTTOM = 74, 892, 8, 122
TIME_STEPS = [timedelta(minutes=n) for n in (1, 2, 5, 10, 15, 30)]
TIME_STEPS += [timedelta(hours=n) for n in (1, 2, 3, 6, 12, 24, 48, 96, 240, 720)]
TIMES_SHOWN = 8
LINE, GRID, WORDS, MISSING, DOUBT = "#333", "#ddd", "#555", "#f0e4d8", "#b45309"


def draw(
    buckets: Mapping[int, Sequence[float]],
    gaps: Sequence[tuple[float, float]],
    not_good: Sequence[int],
    begin: datetime,
    end: datetime,
    count: int,
) -> bytes:
    """The drawing of one channel.

    Parameters
    ----------
    buckets
        Lowest and highest reading of each span that has one, by the span's number.
    gaps
        Where nothing was read, in spans from the beginning.
    not_good
        Spans in which a reading was not good.
    count
        How many spans lie between `begin` and `end`.
    """
    low = min(pair[0] for pair in buckets.values())
    high = max(pair[1] for pair in buckets.values())
    marks = _nice(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])

    def x(place: float) -> float:
        return LEFT + (RIGHT - LEFT) * min(max(place, 0), count) / count

    def y(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}"'
        f' height="{HEIGHT}" font-family="DejaVu Sans" font-size="11" fill="{WORDS}">'
    ]
    for before, after in gaps:
        # A gap shorter than a hair's breadth is still drawn as wide as one.
        left, right = x(before), max(x(after), x(before) + 1.5)
        parts.append(
            f'<rect x="{left:.1f}" y="{TOP}" width="{right - left:.1f}" height="{BOTTOM - TOP}" '
            f'fill="{MISSING}"/>'
        )
    for mark in marks:
        parts.append(f'<path d="M{LEFT} {y(mark):.1f}H{RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.6g}</text>')
    parts += _times(begin, end)
    parts.append(
        f'<path d="{_line(buckets, gaps, x, y)}" fill="none" stroke="{LINE}" stroke-width="1.3" '
        'stroke-linejoin="round" stroke-linecap="round"/>'
    )
    if not_good:
        ticks = "".join(f"M{x(place + 0.5):.1f} {BOTTOM - 1}v-7" for place in not_good)
        parts.append(f'<path d="{ticks}" stroke="{DOUBT}" stroke-width="1.6"/>')
    return ("\n".join(parts) + "\n</svg>\n").encode()


def _line(
    buckets: Mapping[int, Sequence[float]],
    gaps: Sequence[tuple[float, float]],
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> str:
    path: list[str] = []
    last: int | None = None
    down = False
    for place in sorted(buckets):
        low, high = buckets[place]
        broken = last is None or any(last <= before and after <= place + 1 for before, after in gaps)
        first, second = (high, low) if down else (low, high)
        at = f"{x(place + 0.5):.1f}"
        path.append(f"{'M' if broken else 'L'}{at} {y(first):.1f}")
        if second != first or broken:
            path.append(f"L{at} {y(second):.1f}")
        down = not down
        last = place
    return "".join(path)


def _nice(low: float, high: float) -> list[float]:
    """Three to six round values that take in `low` and `high`."""
    if high - low < max(abs(high), 1e-9) * 1e-6:
        pad = abs(high) * 0.05 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(number * step, 9) for number in range(first, last + 1)]


def _times(begin: datetime, end: datetime) -> list[str]:
    whole = end - begin
    step = next((one for one in TIME_STEPS if whole / one <= TIMES_SHOWN), TIME_STEPS[-1])
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + -(-(begin - midnight) // step) * step
    parts = []
    while at <= end and whole:
        place = LEFT + (RIGHT - LEFT) * ((at - begin) / whole)
        words = f"{at:%m-%d}" if step >= timedelta(hours=24) else f"{at:%m-%d %H:%M}"
        anchor = "end" if place > RIGHT - 30 else "middle"
        parts.append(f'<path d="M{place:.1f} {TOP}V{BOTTOM + 4}" stroke="{GRID}"/>')
        parts.append(f'<text x="{place:.1f}" y="{BOTTOM + 18}" text-anchor="{anchor}">{words}</text>')
        at += step
    return parts
