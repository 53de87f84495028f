"""A ward for stories: the demonstration's site, processes and people, and eyes on the simulated bench.

Everything is real but the devices and the people: each process runs as on a unit, the twins answer
on pseudo-terminals, and what a story looks at is the twins' world, the socket, and the record.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from appliance.access.documents import add_signature, dump, sign
from appliance.access.keys import load_key
from appliance.demo.crew import STATION, Crew
from appliance.demo.hands import Hands
from appliance.demo.processes import Processes, cellwright, start_agent, start_central, start_engine
from appliance.demo.run import prepare
from appliance.demo.site import QP, RECIPES, Site
from appliance.link.client import EngineAway, ask, look
from appliance.link.messages import Accepted, Refused, Snapshot
from appliance.record.log import Record

SAFE_WITHIN_S = 0.5  # SAFETY 3
RECIPE = "thaw-wash-dose-50"
PATIENCE_S = 30.0
BATCH_S = 400.0
REVIEWED_S = 90.0


class NeverCame(AssertionError):
    """What a story waited for did not come true."""


@dataclass(frozen=True, slots=True)
class Blow:
    """What the bench did in the half second after something was struck, and what the unit said then."""

    at: str
    moved: bool
    moves_on: bool
    stood_after_s: float  # 0 when nothing moved
    bath_before: dict[str, Any]
    bath_after: dict[str, Any]
    states: dict[str, str] = field(default_factory=dict)  # of the phases that ran, before a person acts


@dataclass(slots=True)
class Ward:
    """One site with everything running."""

    site: Site
    processes: Processes
    hands: Hands
    crew: Crew
    qa_url: str
    heads: list[tuple[int, str]] = field(default_factory=list)  # number and hash, as screens were told
    engine_starts_s: list[float] = field(default_factory=list)

    def world(self) -> dict[str, Any]:
        """The simulated bench as it is now."""
        return self.hands.ask({"do": "state"})

    @property
    def pump_moves(self) -> bool:
        return bool(self.world()["pump"]["moving"])

    def strike(self, at: str, blow: Callable[[], object], *, look_after_s: float = SAFE_WITHIN_S) -> Blow:
        """Do something bad, and look at the bench half a second later."""
        before = self.world()
        began_ns = time.monotonic_ns()
        blow()
        time.sleep(max(0.0, look_after_s - (time.monotonic_ns() - began_ns) / 1e9))
        after = self.world()
        moved = bool(before["pump"]["moving"])
        stood_ns = after["pump"]["motion_stopped_ns"] - began_ns
        return Blow(
            at=at,
            moved=moved,
            moves_on=bool(after["pump"]["moving"]),
            stood_after_s=max(0.0, stood_ns / 1e9) if moved else 0.0,
            bath_before=_kept(before),
            bath_after=_kept(after),
        )

    def start_engine(self) -> None:
        """Start the engine and note how long it took until it gave a snapshot."""
        began = time.monotonic()
        start_engine(self.processes)
        until("the engine's first snapshot", lambda: self.seen() is not None)
        self.engine_starts_s.append(time.monotonic() - began)

    def seen(self) -> Snapshot | None:
        """The unit's snapshot as anyone may have it; None while the engine is away."""
        try:
            return look(self.site.home.socket)
        except EngineAway:
            return None

    def states(self) -> dict[str, str]:
        """The state of each phase."""
        snapshot = self.seen()
        batch = snapshot.batch if snapshot else None
        return {phase.id: phase.state for phase in batch.phases} if batch else {}

    def at_rest(self, phases: list[str]) -> dict[str, str]:
        """The states of these phases once none of them is on its way to being held."""
        until("phases at rest", lambda: self._rested(phases))
        states = self.states()
        return {phase: states[phase] for phase in phases}

    def _rested(self, phases: list[str]) -> bool:
        states = self.states()
        return bool(states) and all(states[phase] not in ("holding", "running") for phase in phases)

    def command(
        self, name: str, body: dict[str, Any] | None = None, *, station: str = STATION
    ) -> Accepted | Refused:
        """One command from a station, beside the crew."""
        return ask(self.site.home.socket, name, body or {}, station=station)

    def record(self) -> Record:
        """The unit's record, to look at."""
        return Record.open_readonly(self.site.home.record)

    def kinds(self, *names: str) -> list[dict[str, Any]]:
        """The bodies of the recorded events of these kinds."""
        with self.record() as record:
            return [
                msgspec.json.decode(one.payload)["body"] for one in record.read() if one.header.kind in names
            ]

    def restart_central(self) -> None:
        """Central on the ports it had, as the unit's file names them."""
        unit = tomllib.loads(self.site.home.unit_toml.read_text(encoding="utf-8"))
        qa_port = int(self.qa_url.rpartition(":")[2]) if self.qa_url else 0
        port = int(unit["central"]["url"].rpartition(":")[2])
        _, self.qa_url = start_central(self.processes, ports=(port, qa_port))

    def start_agent(self) -> None:
        start_agent(self.processes)

    def until_reviewable(self, batch: str, *, seals: int = 1) -> None:
        """Wait until central holds all of the sealed batch, the newest seal included."""
        count = len(self.kinds("BatchSealed"))
        assert count >= seals, count
        with httpx.Client(
            base_url=self.qa_url,
            verify=_authority(self.site.home.central_ca),
            trust_env=False,
            headers={"Origin": self.qa_url},
            timeout=30,
        ) as client:
            client.post("/api/session", json={"person": QP.id, "password": QP.password}).raise_for_status()
            head = self.record_head()
            until(
                "central to have the whole batch", lambda: self._reviewable(client, batch, head), REVIEWED_S
            )

    def record_head(self) -> int:
        with self.record() as record:
            return record.head().seq

    def _reviewable(self, client: httpx.Client, batch: str, head: int) -> bool:
        snapshot = self.seen()
        if snapshot is None or snapshot.sync.acknowledged_seq < head:
            return False
        listed = client.get("/api/batches").json()["batches"]
        return any(one["batch"] == batch and not one["missing"] for one in listed)

    async def work(self, goal: Callable[[Snapshot], bool]) -> Snapshot:
        """Let the crew work until a snapshot shows the goal."""
        return await self.crew.work(goal, timeout_s=BATCH_S)

    def export(self, batch: str, out: Path) -> Path:
        """The batch as an archive, with the trust file beside it."""
        archive = out / f"{batch}.zip"
        done = call("export", batch, "--home", str(self.site.home.root), "--out", str(archive))
        assert done.returncode == 0, done.stderr
        shutil.copyfile(self.site.home.trust, out / "trust.json")
        return archive


