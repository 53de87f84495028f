"""Readings that confirm each other, on lines that carry no checksum.

One reading alone is `uncertain`. Two in a row that lie within the role's limit confirm each other, when
they also fit what was good just before. Where they do not (a jump, or nothing known yet) four in a row
must agree: a byte lost twice at the same place is not rare enough on a bad cable, four times is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from drivers.faults import DeviceFault, DeviceGarbled, DeviceSilent

T = TypeVar("T", bound=Hashable)

ASKS_MAX = 9
IN_A_ROW = 2
IN_A_ROW_AFTER_A_JUMP = 4
REMEMBERED_S = 3.0
# The limit for a change since the last good reading grows no further than for this long.
CHANGE_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Confirmed(Generic[T]):
    """The newest value that came, and whether others confirmed it."""

    value: T
    confirmed: bool


class Confirmation(Generic[T]):
    """Asks for one quantity until its answers agree, and remembers the last good one.

    Parameters
    ----------
    ask : callable
        Asks the device once.
    agree : callable
        Whether two values taken so many seconds apart confirm each other.
    """

    def __init__(self, ask: Callable[[], T], agree: Callable[[T, T, float], bool]) -> None:
        self._ask, self._agree = ask, agree
        self._good: tuple[T, float] | None = None

    def forget(self) -> None:
        """Forget the last good value: the device is another, or was told something else."""
        self._good = None

    def read(self, deadline: float) -> Confirmed[T]:
        """Ask until enough answers in a row agree, at most until `deadline` (monotonic seconds).

        Raises
        ------
        DeviceSilent, DeviceGarbled
            Not one usable answer came.
        """
        row = 0
        newest: tuple[T, float] | None = None
        fault: DeviceFault | None = None
        for _ in range(ASKS_MAX):
            if time.monotonic() >= deadline and (newest or fault):
                break
            try:
                value = self._ask()
            except (DeviceSilent, DeviceGarbled) as error:
                row, fault = 0, error
                continue
            now = time.monotonic()
            agrees = row > 0 and newest is not None and self._agree(newest[0], value, now - newest[1])
            row, newest = (row + 1 if agrees else 1), (value, now)
            if row >= IN_A_ROW and (row >= IN_A_ROW_AFTER_A_JUMP or self._fits(value, now)):
                self._good = newest
                return Confirmed(value, True)
        if newest is not None:
            return Confirmed(newest[0], False)
        assert fault is not None, "at least one ask"
        raise fault

    def _fits(self, value: T, now: float) -> bool:
        if self._good is None or now - self._good[1] > REMEMBERED_S:
            return False
        return self._agree(self._good[0], value, min(now - self._good[1], CHANGE_S_MAX))


def same(first: Hashable, second: Hashable, apart_s: float) -> bool:
    """Agree on answers that must be equal."""
    return first == second
