"""Live readings: what the hosts reported, marked stale in time, and packed into the telemetry log.

One chunk a minute of process time holds all channels; its loss in a power cut is at most that
minute and shows as a gap. Readings are not events: what decides something becomes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from appliance.domain.batch import ReadingNow, Unit

STALE_NS = 2_000_000_000
CHUNK = timedelta(minutes=1)
SAMPLE_EVERY = timedelta(seconds=1)  # of process time: the finest grain kept in the telemetry log
SAMPLES_MAX = 4_000


@dataclass(slots=True)
class Readings:
    """Keeps `unit.readings` true, and collects the next telemetry chunk."""

    unit: Unit
    _received_ns: dict[tuple[str, str], int] = field(default_factory=dict)
    _samples: dict[tuple[str, str], list[list[Any]]] = field(default_factory=dict)
    _units: dict[tuple[str, str], str] = field(default_factory=dict)
    _began: datetime | None = None
    _count: int = 0

    def take(self, device: str, readings: list[dict[str, Any]], *, at: datetime, now_ns: int) -> None:
        """Readings of one poll of one device."""
        for reading in readings:
            key = (device, str(reading["name"]))
            value = reading["value"]
            self.unit.readings[key] = ReadingNow(
                value=None if value is None else str(value),
                unit=str(reading["unit"]),
                quality=str(reading["quality"]),
                detail=str(reading.get("detail", "")),
                source_at=str(reading["source_time"]),
                received_at=at,
            )
            self._received_ns[key] = now_ns
            self._sample(key, self.unit.readings[key])

    def mark_stale(self, now_ns: int) -> None:
        """Last-good is never passed off as now (SAFETY 7)."""
        for key, received_ns in self._received_ns.items():
            reading = self.unit.readings[key]
            if reading.quality != "stale" and now_ns - received_ns > STALE_NS:
                self.unit.readings[key] = replace(reading, quality="stale")

    def forget(self, device: str) -> None:
        """A device restarted or is another one: nothing it said before holds."""
        for key in [key for key in self.unit.readings if key[0] == device]:
            self.unit.readings[key] = replace(self.unit.readings[key], quality="stale")

    def _sample(self, key: tuple[str, str], reading: ReadingNow) -> None:
        if self._began is None:
            self._began = reading.received_at
        samples = self._samples.setdefault(key, [])
        offset_ms = int((reading.received_at - self._began).total_seconds() * 1000)
        if self._count >= SAMPLES_MAX:
            return
        if samples and offset_ms - samples[-1][0] < SAMPLE_EVERY.total_seconds() * 1000:
            return
        self._units[key] = reading.unit
        samples.append([offset_ms, reading.value, reading.quality])
        self._count += 1

    def chunk(self, now: datetime, *, force: bool = False) -> dict[str, Any] | None:
        """The finished chunk as a telemetry body, or None while the minute is not over."""
        if self._began is None or (not force and now - self._began < CHUNK):
            return None
        body = {
            "from": self._began.isoformat(),
            "to": now.isoformat(),
            "channels": [
                {"device": device, "name": name, "unit": self._units[device, name], "samples": samples}
                for (device, name), samples in sorted(self._samples.items())
                if samples
            ],
        }
        self._samples, self._began, self._count = {}, None, 0
        return body
