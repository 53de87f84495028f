"""Write the golden log of a release: a record, its archive and what they say, kept for ever.

    python tests/appliance/record/make_golden_log.py VERSION [OUT]

Run it once with each release, from the release's own tree, and commit `tests/data/golden/VERSION`.
It uses nothing but the test parts of the tree it lies beside, so it also runs with an older one:
give that tree's root as PYTHONPATH and name its engine room with GOLDEN_ROOM.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tarfile
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, os.environ.get("GOLDEN_ROOM", str(Path(__file__).parents[1] / "engine")))

import msgspec
from engine_room import ADA, BEN, CLEO, START, Room, bag_texts, make_room

import appliance
from appliance.access.keys import load_key
from appliance.domain import events as ev
from appliance.domain.batch import Unit, evolve
from appliance.engine.clock import stamp
from appliance.engine.journal import fact_of
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.export import export_batch
from appliance.record.log import Record

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden"
PACKED = "golden.tar.xz"  # the archive and the record folder; packed, for the repository keeps each for ever
BATCH = "UNIT-1-00001"
ARCHIVE = f"{BATCH}.zip"
OTHER_BAG = "A999926654321"
BATH_C = ["36.9", "37.0", "37.1", "37.0"]


async def story(room: Room) -> None:
    """A wrong bag, a crash, a STOP, a comment, readings; sealed, released by the QP, acknowledged."""
    await room.goes_to("bag/bag")
    await room.shows("bag", "bag", bag_texts(OTHER_BAG))
    await room.restarts()
    await room.signs_in(CLEO)
    await room.done("restart", {"reason": "The right bag is here"}, CLEO.by_pin)
    await room.done("comment", {"text": "The first bag was another patient's."})
    await room.done("stop", {})
    await room.done("release_stop", {"reason": "All is safe"})
    await room.done("restart", {"reason": "Looked at everything"}, CLEO.by_pin)
    await room.signs_in(ADA)
    await room.shows("bag", "bag", bag_texts())
    for prompt, proof in [
        ("bag/identity", None),
        ("bag/identity.verify", BEN.by_pin),
        ("seal/performed", ADA.by_password),
    ]:
        await room.answers(prompt, proof)
    pack_readings(room)
    await room.answers("seal/verified", BEN.by_password)
    await room.until(lambda: room.batch.sealed is not None)
    await room.done("deliver_document", {"envelope": msgspec.to_builtins(room.decision())})
    for log in ("gxp", "telemetry"):
        room.engine.record.seal(stamp(room.clock), log)
    await room.done("store_ack", room.acknowledgement())
    room.engine.record.checkpoint()


def pack_readings(room: Room) -> None:
    """One minute of a bath's readings, in the form of the release at hand."""
    body, version = _packed()
    new = NewRecord(
        kind="ReadingsPacked",
        payload=encode_payload(BATCH, None, body),
        actor="unit",
        stamp=stamp(room.clock),
        payload_version=version,
        log="telemetry",
    )
    room.engine.record.append_many([new])


def _packed() -> tuple[dict[str, Any], int]:
    try:
        from appliance.record.measurements import PAYLOAD_VERSION, ChunkWriter
        from appliance.record.telemetry_chunk import Chunk, Track
    except ImportError:  # release 0.1.0 wrote plain JSON
        samples = [[1000 * second, value, "good"] for second, value in enumerate(BATH_C)]
        channel = {"device": "bath", "name": "bath_c", "unit": "degC", "samples": samples}
        end = START + timedelta(minutes=1)
        return {"from": START.isoformat(), "to": end.isoformat(), "channels": [channel]}, 1
    count = len(BATH_C)
    track = Track("bath", "bath_c", "degC", [*range(count)], [*BATH_C], ["good"] * count)
    return ChunkWriter().body(Chunk(START, 1000, 60, [track])), PAYLOAD_VERSION


def state_of(unit: Unit) -> dict[str, Any]:
    """What the unit goes by, under names that no release may change."""
    batch = unit.batch
    assert batch is not None
    events = [fact.event for fact in batch.facts]
    decided = [one.disposition for one in events if isinstance(one, ev.DispositionRecorded)]
    return {
        "orders_made": unit.made_orders,
        "used_bags": unit.used_bags,
        "stop_latched": unit.stop_latched,
        "terms": unit.term,
        "batch": batch.id,
        "phases": {name: run.state for name, run in batch.runs.items()},
        "sealed_seq": next(one.sealed_seq for one in events if isinstance(one, ev.BatchSealed)),
        "dispositions": decided,
    }


def folded(record: Record) -> Unit:
    """The state that a record tells, from its first event."""
    unit = Unit(record.unit_id, record.simulated, {})
    for stored in record.read():
        if (fact := fact_of(stored)) is not None:
            evolve(unit, fact)
    return unit


def _told(record: Record, trust: Path, version: str) -> dict[str, Any]:
    heads = {log: record.head(log) for log in ("gxp", "telemetry")}
    return {
        "version": version,
        "heads": {log: {"count": head.seq, "hash": head.hash.hex()} for log, head in heads.items()},
        "kinds": [stored.header.kind for stored in record.read()],
        "state": state_of(folded(record)),
        "bath_c": BATH_C,
        "trust": json.loads(trust.read_bytes()),
    }


def make(version: str, out: Path) -> None:
    """Run the story with the software at hand and keep what it wrote under `out`."""
    if version != appliance.__version__:
        raise SystemExit(f"This tree is version {appliance.__version__}; raise it to {version} first.")
    with tempfile.TemporaryDirectory() as place:
        room = make_room(Path(place) / "unit")
        asyncio.run(_run(room))
        with Record.open(room.home.record, key=load_key(room.home.unit_key)) as record:
            page = _page(record)
            export_batch(record, BATCH, room.home.root / ARCHIVE, report_html=page)
            told = _told(record, room.home.trust, version)
            record.checkpoint()
        out.mkdir(parents=True)
        with tarfile.open(out / PACKED, "w:xz", preset=9) as packed:
            packed.add(room.home.root / ARCHIVE, ARCHIVE, filter=_anybody)
            for one in sorted(room.home.record.rglob("*")):
                if one.suffix == ".json" or one.name == "record.db" or one.parent.parent.name == "blobs":
                    packed.add(one, f"record/{one.relative_to(room.home.record)}", filter=_anybody)
        (out / "golden.json").write_text(json.dumps(told, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _anybody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose machine it was and when says nothing about a record."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o644
    return entry


def _page(record: Record) -> bytes:
    from appliance.record.command import report_of
    from appliance.record.report import batch_record as report

    made: Any = report_of(record, BATCH)
    return made if isinstance(made, bytes) else report.page(made)  # release 0.1.0 drew it at once


async def _run(room: Room) -> None:
    await room.starts()
    try:
        await story(room)
    finally:
        await room.crashes()


if __name__ == "__main__":
    release = sys.argv[1]
    make(release, Path(sys.argv[2]) if len(sys.argv) > 2 else GOLDEN / release)
