"""Readings that confirm each other, on lines that carry no checksum.

One reading alone is `uncertain`. Two in a row that lie within the role's limit confirm each other, when
they also fit what was good just before. Where they do not (a jump, or nothing known yet) four in a row
must agree: a byte lost twice at the same place is not rare enough on a bad cable, four times is.

A device that answers slowly leaves no time for all of them in one read. Then the answers of the read
before count too, where they agree as closely as two that follow at once.
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
# The limit for a value and the one of the read before it: no more than for two that follow at once.
CARRIED_S_MAX = 0.05


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
        self._before: tuple[T, float, int] | None = None  # value, time and row at the end of the last read

    def forget(self) -> None:
        """Forget the last good value: the device is another, or was told something else."""
        self._good = self._before = None

    def read(self, deadline: float) -> Confirmed[T]:
        """Ask until enough answers in a row agree, at most until `deadline` (monotonic seconds).

        It asks once at least, and not again when that would probably end behind the deadline.

        Raises
        ------
        DeviceSilent, DeviceGarbled
            Not one usable answer came.
        """
        before, self._before = self._before, None
        row = carried = 0
        newest: tuple[T, float] | None = None
        fault: DeviceFault | None = None
        took_s = 0.0
        for _ in range(ASKS_MAX):
            began = time.monotonic()
            if (newest or fault) and began + took_s > deadline:
                break
            try:
                value = self._ask()
            except (DeviceSilent, DeviceGarbled) as error:
                row, carried, before, fault, took_s = 0, 0, None, error, time.monotonic() - began
                continue
            now = time.monotonic()
            took_s = now - began
            if row and newest is not None and self._agree(newest[0], value, now - newest[1]):
                row += 1
            else:
                row, carried, before = 1, self._carried(before, value, now), None
            newest = (value, now)
            if self._enough(row, value, now):
                break
        if newest is None:
            assert fault is not None, "at least one ask"
            raise fault
        return self._concluded(newest, row, carried)

    def _concluded(self, newest: tuple[T, float], row: int, carried: int) -> Confirmed[T]:
        value, came_s = newest
        confirmed = self._enough(row + carried, value, came_s)
        if confirmed:
            self._good = newest
        if row:
            self._before = (value, came_s, row + carried)
        return Confirmed(value, confirmed)

    def _enough(self, row: int, value: T, now: float) -> bool:
        return row >= IN_A_ROW and (row >= IN_A_ROW_AFTER_A_JUMP or self._fits(value, now))

    def _carried(self, before: tuple[T, float, int] | None, value: T, now: float) -> int:
        """Return how many answers of the last read this one continues."""
        if before is None or now - before[1] > REMEMBERED_S:
            return 0
        agrees = self._agree(before[0], value, min(now - before[1], CARRIED_S_MAX))
        return before[2] if agrees else 0

    def _fits(self, value: T, now: float) -> bool:
        if self._good is None or now - self._good[1] > REMEMBERED_S:
            return False
        return self._agree(self._good[0], value, min(now - self._good[1], CHANGE_S_MAX))


def same(first: Hashable, second: Hashable, apart_s: float) -> bool:
    """Agree on answers that must be equal."""
    return first == second
