"""A new version of the tables: the old record or the new one, whole, and never a word of it changed."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from migrating_process import index_by_kind, plan
from record_bench import UNIT_KEY, new_record, run_batch, trust, write

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from engine_room import make_room

from appliance.domain import events as ev
from appliance.record import migrate, schema, sqlite
from appliance.record.checks import Trust
from appliance.record.errors import RecordFull, RecordUnusable
from appliance.record.log import Record
from appliance.record.migrate import Plan, Rows, acts, bring_up, notes, rows_of, version_of
from appliance.record.replay_target import replay_folder
from appliance.record.verify import verify_record

if TYPE_CHECKING:
    from sqlite3 import Connection

PROCESS = Path(__file__).with_name("migrating_process.py")
KILLS = 20
EVENTS = 2_000
TRUST = Trust({role: frozenset(keys) for role, keys in trust().items()})


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Connection]:
    with contextlib.closing(sqlite.connect(folder / "record.db", read_only=False)) as connection:
        yield connection


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed record of today's version."""
    folder = tmp_path_factory.mktemp("old") / "record"
    with new_record(folder) as record:
        run_batch(record, events=EVENTS)
    return folder


@pytest.fixture(scope="module")
def to_two(old: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The way to a version 2 that has one index more."""
    trial = tmp_path_factory.mktemp("trial") / "record"
    shutil.copytree(old, trial)
    with opened(trial) as connection:
        index_by_kind(connection)
        return plan(schema.schema_hash(connection))


@pytest.fixture
def folder(old: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(old, tmp_path / "record"))


@pytest.fixture
def later_software(to_two: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs is the version after this one."""
    monkeypatch.setattr(schema, "SCHEMA_VERSION", to_two.version)
    monkeypatch.setattr(schema, "SCHEMA_HASH", to_two.schema_hash)
    monkeypatch.setattr(migrate, "TODAY", to_two)


def said(folder: Path) -> Rows:
    with opened(folder) as connection:
        return rows_of(connection)


def files_beside(folder: Path) -> dict[str, str]:
    found = (path for path in sorted((folder / "blobs").rglob("*")) if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def whole(folder: Path) -> bool:
    verdict = verify_record(folder, TRUST)
    return verdict.good


# ── It is brought up ───────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-42")
@pytest.mark.usefixtures("later_software")
def test_a_record_is_brought_to_the_next_version_with_every_row_and_file_as_it_was(
    folder: Path, old: Path, to_two: Plan
) -> None:
    before, files = said(old), files_beside(old)

    bring_up(folder)

    assert version_of(folder) == 2
    assert said(folder) == before
    assert before.records > EVENTS
    assert files_beside(folder) == files != {}
    assert whole(folder)
    assert said(folder / "before-0002") == before
    assert version_of(folder / "before-0002") == 1
    assert notes(folder) == [
        {"from_version": 1, "to_version": 2, "records": before.records, "rows_hash": before.hash}
    ]
    assert list(folder.glob("migrating-*")) == []
    with Record.open(folder, key=UNIT_KEY) as record:
        write(record, "CommentAdded", {"text": "It goes on."})
        assert record.head().seq > EVENTS
    assert whole(folder)


@pytest.mark.requirement("R-42")
@pytest.mark.usefixtures("later_software")
def test_a_record_of_today_is_left_as_it_is(folder: Path) -> None:
    bring_up(folder)
    once = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}

    bring_up(folder)

    assert {path: path.stat().st_mtime_ns for path in once if path.name != "writer.lock"} == {
        path: at for path, at in once.items() if path.name != "writer.lock"
    }
    assert len(list(folder.glob("before-*"))) == 1


@pytest.mark.requirement("R-42")
def test_the_engine_brings_it_up_once_and_says_so_on_record(
    tmp_path: Path, to_two: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(tmp_path / "unit")

    async def story() -> None:
        await room.starts()
        await room.goes_to("bag/bag")
        await room.crashes()
        monkeypatch.setattr(schema, "SCHEMA_VERSION", to_two.version)
        monkeypatch.setattr(schema, "SCHEMA_HASH", to_two.schema_hash)
        monkeypatch.setattr(migrate, "TODAY", to_two)
        await room.starts()
        await room.restarts()
        await room.crashes()

    asyncio.run(story())

    (migrated,) = room.events(ev.RecordMigrated)
    assert isinstance(migrated, ev.RecordMigrated)
    assert (migrated.from_version, migrated.to_version) == (1, 2)
    assert migrated.rows_hash == said(room.home.record / "before-0002").hash
    assert verify_record(room.home.record).whole
    outcome = replay_folder(room.home.record)
    assert outcome.difference is None, outcome.difference.words


# ── It is refused, in words, and nothing was done ──────────────────────────────────────


@pytest.mark.requirement("R-42")
def test_a_record_of_later_software_is_refused_in_words_and_left_as_it_is(folder: Path, to_two: Plan) -> None:
    bring_up(folder, to_two)
    before = (folder / "record.db").read_bytes()

    with pytest.raises(RecordUnusable, match="Install the later version again"):
        bring_up(folder)
    with pytest.raises(RecordUnusable, match="made by later software"):
        Record.open(folder, key=UNIT_KEY)

    assert (folder / "record.db").read_bytes() == before


@pytest.mark.usefixtures("later_software")
def test_a_record_that_nobody_brought_up_is_not_opened_for_writing(folder: Path) -> None:
    with pytest.raises(RecordUnusable, match="brings the record to this version first"):
        Record.open(folder, key=UNIT_KEY)


def test_a_version_from_which_no_step_leads_is_refused(folder: Path, to_two: Plan) -> None:
    with pytest.raises(RecordUnusable, match="version 2, from which this software knows no step on"):
        bring_up(folder, Plan(3, to_two.schema_hash, to_two.steps))

    assert version_of(folder) == 1


def forgets_a_record(connection: Connection) -> None:
    connection.execute("DROP TRIGGER ack_refuses_delete")
    connection.execute("DROP TRIGGER gxp_record_refuses_delete")
    connection.execute("DELETE FROM gxp_record WHERE seq = (SELECT max(seq) FROM gxp_record)")


def changes_a_file_name(connection: Connection) -> None:
    connection.execute("DROP TRIGGER blob_refuses_update")
    connection.execute("UPDATE blob SET media_type = 'text/plain'")


def drops_a_guard(connection: Connection) -> None:
    connection.execute("DROP TRIGGER segment_refuses_update")


@pytest.mark.requirement("R-42", "R-02")
@pytest.mark.parametrize("step", [forgets_a_record, changes_a_file_name, drops_a_guard])
def test_a_step_that_changes_what_the_record_says_is_not_taken(folder: Path, step: object) -> None:
    before = said(folder)

    with pytest.raises(RecordUnusable, match="could not be brought to version 2"):
        bring_up(folder, Plan(2, schema.SCHEMA_HASH, {1: step}))  # type: ignore[dict-item]

    assert (said(folder), version_of(folder)) == (before, 1)
    assert list(folder.glob("before-*")) == []
    with Record.open(folder, key=UNIT_KEY) as record:
        write(record, "CommentAdded", {"text": "The version before goes on."})
    with opened(folder) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"


@pytest.mark.requirement("R-42")
def test_a_record_whose_chain_does_not_hold_is_not_migrated(folder: Path, to_two: Plan) -> None:
    with opened(folder) as connection:
        connection.execute("DROP TRIGGER gxp_record_refuses_update")
        connection.execute("UPDATE gxp_record SET data = CAST(data || x'20' AS BLOB) WHERE seq = 9")

    with pytest.raises(RecordUnusable, match="Record 9 of gxp_record does not continue the chain"):
        bring_up(folder, to_two)

    assert version_of(folder) == 1


def test_while_another_program_reads_nothing_is_switched(
    folder: Path, to_two: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "PRAGMAS", (*sqlite.PRAGMAS, "busy_timeout=50"))
    with Record.open_readonly(folder) as reader:
        list(reader.read())
        with pytest.raises(RecordUnusable, match="Stop the agent, the screens and every reader"):
            bring_up(folder, to_two)
        assert reader.head().seq > EVENTS

    bring_up(folder, to_two)

    assert whole(folder)


def test_without_room_for_a_copy_nothing_is_begun(
    folder: Path, to_two: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "ROOM_FACTOR", 1e15)

    with pytest.raises(RecordFull):
        bring_up(folder, to_two)

    assert list(folder.glob("migrating-*")) == []
    assert whole(folder)


# ── It is killed ───────────────────────────────────────────────────────────────────────


def count_of_acts(folder: Path, to_two: Plan) -> int:
    return sum(1 for _ in acts(folder, 1, to_two))


def old_or_new(folder: Path, before: Rows) -> int:
    """What a kill left: one version or the other, whole; then the next start needs no person."""
    version = version_of(folder)
    assert version in (1, 2)
    assert said(folder) == before
    assert whole(folder)
    return version


def goes_on(folder: Path, before: Rows, to_two: Plan) -> None:
    bring_up(folder, to_two)
    assert (said(folder), version_of(folder)) == (before, 2)
    assert whole(folder)
    assert [one["to_version"] for one in notes(folder)] == [2]
    assert said(folder / "before-0002") == before
    assert [path.name for path in folder.glob("*-0*")] == ["before-0002"]


@pytest.mark.requirement("R-42")
def test_killed_before_or_after_any_act_it_is_the_old_record_or_the_new_one(
    old: Path, to_two: Plan, tmp_path: Path
) -> None:
    before, versions = said(old), []
    for done in range(count_of_acts(old, to_two) + 1):
        folder = Path(shutil.copytree(old, tmp_path / str(done)))
        command = [sys.executable, str(PROCESS), str(folder), to_two.schema_hash, str(done)]
        killed = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert killed.returncode == -signal.SIGKILL, killed.stderr

        versions.append(old_or_new(folder, before))
        goes_on(folder, before, to_two)

    assert versions == sorted(versions)
    assert set(versions) == {1, 2}


@pytest.mark.requirement("R-42")
def test_killed_at_any_moment_it_is_the_old_record_or_the_new_one(
    old: Path, to_two: Plan, tmp_path: Path
) -> None:
    before, chance = said(old), random.Random(42)
    trial = Path(shutil.copytree(old, tmp_path / "trial"))
    began = time.perf_counter()
    bring_up(trial, to_two)
    takes_s = time.perf_counter() - began

    died = 0
    for number in range(KILLS):
        folder = Path(shutil.copytree(old, tmp_path / str(number)))
        command = [sys.executable, str(PROCESS), str(folder), to_two.schema_hash]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(chance.uniform(0, takes_s * 1.1))
            child.kill()
        died += child.returncode == -signal.SIGKILL

        old_or_new(folder, before)
        goes_on(folder, before, to_two)
        shutil.rmtree(folder)

    print(f"{died} of {KILLS} died on the way; a migration takes {takes_s * 1000:.0f} ms")
    assert died > 0
