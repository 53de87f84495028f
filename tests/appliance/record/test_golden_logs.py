"""What each release wrote is read, proved and understood by every later one, for ever."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import tarfile
import typing
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from make_golden_log import ARCHIVE, BATCH, GOLDEN, PACKED, folded, state_of
from record_bench import BATCH as MADE_UP
from record_bench import new_record, run_batch, stamp, write

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from engine_room import make_room, told

import appliance
from appliance.access.keys import load_key
from appliance.domain import events as ev
from appliance.domain.upcasters import NewerThanThisSoftware, event_of
from appliance.engine.clock import stamp as stamp_of
from appliance.engine.journal import fact_of
from appliance.record import stand_alone_verify
from appliance.record.audit import row_of
from appliance.record.canonical import encode_payload
from appliance.record.checks import Trust
from appliance.record.command import report_of
from appliance.record.errors import RecordRefused
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.measurements import ChunkReader
from appliance.record.replay_target import replay_archive, replay_folder
from appliance.record.report.batch_record import content_of, page, source_of_archive
from appliance.record.verify import verify_record

RELEASES = sorted(one.name for one in GOLDEN.iterdir())
BEFORE_INPUTS_WERE_KEPT = {"0.1.0"}

PLAIN_READER = """
import json, sqlite3, sys
for seq, data in sqlite3.connect(sys.argv[1]).execute("SELECT seq, data FROM gxp_record ORDER BY seq"):
    kind = data[156:204].rstrip(bytes(1)).decode()
    print(json.dumps([seq, kind, json.loads(data[208:])["body"]]))
"""


@dataclass(frozen=True)
class Golden:
    """A release's record folder and archive, unpacked, and what was said of them when they were made."""

    version: str
    record: Path
    archive: Path
    told: dict[str, Any]


@pytest.fixture(scope="module", params=RELEASES)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    folder = tmp_path_factory.mktemp("golden")
    with tarfile.open(GOLDEN / request.param / PACKED) as packed:
        packed.extractall(folder, filter="data")
    told = json.loads((GOLDEN / request.param / "golden.json").read_bytes())
    return Golden(request.param, folder / "record", folder / ARCHIVE, told)


def test_this_release_has_its_golden_log() -> None:
    assert appliance.__version__ in RELEASES, "write it: tests/appliance/record/make_golden_log.py"
    assert "0.1.0" in RELEASES


@pytest.mark.requirement("R-05", "R-42", "F-062")
def test_both_verifiers_find_it_whole_and_signed_by_the_keys_of_then(golden: Golden) -> None:
    trust = Trust({role: frozenset(keys) for role, keys in golden.told["trust"].items()})
    events = sum(head["count"] for head in golden.told["heads"].values())

    for target in (golden.record, golden.archive):
        verdict = verify_record(target, trust)
        assert (verdict.whole, verdict.trusted) == (True, True), verdict.words
        assert verdict.batches == [BATCH]
        assert verify_record(target).whole
    assert verify_record(golden.record).events == events

    raw = golden.archive.read_bytes()
    for trusted, lists in ((trust, golden.told["trust"]), (None, None)):
        alone = stand_alone_verify.verify(raw, lists)
        assert alone["words"] == verify_record(golden.archive, trusted).words


