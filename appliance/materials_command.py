"""`cellwright materials`: receive, release, recall and follow the materials of a unit."""

from __future__ import annotations

import argparse
import getpass
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import add_home_option, home_from

if TYPE_CHECKING:
    from appliance.domain.stock import Stock
    from appliance.link.messages import Accepted
    from appliance.record.canonical import StoredRecord
    from appliance.record.material_trace import Trace, Use

STATION = "store"
LOOK_TIMEOUT_S = 30.0
GOOD, REFUSED, UNREADABLE = 0, 1, 2
NO_LOT = "The record names no such lot. Compare it with the label."


def materials(argv: Sequence[str]) -> int:
    """Receive, release, reject, recall and book out materials; list them; trace a lot to its patients.

    Returns 0 when it is done or found, 1 when it was refused or is not on record, 2 when nothing can be read.
    """
    options = _parser().parse_args(argv)
    from appliance.record.errors import RecordError

    try:
        return _at_the_unit(options) if "by" in options else int(options.act(options))
    except (RecordError, OSError) as problem:
        print(problem, file=sys.stderr)
        return UNREADABLE


def _at_the_unit(options: argparse.Namespace) -> int:
    """What is read from the record alone needs none of this, and does not wait for it."""
    from appliance.link.client import EngineAway

    try:
        return int(options.act(options))
    except _Refused as refusal:
        print(refusal, file=sys.stderr)
    except EngineAway as away:
        print(away, file=sys.stderr)
    return REFUSED


# ── What can be asked ──────────────────────────────────────────────────────────────────


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "cellwright materials", description=materials.__doc__, allow_abbrev=False
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    receive = _verb(
        verbs, "receive", "take a delivery in: its label is shown to the station's camera", _receive
    )
    receive.add_argument("--quantity", required=True, metavar="N", help="pieces, or uses of a vial")
    receive.add_argument("--supplier", required=True, metavar="NAME")
    receive.add_argument("--title", default="", metavar="TEXT", help="left out: as the recipe calls it")
    receive.add_argument(
        "--certificate", type=Path, metavar="FILE", help="certificate of analysis, PDF or picture"
    )
    receive.add_argument(
        "--certificate-reference", default="", metavar="TEXT", help="where the paper is filed"
    )
    receive.add_argument(
        "--damaged", action="store_true", help="package or contents do not look as they should"
    )
    receive.add_argument("--lot", default="", metavar="LOT", help="as printed, when the unit asks for it")
    receive.add_argument(
        "--expires-on", default="", metavar="DAY", help="as printed, when the symbol tells none"
    )
    for name, words in (("release", "let a receipt be used"), ("reject", "let a receipt never be used")):
        judge = _verb(verbs, name, f"{words}: by a person who did not receive it", _judge)
        judge.add_argument("receipt", metavar="RECEIPT")
        judge.add_argument("--reason", required=True, metavar="TEXT")
        judge.set_defaults(command=f"{name}_material")
    book_out = _verb(verbs, "book-out", "pieces are gone without a batch", _book_out)
    book_out.add_argument("receipt", metavar="RECEIPT")
    book_out.add_argument("--quantity", required=True, metavar="N")
    book_out.add_argument("--why", required=True, choices=("discarded", "lost", "returned"))
    book_out.add_argument("--reason", required=True, metavar="TEXT")
    recall = _verb(verbs, "recall", "no piece of a lot is used from now on; lists whom it reached", _recall)
    lift = _verb(verbs, "lift-recall", "two persons end a recall that was entered here", _lift)
    for verb in (recall, lift):
        verb.add_argument("catalogue", metavar="CATALOGUE")
        verb.add_argument("lot", metavar="LOT")
        verb.add_argument(
            "--reference", required=True, metavar="NOTICE", help="of the maker or the authority"
        )
        verb.add_argument("--reason", required=True, metavar="TEXT")
    lift.add_argument("--second", required=True, metavar="PERSON", help="the second person")
    _reading(_verb(verbs, "list", "what there is, from the record", _list, acts=False))
    trace = _verb(
        verbs, "trace", "all batches, orders and patients of a lot, from the record", _trace, acts=False
    )
    trace.add_argument("lot", metavar="LOT")
    trace.add_argument("--catalogue", default="", metavar="CATALOGUE", help="left out: of any")
    _reading(trace)
    return parser


