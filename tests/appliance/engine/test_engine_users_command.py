"""`cellwright users` as an administrator types it, against a running engine and beside a stopped one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_room import ADA, BEN, GUS, START, Room, make_room, told

from appliance.access.documents import dump, sign
from appliance.access.revocation import Revocation, Revoked
from appliance.domain import events as ev
from appliance.link.messages import Proof


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


async def types(room: Room, *words: str, pin: str = "") -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "appliance.cli",
        "users",
        *words,
        "--home",
        str(room.home.root),
        "--json",
    ]
    return await asyncio.to_thread(
        subprocess.run, command, input=f"{pin}\n", capture_output=True, text=True, check=False
    )


@pytest.mark.requirement("R-30", "R-32")
def test_an_account_is_disabled_and_a_badge_tested_at_the_command_line(room: Room) -> None:
    async def story() -> None:
        by = ("--by", GUS.id, "--pin-stdin")
        badge = ("badge-test", ADA.id, "--read", f"BADGE-{ADA.id}", *by)
        tested = await types(room, *badge, pin=GUS.pin)
        wrong = await types(room, "badge-test", BEN.id, "--read", f"BADGE-{ADA.id}", *by, pin=GUS.pin)
        lost = ("--badge", f"BADGE-{ADA.id}", "--reason", "Lost it", *by)
        withdrawn = await types(room, "badge-withdraw", ADA.id, *lost, pin=GUS.pin)
        spare = ("--badge", "SPARE-1", "--hours", "8", "--reason", "Lost the other", *by)
        given = await types(room, "badge-issue", ADA.id, *spare, pin=GUS.pin)
        done = await types(room, "disable", ADA.id, "--reason", "Lost the badge", *by, pin=GUS.pin)
        refused = await types(room, "disable", ADA.id, "--reason", "Once more", *by, pin=GUS.pin)
        for _ in range(5):
            await room.refused("sign_in", {"person": BEN.id}, Proof(person=BEN.id, pin="000000"))
            room.clock.advance(120)
        listed = await types(room, "locked")

        assert (tested.returncode, wrong.returncode) == (0, 1)
        assert (withdrawn.returncode, given.returncode) == (0, 0), withdrawn.stderr + given.stderr
        assert room.engine.unit.people.badges.keys() == {"SPARE-1"}
        assert json.loads(tested.stdout)["passed"] is True
        assert done.returncode == 0, done.stderr
        assert refused.returncode == 1 and "disabled already" in refused.stderr
        states = {one["id"]: one["state"] for one in map(json.loads, listed.stdout.splitlines())}
        assert states == {ADA.id: "disabled", BEN.id: "locked"}
        assert len(room.events(ev.BadgeTested)) == 2

    told(room, story)


@pytest.mark.requirement("R-30")
def test_a_signed_revocation_is_delivered_from_the_command_line(room: Room, tmp_path: Path) -> None:
    revoked = (Revoked(person=ADA.id, reason="Has left"),)
    content = Revocation(version=1, issued_at=START, revoked=revoked).to_content()
    file = tmp_path / "stop.json"
    dump(sign("revocation", content, room.keys["root"], "root"), file)

    async def story() -> None:
        done = await types(room, "deliver", str(file))
        again = await types(room, "deliver", str(file))
        refused = await room.refused("sign_in", {"person": ADA.id}, ADA.by_pin)

        assert done.returncode == again.returncode == 0, done.stderr
        assert "holds now" in json.loads(done.stdout)["words"]
        assert "holds already" in json.loads(again.stdout)["words"]
        assert refused.reason == "not_permitted"

    told(room, story)
