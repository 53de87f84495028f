"""Whatever is changed of a stored record is found, and both verifiers name the same place.

The whole matrix of single flips is played against the verifiers' check of one record, each from the
true state before it; a sample of the flips is played as whole verifications of folder and archive.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from record_bench import BATCH, OTHER_KEY, PNG, UNIT_KEY, new_record, run_batch, trust
from tampering import (
    FIELDS,
    SECOND_BATCH,
    Change,
    Log,
    Row,
    both,
    chained_again,
    place_in_archive,
    place_in_record,
    place_of,
    put_into_archive,
    put_into_record,
    read_log,
    resigned,
    rows_of,
    with_field,
    with_guards_off,
    with_payload,
    write_archive,
    write_log,
)
from tampering_one_record import flips_not_found

from appliance.record import archive, sqlite
from appliance.record.canonical import record_hash
from appliance.record.errors import RecordError, RecordUnusable
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.segments import make_segment
from appliance.record.verify import verify_record

pytestmark = pytest.mark.requirement("R-02", "R-38", "R-41", "F-053")

EVENTS = 110
SHORT_FLIPS = 300  # whole verifications of folder, ours, and of archive, both
LONG_EVENTS = 1_000
FILE_FLIPS = 120
AT = 60  # the event in the middle that changes are made at


@dataclass(frozen=True, slots=True)
class Whole:
    """An untouched record and its archive."""

    folder: Path
    archive: bytes
    log: Log


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    write_log(folder / "record", EVENTS)
    raw = write_archive(folder / "record", folder).read_bytes()
    return Whole(folder / "record", raw, read_log(folder / "record"))


def test_the_untouched_record_and_its_archive_are_whole(whole: Whole, tmp_path: Path) -> None:
    put_into_record(whole.folder, tmp_path / "same", whole.log)

    assert len(whole.log.rows) == EVENTS and len(whole.log.segments) >= 4
    assert place_in_record(whole.folder) is None
    assert place_in_record(tmp_path / "same") is None
    assert put_into_archive(whole.archive, whole.log) == whole.archive
    assert place_in_archive(tmp_path / "a.zip", whole.archive) is None


# Every bit and every byte


def test_every_bit_of_a_hundred_events_and_their_hashes_is_found_by_both_verifiers(whole: Whole) -> None:
    rows = whole.log.rows[:100]

    tried, missed = flips_not_found(
        rows, lambda data: ((at, 1 << bit) for at in range(len(data)) for bit in range(8))
    )

    assert tried == 8 * sum(len(row.data) + len(row.hash) for row in rows) > 200_000
    assert missed == []


def test_every_byte_of_a_thousand_events_and_their_hashes_is_found_by_both_verifiers(tmp_path: Path) -> None:
    write_log(tmp_path / "record", LONG_EVENTS)
    rows = read_log(tmp_path / "record").rows
    chance = random.Random(3)

    tried, missed = flips_not_found(
        rows, lambda data: ((at, chance.randrange(1, 256)) for at in range(len(data)))
    )

    assert tried == sum(len(row.data) + len(row.hash) for row in rows) > 300_000
    assert missed == []


def flipped(log: Log, chance: random.Random) -> tuple[Log, int]:
    """The log with one bit of one record's bytes or hash turned over; and its number."""
    first = whole_first(log)
    row = chance.choice(log.rows[first - 1 :])
    raw = bytearray(row.hash + row.data)
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    changed = Row(row.seq, bytes(raw[:32]), bytes(raw[32:]))
    return rows_of(log, [changed if one.seq == row.seq else one for one in log.rows]), row.seq


def whole_first(log: Log) -> int:
    """Where the archive of the first batch begins."""
    return log.segments[1].first


def test_a_sample_of_the_flips_is_found_and_named_by_whole_verifications(
    whole: Whole, tmp_path: Path
) -> None:
    chance = random.Random(4)
    for number in range(SHORT_FLIPS):
        changed, seq = flipped(whole.log, chance)
        copy = tmp_path / str(number)
        put_into_record(whole.folder, copy, changed)

        assert place_in_record(copy) == ("gxp", seq)
        assert place_in_archive(tmp_path / "a.zip", put_into_archive(whole.archive, changed)) == ("gxp", seq)
        shutil.rmtree(copy)


# Rows and segments


def deleted(log: Log) -> Log:
    return rows_of(log, [row for row in log.rows if row.seq != AT])


