"""Two readings that confirm each other, on lines that carry no checksum.

One reading alone is `uncertain`. A reading becomes good when the one taken just before it lies within
the role's limit; a damaged reply between the two breaks the pair.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, TypeVar

from drivers.faults import DeviceFault, DeviceGarbled, DeviceSilent
from drivers.roles import Agreement

T = TypeVar("T", bound=Hashable)

ASKS_MAX = 6


@dataclass(frozen=True, slots=True)
class Confirmed(Generic[T]):
    """The newest value that came, and whether a second one confirmed it."""

    value: T
    confirmed: bool


def confirmed_by_second(
    ask: Callable[[], T], agree: Callable[[T, T, float], bool], *, deadline: float
) -> Confirmed[T]:
    """Ask until two answers in a row agree, at most until `deadline` (monotonic seconds).

    Raises
    ------
    DeviceSilent, DeviceGarbled
        Not one usable answer came.
    """
    before: tuple[T, float] | None = None
    newest: T | None = None
    fault: DeviceFault | None = None
    for _ in range(ASKS_MAX):
        if time.monotonic() >= deadline:
            break
        try:
            value = ask()
        except (DeviceSilent, DeviceGarbled) as error:
            before, fault = None, error
            continue
        now = time.monotonic()
        if before is not None and agree(before[0], value, now - before[1]):
            return Confirmed(value, True)
        before, newest = (value, now), value
    if newest is not None:
        return Confirmed(newest, False)
    assert fault is not None, "the deadline lies in the future when asking begins"
    raise fault


def same(first: Hashable, second: Hashable, apart_s: float) -> bool:
    """Agree on answers that must be equal."""
    return first == second


def within(agreement: Agreement | None) -> Callable[[Decimal, Decimal, float], bool]:
    """Agree on numbers that the role's limit holds together."""
    assert agreement is not None, "this quantity has no agreement limit"
    return agreement.holds
