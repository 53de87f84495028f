"""Consent through the socket: two persons record it, one withdraws it, and the unit holds at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, ORDER, Room, make_room, told

from appliance.domain import events as ev

pytestmark = pytest.mark.requirement("F-011")
FORM = {
    "consent": "CONSENT-2",
    "coi": "CHA999926000001",
    "patient": "DEMO7F3A",
    "received_from": "study nurse",
    "on": "2026-03-01",
}
WORD = {"received_from": "ward physician", "reason": "The patient called"}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path / "unit")


def test_two_persons_record_a_consent_and_one_is_not_enough(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        alone = await room.refused("record_consent", FORM)
        twice = await room.refused("record_consent", FORM, ADA.by_pin)
        await room.done("record_consent", FORM, BEN.by_pin)

        assert "second person is missing" in alone.words
        assert twice.reason == "same_person"
        assert room.engine.unit.consents["CONSENT-2"].coi == FORM["coi"]

    told(room, story)


def test_withdrawn_in_mid_batch_by_one_tap_all_is_held_and_the_refusals_are_on_record(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/retrieve")
        await room.done("withdraw_consent", WORD)  # of whom the open batch is: nobody types at the unit
        tried = await room.refused("answer", {"prompt": "bag/retrieve", "values": {}})
        again = await room.refused("restart", {"reason": "Go on"}, CLEO.by_pin)
        await room.done("abort_batch", {"reason": "Consent withdrawn"}, CLEO.by_password)
        next_one = await room.refused("open_batch", {"order": ORDER})

        assert {tried.reason, again.reason} == {"consent_withdrawn"}
        assert next_one.reason in ("order_already_made", "consent_withdrawn")
        refused = room.events(ev.CommandWasRefused)
        assert [one.reason for one in refused if isinstance(one, ev.CommandWasRefused)][:2] == [
            "consent_withdrawn"
        ] * 2
        assert {type(one) for one in room.events(ev.ConsentWithdrawn, ev.PhaseHeld)} == {
            ev.ConsentWithdrawn,
            ev.PhaseHeld,
        }

    told(room, story)


def test_an_order_whose_consent_is_gone_says_so_before_it_is_opened(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        await room.done("withdraw_consent", WORD | {"coi": FORM["coi"]})
        snapshot = await room.connects()
        refused = await room.refused("open_batch", {"order": ORDER})

        (order,) = snapshot.orders
        assert "withdrawn the consent CONSENT-1" in order.refused_because
        assert refused.reason == "consent_withdrawn"

    told(room, story)


def test_after_a_crash_the_withdrawal_still_holds(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/retrieve")
        await room.done("withdraw_consent", WORD)
        await room.restarts()
        await room.signs_in()
        again = await room.refused("restart", {"reason": "Go on"}, CLEO.by_pin)

        assert again.reason == "consent_withdrawn"

    told(room, story)
