"""Orders: each is for exactly one unit, and goes to another one only once the first can no longer make it.

An order is signed with central's key and lies at its unit, where it can be made without a network.
So central must not simply change its mind: it gives an order to another unit when it holds the
first unit's signed hand-back, or when the order has expired there and two different people say so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access import documents
from appliance.access.canonical import canonical_json
from appliance.domain.batch import Order
from sync.acks import utc_text
from sync.central.accounts import Accounts, SignInRefused
from sync.central.store import Account, Document, Store, UseRow

ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # the unit's rule: it names a file there
REASON_CHARACTERS = (3, 500)
CLOCKS_APART_MAX = timedelta(minutes=5)  # the unit judges the expiry by its own clock


class OrderNotGiven(Exception):
    """Nothing was signed; the words say what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderShown:
    """An order as central holds it, and what its unit has done with it as far as is known here."""

    order: Order
    made_in: list[UseRow]
    handed_back: bool
    expired: bool

    @property
    def free(self) -> bool:
        """Whether it may go to another unit; an expired one needs two people."""
        return not self.made_in and (self.handed_back or self.expired)

    @property
    def words(self) -> str:
        if self.made_in:
            return ", ".join(f"made in batch {use.batch} on unit {use.unit_id}" for use in self.made_in)
        if self.handed_back:
            return f"handed back by unit {self.order.unit}"
        if self.expired:
            return "expired; the unit has not said what it did with it"
        return f"waits at unit {self.order.unit}"


