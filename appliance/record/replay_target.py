"""What is replayed: a whole record folder, one batch of it, or an archive of one batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.before import unit_before
from appliance.domain.upcasters import event_of
from appliance.record import archive
from appliance.record.archive import unframe
from appliance.record.canonical import StoredRecord, split_record
from appliance.record.epochs import records_before
from appliance.record.errors import RecordRefused
from appliance.record.log import Record
from appliance.record.redact import WITHHELD
from appliance.record.replay import Outcome, Replay

OPENED = "BatchOpened"


def replay_folder(folder: Path, batch: str | None = None) -> Outcome:
    """Decide a record again, from its first event; with `batch`, that batch's run alone.

    The logs before a restore are folded, not decided again: name their folders for that.

    Raises
    ------
    RecordRefused
        There is no such batch.
    """
    with Record.open_readonly(folder) as record:
        replay = Replay(Unit(record.unit_id, record.simulated, {}))
        replay.fold_earlier(records_before(folder))
        if batch is None:
            return replay.walk(record.read())
        first, last = _run_of(record, batch)
        replay.fold(record.read(1, first - 1))
        return replay.walk(record.read(first, last))


def _run_of(record: Record, batch: str) -> tuple[int, int | None]:
    """From the command that opened a batch to the end, or to the command that opened the next one."""
    opened = [stored for stored in record.read() if stored.header.kind == OPENED]
    for place, stored in enumerate(opened):
        if msgspec.json.decode(stored.payload)["batch"] == batch:
            following = opened[place + 1 : place + 2]
            last = _commit_of(record, following[0]) - 1 if following else None
            return _commit_of(record, stored), last
    raise RecordRefused(f"There is no batch {batch} in this record. Check the batch id.")


def _commit_of(record: Record, stored: StoredRecord) -> int:
    """The number of the first record that was decided together with this one."""
    seq, header = stored.seq, stored.header
    for before in reversed(list(record.read(max(1, seq - 2), seq - 1)) if seq > 1 else []):
        other = before.header
        if (other.wall, other.monotonic_ns, other.actor) != (header.wall, header.monotonic_ns, header.actor):
            break
        if other.kind not in ("CommandTaken", "ReadingsUsed"):
            break
        seq = before.seq
    return seq


def replay_archive(path: Path) -> Outcome:
    """Decide the run of an archived batch again, from its `BatchOpened`, which tells what was before.

    Raises
    ------
    RecordRefused
        It is no archive, it is redacted, or its batch was opened by a version that did not keep what
        replay needs.
    """
    entries = archive.take_apart(path.read_bytes()).entries
    if WITHHELD in entries:
        raise RecordRefused(
            f"{path} is redacted: commands and typed words are withheld, so nothing can be decided again. "
            "Replay the whole archive, or the unit's record."
        )
    batch = msgspec.json.decode(entries[archive.MANIFEST])["batch"]
    records = _stored(entries["records/gxp.bin"], entries["records/gxp.hashes"])
    for stored in records:
        if stored.header.kind != OPENED:
            continue
        payload = msgspec.json.decode(stored.payload)
        if payload["batch"] != batch:
            continue
        opened = event_of(OPENED, stored.header.payload_version, payload["body"])
        assert isinstance(opened, ev.BatchOpened)
        if not opened.unit_before:
            raise RecordRefused(
                f"Batch {batch} was opened by version {opened.software_version}, which put no inputs on "
                "record. Its archive cannot be decided again; verify tells whether it is whole."
            )
        replay = Replay(unit_before(stored.header.unit, opened), whole=False)
        replay.fold([stored])
        return replay.walk(records)
    raise RecordRefused(f"{path} does not hold the opening of batch {batch}.")


def _stored(framed: bytes, hashes: bytes) -> Iterator[StoredRecord]:
    for number, data in enumerate(unframe(framed)):
        yield StoredRecord(split_record(data)[0].seq, hashes[32 * number : 32 * number + 32], data)
