"""Central's signed orders and words arrive: which unit makes what, and what must stop.

Each is verified under the keys that `trust.json` names, is newer than what the record remembers,
and takes effect in turns of its own; what was cut off by a crash is done when it comes again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from appliance.access.central_words import (
    KINDS,
    CentralWord,
    Notice,
    Recall,
    RecallLift,
    Withdrawal,
    read_lift,
    read_word,
)
from appliance.access.documents import THRESHOLDS, Envelope, dump, verify
from appliance.access.errors import DocumentRefused
from appliance.domain import assignment, consent, materials, second_use
from appliance.domain import events as ev
from appliance.domain.batch import Order
from appliance.domain.errors import CommandRefused
from appliance.domain.stock import key_of
from appliance.engine.port import EnginePort
from appliance.engine.shelf import load_shelf

TYPES = ("order", *KINDS, RecallLift.TYPE)
ORDER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it names a file


class CentralDesk:
    """Takes orders and words of central in."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    async def deliver(self, envelope: Envelope, blob: str, command: str) -> dict[str, Any]:
        """An order or a word of central, by the agent or as a file.

        Raises
        ------
        DocumentRefused
            Not signed by our central, altered, garbled, or older than what the record remembers.
        CommandRefused
            What it says contradicts the record; it is on record as refused.
        """
        engine = self._engine
        received = ev.DocumentReceived(type=envelope.type, blob=blob, words=f"{envelope.type} by central")
        try:
            if envelope.type == "order":
                return await self._order(envelope, blob, received, command)
            if envelope.type == RecallLift.TYPE:
                return await self._lift(envelope, blob, received, command)
            return await self._word(envelope, blob, received, command)
        except (DocumentRefused, CommandRefused) as refusal:
            refused = ev.DocumentRefused(
                type=envelope.type, blob=blob, reason=refusal.reason, words=str(refusal)
            )
            await engine.turn(lambda: [refused], command=command)
            raise

    # ── Orders ─────────────────────────────────────────────────────────────────────────

    async def _order(self, envelope: Envelope, blob: str, received: ev.Event, command: str) -> dict[str, Any]:
        engine = self._engine
        order = self._read_order(envelope)
        known = engine.unit.orders.assigned.get(order.id)
        if known is not None and known.content_hash == envelope.content_hash:
            return {"words": f"Assignment {known.assignment} of order {order.id} is here already."}
        self._refuse_older(order, known)
        await engine.turn(lambda: [received])
        # On the shelf first: signed, it may lie there, and what comes again after a crash finds it.
        await engine.journal.in_writer(dump, envelope, engine.home.orders / f"{order.id}.json")
        engine.shelf = load_shelf(engine.home, engine.trust)
        said = ev.OrderAssigned(
            order=order.id,
            unit=order.unit,
            assignment=order.assignment,
            expires_at=order.expires_at.isoformat() if order.expires_at else "",
            blob=blob,
            content_hash=envelope.content_hash,
        )
        await engine.turn(lambda: assignment.assigned(engine.unit, said), command=command)
        return {"words": f"Order {order.id} is for unit {order.unit} (assignment {order.assignment})."}

    def _read_order(self, envelope: Envelope) -> Order:
        content = verify(
            envelope,
            allowed={"central": frozenset(self._engine.trust.central)},
            threshold=THRESHOLDS["order"],
        )
        try:
            order = Order.from_text(content.decode("utf-8"))
        except (KeyError, ValueError, ArithmeticError) as fault:
            raise DocumentRefused(
                "garbled", f"This order cannot be read: {fault}. Ask for it again."
            ) from fault
        if not ORDER_ID.fullmatch(order.id) or not order.unit:
            raise DocumentRefused(
                "garbled", "This order names no unit, or its id cannot name a file. Ask QA for another one."
            )
        return order

    def _refuse_older(self, order: Order, known: ev.OrderAssigned | None) -> None:
        unit, shelved = self._engine.unit, self._engine.shelf.orders.get(order.id)
        highest = known.assignment if known is not None else 0
        if shelved is not None and shelved.order != order:  # laid there by hand
            highest = max(highest, shelved.order.assignment)
        if order.assignment <= highest:
            raise DocumentRefused(
                "lower_version",
                f"This is assignment {order.assignment} of order {order.id}; this unit has seen assignment "
                f"{highest} already. Fetch the newest one.",
            )
        if order.unit == unit.id and unit.orders.handed_back.get(order.id, 0) >= order.assignment:
            raise DocumentRefused(
                "order_handed_back",
                f"Assignment {order.assignment} of order {order.id} was handed back by this unit. "
                "QA gives it to a unit anew, with a higher number.",
            )

    # ── Words ──────────────────────────────────────────────────────────────────────────

    async def _word(self, envelope: Envelope, blob: str, received: ev.Event, command: str) -> dict[str, Any]:
        engine, book = self._engine, self._engine.unit.orders
        word = read_word(envelope, engine.trust.central)
        key = f"{word.TYPE}:{word.id}"
        known = book.words.get(key, 0)
        if known == word.version and book.hashes[key] == envelope.content_hash:
            return {"words": f"Version {known} of this {word.TYPE} holds already."}
        if word.version <= known:
            raise DocumentRefused(
                "lower_version",
                f"This {word.TYPE} is version {word.version}; this unit has version {known} already. "
                "What was stopped stays stopped.",
            )
        await engine.turn(lambda: [received])
        await engine.turn(lambda: self._effect(word, blob))
        taken = _taken(word, envelope, blob)
        await engine.turn(lambda: [taken], command=command)
        return {"words": f"Version {word.version} of this {word.TYPE} holds now."}

    async def _lift(self, envelope: Envelope, blob: str, received: ev.Event, command: str) -> dict[str, Any]:
        """QA says that a recall is over: from now on two persons here may lift it."""
        engine, book = self._engine, self._engine.unit.orders
        lift = read_lift(envelope, engine.desk.people)
        recalled, known = book.words.get(f"recall:{lift.id}", 0), book.words.get(f"{lift.TYPE}:{lift.id}", 0)
        if lift.version < max(recalled, known) or lift.id != key_of(lift.catalogue, lift.lot):
            raise DocumentRefused(
                "lower_version",
                f"This ends version {lift.version} of the recall of lot {lift.lot}; this unit has version "
                f"{recalled}. Ask QA for one that ends that.",
            )
        if known == lift.version:
            return {"words": "This is on record already."}
        await engine.turn(lambda: [received])
        taken = _taken(lift, envelope, blob)
        await engine.turn(lambda: [taken], command=command)
        return {"words": f"Two persons may lift the recall of lot {lift.lot} of {lift.catalogue} now."}

    def _effect(self, word: CentralWord, blob: str) -> list[ev.Event]:
        unit = self._engine.unit
        match word:
            case Withdrawal():
                # On the safe side: the consent's id counts, also where its chain was mistyped at central.
                known = unit.consents.get(word.consent)
                said = _withdrawn(word, blob)
                return consent.withdrawn(unit, replace(said, coi=known.coi) if known is not None else said)
            case Recall():
                return materials.recall(
                    unit, word.catalogue, word.lot, word.reference, word.reason, document_blob=blob
                )
            case Notice():
                return second_use.noticed(unit, _noticed(word, unit.id, blob))
        raise AssertionError(word)


def _taken(word: CentralWord, envelope: Envelope, blob: str) -> ev.CentralWordTaken:
    return ev.CentralWordTaken(
        type=word.TYPE,
        document=word.id,
        version=word.version,
        blob=blob,
        content_hash=envelope.content_hash,
        signed_by=sorted(one.key for one in envelope.signatures),
    )


def _withdrawn(word: Withdrawal, blob: str) -> ev.ConsentWithdrawn:
    return ev.ConsentWithdrawn(
        consent=word.consent,
        coi=word.coi,
        patient=word.patient,
        received_from=word.received_from,
        withdrawn_at=word.withdrawn_at.isoformat(),
        reason=word.reason,
        noted_by=f"{word.name} at central",
        document_blob=blob,
    )


def _noticed(word: Notice, unit_id: str, blob: str) -> ev.SecondUseNoticed:
    return ev.SecondUseNoticed(
        notice=word.id,
        version=word.version,
        subject=word.subject,
        key=word.key,
        batches=[use.batch for use in word.uses if use.unit == unit_id],
        elsewhere=[f"{use.unit} {use.batch}" for use in word.uses if use.unit != unit_id],
        words=word.reason,
        blob=blob,
    )
