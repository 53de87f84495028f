"""The whole record is read and checked each week while the unit works, and the verdict goes on record."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from engine_room import Room, make_room, told

from appliance.domain import events as ev

WEEK_S = 7 * 24 * 3600.0
WITHIN_S = 60
# A stranger with the file: takes the guard off, changes the time of one event, puts the guard back.
CHANGE = """
import sqlite3, sys
found = sqlite3.connect(sys.argv[1])
(guard,) = found.execute("SELECT sql FROM sqlite_master WHERE name = 'gxp_record_refuses_update'").fetchone()
found.execute("DROP TRIGGER gxp_record_refuses_update")
changed = "CAST(substr(data, 1, 94) || x'58' || substr(data, 96) AS BLOB)"
found.execute("UPDATE gxp_record SET data = " + changed + " WHERE seq = 3")
found.execute(guard)
found.commit()
"""


async def checked(room: Room, times: int) -> list[ev.RecordVerified]:
    """A week later: the verdicts on record."""
    room.clock.advance(WEEK_S)
    await room.engine._self_check.tick()
    async with asyncio.timeout(WITHIN_S):
        while len(room.events(ev.RecordVerified)) < times:
            await asyncio.sleep(0.05)
    return [event for event in room.events(ev.RecordVerified) if isinstance(event, ev.RecordVerified)]


@pytest.mark.requirement("R-38", "R-02")
def test_once_a_week_the_whole_record_is_checked_and_it_is_on_record(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.signs_in()
        await room.engine._self_check.tick()
        before = room.events(ev.RecordVerified)
        first = await checked(room, 1)
        for _ in range(3):
            room.clock.advance(3600.0)
            await room.engine._self_check.tick()
        again = await checked(room, 2)

        assert before == []
        assert first[0].whole and first[0].events >= 3
        assert first[0].words.startswith("whole and unchanged")
        assert len(again) == 2 and again[1].events > first[0].events

    told(room, story)


@pytest.mark.requirement("R-38", "R-41")
def test_a_record_that_was_changed_meanwhile_is_said_to_be_so(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.signs_in()
        database = str(room.home.record / "record.db")
        subprocess.run([sys.executable, "-c", CHANGE, database], check=True)

        (verdict,) = await checked(room, 1)

        assert not verdict.whole
        assert "gxp event 3" in verdict.words
        (fault,) = room.events(ev.RecordFaultSeen)
        assert "call QA" in fault.words  # type: ignore[attr-defined]

    told(room, story)


def test_the_week_goes_on_over_a_restart(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await checked(room, 1)
        await room.restarts()
        for _ in range(6):
            room.clock.advance(24 * 3600.0)
            await room.engine._self_check.tick()
        meanwhile = len(room.events(ev.RecordVerified))
        after = await checked(room, 2)

        assert meanwhile == 1
        assert len(after) == 2

    told(room, story)
