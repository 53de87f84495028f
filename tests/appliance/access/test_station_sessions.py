"""A session belongs to a station, locks when left alone, and asks again when it must."""

from __future__ import annotations

import pytest

from appliance.access.sessions import AccessRules, Sessions
from appliance.domain.errors import NotSignedIn

MINUTE_S = 60.0


@pytest.fixture
def sessions() -> Sessions:
    made = Sessions()
    made.open("bed", "p-0001", 0.0)
    return made


def test_whoever_signed_in_acts_until_signing_out(sessions):
    assert sessions.acting("bed", 1.0) == "p-0001"
    assert sessions.close("bed") == "p-0001"
    assert sessions.close("bed") is None

    with pytest.raises(NotSignedIn, match="Sign in first"):
        sessions.acting("bed", 2.0)


def test_a_station_knows_nothing_of_another_station_s_session(sessions):
    with pytest.raises(NotSignedIn):
        sessions.acting("other", 1.0)


@pytest.mark.requirement("R-33")
def test_a_session_left_alone_for_ten_minutes_is_locked_once(sessions):
    assert sessions.lock_idle(10 * MINUTE_S - 0.1) == []

    locked = sessions.lock_idle(10 * MINUTE_S)

    assert [(one.station, one.person, one.locked) for one in locked] == [("bed", "p-0001", True)]
    assert sessions.lock_idle(11 * MINUTE_S) == []


def test_an_idle_session_is_refused_even_before_anybody_swept_for_it(sessions):
    with pytest.raises(NotSignedIn, match="screen is locked") as caught:
        sessions.acting("bed", 10 * MINUTE_S)
    assert caught.value.reason == "locked"


def test_acting_and_touching_keep_a_session_open(sessions):
    for minute in range(1, 60):
        if minute % 2:
            assert sessions.acting("bed", minute * MINUTE_S) == "p-0001"
        else:
            assert sessions.touch("bed", minute * MINUTE_S) == "acts"
    assert sessions.lock_idle(59 * MINUTE_S) == []


def test_the_first_touch_on_a_dimmed_screen_wakes_and_does_not_act(sessions):
    assert sessions.touch("bed", 119.0) == "acts"
    assert sessions.touch("bed", 119.0 + 120.0) == "wakes"
    assert sessions.touch("bed", 119.0 + 121.0) == "acts"
    assert sessions.touch("elsewhere", 240.0) == "nobody"
    assert sessions.touch("bed", 240.0 + 10 * MINUTE_S) == "locked"


def test_a_touch_does_not_unlock(sessions):
    assert sessions.lock("bed") == "p-0001"
    assert sessions.lock("bed") is None
    assert sessions.touch("bed", 1.0) == "locked"

    with pytest.raises(NotSignedIn):
        sessions.acting("bed", 1.0)


def test_the_same_person_unlocks_and_another_one_takes_over(sessions):
    sessions.lock("bed")
    again = sessions.open("bed", "p-0001", 5.0)
    assert (again.unlocked, again.closed_person) == (True, None)

    other = sessions.open("bed", "p-0002", 6.0)
    assert (other.unlocked, other.closed_person) == (False, "p-0001")
    assert sessions.acting("bed", 7.0) == "p-0002"


@pytest.mark.requirement("R-27")
def test_the_first_signature_takes_both_components_and_a_lock_brings_that_back(sessions):
    assert sessions.signature_needs("bed", "p-0001", 1.0) == ("id", "password")
    sessions.signature_given("bed", "p-0001")
    assert sessions.signature_needs("bed", "p-0001", 2.0) == ("password",)
    assert sessions.signature_needs("bed", "p-0002", 2.0) == ("id", "password")

    sessions.lock("bed")
    sessions.open("bed", "p-0001", 3.0)
    assert sessions.signature_needs("bed", "p-0001", 4.0) == ("id", "password")

    sessions.signature_given("bed", "p-0001")
    assert sessions.signature_needs("bed", "p-0001", 3.0 + 10 * MINUTE_S) == ("id", "password")


def test_a_signature_at_a_locked_station_or_by_another_person_is_not_remembered(sessions):
    sessions.signature_given("bed", "p-0002")
    sessions.lock("bed")
    sessions.signature_given("bed", "p-0001")

    sessions.open("bed", "p-0001", 3.0)
    assert sessions.signature_needs("bed", "p-0001", 4.0) == ("id", "password")


def test_a_revoked_person_is_signed_out_everywhere(sessions):
    sessions.open("office", "p-0001", 1.0)
    sessions.open("hall", "p-0002", 1.0)

    assert sessions.close_person("p-0001") == ["bed", "office"]
    assert sessions.acting("hall", 2.0) == "p-0002"


def test_a_site_may_lock_sooner():
    sessions = Sessions(AccessRules(idle_lock_s=120))
    sessions.open("bed", "p-0001", 0.0)

    assert [one.person for one in sessions.lock_idle(120.0)] == ["p-0001"]
