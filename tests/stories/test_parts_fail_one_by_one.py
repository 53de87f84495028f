"""Engine frozen; hosts, vision worker, agent, central killed: the batch goes on and ends well."""

from __future__ import annotations

import pytest
from story_failing_parts import FailingParts
from story_ward import SAFE_WITHIN_S

pytestmark = pytest.mark.timeout(600)


def test_the_pump_stands_half_a_second_after_the_engine_is_frozen(failing_parts: FailingParts) -> None:
    blow = failing_parts.frozen
    assert blow is not None and blow.moved and not blow.moves_on
    assert blow.stood_after_s <= SAFE_WITHIN_S


def test_the_bath_stays_warm_while_the_engine_is_frozen(failing_parts: FailingParts) -> None:
    assert failing_parts.frozen is not None
    assert failing_parts.frozen.bath_after == failing_parts.frozen.bath_before


def test_a_thawed_engine_finds_its_phase_held(failing_parts: FailingParts) -> None:
    assert failing_parts.frozen is not None and failing_parts.frozen.states == {"dilute": "held"}


def test_the_pump_stands_by_its_own_watchdog_when_its_host_is_killed(failing_parts: FailingParts) -> None:
    blow = failing_parts.pump_host
    assert blow is not None and blow.moved and not blow.moves_on
    assert blow.stood_after_s <= failing_parts.watchdog_s + 0.5


def test_the_phase_is_held_when_the_pumps_host_is_killed(failing_parts: FailingParts) -> None:
    assert failing_parts.pump_host is not None and failing_parts.pump_host.states == {"dilute": "held"}


def test_the_pump_stands_when_the_balances_host_is_killed(failing_parts: FailingParts) -> None:
    blow = failing_parts.balance_host
    assert blow is not None and blow.moved and not blow.moves_on
    assert blow.stood_after_s <= SAFE_WITHIN_S


def test_the_phase_is_held_when_the_balances_host_is_killed(failing_parts: FailingParts) -> None:
    assert failing_parts.balance_host is not None and failing_parts.balance_host.states == {"fill": "held"}


def test_a_scan_whose_worker_dies_reads_nothing_and_says_so(failing_parts: FailingParts) -> None:
    died = [scan for scan in failing_parts.scans if "camera_restarting" in scan["reasons"]]
    assert len(died) == 1 and died[0]["texts"] == []


def test_the_materials_are_read_after_the_worker_died_in_a_scan(failing_parts: FailingParts) -> None:
    assert sorted(one["material"] for one in failing_parts.materials) == ["diluent", "dye", "wash_set"]


def test_a_count_whose_worker_dies_is_failed_on_record(failing_parts: FailingParts) -> None:
    assert len(failing_parts.failed_counts) == 1, failing_parts.failed_counts


def test_each_replicate_is_counted_once_after_the_worker_died_in_a_count(
    failing_parts: FailingParts,
) -> None:
    assert sorted(count["replicate"] for count in failing_parts.counts) == [0, 1, 2, 3]


def test_the_dose_is_filled_once_over_all_of_this(failing_parts: FailingParts) -> None:
    assert failing_parts.dose_g == pytest.approx(12 + 30, abs=2)


def test_the_batch_is_handed_over_after_all_of_this(failing_parts: FailingParts) -> None:
    assert failing_parts.last is not None and failing_parts.last.batch is not None
    assert failing_parts.last.batch.state == "handed_over"


@pytest.mark.requirement("R-13", "F-022")
def test_the_whole_record_comes_out_again_after_all_of_this(failing_parts: FailingParts) -> None:
    done = failing_parts.replayed
    assert done is not None and done.returncode == 0, done


def test_the_archive_is_whole_after_all_of_this(failing_parts: FailingParts) -> None:
    done = failing_parts.verified
    assert done is not None and done.returncode == 0, done
    assert "whole and unchanged" in done.stdout and "signed by trusted keys" in done.stdout
