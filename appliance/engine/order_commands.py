"""The command about orders: a supervisor gives one back that is not made here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import assignment
from appliance.domain.errors import CommandRefused
from appliance.domain.turns import command_taken
from appliance.engine.command_body import proof_of, text_of
from appliance.engine.port import EnginePort
from appliance.engine.shelf import load_shelf
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class OrderCommands:
    """One handler a command; rules are `domain.assignment`'s."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {"hand_back_order": self._hand_back}

    async def _hand_back(self, command: Command, caller: Caller) -> dict[str, Any]:
        """The segment is signed at once, so that the agent can take it to central."""
        engine, order, reason = self._engine, text_of(command, "order"), text_of(command, "reason")
        proof = proof_of(command, "The supervisor's password is missing.")
        actor = await engine.desk.proven(caller.station, proof, for_what=command.name)
        shelved = load_shelf(engine.home, engine.trust).orders.get(order)
        if shelved is None or shelved.order.unit != engine.unit.id:
            raise CommandRefused(f"No order {order[:64]} for this unit lies here.", reason="order_refused")
        number = shelved.order.assignment
        taken = command_taken(command.name, {"order": order, "reason": reason}, caller.station, [actor])
        await engine.turn(
            lambda: assignment.hand_back(engine.unit, actor, order, number, reason),
            actor=actor.id,
            command=command.command_id,
            taken=taken,
        )
        await engine.seal_soon()
        return {"order": order, "assignment": number}
