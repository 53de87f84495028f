"""What goes wrong in a demonstration on request, each once and at a named moment."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

from appliance.demo.crew import Crew
from appliance.demo.processes import Processes, start_engine
from appliance.link.client import ask
from appliance.link.messages import Snapshot

Watch = Callable[[Snapshot], Awaitable[None]]


def fault_watch(fault: str | None, crew: Crew, processes: Processes) -> Watch | None:
    """The watcher that injects a fault, or None."""
    match fault:
        case "wrong-bag" | "expired-bag":
            crew.next_label = processes.site.labels / f"{fault}.png"
            return None
        case "engine-killed":
            return _once(_pumping, lambda: _kill_engine(processes))
        case "vision-killed":
            return _once(lambda s: _state(s, "take_sample") == "running", lambda: _kill_vision(processes))
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


async def _kill_engine(processes: Processes) -> None:
    processes.kill("engine")
    await asyncio.to_thread(start_engine, processes)


async def _kill_vision(processes: Processes) -> None:
    """The worker is a child of the engine; only its process dies."""
    engine = processes.running["engine"].pid
    for pid in _children(engine):
        command = f"/proc/{pid}/cmdline"
        with open(command, "rb") as file:  # noqa: PTH123  # a kernel file, read once
            if b"vision.worker" in file.read():
                os.kill(pid, signal.SIGKILL)


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:  # noqa: PTH123
        return [int(one) for one in file.read().split()]


async def _press_stop(processes: Processes) -> None:
    await asyncio.to_thread(ask, processes.site.home.socket, "stop", {})
