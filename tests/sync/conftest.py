"""Fixtures: a running central, an enrolled unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from central_site import CentralProcess, Unit, enrol, make_central


@pytest.fixture(scope="session")
def shared_central(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CentralProcess]:
    """One central for tests that neither stop nor change it; each test brings its own unit."""
    running = make_central(tmp_path_factory.mktemp("central"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def central(tmp_path: Path) -> Iterator[CentralProcess]:
    """A central of one's own, started, to be killed at will."""
    running = make_central(tmp_path / "central")
    running.start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.kill()


@pytest.fixture
def unit(shared_central: CentralProcess, tmp_path: Path) -> Iterator[Unit]:
    """A unit enrolled at the shared central."""
    made = enrol(shared_central, tmp_path / "unit")
    yield made
    made.record.close()
