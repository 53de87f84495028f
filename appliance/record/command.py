"""`cellwright verify`, `export` and `report`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from appliance.record.log import Record
    from appliance.record.report.batch_record import Report

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
    parser.add_argument(
        "--redacted", action="store_true", help="withhold what names people or was typed; it stays provable"
    )
    parser.add_argument(
        "--for",
        dest="reader",
        choices=("qa", "outside"),
        default="qa",
        help="for people outside it is always redacted",
    )
    options = parser.parse_args(argv)
    from appliance.record.epochs import folder_of_batch
    from appliance.record.errors import RecordError, RecordUnusable
    from appliance.record.export import export_batch
    from appliance.record.log import Record
    from appliance.record.report.batch_record import page, pdf

    home = _home(options.home)
    out = options.out or Path.cwd()
    try:
        key = unit_key(home / "keys" / "unit.key")
        folder = folder_of_batch(home / "record", options.batch)
        with Record.open_readonly(folder) as record:
            made = report_of(record, options.batch)
            path = export_batch(
                record,
                options.batch,
                out,
                report_html=page(made),
                report_pdf=pdf(made).data,
                redact=options.redacted or options.reader == "outside",
                key=key,
            )
    except (RecordUnusable, OSError) as problem:
        return _refuse(problem, UNREADABLE)
    except RecordError as problem:
        return _refuse(problem, BAD)
    _tell_the_rest(home / "record", options.batch, folder)
    result = {"batch": options.batch, "archive": str(path.absolute()), "bytes": path.stat().st_size}
    print(json.dumps(result) if options.json else f"{path.absolute()} ({result['bytes']} bytes)")
    return GOOD


def report(argv: Sequence[str]) -> int:
    """Write the batch record for a human as HTML and as archival PDF."""
    parser = _parser("report", report.__doc__)
    parser.add_argument("target", metavar="TARGET", help="archive, record folder, home folder or batch id")
    parser.add_argument("--batch", metavar="ID", help="which batch of a record folder; left out: the newest")
    parser.add_argument("--html", "--out", type=Path, metavar="FILE", help="left out with --pdf: both, here")
    parser.add_argument("--pdf", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    from appliance.record.errors import RecordError

    try:
        path = _path_of(options.target, options.home)
        batch = options.batch or (None if Path(options.target).exists() else options.target)
        result = _write_report(_content_in(path, batch), options.html, options.pdf)
    except (RecordError, OSError) as problem:
        return _refuse(problem, UNREADABLE)
    if options.json:
        print(json.dumps(result))
        return GOOD
    for form in ("html", "pdf"):
        if form in result:
            pages = f", {result[form]['pages']} pages" if form == "pdf" else ""
            print(f"{result[form]['path']} ({result[form]['bytes']} bytes{pages})")
    return GOOD


def _tell_the_rest(record: Path, batch: str, opened_in: Path) -> None:
    """An archive is of one log: say what a restore put into the next one."""
    from appliance.record.epochs import goes_on_in

    if opened_in == record:
        return
    print(
        f"Batch {batch} began in the earlier log {opened_in.name}; the archive is of that log.",
        file=sys.stderr,
    )
    for folder, first, last in goes_on_in(record, batch, opened_in):
        print(
            f"It goes on in {folder} with events {first} to {last}, which are not in the archive. Call QA.",
            file=sys.stderr,
        )


def report_of(record: Record, batch: str) -> Report:
    """The report of one batch of an open record, ready to be drawn."""
    from appliance.record.report.batch_record import content_of, source_in

    return content_of(source_in(record, batch))


def _write_report(made: Report, html: Path | None, pdf: Path | None) -> dict[str, Any]:
    """Draw the report into the files that were named, or into both forms here; what was written."""
    from appliance.record.report import batch_record as drawing

    if html is None and pdf is None:
        html, pdf = Path(f"{made.batch}.html"), Path(f"{made.batch}.pdf")
    result: dict[str, Any] = {
        "batch": made.batch,
        "code": made.code,
        "simulated": made.simulated,
        "events": made.events,
        "exceptions": made.exceptions,
    }
    if html is not None:
        result["html"] = _written(html, drawing.page(made))
    if pdf is not None:
        printed = drawing.pdf(made)
        result["pdf"] = _written(pdf, printed.data) | {"pages": printed.pages}
    return result


def _written(path: Path, data: bytes) -> dict[str, Any]:
    from hashlib import sha256

    from appliance.record.attachments import write_durably

    write_durably(path, data)
    return {"path": str(path.absolute()), "bytes": len(data), "sha256": sha256(data).hexdigest()}


def _content_in(path: Path, batch: str | None) -> Report:
    from appliance.record.epochs import folder_of_batch
    from appliance.record.errors import RecordRefused
    from appliance.record.export import batches
    from appliance.record.log import Record
    from appliance.record.report.batch_record import content_of, source_of_archive

    if not path.is_dir():
        return content_of(source_of_archive(path))
    if batch is not None:
        path = folder_of_batch(path, batch)
    with Record.open_readonly(path) as record:
        known = batches(record)
        if not known:
            raise RecordRefused(f"No batch was opened in {path}.")
        return report_of(record, batch or known[-1])


def unit_key(path: Path) -> Ed25519PrivateKey:
    """The unit's private key; raises `RecordUnusable` when it cannot be read."""
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
