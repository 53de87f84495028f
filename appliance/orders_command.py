"""`cellwright orders`: what lies at this unit to be made, and giving an order back to QA."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from typing import Any

from appliance.config import add_home_option, home_from

GOOD, BAD, USAGE = 0, 1, 2
STATION = "service"


def orders(argv: Sequence[str]) -> int:
    """List the signed orders of a unit, or hand one back that is not made here."""
    from appliance.access.errors import AccessRefused
    from appliance.link.client import EngineAway

    parser = argparse.ArgumentParser("cellwright orders", description=orders.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _verb(
        verbs,
        "list",
        "each signed order, its unit and expiry, and why it may not be made",
        _list,
    )
    back = _verb(verbs, "hand-back", "give an order back: this unit never makes it after that", _hand_back)
    back.add_argument("order", metavar="ORDER")
    back.add_argument("--by", required=True, metavar="PERSON", help="a supervisor: id, badge or name")
    back.add_argument("--reason", required=True, metavar="TEXT")
    back.add_argument("--password-stdin", action="store_true", help="read it from stdin; ask nothing")
    deliver = _verb(verbs, "deliver", "hand central's signed order or word to the unit", _deliver)
    deliver.add_argument("file", metavar="FILE")
    lift = verbs.add_parser(
        "lift-recall", help="sign with a QA reviewer's own key that a recall is over", allow_abbrev=False
    )
    lift.add_argument("recall", metavar="RECALL.JSON", help="central's signed recall")
    lift.add_argument("--key", required=True, metavar="FILE", help="the QA reviewer's key")
    lift.add_argument(
        "--person", required=True, metavar="ID", help="whose key it is, as in the list of people"
    )
    lift.add_argument("--name", required=True)
    lift.add_argument("--reason", required=True, metavar="TEXT")
    lift.add_argument("--out", required=True, metavar="FILE")
    lift.set_defaults(act=_lift_recall)
    options = parser.parse_args(list(argv))
    try:
        status: int = options.act(options)
    except AccessRefused as refused:
        print(str(refused), file=sys.stderr)
        return USAGE if refused.reason == "unreadable" else BAD
    except EngineAway as away:
        print(str(away), file=sys.stderr)
        return BAD
    return status


def _verb(verbs: Any, name: str, what: str, act: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    add_home_option(parser)
    parser.set_defaults(act=act)
    return parser


def _list(options: argparse.Namespace) -> int:
    """Read from the disk, and from the running unit, which alone knows what was made and handed back."""
    from appliance.access.keys import Trust
    from appliance.engine.shelf import load_shelf
    from appliance.link.client import EngineAway, look

    home = home_from(options)
    try:
        shown = {one.id: one.refused_because for one in look(home.socket).orders}
        unknown = "The unit does not know it yet."
    except EngineAway:
        shown, unknown = {}, "The engine does not run: what was made or handed back is not told."
    for shelved in load_shelf(home, Trust.load(home.trust)).orders.values():
        order = shelved.order
        facts = {
            "order": order.id,
            "unit": order.unit,
            "assignment": order.assignment,
            "expires_at": order.expires_at.isoformat() if order.expires_at else "",
            "recipe": order.recipe,
            "consent": order.consent,
            "coi": order.coi,
            "refused_because": shown.get(order.id, unknown),
        }
        words = facts["refused_because"] or f"may be made until {facts['expires_at']}"
        line = f"{order.id}  unit {order.unit or '-'}  assignment {order.assignment}  {words}"
        print(json.dumps(facts, ensure_ascii=False) if options.json else line)
    return GOOD


def _hand_back(options: argparse.Namespace) -> int:
    from appliance.link.client import ask
    from appliance.link.messages import Proof

    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass(f"Password of {options.by}: ")
    body = {"order": options.order, "reason": options.reason}
    proof = Proof(person=options.by, password=password, typed=options.by)
    return _tell(options, ask(home_from(options).socket, "hand_back_order", body, proof, station=STATION))


def _deliver(options: argparse.Namespace) -> int:
    from pathlib import Path

    import msgspec

    from appliance.access.documents import load
    from appliance.link.client import ask

    body = {"envelope": msgspec.to_builtins(load(Path(options.file)))}
    return _tell(options, ask(home_from(options).socket, "deliver_document", body, station=STATION))


def _lift_recall(options: argparse.Namespace) -> int:
    """Only a file is made: it goes to the units through central or by hand, and two persons there lift."""
    from datetime import UTC, datetime
    from pathlib import Path

    import msgspec

    from appliance.access.central_words import Recall, RecallLift
    from appliance.access.documents import dump, load, sign
    from appliance.access.errors import DocumentRefused
    from appliance.access.keys import load_key

    try:
        recall = msgspec.json.decode(load(Path(options.recall)).content, type=Recall)
    except msgspec.DecodeError as error:
        raise DocumentRefused("unreadable", f"{options.recall} holds no recall: {error}.") from error
    lift = RecallLift(
        id=recall.id,
        version=recall.version,
        issued_at=datetime.now(UTC).replace(microsecond=0),
        by=options.person,
        name=options.name,
        reason=options.reason,
        catalogue=recall.catalogue,
        lot=recall.lot,
    )
    dump(
        sign("recall_lift", lift.to_content(), load_key(Path(options.key)), "qa_reviewer"), Path(options.out)
    )
    print(f"{options.out}: ends version {recall.version} of the recall of lot {recall.lot}.")
    return GOOD


def _tell(options: argparse.Namespace, answer: Any) -> int:
    from appliance.link.messages import Refused

    if isinstance(answer, Refused):
        print(answer.words, file=sys.stderr)
        return BAD
    words = answer.result.get("words") or "Handed back. Central may give it to another unit now."
    print(json.dumps(answer.result, ensure_ascii=False) if options.json else words)
    return GOOD
