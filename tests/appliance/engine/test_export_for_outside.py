"""A real batch of the engine, exported for people outside: no member of staff and no typed word is in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from engine_room import ADA, BEN, CLEO, Room, bag_texts, make_room, told

from appliance.access.documents import to_json
from appliance.record import archive
from appliance.record.command import report_of
from appliance.record.export import export_batch
from appliance.record.report.batch_record import page, pdf
from appliance.record.stand_alone_verify import verify as verify_alone
from appliance.record.verify import load_trust
from appliance.record.verify_archive import verify_archive

TYPED = ("Jane Roe fainted", "Looked at by Sister Agatha")


async def a_batch_with_words(room: Room) -> str:
    await room.goes_to("bag/retrieve")
    await room.done("comment", {"text": TYPED[0]})
    await room.done("hold", {"phase": "", "reason": TYPED[1]})
    await room.until(lambda: room.batch.state == "held")
    await room.done("restart", {"reason": TYPED[1]}, CLEO.by_pin)
    await room.answers("bag/retrieve")
    await room.shows("bag", "bag", bag_texts())
    await room.answers("bag/identity")
    await room.answers("bag/identity.verify", BEN.by_pin)
    return room.batch.id


@pytest.mark.requirement("F-103", "T33", "R-03")
def test_an_archive_for_outside_is_proved_and_names_nobody(tmp_path: Path) -> None:
    room = make_room(tmp_path / "home")
    batches: list[str] = []

    async def story() -> None:
        batches.append(await a_batch_with_words(room))
        await room.answers("seal/performed", ADA.by_password)
        await room.answers("seal/verified", BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)
        envelope = json.loads(to_json(room.decision()))
        await room.done("deliver_document", {"envelope": envelope})
        await room.engine.seal_soon()
        made = report_of(room.engine.record, batches[0])
        for redact in (False, True):
            export_batch(
                room.engine.record,
                batches[0],
                tmp_path,
                report_html=page(made),
                report_pdf=pdf(made).data,
                redact=redact,
            )

    told(room, story)

    whole, outside = tmp_path / f"{batches[0]}.zip", tmp_path / f"{batches[0]}-redacted.zip"
    trust = room.home.trust
    verdicts = [verify_archive(path, load_trust(trust)) for path in (whole, outside)]
    assert [verdict.words for verdict in verdicts if not verdict.good] == []
    alone = verify_alone(outside.read_bytes(), json.loads(trust.read_bytes()))
    assert (alone["whole"], alone["trusted"], alone["words"]) == (True, True, verdicts[1].words)
    names = [b"p-0001 Demo", b"p-0002 Demo", b"p-0006 Demo", *(words.encode() for words in TYPED)]
    assert [name for name in names if name not in whole.read_bytes()] == [], "the test would see them"
    assert [name for name in names if name in outside.read_bytes()] == []
    kinds = {row["kind"] for row in json.loads(_entry(outside, "withheld.json"))["records"]}
    assert {"CommentAdded", "SignatureGiven", "SessionOpened", "DispositionRecorded", "PhaseHolding"} <= kinds
    assert b"Batch opened" in _entry(outside, "report.html")


def _entry(path: Path, name: str) -> bytes:
    return archive.take_apart(path.read_bytes()).entries[name]
