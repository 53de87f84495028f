"""The conformance suite: every type of the catalogue passes it, and a driver that breaks a rule does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from served_devices import served

from drivers.catalog import device_types
from drivers.conformance.subject import Finding, Subject
from drivers.conformance.suite import CHECKS, conform
from drivers.simulated.bench import lone_device

TYPES = [entry.name for entry in device_types()]
Findings = dict[str, "Future[list[Finding]]"]


def conformed(type_name: str, folder: Path) -> list[Finding]:
    entry = next(one for one in device_types() if one.name == type_name)
    twin = lone_device(type_name, folder / type_name, seed=3)
    with served(twin):
        return list(conform(Subject(entry, str(twin.link), moves=True)))


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Findings]:
    folder = tmp_path_factory.mktemp("conform")
    with ThreadPoolExecutor(max_workers=4) as pool:
        yield {name: pool.submit(conformed, name, folder) for name in TYPES}


@pytest.mark.requirement("F-025")
@pytest.mark.parametrize("type_name", TYPES)
def test_every_type_of_the_catalogue_conforms(findings: Findings, type_name: str) -> None:
    made = findings[type_name].result()

    assert [one.check for one in made] == [check.name for check in CHECKS]
    assert [f"{one.check}: {one.evidence}" for one in made if one.result == "failed"] == []
    held = {one.check for one in made if one.result == "held"}
    assert {"opens", "identity", "readings_good", "reads_bounded", "old_answers", "nonsense_refused"} <= held


@pytest.mark.parametrize(
    "type_name", [one.name for one in device_types() if any(t.moves for t in one.trials)]
)
def test_what_moves_is_seen_to_end_and_to_stop(findings: Findings, type_name: str) -> None:
    results = {one.check: one.result for one in findings[type_name].result()}

    assert (results["run_bounded"], results["stop_in_motion"]) == ("held", "held")
