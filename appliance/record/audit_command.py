"""What `cellwright audit` reads and shows: a record folder, an archive or a batch of this unit."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from appliance.record.audit import AuditRow, Filter
    from appliance.record.canonical import StoredRecord
    from appliance.record.report.text import Times

GOOD, BAD, UNREADABLE = 0, 1, 2


def list_trail(argv: Sequence[str]) -> int:
    """Show the audit trail: who, when, what from and to, why; filtered, in order, as text, JSON or CSV."""
    parser = _parser()
    options = parser.parse_args(argv)
    from appliance.record.audit import in_order
    from appliance.record.errors import RecordError

    wanted = _filter(parser, options)
    try:
        with _events(options) as (read, zone):
            from appliance.record.report.text import Times

            rows = in_order(read, wanted, options.sort, reverse=options.reverse)
            return _show(islice(rows, options.limit or None), Times(options.time_zone or zone), options)
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return UNREADABLE


def _parser() -> argparse.ArgumentParser:
    from appliance.config import add_home_option
    from appliance.record.audit import ONLY, SORTS

    parser = argparse.ArgumentParser(
        prog="cellwright audit",
        description=list_trail.__doc__,
        allow_abbrev=False,
        epilog="`cellwright audit review` signs at central that a batch's audit trail was reviewed.",
    )
    add_home_option(parser)
    parser.add_argument(
        "target", nargs="?", default="", metavar="TARGET", help="archive, record folder or batch id"
    )
    parser.add_argument("--batch", default="", metavar="ID")
    parser.add_argument("--from", dest="begin", default="", metavar="TIME", help="UTC, such as 2026-11-21")
    parser.add_argument("--to", dest="end", default="", metavar="TIME", help="not included")
    parser.add_argument("--who", default="", metavar="PERSON", help="who acted or is named: id or name")
    parser.add_argument("--kind", default="", metavar="KIND", help="part of an event's name")
    parser.add_argument("--what", default="", metavar="TEXT", help="words to be found in the row")
    parser.add_argument("--only", default="", choices=ONLY)
    parser.add_argument("--sort", default="time", choices=SORTS)
    parser.add_argument("--reverse", action="store_true", help="the last first")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="at most N rows")
    parser.add_argument("--time-zone", default="", metavar="ZONE", help="for local times; else the site's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--csv", metavar="FILE", help="write CSV; - is stdout")
    return parser


def _filter(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Filter:
    from appliance.record.audit import Filter, moment

    try:
        begin, end = (moment(text) if text else None for text in (options.begin, options.end))
    except ValueError as problem:
        parser.error(f"--from and --to take a time such as 2026-11-21T07:30: {problem}")
    if options.limit < 0:
        parser.error("--limit takes a number from 1.")
    batch = options.batch or ("" if not options.target or Path(options.target).exists() else options.target)
    return Filter(
        batch=batch,
        begin=begin,
        end=end,
        who=options.who,
        kind=options.kind,
        what=options.what,
        only=options.only,
    )


@contextlib.contextmanager
def _events(options: argparse.Namespace) -> Iterator[tuple[Callable[..., Iterable[StoredRecord]], str]]:
    """How to read the events, and the time zone of the site."""
    from appliance.config import home_from
    from appliance.record.log import Record

    target = Path(options.target) if options.target else home_from(options).root
    folder = target if target.exists() else home_from(options).root
    if not folder.is_dir():
        yield _of_archive(folder), _zone_of(_of_archive(folder)(1, None))
        return
    if not (folder / "record.db").exists():
        folder = folder / "record"
    with Record.open_readonly(folder) as record:
        yield record.read, _zone_of(record.read())


def _of_archive(path: Path) -> Callable[[int, int | None], Iterable[StoredRecord]]:
    """The gxp events of an archive that is whole; what was withheld is left out."""
    from appliance.record import archive
    from appliance.record.canonical import StoredRecord, split_record
    from appliance.record.errors import RecordRefused
    from appliance.record.verify_archive import verify_archive

    verdict = verify_archive(path)
    if not verdict.whole:
        raise RecordRefused(f"{path} is {verdict.words}")
    entries = archive.take_apart(path.read_bytes()).entries
    hashes = entries["records/gxp.hashes"]
    events = [
        StoredRecord(split_record(data)[0].seq, hashes[32 * number : 32 * number + 32], data)
        for number, data in enumerate(archive.unframe(entries["records/gxp.bin"]))
        if data
    ]
    return lambda first, last: (
        one for one in events if one.seq >= first and (last is None or one.seq <= last)
    )


def _zone_of(events: Iterable[StoredRecord]) -> str:
    """The site's time zone, as the first batch names it."""
    from appliance.record.canonical import decode_payload

    mark = b"BatchOpened\x00"
    opened = next((one for one in events if one.data[156:168] == mark), None)
    return "" if opened is None else str(decode_payload(opened.payload).body.get("time_zone") or "")


def _show(rows: Iterator[AuditRow], times: Times, options: argparse.Namespace) -> int:
    from appliance.record.audit import write_csv

    if options.csv == "-":
        write_csv(rows, sys.stdout, times)
    elif options.csv:
        with Path(options.csv).open("w", encoding="utf-8", newline="") as file:
            count = write_csv(rows, file, times)
        print(f"{options.csv}: {count} rows", file=sys.stderr)
    elif options.json:
        for row in rows:
            print(json.dumps(row.facts(times), ensure_ascii=False))
    else:
        _print_rows(rows, times, sys.stdout)
    return GOOD


def _print_rows(rows: Iterator[AuditRow], times: Times, out: TextIO) -> None:
    from appliance.record.report.text import shown

    for row in rows:
        doubt = "  TIME NOT TRUSTED" if row.clock == "untrusted" else ""
        place = " ".join(part for part in (row.batch, row.phase) if part)
        print(f"{row.seq:>7}  {times.both(row.at)}{doubt}  {row.who}  {place}", file=out)
        changed = f"  [{row.old} → {row.new}]" if row.old or row.new else ""
        why = f"  Why: {row.why}" if row.why else ""
        print(f"         {shown(row.what + changed + why)}", file=out)
