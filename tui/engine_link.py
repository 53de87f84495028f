"""The screen's link to the engine: it comes back by itself and loses no intent.

An intent gets its `command_id` once. What was asked when the link broke is asked again under the
same id after the reconnect, so that it acts once or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from textual.message import Message

from appliance.link.client import EngineAway, LinkClient, NoAnswer
from appliance.link.messages import Accepted, EventMessage, Pong, Proof, Refused, Snapshot, Telemetry
from tui import wording

# Waits between attempts to reach the engine, in seconds; the last one repeats.
RETRY_WAITS_S: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 5.0)
# After so long without a word the engine is asked for one, and given so long to answer.
SILENCE_S: Final = 4.0
PROBE_TIMEOUT_S: Final = 3.0

_logger = logging.getLogger(__name__)

Outcome = Accepted | Refused


class SnapshotArrived(Message):
    """The engine said how things are."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self.snapshot = snapshot

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, SnapshotArrived)


class TelemetryArrived(Message):
    """The engine told live values; only the newest counts."""

    def __init__(self, telemetry: Telemetry) -> None:
        super().__init__()
        self.telemetry = telemetry

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, TelemetryArrived)


class EventArrived(Message):
    """A fact was committed."""

    def __init__(self, event: EventMessage) -> None:
        super().__init__()
        self.event = event


class LinkLost(Message):
    """The engine cannot be reached; `next_in_s` until the next attempt, 0 during one."""

    def __init__(self, cause: str, *, attempt: int, next_in_s: float) -> None:
        super().__init__()
        self.cause, self.attempt, self.next_in_s = cause, attempt, next_in_s


class Spoken(Message):
    """The engine said something to the person at the screen without having been asked."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class InFlightChanged(Message):
    """Another set of commands waits for answers."""


@dataclass(slots=True, kw_only=True)
class Intent:
    """What a person asked, once; `key` names the buttons that wait with it."""

    key: str
    name: str
    body: dict[str, Any]
    proof: Proof | None
    outcome: asyncio.Future[Outcome]
    command_id: str = field(default_factory=lambda: str(uuid4()))


class EngineLink:
    """Holds one connection, and makes another when it breaks.

    Parameters
    ----------
    path : Path
        The engine's socket.
    station : str
        The name of this bedside; the engine keeps its session.
    post : callable
        Takes the messages of this module, from the same event loop.
    """

    def __init__(self, path: Path, *, station: str, post: Callable[[Message], object]) -> None:
        self._path, self._station, self._post = path, station, post
        self._client: LinkClient | None = None
        self._intents: dict[str, Intent] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._heard_s = 0.0

    @property
    def connected(self) -> bool:
        """Whether the engine is there."""
        return self._client is not None

    @property
    def in_flight(self) -> frozenset[str]:
        """Keys of the intents that have no answer yet."""
        return frozenset(intent.key for intent in self._intents.values())

    def ask(
        self, name: str, body: dict[str, Any], *, key: str, proof: Proof | None = None
    ) -> asyncio.Future[Outcome]:
        """Send an intent, now or when the engine is back; one with the same key still in flight answers both.

        STOP is never folded into an earlier one: each goes out.
        """
        for intent in self._intents.values():
            if intent.key == key and name != "stop":
                return intent.outcome
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        intent = Intent(key=key, name=name, body=body, proof=proof, outcome=outcome)
        self._intents[intent.command_id] = intent
        self._post(InFlightChanged())
        if self._client is not None:
            self._send(self._client, intent)
        return outcome

    async def run(self) -> None:
        """Stay connected until cancelled."""
        attempt = 0
        while True:
            client = LinkClient(self._path, client="bedside", station=self._station)
            cause = wording.CAUSE_CLOSED
            try:
                snapshot = await client.connect()
                attempt = 0
                self._client = client
                self._post(SnapshotArrived(snapshot))
                await self._converse(client)
            except EngineAway as reason:
                cause = str(reason)
            finally:
                self._client = None
                await client.close()
            attempt += 1
            wait_s = RETRY_WAITS_S[min(attempt, len(RETRY_WAITS_S)) - 1]
            _logger.warning("engine away: %s; attempt %d in %.2f s", cause, attempt, wait_s)
            self._post(LinkLost(cause, attempt=attempt, next_in_s=wait_s))
            await asyncio.sleep(wait_s)

    async def _converse(self, client: LinkClient) -> None:
        self._heard_s = time.monotonic()
        for intent in tuple(self._intents.values()):
            self._send(client, intent)
        listening = asyncio.create_task(self._listen(client))
        watching = asyncio.create_task(self._watch())
        try:
            done, _ = await asyncio.wait({listening, watching}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (listening, watching):
                task.cancel()
                with suppress(asyncio.CancelledError, EngineAway):
                    await task

    async def _listen(self, client: LinkClient) -> None:
        async for message in client.messages():
            self._heard_s = time.monotonic()
            match message:
                case Snapshot():
                    self._post(SnapshotArrived(message))
                case Telemetry():
                    self._post(TelemetryArrived(message))
                case EventMessage():
                    self._post(EventArrived(message))
                case Refused():
                    self._post(Spoken(message.words))
                case Pong():
                    pass

    async def _watch(self) -> None:
        """Ask a quiet engine for a word; one that is frozen still has an open socket."""
        while True:
            quiet_s = time.monotonic() - self._heard_s
            if quiet_s < SILENCE_S:
                await asyncio.sleep(SILENCE_S - quiet_s)
                continue
            probe = LinkClient(self._path, client="cli", station=self._station)
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    snapshot = await probe.connect()
            except TimeoutError as reason:
                silent_s = time.monotonic() - self._heard_s
                raise EngineAway(wording.CAUSE_SILENT.format(seconds=round(silent_s))) from reason
            finally:
                await probe.close()
            self._heard_s = time.monotonic()
            self._post(SnapshotArrived(snapshot))

    def _send(self, client: LinkClient, intent: Intent) -> None:
        task = asyncio.create_task(self._carry(client, intent))
        # The loop itself keeps only weak references to tasks.
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _carry(self, client: LinkClient, intent: Intent) -> None:
        while intent.command_id in self._intents and self._client is client:
            try:
                answer = await client.command(
                    intent.name, intent.body, intent.proof, command_id=intent.command_id
                )
            except NoAnswer:
                continue
            except EngineAway:
                return
            self._settle(intent, answer)

    def _settle(self, intent: Intent, answer: Outcome) -> None:
        if self._intents.pop(intent.command_id, None) is None:
            return
        if not intent.outcome.done():
            intent.outcome.set_result(answer)
        self._post(InFlightChanged())
