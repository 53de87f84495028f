"""Commands about people: sessions, accounts, secrets, badges, emergencies, witnesses of the clock."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from appliance.domain import decisions, people_rules
from appliance.domain import events as ev
from appliance.domain.roles import EMERGENCY, Actor
from appliance.domain.turns import command_taken
from appliance.engine.command_body import proof_of, text_of, utc_of, whole_of
from appliance.engine.port import EnginePort
from appliance.engine.view import person_view
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class PeopleCommands:
    """One handler a command; rules are `people_rules`' and the desk's."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {
            "sign_in": self._sign_in,
            "sign_out": self._sign_out,
            "lock": self._lock,
            "change_secret": self._change_secret,
            "unlock_account": self._unlock_account,
            "disable_account": self._disable_account,
            "enable_account": self._enable_account,
            "issue_badge": self._issue_badge,
            "withdraw_badge": self._withdraw_badge,
            "test_badge": self._test_badge,
            "open_emergency": self._open_emergency,
            "end_emergency": self._end_emergency,
            "confirm_time": self._confirm_time,
        }

    # ── Sessions and secrets ───────────────────────────────────────────────────────────

    async def _sign_in(self, command: Command, caller: Caller) -> dict[str, Any]:
        desk, proof = self._engine.desk, command.proof
        handle = str(command.body.get("person", "")) or (proof.person if proof else "")
        if handle == EMERGENCY and proof is not None:
            await desk.reopen_emergency_session(caller.station, proof)
            return {}
        person = await desk.sign_in(caller.station, handle, proof.pin if proof else "")
        view = person_view(person)
        view.must_change = list(desk.owes(person.id))
        return {"person": msgspec.to_builtins(view)}

    async def _sign_out(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, session = self._engine, self._engine.desk.session_at(caller.station)
        await engine.desk.sign_out(caller.station, "signed out")
        if session is not None and session.person == EMERGENCY:
            ended = "signed out"
            await engine.turn(lambda: people_rules.emergency_ended(engine.unit, ended), actor=EMERGENCY)
        return {}

    async def _lock(self, command: Command, caller: Caller) -> dict[str, Any]:
        await self._engine.desk.lock(caller.station)
        return {}

    async def _change_secret(self, command: Command, caller: Caller) -> dict[str, Any]:
        proof = proof_of(command, "The present PIN or password is missing. Do it again from the screen.")
        await self._engine.desk.change_secret(caller.station, proof)
        return {}

    # ── Accounts ───────────────────────────────────────────────────────────────────────

    async def _unlock_account(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, person = self._engine, text_of(command, "person")
        reason = text_of(command, "reason")
        await self._turn(
            command, caller, lambda actor: people_rules.unlock_account(engine.unit, actor, person, reason)
        )
        engine.desk.lockouts.unlocked(person)
        return {}

    async def _disable_account(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, person = self._engine, text_of(command, "person")
        reason = text_of(command, "reason")
        await self._turn(
            command, caller, lambda actor: people_rules.disable_account(engine.unit, actor, person, reason)
        )
        engine.desk.refresh()
        await engine.desk.close_inactive()
        return {}

    async def _enable_account(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, person = self._engine, text_of(command, "person")
        reason = text_of(command, "reason")
        await self._turn(
            command, caller, lambda actor: people_rules.enable_account(engine.unit, actor, person, reason)
        )
        engine.desk.refresh()
        return {}

    # ── Badges ─────────────────────────────────────────────────────────────────────────

    async def _issue_badge(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, person, badge = self._engine, text_of(command, "person"), text_of(command, "badge")
        reason, hours, in_use = (
            text_of(command, "reason"),
            whole_of(command, "hours"),
            engine.desk.whose(badge),
        )

        def decide(actor: Actor) -> list[ev.Event]:
            now = engine.clock.utc()
            return people_rules.issue_badge(
                engine.unit, actor, person, badge, hours, reason, now, in_use_by=in_use
            )

        await self._turn(command, caller, decide)
        return {}

    async def _withdraw_badge(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, person, badge = self._engine, text_of(command, "person"), text_of(command, "badge")
        reason = text_of(command, "reason")
        await self._turn(
            command,
            caller,
            lambda actor: people_rules.withdraw_badge(engine.unit, actor, person, badge, reason),
        )
        return {}

    async def _test_badge(self, command: Command, caller: Caller) -> dict[str, Any]:
        """What the reader reads, held against whom the badge should name."""
        engine, person, why = self._engine, text_of(command, "person"), text_of(command, "why")
        found = engine.desk.whose(text_of(command, "read"))
        tested: list[ev.Event] = []

        def decide(actor: Actor) -> list[ev.Event]:
            tested[:] = people_rules.test_badge(engine.unit, actor, person, found, why)
            return tested

        await self._turn(command, caller, decide)
        result = tested[0]
        assert isinstance(result, ev.BadgeTested)
        return {"passed": result.passed, "words": result.words}

    # ── Emergency ──────────────────────────────────────────────────────────────────────

    async def _open_emergency(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command."""
        engine, reason = self._engine, text_of(command, "reason")
        first = engine.desk.acting(caller.station)
        proof = proof_of(command, "The PIN of a second person is missing.")
        engine.desk.refuse_while_staffed()
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)

        def decide() -> list[ev.Event]:
            clock = engine.clock
            return people_rules.open_emergency(
                engine.unit,
                first,
                second,
                reason,
                station=caller.station,
                monotonic_ns=clock.monotonic_ns(),
                boot_id=clock.boot_id().hex(),
            )

        taken = command_taken(command.name, command.body, caller.station, (first, second))
        await engine.turn(decide, actor=first.id, command=command.command_id, taken=taken)
        await engine.desk.open_emergency_session(caller.station)
        return {}

    async def _end_emergency(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine = self._engine
        await self._turn(command, caller, lambda actor: people_rules.end_emergency(engine.unit, actor))
        for station, person in engine.desk.sessions.people_at().items():
            if person == EMERGENCY:
                await engine.desk.sign_out(station, "emergency ended")
        return {}

    # ── Time ───────────────────────────────────────────────────────────────────────────

    async def _confirm_time(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command."""
        engine, first = self._engine, self._engine.desk.acting(caller.station)
        reference = utc_of(text_of(command, "reference"))
        proof = proof_of(command, "The PIN of a second person is missing.")
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)
        taken = command_taken(command.name, command.body, caller.station, (first, second))
        await engine.turn(
            lambda: decisions.confirm_time(engine.unit, first, second, reference, engine.clock.utc()),
            actor=first.id,
            command=command.command_id,
            taken=taken,
        )
        return {}

    async def _turn(
        self, command: Command, caller: Caller, decide: Callable[[Actor], list[ev.Event]]
    ) -> None:
        """Decide for the signed-in person; the command goes on record before what follows from it."""
        actor = self._engine.desk.acting(caller.station)
        taken = command_taken(command.name, command.body, caller.station, (actor,))
        await self._engine.turn(
            lambda: decide(actor), actor=actor.id, command=command.command_id, taken=taken
        )
