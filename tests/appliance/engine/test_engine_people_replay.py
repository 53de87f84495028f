"""What happens to accounts in mid-batch is decided again to the same, from record and archive."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from engine_room import ADA, BEN, CLEO, GUS, START, Room, make_room, told

from appliance.access.documents import load, sign
from appliance.access.people import People
from appliance.access.revocation import Revocation, Revoked
from appliance.access.site_roles import SiteRoles
from appliance.link.messages import Proof
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.replay_target import replay_archive, replay_folder

REASON = {"reason": "As the story asks"}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path / "unit")


async def much_happens_to_people(room: Room) -> None:
    """Lock-out, disabling, badges, a new PIN, three new lists and an emergency, all within one batch."""
    await room.goes_to("bag/retrieve")
    for _ in range(5):
        await room.refused("sign_in", {"person": CLEO.id}, Proof(person=CLEO.id, pin="000000"))
        room.clock.advance(120)
    await room.signs_in()
    await room.done("change_secret", {}, Proof(person=ADA.id, pin=ADA.pin, new="573910"))
    await room.signs_in(GUS)
    await room.done("unlock_account", {"person": CLEO.id, **REASON})
    await room.done("disable_account", {"person": ADA.id, **REASON})
    await room.done("enable_account", {"person": ADA.id, **REASON})
    badge = f"BADGE-{ADA.id}"
    await room.done("test_badge", {"person": ADA.id, "read": badge, "why": "periodic"})
    await room.done("withdraw_badge", {"person": ADA.id, "badge": badge, **REASON})
    await room.done("issue_badge", {"person": ADA.id, "badge": "SPARE-1", "hours": 8, **REASON})
    for envelope in lists(room):
        await room.done("deliver_document", {"envelope": msgspec.to_builtins(envelope)})
    await room.done("open_emergency", REASON, BEN.by_pin)
    await room.answers("bag/retrieve")
    await room.done("comment", {"text": "We are two."})
    await room.done("sign_out")
    await room.restarts()
    await room.done("sign_in", {"person": ADA.id}, Proof(person=ADA.id, pin="573910"))
    await room.done("restart", {"reason": "Looked at everything"})


def lists(room: Room) -> list[object]:
    root, people = room.keys["root"], People.from_content(load(room.home.people).content)
    renamed = tuple(
        msgspec.structs.replace(p, name="Cleo Other") if p.id == CLEO.id else p for p in people.people
    )
    newer = msgspec.structs.replace(people, version=2, people=renamed)
    roles = SiteRoles(version=1, issued_at=START, permissions={"hold": ("supervisor",)})
    revoked = (Revoked(person="p-0005", reason="Has left"),)
    revocation = Revocation(version=1, issued_at=START, revoked=revoked)
    return [
        sign("people", newer.to_content(), root, "root"),
        sign("roles", roles.to_content(), root, "root"),
        sign("revocation", revocation.to_content(), root, "root"),
    ]


@pytest.mark.requirement("R-19", "R-35")
def test_it_comes_out_again_from_the_whole_record_and_from_the_batchs_archive(
    room: Room, tmp_path: Path
) -> None:
    archives: list[Path] = []

    async def story() -> None:
        await much_happens_to_people(room)
        await room.engine.seal_soon()
        batch, key = room.batch.id, room.keys["unit"]
        await room.crashes()
        with Record.open_readonly(room.home.record) as record:
            archives.append(export_batch(record, batch, tmp_path / "batch.zip", report_html=b"", key=key))

    told(room, story)

    whole, alone = replay_folder(room.home.record), replay_archive(archives[0])
    assert whole.equal, whole.difference
    assert alone.equal, alone.difference
    assert whole.commands > 10