@pytest.mark.requirement("R-05", "F-062")
def test_the_verifier_that_lies_in_it_still_runs(golden: Golden, tmp_path: Path) -> None:
    with zipfile.ZipFile(golden.archive) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".py"))
        program = tmp_path / "verify.py"
        program.write_bytes(opened.read(name))

    command = [sys.executable, "-I", "-S", str(program), str(golden.archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert "whole and unchanged" in done.stdout


@pytest.mark.requirement("R-05", "R-42")
def test_its_events_fold_to_the_state_that_was_written_beside_it(golden: Golden) -> None:
    with Record.open_readonly(golden.record) as record:
        heads = {log: record.head(log) for log in ("gxp", "telemetry")}
        kinds = [stored.header.kind for stored in record.read()]
        state = state_of(folded(record))

    assert {log: {"count": one.seq, "hash": one.hash.hex()} for log, one in heads.items()} == golden.told[
        "heads"
    ]
    assert kinds == golden.told["kinds"]
    assert json.loads(json.dumps(state)) == golden.told["state"]
    assert state["dispositions"] == ["released"]


@pytest.mark.requirement("R-05")
def test_its_readings_come_back(golden: Golden) -> None:
    with Record.open_readonly(golden.record) as record:
        reader = ChunkReader()
        chunks = [
            reader.chunk(stored)
            for stored in record.read(log="telemetry")
            if stored.header.kind == "ReadingsPacked"
        ]

    (track,) = (packed.track() for chunk in chunks for packed in chunk.tracks)
    assert track.values == golden.told["bath_c"]
    assert set(track.qualities) == {"good"}


@pytest.mark.requirement("R-05", "R-42")
def test_its_batch_record_is_drawn_with_all_that_matters(golden: Golden) -> None:
    with Record.open_readonly(golden.record) as record:
        pages = [page(report_of(record, BATCH)), page(content_of(source_of_archive(golden.archive)))]

    for drawn in pages:
        text = drawn.decode()
        for wanted in (BATCH, "ORD-1", "released", "another patient", "A9999", "The right bag is here"):
            assert wanted in text, wanted
        assert re.search("SIMULATED", text)


@pytest.mark.requirement("R-42")
def test_it_is_decided_again_or_says_why_it_cannot_be(golden: Golden) -> None:
    outcome = replay_folder(golden.record)

    assert outcome.difference is None, outcome.difference.words
    if golden.version in BEFORE_INPUTS_WERE_KEPT:
        assert outcome.older_events == golden.told["heads"]["gxp"]["count"] - 1
        with pytest.raises(RecordRefused, match="put no inputs on record"):
            replay_archive(golden.archive)
        return
    assert not outcome.older_events
    assert outcome.seals == 1
    assert replay_archive(golden.archive).state == replay_folder(golden.record, BATCH).state


@pytest.mark.requirement("R-05", "F-062")
def test_it_is_read_with_sqlite3_and_json_alone(golden: Golden) -> None:
    command = [sys.executable, "-I", "-S", "-c", PLAIN_READER, str(golden.record / "record.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [kind for _, kind, _ in rows] == golden.told["kinds"]
    assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
    (decided,) = (body for _, kind, body in rows if kind == "DispositionRecorded")
    assert decided["disposition"] == "released"


@pytest.mark.requirement("R-05", "R-42")
def test_every_kind_of_event_that_this_release_could_write_is_still_understood(golden: Golden) -> None:
    """Also those that its one batch did not need: its archive tells their fields."""
    with zipfile.ZipFile(golden.archive) as opened:
        kinds = json.loads(opened.read("schema/events.json"))
    assert len(kinds) > 50

    for kind, said in kinds.items():
        body = {name: some(type_name) for name, type_name in said["fields"].items()}
        event = event_of(kind, said["version"], body)
        assert event is not None, f"{kind} of {golden.version} would be forgotten"
        assert type(event) is ev.KINDS[kind]


def some(type_name: str) -> Any:
    """A value of a field's type, as JSON holds it."""
    kind = eval(type_name, {}, {})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is list:
        return [some(arguments[0].__name__ if typing.get_origin(arguments[0]) is None else str(arguments[0]))]
    if origin is dict:
        return {}
    return {str: "1", int: 1, bool: True}[kind]


# ── What nobody knows yet ──────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-05", "R-42")
def test_an_event_of_a_later_version_is_kept_proved_shown_and_exported(tmp_path: Path) -> None:
    """A kind that this software has never heard of, in the middle of a batch."""
    with new_record(tmp_path / "record") as record:
        run_batch(record)
        stored = write(record, "ColourFelt", {"phase": "thaw", "colour": "ultramarine"})
        write(record, "CommentAdded", {"text": "and on", "by": "p-0001", "name": "Ada"})
        record.seal(stamp(100))
        drawn = page(report_of(record, MADE_UP))
        shown = row_of(stored).what
        path = export_batch(record, MADE_UP, tmp_path, report_html=drawn)

        assert fact_of(stored) is None

    assert verify_record(tmp_path / "record").whole
    assert verify_record(path).whole
    assert stand_alone_verify.verify(path.read_bytes(), None)["whole"]
    with zipfile.ZipFile(path) as opened:
        assert stored.data in opened.read("records/gxp.bin")
    assert b"ColourFelt" in drawn and b"ultramarine" in drawn
    assert "ultramarine" in shown
    assert b"ColourFelt" in page(content_of(source_of_archive(path)))


@pytest.mark.requirement("R-42")
def test_an_engine_does_not_start_on_a_known_event_of_a_later_version(tmp_path: Path) -> None:
    """What it would have to guess at could decide wrongly; nothing is lost, and it says what to do."""
    room = make_room(tmp_path / "unit")
    told(room, room.begins_batch)
    key = load_key(room.home.unit_key)
    with Record.open(room.home.record, key=key) as record:
        body = encode_payload(None, None, {"start": 9})
        record.append(
            "EngineStoppedCleanly", body, actor="unit", stamp=stamp_of(room.clock), payload_version=2
        )
        before = record.head()

    with pytest.raises(NewerThanThisSoftware, match="EngineStoppedCleanly in version 2"):
        asyncio.run(room.starts())

    with Record.open_readonly(room.home.record) as record:
        assert record.head() == before
    assert verify_record(room.home.record).whole
    difference = replay_folder(room.home.record).difference
    assert difference is not None and "in version 2" in difference.why
