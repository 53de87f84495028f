"""A driver and its twin joined in memory, on a clock that moves only when somebody waits.

For what needs very many replies: what is tried here in a second would take an hour at a real line.
The wire is an adapter like the native one; drivers and twins are the real ones.
"""

from __future__ import annotations

import sys
import time
import types
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from type_variants import type_and_settings

from drivers import line
from drivers.catalog import driver_for, twin_for
from drivers.roles import Driver
from drivers.simulated.world import SYRINGE_ML, World
from drivers.wire import LineSettings

LOOK_S = 2e-4  # each look at the clock takes a little, so that a loop that only looks comes to its end
PORT = "/dev/pts/in-memory"  # named as a twin's: no rests for a transceiver
Damage = Callable[[bytes], list[bytes]]


class VirtualTime(types.ModuleType):
    """Stands for the module `time` in the drivers."""

    def __init__(self) -> None:
        super().__init__("time")
        self.now_s = 1000.0

    def monotonic(self) -> float:
        self.now_s += LOOK_S
        return self.now_s

    def monotonic_ns(self) -> int:
        return int(self.monotonic() * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now_s += max(0.0, seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class MemoryWire:
    """One end of a line whose other end is a twin; `damage` turns each reply into what arrives of it."""

    def __init__(self, twin: Any, clock: VirtualTime, damage: Damage) -> None:
        self._twin, self._clock, self._damage = twin, clock, damage
        self._coming: deque[bytes] = deque()
        self.requests = 0

    def waiting(self) -> bytes:
        data = b"".join(self._coming)
        self._coming.clear()
        return data

    def read(self, wait_s: float) -> bytes:
        if not self._coming:
            self._take(self._twin.tick(self._clock.now_s))
        if not self._coming:
            self._clock.sleep(wait_s)
            return b""
        return self._coming.popleft()

    def write(self, data: bytes, wait_s: float) -> None:
        self.put(data)

    def put(self, data: bytes) -> None:
        """Let bytes arrive at the twin."""
        self.requests += 1
        self._clock.sleep(0.001)
        self._take(self._twin.receive(data, self._clock.now_s))

    def write_some(self, data: bytes, wait_s: float) -> int:
        self.write(data, wait_s)
        return len(data)

    def close(self) -> None:
        self._coming.clear()

    def _take(self, replies: list[bytes]) -> None:
        for reply in replies:
            self._coming.extend(self._damage(reply))


@contextmanager
def on_virtual_time() -> Iterator[VirtualTime]:
    """Give every module of the drivers the virtual clock in place of `time`."""
    clock = VirtualTime()
    held = [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("drivers") and getattr(module, "time", None) is time
    ]
    for module in held:
        module.time = clock  # type: ignore[attr-defined]
    opener = line.open_wire
    try:
        yield clock
    finally:
        line.open_wire = opener
        for module in held:
            module.time = time  # type: ignore[attr-defined]


def joined(label: str, clock: VirtualTime, damage: Damage, *, seed: int = 0) -> tuple[Driver, Any]:
    """Return a driver whose line leads to a twin in memory, and the twin; inside of `on_virtual_time`."""
    type_name, settings = type_and_settings(label)
    world = World(seed=seed, now=lambda: clock.now_s)
    world.load_syringe(SYRINGE_ML)
    world.put("dose", "balance")
    world.put("patient", "bath")
    twin = twin_for(type_name, settings)(world)

    def opened(_port: str, _settings: LineSettings) -> MemoryWire:
        return MemoryWire(twin, clock, damage)

    line.open_wire = opened  # type: ignore[assignment]
    return driver_for(type_name, settings)(PORT), twin
