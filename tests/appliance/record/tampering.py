"""One log of many events, and the ways to change what is stored: in the record's file and in an archive.

A change is made once, on the rows; then it is put into a copy of the record folder, as root could do
with the guards taken off and put back, and into an archive whose manifest is made and signed again
with the unit's own key. So nothing but the records themselves can tell of it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from record_bench import BATCH, UNIT_KEY, new_record, run_batch, stamp

from appliance.record import archive, sqlite, stand_alone_verify
from appliance.record.canonical import (
    HEADER_BYTES,
    LAYOUT,
    NO_HASH,
    NewRecord,
    canonical_json,
    encode_payload,
    record_hash,
)
from appliance.record.checks import Trust
from appliance.record.errors import RecordError
from appliance.record.export import export_batch
from appliance.record.log import DATABASE, Record
from appliance.record.verify import verify_record

REPORT = b"<!doctype html><title>x</title>"
SECOND_BATCH = "batch-0002"
SEAL_EVERY = 40
FIELDS = (
    "magic", "version", "size", "unit", "log", "epoch", "seq", "wall", "monotonic", "boot", "quality",
    "algorithm", "payload_version", "cursor", "actor", "kind", "length",
)  # fmt: skip
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """One stored record."""

    seq: int
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One stored segment."""

    first: int
    last: int
    header: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Log:
    """What is stored of the gxp log."""

    rows: tuple[Row, ...]
    segments: tuple[SegmentRow, ...]


Change = Callable[[Log], Log]


def write_log(folder: Path, events: int) -> None:
    """A record of `events` gxp events: one certified batch, many values, a signature in another batch."""
    with new_record(folder) as record:
        run_batch(record)
        while (left := events - 1 - record.head().seq) > 0:
            record.append_many([_value(record.head().seq + n) for n in range(min(left, SEAL_EVERY))])
            record.seal(stamp(record.head().seq))
        content = "I performed the wash."
        signs = hashlib.sha256(content.encode()).hexdigest()
        body = {"person": "p-0002", "name": "Ben", "meaning": "performed", "signs": signs}
        body |= {"what": "wash", "content": content}
        payload = encode_payload(SECOND_BATCH, None, body)
        record.append("SignatureGiven", payload, actor="p-0002", stamp=stamp(events))
        record.seal(stamp(events))
        record.seal(stamp(events), "telemetry")


def _value(number: int) -> NewRecord:
    body = {"phase": "wash", "key": "speed_rpm", "value": f"{number}.5", "note": "é" * (number % 9)}
    payload = encode_payload(BATCH if number % 2 else SECOND_BATCH, None, body)
    return NewRecord(kind="ValueRecorded", payload=payload, actor="unit", stamp=stamp(number))


def read_log(folder: Path) -> Log:
    """What is stored."""
    with Record.open_readonly(folder) as record:
        rows = tuple(Row(one.seq, one.hash, one.data) for one in record.read())
        segments = tuple(
            SegmentRow(one.first, one.last, one.header, one.signature) for one in record.segments()
        )
    return Log(rows, segments)


def write_archive(folder: Path, out: Path) -> Path:
    """The archive of the first batch, which reaches to the end of the log."""
    with Record.open_readonly(folder) as record:
        return export_batch(record, BATCH, out, report_html=REPORT, key=UNIT_KEY)


# Both targets


def put_into_record(folder: Path, copy: Path, changed: Log) -> None:
    """A copy of the record whose rows are the changed ones; its guards are as they were."""
    shutil.copytree(folder, copy)
    with_guards_off(
        copy,
        ("DELETE FROM gxp_record", ()),
        ("DELETE FROM segment WHERE log = 'gxp'", ()),
        *(
            ("INSERT INTO gxp_record (seq, hash, data) VALUES (?, ?, ?)", (row.seq, row.hash, row.data))
            for row in changed.rows
        ),
        *(
            (
                "INSERT INTO segment (log, first, last, header, signature) VALUES ('gxp', ?, ?, ?, ?)",
                (row.first, row.last, row.header, row.signature),
            )
            for row in changed.segments
        ),
    )


def with_guards_off(folder: Path, *statements: tuple[str, tuple[object, ...]], back: bool = True) -> None:
    """What root can do to the file: take the triggers off, change, and put them back."""
    intruder = sqlite.connect(folder / DATABASE, read_only=False)
    try:
        intruder.execute("PRAGMA synchronous=OFF")
        intruder.execute("PRAGMA recursive_triggers=OFF")
        intruder.execute("BEGIN IMMEDIATE")
        triggers = intruder.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            intruder.execute(f"DROP TRIGGER {name}")
        for statement, values in statements:
            intruder.execute(statement, values)
        for _, sql in triggers if back else ():
            intruder.execute(sql)
        intruder.execute("COMMIT")
    finally:
        intruder.close()


