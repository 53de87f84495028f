"""STOP works for anyone, at once, and holds until a signed-in person ends it."""

from __future__ import annotations

import pytest
from story_stop import STOPS, Stops
from story_ward import SAFE_WITHIN_S

from appliance.demo.site import OPERATOR
from appliance.link.messages import Accepted, Refused

pytestmark = pytest.mark.timeout(600)


def test_the_worst_of_twenty_stops_stands_within_half_a_second(stops: Stops) -> None:
    assert len(stops.latencies_s) == STOPS
    assert max(stops.latencies_s) <= SAFE_WITHIN_S, sorted(stops.latencies_s)


@pytest.mark.parametrize("who", ["passer-by", "locked"])
def test_stop_is_taken_from_whoever_presses_it(stops: Stops, who: str) -> None:
    assert len(stops.answers[who]) == STOPS // 2
    assert all(isinstance(answer, Accepted) for answer in stops.answers[who])


def test_every_stop_latches(stops: Stops) -> None:
    assert stops.latched == [True] * STOPS


def test_every_stop_is_on_record(stops: Stops) -> None:
    assert stops.recorded == STOPS


def test_nothing_restarts_while_stop_is_latched(stops: Stops) -> None:
    assert isinstance(stops.while_latched, Refused) and stops.while_latched.reason == "stop_latched"


def test_a_passer_by_cannot_end_a_stop(stops: Stops) -> None:
    assert isinstance(stops.released_by_passer_by, Refused)
    assert stops.latched_after_passer_by


def test_a_locked_screen_cannot_end_a_stop(stops: Stops) -> None:
    assert stops.latched_while_locked


def test_each_stop_is_ended_by_a_signed_in_person_on_record(stops: Stops) -> None:
    assert stops.releases == [OPERATOR.id] * (STOPS - 1)  # the last one still holds


def test_stop_leaves_the_warm_bath_warm(stops: Stops) -> None:
    assert all(bath == stops.bath[0] for bath in stops.bath)
    assert stops.bath[0] == {"setpoint_c": 37.0, "running": True}
