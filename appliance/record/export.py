"""One batch as one file that anyone can check: records, signatures, files, report, verifier."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.domain.blob_names import named_blobs
from appliance.record import archive, attachments, schema
from appliance.record.canonical import NO_HASH, StoredRecord, canonical_json, decode_payload
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.log import Record
from appliance.record.measurements import KIND, channels_named_at
from appliance.record.redact import redacted
from appliance.record.segments import Segment, fingerprint, public_bytes

OPENED = "BatchOpened"
README = """This archive is the record of one batch, made by Cellwright.

    python verify.py ARCHIVE [--trust FILE]

tells with Python 3.11 alone whether it is whole and unchanged. An archive does not vouch for
itself: take verify.py and the trusted fingerprints from outside it. report.html and report.pdf are
for reading; records/ holds the exact bytes of every event; schema/record-format.txt says what they
mean.
"""


def export_batch(
    record: Record,
    batch: str,
    out: Path,
    *,
    report_html: bytes,
    report_pdf: bytes | None = None,
    redact: bool = False,
    key: Ed25519PrivateKey | None = None,
) -> Path:
    """Write a batch's archive; `out` is the file, or the folder to put `<batch>.zip` into.

    The run goes from the signed segment in which the batch was opened to the log's signed end. The
    same record and report give the same bytes. `key` is the unit's key, needed where the record was
    opened for reading only. With `redact`, what names people or was typed is withheld, by the table
    of `domain.redaction`, and the report is made from what remains.

    Raises
    ------
    RecordRefused
        The batch is not in the signed part of the record, or is too large for one file.
    RecordUnusable
        The key is not this record's.
    """
    signer = key or record.signing_key
    if signer is None or public_bytes(signer) != record.public_key:
        raise RecordUnusable("The archive must be signed with this unit's own key. Check keys/unit.key.")
    entries, manifest = _collect(record, batch, report_html)
    if report_pdf is not None:
        entries["report.pdf"] = report_pdf
    if redact:
        entries = redacted(entries, batch)
    manifest["entries"] = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        for name, data in entries.items()
    }
    entries[archive.MANIFEST] = canonical_json(manifest)
    entries[archive.MANIFEST_SIGNATURE] = signer.sign(archive.MANIFEST_DOMAIN + entries[archive.MANIFEST])
    entries[archive.VERIFIER] = Path(__file__).with_name("stand_alone_verify.py").read_bytes()
    path = out / (f"{batch}-redacted.zip" if redact else f"{batch}.zip") if out.is_dir() else out
    attachments.write_durably(path, archive.build(entries))
    return path


def batch_events(record: Record, batch: str) -> list[StoredRecord]:
    """The gxp records from the opening of a batch to the end of the log.

    Raises
    ------
    RecordRefused
        No such batch was opened on this unit.
    """
    events: list[StoredRecord] = []
    for stored in record.read():
        if events or _opens(stored, batch):
            events.append(stored)
    if not events:
        raise RecordRefused(f"There is no batch {batch} in this record. Check the batch id.")
    return events


def batches(record: Record) -> list[str]:
    """The ids of all batches opened on this unit, oldest first."""
    found = [decode_payload(stored.payload).batch for stored in record.read() if stored.header.kind == OPENED]
    return [batch for batch in dict.fromkeys(found) if batch]


def _opens(stored: StoredRecord, batch: str) -> bool:
    # The kind is looked at in the raw bytes first: most records are another kind.
    return stored.header.kind == OPENED and decode_payload(stored.payload).batch == batch


def _collect(record: Record, batch: str, report_html: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    entries = {
        "README.txt": README.encode(),
        "keys/unit.hex": record.public_key.hex().encode() + b"\n",
        "report.html": report_html,
        "schema/record-format.txt": Path(__file__).with_name("record_format.txt").read_bytes(),
        "schema/events.json": event_schema(),
    }
    head = record.head()
    manifest: dict[str, Any] = {
        "v": 1,
        "format": archive.FORMAT,
        "unit": record.unit_id,
        "batch": batch,
        "epoch": head.epoch.hex(),
        "public_key": record.public_key.hex(),
        "key": fingerprint(record.public_key),
        "simulated": record.simulated,
        "software_version": record.software_version,
    }
    named: dict[str, str] = {}
    for log in schema.LOGS:
        manifest[log] = _collect_log(record, batch, log, entries, named)
    media = {reference.sha256: reference.media_type for reference in record.blob_refs()}
    listed = {}
    for sha256 in sorted(named):
        entries[f"blobs/{sha256}"] = data = record.blob(sha256)
        listed[sha256] = {"media_type": media.get(sha256, ""), "size_bytes": len(data)}
    entries["blobs.json"] = canonical_json({"blobs": listed}) + b"\n"
    return entries, manifest


def _collect_log(
    record: Record, batch: str, log: str, entries: dict[str, bytes], named: dict[str, str]
) -> dict[str, Any]:
    segments = _segments_of(record, batch, log)
    first, last = segments[0].first, segments[-1].last
    run = list(record.read(first, last, log=log))
    before = next(record.read(first - 1, first - 1, log=log)).hash if first > 1 else NO_HASH
    for stored in run:
        for sha256 in named_blobs(decode_payload(stored.payload).body):
            named.setdefault(sha256, log)
    entries[f"records/{log}.bin"] = archive.frame(stored.data for stored in run)
    entries[f"records/{log}.hashes"] = b"".join(stored.hash for stored in run)
    entries[f"records/{log}-genesis.bin"] = next(record.read(1, 1, log=log)).data
    entries[f"records/{log}-segments.json"] = _segments_json(segments)
    return {"first": first, "last": last, "prev_hash": before.hex(), "last_hash": run[-1].hash.hex()}


def _segments_of(record: Record, batch: str, log: str) -> list[Segment]:
    begin = 0
    for stored in record.read(log=log):
        mine = _opens(stored, batch) if log == "gxp" else decode_payload(stored.payload).batch == batch
        begin = begin or (stored.seq if mine else 0)
        if mine and (log == "gxp" or stored.header.kind == KIND):
            # The names of a chunk's channels may stand in an earlier one.
            begin = begin if log == "gxp" else min(begin, channels_named_at(stored))
            break
    if not begin and log == "gxp":
        raise RecordRefused(f"There is no batch {batch} in this record. Check the batch id.")
    everything = list(record.segments(log=log))
    # A log without a record of this batch still shows its signed end, so that nobody can have cut it.
    segments = [segment for segment in everything if segment.last >= begin] if begin else everything[-1:]
    if not segments:
        raise RecordRefused(
            f"The {log} events of batch {batch} are not signed yet. Ask the engine to seal the record, "
            "then export again."
        )
    return segments


def _segments_json(segments: list[Segment]) -> bytes:
    rows = [
        {
            "first": segment.first,
            "last": segment.last,
            "header": segment.header.decode(),
            "signature": segment.signature.hex(),
        }
        for segment in segments
    ]
    return canonical_json({"segments": rows}) + b"\n"


def event_schema() -> bytes:
    """Every kind of event with its fields and version, as JSON for a reader of the archive."""
    from dataclasses import fields

    from appliance.domain.events import KINDS

    kinds = {
        name: {
            "version": kind.VERSION,
            "fields": {item.name: str(item.type) for item in fields(kind)},
            "words": " ".join((kind.__doc__ or "").split("\n")[0].split()),
        }
        for name, kind in sorted(KINDS.items())
    }
    return json.dumps(kinds, indent=1, sort_keys=True).encode() + b"\n"