def put_into_archive(raw: bytes, changed: Log) -> bytes:
    """The archive with the changed rows from its first event on, signed again by the unit's own key."""
    entries = archive.take_apart(raw).entries
    first = json.loads(entries[archive.MANIFEST])["gxp"]["first"]
    begin = next((n for n, row in enumerate(changed.rows) if row.seq >= first), len(changed.rows))
    rows = changed.rows[begin:]
    segments = [one for one in changed.segments if one.last >= first]
    listed = [
        {
            "first": s.first,
            "last": s.last,
            "header": s.header.decode("latin-1"),
            "signature": s.signature.hex(),
        }
        for s in segments
    ]
    return resigned(
        raw,
        {
            "records/gxp.bin": archive.frame(row.data for row in rows),
            "records/gxp.hashes": b"".join(row.hash for row in rows),
            "records/gxp-segments.json": canonical_json({"segments": listed}) + b"\n",
        },
    )


def resigned(raw: bytes, changed: dict[str, bytes | None]) -> bytes:
    """The archive with entries changed, added or (None) left out, and a manifest that fits them."""
    entries = {**archive.take_apart(raw).entries, **changed}
    kept = {name: data for name, data in entries.items() if data is not None}
    manifest = json.loads(kept[archive.MANIFEST])
    manifest["entries"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in kept.items()
        if name not in archive.NOT_IN_MANIFEST
    }
    kept[archive.MANIFEST] = canonical_json(manifest)
    kept[archive.MANIFEST_SIGNATURE] = UNIT_KEY.sign(archive.MANIFEST_DOMAIN + kept[archive.MANIFEST])
    return archive.build(kept)


# What the verifiers say


def place_in_record(folder: Path) -> Place | None:
    """Where our verifier finds the first bad event of a folder; None when it finds the record whole.

    A record that cannot be opened at all is found too: its place is ("unreadable", 0).
    """
    try:
        verdict = verify_record(folder)
    except RecordError:
        return "unreadable", 0
    return None if verdict.first_bad is None else (verdict.first_bad.log, verdict.first_bad.seq)


def place_in_archive(path: Path, raw: bytes, trusted: dict[str, list[str]] | None = None) -> Place | None:
    """Where both verifiers find the first bad event of an archive; they must say the same."""
    said = both(path, raw, trusted)
    bad = said["first_bad"]
    return None if bad is None else (bad["log"], bad["seq"])


def both(path: Path, raw: bytes, trusted: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """What both verifiers say of an archive, the same in verdict, place and trust."""
    path.write_bytes(raw)
    lists = None if trusted is None else Trust({role: frozenset(keys) for role, keys in trusted.items()})
    ours = verify_record(path, lists).as_json()
    alone = stand_alone_verify.verify(raw, trusted)
    for field in ("whole", "trusted", "first_bad"):
        assert ours[field] == alone[field], (field, ours[field], alone[field])
    return ours


# Changes


def place_of(seq: int, log: Log) -> int:
    """Where the segment that covers an event begins."""
    return next(one.first for one in log.segments if one.first <= seq <= one.last)


def rows_of(log: Log, rows: Sequence[Row]) -> Log:
    return replace(log, rows=tuple(rows))


def chained_again(log: Log, rows: Sequence[Row]) -> Log:
    """The rows numbered and hashed anew from the first to the last: all that can be done without the key."""
    previous, done = NO_HASH, list[Row]()
    for number, row in enumerate(rows, start=1):
        data = row.data
        if row.seq != number:
            data = with_field(data, "seq", number)
        previous = record_hash(previous, data)
        done.append(Row(number, previous, data))
    return rows_of(log, done)


def with_field(data: bytes, field: str, value: object) -> bytes:
    """A record's bytes with one field of the header replaced."""
    values = list(LAYOUT.unpack_from(data))
    values[FIELDS.index(field)] = value
    return LAYOUT.pack(*values) + data[HEADER_BYTES:]


def with_payload(data: bytes, payload: bytes) -> bytes:
    """A record's bytes with another payload, and the length in the header that fits it."""
    return with_field(data[:HEADER_BYTES] + payload, "length", len(payload))
