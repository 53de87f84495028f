"""The engine is killed in every phase of one batch: nothing moves on, nothing is lost, it ends well."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from story_killed_engine import MOMENTS, PHASES, KilledEngine, told
from story_ward import SAFE_WITHIN_S, call

pytestmark = pytest.mark.timeout(600)


def test_all_fourteen_phases_of_the_recipe_were_struck(killed_engine: KilledEngine) -> None:
    assert killed_engine.last.batch is not None
    assert set(PHASES) == {phase.id for phase in killed_engine.last.batch.phases}
    assert len(killed_engine.blows) == len(MOMENTS)


@pytest.mark.parametrize("phase", PHASES)
def test_nothing_moves_half_a_second_after_the_engine_is_killed(
    killed_engine: KilledEngine, phase: str
) -> None:
    for blow in killed_engine.of(phase):
        assert not blow.moves_on, blow
        assert blow.stood_after_s <= SAFE_WITHIN_S, blow


def test_the_pump_was_moving_at_more_than_one_of_the_kills(killed_engine: KilledEngine) -> None:
    assert sum(blow.moved for blow in killed_engine.blows) >= 3, killed_engine.blows


@pytest.mark.parametrize("phase", PHASES)
def test_the_bath_keeps_its_set_point_when_the_engine_is_killed(
    killed_engine: KilledEngine, phase: str
) -> None:
    for blow in killed_engine.of(phase):
        assert blow.bath_after == blow.bath_before, blow


@pytest.mark.parametrize("phase", PHASES)
def test_the_phases_that_ran_are_held_until_a_person_restarts_them(
    killed_engine: KilledEngine, phase: str
) -> None:
    for blow in killed_engine.of(phase):
        assert blow.states and set(blow.states.values()) == {"held"}, blow


def test_every_event_that_a_client_was_told_is_in_the_record_as_it_was_told(
    killed_engine: KilledEngine,
) -> None:
    assert len(killed_engine.seen_events) > 100
    for event in killed_engine.seen_events:
        assert killed_engine.recorded[event.seq][1] == told(event)


def test_every_accepted_command_is_covered_by_the_record(killed_engine: KilledEngine) -> None:
    assert len(killed_engine.accepted) > 40
    assert max(answer.seq for answer in killed_engine.accepted) <= max(killed_engine.recorded)


def test_every_head_that_a_screen_was_shown_still_has_its_hash(killed_engine: KilledEngine) -> None:
    assert len(killed_engine.heads) > 100
    for seq, shown in killed_engine.heads:
        assert killed_engine.recorded[seq][0] == shown, seq


def test_the_numbers_of_the_record_have_no_gap(killed_engine: KilledEngine) -> None:
    assert list(killed_engine.recorded) == list(range(1, max(killed_engine.recorded) + 1))


def test_the_diluent_is_delivered_once_although_the_engine_died_twice_while_it_flowed(
    killed_engine: KilledEngine,
) -> None:
    assert killed_engine.diluted_g == pytest.approx(12 + 50 + 50, abs=2)  # bag, product, diluent


def test_the_dose_is_filled_once_although_the_engine_died_twice_while_it_flowed(
    killed_engine: KilledEngine,
) -> None:
    assert killed_engine.weights_g["dose"] == pytest.approx(12 + 30, abs=2)  # bag, dose


def test_the_patients_bag_gave_one_sample_and_one_dose(killed_engine: KilledEngine) -> None:
    assert killed_engine.weights_g["patient"] == pytest.approx(12 + 33 - 0.5 - 32, abs=2)


def test_a_signed_file_unlocks_the_hand_over_without_any_network(killed_engine: KilledEngine) -> None:
    assert killed_engine.delivered == 0


def test_the_battered_batch_is_handed_over(killed_engine: KilledEngine) -> None:
    assert killed_engine.last.batch is not None
    assert killed_engine.last.batch.state == "handed_over"


def test_our_verifier_finds_the_battered_archive_whole_and_trusted(killed_engine: KilledEngine) -> None:
    done = call("verify", str(killed_engine.archive), "--trust", str(killed_engine.trust))
    assert done.returncode == 0 and done.stdout.startswith("whole and unchanged"), done
    assert "signed by trusted keys" in done.stdout


def test_the_stand_alone_verifier_finds_the_battered_archive_whole(
    killed_engine: KilledEngine, tmp_path: Path
) -> None:
    with zipfile.ZipFile(killed_engine.archive) as archive:
        archive.extract("verify.py", tmp_path)
    # -I -S: nothing of this installation can be imported.
    command = [sys.executable, "-I", "-S", str(tmp_path / "verify.py"), str(killed_engine.archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "whole and unchanged" in done.stdout, done.stdout + done.stderr


@pytest.mark.requirement("R-13", "F-022")
def test_the_battered_batch_comes_out_again_from_its_archive(killed_engine: KilledEngine) -> None:
    done = call("replay", str(killed_engine.archive))
    assert done.returncode == 0, done


def test_a_restarted_engine_gives_its_first_snapshot_within_ten_seconds(killed_engine: KilledEngine) -> None:
    assert max(killed_engine.engine_starts_s) <= 10, killed_engine.engine_starts_s
