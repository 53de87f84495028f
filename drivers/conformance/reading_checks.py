"""Checks of what is asked: identity, readings, their times and units, one request at a time, wear."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from drivers.conformance.subject import Broken, Check, NotTried, Subject, milliseconds, shown
from drivers.line import TraceEntry
from drivers.reading import Reading

READ_S = 1.0
UNANSWERED_S = 0.08  # two requests closer than this, with nothing heard between them, are in flight together


def identity(subject: Subject) -> str:
    """The device says who it is, the same each time."""
    with subject.asking():
        first, second = subject.driver.identify(), subject.driver.identify()
    if first != second:
        raise Broken(f"said {first}, then {second}")
    if not first.model:
        raise Broken("told no model: nothing could be told apart from another device")
    return (
        f"{first.maker} {first.model}, serial {first.serial_number or '-'}, firmware {first.firmware or '-'}"
    )


def becomes_good(subject: Subject) -> str:
    """A healthy device answers with good readings."""
    return shown(subject.good())


def in_the_words_of_its_role(subject: Subject) -> str:
    """Names, units and words are those that the role lists."""
    if subject.entry.role != subject.driver.ROLE or subject.entry.name != subject.driver.TYPE:
        raise Broken(f"the driver calls itself {subject.driver.TYPE}, a {subject.driver.ROLE}")
    known = {quantity.name: quantity for quantity in subject.role.readings}
    given = subject.driver.read()
    if len({reading.name for reading in given}) != len(given):
        raise Broken("one quantity comes twice in one set of readings")
    for reading in given:
        quantity = known.get(reading.name)
        if quantity is None:
            raise Broken(f"{reading.name} is no reading of a {subject.role.name}")
        if reading.unit != quantity.unit:
            raise Broken(f"{reading.name} came in {reading.unit!r}, the role says {quantity.unit!r}")
        if quantity.words and reading.value is not None and reading.value not in quantity.words:
            raise Broken(f"{reading.name} is {reading.value!r}, the role knows {', '.join(quantity.words)}")
        if (quantity.unit != "") != isinstance(reading.value, Decimal) and reading.value is not None:
            raise Broken(f"{reading.name} came as {type(reading.value).__name__}: {reading.value!r}")
    return ", ".join(f"{one.name}{' in ' if one.unit else ''}{one.unit}" for one in given)


def timed(subject: Subject) -> str:
    """Each reading carries the moment it was made: aware, UTC, within the call."""
    began, began_ns = datetime.now(UTC), time.monotonic_ns()
    readings = subject.driver.read()
    ended, ended_ns = datetime.now(UTC), time.monotonic_ns()
    for reading in readings:
        if reading.source_time.utcoffset() != timedelta(0):
            raise Broken(f"{reading.name} has a source time that is not UTC: {reading.source_time}")
        if not began <= reading.source_time <= ended:
            raise Broken(
                f"{reading.name} was made at {reading.source_time}, outside of the call that read it"
            )
        if not began_ns <= reading.received_ns <= ended_ns:
            raise Broken(f"{reading.name} has a receive time outside of the call that read it")
    return f"{len(readings)} readings within {milliseconds((ended_ns - began_ns) / 1e9)}"


def bounded(subject: Subject) -> str:
    """Each of many reads ends within a second, with one request on the line at a time."""
    times: list[float] = []
    trips: list[float] = []
    worn, names = subject.driver.wear(), {reading.name for reading in subject.driver.read()}
    for _ in range(subject.reads):
        began_ns = time.monotonic_ns()
        readings = subject.read()
        times.append((time.monotonic_ns() - began_ns) / 1e9)
        trips += round_trips(subject.trace_since(began_ns))
        _same_set(names, readings)
    if max(times) > READ_S:
        raise Broken(f"a read took {milliseconds(max(times))}, at most {milliseconds(READ_S)} are allowed")
    if subject.driver.wear() != worn:
        raise Broken(f"reading wrote to a memory that wears out: {subject.driver.wear()}")
    median, worst = milliseconds(quantile(times, 0.5)), milliseconds(max(times))
    return (
        f"{subject.reads} reads: median {median}, worst {worst}; "
        f"{len(trips)} exchanges, round trip p50 {quantile(trips, 0.5) * 1000:.1f} ms, "
        f"p99 {quantile(trips, 0.99) * 1000:.1f} ms"
    )


def _same_set(names: set[str], readings: dict[str, Reading]) -> None:
    if set(readings) != names:
        raise Broken(f"the set of readings changed from {sorted(names)} to {sorted(readings)}")


def round_trips(trace: list[TraceEntry]) -> list[float]:
    """Return the time from each request to the first byte of its answer, in seconds.

    Raises
    ------
    Broken
        Two requests were on the line at once.
    """
    trips: list[float] = []
    asked: TraceEntry | None = None
    for entry in trace:
        if entry.direction == "in":
            if asked is not None:
                trips.append((entry.monotonic_ns - asked.monotonic_ns) / 1e9)
            asked = None
            continue
        if asked is not None and entry.monotonic_ns - asked.monotonic_ns < UNANSWERED_S * 1e9:
            raise Broken(f"{entry.data!r} was sent before {asked.data!r} was answered or given up")
        asked = entry
    return trips


def wear(subject: Subject) -> str:
    """Memories that wear out are named, with their limits."""
    counts = subject.driver.wear()
    if not counts:
        raise NotTried("this type names no memory that wears out")
    for one in counts:
        if not one.name or one.limit <= 0 or one.writes < 0:
            raise Broken(f"counts nothing that can be judged: {one}")
    return ", ".join(f"{one.name} {one.writes} of {one.limit}" for one in counts)


def quantile(values: list[float], share: float) -> float:
    """Return the value that so large a share of all lies at or below."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


CHECKS = (
    Check("identity", "says who it is, the same each time", identity),
    Check("readings_good", "every reading becomes good on a healthy device", becomes_good),
    Check("readings_words", "names, units and words are those of the role", in_the_words_of_its_role),
    Check("readings_timed", "each reading has its moment, aware and in UTC", timed),
    Check(
        "reads_bounded",
        f"many reads of at most {READ_S:.0f} s, one request in flight, no wear by reading",
        bounded,
    ),
    Check("wear_named", "memories that wear out are counted against a limit", wear),
)
