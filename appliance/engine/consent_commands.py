"""Commands about a patient's consent: two persons record it, one person withdraws it at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import consent
from appliance.domain.turns import command_taken
from appliance.engine.command_body import proof_of, text_of
from appliance.engine.port import EnginePort
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class ConsentCommands:
    """One handler a command; rules are `domain.consent`'s."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {
            "record_consent": self._record,
            "withdraw_consent": self._withdraw,
        }

    async def _record(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command."""
        engine, first = self._engine, self._engine.desk.acting(caller.station)
        asked = consent.Asked.of(
            {name: text_of(command, name) for name in ("consent", "coi", "patient", "received_from", "on")}
        )
        proof = proof_of(command, "The PIN of a second person is missing.")
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)
        taken = command_taken(command.name, command.body, caller.station, (first, second))
        await engine.turn(
            lambda: consent.record(engine.unit, first, second, asked, engine.clock.utc()),
            actor=first.id,
            command=command.command_id,
            taken=taken,
        )
        return {}

    async def _withdraw(self, command: Command, caller: Caller) -> dict[str, Any]:
        engine, actor = self._engine, self._engine.desk.acting(caller.station)
        for name in ("received_from", "reason"):
            text_of(command, name)
        body = {name: str(one) for name, one in command.body.items()}
        asked = consent.Asked.of(body)
        taken = command_taken(command.name, body, caller.station, [actor])
        await engine.turn(
            lambda: consent.withdraw(engine.unit, actor, asked, engine.clock.utc()),
            actor=actor.id,
            command=command.command_id,
            taken=taken,
        )
        return {}
