"""Pages about identity across units: orders and where they go, stops from outside, second uses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import RedirectResponse, Response

from sync.acks import utc_text
from sync.central.accounts import SignedIn, SignInRefused
from sync.central.orders import OrderNotGiven, Orders
from sync.central.pages import Pages
from sync.central.review import Review
from sync.central.second_use import JUDGED
from sync.central.stops import StopRefused, Stops, batches_on, reached, trace_of_lot, words_sent
from sync.central.store import Store

REASON_CHARACTERS = (10, 2000)
CARRIED = ("order", "withdrawal", "recall", "notice")


class IdentityRefused(Exception):
    """Nothing was changed; the words say why."""


class IdentityPages:
    """What these pages do; the gate and the routes are `web`'s."""

    def __init__(self, store: Store, pages: Pages, orders: Orders, stops: Stops) -> None:
        self._store, self._pages, self._orders, self._stops = store, pages, orders, stops

    # ── Orders ─────────────────────────────────────────────────────────────────────────

    def orders(self, who: SignedIn | None, *, now: datetime) -> Response:
        units = [unit.unit_id for unit in self._store.units() if unit.status == "active"]
        return self._pages.show("orders.html", who, orders=self._orders.listed(now), units=units)

    def reassign(self, who: SignedIn, said: Mapping[str, str], *, now: datetime) -> Response:
        people = [(who.person, said.get("password", ""))]
        if second := said.get("second", "").strip():
            people.append((second[:64], said.get("second_password", "")))
        try:
            expires_at = datetime.fromisoformat(said.get("expires_at", "").strip())
            if expires_at.tzinfo is None:
                expires_at = expires_at.replace(tzinfo=UTC)  # the page asks for UTC
        except ValueError:
            raise IdentityRefused("Write the expiry in UTC, such as 2026-03-02T08:00.") from None
        try:
            self._orders.reassign(
                said.get("order", ""),
                to=said.get("to", ""),
                expires_at=expires_at,
                reason=said.get("reason", ""),
                people=people,
                now=now,
            )
        except OrderNotGiven as refused:
            raise IdentityRefused(str(refused)) from None
        return RedirectResponse("/orders", status_code=303)

    # ── Stops ──────────────────────────────────────────────────────────────────────────

    def stops(self, who: SignedIn | None) -> Response:
        store = self._store
        recalls = [
            (word, reached(store, word), trace_of_lot(store, word.catalogue, word.lot))  # type: ignore[attr-defined]
            for word in words_sent(store, "recall")
        ]
        withdrawals = [
            (word, reached(store, word), batches_on(store, word.id))
            for word in words_sent(store, "withdrawal")
        ]
        return self._pages.show("stops.html", who, recalls=recalls, withdrawals=withdrawals)

    def stop(self, who: SignedIn, said: Mapping[str, str], *, now: datetime) -> Response:
        send = self._stops.recall if said.get("what") == "recall" else self._stops.withdraw
        try:
            send(who.person, said.get("password", ""), said, now=now)
        except StopRefused as refused:
            raise IdentityRefused(str(refused)) from None
        return RedirectResponse("/stops", status_code=303)

    def signed_file(self, asked: Mapping[str, str]) -> tuple[bytes, str]:
        """A signed order or stop, to be carried to a unit by hand; raises `IdentityRefused`."""
        kind, name = asked.get("type", ""), asked.get("id", "")
        held = self._store.document(kind, name) if kind in CARRIED else None
        if held is None:
            raise IdentityRefused("There is no such signed file here.")
        return held.envelope, f"{kind}-{name}-{held.version}.json"

    # ── Second uses ────────────────────────────────────────────────────────────────────

    def judge(self, review: Review, who: SignedIn, said: Mapping[str, str], *, now: datetime) -> Response:
        """A QP says why a batch may be certified although its order or bag was used twice."""
        if who.role != "qp":
            raise IdentityRefused("Only a QP says why a second use does not forbid a release.")
        subject, key = said.get("subject", ""), said.get("key", "")
        found = next((one for one in review.second_uses if (one.subject, one.key) == (subject, key)), None)
        if found is None or said.get("mark", "") != found.mark:
            raise IdentityRefused("What was used twice has changed since. Read this batch's page again.")
        if found.subject == "hand_over":
            raise IdentityRefused("An order was handed over twice. Nothing makes that a release.")
        reason = said.get("reason", "").strip()
        if not REASON_CHARACTERS[0] <= len(reason) <= REASON_CHARACTERS[1]:
            raise IdentityRefused(f"Say why in {REASON_CHARACTERS[0]} to {REASON_CHARACTERS[1]} characters.")
        try:
            account = self._orders.accounts.prove(who.person, said.get("password", ""), now=now)
        except SignInRefused as refused:
            raise IdentityRefused(f"Nothing was put on record. {refused}") from None
        body = {
            "text": f"{found.words} {account.name}: {reason}",
            "subject": found.subject,
            "key": found.key,
            "mark": found.mark,
            "reason": reason,
        }
        self._store.add_event(
            at=utc_text(now),
            actor=account.person,
            kind=JUDGED,
            unit_id=review.unit_id,
            batch=review.batch,
            body=json.dumps(body, ensure_ascii=False),
        )
        return RedirectResponse(f"/batches/{review.unit_id}/{review.batch}#identity", status_code=303)
