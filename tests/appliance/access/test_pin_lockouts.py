"""Wrong entries cost time, then the account; pulling the plug gives nothing back."""

from __future__ import annotations

import msgspec
import pytest
from access_site import PIN_SECRET
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.authentication import Authentication
from appliance.access.errors import SignInRefused
from appliance.access.people import verify_secret
from appliance.access.sessions import AccessRules, Lockouts


class Door:
    """Sign-ins at one unit, with its record and a hand-moved clock."""

    def __init__(self, people) -> None:
        self.people, self.now_s = people, 1000.0
        self.record: list[tuple[str, dict]] = []
        self.restart()

    def restart(self, now_s: float | None = None) -> None:
        """The engine ends; a new one folds the record. Monotonic time may begin anew."""
        self.now_s = self.now_s if now_s is None else now_s
        lockouts = Lockouts()
        for kind, body in self.record:
            lockouts.fold(kind, body, self.now_s)
        self.authentication = Authentication(self.people, lockouts)

    def try_secret(self, handle: str, secret: str, for_what: str = "sign_in") -> str:
        """Returns the person's id, or the reason of the refusal; both go to the record."""
        try:
            person = self.authentication.authenticate(
                handle,
                secret,
                lambda verifier, typed: verify_secret(verifier, typed, PIN_SECRET),
                for_what=for_what,
                now_s=self.now_s,
            )
        except SignInRefused as refused:
            self.words = str(refused)
            body = {"person": refused.person, "reason": refused.reason, "failures": refused.failures}
            body |= {"locked": refused.locked, "station": "bed", "for_what": for_what}
            self.record.append(("SignInRefused", body))
            return refused.reason
        kind = "SignatureGiven" if for_what == "signature" else "SessionOpened"
        self.record.append((kind, {"person": person.id, "name": person.name, "station": "bed"}))
        return person.id


@pytest.fixture
def door(site) -> Door:
    return Door(site.people)


def fail(door: Door, times: int, handle: str = "p-0001", **how) -> list[str]:
    reasons = []
    for _ in range(times):
        door.now_s += 100
        reasons.append(door.try_secret(handle, "000000", **how))
    return reasons


def test_the_right_pin_opens_by_id_badge_and_name(door):
    for handle in ("p-0001", "BADGE-0001", "anna berg"):
        assert door.try_secret(handle, "482915") == "p-0001"


def test_after_five_wrong_pins_the_right_one_no_longer_opens(door):
    assert fail(door, 5) == ["wrong_secret"] * 5
    assert "was wrong 5 times. This account is locked. Call the administrator; STOP works" in door.words

    door.now_s += 10_000
    assert door.try_secret("p-0001", "482915") == "locked_out"
    assert "STOP works without signing in" in door.words
    assert door.authentication.lockouts.locked_people() == ["p-0001"]


def test_the_wait_grows_with_each_wrong_pin_and_a_try_within_it_is_not_checked(door):
    for wait_s in (1, 2, 4, 8):
        assert door.try_secret("p-0001", "000000") == "wrong_secret"
        assert f"Wait {wait_s} s" in door.words
        door.now_s += wait_s - 0.01
        assert door.try_secret("p-0001", "482915") == "delayed"
        door.now_s += 0.02


def test_a_right_pin_clears_the_count(door):
    fail(door, 4)
    door.now_s += 100
    assert door.try_secret("p-0001", "482915") == "p-0001"

    assert fail(door, 4) == ["wrong_secret"] * 4
    door.now_s += 100
    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_the_count_survives_a_restart_of_the_engine(door):
    fail(door, 3)
    door.restart()
    assert fail(door, 1) == ["wrong_secret"]
    door.restart()

    fail(door, 1)
    door.restart(now_s=0.0)

    door.now_s += 1e6
    assert door.try_secret("p-0001", "482915") == "locked_out"


def test_after_a_restart_the_wait_begins_anew_even_where_the_clock_began_at_zero(door):
    fail(door, 4)
    door.restart(now_s=0.0)

    assert door.try_secret("p-0001", "482915") == "delayed"
    door.now_s = 8.1
    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_attempts_refused_early_are_on_record_and_count_for_nothing(door):
    fail(door, 1)
    for _ in range(20):
        assert door.try_secret("p-0001", "000000") == "delayed"
    door.restart()

    door.now_s += 2
    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_a_lock_on_record_stays_when_the_site_allows_more_failures_later():
    lockouts = Lockouts(AccessRules(failures_max=10))
    body = {"person": "p", "reason": "wrong_secret", "failures": 5, "locked": True}
    lockouts.fold("SignInRefused", body, 0.0)
    lockouts.fold("SessionOpened", {"person": "p"}, 0.0)

    assert lockouts.is_locked("p")