def _kept(world: dict[str, Any]) -> dict[str, Any]:
    return {name: world["bath"][name] for name in ("setpoint_c", "running")}


def _authority(path: Path) -> Any:
    import ssl

    return ssl.create_default_context(cafile=str(path))


def until(words: str, claim: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + patience_s
    while not claim():
        if time.monotonic() > deadline:
            raise NeverCame(f"{words}: not within {patience_s:.0f} s")
        time.sleep(0.02)


def call(*arguments: str, words: str = "") -> subprocess.CompletedProcess[str]:
    """A `cellwright` command to its end."""
    return subprocess.run(cellwright(*arguments), input=words, capture_output=True, text=True, check=False)


@contextmanager
def open_ward(*, central: bool = True, speed: str = "60", seed: int = 1) -> Iterator[Ward]:
    """A site with everything running; the dose lasts 4 h, so that stories with many deaths outlive it."""
    folder = Path(tempfile.mkdtemp(prefix="cw-"))  # short: a unix socket's path has 107 bytes at most
    site = Site(folder)
    processes = Processes(site)
    options = argparse.Namespace(
        speed=speed, recipe=RECIPE, seed=seed, fault=None if central else "central-away"
    )
    try:
        qa_url = prepare(options, site, processes)
        _let_the_dose_last(site)
        hands = Hands(site, seed)
        ward = Ward(site, processes, hands, Crew(site.home.socket, hands), qa_url)
        ward.crew.watch = ward_watch(ward)
        yield ward
    finally:
        processes.end_all()
        shutil.rmtree(folder, ignore_errors=True)


def _let_the_dose_last(site: Site) -> None:
    """Sign the recipe again with the longest expiry in its range."""
    text = RECIPES[RECIPE].read_bytes()
    longer = text.replace(b'expiry = { value = "2 h"', b'expiry = { value = "4 h"')
    assert longer != text
    envelope = sign("recipe", longer, load_key(site.offline / "developer.key"), "recipe_developer")
    signed = add_signature(envelope, load_key(site.offline / "reviewer.key"), "qa_reviewer")
    dump(signed, site.home.recipes / f"{RECIPE}.json")


def ward_watch(ward: Ward, *acts: Callable[[Snapshot], None]) -> Callable[[Snapshot], Any]:
    """A watcher for the crew: notes each head that a screen was told, then lets acts look."""

    async def watch(snapshot: Snapshot) -> None:
        ward.heads.append((snapshot.record.seq, snapshot.record.hash))
        for act in acts:
            await asyncio.to_thread(act, snapshot)

    return watch


# What a snapshot shows


def phase_of(snapshot: Snapshot, phase: str) -> tuple[str, str]:
    """State and words of a phase."""
    phases = snapshot.batch.phases if snapshot.batch else []
    return next(((one.state, one.words) for one in phases if one.id == phase), ("", ""))


def running(snapshot: Snapshot) -> list[str]:
    return [one.id for one in snapshot.batch.phases if one.state == "running"] if snapshot.batch else []


def asks(snapshot: Snapshot, prompt: str) -> bool:
    return any(one.id == prompt for one in snapshot.prompts)


def awaiting(snapshot: Snapshot) -> bool:
    return snapshot.batch is not None and snapshot.batch.state == "awaiting_disposition"


def ended(snapshot: Snapshot) -> bool:
    return snapshot.batch is not None and snapshot.batch.state == "handed_over"


def dumped(value: object) -> str:
    """One text for one JSON value."""
    return json.dumps(value, sort_keys=True)
