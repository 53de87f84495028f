"""A driver of somebody else: found beside ours, listed, simulated, conforming, true through faults."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fault_runs import as_tally, in_words, summed
from served_devices import CELLWRIGHT, START_S, wait_until

HERE = Path(__file__).parent
PACKAGE = HERE / "vendor_package"
DRIVER_LINES_MAX = 150


@dataclass(frozen=True, slots=True)
class Site:
    """An installation with the vendor's package in a folder of its own."""

    packages: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=100, check=False
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.packages)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Install it as a wheel would be: its package and its .dist-info with the entry point."""
    packages = tmp_path_factory.mktemp("site") / "packages"
    shutil.copytree(PACKAGE, packages, ignore=shutil.ignore_patterns("__pycache__"))
    return Site(packages)


@pytest.fixture
def port(site: Site, tmp_path: Path) -> Iterator[str]:
    link = tmp_path / "pump"
    twin = subprocess.Popen(
        [CELLWRIGHT, "device", "simulate", "acme-dp1", "--link", link], env=site.environment
    )
    wait_until(link.exists, START_S, "the vendor's twin did not start")
    yield str(link)
    twin.send_signal(signal.SIGTERM)
    assert twin.wait(10) == 0


@pytest.mark.requirement("F-025")
def test_a_vendors_driver_is_listed_beside_ours_and_is_short(site: Site) -> None:
    listed = [
        json.loads(line) for line in site.run(str(CELLWRIGHT), "device", "list", "--json").stdout.splitlines()
    ]

    assert {"mt-sics", "acme-dp1"} <= {line["type"] for line in listed}
    assert len((PACKAGE / "acme_pump" / "driver.py").read_text().splitlines()) <= DRIVER_LINES_MAX


@pytest.mark.requirement("F-025")
def test_a_vendors_driver_passes_the_conformance_suite(site: Site, port: str) -> None:
    said = site.run(str(CELLWRIGHT), "device", "conform", "acme-dp1", "--port", port, "--moves", "--json")

    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert said.returncode == 0, [line for line in lines if line.get("result") == "failed"]
    results = {line["check"]: line["result"] for line in lines[:-1]}
    assert (results["run_bounded"], results["stop_in_motion"]) == ("held", "held")
    assert (lines[-1]["type"], lines[-1]["failed"]) == ("acme-dp1", 0)


@pytest.mark.requirement("F-025")
def test_a_vendors_driver_keeps_to_the_truth_through_every_fault(site: Site) -> None:
    runs = site.run(
        sys.executable, str(HERE / "fault_runs.py"), "--types", "acme-dp1", "--verbs", "1", "--seeds", "1:10"
    )

    total = summed(as_tally(json.loads(line)["tally"]) for line in runs.stdout.splitlines())
    assert total.rounds > 20, runs.stderr
    assert total.findings == [], in_words(total, 0.0)


def test_a_wrong_setting_or_type_is_wrong_usage(site: Site, tmp_path: Path) -> None:
    command = (str(CELLWRIGHT), "device", "conform")

    assert site.run(*command, "acme-dp1", "--port", str(tmp_path), "--set", "colour=red").returncode == 2
    assert site.run(*command, "acme-dp2", "--port", str(tmp_path)).returncode == 2


def test_a_port_that_is_not_there_fails_the_suite_in_words(site: Site, tmp_path: Path) -> None:
    said = site.run(str(CELLWRIGHT), "device", "conform", "acme-dp1", "--port", str(tmp_path / "nothing"))

    assert said.returncode == 1
    assert "there is no port" in said.stdout
