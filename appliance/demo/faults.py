"""What goes wrong in a demonstration on request, each once and at a named moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from appliance.demo.crew import Crew
from appliance.demo.hands import Hands
from appliance.demo.processes import DemoFailed, Processes, start_engine
from appliance.demo.site import PRINTER
from appliance.link.client import ask
from appliance.link.messages import Snapshot

Watch = Callable[[Snapshot], Awaitable[None]]


def fault_watch(fault: str | None, crew: Crew, hands: Hands, processes: Processes) -> Watch | None:
    """The watcher that injects a fault, or None."""
    match fault:
        case "wrong-bag" | "expired-bag":
            crew.next_label = processes.site.labels / f"{fault}.png"
            return None
        case "engine-killed":
            return _once(_pumping, lambda: _kill_engine(processes))
        case "vision-killed":
            return _once(lambda s: _state(s, "take_sample") == "running", lambda: _kill_vision(processes))
        case "spent-roll":
            return _once(lambda s: _state(s, "fill") == "running", lambda: _last_label(hands))
        case "stop":
            return _once(_pumping, lambda: _press_stop(processes))
        case _:
            return None


def _once(when: Callable[[Snapshot], bool], act: Callable[[], Awaitable[None]]) -> Watch:
    done = False

    async def watch(snapshot: Snapshot) -> None:
        nonlocal done
        if not done and when(snapshot):
            done = True
            await act()

    return watch


def _state(snapshot: Snapshot, phase: str) -> str:
    phases = snapshot.batch.phases if snapshot.batch else []
    return next((one.state for one in phases if one.id == phase), "")


def _pumping(snapshot: Snapshot) -> bool:
    return any(
        reading.name == "state" and reading.value == "infusing"
        for device in snapshot.devices
        for reading in device.readings
    )


async def _last_label(hands: Hands) -> None:
    """The roll ends: the printer takes the next label, and cannot finish it."""
    await asyncio.to_thread(hands.ask, {"do": "printer", "device": PRINTER, "act": "leave", "labels": 0})


async def _kill_engine(processes: Processes) -> None:
    processes.kill("engine")
    await asyncio.to_thread(start_engine, processes)


async def _kill_vision(processes: Processes) -> None:
    signal_child(processes, b"vision.worker", signal.SIGKILL)


def signal_child(processes: Processes, mark: bytes, number: signal.Signals) -> int:
    """Signal the engine's child whose command line has `mark`; only that process hears it."""
    for pid in _children(processes.running["engine"].pid):
        if mark in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, number)
            return pid
    raise DemoFailed(f"The engine has no child process with {mark.decode()} in its command line.")


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


async def _press_stop(processes: Processes) -> None:
    await asyncio.to_thread(ask, processes.site.home.socket, "stop", {})
