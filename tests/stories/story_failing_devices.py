"""The story of one batch in which devices fail in the middle of pouring, in each way they can.

Lines are unplugged and come back under another name, hosts are killed, devices restart. Central is
away: no step of it needs the network.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from story_killed_engine import MOMENTS
from story_ward import Blow, Ward, awaiting, call, open_ward, phase_of, ward_watch

from appliance.demo.faults import signal_child
from appliance.link.messages import Snapshot

PUMPING = {phase: when for phase, when in MOMENTS if phase in ("dilute", "fill")}
PUMP_LINK, BALANCE_LINK = "pump", "balance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """One device that failed while its phase poured, and what the screen then said."""

    name: str
    blow: Blow
    state: str  # of the phase, before a person acts
    words: str  # what the screen shows beside it


@dataclass(slots=True)
class FailingDevices:
    """What was seen of it."""

    failures: list[Failing] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, set[str]] = field(default_factory=dict)  # every name that a device's line had
    watchdog_s: float = 0.0
    infused_ml: float = 0.0
    dilution_g: float = 0.0
    dose_g: float = 0.0
    restarts_by: list[str] = field(default_factory=list)
    last: Snapshot | None = None
    verified: subprocess.CompletedProcess[str] | None = None
    replayed: subprocess.CompletedProcess[str] | None = None

    def failed(self, name: str) -> Failing:
        return next(one for one in self.failures if one.name == name)


class _Script:
    """Strikes each device at its moment, once; the phase is resumed by the crew before the next blow."""

    def __init__(self, ward: Ward, seen: FailingDevices) -> None:
        self._ward, self._seen = ward, seen
        self._acts: dict[str, tuple[str, Callable[[], object], float]] = {
            "pump unplugged": ("dilute", lambda: self._fault(PUMP_LINK, "unplug"), 2.5),
            "pump restarted": ("dilute", lambda: self._fault(PUMP_LINK, "restart"), 0.5),
            "balance host killed": ("dilute", lambda: self._kill(b"balance-1"), 0.5),
            "pump host killed": ("fill", lambda: self._kill(b"pump-1"), 2.5),
            "balance unplugged": ("fill", lambda: self._fault(BALANCE_LINK, "unplug"), 0.5),
            "balance restarted": ("fill", lambda: self._fault(BALANCE_LINK, "restart"), 0.5),
        }

    def watch(self, snapshot: Snapshot) -> None:
        self._note_lines()
        if phase_of(snapshot, "dilute")[0] == "complete" and not self._seen.dilution_g:
            self._seen.dilution_g = self._ward.world()["bags"]["patient"]["weight_g"]
        name = next(iter(self._acts), None)
        if name is not None and PUMPING[self._acts[name][0]](snapshot):
            phase, act, look_after_s = self._acts.pop(name)
            self._strike(name, phase, act, look_after_s)

    @property
    def left(self) -> list[str]:
        return list(self._acts)

    def _strike(self, name: str, phase: str, act: Callable[[], object], look_after_s: float) -> None:
        ward = self._ward
        self._seen.watchdog_s = float(ward.world()["pump"]["watchdog_s"]) or self._seen.watchdog_s
        blow = ward.strike(phase, act, look_after_s=look_after_s)
        ward.at_rest([phase])
        snapshot = ward.seen()
        assert snapshot is not None
        state, words = phase_of(snapshot, phase)
        self._seen.failures.append(Failing(name=name, blow=blow, state=state, words=words))

    def _note_lines(self) -> None:
        for link in (PUMP_LINK, BALANCE_LINK):
            path = self._ward.site.bench / link
            if path.is_symlink():
                self._seen.lines.setdefault(link, set()).add(str(path.readlink()))

    def _fault(self, device: str, fault: str) -> None:
        self._ward.hands.ask({"do": "fault", "device": device, "fault": fault})

    def _kill(self, device: bytes) -> None:
        signal_child(self._ward.processes, device, signal.SIGKILL)


def play(out: Path) -> FailingDevices:
    with open_ward(central=False) as ward:
        return asyncio.run(_play(ward, out))


async def _play(ward: Ward, out: Path) -> FailingDevices:
    seen = FailingDevices()
    script = _Script(ward, seen)
    ward.crew.watch = ward_watch(ward, script.watch)
    seen.last = await ward.work(awaiting)
    assert not script.left, script.left
    assert seen.last.batch is not None
    world = ward.world()
    seen.infused_ml, seen.dose_g = world["pump"]["infused_ml_ever"], world["bags"]["dose"]["weight_g"]
    seen.alarms = ward.kinds("AlarmRaised")
    with ward.record() as record:
        restarts = [one.header for one in record.read() if one.header.kind == "PhaseRestarting"]
    seen.restarts_by = [header.actor for header in restarts]
    ward.processes.end("engine")
    archive = ward.export(seen.last.batch.id, out)
    seen.verified = call("verify", str(archive), "--trust", str(out / "trust.json"))
    seen.replayed = call("replay", str(ward.site.home.root))
    return seen
