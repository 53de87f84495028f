"""Verbs of `cellwright central` about identity: orders, stops from outside, what was used twice."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sync.central.accounts import Accounts
    from sync.central.home import CentralHome
    from sync.central.orders import Orders
    from sync.central.stops import Stops


def add_verbs(verbs: Any, verb: Callable[[Any, str, str, Any], argparse.ArgumentParser]) -> None:
    """Add these verbs; `verb` makes one with the options that all of them have."""
    issue = verb(verbs, "issue-order", "sign an order with central's key and send it to its unit", _issue)
    issue.add_argument("file", type=Path, metavar="FILE.JSON", help="the order; it names its unit and expiry")
    again = verb(verbs, "reassign-order", "give an order to another unit", _reassign)
    again.add_argument("--order", required=True, metavar="ID")
    again.add_argument("--to", required=True, metavar="UNIT")
    again.add_argument("--expires-at", required=True, metavar="UTC", help="such as 2026-03-02T08:00:00+00:00")
    again.add_argument("--second-person", default="", metavar="ID", help="where the order has only expired")
    withdraw = verb(verbs, "withdraw-consent", "tell every unit that a consent was withdrawn", _withdraw)
    for name in ("consent", "coi", "received-from"):
        withdraw.add_argument(f"--{name}", required=True, metavar="TEXT")
    withdraw.add_argument("--patient", default="", metavar="CODE")
    recall = verb(verbs, "recall-lot", "tell every unit that a lot may not be used", _recall)
    for name in ("catalogue", "lot", "reference"):
        recall.add_argument(f"--{name}", required=True, metavar="TEXT")
    for acting in (again, withdraw, recall):
        acting.add_argument("--reason", required=True, metavar="TEXT")
        acting.add_argument("--person", required=True, metavar="ID", help="who acts: a QA reviewer or QP")
        acting.add_argument("--password-stdin", action="store_true", help="one line a person, from stdin")
    trace = verb(verbs, "lot", "units, batches and patients that have a lot", _trace)
    for name in ("catalogue", "lot"):
        trace.add_argument(f"--{name}", required=True, metavar="TEXT")
    verb(verbs, "orders", "each order, its unit, and what became of it", _orders)
    verb(verbs, "used-twice", "orders, bags and hand-overs that stand in more than one batch", _used_twice)


def _desk(home: CentralHome) -> tuple[Orders, Stops]:
    from appliance.access.keys import load_pin_secret
    from sync.central.accounts import Accounts
    from sync.central.orders import Orders
    from sync.central.stops import Stops

    home.settings()
    store, key = home.store(), home.signing_key()
    accounts: Accounts = Accounts(store, load_pin_secret(home.password_secret))
    return Orders(store, key, accounts), Stops(store, key, accounts)


def _issue(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    orders, _ = _desk(home)
    content = json.loads(options.file.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{options.file} is no order.")
    order = _refused(lambda: orders.issue(content, actor="administrator", now=datetime.now(UTC)))
    return {"order": order.id, "unit": order.unit, "assignment": order.assignment}


def _reassign(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    orders, _ = _desk(home)
    expires_at = datetime.fromisoformat(options.expires_at)
    if expires_at.tzinfo is None:
        raise ValueError("Write the expiry with its offset from UTC, such as 2026-03-02T08:00:00+00:00.")
    names = [options.person, *([options.second_person] if options.second_person else [])]
    people = [(name, _password(options, name)) for name in names]
    order = _refused(
        lambda: orders.reassign(
            options.order,
            to=options.to,
            expires_at=expires_at,
            reason=options.reason,
            people=people,
            now=datetime.now(UTC),
        )
    )
    return {"order": order.id, "unit": order.unit, "assignment": order.assignment}


def _withdraw(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    _, stops = _desk(home)
    password = _password(options, options.person)
    word = _refused(lambda: stops.withdraw(options.person, password, vars(options), now=datetime.now(UTC)))
    return {"consent": word.consent, "version": word.version}


def _recall(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    _, stops = _desk(home)
    password = _password(options, options.person)
    word = _refused(lambda: stops.recall(options.person, password, vars(options), now=datetime.now(UTC)))
    return {"version": word.version, **_trace(home, options)}


def _trace(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from sync.central.stops import trace_of_lot

    home.settings()
    trace = trace_of_lot(home.store(), options.catalogue, options.lot)
    batches = [
        {"batch": one.batch, "unit": one.unit, "patient": one.patient, "order": one.order}
        for one in trace.batches
    ]
    return {"lot": options.lot, "units": trace.units, "patients": trace.patients, "batches": batches}


def _orders(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    orders, _ = _desk(home)
    shown = [
        {
            "order": one.order.id,
            "unit": one.order.unit,
            "assignment": one.order.assignment,
            "state": one.words,
        }
        for one in orders.listed(datetime.now(UTC))
    ]
    return {"orders": shown}


def _used_twice(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from sync.central.second_use import all_second_uses

    home.settings()
    found = [
        {
            "subject": one.subject,
            "key": one.key,
            "batches": [{"unit": use.unit_id, "batch": use.batch} for use in one.uses],
        }
        for one in all_second_uses(home.store())
    ]
    return {"used_twice": found}


def _refused(act: Callable[[], Any]) -> Any:
    from sync.central.home import CentralUnusable
    from sync.central.orders import OrderNotGiven
    from sync.central.stops import StopRefused

    try:
        return act()
    except (OrderNotGiven, StopRefused) as refused:
        raise CentralUnusable(str(refused)) from None


def _password(options: argparse.Namespace, person: str) -> str:
    if options.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return getpass.getpass(f"Password of {person} at central: ")
