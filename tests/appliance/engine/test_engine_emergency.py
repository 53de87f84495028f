"""The two-person emergency account (SAFETY 20), through the real socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, DORA, GUS, ORDER, Room, make_room, told

from appliance.domain import events as ev

REASON = {"reason": "The operator fell ill, nobody else is here"}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


async def nobody_is_left(room: Room, prompt: str = "bag/retrieve") -> None:
    """A batch runs, and whoever ran it is gone."""
    await room.goes_to(prompt)
    await room.done("sign_out")


async def opened(room: Room) -> None:
    await room.signs_in(GUS)
    await room.done("open_emergency", REASON, BEN.by_pin)


@pytest.mark.requirement("R-06", "R-28")
def test_two_people_open_it_with_a_reason_and_an_alarm_and_finish_what_runs(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        shown = await room.connects()
        await room.answers("bag/retrieve")
        await room.done("hold", {"reason": "Waiting for help"})
        await room.done("restart", {"reason": "Help has come"})
        await room.done("sign_out")

        assert shown.person is not None and GUS.id in shown.person.name and BEN.id in shown.person.name
        assert "people:emergency:1" in [one.id for one in shown.alarms]
        assert not any(key.startswith("people:") for key in room.engine.unit.alarms)
        emergency = [e for e in room.events(ev.EmergencyOpened, ev.EmergencyEnded)]
        assert [type(e).__name__ for e in emergency] == ["EmergencyOpened", "EmergencyEnded"]
        acts = [e for e in room.events(ev.CommandTaken) if e.people[0]["id"] == "emergency"]  # type: ignore[attr-defined]
        assert {e.name for e in acts} == {"answer", "hold", "restart"}  # type: ignore[attr-defined]
        assert all(GUS.id in e.people[0]["name"] and BEN.id in e.people[0]["name"] for e in acts)  # type: ignore[attr-defined]

    told(room, story)


def test_it_verifies_signs_opens_releases_and_changes_nobody(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room, "clear/clear.verify")
        await opened(room)

        verify = await room.refused("answer", {"prompt": "clear/clear.verify", "values": {}})
        for name, body in (
            ("open_batch", {"order": ORDER}),
            ("abort_batch", {"reason": "No more"}),
            ("disable_account", {"person": ADA.id, **REASON}),
            ("unlock_account", {"person": ADA.id, **REASON}),
            ("issue_badge", {"person": ADA.id, "badge": "X", "hours": 1, **REASON}),
            ("release_stop", REASON),
        ):
            refused = await room.refused(name, body)
            assert refused.reason in ("not_permitted", "proof_missing"), name

        assert verify.reason == "not_permitted"
        assert "verifies and signs nothing" in verify.words

    told(room, story)


def test_it_starts_no_phase_that_was_not_under_way_and_its_people_verify_nothing_of_it(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room, "clear/clear")
        await opened(room)
        await room.answers("clear/clear")

        own = await room.refused("answer", {"prompt": "clear/clear.verify", "values": {}}, BEN.by_pin)
        await room.answers("clear/clear.verify", CLEO.by_pin)
        next_phase = await room.refused("answer", {"prompt": "bag/retrieve", "values": {}})

        assert own.reason == "same_person"
        assert next_phase.reason == "not_permitted"
        assert "start nothing else" in next_phase.words

    told(room, story)


def test_it_is_not_opened_by_one_person_or_while_somebody_can_work_or_without_need(room: Room) -> None:
    async def story() -> None:
        await room.signs_in(GUS)
        without_need = await room.refused("open_emergency", REASON, BEN.by_pin)
        await nobody_is_left(room)
        await room.signs_in(GUS)
        alone = await room.refused("open_emergency", REASON, GUS.by_pin)
        without_second = await room.refused("open_emergency", REASON)
        no_pin = await room.refused("open_emergency", REASON, DORA.by_pin)
        await room.connects("bedside-2")
        await room.signs_in(ADA)
        staffed = await room.refused("open_emergency", REASON, BEN.by_pin)

        assert without_need.reason == "not_open"
        assert alone.reason == "same_person"
        assert without_second.reason == "not_plausible"
        assert no_pin.reason == "wrong_secret"
        assert staffed.reason == "not_needed"
        assert not room.events(ev.EmergencyOpened)

    told(room, story)


def test_it_ends_after_24_hours_of_real_time_also_over_a_restart(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        room.clock.advance(23 * 3600)
        await room.restarts()
        await room.done("sign_in", {"person": "emergency"}, GUS.by_pin)
        await room.done("comment", {"text": "Still here"})
        room.clock.advance(3601)

        over = await room.refused("comment", {"text": "Too late"})
        await room.engine._tick()

        assert over.reason in ("not_signed_in", "locked")
        assert [e.why for e in room.events(ev.EmergencyEnded)] == ["24 h are over"]  # type: ignore[attr-defined]

    told(room, story)


def test_after_a_reboot_with_a_clock_nobody_trusts_it_is_over(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        await room.crashes()
        room.clock.reboot()
        room.clock.set_trust("untrusted")
        await room.starts()
        await room.engine._tick()

        refused = await room.refused("sign_in", {"person": "emergency"}, GUS.by_pin)

        assert refused.reason == "not_permitted"
        assert len(room.events(ev.EmergencyEnded)) == 1

    told(room, story)


def test_only_its_two_people_take_a_locked_session_up_again(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        await room.done("lock")
        locked = await room.refused("hold", {"reason": "Looks odd"})
        stranger = await room.refused("sign_in", {"person": "emergency"}, CLEO.by_pin)
        await room.done("sign_in", {"person": "emergency"}, BEN.by_pin)
        await room.done("hold", {"reason": "Looks odd"})

        assert locked.reason == "locked"
        assert stranger.reason == "not_permitted"

    told(room, story)


def test_it_ends_its_acts_when_one_of_the_two_is_disabled(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        await room.connects("bedside-2")
        await room.signs_in(CLEO)
        await room.done("disable_account", {"person": BEN.id, "reason": "Badge was stolen"})
        await room.connects()

        refused = await room.refused("hold", {"reason": "Looks odd"})

        assert refused.reason == "not_active"

    told(room, story)


@pytest.mark.requirement("R-33")
def test_stop_works_under_it_and_while_it_is_locked(room: Room) -> None:
    async def story() -> None:
        await nobody_is_left(room)
        await opened(room)
        await room.done("lock")

        await room.done("stop")

        assert room.engine.unit.stop_latched

    told(room, story)
