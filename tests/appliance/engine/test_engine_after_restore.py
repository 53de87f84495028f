"""A restored unit says so, and nothing begins or goes on before a supervisor has looked (R-41, SAFETY 9)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_room import ADA, CLEO, ORDER, Room, make_room

import appliance
from appliance.access.keys import load_key
from appliance.domain import copies
from appliance.domain import events as ev
from appliance.record.acknowledgements import keep_second
from appliance.record.backup import take_backup
from appliance.record.replay_target import replay_folder
from appliance.record.restore import restore


async def put_back(room: Room, copy: Path) -> None:
    """The engine is gone; a copy is put back; another engine starts."""
    await room.crashes()
    restore(
        copy,
        room.home,
        key=load_key(room.home.unit_key),
        reason="The disk broke",
        replace=True,
        software_version=appliance.__version__,
    )
    await room.starts()


def story(room: Room, told: object) -> None:
    async def whole() -> None:
        await room.starts()
        try:
            await told()  # type: ignore[operator]
        finally:
            await room.crashes()

    asyncio.run(whole())


@pytest.mark.requirement("R-41", "R-37")
def test_an_order_made_after_the_copy_is_not_made_again_unseen(tmp_path: Path) -> None:
    room = make_room(tmp_path / "home")

    async def told() -> None:
        copy, manifest = take_backup(room.home, tmp_path / "medium")
        await room.goes_to("bag/bag")
        head = room.engine.record.head()
        note = f'{{"epoch":"{head.epoch.hex()}","acked_seq":{head.seq},"acked_hash":"{head.hash.hex()}"}}'
        keep_second(room.home.record, "gxp", head.seq, note.encode(), bytes(64))
        await put_back(room, copy)
        await room.signs_in()

        refusal = await room.refused("open_batch", {"order": ORDER})
        still = await room.refused("acknowledge_alarm", {"alarm": copies.RESTORED})

        (said,) = room.events(ev.RecordRestored)
        assert isinstance(said, ev.RecordRestored)
        assert f"Events {manifest.gxp['seq'] + 1} to {head.seq} are at central only" in said.words
        assert (said.reason, said.acked_seq) == ("The disk broke", head.seq)
        assert (refusal.reason, still.reason) == ("supervisor_needed", "supervisor_needed")

        await room.signs_in(CLEO)
        await room.done("acknowledge_alarm", {"alarm": copies.RESTORED})
        await room.signs_in(ADA)
        await room.done("open_batch", {"order": ORDER})

    story(room, told)
    assert replay_folder(room.home.record).equal


@pytest.mark.requirement("R-41")
def test_a_batch_that_ran_in_the_copy_waits_for_a_supervisor_and_the_restore_is_said_once(
    tmp_path: Path,
) -> None:
    room = make_room(tmp_path / "home")

    async def told() -> None:
        await room.goes_to("bag/identity")
        copy, _ = take_backup(room.home, tmp_path / "medium")
        await put_back(room, copy)
        await room.restarts()
        await room.signs_in()

        assert room.batch.state == "held"
        assert (await room.refused("restart", {"reason": "looked"})).reason == "supervisor_needed"
        assert len(room.events(ev.RecordRestored)) == 1
        assert room.batch.last(ev.AlarmRaised, alarm=copies.RESTORED) is not None

        await room.signs_in(CLEO)
        await room.done("acknowledge_alarm", {"alarm": copies.RESTORED})
        await room.done("restart", {"reason": "looked with QA"})
        assert room.batch.state == "running"

    story(room, told)


def test_a_unit_that_was_never_restored_says_nothing_of_it(tmp_path: Path) -> None:
    room = make_room(tmp_path / "home")

    async def told() -> None:
        assert room.events(ev.RecordRestored) == []
        assert copies.RESTORED not in room.engine.unit.alarms

    story(room, told)
