"""What events order is carried out after they are on record, and whatever fails there is told."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from engine_room import Room, make_room, told

from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.link.messages import Command
from appliance.link.server import Caller
from appliance.record.errors import RecordUnusable


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


ORDERED = ev.DeviceOrdered(
    phase="bag",
    order_id="UNIT-1-00001-O1",
    device="pump-1",
    name="infuse",
    parameters={"volume_ml": "50"},
    term=1,
    expires_in_ms=2_000,
)


def fact_of(event: ev.Event, at: datetime) -> Fact:
    return Fact(event, at, "unit", 99, "UNIT-1-00001")


def test_an_order_that_was_being_committed_when_stop_went_out_is_never_sent(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        caller = Caller(pid=1, uid=0, gid=0)

        room.engine._stop_now(Command(command_id="s-1", name="stop"), caller)
        room.engine.effects.carry_out(fact_of(ORDERED, room.clock.utc()))
        await room.until(lambda: bool(room.events(ev.DeviceRefusedOrder)))

        refused = room.events(ev.DeviceRefusedOrder)[0]
        assert isinstance(refused, ev.DeviceRefusedOrder)
        assert (refused.order_id, refused.fault) == (ORDERED.order_id, "refused")
        assert "It was not sent" in refused.words

    told(room, story)


def test_orders_go_out_again_once_a_person_has_ended_the_stop(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("stop")
        await room.done("release_stop", {"reason": "All is safe"})

        with pytest.raises(KeyError):  # this unit has no pump: the order would have gone out
            room.engine.effects.carry_out(fact_of(ORDERED, room.clock.utc()))

    told(room, story)


def test_a_picture_that_vanished_is_told_as_a_scan_without_a_picture(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        nothing = ev.ScanRead(
            phase="bag",
            key="bag",
            scan_id="S-9",
            texts=[],
            symbologies=[],
            reasons=["no_picture"],
            picture="",
        )

        async def fails() -> None:
            raise FileNotFoundError("the frame is gone")

        effects = room.engine.effects
        effects._begin(effects._or_told(fails(), nothing))
        await room.until(lambda: bool(room.events(ev.BagRefused)))

        refused = room.events(ev.BagRefused)[0]
        assert isinstance(refused, ev.BagRefused)
        assert (refused.reason, "No new picture" in refused.words) == ("not_read", True)

    told(room, story)


def test_a_record_that_fails_inside_an_effect_stops_the_leases(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()

        async def fails() -> None:
            raise RecordUnusable("The record takes nothing more.")

        before = room.engine._accepts_writes()
        room.engine.effects._begin(fails())
        await room.until(lambda: not room.engine._accepts_writes())

        assert before
        assert (await room.connects()).record.words == "The record takes nothing more."

    told(room, story)


def test_a_fault_of_the_program_inside_an_effect_holds_the_batch_with_an_alarm(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()

        async def fails() -> None:
            raise ZeroDivisionError

        room.engine.effects._begin(fails())
        await room.until(lambda: room.batch.state == "held")

        alarms = [event for event in room.events(ev.AlarmRaised) if isinstance(event, ev.AlarmRaised)]
        assert "fault of its own" in alarms[-1].cause

    told(room, story)
