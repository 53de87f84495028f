"""The story of one batch in which every part fails once; then decisions that do not hold.

The engine is frozen and thawed, device hosts, vision worker, agent, central and the bedside
terminal are killed. After the seal the record changes, and central tries to release by itself.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from story_killed_engine import MOMENTS, When
from story_terminal import Terminal
from story_ward import (
    Blow,
    Ward,
    asks,
    awaiting,
    call,
    ended,
    open_ward,
    phase_of,
    until,
    ward_watch,
)

from appliance.access.documents import dump, load, sign
from appliance.access.keys import load_key
from appliance.demo.crew import STATION
from appliance.demo.faults import signal_child
from appliance.demo.processes import certify
from appliance.link.messages import Snapshot

PUMPING = {phase: when for phase, when in MOMENTS if phase in ("dilute", "fill")}
REQUEST_UNDER_WAY_S = 0.5
FROZEN_S = 1.2
PROMPT_AT_BEDSIDE = "wash/result"


@dataclass(slots=True)
class FailingParts:
    """What was seen of it."""

    frozen: Blow | None = None
    pump_host: Blow | None = None
    balance_host: Blow | None = None
    watchdog_s: float = 0.0
    screens: list[str] = field(default_factory=list)
    prompt_title: str = ""
    prompt_button: str = ""
    terms: list[int] = field(default_factory=list)  # of the engine, before and after the terminal died
    first_screen_s: list[float] = field(default_factory=list)
    changed: subprocess.CompletedProcess[str] | None = None
    by_central: subprocess.CompletedProcess[str] | None = None
    state_after_refusals: dict[str, str] = field(default_factory=dict)
    refused: list[dict[str, Any]] = field(default_factory=list)
    scans: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)
    failed_counts: list[dict[str, Any]] = field(default_factory=list)
    counts: list[dict[str, Any]] = field(default_factory=list)
    seals: list[dict[str, Any]] = field(default_factory=list)
    dispositions: list[dict[str, Any]] = field(default_factory=list)
    dose_g: float = 0.0
    last: Snapshot | None = None
    verified: subprocess.CompletedProcess[str] | None = None
    replayed: subprocess.CompletedProcess[str] | None = None


class _Script:
    """Strikes each part at its moment, once."""

    def __init__(self, ward: Ward, seen: FailingParts) -> None:
        self._ward, self._seen = ward, seen
        self._frozen_worker = False
        self._acts: dict[str, tuple[When, Callable[[], None]]] = {
            "freeze worker": (_asks_for_the_second_material, self._freeze_worker),
            "kill worker in a scan": (self._scan_waits, self._kill_worker_in_scan),
            "freeze engine": (PUMPING["dilute"], self._freeze_engine),
            "kill pump host": (PUMPING["dilute"], self._kill_pump_host),
            "kill agent": (lambda s: phase_of(s, "wash")[1] == "Washer runs", self._kill_agent),
            "kill terminal": (lambda s: asks(s, PROMPT_AT_BEDSIDE), self._kill_terminal),
            "kill worker in a count": (lambda s: phase_of(s, "count")[1] == "Counting", self._kill_worker),
            "kill central": (lambda s: phase_of(s, "count")[1] == "Counting", self._kill_central),
            "kill balance host": (PUMPING["fill"], self._kill_balance_host),
        }

    def watch(self, snapshot: Snapshot) -> None:
        for name, (due, act) in self._acts.items():
            if due(snapshot):
                del self._acts[name]
                act()
                return

    @property
    def left(self) -> list[str]:
        return list(self._acts)

    # Vision

    def _signal(self, mark: bytes, number: signal.Signals) -> None:
        signal_child(self._ward.processes, mark, number)

    def _freeze_worker(self) -> None:
        """So that the scan is surely under way when the worker dies."""
        self._signal(b"vision.worker", signal.SIGSTOP)
        self._frozen_worker = True

    def _scan_waits(self, snapshot: Snapshot) -> bool:
        running = phase_of(snapshot, "scan_materials")[0] == "running"
        return self._frozen_worker and running and not asks(snapshot, "scan_materials/material")

    def _kill_worker_in_scan(self) -> None:
        """The request is on record before it is in the worker's pipe: it is given time to get there."""
        time.sleep(REQUEST_UNDER_WAY_S)
        self._kill_worker()

    def _kill_worker(self) -> None:
        self._signal(b"vision.worker", signal.SIGKILL)

    # Engine and hosts

    def _freeze_engine(self) -> None:
        engine = self._ward.processes.running["engine"]
        blow = self._ward.strike("dilute", lambda: engine.send_signal(signal.SIGSTOP))
        time.sleep(FROZEN_S - 0.5)
        engine.send_signal(signal.SIGCONT)
        self._seen.frozen = replace(blow, states=self._ward.at_rest(["dilute"]))

    def _kill_pump_host(self) -> None:
        self._seen.watchdog_s = float(self._ward.world()["pump"]["watchdog_s"])
        self._seen.pump_host = self._kill_host(b"pump-1", "dilute", self._seen.watchdog_s + 0.5)

    def _kill_balance_host(self) -> None:
        self._seen.balance_host = self._kill_host(b"balance-1", "fill", 0.5)

    def _kill_host(self, device: bytes, phase: str, look_after_s: float) -> Blow:
        blow = self._ward.strike(
            phase, lambda: self._signal(device, signal.SIGKILL), look_after_s=look_after_s
        )
        return replace(blow, states=self._ward.at_rest([phase]))

    # Beside the engine

    def _kill_agent(self) -> None:
        self._ward.processes.kill("sync")
        self._ward.start_agent()

    def _kill_central(self) -> None:
        self._ward.processes.kill("central")
        time.sleep(0.5)  # the agent meets the absence
        self._ward.restart_central()

    def _kill_terminal(self) -> None:
        ward, seen = self._ward, self._seen
        snapshot = ward.seen()
        assert snapshot is not None
        prompt = next(one for one in snapshot.prompts if one.id == PROMPT_AT_BEDSIDE)
        seen.prompt_title, seen.prompt_button = prompt.title, prompt.button
        terminal = Terminal(ward.site.folder, ward.site.home.root, STATION)
        try:
            seen.terms.append(snapshot.unit.term)
            seen.screens.append(terminal.start(seen.prompt_title))
            terminal.kill()
            seen.screens.append(terminal.start(seen.prompt_title))
        finally:
            terminal.close()
        after = ward.seen()
        assert after is not None
        seen.terms.append(after.unit.term)
        seen.first_screen_s = terminal.first_screen_s


