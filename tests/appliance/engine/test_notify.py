"""The service manager hears that the engine is ready, and never holds it up."""

from __future__ import annotations

import os
import socket

from appliance.engine.notify import notify, watchdog_s


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
