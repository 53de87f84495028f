"""Commands about what is held before the camera: end a scan, show a badge, type what cannot be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from appliance.domain import decisions, isbt128, typed_entry
from appliance.domain.errors import CommandRefused
from appliance.domain.prompts import Prompt
from appliance.domain.turns import command_taken
from appliance.engine.command_body import text_of
from appliance.engine.port import EnginePort
from appliance.engine.scanning import Scanning
from appliance.link.messages import Command
from appliance.link.server import Caller

Handler = Callable[[Command, Caller], Awaitable[dict[str, Any]]]


class ScanCommands:
    """`cancel_scan`, `read_badge` and `forget_badge`; the rules are the domain's."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self.handlers: dict[str, Handler] = {
            "cancel_scan": self._cancel,
            "read_badge": self._read_badge,
            "forget_badge": self._forget_badge,
        }

    @property
    def _scanning(self) -> Scanning:
        return self._engine.effects.scanning

    async def _cancel(self, command: Command, caller: Caller) -> dict[str, Any]:
        """A person ends the scan of a label; that a scan was ended is on record."""
        engine, scan_id = self._engine, text_of(command, "scan")
        actor = engine.desk.acting(caller.station)
        taken = command_taken(command.name, command.body, caller.station, (actor,))
        await engine.turn(
            lambda: decisions.cancel_scan(engine.unit, scan_id, actor),
            actor=actor.id,
            command=command.command_id,
            taken=taken,
        )
        return {}

    async def _read_badge(self, command: Command, caller: Caller) -> dict[str, Any]:
        """Look for a badge, or with `of` for equipment's label; what is read comes in the station's snapshot.

        A badge alone proves nothing, and a label alone qualifies no device.
        """
        engine, of = self._engine, command.body.get("of", "staff")
        if of not in ("staff", "equipment"):
            raise CommandRefused("A badge is of staff or of equipment.", reason="not_plausible")
        if not caller.station:
            raise CommandRefused("Only a screen can look for a badge.", reason="not_permitted")
        look = self._scanning.begin_badge(caller.station, of)

        async def shown() -> None:
            await self._scanning.badge(look)
            engine.show()

        engine.begin(shown())
        engine.show()
        return {"scan": look.scan_id}

    async def _forget_badge(self, command: Command, caller: Caller) -> dict[str, Any]:
        self._scanning.forget_badge(caller.station)
        self._engine.show()
        return {}


def nameless(engine: EnginePort, prompt: Prompt, values: dict[str, str]) -> dict[str, str]:
    """What may go on record of a typed chain-of-identity number: the order's own, or a keyed hash.

    Raises
    ------
    NotPlausible
        It does not fit its check character, so that nothing of it is used.
    IdentityRefused
        Patients' identities are locked on this unit.
    """
    if prompt.typed not in (typed_entry.COI, typed_entry.ORDER):
        return values
    entry = typed_entry.entry_of(prompt.typed, values)
    coi, batch = isbt128.label_of(entry.texts[:1]).coi, engine.unit.batch
    assert batch is not None, "a prompt of a batch is open"
    if coi == batch.order.coi:
        return values | {"coi": coi + isbt128.check_character(coi)}
    return values | {"coi": engine.identities.keyed(entry.texts[0])}