def deleted_and_chained_again(log: Log) -> Log:
    return chained_again(log, deleted(log).rows)


def inserted(log: Log) -> Log:
    return chained_again(log, [*log.rows[:AT], log.rows[AT - 1], *log.rows[AT:]])


def swapped_whole(log: Log) -> Log:
    rows = list(log.rows)
    one, other = rows[AT - 1], rows[AT]
    rows[AT - 1], rows[AT] = replace(other, seq=one.seq), replace(one, seq=other.seq)
    return rows_of(log, rows)


def swapped_and_chained_again(log: Log) -> Log:
    rows = list(log.rows)
    rows[AT - 1], rows[AT] = rows[AT], rows[AT - 1]
    return chained_again(log, [replace(row, seq=0) for row in rows])


def other_value(row: Row) -> bytes:
    changed = row.data.replace(b'.5"', b'.6"')
    assert changed != row.data
    return changed


def replaced_with_its_own_hash(log: Log) -> Log:
    """The changed row fits the one before it; the one after it does not fit."""
    rows = list(log.rows)
    data = other_value(rows[AT - 1])
    rows[AT - 1] = Row(AT, record_hash(rows[AT - 2].hash, data), data)
    return rows_of(log, rows)


def replaced_and_chained_again(log: Log) -> Log:
    rows = list(log.rows)
    rows[AT - 1] = replace(rows[AT - 1], data=other_value(rows[AT - 1]))
    return chained_again(log, rows)


def hash_of_another(log: Log) -> Log:
    rows = list(log.rows)
    rows[AT - 1] = replace(rows[AT - 1], hash=rows[AT - 2].hash)
    return rows_of(log, rows)


def end_cut(log: Log) -> Log:
    return rows_of(log, log.rows[: AT - 1])


def longer_payload_and_chained_again(log: Log) -> Log:
    rows = list(log.rows)
    data = with_payload(rows[AT - 1].data, b'{"batch":null,"command":null,"body":{}}')
    rows[AT - 1] = replace(rows[AT - 1], data=data)
    return chained_again(log, rows)


def signature_moved_to_another_batch(log: Log) -> Log:
    """A person's signature of the first batch in the place of the one in the second."""
    given = [row for row in log.rows if b"SignatureGiven" in row.data[:208]]
    one, other = given[0], given[-1]
    assert BATCH.encode() in one.data and SECOND_BATCH.encode() in other.data
    moved = one.data.replace(BATCH.encode(), SECOND_BATCH.encode())
    return chained_again(log, [replace(row, data=moved, seq=0) if row == other else row for row in log.rows])


def signature_moved_to_another_text(log: Log) -> Log:
    """One person's name under what another signed."""
    given = [row for row in log.rows if b"SignatureGiven" in row.data[:208]]
    moved = given[-1].data.replace(b"performed the wash", b"performed the thaw")
    assert moved != given[-1].data
    return chained_again(log, [replace(row, data=moved) if row == given[-1] else row for row in log.rows])


def segment_replaced(log: Log) -> Log:
    """The second segment in the place of the third, with the borders of the third."""
    segments = list(log.segments)
    segments[2] = replace(segments[2], header=segments[1].header, signature=segments[1].signature)
    return replace(log, segments=tuple(segments))


def segment_signature_moved(log: Log) -> Log:
    segments = list(log.segments)
    segments[2] = replace(segments[2], signature=segments[1].signature)
    return replace(log, segments=tuple(segments))


def segment_of_another_key(log: Log) -> Log:
    """Events changed, chained again, and each segment made anew with a key that is not the unit's."""
    changed = replaced_and_chained_again(log)
    segments = []
    for segment in log.segments:
        rows = changed.rows[segment.first - 1 : segment.last]
        before = changed.rows[segment.first - 2].hash if segment.first > 1 else bytes(32)
        from record_bench import stamp

        from appliance.record.canonical import StoredRecord

        made = make_segment(
            [StoredRecord(row.seq, row.hash, row.data) for row in rows],
            before,
            OTHER_KEY,
            stamp(1),
            software_version="0.1.0",
            simulated=True,
        )
        segments.append(replace(segment, header=made.header, signature=made.signature))
    return replace(changed, segments=tuple(segments))


def middle_segment_deleted(log: Log) -> Log:
    return replace(log, segments=(*log.segments[:2], *log.segments[3:]))