def test_a_refusal_for_haste_on_record_does_not_clear_the_count():
    lockouts = Lockouts()
    for reason, failures in (("wrong_secret", 4), ("delayed", 0)):
        body = {"person": "p", "reason": reason, "failures": failures, "locked": False}
        lockouts.fold("SignInRefused", body, 0.0)

    assert lockouts.failed("p", "pin", 100.0) == (5, True)


def test_knowing_the_pin_gives_no_fresh_guesses_at_the_password(door):
    for _ in range(4):
        assert fail(door, 1, for_what="signature") == ["wrong_secret"]
        door.now_s += 100
        assert door.try_secret("p-0001", "482915") == "p-0001"
        door.restart()

    assert fail(door, 1, for_what="signature") == ["wrong_secret"]
    assert door.authentication.lockouts.is_locked("p-0001")


def test_a_signature_asks_for_the_password_and_not_for_the_pin(door):
    assert door.try_secret("p-0001", "482915", for_what="signature") == "wrong_secret"
    door.now_s += 100
    assert door.try_secret("p-0001", "blue kettle morning", for_what="signature") == "p-0001"


def test_one_person_locked_out_locks_nobody_else(door):
    fail(door, 5)

    assert door.try_secret("p-0002", "730164") == "p-0002"


def test_strangers_wait_but_cannot_lock_anybody_and_what_they_typed_is_not_kept(door):
    reasons = fail(door, 20, handle="482915")

    assert reasons == ["unknown_person"] * 20
    assert door.try_secret("nobody", "000000") == "delayed"
    assert all("482915" not in str(body) for _, body in door.record)
    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_an_unlocked_account_opens_again_also_after_a_restart(door):
    fail(door, 5)
    door.record.append(("AccountUnlocked", {"person": "p-0001"}))
    door.restart()

    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_guesses_sent_side_by_side_do_not_outrun_the_counter(door):
    first = door.authentication.prepare("p-0001", now_s=door.now_s)

    with pytest.raises(SignInRefused) as caught:
        door.authentication.prepare("BADGE-0001", now_s=door.now_s)
    assert caught.value.reason == "delayed"

    with pytest.raises(SignInRefused, match="Wait 1 s"):
        door.authentication.conclude(first, False, now_s=door.now_s)
    door.now_s += 2
    assert door.try_secret("p-0001", "482915") == "p-0001"


def test_a_person_no_longer_active_is_told_so_only_with_the_right_pin(door):
    left = tuple(msgspec.structs.replace(one, active=False) for one in door.people.people)
    door.people = msgspec.structs.replace(door.people, people=left)
    door.restart()

    assert door.try_secret("p-0001", "000000") == "wrong_secret"
    door.now_s += 100
    assert door.try_secret("p-0001", "482915") == "not_permitted"
    assert door.words == "This account is not active. Call the administrator."


def test_a_person_without_a_pin_signs_in_with_none(door):
    assert door.try_secret("p-0007", "") == "wrong_secret"


@pytest.mark.requirement("R-31", "R-33")
@pytest.mark.parametrize(
    "wrong", [{"failures_max": 2}, {"failures_max": 11}, {"idle_lock_s": 119}, {"idle_lock_s": 901}]
)
def test_a_site_cannot_set_the_rules_outside_their_bounds(wrong):
    with pytest.raises(ValueError, match="a site may set"):
        AccessRules(**wrong)


@pytest.mark.requirement("R-31")
@settings(derandomize=True, deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(["fail", "right", "restart"]), st.floats(0, 100)), max_size=40),
    st.integers(3, 10),
)
def test_no_order_of_tries_and_restarts_gives_more_guesses_than_allowed(moves, failures_max):
    rules = AccessRules(failures_max=failures_max)
    lockouts, record, now_s, in_a_row = Lockouts(rules), [], 0.0, 0
    for move, later_s in moves:
        now_s += later_s
        if move == "restart":
            lockouts = Lockouts(rules)
            for kind, body in record:
                lockouts.fold(kind, body, now_s)
            continue
        try:
            lockouts.refuse_early("p", now_s)
        except SignInRefused:
            continue
        if move == "fail":
            failures, locked = lockouts.failed("p", "pin", now_s)
            body = {"person": "p", "reason": "wrong_secret", "failures": failures, "locked": locked}
            record.append(("SignInRefused", body))
            in_a_row += 1
            assert failures == in_a_row <= failures_max
            assert locked == (in_a_row == failures_max)
        else:
            lockouts.succeeded("p", "pin")
            record.append(("SessionOpened", {"person": "p"}))
            in_a_row = 0
