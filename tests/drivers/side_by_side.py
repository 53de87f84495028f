"""Suites that mostly wait, begun together: conformance of types and of broken drivers, killed hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dead_host import Row, rows
from served_devices import served

from drivers.catalog import device_type, device_types, driver_for
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
    types = [entry.name for entry in device_types()]
    with ThreadPoolExecutor(max_workers=len(types) + len(broken) + 1) as pool:
        yield SideBySide(
            of_types={name: pool.submit(conformed, name, folder / name) for name in types},
            of_broken={
                name: pool.submit(conformed, driver.TYPE, folder / name, driver)
                for name, driver in broken.items()
            },
            dead_hosts=pool.submit(rows, folder),
        )


def conformed(type_name: str, link: Path, made: Made | None = None) -> Findings:
    """Make all checks at a line that is as slow as the real one; a broken driver gets a quick one."""
    baud = 0 if made else driver_for(type_name)("nowhere").line.settings.baud_rate
    twin = lone_device(type_name, link.with_name(f"{link.name}-line"), seed=3, pace_baud=baud)
    with served(twin):
        subject = Subject(device_type(type_name), str(twin.link), moves=True, made=made, reads=READS)
        return {finding.check: finding for finding in conform(subject)}