@dataclass(frozen=True, slots=True)
class Orders:
    """Signs orders and gives them to units."""

    store: Store
    key: Ed25519PrivateKey
    accounts: Accounts

    def issue(self, content: Mapping[str, Any], *, actor: str, now: datetime) -> Order:
        """Sign a new order and send it to its unit; raises `OrderNotGiven`."""
        order = _read(content)
        if order.assignment != 1:
            raise OrderNotGiven("A new order has assignment 1. Use `reassign-order` for one that is here.")
        self._refuse_unusable(order, now)
        with self.store.transaction():
            if self.store.document("order", order.id) is not None:
                raise OrderNotGiven(f"Order {order.id} is here already. An order id is used once.")
            self._keep(content, order, (order.unit,))
            self._note(actor, "OrderIssued", order, f"Order {order.id} given to unit {order.unit}", now)
        return order

    def reassign(
        self,
        order_id: str,
        *,
        to: str,
        expires_at: datetime,
        reason: str,
        people: Sequence[tuple[str, str]],
        now: datetime,
    ) -> Order:
        """Give an order to another unit as its next assignment; the first unit is told too.

        Parameters
        ----------
        people
            Person id and password of whoever decides: one after a hand-back, two different ones when
            the order has only expired.

        Raises
        ------
        OrderNotGiven
            The unit may still make it or has begun it; a wrong password; the same person twice.
        """
        reason = reason.strip()
        if not REASON_CHARACTERS[0] <= len(reason) <= REASON_CHARACTERS[1]:
            raise OrderNotGiven(
                f"Give a reason in {REASON_CHARACTERS[0]} to {REASON_CHARACTERS[1]} characters."
            )
        accounts = [self._proven(person, password, now) for person, password in people]
        with self.store.transaction():
            shown, content = self._held(order_id, now)
            before = shown.order
            self._refuse_taken(shown, accounts)
            changed = {"unit": to, "assignment": str(before.assignment + 1)}
            content = content | changed | {"expires_at": expires_at.astimezone(UTC).isoformat()}
            order = _read(content)
            self._refuse_unusable(order, now)
            self._keep(content, order, tuple(dict.fromkeys((to, before.unit))))
            why = "handed back" if shown.handed_back else "expired"
            who = " and ".join(account.name for account in accounts)
            words = (
                f"Order {order.id} given to unit {to} (assignment {order.assignment}); unit {before.unit}: "
                f"{why}. {who}: {reason}"
            )
            self._note(" ".join(one.person for one in accounts), "OrderReassigned", order, words, now)
        return order

    def listed(self, now: datetime) -> list[OrderShown]:
        """Every order that is held here, by id."""
        return [self._shown(_content(held), now) for held in self.store.documents("order")]

    def _held(self, order_id: str, now: datetime) -> tuple[OrderShown, dict[str, Any]]:
        held = self.store.document("order", order_id)
        if held is None:
            raise OrderNotGiven(f"There is no order {order_id[:64]} here.")
        content = _content(held)
        return self._shown(content, now), content

    def _shown(self, content: Mapping[str, Any], now: datetime) -> OrderShown:
        order = _read(content)
        back = [
            use
            for use in self.store.uses("hand_back", order.id)
            if use.unit_id == order.unit and use.detail.isdigit() and int(use.detail) >= order.assignment
        ]
        return OrderShown(
            order=order,
            made_in=self.store.uses("order", order.id),
            handed_back=bool(back),
            expired=order.expires_at is not None and order.expires_at + CLOCKS_APART_MAX <= now,
        )

    def _refuse_taken(self, shown: OrderShown, accounts: Sequence[Account]) -> None:
        order = shown.order
        if shown.made_in:
            raise OrderNotGiven(f"Order {order.id} was {shown.words}. It is made once; ask for a new order.")
        if shown.handed_back:
            if not accounts:
                raise OrderNotGiven("A QA reviewer or QP proves who they are first.")
            return
        if not shown.expired:
            until = f"{order.expires_at:%Y-%m-%d %H:%M} UTC" if order.expires_at else "an unknown time"
            raise OrderNotGiven(
                f"Unit {order.unit} has not handed back order {order.id} and may make it until {until}. "
                "Let a supervisor there hand it back, or wait until it has expired."
            )
        if len({account.person for account in accounts}) < 2:
            raise OrderNotGiven(
                f"Unit {order.unit} has not handed back order {order.id}; it has only expired. Two different "
                "people, QA reviewers or QPs, must say that it was not begun there."
            )

    def _refuse_unusable(self, order: Order, now: datetime) -> None:
        unit = self.store.unit(order.unit)
        if unit is None or unit.status != "active":
            raise OrderNotGiven(f"There is no active unit {order.unit[:32]} here.")
        if order.expires_at is None or order.expires_at <= now:
            raise OrderNotGiven("An order needs an expiry that is to come (UTC).")
        if order.expires_at > now + timedelta(days=3650) and not unit.simulated:
            raise OrderNotGiven("An order that holds for more than ten years is a slip. Write its expiry.")

    def _keep(self, content: Mapping[str, Any], order: Order, units: Sequence[str]) -> None:
        signed = documents.sign("order", canonical_json(dict(content)), self.key, "central")
        envelope = documents.to_json(signed).strip()
        self.store.put_document(
            Document(type="order", document_id=order.id, version=order.assignment, envelope=envelope)
        )
        for unit_id in units:
            self.store.queue_down(unit_id, "order", envelope)

    def _note(self, actor: str, kind: str, order: Order, words: str, now: datetime) -> None:
        body = msgspec.json.encode(
            {"text": words, "order": order.id, "assignment": order.assignment}
        ).decode()
        self.store.add_event(at=utc_text(now), actor=actor, kind=kind, unit_id=order.unit, body=body)

    def _proven(self, person: str, password: str, now: datetime) -> Account:
        try:
            return self.accounts.prove(person, password, now=now)
        except SignInRefused as refused:
            raise OrderNotGiven(f"Nothing was changed. {person[:64]}: {refused}") from None


def _content(held: Document) -> dict[str, Any]:
    found = json.loads(documents.parse(held.envelope).content)
    assert isinstance(found, dict), held.document_id
    return found


def _read(content: Mapping[str, Any]) -> Order:
    try:
        order = Order.from_text(json.dumps(dict(content)))
    except (KeyError, ValueError, ArithmeticError) as fault:
        raise OrderNotGiven(f"This order cannot be read: {fault}.") from None
    if not ORDER_ID.fullmatch(order.id) or not order.unit:
        raise OrderNotGiven("An order needs an id of letters, digits, '.', '_' or '-', and names its unit.")
    return order
