"""The suites can fail: a driver with a planted defect is found by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from broken_drivers import (
    Crashing,
    Doubtful,
    Generous,
    Gullible,
    Hasty,
    Impersonator,
    InKilograms,
    Shared,
    Slow,
    Twice,
    TwoAtOnce,
    Unstoppable,
)
from device_truth import Witness
from fault_rounds import Round, play_round
from served_devices import served

from drivers.catalog import device_type
from drivers.conformance.subject import Finding, Subject
from drivers.conformance.suite import conform
from drivers.roles import Driver
from drivers.simulated.bench import lone_device

Broken = Callable[[str], Driver]
MEANT_FOR: tuple[tuple[Broken, str], ...] = (
    (Slow, "reads_bounded"),
    (InKilograms, "readings_words"),
    (Doubtful, "readings_good"),
    (Impersonator, "identity"),
    (Hasty, "orders_confirmed"),
    (Hasty, "nonsense_refused"),
    (Crashing, "reads_bounded"),
    (TwoAtOnce, "reads_bounded"),
    (Shared, "second_opener"),
    (Unstoppable, "stop_in_motion"),
    (Generous, "run_bounded"),
)
DRIVERS = tuple(dict.fromkeys(driver for driver, _ in MEANT_FOR))


def conformed(driver: Broken, folder: Path) -> dict[str, Finding]:
    type_name = str(vars(driver).get("TYPE", getattr(driver, "TYPE", "")))
    twin = lone_device(type_name, folder / getattr(driver, "__name__", "driver"), seed=3)
    with served(twin):
        subject = Subject(device_type(type_name), str(twin.link), moves=True, made=driver)
        return {finding.check: finding for finding in conform(subject)}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Broken, Future[dict[str, Finding]]]]:
    folder = tmp_path_factory.mktemp("broken")
    with ThreadPoolExecutor(max_workers=len(DRIVERS)) as pool:
        yield {driver: pool.submit(conformed, driver, folder) for driver in DRIVERS}


@pytest.mark.parametrize(("driver", "check"), MEANT_FOR)
def test_a_planted_defect_fails_the_check_that_is_meant_for_it(
    findings: dict[Broken, Future[dict[str, Finding]]], driver: Broken, check: str
) -> None:
    finding = findings[driver].result()[check]

    assert finding.result == "failed", finding.evidence


def test_a_driver_that_believes_the_first_answer_is_found_by_a_line_that_lies(tmp_path: Path) -> None:
    twin = lone_device("mt-sics", tmp_path / "balance", rates={"flip": 0.4}, seed=5)
    witness = Witness(twin)
    played = Round(device_type("mt-sics"), witness, 5, exempt=False, made=Gullible)

    with served(twin):
        for _ in range(300):
            if not played.tally.findings:
                played.read()
        played.close()

    assert any("was never true" in finding for finding in played.tally.findings), played.tally


def test_a_pump_that_is_ordered_twice_is_found(tmp_path: Path) -> None:
    tally = play_round("new-era-ne1000", {"split": 0.1}, 2, tmp_path, 12, made=Twice)

    assert any("mL were ordered" in finding or "mL moved" in finding for finding in tally.findings), tally
