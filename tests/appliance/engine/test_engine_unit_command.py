"""`cellwright unit` as an administrator types it, against a running engine."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from engine_room import ADA, BEN, GUS, Room, make_room, told

from appliance.domain import events as ev
from appliance.link.messages import Proof


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


async def types(room: Room, *words: str, pins: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "appliance.cli", "unit", *words, "--home", str(room.home.root)]
    return await asyncio.to_thread(
        subprocess.run, [*command, "--pin-stdin"], input=pins, capture_output=True, text=True, check=False
    )


def test_a_locked_account_is_opened_by_an_administrator_at_the_command_line(room: Room) -> None:
    async def story() -> None:
        for _ in range(5):
            await room.refused("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="000000"))
            room.clock.advance(120)

        done = await types(
            room, "unlock", ADA.id, "--by", GUS.id, "--reason", "Came in person", pins="531975\n"
        )

        assert done.returncode == 0, done.stderr
        await room.signs_in(ADA)
        assert room.events(ev.AccountUnlocked)

    told(room, story)


def test_an_operator_opens_no_account_and_reads_why(room: Room) -> None:
    async def story() -> None:
        done = await types(room, "unlock", BEN.id, "--by", ADA.id, "--reason", "Please", pins="246813\n")

        assert done.returncode == 1
        assert "may not do this" in done.stderr
        assert not room.events(ev.AccountUnlocked)

    told(room, story)


def test_two_persons_vouch_for_a_clock_that_nothing_else_vouches_for(room: Room) -> None:
    async def story() -> None:
        room.clock.set_trust("untrusted")
        near = (room.clock.utc() + timedelta(seconds=5)).isoformat()
        far = (room.clock.utc() + timedelta(hours=1)).isoformat()
        both = ("--by", ADA.id, "--second", BEN.id)

        wrong = await types(room, "confirm-time", "--reference", far, *both, pins="246813\n864213\n")
        right = await types(room, "confirm-time", "--reference", near, *both, pins="246813\n864213\n")

        assert wrong.returncode == 1
        assert "off the reference clock" in wrong.stderr
        assert right.returncode == 0, right.stderr
        assert room.engine.unit.time_trusted

    told(room, story)


def test_without_an_engine_the_command_says_so(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    done = asyncio.run(types(room, "unlock", ADA.id, "--by", GUS.id, "--reason", "Nobody", pins="531975\n"))

    assert done.returncode == 1
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
