"""The engine is killed at random moments: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from killed_engine import KilledEngine, rounds

pytestmark = [pytest.mark.requirement("R-02", "R-41", "F-015", "F-053"), pytest.mark.timeout(180)]

REAL_ROUNDS = 20
SIMULATED_ROUNDS = 200
SIMULATED = Path(__file__).with_name("simulated_kills.py")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> KilledEngine:
    return asyncio.run(rounds(tmp_path_factory.mktemp("killed") / "unit", 20261121, REAL_ROUNDS))


def test_the_engine_was_killed_twenty_times_while_it_was_asked(killed: KilledEngine) -> None:
    assert killed.rounds == REAL_ROUNDS
    assert len(killed.accepted) > 5 * REAL_ROUNDS
    assert killed.unanswered >= REAL_ROUNDS


def test_what_was_acknowledged_is_on_record_once_and_the_record_is_whole(killed: KilledEngine) -> None:
    assert killed.faults == []


def test_a_command_that_is_sent_again_to_the_next_engine_has_its_first_answer(killed: KilledEngine) -> None:
    assert killed.other_answers == []


def test_no_phase_runs_in_an_engine_that_has_just_started(killed: KilledEngine) -> None:
    assert killed.running_after_start == []


def test_two_hundred_killed_writers_lose_and_double_nothing() -> None:
    command = [sys.executable, str(SIMULATED), "20261121", str(SIMULATED_ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(done.stdout)
    assert tally["rounds"] == SIMULATED_ROUNDS
    assert tally["acknowledged"] > 2 * SIMULATED_ROUNDS
    assert tally["unreported_but_kept"] > 0  # some died between the commit and their word of it
