"""A disk that runs full under a running batch: what is refused, what still works, and how it goes on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_room import ADA, BEN, ORDER, Room, make_room, told

from appliance.domain import events as ev
from appliance.link.messages import Accepted, Refused

COMMENT = "x" * 1_000
COMMENTS_MAX = 3_000


class SmallDisk:
    """A file system of its own whose size a test can change while it is in use."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def holds(self, option: str) -> None:
        command = ["mount", "-o", f"remount,{option}", str(self.place)]
        subprocess.run(command, check=True, capture_output=True)

    def is_nearly_full(self, *, free_kib: int = 64) -> None:
        status = os.statvfs(self.place)
        used_kib = (status.f_blocks - status.f_bfree) * status.f_frsize // 1024
        self.holds(f"size={used_kib + free_kib}k")

    def has_room_again(self) -> None:
        self.holds("size=600m")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    place = tmp_path / "d"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk here")
    yield SmallDisk(place)
    subprocess.run(["umount", "-l", str(place)], check=True)


async def writes_until_refused(room: Room) -> tuple[int, Refused]:
    """How many comments were accepted, and what the first refusal said."""
    for number in range(COMMENTS_MAX):
        answer = await room.ask("comment", {"text": COMMENT})
        if isinstance(answer, Refused):
            return number, answer
    raise AssertionError("the disk never became full")


def test_a_full_disk_holds_the_batch_and_the_reserve_lets_it_be_finished(disk: SmallDisk) -> None:
    room = make_room(disk.place)

    async def story() -> None:
        await room.goes_to("seal/performed")
        disk.is_nearly_full()

        accepted, refused = await writes_until_refused(room)
        await room.until(lambda: room.batch.state == "held")
        held = room.batch.state
        await room.done("restart", {"reason": "Looked at everything"})
        await room.done("answer", {"prompt": "seal/performed", "values": {}}, ADA.by_password)
        await room.done("answer", {"prompt": "seal/verified", "values": {}}, BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)

        assert "disk" in refused.words and "full" in refused.words
        assert len(room.events(ev.CommentAdded)) == accepted
        assert held == "held"
        assert room.batch.state == "awaiting_disposition"

    told(room, story)


def test_a_stop_that_a_full_disk_kept_off_the_record_goes_on_it_with_the_reserve(disk: SmallDisk) -> None:
    room = make_room(disk.place)

    async def story() -> None:
        await room.begins_batch()
        disk.is_nearly_full(free_kib=0)
        stops, missed = 0, False
        while not missed and stops < COMMENTS_MAX:
            answer = await room.done("stop")
            stops, missed = stops + 1, "could not be recorded" in answer.result.get("words", "")

        await room.until(lambda: not room.engine.journal.words)
        await room.until(lambda: len(room.events(ev.DeviceStopped)) == stops)
        await room.done("release_stop", {"reason": "All is safe"})

        assert missed
        assert not room.engine.unit.stop_latched

    told(room, story)


def test_on_a_disk_without_room_no_batch_opens_and_the_refusal_is_on_record(disk: SmallDisk) -> None:
    room = make_room(disk.place)

    async def story() -> None:
        await room.signs_in()
        disk.is_nearly_full(free_kib=4_096)

        refused = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == "record_full"
        assert "Start no batch" in refused.words
        on_record = [e for e in room.events(ev.CommandWasRefused) if isinstance(e, ev.CommandWasRefused)]
        assert [event.reason for event in on_record] == ["record_full"]

    told(room, story)


def test_when_the_reserve_is_used_up_leases_lapse_stop_works_and_nothing_is_lost(disk: SmallDisk) -> None:
    room = make_room(disk.place)

    async def story() -> None:
        await room.begins_batch()
        disk.is_nearly_full()
        first, _ = await writes_until_refused(room)
        await room.until(lambda: room.batch.state == "held")
        second, refused = await writes_until_refused(room)

        stopped = await room.ask("stop")
        renewed = room.engine._accepts_writes()
        again = await room.ask("answer", {"prompt": "clear/clear", "values": {}})
        disk.has_room_again()
        await room.restarts()
        kept = len(room.events(ev.CommentAdded))
        await room.signs_in()
        if room.engine.unit.stop_latched:
            await room.done("release_stop", {"reason": "All is safe"})
        await room.done("restart", {"reason": "Looked at everything"})
        await room.answers("clear/clear")

        assert "full" in refused.words
        assert isinstance(stopped, Accepted)
        assert not renewed
        assert isinstance(again, Refused)
        assert kept == first + second
        assert room.batch.state == "running"

    told(room, story)


def test_an_engine_that_starts_on_a_nearly_full_disk_takes_its_batch_up_without_a_reserve(
    disk: SmallDisk,
) -> None:
    room = make_room(disk.place)

    async def story() -> None:
        await room.begins_batch()
        disk.is_nearly_full()
        await writes_until_refused(room)
        await room.until(lambda: room.batch.state == "held")
        await room.crashes()
        disk.is_nearly_full(free_kib=600)

        await room.starts()
        await room.signs_in()
        await room.done("restart", {"reason": "Looked at everything"})

        assert not (room.home.record / "reserve.bin").exists()
        assert room.batch.state == "running"

    told(room, story)
