"""What of all readings is kept: the first of each channel in each second of process time.

A minute of them makes one chunk of the telemetry log; in a power cut at most that minute is lost, and
shows as a gap.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from appliance.record.telemetry_chunk import Chunk, Track

CHUNK = timedelta(minutes=1)
TICK = timedelta(seconds=1)  # the finest grain kept
SPARING_TICKS = 10  # on a disk that is nearly full: one reading in ten seconds
LONGEST_TICKS = 600  # a clock that jumped further begins another chunk
SAMPLES_MAX = 4_000
FINISHED_MAX = 60  # chunks that wait for a slow disk; the oldest go first, and show as a gap


@dataclass(slots=True)
class Samples:
    """Collects the next chunk."""

    every_ticks: int = 1
    _began: datetime | None = None
    _count: int = 0
    _tracks: dict[tuple[str, str, str], Track] = field(default_factory=dict)
    _finished: list[Chunk] = field(default_factory=list)

    def take(self, names: tuple[str, str, str], value: str | None, quality: str, at: datetime) -> None:
        """One reading of a channel (device, name, unit) that came in at `at`."""
        tick = self._tick_of(at)
        track = self._tracks.get(names)
        if track is None:
            track = self._tracks[names] = Track(*names)
        elif tick < track.ticks[-1] + self.every_ticks:
            return
        track.ticks.append(tick)
        track.values.append(value)
        track.qualities.append(quality)
        self._count += 1

    def finished(self, now: datetime, *, force: bool = False) -> list[Chunk]:
        """The chunks that are over, oldest first; `force` ends the one that is not."""
        if self._began is not None and (force or not timedelta(0) <= now - self._began < CHUNK):
            self._finish((now - self._began) // TICK + 1)
        over, self._finished = self._finished, []
        return over

    def put_back(self, chunks: list[Chunk]) -> None:
        """These could not be written yet; as many as there is room for wait."""
        self._finished = (chunks + self._finished)[-FINISHED_MAX:]

    def _tick_of(self, at: datetime) -> int:
        if self._began is not None:
            tick = (at - self._began) // TICK
            newest = max((track.ticks[-1] for track in self._tracks.values()), default=0)
            if newest <= tick + 1 and 0 <= tick < LONGEST_TICKS and self._count < SAMPLES_MAX:
                return tick
            self._finish(newest + 1)
        self._began = at.replace(microsecond=0)
        return 0

    def _finish(self, span: int) -> None:
        assert self._began is not None
        tracks = sorted(self._tracks.values(), key=lambda one: one.names)
        newest = max((track.ticks[-1] for track in tracks), default=0)
        # A clock that was set back must not cut off what was read before.
        span = max(newest + 1, min(span, LONGEST_TICKS))
        if tracks:
            self._finished = [*self._finished, Chunk(self._began, 1000, span, tracks)][-FINISHED_MAX:]
        self._tracks, self._began, self._count = {}, None, 0
