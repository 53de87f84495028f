"""The story of twenty STOPs at a moving pump: from a passer-by, from a locked screen, in turns."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from story_ward import Ward, open_ward, until

from appliance.demo.crew import STATION
from appliance.link.messages import Accepted, Refused, Snapshot

STOPS = 20
PASSER_BY = "corridor-1"  # a station where nobody has signed in
SPEED = "20"  # twenty starts of the pump must fit into one syringe


@dataclass(slots=True)
class Stops:
    """What was seen of it."""

    latencies_s: list[float] = field(default_factory=list)
    moved_on: int = 0
    answers: dict[str, list[Accepted | Refused]] = field(default_factory=dict)
    latched: list[bool] = field(default_factory=list)
    while_latched: Accepted | Refused | None = None
    released_by_passer_by: Accepted | Refused | None = None
    latched_after_passer_by: bool = False
    latched_while_locked: bool = False
    bath: list[dict[str, Any]] = field(default_factory=list)
    recorded: int = 0
    releases: list[str] = field(default_factory=list)  # who ended the latch


def play(out: Path) -> Stops:
    with open_ward(central=False, speed=SPEED) as ward:
        return asyncio.run(_play(ward))


async def _play(ward: Ward) -> Stops:
    seen = Stops()
    for number in range(STOPS):
        await ward.work(lambda _: ward.pump_moves)
        await asyncio.to_thread(_press, ward, seen, number)
    seen.recorded = len(ward.kinds("DeviceStopped"))
    with ward.record() as record:
        seen.releases = [one.header.actor for one in record.read() if one.header.kind == "StopReleased"]
    return seen


def _press(ward: Ward, seen: Stops, number: int) -> None:
    """One STOP at a moving pump, measured at the pump's own motor."""
    locked = number % 2 == 1
    if locked:
        ward.command("lock")
    assert ward.pump_moves, "the pump must move when STOP is pressed"
    seen.bath.append(_bath(ward))
    pressed_ns = time.monotonic_ns()
    answer = ward.command("stop", station=STATION if locked else PASSER_BY)
    until("the pump to stand", lambda: not ward.pump_moves, 5.0)
    stood_ns = int(ward.world()["pump"]["motion_stopped_ns"])
    seen.latencies_s.append((stood_ns - pressed_ns) / 1e9)
    seen.answers.setdefault("locked" if locked else "passer-by", []).append(answer)
    snapshot = ward.seen()
    assert snapshot is not None
    seen.latched.append(snapshot.stop_latched)
    seen.bath.append(_bath(ward))
    if number == 0:
        _try_the_latch(ward, seen)


def _try_the_latch(ward: Ward, seen: Stops) -> None:
    """A STOP holds against everybody who has not signed in, and against every other command."""
    seen.while_latched = ward.command("restart", {"reason": "Go on at once"})
    reason = {"reason": "It looks safe"}
    seen.released_by_passer_by = ward.command("release_stop", reason, station=PASSER_BY)
    seen.latched_after_passer_by = _latched(ward)
    ward.command("lock")
    ward.command("release_stop", reason)
    seen.latched_while_locked = _latched(ward)


def _latched(ward: Ward) -> bool:
    snapshot: Snapshot | None = ward.seen()
    return snapshot is not None and snapshot.stop_latched


def _bath(ward: Ward) -> dict[str, Any]:
    bath = ward.world()["bath"]
    return {name: bath[name] for name in ("setpoint_c", "running")}
