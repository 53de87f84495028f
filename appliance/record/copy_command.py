"""`cellwright backup` and `cellwright restore`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import Home, add_home_option, home_from

if TYPE_CHECKING:
    from appliance.record.backup import Manifest

GOOD, BAD, USAGE = 0, 1, 2
KEEP_MAX = 1000
REASON_LENGTH_MAX = 300


def backup(argv: Sequence[str]) -> int:
    """Copy the unit's record to a second medium, also while it works, and verify the copy there."""
    parser = argparse.ArgumentParser("cellwright backup", description=backup.__doc__, allow_abbrev=False)
    add_home_option(parser)
    parser.add_argument("--to", type=Path, required=True, metavar="FOLDER", help="on a second medium")
    parser.add_argument(
        "--keep", type=_count, default=0, metavar="N", help="drop all but the N newest; left out: drop none"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    home = home_from(options)
    from appliance.record.backup import take_backup
    from appliance.record.errors import RecordError
    from appliance.record.log import DATABASE

    if not (home.record / DATABASE).exists():
        print(f"There is no record in {home.record}. Give the unit's folder with --home.", file=sys.stderr)
        return USAGE
    try:
        path, manifest = take_backup(home, options.to.absolute(), keep=options.keep)
    except (RecordError, OSError) as problem:
        _leave(home, "BackupFailed", {"words": str(problem)})
        print(problem, file=sys.stderr)
        return BAD
    _leave(home, "BackupTaken", _body_of(path, manifest))
    facts = {"place": str(path), **_body_of(path, manifest), "verified": manifest.verified}
    words = f"{path}: event {manifest.gxp['seq']}, {manifest.bytes} bytes, opened and verified there"
    print(json.dumps(facts) if options.json else words)
    return GOOD


def restore(argv: Sequence[str]) -> int:
    """Put a copy back: with --drill beside the record, to prove that it can be; else for good."""
    parser = argparse.ArgumentParser("cellwright restore", description=restore.__doc__, allow_abbrev=False)
    add_home_option(parser)
    parser.add_argument("copy", type=Path, metavar="BACKUP", help="a folder that `cellwright backup` made")
    parser.add_argument("--drill", action="store_true", help="verify and compare only; nothing is put in use")
    parser.add_argument(
        "--replace", action="store_true", help="move the record that is there aside; it is never deleted"
    )
    parser.add_argument(
        "--reason", type=_reason, required=True, metavar="TEXT", help="stays on record: name no person"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.drill and options.replace:
        parser.error("--drill puts nothing in use; leave --replace out")
    home, copy = home_from(options), options.copy.absolute()
    from appliance.record.errors import RecordRefused

    try:
        from appliance.record.backup import read_manifest

        read_manifest(copy)
    except RecordRefused as refused:
        print(refused, file=sys.stderr)
        return USAGE
    act = _drill if options.drill else _restore
    return act(copy, home, options)


def _drill(copy: Path, home: Home, options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from appliance.record.errors import RecordError
    from appliance.record.restore import drill

    try:
        found = drill(copy, home, options.reason)
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return BAD
    _leave(home, "RestoreDrilled", asdict(found))
    print(json.dumps(asdict(found)) if options.json else found.words)
    return GOOD if found.good else BAD


def _restore(copy: Path, home: Home, options: argparse.Namespace) -> int:
    import appliance
    from appliance.record.command import unit_key
    from appliance.record.errors import RecordError
    from appliance.record.restore import restore as put_back

    try:
        done = put_back(
            copy,
            home,
            key=unit_key(home.unit_key),
            reason=options.reason,
            replace=options.replace,
            software_version=appliance.__version__,
        )
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return BAD
    print(json.dumps(done.as_json()) if options.json else done.words)
    return GOOD


def _body_of(path: Path, manifest: Manifest) -> dict[str, Any]:
    """The body of `BackupTaken`."""
    return {
        "place": str(path),
        "epoch": manifest.epoch,
        "seq": manifest.gxp["seq"],
        "hash": manifest.gxp["hash"],
        "telemetry_seq": manifest.telemetry["seq"],
        "telemetry_hash": manifest.telemetry["hash"],
        "bytes": manifest.bytes,
        "files": manifest.files,
        "made_at": manifest.made_at,
    }


def _leave(home: Home, kind: str, body: dict[str, Any]) -> None:
    """Leave the fact for the engine; where that fails the command's own answer stands all the same."""
    from appliance.record.copy_notes import leave

    try:
        leave(home.record, kind, body)
    except OSError as problem:
        print(f"This cannot be put on record: {problem}", file=sys.stderr)


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= KEEP_MAX:
        raise argparse.ArgumentTypeError(f"write a whole number from 1 to {KEEP_MAX}")
    return number


def _reason(text: str) -> str:
    said = text.strip()
    if not said or len(said) > REASON_LENGTH_MAX or not said.isprintable():
        raise argparse.ArgumentTypeError(f"write 1 to {REASON_LENGTH_MAX} characters on one line")
    return said
