"""The engine copies its record by itself, records what came of each copy, and goes on after a restore."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, Room, make_room, told

from appliance.access.documents import Envelope, to_json
from appliance.domain import events as ev
from appliance.record import copy_notes, stand_alone_verify
from appliance.record.backup import copies_in, take_backup
from appliance.record.command import export
from appliance.record.copy_command import backup, restore
from appliance.record.epochs import earlier_epochs
from appliance.record.errors import RecordUnusable
from appliance.record.replay_target import replay_folder
from appliance.record.verify import verify_record

WITHIN_S = 60


def room_with_medium(tmp_path: Path, *, every_h: int = 24) -> tuple[Room, Path]:
    medium = tmp_path / "medium"
    room = make_room(tmp_path)
    text = room.home.unit_toml.read_text()
    room.home.unit_toml.write_text(
        f'{text}[backup]\nfolder = "{medium}"\nevery_h = {every_h}\nkeep = 2\n', encoding="utf-8"
    )
    return room, medium


async def ticks_until(room: Room, kind: type[ev.Event], times: int) -> list[ev.Event]:
    async with asyncio.timeout(WITHIN_S):
        while len(room.events(kind)) < times:
            room.clock.advance(3.0)
            await room.engine._backups.tick()
            await asyncio.sleep(0.05)
        while room.engine._backups._running:  # on record first, then folded and shown
            await asyncio.sleep(0.01)
    return room.events(kind)


def restored(room: Room, copy: Path, *words: str) -> int:
    home = ["--home", str(room.home.root)]
    return restore([*home, str(copy), "--replace", "--reason", "the disk failed", *words])


async def a_supervisor_has_looked(room: Room) -> None:
    """What the unit asks of a supervisor after a restore is done."""
    if "record:restored" in room.engine.unit.alarms:
        await room.signs_in(CLEO)
        await room.done("acknowledge_alarm", {"alarm": "record:restored"})


@pytest.mark.requirement("R-37")
def test_the_record_is_copied_each_day_and_after_a_batch_and_it_is_on_record(tmp_path: Path) -> None:
    room, medium = room_with_medium(tmp_path)

    async def story() -> None:
        first = await ticks_until(room, ev.BackupTaken, 1)
        assert isinstance(first[0], ev.BackupTaken)
        assert Path(first[0].place).parent == medium and first[0].seq >= 1
        room.clock.advance(3600.0)
        await room.engine._backups.tick()
        assert not room.engine._backups._running

        await room.goes_to_the_seal()
        room.clock.advance(601.0)
        after_batch = await ticks_until(room, ev.BackupTaken, 2)
        assert after_batch[1].seq >= room.batch.sealed.sealed_seq  # type: ignore[attr-defined, union-attr]

        room.clock.advance(25 * 3600.0)
        await ticks_until(room, ev.BackupTaken, 3)
        assert len(copies_in(medium)) == 2

    told(room, story)


@pytest.mark.requirement("R-37")
def test_a_copy_that_fails_raises_an_alarm_that_the_next_good_one_ends(tmp_path: Path) -> None:
    room, medium = room_with_medium(tmp_path)
    medium.write_text("a file stands where the medium should be")

    async def story() -> None:
        (failed,) = await ticks_until(room, ev.BackupFailed, 1)
        assert str(medium) in failed.words  # type: ignore[attr-defined]
        assert "record:backup" in room.engine.unit.alarms
        assert room.engine.unit.alarms["record:backup"][0].priority == "medium"

        medium.unlink()
        room.clock.advance(601.0)
        await ticks_until(room, ev.BackupTaken, 1)
        assert "record:backup" not in room.engine.unit.alarms

    told(room, story)


@pytest.mark.requirement("R-37")
def test_a_copy_and_a_drill_by_command_are_on_record_while_the_engine_runs(tmp_path: Path) -> None:
    room, medium = make_room(tmp_path), tmp_path / "medium"

    async def story() -> None:
        home = ["--home", str(room.home.root)]
        assert backup([*home, "--to", str(medium)]) == 0
        (copy,) = copies_in(medium)
        await room.signs_in()
        assert restore([*home, str(copy), "--drill", "--reason", "quarterly"]) == 0
        (drilled,) = await ticks_until(room, ev.RestoreDrilled, 1)
        assert isinstance(drilled, ev.RestoreDrilled)
        assert drilled.good and drilled.behind >= 1 and drilled.reason == "quarterly"
        assert len(room.events(ev.BackupTaken)) == 1

        # An engine that died before it removed the note has the copy on record once.
        (taken,) = room.events(ev.BackupTaken)
        copy_notes.leave(room.home.record, "BackupTaken", ev.to_body(taken))
        room.clock.advance(10.0)
        await room.engine._backups.tick()
        assert len(room.events(ev.BackupTaken)) == 1
        assert not list(copy_notes.waiting(room.home.record))

    told(room, story)


def test_a_note_that_nobody_can_read_stops_nothing(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        folder = room.home.record / copy_notes.NOTES
        folder.mkdir()
        (folder / "1.json").write_text("{")
        (folder / "2.json").write_text(json.dumps({"kind": "BatchOpened", "body": {}}))
        (folder / "3.json").write_text(json.dumps({"kind": "BackupTaken", "body": {"seq": "one"}}))
        copy_notes.leave(room.home.record, "BackupFailed", {"words": "no medium"})
        room.clock.advance(10.0)
        await room.engine._backups.tick()
        assert len(room.events(ev.BackupFailed)) == 1
        assert len(list(folder.glob("*.unreadable"))) == 3

    told(room, story)


@pytest.mark.requirement("R-37", "R-41")
def test_what_the_unit_knows_survives_a_restore_and_its_batch_goes_on_held(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    medium = tmp_path / "medium"

    async def story() -> None:
        await room.goes_to("bag/identity.verify")
        before = room.engine.unit
        copy, _ = take_backup(room.home, medium)
        await room.crashes()

        assert restored(room, copy) == 0
        await room.starts()

        unit = room.engine.unit
        assert unit.made_orders == before.made_orders and unit.batch_count == before.batch_count
        assert unit.used_bags == before.used_bags and unit.term == before.term + 1
        assert room.batch.id == before.batch.id and room.batch.state == "held"  # type: ignore[union-attr]
        old = len(before.batch.facts)  # type: ignore[union-attr]
        assert [fact.seq < 0 for fact in room.batch.facts] == [
            place < old for place in range(len(room.batch.facts))
        ]
        await a_supervisor_has_looked(room)
        await room.signs_in()
        await room.done("restart", {"reason": "looked at it"})
        await room.answers("bag/identity.verify", BEN.by_pin)
        await room.answers("seal/performed", ADA.by_password)
        await room.answers("seal/verified", BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)
        assert room.batch.sealed is not None
        assert room.batch.sealed.log_epoch == room.engine.record.head().epoch.hex()

    told(room, story)
    assert verify_record(room.home.record).whole


@pytest.mark.requirement("R-37", "R-38")
def test_a_batch_that_waits_for_its_decision_is_sealed_anew_and_released(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.goes_to_the_seal()
        old = room.decision()
        copy, _ = take_backup(room.home, tmp_path / "medium")
        await room.crashes()
        assert restored(room, copy) == 0
        await room.starts()

        await room.engine._seal_batch()

        assert room.batch.sealed is not None
        assert room.batch.sealed.log_epoch == room.engine.record.head().epoch.hex()
        (sealed,) = room.events(ev.BatchSealed)
        assert sealed == room.batch.sealed
        assert room.batch.state == "awaiting_disposition"
        await room.refused("deliver_document", {"envelope": _plain(old)})
        await room.done("deliver_document", {"envelope": _plain(room.decision(version=2))})
        assert room.batch.state == "released"

    told(room, story)
    assert verify_record(room.home.record).whole


def test_a_batch_of_an_earlier_log_is_exported_from_it_and_what_it_lacks_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room = make_room(tmp_path)
    batch = ""

    async def story() -> None:
        nonlocal batch
        await room.goes_to_the_seal()
        batch = room.batch.id
        await room.engine.seal_soon()
        copy, _ = take_backup(room.home, tmp_path / "medium")
        await room.crashes()
        assert restored(room, copy) == 0
        await room.starts()
        await room.engine._seal_batch()

    told(room, story)
    capsys.readouterr()

    assert export(["--home", str(room.home.root), batch, "--out", str(tmp_path)]) == 0

    said = capsys.readouterr().err
    assert f"Batch {batch} began in the earlier log 0001-" in said
    assert "It goes on in" in said and "not in the archive" in said
    assert verify_record(tmp_path / f"{batch}.zip").whole
    alone = Path(stand_alone_verify.__file__)
    archive = str(tmp_path / f"{batch}.zip")
    assert subprocess.run([sys.executable, str(alone), archive], check=False).returncode == 0


def test_a_unit_restored_twice_folds_all_its_logs_and_replays(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.goes_to("bag/bag")
        for _ in range(2):
            copy, _ = take_backup(room.home, tmp_path / "medium")
            await room.crashes()
            assert restored(room, copy) == 0
            await room.starts()
            await a_supervisor_has_looked(room)
            await room.signs_in()
            await room.done("restart", {"reason": "looked at it"})
        assert len(earlier_epochs(room.home.record)) == 2
        assert room.engine.unit.batch_count == 1
        seqs = [fact.seq for fact in room.batch.facts]
        assert seqs == sorted(seqs) and 0 not in seqs

    told(room, story)
    assert replay_folder(room.home.record).equal
    for one in earlier_epochs(room.home.record):
        assert replay_folder(one).equal


@pytest.mark.requirement("R-41")
def test_a_unit_whose_earlier_log_is_gone_does_not_start(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.signs_in()
        copy, _ = take_backup(room.home, tmp_path / "medium")
        await room.crashes()
        assert restored(room, copy) == 0
        (earlier,) = earlier_epochs(room.home.record)
        aside = tmp_path / "aside"
        earlier.rename(aside)
        with pytest.raises(RecordUnusable, match="is missing"):
            await room.starts()
        aside.rename(earlier)
        await room.starts()

    told(room, story)


def _plain(envelope: Envelope) -> object:
    return json.loads(to_json(envelope))
