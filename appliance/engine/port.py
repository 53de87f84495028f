"""What the parts of the engine may ask of the whole: one narrow door instead of a circle of imports."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from appliance.access.identities import Identities
from appliance.access.keys import Trust
from appliance.access.people import People
from appliance.config import Home, UnitConfig
from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit
from appliance.engine.clock import Clock
from appliance.engine.desk import Desk
from appliance.engine.device_pool import DevicePool
from appliance.engine.effects import Effects
from appliance.engine.journal import Journal
from appliance.engine.readings import Readings
from appliance.engine.shelf import Shelf
from appliance.engine.vision_client import VisionClient
from appliance.record.errors import RecordError
from appliance.record.log import Record


class EnginePort(Protocol):
    """The engine as its commands, its devices and its release desk see it."""

    home: Home
    config: UnitConfig
    record: Record
    clock: Clock
    unit: Unit
    trust: Trust
    shelf: Shelf
    journal: Journal
    pool: DevicePool
    desk: Desk
    readings: Readings
    identities: Identities
    vision: VisionClient
    effects: Effects
    software_version: str

    @property
    def people(self) -> People: ...

    async def turn(
        self,
        decide: Callable[[], list[ev.Event]],
        *,
        actor: str = ...,
        command: str | None = ...,
        batch: Callable[[], str | None] = ...,
        taken: ev.CommandTaken | None = ...,
    ) -> list[Fact]:
        """One input: decide, commit, act, settle."""

    def begin(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the loop; its failure is told."""

    def show(self) -> None:
        """Send each screen a fresh snapshot."""

    def stop_latencies(self) -> dict[str, int]:
        """How long each host took to stop its device."""

    def record_failed(self, fault: RecordError) -> None:
        """Nothing more can be recorded: leases lapse."""

    async def seal_soon(self) -> None:
        """Sign what is unsealed now."""

    async def keep_ack(self, ack: bytes, signature: bytes, *, log: str, acked_seq: int) -> None:
        """Keep a checked acknowledgement and move the watermark."""
