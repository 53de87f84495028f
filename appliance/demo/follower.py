"""The interactive demonstration: you tap, the bench plays what you confirm, a scripted QP certifies."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from pathlib import Path

from appliance.demo.hands import Hands, HandsUnable
from appliance.demo.processes import Processes, cellwright, certify
from appliance.demo.site import PEOPLE, Site
from appliance.link.client import EngineAway, LinkClient
from appliance.link.messages import EventMessage, Snapshot

STATION = "bedside-1"


def follow(site: Site, processes: Processes, qa_url: str, *, seed: int) -> int:
    """Open the terminal, and play the bench behind it until the terminal ends."""
    follower = Follower(site, qa_url, seed)
    thread = threading.Thread(target=lambda: asyncio.run(follower.run()), name="hands", daemon=True)
    thread.start()
    print(_welcome(qa_url))
    terminal = subprocess.run(
        cellwright("bedside", "--home", str(site.home.root), "--station", STATION), check=False
    )
    follower.ended.set()
    thread.join(timeout=5)
    return terminal.returncode


def _welcome(qa_url: str) -> str:
    people = "\n".join(
        f"  {person.name:<10} {', '.join(person.roles):<18} PIN {person.pin or '-':<8} "
        f"password {person.password}"
        for person in PEOPLE
    )
    return f"Fictitious people of this demonstration:\n{people}\nCentral for QA and QP: {qa_url}\n"


class Follower:
    """Watches the unit and does at the bench what the person at the terminal confirms."""

    def __init__(self, site: Site, qa_url: str, seed: int) -> None:
        self.ended = threading.Event()
        self._site, self._qa_url, self._hands = site, qa_url, Hands(site, seed)
        self._shown: tuple[str, int] | None = None
        self._reads, self._exported = 0, ""
        self._dose_picture = ""
        self._dose_printed: Path | None = None
        self._certified = False

    async def run(self) -> None:
        while not self.ended.is_set():
            try:
                await self._watch()
            except (EngineAway, HandsUnable):
                await asyncio.sleep(0.5)

    async def _watch(self) -> None:
        client = LinkClient(self._site.home.socket, client="demo", station=STATION)
        await self._look(await client.connect())
        try:
            async for message in client.messages():
                if self.ended.is_set():
                    return
                if isinstance(message, EventMessage):
                    await self._play(message)
                elif isinstance(message, Snapshot):
                    await self._look(message)
        finally:
            await client.close()

    async def _play(self, event: EventMessage) -> None:
        if event.name == "ScanRead":
            self._reads += 1
        if event.name == "LabelPrinted":
            self._dose_picture = str(event.body["picture"])
            self._dose_printed = self._hands.came_out()
        if event.name == "InstructionConfirmed" and event.body.get("action"):
            await asyncio.to_thread(self._hands.act, str(event.body["action"]))

    async def _look(self, snapshot: Snapshot) -> None:
        """Hold the awaited label before the camera, again after each refusal of it."""
        scan = next((prompt for prompt in snapshot.prompts if prompt.kind == "scan"), None)
        asked = (scan.id, self._reads) if scan is not None else None
        if scan is not None and asked != self._shown:
            label = self._dose_label() if scan.action == "show dose" else None
            await asyncio.to_thread(self._hands.act, scan.action, label=label)
        self._shown = asked
        file = next((one for one in snapshot.prompts if one.kind == "import" and one.action), None)
        if file is not None and file.id != self._exported:
            await asyncio.to_thread(self._hands.act, file.action)
        self._exported = file.id if file is not None else ""
        batch = snapshot.batch
        if (
            batch is not None
            and batch.state == "awaiting_disposition"
            and self._qa_url
            and not self._certified
        ):
            self._certified = True
            await asyncio.to_thread(certify, self._site, batch.id, self._qa_url)

    def _dose_label(self) -> Path | None:
        name = self._dose_picture
        if self._dose_printed is not None:
            return self._dose_printed
        return self._site.home.record / "blobs" / name[:2] / name if name else None
