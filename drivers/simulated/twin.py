"""What every twin is: a device as seen from its line, with senses that can fail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from drivers.simulated.world import World

DRIFT_PER_S = 0.001  # of the value, in virtual time: a cell or a sensor that ages far too fast


class Senses:
    """What a device measures, perhaps stuck at one value, perhaps drifting away from the truth.

    Parameters
    ----------
    clock_s : callable
        Virtual seconds of the world.
    """

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._stuck: dict[str, float] | None = None
        self._drifts_since_s: float | None = None

    @property
    def stuck(self) -> bool:
        """Whether every value stands where it stood."""
        return self._stuck is not None

    @stuck.setter
    def stuck(self, stuck: bool) -> None:
        if stuck != self.stuck:
            self._stuck = {} if stuck else None

    @property
    def drifting(self) -> bool:
        """Whether every value runs away from the truth, by `DRIFT_PER_S` of itself."""
        return self._drifts_since_s is not None

    @drifting.setter
    def drifting(self, drifting: bool) -> None:
        if drifting != self.drifting:
            self._drifts_since_s = self._clock_s() if drifting else None

    def shown(self, name: str, look: Callable[[], float]) -> float:
        """Return what the device takes for the value of a quantity."""
        if self._stuck is not None:
            if name not in self._stuck:
                self._stuck[name] = self._drifted(look())
            return self._stuck[name]
        return self._drifted(look())

    def _drifted(self, value: float) -> float:
        if self._drifts_since_s is None:
            return value
        return value * (1 + DRIFT_PER_S * (self._clock_s() - self._drifts_since_s))


class Twin(ABC):
    """A device as seen from its line: bytes in, bytes out. All times handed in are real monotonic seconds.

    Parameters
    ----------
    world : World
        The one physical world that the twins of a bench share.
    settings : mapping, optional
        The settings of the type, as its driver gets them (`drivers.catalog`).
    """

    TYPE: ClassVar[str]
    BITS_PER_BYTE: ClassVar[int] = 10
    FIRMWARE: ClassVar[str] = ""
    TAKES_LONG_JOBS: ClassVar[bool] = False  # what is sent to it is long enough for the line's pace to matter

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        self.world = world
        self.settings: dict[str, Any] = dict(settings or {})
        self.firmware = self.FIRMWARE
        self.senses = Senses(lambda: world.virtual_s)

    @abstractmethod
    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes that arrived and return the replies."""

    def tick(self, now_s: float) -> list[bytes]:
        """Return what the device sends by itself."""
        return []

    @abstractmethod
    def restart(self, now_s: float) -> list[bytes]:
        """Lose the power for a moment; return what the device sends when it is back."""

    def brown_out(self, now_s: float) -> None:
        """Lose the power for so short a time that nothing is told: what is volatile is gone."""
        self.restart(now_s)
