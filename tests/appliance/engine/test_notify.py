"""The service manager hears that the engine is ready, and never holds it up."""

from __future__ import annotations

import asyncio
import os
import socket
import time

from appliance.engine.notify import beat, notify, watchdog_s


def test_the_service_manager_hears_each_word(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))

        assert notify("READY=1", "STATUS=serving\nand well")

        assert manager.recv(200) == b"READY=1\nSTATUS=serving and well"


def test_without_a_service_manager_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")

    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not notify("READY=1")


def test_the_watchdog_interval_counts_only_when_it_is_meant_for_this_process(monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_s() == 2.0

    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_s() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_s() is None


def test_a_frozen_engine_falls_silent_so_that_the_service_manager_ends_it(tmp_path, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "60000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)

        turning, frozen = asyncio.run(_beats_while_turning_and_while_frozen(manager))

    assert turning >= 2
    assert frozen == 0


async def _beats_while_turning_and_while_frozen(manager: socket.socket) -> tuple[int, int]:
    beating = asyncio.create_task(beat())
    await asyncio.sleep(0.2)
    turning = _heard(manager)
    time.sleep(0.2)  # the loop itself stands still
    frozen = _heard(manager)
    beating.cancel()
    return turning, frozen


def _heard(manager: socket.socket) -> int:
    beats = 0
    while True:
        try:
            beats += manager.recv(200) == b"WATCHDOG=1"
        except BlockingIOError:
            return beats


def test_no_beat_is_sent_where_nobody_asked_for_one(monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)

    asyncio.run(asyncio.wait_for(beat(), timeout=1))
