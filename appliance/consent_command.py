"""`cellwright consent`: record a patient's consent, withdraw it, or show what the record says."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance.config import add_home_option, home_from
from appliance.unit_command import add_person_options, as_person

GOOD, BAD, UNREADABLE = 0, 1, 2
KINDS = {"ConsentRecorded": "recorded", "ConsentWithdrawn": "withdrawn"}


def consent(argv: Sequence[str]) -> int:
    """Record a patient's consent with two persons, withdraw it at once with one, or show what is on record.

    Returns 0 when it is done or found, 1 when it is refused or the record names none, 2 when there is
    nothing to read.
    """
    options = _parser().parse_args(argv)
    from appliance.link.client import EngineAway
    from appliance.record.errors import RecordError

    try:
        return int(options.act(options))
    except EngineAway as away:
        print(away, file=sys.stderr)
        return BAD
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return UNREADABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cellwright consent", description=consent.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    record = verbs.add_parser("record", help="two persons have looked at the signed form", allow_abbrev=False)
    record.add_argument("consent", metavar="ID", help="id of the form, as the order names it")
    record.add_argument(
        "--coi", required=True, metavar="COI", help="chain of identity, such as CHA999926000001"
    )
    record.add_argument("--patient", required=True, metavar="CODE", help="the patient's code on the order")
    record.add_argument("--on", required=True, metavar="DAY", help="when the form was signed")
    record.add_argument("--second", required=True, metavar="PERSON", help="the second person")
    record.set_defaults(act=_record)
    withdraw = verbs.add_parser("withdraw", help="one person, at once", allow_abbrev=False)
    withdraw.add_argument("coi", metavar="COI", help="chain of identity, such as CHA999926000001")
    withdraw.add_argument("--consent", default="", metavar="ID", help="one form; else all that stand")
    withdraw.add_argument("--patient", default="", metavar="CODE", help="the patient's code on the order")
    withdraw.add_argument("--reason", required=True, metavar="TEXT")
    withdraw.set_defaults(act=_withdraw)
    for verb in (record, withdraw):
        words = "whoever brought the word: a function such as 'study nurse', never the patient's name"
        verb.add_argument("--received-from", required=True, metavar="TEXT", help=words)
        add_person_options(verb)
    show = verbs.add_parser("show", help="what the record says of consents", allow_abbrev=False)
    add_home_option(show)
    show.add_argument(
        "id", nargs="?", default="", metavar="ID", help="consent, chain of identity or patient code"
    )
    show.add_argument("--record", type=Path, metavar="FOLDER", help="a record folder instead of this unit's")
    show.add_argument("--json", action="store_true", help="one JSON object a line")
    show.set_defaults(act=_show)
    return parser


def _record(options: argparse.Namespace) -> int:
    body = {name: getattr(options, name) for name in ("consent", "coi", "patient", "received_from", "on")}
    return as_person(options, "record_consent", body, second=options.second)


def _withdraw(options: argparse.Namespace) -> int:
    body = {name: getattr(options, name) for name in ("consent", "coi", "patient", "received_from", "reason")}
    return as_person(options, "withdraw_consent", body, second="")


def _show(options: argparse.Namespace) -> int:
    found = [one for one in _on_record(options) if not options.id or options.id in _names(one)]
    for one in found:
        print(json.dumps(one, ensure_ascii=False, sort_keys=True) if options.json else _words(one))
    if not found:
        print("The record names no such consent.", file=sys.stderr)
    return GOOD if found else BAD


def _names(one: dict[str, Any]) -> tuple[str, ...]:
    return one["consent"], one["coi"], one["patient"]


def _words(one: dict[str, Any]) -> str:
    at, whose = (
        one["at"][:16].replace("T", " "),
        f"{one['consent']} of {one['coi']}, patient {one['patient']}",
    )
    said = f"{at} UTC  {whose}: "
    if one["state"] == "withdrawn":
        return (
            f"{said}withdrawn, received from {one['received_from']}: {one['reason']}  [entry {one['entry']}]"
        )
    return (
        f"{said}recorded, signed on {one['given_on']}, received from {one['received_from']}  "
        f"[entry {one['entry']}]"
    )


def _on_record(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What was said of consents in a unit's whole history, oldest first."""
    from appliance.record.canonical import decode_payload
    from appliance.record.epochs import whole_history

    for stored in whole_history(options.record or home_from(options).record, frozenset(KINDS)):
        header, body = stored.header, decode_payload(stored.payload).body
        about = {"state": KINDS[header.kind], "at": header.wall.isoformat(), "entry": stored.seq}
        yield dict(body) | about
