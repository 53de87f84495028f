"""Central is away for the whole run: the batch waits, sealed; later it is decided and handed over."""

from __future__ import annotations

import json

import pytest
from story_central_away import CentralAway

pytestmark = pytest.mark.timeout(600)


def test_a_batch_without_central_ends_awaiting_its_disposition(central_away: CentralAway) -> None:
    assert central_away.waiting.batch is not None
    assert central_away.waiting.batch.state == "awaiting_disposition"


def test_central_had_acknowledged_nothing_by_then(central_away: CentralAway) -> None:
    assert central_away.waiting.sync.acknowledged_seq == 0


def test_the_hand_over_is_locked_while_the_batch_waits(central_away: CentralAway) -> None:
    assert central_away.hand_over_while_waiting == "idle"


def test_once_central_is_there_the_batch_is_decided_and_handed_over(central_away: CentralAway) -> None:
    assert central_away.last.batch is not None
    assert (central_away.last.batch.state, central_away.dispositions) == ("handed_over", 1)


@pytest.mark.parametrize("target", ["record", "batch", "archive"])
def test_verify_takes_a_record_folder_a_batch_id_and_an_archive(
    central_away: CentralAway, target: str
) -> None:
    done = central_away.verified[target]
    assert done.returncode == 0 and "whole and unchanged" in done.stdout, done


def test_doctor_finds_a_running_unit_fit(central_away: CentralAway) -> None:
    assert central_away.doctor.returncode == 0, central_away.doctor.stdout


def test_doctor_exits_1_when_the_units_key_is_open_to_others(central_away: CentralAway) -> None:
    done = central_away.doctor_with_open_key
    wrong = [one for one in map(json.loads, done.stdout.splitlines()) if one["state"] == "wrong"]
    assert done.returncode == 1 and [one["about"] for one in wrong] == ["unit key"], wrong
    assert wrong[0]["do"]
