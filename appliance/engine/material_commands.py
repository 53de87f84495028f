"""Commands about materials: receive, release, reject, book out, recall; rules are `domain.materials`'."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from appliance.domain import events as ev
from appliance.domain import material_labels, materials
from appliance.domain.errors import CommandRefused, NotPlausible
from appliance.domain.identity import LabelNotUsable
from appliance.domain.people_rules import permit
from appliance.domain.roles import Actor
from appliance.domain.stock import QUARANTINED, Receipt, catalogue_key, lot_key
from appliance.domain.turns import command_taken
from appliance.engine import certificates
from appliance.engine.command_body import proof_of, text_of
from appliance.engine.port import EnginePort
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]
LOOK_MS = 8_000  # sooner than whoever asked gives up waiting
LOOKS_MAX = 16  # stations whose newest look is kept until it is received
LISTED_MAX = 80  # receipts in one answer: a line of the link has a limit
QUANTITY_DIGITS_MAX = 6


class MaterialCommands:
    """One handler a command. A look before the camera is kept here until its material is received."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._looks: dict[str, ev.ScanRead] = {}  # station → its newest look
        self._number = 0
        self.handlers: dict[str, Handler] = {
            "scan_material": self._scan,
            "receive_material": self._receive,
            "release_material": self._release,
            "reject_material": self._reject,
            "book_out_material": self._book_out,
            "recall_lot": self._recall,
            "lift_recall": self._lift,
            "list_materials": self._list,
        }

    # ── Receipt ────────────────────────────────────────────────────────────────────────

    def newest_look(self, station: str) -> str:
        """The id of the newest look at a station; empty when there is none."""
        look = self._looks.get(station)
        return look.scan_id if look is not None else ""

    async def _scan(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Look at a material's label; nothing is recorded before it is received."""
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        permit(engine.unit, actor, "receive_material")
        self._number += 1
        asked = ev.ScanRequested(
            phase="",
            key="receipt",
            scan_id=f"receipt-{engine.unit.term}-{self._number}",
            formats=list(material_labels.FORMATS),
        )
        read = await engine.effects.scanning.read(asked, limit_ms=LOOK_MS)
        self._looks.pop(caller.station, None)
        if read.texts:
            self._looks[caller.station] = read
            while len(self._looks) > LOOKS_MAX:
                del self._looks[next(iter(self._looks))]
        return {"scan": read.scan_id, **self._told(read)}

    def _told(self, read: ev.ScanRead) -> dict[str, Any]:
        zone = self._engine.config.unit.time_zone
        try:
            label = material_labels.read_material(read.texts, read.identifiers, read.reasons, zone)
        except LabelNotUsable as refusal:
            return {"label": None, "reason": refusal.reason, "refused": str(refusal)}
        return {"label": material_labels.as_json(label), "title": self._title_of(label.catalogue)}

    def _title_of(self, catalogue: str) -> str:
        """What this unit calls a catalogue number: by its approved recipes, or as it was received before."""
        for shelved in self._engine.shelf.recipes.values():
            match = materials.matching(list(shelved.recipe.materials.values()), catalogue)
            if match is not None:
                return match.title
        known = self._engine.unit.stock.of(catalogue)
        return known[-1].title if known else ""

    async def _receive(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        permit(engine.unit, actor, "receive_material")  # before anything is kept
        look = self._looks.get(caller.station)
        if look is None or look.scan_id != command.body.get("scan"):
            raise CommandRefused("Show the label to the camera first.", reason="scan_needed")
        asked = materials.Received(
            texts=look.texts,
            identifiers=look.identifiers,
            picture=look.picture,
            time_zone=engine.config.unit.time_zone,
            title=_optional(command, "title"),
            quantity=_quantity(command),
            supplier=_optional(command, "supplier"),
            visual_check=_optional(command, "visual_check"),
            certificate_reference=_optional(command, "certificate_reference"),
            lot=_optional(command, "lot"),
            expires_on=_optional(command, "expires_on"),
        )
        materials.label_received(engine.unit, asked, engine.clock.utc())  # before a file is kept
        if file := _optional(command, "certificate"):
            asked = replace(asked, certificate_blob=await certificates.keep(engine, file))
        await self._turn(
            command, caller, [actor], asked.body(),
            lambda: materials.receive(engine.unit, actor, asked, engine.clock.utc()),
        )  # fmt: skip
        self._looks.pop(caller.station, None)
        return {"receipt": next(reversed(engine.unit.stock.receipts))}

    # ── What another person decides ────────────────────────────────────────────────────

    async def _release(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor, asked, body = self._judged(command, caller)
        await self._turn(
            command, caller, [actor], body,
            lambda: materials.release(engine.unit, actor, asked, engine.clock.utc()),
        )  # fmt: skip
        return {}

    async def _reject(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor, asked, body = self._judged(command, caller)
        await self._turn(command, caller, [actor], body, lambda: materials.reject(engine.unit, actor, asked))
        return {}

    def _judged(
        self, command: Command, caller: Caller
    ) -> tuple[EnginePort, Actor, materials.Judged, dict[str, str]]:
        body = {name: text_of(command, name) for name in ("receipt", "certificate", "reason")}
        return self._engine, self._engine.desk.acting(caller.station), materials.Judged.of(body), body

    async def _book_out(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        body = {name: text_of(command, name) for name in ("receipt", "why", "reason")}
        quantity = _quantity(command)
        await self._turn(
            command, caller, [actor], body | {"quantity": str(quantity)},
            lambda: materials.book_out(
                engine.unit, actor, body["receipt"], quantity, body["why"], body["reason"]
            ),
        )  # fmt: skip
        return {}

    # ── Recall ─────────────────────────────────────────────────────────────────────────

    async def _recall(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        body = _of_recall(command)
        await self._turn(
            command, caller, [actor], body, lambda: materials.recall_by(engine.unit, actor, **body)
        )
        return {}

    async def _lift(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command."""
        engine, first = self._engine, self._engine.desk.acting(caller.station)
        permit(engine.unit, first, "lift_recall")
        body = _of_recall(command)
        proof = proof_of(command, "The PIN of a second person is missing.")
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)
        await self._turn(
            command, caller, [first, second], body, lambda: materials.lift(engine.unit, first, second, **body)
        )
        return {}

    # ── What there is ──────────────────────────────────────────────────────────────────

    async def _list(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The receipts that are open, what waits for a decision first; nothing is recorded."""
        engine = self._engine
        actor = engine.desk.acting(caller.station)
        stock, now = engine.unit.stock, engine.clock.utc()
        open_ones = sorted(
            stock.receipts.values(), key=lambda one: (one.state != QUARANTINED, one.expires_at, one.id)
        )
        rows = [self._row(one, actor) | {"expired": one.expires <= now} for one in open_ones[:LISTED_MAX]]
        recalls = [
            {name: getattr(one, name) for name in ("catalogue", "lot", "reference", "reason")}
            for one in stock.recalls.values()
        ]
        return {
            "receipts": rows,
            "more": max(0, len(open_ones) - LISTED_MAX),
            "recalls": recalls[-LISTED_MAX:],
            "certificates": certificates.listed(engine.home),
        }

    def _row(self, one: Receipt, actor: Actor) -> dict[str, Any]:
        names = ("id", "catalogue", "lot", "title", "state", "expires_at", "supplier", "certificate")
        recalled = self._engine.unit.stock.recall_of(one.catalogue, one.lot) is not None
        return {name: getattr(one, name) for name in names} | {
            "left": one.left,
            "visual_check": one.visual_check,
            "received_by": one.received_by,
            "recalled": recalled,
            "own": one.received_by == actor.id,
        }

    # ── Shared ─────────────────────────────────────────────────────────────────────────

    async def _turn(
        self,
        command: Command,
        caller: Caller,
        people: Sequence[Actor],
        body: dict[str, Any],
        decide: Callable[[], list[ev.Event]],
    ) -> None:
        taken = command_taken(command.name, body, caller.station, people)
        await self._engine.turn(decide, actor=people[0].id, command=command.command_id, taken=taken)


def _of_recall(command: Command) -> dict[str, str]:
    body = {name: text_of(command, name) for name in ("catalogue", "lot", "reference", "reason")}
    return body | {"catalogue": catalogue_key(body["catalogue"]), "lot": lot_key(body["lot"])}


def _optional(command: Command, name: str) -> str:
    value = command.body.get(name, "")
    if not isinstance(value, str) or len(value) > materials.WORDS_LENGTH_MAX + 40:
        raise NotPlausible(f"'{name.replace('_', ' ')}' is too long. Enter it shorter.")
    return value.strip()


def _quantity(command: Command) -> int:
    text = str(command.body.get("quantity", "")).strip()
    if not (text.isascii() and text.isdigit() and len(text) <= QUANTITY_DIGITS_MAX):
        raise NotPlausible("Enter how many, as a whole number.")
    return int(text)