def one(seq: int) -> Callable[[Log], int]:
    return lambda log: seq


def covering(seq: int) -> Callable[[Log], int]:
    """Where the segment begins that covers an event: chained again, no single event can be named."""
    return lambda log: place_of(seq, log)


ROWS: dict[str, tuple[Change, Callable[[Log], int]]] = {
    "a row deleted": (deleted, one(AT)),
    "a row deleted and the rest chained again": (deleted_and_chained_again, covering(AT)),
    "a row inserted and the rest chained again": (inserted, covering(AT + 1)),
    "two rows reordered": (swapped_whole, one(AT)),
    "two rows reordered and chained again": (swapped_and_chained_again, covering(AT)),
    "a row replaced with a hash of its own": (replaced_with_its_own_hash, one(AT + 1)),
    "a row replaced and the rest chained again": (replaced_and_chained_again, covering(AT)),
    "a payload replaced by an empty one": (longer_payload_and_chained_again, covering(AT)),
    "a hash copied from another row": (hash_of_another, one(AT)),
    "the end cut off": (end_cut, one(AT)),
    "a signature moved to another batch": (signature_moved_to_another_batch, covering(EVENTS)),
    "a signature put under another text": (signature_moved_to_another_text, one(EVENTS)),
    "a segment replaced by another": (segment_replaced, lambda log: log.segments[2].first),
    "a segment's signature moved": (segment_signature_moved, lambda log: log.segments[2].first),
    "segments signed by another key": (segment_of_another_key, lambda log: log.segments[0].first),
    "a segment deleted": (middle_segment_deleted, lambda log: log.segments[2].first),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_change_of_rows_or_segments_is_found_and_its_place_named(
    whole: Whole, tmp_path: Path, name: str
) -> None:
    change, place = ROWS[name]
    changed, seq = change(whole.log), place(whole.log)
    put_into_record(whole.folder, tmp_path / "record", changed)

    in_archive = place_in_archive(tmp_path / "a.zip", put_into_archive(whole.archive, changed))

    assert place_in_record(tmp_path / "record") == ("gxp", seq)
    assert in_archive == ("gxp", max(seq, whole_first(whole.log)))


OTHER_VALUES: dict[str, object] = {
    "magic": b"CWR2",
    "version": 2,
    "size": 209,
    "unit": b"unit-0002".ljust(32, b"\x00"),
    "log": b"telemetry".ljust(16, b"\x00"),
    "epoch": bytes(16),
    "seq": AT + 1,
    "wall": 1_800_000_000_000_000,
    "monotonic": 1,
    "boot": bytes(16),
    "quality": 1,
    "algorithm": 2,
    "payload_version": 2,
    "cursor": 7,
    "actor": b"p-0099".ljust(32, b"\x00"),
    "kind": b"CommentAdded".ljust(48, b"\x00"),
    "length": 1,
}
NAMED_BY_THE_HEADER = {"magic", "version", "size", "unit", "log", "epoch", "algorithm", "length"}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("chained", [False, True], ids=["as it stands", "chained again"])
def test_each_field_of_the_header_is_covered(whole: Whole, tmp_path: Path, field: str, chained: bool) -> None:
    data = with_field(whole.log.rows[AT - 1].data, field, OTHER_VALUES[field])
    rows = [replace(row, data=data) if row.seq == AT else row for row in whole.log.rows]
    changed = chained_again(whole.log, rows) if chained else rows_of(whole.log, rows)
    put_into_record(whole.folder, tmp_path / "record", changed)

    found = place_in_record(tmp_path / "record")

    named = not chained or field in NAMED_BY_THE_HEADER or field == "seq"
    assert found == ("gxp", AT if named else place_of(AT, whole.log))
    assert place_in_archive(tmp_path / "a.zip", put_into_archive(whole.archive, changed)) == found


def test_a_replaced_genesis_is_found(whole: Whole, tmp_path: Path) -> None:
    with new_record(tmp_path / "other", OTHER_KEY) as other:
        run_batch(other)
    genesis = read_log(tmp_path / "other").rows[0]
    changed = chained_again(whole.log, [genesis, *whole.log.rows[1:]])
    put_into_record(whole.folder, tmp_path / "record", changed)

    in_archive = place_in_archive(
        tmp_path / "a.zip", resigned(whole.archive, {"records/gxp-genesis.bin": genesis.data})
    )

    assert place_in_record(tmp_path / "record") == ("gxp", 1)
    assert in_archive == ("gxp", 1)
    with pytest.raises(RecordUnusable):
        Record.open(tmp_path / "record", key=UNIT_KEY)


def test_replace_with_the_triggers_off_changes_a_row_and_is_found(whole: Whole, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "record")
    row = whole.log.rows[AT - 1]
    with_guards_off(
        tmp_path / "record",
        (
            "INSERT OR REPLACE INTO gxp_record (seq, hash, data) VALUES (?, ?, ?)",
            (row.seq, row.hash, other_value(row)),
        ),
    )

    assert place_in_record(tmp_path / "record") == ("gxp", AT)


def test_dropped_triggers_are_found_although_no_row_changed(whole: Whole, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "record")
    with_guards_off(tmp_path / "record", back=False)

    verdict = verify_record(tmp_path / "record")

    assert not verdict.whole and "guard" in verdict.words
    with pytest.raises(RecordUnusable, match="missing"):
        Record.open(tmp_path / "record", key=UNIT_KEY)


# Files


def picture_of(folder: Path) -> tuple[str, Path]:
    sha256 = hashlib.sha256(PNG).hexdigest()
    return sha256, folder / "blobs" / sha256[:2] / sha256


def refused_bag(log: Log) -> int:
    return next(row.seq for row in log.rows if b"BagRefused" in row.data[:208])


@pytest.mark.parametrize(
    "content", [None, b"another picture", PNG[:-1] + b"\x01"], ids=["missing", "swapped", "flipped"]
)
def test_a_file_that_an_event_names_cannot_be_missing_or_swapped(
    whole: Whole, tmp_path: Path, content: bytes | None
) -> None:
    shutil.copytree(whole.folder, tmp_path / "record")
    sha256, path = picture_of(tmp_path / "record")
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    place = ("gxp", refused_bag(whole.log))

    in_archive = place_in_archive(tmp_path / "a.zip", resigned(whole.archive, {f"blobs/{sha256}": content}))

    assert place_in_record(tmp_path / "record") == place
    assert in_archive == place


def test_an_added_file_is_no_part_of_the_record_and_a_strange_one_in_an_archive_is_found(
    whole: Whole, tmp_path: Path
) -> None:
    shutil.copytree(whole.folder, tmp_path / "record")
    name = hashlib.sha256(b"added").hexdigest()
    (tmp_path / "record" / "blobs" / name[:2]).mkdir(exist_ok=True)
    (tmp_path / "record" / "blobs" / name[:2] / name).write_bytes(b"added")
    added = archive.build({**archive.take_apart(whole.archive).entries, f"blobs/{name}": b"added"})

    assert read_log(tmp_path / "record") == whole.log and place_in_record(tmp_path / "record") is None
    assert not both(tmp_path / "a.zip", added)["whole"]
    wrong = resigned(whole.archive, {f"blobs/{name}": b"not of that name"})
    assert not both(tmp_path / "a.zip", wrong)["whole"]


# Acknowledgements


def acknowledged(folder: Path, copy: Path, seq: int) -> None:
    """A copy in which central has acknowledged everything up to an event."""
    shutil.copytree(folder, copy)
    with Record.open(copy, key=UNIT_KEY) as record:
        held = next(record.read(seq, seq)).hash.hex()
        ack = json.dumps({"acked_seq": seq, "acked_hash": held}).encode()
        record.store_ack(ack, b"signature", log="gxp", acked_seq=seq)


@pytest.mark.parametrize("seal_cut", [False, True], ids=["segments kept", "segments cut too"])
def test_an_end_cut_off_after_an_acknowledgement_is_found_and_no_engine_starts(
    whole: Whole, tmp_path: Path, seal_cut: bool
) -> None:
    acknowledged(whole.folder, tmp_path / "record", EVENTS)
    cut = place_of(EVENTS, whole.log)
    statements = [("DELETE FROM gxp_record WHERE seq >= ?", (cut,)), ("DELETE FROM ack", ())]
    statements += [("DELETE FROM segment WHERE log = 'gxp' AND last >= ?", (cut,))] if seal_cut else []
    with_guards_off(tmp_path / "record", *statements)

    assert place_in_record(tmp_path / "record") == ("gxp", cut)
    with pytest.raises(RecordUnusable):
        Record.open(tmp_path / "record", key=UNIT_KEY)


def test_an_acknowledgement_that_was_changed_is_found(whole: Whole, tmp_path: Path) -> None:
    acknowledged(whole.folder, tmp_path / "record", AT)
    changed = json.dumps({"acked_seq": AT, "acked_hash": "00" * 32}).encode()
    with_guards_off(tmp_path / "record", ("UPDATE ack SET ack = ?", (changed,)))

    assert place_in_record(tmp_path / "record") == ("gxp", AT)


def test_an_end_cut_off_before_any_acknowledgement_cannot_be_told_from_a_shorter_record(
    whole: Whole, tmp_path: Path
) -> None:
    """The residual risk, stated: only a copy outside the unit tells. See decision 0018."""
    cut = place_of(EVENTS, whole.log)
    log = Log(whole.log.rows[: cut - 1], tuple(one for one in whole.log.segments if one.last < cut))
    put_into_record(whole.folder, tmp_path / "record", log)

    assert place_in_record(tmp_path / "record") is None


# Somebody else's signature


def test_an_archive_made_again_by_somebody_else_is_whole_and_fails_under_trust(tmp_path: Path) -> None:
    with new_record(tmp_path / "record", OTHER_KEY) as forged:
        run_batch(forged)
        raw = export_batch(forged, BATCH, tmp_path / "forged.zip", report_html=b"x").read_bytes()

    said = both(tmp_path / "a.zip", raw, trust())

    assert said["whole"] and said["trusted"] is False
    assert both(tmp_path / "a.zip", raw)["trusted"] is None


# The file itself


def all_rows(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything that the database says."""
    connection = sqlite.connect(folder / "record.db", read_only=True)
    try:
        tables = ("gxp_record", "telemetry_record", "segment", "ack", "blob")
        return {name: [tuple(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in tables}
    finally:
        connection.close()


def harmless(folder: Path, expected: dict[str, list[tuple[object, ...]]]) -> bool:
    """Whether what can be read is exactly what was written."""
    try:
        return all_rows(folder) == expected
    except (RecordError, sqlite.Error):
        return False


def file_flips(chance: random.Random, size: int, count: int) -> Iterator[tuple[int, int]]:
    """Each byte of the head of the file, then places by chance: where, and what to turn over."""
    for at in range(min(100, count // 2)):
        yield at, 1 << chance.randrange(8)
    for _ in range(max(count - 100, count // 2)):
        yield chance.randrange(size), 1 << chance.randrange(8)


def unfound_file_flips(folder: Path, place: Path, name: str, flips: Iterator[tuple[int, int]]) -> list[int]:
    """Flips of a file of the record that were neither found nor without effect on what is read."""
    expected, missed = all_rows(folder), []
    for at, mask in flips:
        copy = place / "copy"
        shutil.copytree(folder, copy)
        with (copy / name).open("r+b") as file:
            file.seek(at)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ mask]))
        if place_in_record(copy) is None and not harmless(copy, expected):
            missed.append(at)
        shutil.rmtree(copy)
    return missed


def test_a_flip_anywhere_in_the_database_file_is_found_or_changes_nothing_that_is_read(
    whole: Whole, tmp_path: Path
) -> None:
    size = (whole.folder / "record.db").stat().st_size

    flips = file_flips(random.Random(5), size, 2 * FILE_FLIPS)

    assert unfound_file_flips(whole.folder, tmp_path, "record.db", flips) == []


@pytest.fixture
def live(whole: Whole, tmp_path: Path) -> Path:
    """A copy of a record in use: its newest events are in the write-ahead log, and acknowledged."""
    shutil.copytree(whole.folder, tmp_path / "used")
    with Record.open(tmp_path / "used", key=UNIT_KEY) as record:
        run_batch(record)
        head = record.head()
        ack = json.dumps({"acked_seq": head.seq, "acked_hash": head.hash.hex()}).encode()
        record.store_ack(ack, b"signature", log="gxp", acked_seq=head.seq)
        shutil.copytree(tmp_path / "used", tmp_path / "live")
    return tmp_path / "live"


@pytest.mark.parametrize("name", ["record.db-wal", "record.db-shm"])
def test_a_flip_in_the_write_ahead_log_is_found_by_what_central_acknowledged(
    live: Path, tmp_path: Path, name: str
) -> None:
    size = (live / name).stat().st_size

    flips = file_flips(random.Random(6), size, FILE_FLIPS)

    assert unfound_file_flips(live, tmp_path, name, flips) == []
