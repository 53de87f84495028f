"""The trends of a batch as drawings: lowest and highest of each short span, and gaps shown as gaps.

No reading is drawn that was not read: a line ends where readings end and begins again where they
do. A reading that was not `good` is no part of the line; a mark under it says when.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from appliance.record import measurements
from appliance.record.canonical import StoredRecord
from appliance.record.errors import RecordRefused
from appliance.record.report import chart as report_chart
from appliance.record.report import thinning
from appliance.record.report import unpacked as report_unpacked
from appliance.record.report.model import Block, Chart, Row, Table
from appliance.record.report.text import NOTHING, duration
from appliance.record.report.unpacked import Packed
from appliance.record.telemetry_chunk import EPOCH, PackedTrack

BUCKETS = 600
GAP_MS_MIN = 10_000
GAP_OF_SPACINGS = 5
GAPS_LISTED = 8
TEXTS_KEPT = 12
PAGE = 500  # chunks that are read at once
FEWEST_AT_ONCE = 8
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

    def gap(self, before_ms: int, after_ms: int) -> None:
        """Nothing was read between two moments; what lies before the batch is not of it."""
        if after_ms > 0:
            self.gaps.append((max(before_ms, 0), after_ms))

    def add(self, bucket: int, low: float, high: float) -> None:
        """Readings of one bucket."""
        known = self.buckets.setdefault(bucket, [low, high])
        known[0], known[1] = min(known[0], low), max(known[1], high)


def trends(
    telemetry: Sequence[StoredRecord],
    table_record: Callable[[int], StoredRecord | None],
    grid: Grid,
) -> list[Trend]:
    """Every channel of the chunks, thinned to the spans of a grid."""
    made = _Thinning(table_record, grid)
    for first in range(0, len(telemetry), PAGE):
        made.take(telemetry[first : first + PAGE])
    return [made.found[names] for names in sorted(made.found)]


class _Thinning:
    """Takes pages of chunks in order, each page at once where its chunks are alike."""

    def __init__(self, table_record: Callable[[int], StoredRecord | None], grid: Grid) -> None:
        self.found: dict[Names, Trend] = {}
        self._reader, self._grid = measurements.ChunkReader(table_record), grid
        self._shells = report_unpacked.Shells(table_record)
        self._begin_ms = (grid.begin - EPOCH) // _MILLISECOND

    def take(self, page: Sequence[StoredRecord]) -> None:
        """The chunks of one page, in the order in which they were written."""
        shells = self._shells.packed(page)
        for kin, run in itertools.groupby(
            zip(page, shells, strict=True), key=lambda pair: pair[1].kin if pair[1] else None
        ):
            stored, packed = zip(*run, strict=True)
            if kin is None or len(stored) < FEWEST_AT_ONCE or not self._at_once(packed):
                self._one_by_one(stored)

    def _trend(self, names: Names) -> Trend:
        return self.found.setdefault(names, Trend(names))

    def _one_by_one(self, page: Sequence[StoredRecord]) -> None:
        for stored in page:
            chunk = self._reader.chunk(stored)
            start_ms = (chunk.start - self._grid.begin) // _MILLISECOND
            for track in chunk.tracks:
                if track.ticks:
                    _take(self._trend(track.row.names), track, start_ms, chunk.tick_ms, self._grid.width_ms)

    def _at_once(self, packed: Sequence[Packed]) -> bool:
        """Whether the chunks were alike enough to be read together; if not, nothing was kept."""
        try:
            channels = list(thinning.blocks(packed))
        except (thinning.Irregular, RecordRefused):
            return False
        starts = np.array([one.start_ms - self._begin_ms for one in packed])
        tick_ms, width_ms = packed[0].tick_ms, self._grid.width_ms
        for block in channels:
            trend, begins = self._trend(block.row.names), starts[block.chunks]
            if block.tracks is not None:
                for begin_ms, track in zip(begins.tolist(), block.tracks, strict=True):
                    _take(trend, track, begin_ms, tick_ms, width_ms)
                continue
            span_ms = (packed[0].span - 1) * tick_ms
            trend.spacing_ms = trend.spacing_ms or tick_ms
            _gaps_between(trend, begins, span_ms)
            moments = begins[:, None] + np.arange(packed[0].span) * tick_ms
            inside = moments >= 0
            trend.readings += int(inside.sum())
            if inside.any():
                values = block.numbers / 10.0 ** block.scales[:, None]
                places = (moments // width_ms)[inside]
                if (np.diff(places) < 0).any():  # the clock was set back: order the readings by time
                    order = np.argsort(places, kind="stable")
                    places, values = places[order], values[inside][order]
                else:
                    values = values[inside]
                for place, low, high in thinning.extremes(places, values):
                    trend.add(place, low, high)
        return True


def _gaps_between(trend: Trend, begins: NDArray[np.int64], span_ms: int) -> None:
    """Gaps between whole chunks, and the last moment that was read."""
    ends = begins + span_ms
    before = np.concatenate([[begins[0] if trend.last_ms is None else trend.last_ms], ends[:-1]])
    for place in np.flatnonzero(begins - before > trend.limit_ms).tolist():
        trend.gap(int(before[place]), int(begins[place]))
    trend.last_ms = int(ends[-1])


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
        trend.gap(trend.last_ms, first_ms)
    if places[-1] - places[0] == len(places) - 1:
        return
    for before, after in itertools.pairwise(places):
        if (after - before) * tick_ms > trend.limit_ms:
            trend.gap(start_ms + before * tick_ms, start_ms + after * tick_ms)


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
