"""The suites can fail: a driver with a planted defect is found by the check that is meant for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from broken_drivers import Gullible, Twice
from device_truth import Witness
from fault_rounds import Round, play_round
from served_devices import served
from side_by_side import SideBySide

from drivers.catalog import device_type
from drivers.simulated.bench import lone_device

MEANT_FOR = (
    ("Slow", "reads_bounded"),
    ("InKilograms", "readings_words"),
    ("Doubtful", "readings_good"),
    ("Impersonator", "identity"),
    ("Hasty", "orders_confirmed"),
    ("Hasty", "nonsense_refused"),
    ("Crashing", "reads_bounded"),
    ("TwoAtOnce", "reads_bounded"),
    ("Shared", "second_opener"),
    ("Unstoppable", "stop_in_motion"),
    ("Generous", "run_bounded"),
)


@pytest.mark.parametrize(("driver", "check"), MEANT_FOR)
def test_a_planted_defect_fails_the_check_that_is_meant_for_it(
    side_by_side: SideBySide, driver: str, check: str
) -> None:
    finding = side_by_side.of_broken[driver].result()[check]

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