def _asks_for_the_second_material(snapshot: Snapshot) -> bool:
    """One was read: the worker is ready, so that the next request goes straight into its pipe."""
    return asks(snapshot, "scan_materials/material") and phase_of(snapshot, "scan_materials")[1].startswith(
        "2"
    )


def play(out: Path) -> FailingParts:
    with open_ward() as ward:
        return asyncio.run(_play(ward, out))


async def _play(ward: Ward, out: Path) -> FailingParts:
    seen = FailingParts()
    script = _Script(ward, seen)
    ward.crew.watch = ward_watch(ward, script.watch)
    sealed = await ward.work(awaiting)
    assert sealed.batch is not None
    assert not script.left, script.left
    await asyncio.to_thread(_decisions_that_do_not_hold, ward, sealed.batch.id, out, seen)
    seen.last = await ward.work(ended)
    seen.dose_g = ward.world()["bags"]["dose"]["weight_g"]
    seen.scans, seen.materials = ward.kinds("ScanRead"), ward.kinds("MaterialAccepted")
    seen.failed_counts, seen.counts = ward.kinds("CountFailed"), ward.kinds("CellCountReported")
    seen.seals, seen.dispositions = ward.kinds("BatchSealed"), ward.kinds("DispositionRecorded")
    ward.processes.end("engine")
    archive = ward.export(sealed.batch.id, out)
    seen.verified = call("verify", str(archive), "--trust", str(out / "trust.json"))
    seen.replayed = call("replay", str(ward.site.home.root))
    return seen


def _decisions_that_do_not_hold(ward: Ward, batch: str, out: Path, seen: FailingParts) -> None:
    """Certified, then changed; signed by central; at last certified again, which holds."""
    ward.until_reviewable(batch)
    ward.processes.end("sync")  # the decision comes as a file, when the story wants it
    first, forged = out / "first.json", out / "forged.json"
    certify(ward.site, batch, ward.qa_url, out=first)
    ward.command("comment", {"text": "The transport box was changed."})
    until("the record to be sealed again", lambda: len(ward.kinds("BatchSealed")) == 2)
    home = str(ward.site.home.root)
    seen.changed = call("qp", "deliver", "--home", home, str(first))
    central_key = load_key(ward.site.central / "keys" / "central.key")
    dump(sign("decision", load(first).content, central_key, "qp"), forged)
    seen.by_central = call("qp", "deliver", "--home", home, str(forged))
    seen.state_after_refusals = ward.states()
    seen.refused = ward.kinds("DispositionRefused")
    ward.start_agent()
    ward.until_reviewable(batch, seals=2)
    certify(ward.site, batch, ward.qa_url)
