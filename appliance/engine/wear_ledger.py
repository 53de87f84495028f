"""What hosts tell of memories that wear out, gathered so that a few counts a day go on record.

A count goes on record when it is the first of this run, when the last one is some hours old, when
much has come together, when it reaches a notice, and at the end of the run. What a killed engine or
host had not told yet is lost: at most what came since the last count.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

from appliance.domain import fitness
from appliance.engine.port import EnginePort

RECORDED_EVERY_NS = 6 * 3_600 * 1_000_000_000
MUCH = 1_000  # a thousandth of what the memory may take is recorded at once

Key = tuple[str, str]


@dataclass(slots=True)
class _Owed:
    """Writes of one memory that are not on record yet."""

    told: int = 0  # by the host that runs, since it began
    writes: int = 0
    limit: int = 0
    recorded_ns: int = field(default=-RECORDED_EVERY_NS)


class WearLedger:
    """Adds up what the hosts tell, and puts it on record in turns of its own."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._owed: dict[Key, _Owed] = {}

    def host_started(self, device: str) -> None:
        """A new host counts from nothing again."""
        for key, owed in self._owed.items():
            if key[0] == device:
                owed.told = 0

    def take(self, device: str, wear: list[dict[str, Any]]) -> None:
        """What a host has counted since it began."""
        for one in wear:
            owed = self._owed.setdefault((device, str(one["name"])), _Owed())
            writes, owed.limit = int(one["writes"]), int(one["limit"])
            owed.writes += max(0, writes - owed.told)
            owed.told = writes

    async def tick(self, *, at_the_end: bool = False) -> None:
        """Put on record what is due; at the end of the run everything."""
        engine = self._engine
        now_ns = engine.clock.monotonic_ns()
        for (device, memory), owed in self._owed.items():
            if not owed.writes or not (at_the_end or self._due((device, memory), owed, now_ns)):
                continue
            writes, owed.writes, owed.recorded_ns = owed.writes, 0, now_ns
            counted = (engine.unit, device, memory, writes, owed.limit)
            await engine.turn(functools.partial(fitness.wear_counted, *counted))

    def _due(self, key: Key, owed: _Owed, now_ns: int) -> bool:
        before = self._engine.unit.wear.get(key, 0)
        return (
            now_ns - owed.recorded_ns >= RECORDED_EVERY_NS
            or owed.writes * MUCH >= owed.limit
            or fitness.wear_level(before + owed.writes, owed.limit) != fitness.wear_level(before, owed.limit)
        )
