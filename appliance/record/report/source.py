"""Where a batch is read from: a record folder, a unit's home, or an exported archive."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.record import archive, measurements
from appliance.record.attachments import blob_path
from appliance.record.canonical import StoredRecord, split_record
from appliance.record.errors import BlobMissing, RecordRefused
from appliance.record.report.batch import Source
from appliance.record.report.pictures import Picture

if TYPE_CHECKING:
    from appliance.record.log import Record

PAGE = 500


def source_in(record: Record, batch: str) -> Source:
    """A batch of an open record."""
    kept = [one for one in record.blob_refs() if blob_path(record.blobs_folder, one.sha256).is_file()]
    files = {one.sha256: (one.size_bytes, one.media_type) for one in kept}

    def picture(sha256: str) -> Picture | None:
        try:
            return record.blob(sha256), files.get(sha256, (0, ""))[1]
        except BlobMissing:
            return None

    return Source(
        batch=batch,
        simulated=record.simulated,
        events=record.read(),
        telemetry=_telemetry_of(record, batch),
        telemetry_record=lambda seq: next(record.read(seq, seq, log="telemetry"), None),
        picture=picture,
        files=files,
    )


def source_of_archive(path: Path) -> Source:
    """The batch of an archive that is whole.

    Raises
    ------
    RecordRefused
        The archive was changed, or is none.
    """
    from appliance.record.verify_archive import verify_archive

    verdict = verify_archive(path)
    if not verdict.whole:
        raise RecordRefused(f"{path} is {verdict.words}")
    entries = archive.take_apart(path.read_bytes()).entries
    if "withheld.json" in entries:
        raise RecordRefused(f"{path} is redacted: its own report.html is all that can be shown of it.")
    listed = json.loads(entries["blobs.json"])["blobs"]
    files = {name: (int(one["size_bytes"]), str(one["media_type"])) for name, one in listed.items()}
    telemetry = list(_stored(entries["records/telemetry.bin"], entries["records/telemetry.hashes"]))
    by_number = {one.seq: one for one in telemetry}
    batch = verdict.batches[0]

    def picture(sha256: str) -> Picture | None:
        data = entries.get(f"blobs/{sha256}")
        return None if data is None else (data, files[sha256][1])

    return Source(
        batch=batch,
        simulated=verdict.simulated,
        events=_stored(entries["records/gxp.bin"], entries["records/gxp.hashes"]),
        telemetry=[one for one in telemetry if _is_of(one, batch)],
        telemetry_record=by_number.get,
        picture=picture,
        files=files,
    )


def _stored(framed: bytes, hashes: bytes) -> Iterator[StoredRecord]:
    for number, data in enumerate(archive.unframe(framed)):
        yield StoredRecord(split_record(data)[0].seq, hashes[32 * number : 32 * number + 32], data)


def _is_of(stored: StoredRecord, batch: str) -> bool:
    # The payload's first field is looked at in its exact bytes: most of a long log is not asked for.
    mine = b'{"batch":' + msgspec.json.encode(batch) + b","
    return stored.payload.startswith(mine) and stored.header.kind == measurements.KIND


def _telemetry_of(record: Record, batch: str) -> Sequence[StoredRecord]:
    """The chunks of a batch, which lie together: read backwards from the end of the log to before them."""
    found: list[list[StoredRecord]] = []
    last = record.head("telemetry").seq
    while last > 0:
        page = record.read(max(1, last - PAGE + 1), last, log="telemetry")
        mine = [one for one in page if _is_of(one, batch)]
        if found and not mine:
            break
        if mine:
            found.append(mine)
        last -= PAGE
    return [one for page in reversed(found) for one in page]
