"""Live readings: what the hosts reported, marked stale in time, and handed on to the telemetry log.

Readings are not events: what decides something becomes one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from appliance.domain.batch import ReadingNow, Unit
from appliance.engine.samples import Samples

STALE_NS = 2_000_000_000


@dataclass(slots=True)
class Readings:
    """Keeps `unit.readings` true, and hands each one to the samples of the telemetry log."""

    unit: Unit
    samples: Samples = field(default_factory=Samples)
    _received_ns: dict[tuple[str, str], int] = field(default_factory=dict)

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
                trace=str(reading.get("trace", "")),
            )
            self._received_ns[key] = now_ns
            now = self.unit.readings[key]
            self.samples.take((device, key[1], now.unit), now.value, now.quality, at)

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
