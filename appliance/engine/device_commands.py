"""Commands about devices: two persons qualify the one that is there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import fitness
from appliance.domain.turns import command_taken
from appliance.engine.command_body import proof_of, text_of
from appliance.engine.port import EnginePort
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class DeviceCommands:
    """One handler a command; rules are `domain.fitness`'."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {"qualify_device": self._qualify}

    async def _qualify(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The signed-in person and a second one, whose PIN comes with the command."""
        engine, first = self._engine, self._engine.desk.acting(caller.station)
        for name in ("device", "reason"):
            text_of(command, name)
        proof = proof_of(command, "The PIN of a second person is missing.")
        second = await engine.desk.proven(caller.station, proof, for_what=command.name)
        asked = fitness.Asked.of(command.body)
        taken = command_taken(command.name, command.body, caller.station, (first, second))
        await engine.turn(
            lambda: fitness.qualify(engine.unit, first, second, asked, engine.clock.utc()),
            actor=first.id,
            command=command.command_id,
            taken=taken,
        )
        return {}
