"""Patients' identities at a running unit: taken beside an order, opened after a start, erased on request.

What goes on record is the pseudonym and who acted. The passphrase travels as a proof, which is
never recorded, and not in the body of a command, which is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from appliance.access.documents import Envelope
from appliance.access.errors import AccessRefused, DocumentRefused, IdentityRefused
from appliance.access.identities import LOCKED_WORDS, Identities, read_delivered
from appliance.access.identity_key import (
    IdentityKey,
    boot_passphrase,
    is_wrapped,
    make_identity_key,
    open_identity_key,
)
from appliance.config import Home
from appliance.domain import events as ev
from appliance.domain.errors import CommandRefused
from appliance.domain.people_rules import permit
from appliance.domain.prompts import TEXT_LENGTH_MAX, PromptFact
from appliance.domain.roles import Actor
from appliance.engine.port import EnginePort
from appliance.engine.shelf import load_shelf
from appliance.link.messages import Command
from appliance.link.server import Caller

_logger = logging.getLogger(__name__)


def opened_identities(home: Home, unit: str) -> Identities:
    """The table as a start finds it: open, or locked where the passphrase was not handed over.

    A unit that never had a key gets an open one; a key that cannot be used locks the table and
    stops nothing else: the engine appends at boot without asking anyone (SAFETY 18).
    """
    try:
        return Identities(home.root, unit, _key_at_start(home))
    except AccessRefused as refused:
        _logger.warning("patients' identities stay locked: %s", refused)
        return Identities(home.root, unit, None)


def _key_at_start(home: Home) -> IdentityKey:
    if not home.identity_key.exists() and not list(Identities(home.root, "", None).pseudonyms()):
        return make_identity_key(home.identity_key)
    passphrase = boot_passphrase(os.environ) if is_wrapped(home.identity_key) else ""
    return open_identity_key(home.identity_key, passphrase)


class IdentityDesk:
    """The commands about identities."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine

    async def unlock(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Open the table with the boot passphrase; Argon2 runs beside the loop."""
        engine, actor = self._engine, self._permitted(command, caller)
        passphrase = command.proof.password if command.proof is not None else ""
        key = await asyncio.to_thread(open_identity_key, engine.home.identity_key, passphrase)
        engine.identities.unlock(key)
        event = ev.IdentitiesUnlocked(person=actor.id, station=caller.station)
        await engine.turn(lambda: [event], actor=actor.id, command=command.command_id)
        return {}

    async def erase(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Make one patient's name and pictures unreadable; on record first, then done."""
        engine, actor = self._engine, self._permitted(command, caller)
        patient, reason = (str(command.body.get(name, "")).strip() for name in ("patient", "reason"))
        if not 3 <= len(reason) <= TEXT_LENGTH_MAX:
            raise CommandRefused("Give a reason, such as the number of the request.", reason="reason_missing")
        if patient not in engine.identities.pseudonyms():
            raise CommandRefused("This unit keeps no identity under that pseudonym.", reason="not_found")
        batch = engine.unit.batch
        if batch is not None and not batch.closed and batch.order.patient == patient:
            raise CommandRefused("A batch for this patient is open. Finish it first.", reason="batch_open")
        event = ev.IdentityErased(patient=patient, person=actor.id, reason=reason)
        await engine.turn(lambda: [event], actor=actor.id, command=command.command_id)
        await asyncio.to_thread(engine.identities.erase, patient)
        return {"patient": patient}

    async def deliver(self, envelope: Envelope, command: Command) -> dict[str, Any]:
        """Take the identity that comes beside an order. Its bytes are kept nowhere but sealed."""
        engine = self._engine
        try:
            texts = {
                order.order.id: order.text for order in load_shelf(engine.home, engine.trust).orders.values()
            }
            central = frozenset(engine.trust.central)
            patient, identity = read_delivered(envelope, central=central, order_texts=texts)
            await asyncio.to_thread(engine.identities.put, patient, identity)
        except (DocumentRefused, IdentityRefused) as refused:
            event: ev.Event = ev.DocumentRefused(
                type="identity", blob="", reason=refused.reason, words=str(refused)
            )
            await engine.turn(lambda: [event], command=command.command_id)
            raise
        words = f"identity of {patient}, sealed apart from the record"
        taken = ev.DocumentReceived(type="identity", blob="", words=words)
        await engine.turn(lambda: [taken], command=command.command_id)
        return {"patient": patient}

    def _permitted(self, command: Command, caller: Caller) -> Actor:
        actor = self._engine.desk.acting(caller.station)
        permit(self._engine.unit, actor, command.name)
        return actor


def identity_facts(identities: Identities, patient: str) -> tuple[PromptFact, ...]:
    """Who the patient is, for the eyes of signed-in people at the bedside."""
    if identities.locked:
        return (PromptFact("Name", LOCKED_WORDS),)
    try:
        identity = identities.find(patient)
    except IdentityRefused as refused:
        return (PromptFact("Name", str(refused), True),)
    if identity is None:
        return ()
    return (
        PromptFact("Name", identity.name),
        PromptFact("Born", identity.birth_date),
        PromptFact("Hospital number", identity.hospital_number),
    )