def _verb(verbs: Any, name: str, words: str, act: object, *, acts: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=words, description=words, allow_abbrev=False
    )
    add_home_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    if acts:
        parser.add_argument("--by", required=True, metavar="PERSON", help="who acts: id, badge or name")
        parser.add_argument(
            "--pin-stdin", action="store_true", help="read one PIN a line from stdin; ask nothing"
        )
    parser.set_defaults(act=act)
    return parser


def _reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", help="a record folder instead of this unit's"
    )


# ── At the running unit ────────────────────────────────────────────────────────────────


class _Desk:
    """One person signed in at the store, for as long as the command takes."""

    def __init__(self, options: argparse.Namespace, *, second: str = "") -> None:
        from appliance.link.messages import Proof

        self._socket, self._person = home_from(options).socket, options.by
        self._proof = Proof(person=options.by, pin=_pin(options, options.by))
        self.second = Proof(person=second, pin=_pin(options, second)) if second else None

    def __enter__(self) -> _Desk:
        self.ask("sign_in", {"person": self._person}, proof=self._proof)
        return self

    def __exit__(self, *_: object) -> None:
        from appliance.link.client import ask

        ask(self._socket, "sign_out", station=STATION)

    def ask(self, name: str, body: dict[str, Any], *, proof: Any = None) -> Accepted:
        """Raises `_Refused` with the unit's words."""
        from appliance.link.client import ask
        from appliance.link.messages import Refused

        answer = ask(self._socket, name, body, proof, station=STATION, timeout_s=LOOK_TIMEOUT_S)
        if isinstance(answer, Refused):
            raise _Refused(answer.words)
        return answer


class _Refused(Exception):
    """The unit's words."""


def _asked(options: argparse.Namespace, name: str, body: dict[str, Any], *, second: str = "") -> int:
    """One command of one person; what comes of it is told."""
    with _Desk(options, second=second) as desk:
        answer = desk.ask(name, body, proof=desk.second)
    _tell(options, f"Done, on record as number {answer.seq}.", {"entry": answer.seq})
    return GOOD


def _tell(options: argparse.Namespace, words: str, said: dict[str, Any]) -> None:
    print(json.dumps(said, ensure_ascii=False) if options.json else words)


def _receive(options: argparse.Namespace) -> int:
    body = {
        "quantity": options.quantity,
        "supplier": options.supplier,
        "visual_check": "failed" if options.damaged else "passed",
        "certificate_reference": options.certificate_reference,
        "lot": options.lot,
        "expires_on": options.expires_on,
    }
    if options.certificate is not None:
        body["certificate"] = _laid(options)
    with _Desk(options) as desk:
        looked = desk.ask("scan_material", {}).result
        if looked["label"] is None:
            raise _Refused(looked["refused"])
        body |= {"scan": looked["scan"], "title": options.title or looked["title"]}
        answer = desk.ask("receive_material", body)
    label, receipt = looked["label"], answer.result["receipt"]
    lot = options.lot or label["lot"]
    words = (
        f"{receipt}: {options.quantity} of {body['title']}, {label['catalogue']}, lot {lot}. "
        "In quarantine until another person releases it."
    )
    _tell(options, words, {"receipt": receipt, "label": label, "title": body["title"]})
    return GOOD


def _laid(options: argparse.Namespace) -> str:
    """Lay the certificate where the unit looks for it; its name there."""
    from appliance.engine.certificates import folder_of

    folder = folder_of(home_from(options))
    folder.mkdir(parents=True, exist_ok=True)
    if options.certificate.resolve().parent != folder.resolve():
        shutil.copyfile(options.certificate, folder / options.certificate.name)
    return str(options.certificate.name)


def _judge(options: argparse.Namespace) -> int:
    """Where its certificate lies is told before the PIN is asked: it is what the person looks at."""
    receipt = _stock(options).receipts.get(options.receipt)
    certificate = receipt.certificate if receipt is not None else "-"
    if receipt is not None:
        print(
            f"Look at {receipt.title}, lot {receipt.lot}, and its certificate: {certificate}", file=sys.stderr
        )
    body = {"receipt": options.receipt, "certificate": certificate, "reason": options.reason}
    return _asked(options, options.command, body)


def _book_out(options: argparse.Namespace) -> int:
    names = ("receipt", "quantity", "why", "reason")
    return _asked(options, "book_out_material", {name: getattr(options, name) for name in names})


