"""What is in the log stays in the log, and what is acknowledged is on the disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils
from record_bench import BATCH, EPOCH, OTHER_KEY, UNIT_KEY, new_record, run_batch, stamp, write

from appliance.record import sqlite
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.errors import BlobMissing, RecordRefused, RecordUnusable
from appliance.record.log import Record
from appliance.record.verify import verify_folder

FORBIDDEN = [
    "UPDATE gxp_record SET data = x'00' WHERE seq = 1",
    "DELETE FROM gxp_record WHERE seq = 2",
    "INSERT OR REPLACE INTO gxp_record (seq, hash, data) VALUES (1, x'00', x'00')",
    "REPLACE INTO telemetry_record (seq, hash, data) VALUES (1, x'00', x'00')",
    "INSERT INTO gxp_record (seq, hash, data) VALUES (9999, x'00', x'00')",
    "INSERT OR IGNORE INTO gxp_record (seq, hash, data) VALUES (0, x'00', x'00')",
    "INSERT INTO segment (log, first, last, header, signature) VALUES ('gxp', 1, 1, x'00', x'00')",
    "REPLACE INTO segment (log, first, last, header, signature) VALUES ('gxp', 1, 1, x'00', x'00')",
    "UPDATE ack SET acked_seq = 0",
    "DELETE FROM segment",
    "UPDATE blob SET media_type = 'text/html'",
    "DROP TABLE gxp_record",
    "DROP TRIGGER gxp_record_refuses_update",
    "ALTER TABLE gxp_record RENAME TO other",
    "ALTER TABLE gxp_record ADD COLUMN more TEXT",
    "CREATE TABLE other (x)",
    "CREATE TRIGGER t AFTER INSERT ON gxp_record BEGIN SELECT 1; END",
    "PRAGMA writable_schema = ON",
    "PRAGMA recursive_triggers = OFF",
    "PRAGMA synchronous = OFF",
    "PRAGMA journal_mode = DELETE",
    "PRAGMA user_version = 9",
    "ATTACH 'other.db' AS other",
    "VACUUM",
    "UPDATE sqlite_master SET sql = ''",
]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Record]:
    """One record for all the attacks that must not change anything."""
    with new_record(tmp_path_factory.mktemp("attacked") / "record") as record:
        run_batch(record)
        write(record, "CommentAdded", {"text": "x"})
        record.store_ack(b"{}", b"s", log="gxp", acked_seq=1)
        yield record


@pytest.mark.parametrize("sql", FORBIDDEN)
@pytest.mark.requirement("F-053", "R-08")
def test_the_writers_own_connection_cannot_change_what_is_recorded(attacked: Record, sql: str) -> None:
    before = [(stored.seq, stored.hash) for stored in attacked.read()]
    with pytest.raises(sqlite.Error):
        attacked._connection.execute(sql)
    assert [(stored.seq, stored.hash) for stored in attacked.read()] == before
    assert verify_folder(attacked.folder).whole


@pytest.mark.parametrize("sql", FORBIDDEN[:10])
@pytest.mark.requirement("F-053", "R-08")
def test_triggers_hold_on_a_connection_without_the_authorizer(attacked: Record, sql: str) -> None:
    intruder = sqlite.connect(attacked.folder / "record.db", read_only=False)
    with pytest.raises(sqlite.IntegrityError):
        intruder.execute(sql)
    intruder.close()
    assert verify_folder(attacked.folder).whole


def test_transform_of_sqlite_utils_is_refused(batch_record: Record) -> None:
    database = sqlite_utils.Database(batch_record._connection)
    with pytest.raises(sqlite.Error):
        database["gxp_record"].transform(rename={"data": "bytes"})
    assert verify_folder(batch_record.folder).whole


@pytest.mark.requirement("F-053", "R-38")
def test_dropped_triggers_are_found_at_the_next_start(batch_record: Record) -> None:
    folder = batch_record.folder
    batch_record.close()
    intruder = sqlite.connect(folder / "record.db", read_only=False)
    intruder.execute("DROP TRIGGER gxp_record_refuses_delete")
    intruder.close()
    with pytest.raises(RecordUnusable, match="gxp_record_refuses_delete is missing"):
        Record.open(folder, key=UNIT_KEY)
    assert "guard" in verify_folder(folder).words


def without_guards(folder: Path, *statements: str) -> None:
    """What root could do to the file."""
    intruder = sqlite.connect(folder / "record.db", read_only=False)
    triggers = intruder.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        intruder.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        intruder.execute(statement)
    for _, sql in triggers:
        intruder.execute(sql)
    intruder.close()


@pytest.mark.parametrize(
    ("statement", "seq"),
    [
        ("UPDATE gxp_record SET data = CAST(replace(data, 'thaw', 'wash') AS BLOB) WHERE seq = 4", 4),
        ("UPDATE gxp_record SET hash = zeroblob(32) WHERE seq = 7", 7),
        ("DELETE FROM gxp_record WHERE seq = 6", 6),
        ("DELETE FROM gxp_record WHERE seq > 9", 10),
        ("UPDATE gxp_record SET seq = -seq WHERE seq IN (8, 9)", 8),
        ("DELETE FROM segment WHERE first > 2", 0),
        ("UPDATE segment SET signature = zeroblob(64) WHERE first = 1", 1),
    ],
)
@pytest.mark.requirement("R-02", "F-053")
def test_a_change_behind_the_guards_is_found_and_named(
    batch_record: Record, statement: str, seq: int
) -> None:
    folder = batch_record.folder
    batch_record.close()
    without_guards(folder, statement)
    verdict = verify_folder(folder)
    if "DELETE FROM segment" in statement:
        # Unsigning the end cannot be told from "not yet signed"; it is shown, and central's copy tells.
        assert verdict.unsigned_events > 0
        return
    assert not verdict.whole
    assert verdict.first_bad is not None
    assert (verdict.first_bad.log, verdict.first_bad.seq) == ("gxp", seq)


@pytest.mark.requirement("R-02", "R-36")
def test_a_tail_cut_after_an_acknowledgement_is_found(batch_record: Record) -> None:
    folder, head = batch_record.folder, batch_record.head()
    ack = json.dumps({"acked_seq": head.seq, "acked_hash": head.hash.hex()}).encode()
    batch_record.store_ack(ack, b"signature", log="gxp", acked_seq=head.seq)
    batch_record.close()
    without_guards(
        folder,
        f"DELETE FROM gxp_record WHERE seq = {head.seq}",
        "DELETE FROM segment WHERE log = 'gxp' AND first > 1",
        "DELETE FROM ack",
    )
    verdict = verify_folder(folder)
    assert verdict.first_bad is not None and verdict.first_bad.seq == head.seq
    assert "central acknowledged" in verdict.words
    with pytest.raises(RecordUnusable, match="its end was cut off"):
        Record.open(folder, key=UNIT_KEY)


@pytest.mark.requirement("R-02", "R-36")
def test_another_event_under_an_acknowledged_number_is_found(batch_record: Record) -> None:
    ack = json.dumps({"acked_seq": 3, "acked_hash": "00" * 32}).encode()
    batch_record.store_ack(ack, b"signature", log="gxp", acked_seq=3)
    verdict = verify_folder(batch_record.folder)
    assert verdict.first_bad is not None and verdict.first_bad.seq == 3


def test_every_acknowledgement_is_kept_and_the_highest_counts(batch_record: Record) -> None:
    for seq, second in ((4, 1), (9, 2), (7, 3)):
        ack = json.dumps({"acked_seq": seq, "server_time": f"2026-11-21T08:00:0{second}Z"}).encode()
        batch_record.store_ack(ack, b"s", log="gxp", acked_seq=seq)
    acked, at = batch_record.acked()
    assert acked == 9 and at is not None and at.second == 2
    assert [seq for seq, _, _ in batch_record.acks()] == [4, 9, 7]
    with pytest.raises(RecordRefused):
        batch_record.store_ack(b"{}", b"s", log="gxp", acked_seq=batch_record.head().seq + 1)


def test_a_second_engine_is_refused_with_words(record: Record) -> None:
    with pytest.raises(RecordUnusable, match="Another engine"):
        Record.open(record.folder, key=UNIT_KEY)
    with pytest.raises(RecordUnusable, match="Another engine"):
        new_record(record.folder)
    record.close()
    Record.open(record.folder, key=UNIT_KEY).close()
    with pytest.raises(RecordUnusable, match="already"):
        new_record(record.folder)


def test_another_units_key_does_not_open_the_record(record: Record) -> None:
    record.close()
    with pytest.raises(RecordUnusable, match="belongs to"):
        Record.open(record.folder, key=OTHER_KEY)
    Record.open(record.folder, key=UNIT_KEY).close()


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordUnusable, match="no record"):
        Record.open_readonly(tmp_path)


def test_an_old_sqlite_is_refused_before_any_file_is_opened() -> None:
    with pytest.raises(RecordUnusable, match=r"3\.51\.3 or later"):
        sqlite.require_sound((3, 51, 2))
    sqlite.require_sound((3, 51, 3))


def test_readers_see_what_is_appended_and_cannot_write(record: Record) -> None:
    with Record.open_readonly(record.folder) as reader:
        stored = write(record, "CommentAdded", {"text": "seen"})
        assert reader.head().hash == stored.hash
        with pytest.raises(RecordUnusable, match="reading only"):
            write(reader, "CommentAdded", {"text": "no"})
        with pytest.raises(sqlite.Error):
            reader._connection.execute("DELETE FROM gxp_record")


def test_a_run_is_written_whole_or_not_at_all(record: Record) -> None:
    good = NewRecord(kind="A", payload=encode_payload(None, None, {}), actor="unit", stamp=stamp())
    bad = NewRecord(kind="B" * 49, payload=encode_payload(None, None, {}), actor="unit", stamp=stamp())
    with pytest.raises(RecordRefused):
        record.append_many([good, bad])
    assert record.head().seq == 1
    stored = record.append_many([good, good])
    assert [item.seq for item in stored] == [2, 3]
    assert [item.hash for item in record.read(2)] == [item.hash for item in stored]


def test_a_simulated_time_never_gets_into_a_real_units_record(tmp_path: Path) -> None:
    made = Record.create(
        tmp_path / "record",
        unit_id="unit-0002",
        key=UNIT_KEY,
        software_version="0.1.0",
        simulated=False,
        stamp=stamp(quality=1),
    )
    with made, pytest.raises(RecordRefused, match="simulated clock"):
        write(made, "CommentAdded", {"text": "x"})


def test_a_record_that_was_refused_leaves_the_log_usable(record: Record) -> None:
    with pytest.raises(RecordRefused):
        record.append("X", b'{"batch":null,"command":null,"body":{"x":1.5}}', actor="unit", stamp=stamp())
    assert write(record, "CommentAdded", {"text": "on it goes"}).seq == 2


def test_threads_append_without_gap_or_double(record: Record) -> None:
    def work() -> None:
        for _ in range(25):
            write(record, "CommentAdded", {"text": "x"})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [stored.seq for stored in record.read()] == list(range(1, 102))
    assert verify_folder(record.folder).whole


def test_segments_cover_everything_once_and_stay_small(record: Record) -> None:
    payload = encode_payload(BATCH, None, {"text": "x" * 400})
    item = NewRecord(kind="CommentAdded", payload=payload, actor="unit", stamp=stamp())
    record.append_many([item] * 1500)
    assert record.seal(stamp(1)) is not None
    assert record.seal(stamp(2)) is None
    write(record, "CommentAdded", {"text": "later"})
    record.seal(stamp(3))
    segments = list(record.segments())
    assert [segment.first for segment in segments[1:]] == [segment.last + 1 for segment in segments[:-1]]
    assert segments[0].first == 1 and segments[-1].last == record.head().seq
    assert all(segment.facts()["count"] <= 1000 for segment in segments)
    assert next(record.segments(segments[1].first)).first == segments[1].first
    assert verify_folder(record.folder).unsigned_events == 1  # telemetry's genesis


@pytest.mark.requirement("R-45", "R-38")
def test_files_are_kept_by_content_and_a_changed_one_is_found(record: Record) -> None:
    reference = record.put_blob(b"picture", "image/png")
    assert record.put_blob(b"picture", "image/png") == reference
    assert record.blob(reference.sha256) == b"picture"
    write(record, "ScanRead", {"picture": reference.sha256})
    path = record.blobs_folder / reference.sha256[:2] / reference.sha256
    path.write_bytes(b"pictures")
    with pytest.raises(BlobMissing, match="was changed"):
        record.blob(reference.sha256)
    verdict = verify_folder(record.folder)
    assert verdict.first_bad is not None and verdict.first_bad.kind == "ScanRead"
    path.unlink()
    with pytest.raises(BlobMissing, match="not in the record folder"):
        record.blob(reference.sha256)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a" * 63, "A" * 64, "/" + "a" * 63])
def test_a_file_name_that_is_no_hash_is_refused(record: Record, name: str) -> None:
    with pytest.raises(RecordRefused):
        record.blob(name)


@pytest.mark.requirement("R-38")
def test_the_start_up_check_reports_facts_for_an_event(batch_record: Record) -> None:
    folder = batch_record.folder
    write(batch_record, "CommentAdded", {"text": "not signed yet"})
    batch_record.close()
    with Record.open(folder, key=UNIT_KEY) as reopened:
        assert reopened.report is not None and reopened.report.good
        body = reopened.report.as_body()
        assert body["checked_gxp_records"] == 1
        assert write(reopened, "EngineStarted", body).seq == reopened.head().seq
        assert reopened.head().epoch == EPOCH and reopened.simulated


def test_a_change_after_the_last_segment_is_found_at_start(batch_record: Record) -> None:
    folder = batch_record.folder
    stored = write(batch_record, "CommentAdded", {"text": "thawed"})
    batch_record.close()
    without_guards(
        folder,
        "UPDATE gxp_record SET data = CAST(replace(data, 'thawed', 'frozen') AS BLOB)"
        f" WHERE seq = {stored.seq}",
    )
    with pytest.raises(RecordUnusable, match=f"Event {stored.seq} of gxp does not continue the chain"):
        Record.open(folder, key=UNIT_KEY)


def test_a_damaged_database_file_is_refused(batch_record: Record) -> None:
    folder = batch_record.folder
    batch_record.checkpoint()
    batch_record.close()
    path = folder / "record.db"
    raw = bytearray(path.read_bytes())
    raw[4096:8192] = bytes(4096)
    path.write_bytes(raw)
    with pytest.raises(RecordUnusable):
        Record.open(folder, key=UNIT_KEY)


def test_two_copies_of_a_record_grow_apart_and_both_say_they_are_whole(
    batch_record: Record, tmp_path: Path
) -> None:
    """A clone cannot be told offline: that is why the number and hash of the head go to central."""
    batch_record.close()
    clone = tmp_path / "clone"
    shutil.copytree(batch_record.folder, clone)
    with Record.open(batch_record.folder, key=UNIT_KEY) as one, Record.open(clone, key=UNIT_KEY) as two:
        write(one, "CommentAdded", {"text": "one"})
        write(two, "CommentAdded", {"text": "two"})
        assert one.head().seq == two.head().seq and one.head().hash != two.head().hash


def test_the_standard_library_sqlite_is_never_loaded_by_the_record(tmp_path: Path) -> None:
    code = (
        "import sys, appliance.record.log as log; from pathlib import Path;"
        f"log.Record.open_readonly(Path({str(tmp_path / 'record')!r})).close();"
        "print([m for m in ('_sqlite3', 'sqlite_utils', 'pandas', 'numpy') if m in sys.modules])"
    )
    record = new_record(tmp_path / "record")
    run_batch(record)
    record.close()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
