"""The trends of a batch as drawings: lowest and highest of each short span, and gaps shown as gaps.

No reading is drawn that was not read: a line ends where readings end and begins again where they
do. A reading that was not `good` is no part of the line; a mark under it says when.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.record import measurements, report_chart
from appliance.record.canonical import StoredRecord
from appliance.record.report_model import Block, Chart, Row, Table
from appliance.record.report_text import NOTHING, duration
from appliance.record.telemetry_chunk import PackedTrack

BUCKETS = 600
GAP_MS_MIN = 10_000
GAP_OF_SPACINGS = 5
GAPS_LISTED = 8
TEXTS_KEPT = 12
_MILLISECOND = timedelta(milliseconds=1)

Names = tuple[str, str, str]  # device, name, unit


@dataclass(frozen=True, slots=True)
class Grid:
    """The time of a batch in at most `BUCKETS` spans of whole milliseconds."""

    begin: datetime
    width_ms: int
    count: int

    @classmethod
    def over(cls, begin: datetime, end: datetime) -> Grid:
        """The spans from `begin` to `end`; the last may reach past it."""
        whole_ms = max(1, (end - begin) // _MILLISECOND)
        width_ms = -(-whole_ms // BUCKETS)
        return cls(begin, width_ms, -(-whole_ms // width_ms))

    @property
    def end(self) -> datetime:
        """When the last span ends."""
        return self.begin + self.width_ms * self.count * _MILLISECOND


@dataclass(slots=True)
class Trend:
    """One channel, thinned: what is drawn and what is said of it."""

    names: Names
    buckets: dict[int, list[float]] = field(default_factory=dict)  # lowest, highest
    not_good: set[int] = field(default_factory=set)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    texts: dict[str, int] = field(default_factory=dict)
    readings: int = 0
    bad: int = 0
    last_ms: int | None = None
    spacing_ms: int = 0

    @property
    def limit_ms(self) -> int:
        """Readings farther apart than this leave a gap."""
        return max(GAP_MS_MIN, GAP_OF_SPACINGS * self.spacing_ms)

    def add(self, bucket: int, low: float, high: float) -> None:
        """Readings of one bucket."""
        known = self.buckets.setdefault(bucket, [low, high])
        known[0], known[1] = min(known[0], low), max(known[1], high)


def trends(
    telemetry: Iterable[StoredRecord],
    table_record: Callable[[int], StoredRecord | None],
    grid: Grid,
) -> list[Trend]:
    """Every channel of the chunks, thinned to the spans of a grid."""
    reader = measurements.ChunkReader(table_record)
    found: dict[Names, Trend] = {}
    for stored in telemetry:
        chunk = reader.chunk(stored)
        start_ms = (chunk.start - grid.begin) // _MILLISECOND
        for track in chunk.tracks:
            names = track.row.names
            if names not in found:
                found[names] = Trend(names)
            if track.ticks:
                _take(found[names], track, start_ms, chunk.tick_ms, grid.width_ms)
    return [found[names] for names in sorted(found)]


def _take(trend: Trend, track: PackedTrack, start_ms: int, tick_ms: int, width_ms: int) -> None:
    """The readings of one channel in one chunk."""
    ticks = track.ticks
    first_ms, last_ms = start_ms + ticks[0] * tick_ms, start_ms + ticks[-1] * tick_ms
    if not trend.spacing_ms and len(ticks) > 1:
        trend.spacing_ms = (last_ms - first_ms) // (len(ticks) - 1)
    _note_gaps(trend, ticks, start_ms, tick_ms)
    trend.last_ms = last_ms
    plain = track.words is None and not track.states and not track.scales
    if plain and first_ms // width_ms == last_ms // width_ms and first_ms >= 0:
        # Most of a long record: a whole chunk in one bucket needs its lowest and highest alone.
        trend.readings += len(ticks)
        scale = 10.0**track.row.scale
        trend.add(first_ms // width_ms, min(track.numbers) / scale, max(track.numbers) / scale)
        return
    full = track.track()
    for tick, text, quality in zip(full.ticks, full.values, full.qualities, strict=True):
        bucket = (start_ms + tick * tick_ms) // width_ms
        if bucket >= 0:  # what was read before the batch was opened is not of the batch
            trend.readings += 1
            _take_one(trend, bucket, text, quality)


def _take_one(trend: Trend, bucket: int, text: str | None, quality: str) -> None:
    if text is None or quality != "good":
        trend.not_good.add(bucket)
        trend.bad += 1
        return
    value = measurements.value_of(text)
    if isinstance(value, str):
        if value in trend.texts or len(trend.texts) < TEXTS_KEPT:
            trend.texts[value] = trend.texts.get(value, 0) + 1
    else:
        trend.add(bucket, float(value), float(value))


def _note_gaps(trend: Trend, places: list[int], start_ms: int, tick_ms: int) -> None:
    first_ms = start_ms + places[0] * tick_ms
    if trend.last_ms is not None and first_ms - trend.last_ms > trend.limit_ms:
        trend.gaps.append((trend.last_ms, first_ms))
    if places[-1] - places[0] == len(places) - 1:
        return
    for before, after in itertools.pairwise(places):
        if (after - before) * tick_ms > trend.limit_ms:
            trend.gaps.append((start_ms + before * tick_ms, start_ms + after * tick_ms))


def blocks(found: list[Trend], grid: Grid) -> Iterator[Block]:
    """A drawing for each channel of numbers; a table for those that say words."""
    for trend in found:
        if trend.buckets:
            yield _chart(trend, grid)
    words = [trend for trend in found if not trend.buckets]
    if words:
        yield Table(
            heads=("Device", "Channel", "Readings", "Not good", "What it said, and how often"),
            rows=[_row(trend) for trend in words],
            none="",
            shares=(3.0, 3.0, 2.0, 2.0, 8.0),
        )


def _row(trend: Trend) -> Row:
    device, name, _ = trend.names
    said = ", ".join(f"{text or 'nothing'} ({number})" for text, number in sorted(trend.texts.items()))
    return Row((device, name, str(trend.readings), str(trend.bad), said or NOTHING))


def _chart(trend: Trend, grid: Grid) -> Chart:
    device, name, unit = trend.names
    low = min(pair[0] for pair in trend.buckets.values())
    high = max(pair[1] for pair in trend.buckets.values())
    notes = [f"lowest {low:.6g} {unit}, highest {high:.6g} {unit}; {trend.readings} readings"]
    if trend.bad:
        notes.append(f"{trend.bad} readings were not good: marked under the line, not drawn")
    if trend.gaps:
        notes.append(_gap_words(trend, grid.begin))
    gaps = [(before / grid.width_ms, after / grid.width_ms) for before, after in trend.gaps]
    svg = report_chart.draw(trend.buckets, gaps, sorted(trend.not_good), grid.begin, grid.end, grid.count)
    title = f"{device}: {name.replace('_', ' ')}" + (f" ({unit})" if unit else "")
    return Chart(title=title, svg=svg, notes=notes, alert=bool(trend.gaps or trend.bad))


def _gap_words(trend: Trend, begin: datetime) -> str:
    whole = timedelta(milliseconds=sum(after - before for before, after in trend.gaps))
    longest = sorted(trend.gaps, key=lambda gap: (gap[0] - gap[1], gap[0]))[:GAPS_LISTED]
    listed = ", ".join(
        f"{begin + timedelta(milliseconds=before):%Y-%m-%d %H:%M:%S} to "
        f"{begin + timedelta(milliseconds=after):%Y-%m-%d %H:%M:%S}"
        for before, after in sorted(longest)
    )
    times = "once" if len(trend.gaps) == 1 else f"{len(trend.gaps)} times"
    more = f" and {len(trend.gaps) - GAPS_LISTED} shorter" if len(trend.gaps) > GAPS_LISTED else ""
    return f"nothing was read {times}, {duration(whole)} in all: {listed}{more} (UTC)"
