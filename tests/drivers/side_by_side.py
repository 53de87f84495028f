"""Suites that mostly wait, begun together: conformance of types and of broken drivers, killed hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dead_host import Row, rows
from served_devices import served
from type_variants import LABELS, type_and_settings

from drivers.catalog import device_type, driver_for
from drivers.conformance.subject import Finding, Subject
from drivers.conformance.suite import conform
from drivers.roles import Driver
from drivers.simulated.bench import lone_device

READS = 15  # for each type, at the pace of its line; a vendor's run makes more
Made = Callable[[str], Driver]
Findings = dict[str, Finding]


@dataclass(frozen=True, slots=True)
class SideBySide:
    """What is under way."""

    of_types: dict[str, Future[Findings]]
    of_broken: dict[str, Future[Findings]]
    dead_hosts: Future[list[Row]]


@contextmanager
def begun(folder: Path, broken: dict[str, type[Driver]]) -> Iterator[SideBySide]:
    """Begin all of them."""
    with ThreadPoolExecutor(max_workers=len(LABELS) + len(broken) + 1) as pool:
        yield SideBySide(
            of_types={name: pool.submit(conformed, name, folder / name) for name in LABELS},
            of_broken={
                name: pool.submit(conformed, driver.TYPE, folder / name, driver)
                for name, driver in broken.items()
            },
            dead_hosts=pool.submit(rows, folder),
        )


def conformed(label: str, link: Path, made: Made | None = None) -> Findings:
    """Make all checks at a line that is as slow as the real one; a broken driver gets a quick one."""
    name, settings = type_and_settings(label)
    baud = 0 if made else driver_for(name, settings)("nowhere").line.settings.baud_rate
    line = link.with_name(f"{link.name}-line")
    twin = lone_device(name, line, seed=3, pace_baud=baud, settings=settings)
    with served(twin):
        entry, port = device_type(name), str(twin.link)
        subject = Subject(entry, port, settings, moves=True, made=made, reads=READS)
        return {finding.check: finding for finding in conform(subject)}
