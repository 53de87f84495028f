"""`cellwright audit`: read the audit trail, or sign at central that it was reviewed."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GOOD, BAD, USAGE = 0, 1, 2


def audit(argv: Sequence[str]) -> int:
    """Show the audit trail, filtered and in order; `audit review` signs at central that it was reviewed."""
    if list(argv[:1]) == ["review"]:
        return _review_command(argv[1:])
    from appliance.record.audit_command import list_trail

    return list_trail(argv)


def _review_command(argv: Sequence[str]) -> int:
    from sync.qp import NotCertified

    parser = argparse.ArgumentParser(
        prog="cellwright audit review",
        description="Sign at central that you have reviewed the audit trail of a batch.",
        allow_abbrev=False,
    )
    parser.add_argument("--central", required=True, metavar="URL", help="central's address for people")
    parser.add_argument("--ca", required=True, type=Path, metavar="FILE", help="central's authority")
    parser.add_argument("--batch", required=True, metavar="ID")
    parser.add_argument("--unit", default="", metavar="ID", help="where two units used one batch id")
    parser.add_argument("--person", required=True, metavar="ID", help="you, a QA reviewer of central")
    parser.add_argument("--words", default="", metavar="TEXT", help="what you found, for the record")
    parser.add_argument("--password-stdin", action="store_true", help="read your password from stdin")
    parser.add_argument(
        "--wait-s", type=float, default=0.0, metavar="S", help="wait until all of it is there"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    try:
        said = _review(options)
    except NotCertified as problem:
        print(problem, file=sys.stderr)
        return BAD
    except OSError as problem:
        print(problem, file=sys.stderr)
        return USAGE
    words = f"Reviewed up to event {said['seq']}, signed by {said['name']}."
    print(json.dumps(said) if options.json else words)
    return GOOD


def _review(options: argparse.Namespace) -> dict[str, Any]:
    """Sign in, look at the head that central holds, and sign for exactly that."""
    from sync.qp import _ask, _client, _find, _sign_in

    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass("Your password at central: ")
    with _client(options) as client:
        token = _sign_in(client, options.person, password)
        unit = _find(client, options)
        place = f"/batches/{unit}/{options.batch}/audit"
        seen = _ask(client, "GET", f"{place}/rows?only=critical", "")
        _show(seen["rows"], ask=not options.password_stdin)
        asked = {"only": "critical", "words": options.words, "password": password, **seen["head"]}
        return _ask(client, "POST", f"{place}/reviews", token, asked)


def _show(rows: list[dict[str, Any]], *, ask: bool) -> None:
    """Each critical row, for the reviewer's eyes, before anything is signed."""
    from sync.qp import NotCertified

    for row in rows:
        changed = f" [{row['old']} → {row['new']}]" if row["old"] or row["new"] else ""
        why = f" Why: {row['why']}" if row["why"] else ""
        print(f"{row['seq']:>7} {row['utc']} {row['who']} {row['what']}{changed}{why}", file=sys.stderr)
    print(f"{len(rows)} critical events.", file=sys.stderr)
    if ask and input("Sign that you have reviewed them? Type yes: ").strip() != "yes":
        raise NotCertified("Nothing was signed.")
