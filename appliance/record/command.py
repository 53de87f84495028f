"""`cellwright verify`, `export` and `report`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.record.canonical import StoredRecord
    from appliance.record.log import Record

DEFAULT_HOME = "/var/lib/cellwright"
GOOD, BAD, UNREADABLE = 0, 1, 2


def verify(argv: Sequence[str]) -> int:
    """Tell whether a record, an archive or a batch is whole and unchanged, and signed by trusted keys."""
    parser = _parser("verify", verify.__doc__)
    parser.add_argument("target", metavar="TARGET", help="archive, record folder or batch id")
    parser.add_argument("--trust", type=Path, metavar="FILE", help="fingerprints of trusted keys, JSON")
    options = parser.parse_args(argv)
    from appliance.record.errors import RecordError
    from appliance.record.verify import load_trust, verify_record

    try:
        trust = load_trust(options.trust) if options.trust else None
        path = _path_of(options.target, options.home)
        verdict = verify_record(path, trust)
    except (RecordError, OSError) as problem:
        return _refuse(problem, UNREADABLE)
    named = Path(options.target).exists()
    if not named and options.target not in verdict.batches:
        return _refuse(f"There is no batch {options.target} in {path}. Check the batch id.", UNREADABLE)
    print(json.dumps(verdict.as_json()) if options.json else verdict.words)
    return GOOD if verdict.good else BAD


def export(argv: Sequence[str]) -> int:
    """Write one batch as an archive that anyone can check."""
    parser = _parser("export", export.__doc__)
    parser.add_argument("batch", metavar="BATCH", help="batch id")
    parser.add_argument("--out", type=Path, metavar="FILE", help="file or folder; left out: <batch>.zip here")
    options = parser.parse_args(argv)
    from appliance.record.errors import RecordError, RecordUnusable
    from appliance.record.export import export_batch
    from appliance.record.log import Record

    home = _home(options.home)
    out = options.out or Path.cwd()
    try:
        key = _unit_key(home / "keys" / "unit.key")
        with Record.open_readonly(home / "record") as record:
            page = report_of(record, options.batch)
            path = export_batch(record, options.batch, out, report_html=page, key=key)
    except (RecordUnusable, OSError) as problem:
        return _refuse(problem, UNREADABLE)
    except RecordError as problem:
        return _refuse(problem, BAD)
    result = {"batch": options.batch, "archive": str(path.absolute()), "bytes": path.stat().st_size}
    print(json.dumps(result) if options.json else f"{path.absolute()} ({result['bytes']} bytes)")
    return GOOD


def report(argv: Sequence[str]) -> int:
    """Write the batch record for a human as an HTML page."""
    parser = _parser("report", report.__doc__)
    parser.add_argument("target", metavar="TARGET", help="archive, record folder or batch id")
    parser.add_argument("--batch", metavar="ID", help="which batch of a record folder; left out: the newest")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(argv)
    from appliance.record.attachments import write_durably
    from appliance.record.errors import RecordError

    try:
        path = _path_of(options.target, options.home)
        batch = options.batch or (None if Path(options.target).exists() else options.target)
        page = _page_of(path, batch)
        write_durably(options.out, page)
    except (RecordError, OSError) as problem:
        return _refuse(problem, UNREADABLE)
    result = {"report": str(options.out.absolute()), "bytes": len(page)}
    print(json.dumps(result) if options.json else f"{result['report']} ({len(page)} bytes)")
    return GOOD


def report_of(record: Record, batch: str) -> bytes:
    """The report of one batch of an open record."""
    from appliance.record.errors import BlobMissing
    from appliance.record.report import batch_report

    media = {reference.sha256: reference.media_type for reference in record.blob_refs()}

    def picture(sha256: str) -> tuple[bytes, str] | None:
        try:
            return record.blob(sha256), media.get(sha256, "")
        except BlobMissing:
            return None

    return batch_report(record.read(), batch, picture, simulated=record.simulated)


def _page_of(path: Path, batch: str | None) -> bytes:
    from appliance.record.errors import RecordRefused
    from appliance.record.export import batches
    from appliance.record.log import Record

    if not path.is_dir():
        return _page_of_archive(path)
    with Record.open_readonly(path) as record:
        known = batches(record)
        if not known:
            raise RecordRefused(f"No batch was opened in {path}.")
        return report_of(record, batch or known[-1])


def _page_of_archive(path: Path) -> bytes:
    from appliance.record import archive
    from appliance.record.errors import RecordRefused
    from appliance.record.report import batch_report
    from appliance.record.verify_archive import verify_archive

    verdict = verify_archive(path)
    if not verdict.whole:
        raise RecordRefused(f"{path} is {verdict.words}")
    entries = archive.take_apart(path.read_bytes()).entries
    media = json.loads(entries["blobs.json"])["blobs"]

    def picture(sha256: str) -> tuple[bytes, str] | None:
        data = entries.get(f"blobs/{sha256}")
        return None if data is None else (data, str(media.get(sha256, {}).get("media_type", "")))

    stored = _stored(entries["records/gxp.bin"], entries["records/gxp.hashes"])
    return batch_report(stored, verdict.batches[0], picture, simulated=verdict.simulated)


def _stored(framed: bytes, hashes: bytes) -> Iterator[StoredRecord]:
    from appliance.record.archive import unframe
    from appliance.record.canonical import StoredRecord, split_record

    for number, data in enumerate(unframe(framed)):
        yield StoredRecord(split_record(data)[0].seq, hashes[32 * number : 32 * number + 32], data)


def _unit_key(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from appliance.record.errors import RecordUnusable

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as problem:
        raise RecordUnusable(f"The unit's key {path} cannot be read: {problem.strerror}.") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as problem:
        raise RecordUnusable(f"{path} does not hold the unit's key: {problem}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise RecordUnusable(f"{path} holds a key of another kind than the unit's, which is Ed25519.")
    return key


def _parser(name: str, words: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"cellwright {name}", description=words, allow_abbrev=False)
    parser.add_argument("--home", type=Path, metavar="DIR", help="the unit's home folder")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _home(given: Path | None) -> Path:
    return given or Path(os.environ.get("CELLWRIGHT_HOME", DEFAULT_HOME))


def _path_of(target: str, home: Path | None) -> Path:
    """The archive or record folder that TARGET means; a name that is no file is a batch of this unit."""
    path = Path(target)
    if path.is_dir() and not (path / "record.db").exists() and (path / "record" / "record.db").exists():
        return path / "record"
    return path if path.exists() else _home(home) / "record"


def _refuse(problem: object, status: int) -> int:
    print(problem, file=sys.stderr)
    return status
