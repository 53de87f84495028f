"""Scripted operator, verifier and supervisor, who answer what the unit asks as people would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from appliance.demo.consent import consent_body
from appliance.demo.hands import TRANSPORT_LOG, Hands
from appliance.demo.site import OPERATOR, ORDER, SUPERVISOR, VERIFIER, DemoPerson
from appliance.link.client import EngineAway, LinkClient
from appliance.link.messages import Accepted, EventMessage, PromptView, Proof, Refused, Snapshot

STATION = "bedside-1"
RECONNECT_S = 0.2
SILENCE_S = 5.0
ENTERED = {
    "decision": "accept",
    "recovery": "82",
    "volume_out": "33.0",
    "pressure_max": "320",
    "courier": "Demo courier 7",
    "seal_number": "DEMO-SEAL-42",
    "seal": "intact",
    "arrival_temperature": "-182.5",
    "log": "yes",
    "place": "Demo Ward, bed 3",
    "box_seal": "intact",
    "dose_temperature": "21.5",
    "endotoxin": "0.05",
    "gram": "none_seen",
    "applied": "1",
    "void": "0",
    "destroyed": "0",
}
SUPERVISED = ("wrong_bag", "expired", "used", "label_refused", "mass_balance")
Watch = Callable[[Snapshot], Awaitable[None]]


class CrewStuck(Exception):
    """The unit refused something the crew cannot mend, or nothing went on for too long."""


class Crew:
    """People of the demonstration at one station.

    Parameters
    ----------
    watch
        Called with each snapshot before it is acted upon: faults are injected here.
    """

    def __init__(
        self,
        socket: Path,
        hands: Hands,
        *,
        watch: Watch | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._socket, self._hands, self._tell = socket, hands, tell
        self.watch = watch
        self.next_label: Path | None = None  # shown instead of the right label at the next bag scan
        self.refusals: list[Refused] = []
        self.accepted: list[Accepted] = []
        self.labels: dict[str, Path] = {}  # picture of the printed label
        self._lay_in_tray: Path | None = None  # before the newest label was asked for
        self.events: list[EventMessage] = []
        self._phase_states: dict[str, str] = {}
        self._done: set[str] = set()  # prompts whose physical act is done, be its answer lost or not
        self._has_consent = False
        self._client: LinkClient | None = None

    async def work(self, until: Callable[[Snapshot], bool], *, timeout_s: float) -> Snapshot:
        """Act on what the unit asks until `until` holds; reconnects when the engine restarts."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                return await self._shift(until, deadline)
            except EngineAway:
                await asyncio.sleep(RECONNECT_S)
            if time.monotonic() > deadline:
                raise CrewStuck("The engine did not come back.")

    async def _shift(self, until: Callable[[Snapshot], bool], deadline: float) -> Snapshot:
        client = LinkClient(self._socket, client="demo", station=STATION)
        self._client = client
        snapshot = await client.connect()
        try:
            acted_at = 0
            messages = client.messages()
            while True:
                self._tell_phases(snapshot)
                if until(snapshot):
                    return snapshot
                if self.watch is not None:
                    await self.watch(snapshot)
                if snapshot.seq >= acted_at:
                    acted_at = await self._act(client, snapshot)
                snapshot = await self._next_snapshot(messages, snapshot, deadline)
        finally:
            await client.close()

    async def _next_snapshot(self, messages: Any, snapshot: Snapshot, deadline: float) -> Snapshot:
        """The next snapshot; an engine that says nothing at all is as good as away."""
        while True:
            if time.monotonic() > deadline:
                raise CrewStuck(f"Nothing went on. {_summary(snapshot)}")
            try:
                message = await asyncio.wait_for(anext(messages), timeout=SILENCE_S)
            except TimeoutError:
                raise EngineAway("The engine says nothing.") from None
            if isinstance(message, EventMessage):
                self._remember(message)
            elif isinstance(message, Snapshot):
                return message

    def _remember(self, event: EventMessage) -> None:
        self.events.append(event)
        if event.name == "LabelRequested":
            self._lay_in_tray = self._hands.came_out()
        if event.name == "LabelPrinted":
            # The bag carries what lies in the tray; without a printer the picture is the label.
            picture = str(event.body["picture"])
            blob = self._socket.parents[1] / "record" / "blobs" / picture[:2] / picture
            self.labels["dose"] = self._hands.came_out() or blob

    def _tell_phases(self, snapshot: Snapshot) -> None:
        for phase in snapshot.batch.phases if snapshot.batch else []:
            if self._phase_states.get(phase.id) != phase.state:
                self._phase_states[phase.id] = phase.state
                if phase.state != "idle":
                    self._tell(
                        f"{phase.operation:<26} {phase.title:<34} {phase.state} {phase.words}".rstrip()
                    )

    # What people do

    async def _act(self, client: LinkClient, snapshot: Snapshot) -> int:
        """One act; the log's number that the next snapshot must have reached before another."""
        if snapshot.person is None or snapshot.locked:
            return await self._send(client, "sign_in", {"person": OPERATOR.id}, _pin(OPERATOR))
        if snapshot.stop_latched:
            return await self._send(client, "release_stop", {"reason": "Station is safe"})
        if snapshot.batch is None and not self._has_consent:
            return await self._record_consent(client)
        if snapshot.batch is None:
            return await self._send(client, "open_batch", {"order": ORDER})
        if snapshot.batch.state == "held" and all(p.state != "holding" for p in snapshot.batch.phases):
            return await self._restart(client, snapshot)
        for alarm in snapshot.alarms:
            if alarm.state == "active" and ":hold-" not in alarm.id:
                await self._send(client, "acknowledge_alarm", {"alarm": alarm.id})
        # While the printer still prints, nobody lets it forget its label.
        asked = (one for one in snapshot.prompts if one.kind != "wait" and "/cancel" not in one.id)
        prompt = next(asked, None)
        return snapshot.seq if prompt is None else await self._answer(client, snapshot, prompt)

    async def _record_consent(self, client: LinkClient) -> int:
        """Two of the crew have looked at the signed form that the order names."""
        self._has_consent = True
        return await self._send(client, "record_consent", consent_body(), _pin(VERIFIER))

    async def _restart(self, client: LinkClient, snapshot: Snapshot) -> int:
        held = (
            [phase.id for phase in snapshot.batch.phases if phase.state == "held"] if snapshot.batch else []
        )
        if not held:
            return snapshot.seq
        if any(device.state not in ("ready", "by_hand") for device in snapshot.devices):
            await asyncio.sleep(RECONNECT_S)
            return snapshot.seq
        person = _pin(SUPERVISOR)
        return await self._send(client, "restart", {"reason": "Looked at bag, lines and devices"}, person)

    async def _answer(self, client: LinkClient, snapshot: Snapshot, prompt: PromptView) -> int:
        if prompt.kind == "scan":
            await asyncio.to_thread(self._hands.act, prompt.action, label=self._label(prompt, snapshot))
            return await self._send(client, "scan", {"prompt": prompt.id})
        if prompt.action and prompt.id not in self._done:
            await asyncio.to_thread(self._hands.act, prompt.action)
            self._done.add(prompt.id)
        if prompt.kind == "import":
            return await self._send(client, "import_file", {"prompt": prompt.id, "file": TRANSPORT_LOG})
        entered = ENTERED | {"came_out": self._came_out()}
        values = {field.name: entered[field.name] for field in prompt.fields}
        body = {"prompt": prompt.id, "values": values, "signs": prompt.signs}
        return await self._send(client, "answer", body, _proof(prompt))

    def _came_out(self) -> str:
        """What somebody says who looked into the printer's tray."""
        return "nothing" if self._hands.came_out() == self._lay_in_tray else "whole"

    def _label(self, prompt: PromptView, snapshot: Snapshot) -> Path | None:
        if prompt.action == "show bag" and self.next_label is not None:
            label, self.next_label = self.next_label, None
            return label
        if prompt.action == "show dose":
            return self.labels.get("dose")
        return None

    async def _send(
        self, client: LinkClient, name: str, body: dict[str, Any], proof: Proof | None = None
    ) -> int:
        answer: Accepted | Refused = await client.command(name, body, proof)
        if isinstance(answer, Refused):
            self.refusals.append(answer)
            if answer.reason not in ("not_open", "device_silent"):
                self._tell(f"refused: {answer.words}")
            if answer.reason in ("recipe_not_approved", "order_refused", "record_full"):
                raise CrewStuck(answer.words)
            await asyncio.sleep(RECONNECT_S)
            return 0
        self.accepted.append(answer)
        return answer.seq


def _pin(person: DemoPerson) -> Proof:
    return Proof(person=person.id, pin=person.pin)


def _proof(prompt: PromptView) -> Proof | None:
    """The right person with what the prompt needs: a PIN, or a password for a signature."""
    match prompt.needs:
        case "second_person":
            return _pin(VERIFIER)
        case "signature":
            return Proof(person=OPERATOR.id, password=OPERATOR.password, typed=OPERATOR.id)
        case "second_signature":
            return Proof(person=VERIFIER.id, password=VERIFIER.password, typed=VERIFIER.id)
        case _:
            return None


def _summary(snapshot: Snapshot) -> str:
    batch = snapshot.batch
    if batch is None:
        return "No batch is open."
    active = [
        f"{phase.id} {phase.state}: {phase.words}"
        for phase in batch.phases
        if phase.state not in ("idle", "complete")
    ]
    prompts = [prompt.id for prompt in snapshot.prompts]
    devices = [f"{device.id} {device.state} {device.words}" for device in snapshot.devices]
    return (
        f"Batch {batch.id} is {batch.state}; {active}; prompts {prompts}; devices {devices}; "
        f"{snapshot.record.words}"
    )