def _recall(options: argparse.Namespace) -> int:
    """Recalled first; whom it reached is read from the record after."""
    from appliance.record.material_trace import trace_lot

    with _Desk(options) as desk:
        desk.ask("recall_lot", _of_lot(options))
    traced = trace_lot(_records(options), options.lot, options.catalogue)
    _tell(options, "\n".join(_words_of(options.lot, traced)), traced.as_json(options.lot))
    return GOOD


def _lift(options: argparse.Namespace) -> int:
    return _asked(options, "lift_recall", _of_lot(options), second=options.second)


def _of_lot(options: argparse.Namespace) -> dict[str, str]:
    return {name: getattr(options, name) for name in ("catalogue", "lot", "reference", "reason")}


def _pin(options: argparse.Namespace, person: str) -> str:
    if options.pin_stdin:
        return sys.stdin.readline().strip()
    return getpass.getpass(f"PIN of {person}: ")


# ── From the record ────────────────────────────────────────────────────────────────────


def _records(options: argparse.Namespace) -> Iterator[StoredRecord]:
    """The events of a unit's whole history: the logs before each restore, then the present one."""
    from appliance.record.epochs import earlier_epochs
    from appliance.record.log import Record
    from appliance.record.material_trace import KINDS

    folder: Path = getattr(options, "record", None) or home_from(options).record
    for each in chain(earlier_epochs(folder), [folder]):
        with Record.open_readonly(each) as record:
            yield from record.read_of(KINDS)


def _trace(options: argparse.Namespace) -> int:
    from appliance.record.material_trace import trace_lot

    traced = trace_lot(_records(options), options.lot, options.catalogue)
    if not traced.found:
        print(NO_LOT, file=sys.stderr)
        return REFUSED
    if options.json:
        print(json.dumps(traced.as_json(options.lot), ensure_ascii=False))
    else:
        print("\n".join(_words_of(options.lot, traced)))
    return GOOD


def _words_of(lot: str, traced: Trace) -> Iterator[str]:
    for one in traced.history:
        said = ", ".join(
            f"{name} {value}" for name, value in one.items() if name not in ("what", "at", "entry")
        )
        yield f"{one['at'][:16].replace('T', ' ')} UTC  {one['what']}: {said}  [entry {one['entry']}]"
    told = traced.as_json(lot)
    count = ", ".join(f"{told[name]} {name}" for name in ("batches", "orders", "patients"))
    yield f"Lot {lot} went into: {count}."
    yield from map(_row, traced.uses)


def _row(use: Use) -> str:
    return (
        f"{use.taken_at:%Y-%m-%d %H:%M} UTC  {use.batch}  {use.state:<11}  order {use.order}  "
        f"patient {use.patient}  {use.catalogue} for {use.material}  [entry {use.entry}]"
    )


def _stock(options: argparse.Namespace) -> Stock:
    from appliance.domain.stock import Stock
    from appliance.domain.upcasters import event_of
    from appliance.record.canonical import decode_payload

    stock = Stock()
    for stored in _records(options):
        header = stored.header
        if header.kind.startswith(("Material", "Lot", "Recall")):
            body = decode_payload(stored.payload).body
            event = event_of(header.kind, header.payload_version, dict(body))
            if event is not None:
                stock.take(event, header.wall, header.actor)
    return stock


def _list(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    stock = _stock(options)
    receipts = sorted(stock.receipts.values(), key=lambda one: (one.title, one.expires_at, one.id))
    recalls = [asdict(one) for one in stock.recalls.values()]
    if options.json:
        rows = [asdict(one) | {"left": one.left} for one in receipts]
        print(json.dumps({"receipts": rows, "recalls": recalls}, ensure_ascii=False))
        return GOOD
    for one in receipts:
        recalled = " RECALLED" if stock.recall_of(one.catalogue, one.lot) is not None else ""
        print(
            f"{one.id}  {one.state:<11}  {one.left:>5} left  expires {one.expires_at[:10]}  {one.title}, "
            f"{one.catalogue}, lot {one.lot}{recalled}"
        )
    for recall in recalls:
        print(
            f"RECALLED  {recall['catalogue']} lot {recall['lot']}: {recall['reference']}, {recall['reason']}"
        )
    if not receipts and not recalls:
        print("There are no materials on this unit.")
    return GOOD
