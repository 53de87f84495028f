"""Commands from the socket: prove who asks, decide in a turn, answer in the operator's words."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.errors import ApplianceError, CommandRefused, NotPlausible
from appliance.domain.roles import Actor
from appliance.domain.turns import command_taken
from appliance.engine import exchange_folder
from appliance.engine.command_body import text_of
from appliance.engine.consent_commands import ConsentCommands
from appliance.engine.count_commands import CountCommands
from appliance.engine.device_commands import DeviceCommands
from appliance.engine.identity_desk import IdentityDesk
from appliance.engine.material_commands import MaterialCommands
from appliance.engine.opening import opening_of
from appliance.engine.order_commands import OrderCommands
from appliance.engine.people_commands import PeopleCommands
from appliance.engine.port import EnginePort
from appliance.engine.printer_test import PrinterTest
from appliance.engine.release_desk import ReleaseDesk
from appliance.engine.scan_commands import ScanCommands
from appliance.engine.signature_commands import SignatureCommands
from appliance.link.messages import Accepted, Command, Refused
from appliance.link.server import Answer, Caller
from appliance.record.errors import RecordError

# Refusals that a reviewer must find on record: identity, roles, release (not a typing slip).
ON_RECORD = frozenset(
    {
        "same_person", "not_permitted", "proof_missing", "supervisor_needed", "order_already_made",
        "recipe_not_approved", "order_refused", "device_not_qualified", "batch_open", "record_full",
        "not_active", "not_trained", "identity_not_confirmed", "not_needed", "out_of_order",
        "not_correctable", "device_not_calibrated", "id_needed", "unknown_command", "count_not_qualified",
        "print_head_not_tested",
        "consent_missing", "consent_withdrawn", "order_without_unit", "order_other_unit", "order_expired",
        "order_superseded", "order_handed_back", "lot_recalled", "material_expired", "visual_check_failed",
        "certificate_differs", "signed_recall", "label_template_missing", "label_template_older",
    }
)  # fmt: skip

COMMENT_LENGTH_MAX = 1_000

_logger = logging.getLogger(__name__)
Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class Commands:
    """One handler a command; bodies are checked here, rules are the domain's."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._release = ReleaseDesk(engine)
        self.materials = MaterialCommands(engine)
        self._stops_sent: list[str] = []
        self._stops_missed: list[tuple[str, dict[str, int]]] = []  # by a record that could not be written
        self._handlers: dict[str, Handler] = {
            **PeopleCommands(engine).handlers,
            "open_batch": self._open_batch,
            "scan": self._scan,
            "import_file": self._import_file,
            **SignatureCommands(engine).handlers,
            **DeviceCommands(engine).handlers,
            **PrinterTest(engine).handlers,
            **CountCommands(engine).handlers,
            **self.materials.handlers,
            **ScanCommands(engine).handlers,
            **OrderCommands(engine).handlers,
            **ConsentCommands(engine).handlers,
            "hold": self._hold,
            "restart": self._restart,
            "abort_batch": self._abort,
            "stop": self._stop,
            "release_stop": self._release_stop,
            "acknowledge_alarm": self._acknowledge,
            "comment": self._comment,
            "unlock_identities": IdentityDesk(engine).unlock,
            "erase_identity": IdentityDesk(engine).erase,
            "store_ack": self._release.store_ack,
            "deliver_document": self._release.deliver_document,
            "record_blocked": self._release.record_blocked,
        }

    async def take(self, command: Command, caller: Caller) -> Answer:
        """The answer to one command; a refusal that matters goes on record."""
        try:
            handler = self._handlers.get(command.name)
            if handler is None:
                raise CommandRefused(
                    f"'{command.name}' is not a command of this unit.", reason="unknown_command"
                )
            self._refuse_stale(command)
            result = await handler(command, caller)
        except RecordError as fault:
            self._engine.record_failed(fault)
            return Refused(command_id=command.command_id, reason="record", words=str(fault))
        except ApplianceError as refusal:
            reason = getattr(refusal, "reason", "refused")
            await self._note_refusal(command, caller, reason, str(refusal))
            return Refused(command_id=command.command_id, reason=reason, words=str(refusal))
        return Accepted(command_id=command.command_id, seq=self._engine.journal.head.seq, result=result)

    def _refuse_stale(self, command: Command) -> None:
        """A late command is refused, STOP excepted (C5, SAFETY 1)."""
        if command.name == "stop":
            return
        if command.expires is not None and command.expires <= self._engine.clock.utc():
            raise CommandRefused("This came too late and was not done. Do it again.", reason="expired")
        if command.term not in (0, self._engine.unit.term):
            raise CommandRefused("The unit restarted since. Look at the screen again.", reason="old_term")

    async def _note_refusal(self, command: Command, caller: Caller, reason: str, words: str) -> None:
        if reason not in ON_RECORD:
            return
        session = self._engine.desk.session_at(caller.station)
        event = ev.CommandWasRefused(name=command.name, reason=reason, words=words)
        try:
            await self._engine.turn(lambda: [event], actor=session.person if session else "unit")
        except RecordError as fault:
            _logger.error("a refusal could not be recorded: %s", fault)

    async def _actor(self, command: Command, caller: Caller) -> Actor:
        """Who acts: the proven person of a proof, else the session's; a signature is its session's own."""
        if command.proof is None:
            return self._engine.desk.acting(caller.station)
        return await self._engine.desk.proven(caller.station, command.proof, for_what=command.name)

    # ── The batch ──────────────────────────────────────────────────────────────────────

    async def _open_batch(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine = self._engine
        actor = engine.desk.acting(caller.station)
        opening = await opening_of(engine, text_of(command, "order"))
        opened: list[str] = []

        def decide() -> list[ev.Event]:
            batch, events = decisions.open_batch(engine.unit, opening, actor, engine.clock.utc())
            opened.append(batch)
            return events

        taken = command_taken(command.name, command.body, caller.station, [actor])
        await engine.turn(
            decide, actor=actor.id, command=command.command_id, batch=lambda: opened[0], taken=taken
        )
        return {"batch": opened[0]}

    async def _scan(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        prompt = text_of(command, "prompt")
        await self._turn(
            command, caller, actor, lambda: decisions.scan(engine.unit, prompt, actor, engine.clock.utc())
        )
        return {}

    async def _import_file(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Without a file only what there is to choose from comes back, and nothing is recorded."""
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        prompt = text_of(command, "prompt")
        if "file" not in command.body:
            return {"files": await exchange_folder.listed(engine.config.station.exchange)}
        file = text_of(command, "file")
        await self._turn(
            command,
            caller,
            actor,
            lambda: decisions.import_file(engine.unit, prompt, file, actor, engine.clock.utc()),
        )
        return {}

    async def _hold(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        phase, reason = str(command.body.get("phase", "")), text_of(command, "reason")
        await self._turn(command, caller, actor, lambda: decisions.hold(engine.unit, actor, phase, reason))
        return {}

    async def _restart(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, reason = self._engine, text_of(command, "reason")
        actor = await self._actor(command, caller)
        await self._turn(command, caller, actor, lambda: decisions.restart(engine.unit, actor, reason))
        return {}

    async def _abort(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, reason = self._engine, text_of(command, "reason")
        actor = await self._actor(command, caller)
        await self._turn(command, caller, actor, lambda: decisions.abort_batch(engine.unit, actor, reason))
        return {}

    async def _acknowledge(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        alarm = text_of(command, "alarm")
        await self._turn(
            command, caller, actor, lambda: decisions.acknowledge_alarm(engine.unit, actor, alarm)
        )
        return {}

    async def _comment(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        text = text_of(command, "text")
        if len(text) > COMMENT_LENGTH_MAX:
            # Cut short, it would stand on record as something that nobody wrote.
            raise NotPlausible(f"A comment has at most {COMMENT_LENGTH_MAX} characters. Write two.")
        await self._turn(command, caller, actor, lambda: decisions.comment(engine.unit, actor, text))
        return {}

    async def _turn(
        self,
        command: Command,
        caller: Caller,
        people: Actor | tuple[Actor, ...],
        decide: Callable[[], list[ev.Event]],
    ) -> None:
        """Decide for the first of `people`; the command goes on record before what follows from it."""
        people = people if isinstance(people, tuple) else (people,)
        taken = command_taken(command.name, command.body, caller.station, people)
        await self._engine.turn(decide, actor=people[0].id, command=command.command_id, taken=taken)

    # ── STOP ───────────────────────────────────────────────────────────────────────────

    def stop_sent(self, caller: Caller) -> None:
        """STOP is out on all pipes; its record follows when the command is taken."""
        self._stops_sent.append(caller.station)

    async def _stop(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Record what was already done. A record that cannot be written changes nothing for the devices."""
        engine = self._engine
        if not self._stops_sent:
            engine.pool.stop_all()
        self._stops_sent.clear()
        await asyncio.sleep(0)
        latencies = engine.stop_latencies()
        try:
            await engine.turn(lambda: decisions.stopped(engine.unit, caller.station, latencies))
        except RecordError as fault:
            # The devices stand; the latch holds in this engine, and the next one starts with phases held.
            engine.unit.stop_latched = True
            self._stops_missed.append((caller.station, latencies))
            engine.record_failed(fault)
            return {"words": f"STOP was sent. It could not be recorded: {fault}"}
        return {}

    async def record_missed_stops(self) -> None:
        """The record takes events again: a STOP that it missed goes on it, so that the latch is on record."""
        engine, missed = self._engine, self._stops_missed
        while missed:
            station, latencies = missed.pop(0)
            await engine.turn(functools.partial(decisions.stopped, engine.unit, station, latencies))

    async def _release_stop(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        reason = text_of(command, "reason")
        await self._turn(command, caller, actor, lambda: decisions.release_stop(engine.unit, actor, reason))
        return {}
