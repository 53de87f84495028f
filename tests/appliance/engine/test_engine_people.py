"""Who acts at the unit, through the real socket: sign-in, lock-out, lock, second persons."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, GUS, ORDER, STATION, Room, make_room, told

from appliance.domain import events as ev
from appliance.link.messages import Proof


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


@pytest.mark.requirement("R-31", "F-100")
def test_wrong_pins_lock_the_account_on_record_and_a_restart_gives_no_fresh_guesses(room: Room) -> None:
    async def story() -> None:
        wrong = Proof(person=ADA.id, pin="000000")
        for _ in range(5):
            await room.refused("sign_in", {"person": ADA.id}, wrong)
            room.clock.advance(120)
        before = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)

        await room.restarts()
        after = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)

        assert before.reason == after.reason == "locked_out"
        assert "STOP works without signing in" in after.words
        refusals = [event for event in room.events(ev.SignInRefused) if isinstance(event, ev.SignInRefused)]
        assert [event.failures for event in refusals][:5] == [1, 2, 3, 4, 5]
        assert [event.locked for event in refusals][:5] == [False, False, False, False, True]

    told(room, story)


def test_failures_are_counted_over_a_crash(room: Room) -> None:
    async def story() -> None:
        for _ in range(5):
            await room.refused("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="000000"))
            room.clock.advance(120)
            await room.restarts()
            room.clock.advance(120)

        refused = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)

        assert refused.reason == "locked_out"

    told(room, story)


def test_an_administrator_unlocks_another_account_on_record_and_it_stays_unlocked(room: Room) -> None:
    async def story() -> None:
        for _ in range(5):
            await room.refused("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="000000"))
            room.clock.advance(120)
        await room.signs_in(GUS)
        await room.done("unlock_account", {"person": ADA.id, "reason": "Came in person"})
        await room.restarts()

        await room.signs_in(ADA)

        assert room.events(ev.AccountUnlocked)

    told(room, story)


def test_the_next_try_has_to_wait_and_says_how_long(room: Room) -> None:
    async def story() -> None:
        await room.refused("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="000000"))

        at_once = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)
        room.clock.advance(2)
        await room.signs_in(ADA)

        assert at_once.reason == "delayed"
        assert "Wait" in at_once.words

    told(room, story)


def test_what_was_typed_instead_of_a_name_never_gets_into_the_record(room: Room) -> None:
    async def story() -> None:
        await room.refused("sign_in", {"person": "246813"}, Proof(person="246813", pin="246813"))

        assert "246813" not in repr(room.events())
        assert [event.reason for event in room.events(ev.SignInRefused)] == ["unknown_person"]  # type: ignore[attr-defined]

    told(room, story)


@pytest.mark.requirement("R-06", "R-15", "F-099")
def test_nobody_acts_without_signing_in(room: Room) -> None:
    async def story() -> None:
        for name, body in (
            ("open_batch", {"order": ORDER}),
            ("comment", {"text": "Hello"}),
            ("hold", {"reason": "Looks odd"}),
            ("restart", {"reason": "Looks fine"}),
            ("abort_batch", {"reason": "No more"}),
            ("release_stop", {"reason": "All is safe"}),
            ("acknowledge_alarm", {"alarm": "x"}),
        ):
            refused = await room.refused(name, body)
            assert refused.reason == "not_signed_in", name

        assert not room.events(ev.BatchOpened, ev.CommentAdded)

    told(room, story)


@pytest.mark.requirement("R-33", "F-100")
def test_an_idle_session_locks_on_record_and_cannot_act_but_can_stop(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        room.clock.advance(11 * 60)
        await room.engine._tick()

        refused = await room.refused("comment", {"text": "Still here"})
        await room.done("stop")

        assert refused.reason in ("locked", "not_signed_in")
        closed = [event for event in room.events(ev.SessionClosed) if isinstance(event, ev.SessionClosed)]
        assert [(event.person, event.why) for event in closed] == [(ADA.id, "idle")]
        assert room.engine.unit.stop_latched

    told(room, story)


def test_who_is_idle_too_long_cannot_act_even_before_the_lock_is_told(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        room.clock.advance(11 * 60)

        refused = await room.refused("comment", {"text": "Still here"})

        assert refused.reason in ("locked", "not_signed_in")

    told(room, story)


@pytest.mark.requirement("R-33")
def test_a_locked_station_cannot_act_and_opens_again_with_the_pin(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        await room.done("lock")

        refused = await room.refused("open_batch", {"order": ORDER})
        await room.signs_in()
        await room.done("open_batch", {"order": ORDER})

        assert refused.reason in ("locked", "not_signed_in")

    told(room, story)


@pytest.mark.requirement("R-33")
def test_stop_works_at_a_station_where_nobody_ever_signed_in(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.connects("bedside-2")

        await room.done("stop")
        again = await room.done("stop")

        assert room.engine.unit.stop_latched
        assert again.command_id
        assert [event.station for event in room.events(ev.DeviceStopped)] == ["bedside-2"] * 2  # type: ignore[attr-defined]

    told(room, story)


def test_the_stop_latch_outlives_a_crash_and_ends_only_by_a_signed_in_person(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("stop")
        await room.restarts()
        nobody = await room.refused("release_stop", {"reason": "All is safe"})
        await room.signs_in()
        latched = await room.refused("restart", {"reason": "Looked at everything"})

        await room.done("release_stop", {"reason": "All is safe"})

        assert nobody.reason == "not_signed_in"
        assert latched.reason == "stop_latched"
        assert not room.engine.unit.stop_latched

    told(room, story)


def test_a_session_belongs_to_its_station_and_not_to_the_screen(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()

        again = await room.connects(STATION)
        other = await room.connects("bedside-2")

        assert again.person is not None and again.person.id == ADA.id
        assert other.person is None

    told(room, story)


@pytest.mark.requirement("R-15", "F-099")
def test_the_same_person_as_second_person_is_refused_on_record(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.answers("clear/clear")

        body = {"prompt": "clear/clear.verify", "values": {}}
        refused = await room.refused("answer", body, ADA.by_pin)
        await room.done("answer", body, BEN.by_pin)

        assert refused.reason == "same_person"
        on_record = [e for e in room.events(ev.CommandWasRefused) if isinstance(e, ev.CommandWasRefused)]
        assert [(event.name, event.reason) for event in on_record] == [("answer", "same_person")]
        assert "A different person must do this" in on_record[0].words

    told(room, story)


def test_the_first_signature_is_the_signed_in_persons_own(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")

        body = {"prompt": "seal/performed", "values": {}}
        by_another = await room.refused("answer", body, CLEO.by_password)
        by_pin = await room.refused("answer", body, ADA.by_pin)
        by_nobody = await room.refused("answer", body)

        assert by_another.reason == "not_permitted"
        assert by_pin.reason == by_nobody.reason == "proof_missing"
        assert not room.events(ev.SignatureGiven)

    told(room, story)


def test_a_wrong_password_at_a_signature_counts_and_is_on_record(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")

        refused = await room.refused(
            "answer",
            {"prompt": "seal/performed", "values": {}},
            Proof(person=ADA.id, password="not the password", typed=ADA.id),
        )

        assert refused.reason == "wrong_secret"
        assert room.events(ev.SignInRefused)
        assert not room.events(ev.SignatureGiven)

    told(room, story)


@pytest.mark.requirement("R-33")
def test_a_locked_station_shows_every_alarm_and_takes_a_stop(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("hold", {"reason": "Looks odd"})
        await room.done("lock")
        await room.done("stop")

        shown = await room.connects()

        assert shown.locked and shown.stop_latched
        assert any(alarm.id.startswith("STOP:") for alarm in shown.alarms)

    told(room, story)
