"""Fixtures of the driver stories: a bench in this process, one of its own, and the command."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from broken_drivers import BROKEN
from served_devices import CELLWRIGHT, BenchProcess, served
from side_by_side import SideBySide, begun

from drivers.simulated.bench import Bench, make_bench


@pytest.fixture(scope="session")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SideBySide]:
    """The suites that mostly wait, begun by whoever asks first."""
    with begun(tmp_path_factory.mktemp("suites"), BROKEN) as under_way:
        yield under_way


@pytest.fixture
def bench_process(tmp_path: Path) -> Iterator[BenchProcess]:
    bench = BenchProcess(tmp_path)
    yield bench
    bench.end()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench in this process, in real time."""
    made = make_bench(tmp_path, seed=1)
    with served(*made.devices.values()):
        yield made


@pytest.fixture
def cellwright() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command and return what it said."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [str(CELLWRIGHT), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run
