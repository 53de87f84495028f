"""The device under test: its driver, what the catalogue says of it, and what went over its line."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from drivers.catalog import DeviceType, driver_for
from drivers.faults import DeviceFault
from drivers.line import TraceEntry
from drivers.reading import Reading
from drivers.roles import ROLES, Driver, Role

Result = Literal["held", "failed", "skipped"]
MOVING = ("infusing", "withdrawing", "running", "braking", "sampling", "printing")
READS = 50
READS_UNTIL_GOOD = 8
APART_S = 0.05


class Broken(Exception):
    """The device or its driver does not hold to what the check asks; the words say what was seen."""


class NotTried(Exception):
    """The check cannot be made here; the words say why, and how it could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check came to."""

    check: str
    words: str
    result: Result
    evidence: str


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what must hold, and how that is found out.

    `run` returns the evidence, raises `Broken` where it does not hold, `NotTried` where it cannot be tried.
    """

    name: str
    words: str
    run: Callable[[Subject], str]


class Subject:
    """One device at one port.

    Parameters
    ----------
    entry : DeviceType
        Its line of the catalogue.
    port : str
        Where it is.
    settings : mapping
        The settings of its type.
    moves : bool
        Whether it may move, heat and stop: the operator says so with `--moves`.
    made : callable, optional
        Makes the driver from the port, in place of the catalogue's: for one that is still in the making.
    reads : int
        How often it is read where many reads are asked for.
    """

    def __init__(
        self,
        entry: DeviceType,
        port: str,
        settings: Mapping[str, str] | None = None,
        *,
        moves: bool = False,
        made: Callable[[str], Driver] | None = None,
        reads: int = READS,
    ) -> None:
        self.entry, self.port, self.moves, self.reads = entry, port, moves, reads
        self.trials = entry.trials_with(settings or {})
        self.role: Role = ROLES[entry.role]
        self._made = made or driver_for(entry.name, settings)
        self.driver = self.fresh()
        self.questions: set[bytes] = set()  # what was sent while nothing was ordered

    def fresh(self) -> Driver:
        """Return another driver for the same port, not opened yet."""
        return self._made(self.port)

    def trace_since(self, began_ns: int) -> list[TraceEntry]:
        """Return what went over the line since that moment."""
        return [entry for entry in self.driver.line.trace if entry.monotonic_ns >= began_ns]

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Take note of what is sent meanwhile as questions, which change nothing."""
        began_ns = time.monotonic_ns()
        yield
        self.questions |= {one.data for one in self.trace_since(began_ns) if one.direction == "out"}

    def read(self) -> dict[str, Reading]:
        """Read once; what is sent for it counts as harmless."""
        with self.asking():
            return {reading.name: reading for reading in self.driver.read()}

    def good(self) -> dict[str, Reading]:
        """Read until every reading is good.

        Raises
        ------
        Broken
            They do not become good.
        """
        last: dict[str, Reading] = {}
        for _ in range(READS_UNTIL_GOOD):
            last = self.read()
            if last and all(reading.quality == "good" for reading in last.values()):
                return last
            time.sleep(APART_S)
        raise Broken(f"after {READS_UNTIL_GOOD} reads: {shown(last)}")

    def sent_besides_questions(self, began_ns: int) -> list[bytes]:
        """Return what was sent since that moment that no reading ever sends."""
        sent = [one.data for one in self.trace_since(began_ns) if one.direction == "out"]
        return [data for data in sent if data not in self.questions]


def refused_by(act: Callable[[], object]) -> DeviceFault | None:
    """Return the fault that an act ends in, None where it ends well."""
    try:
        act()
    except DeviceFault as fault:
        return fault
    return None


def moving(readings: Mapping[str, Reading]) -> bool:
    """Tell whether a device moves, by its own word; an open valve lets product through."""
    state, coils = readings.get("state"), readings.get("coils")
    return (state is not None and state.value in MOVING) or (coils is not None and "1" in str(coils.value))


def shown(readings: Mapping[str, Reading]) -> str:
    """Return readings as words."""
    return ", ".join(
        f"{one.name} {one.value}{' ' if one.unit else ''}{one.unit} {one.quality}"
        + (f" ({one.detail})" if one.quality != "good" and one.detail else "")
        for one in readings.values()
    )


def agree(role: Role, name: str, first: object, second: object, apart_s: float) -> bool:
    """Tell whether two values of one quantity may be the same thing, so many seconds apart."""
    if not isinstance(first, Decimal) or not isinstance(second, Decimal):
        return first == second
    agreement = role.quantity(name).agreement
    return agreement is None or agreement.holds(first, second, apart_s)


def milliseconds(seconds: float) -> str:
    """Return a time as words."""
    return f"{seconds * 1000:.0f} ms"
