"""Twins for the stories: each behind a real pseudo-terminal, in a thread or in a process of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from drivers.simulated.pty_device import PtyDevice, serve

CELLWRIGHT = Path(sys.executable).parent / "cellwright"
START_S = 20.0


def wait_until(holds: Callable[[], bool], timeout_s: float, words: str) -> None:
    """Wait for something to become true; fail with words when it does not."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, words
        time.sleep(0.005)


@contextlib.contextmanager
def served(*devices: PtyDevice) -> Iterator[None]:
    """Let twins answer in a thread of this process, so that a story can look at their world."""
    stop = threading.Event()
    thread = threading.Thread(target=serve, args=(devices, list, stop.is_set), daemon=True)
    thread.start()
    wait_until(lambda: all(device.link.exists() for device in devices), START_S, "the twins did not start")
    try:
        yield
    finally:
        stop.set()
        thread.join(START_S)
        assert not thread.is_alive(), "the twins did not end"


class BenchProcess:
    """The bench as a process, with hands at its socket."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        hands = folder / "hands"
        command = [str(CELLWRIGHT), "device", "bench", f"--links={folder}", f"--hands={hands}", *options]
        self.process = subprocess.Popen(command)
        wait_until(lambda: (folder / "thawer").exists(), START_S, "the bench did not start")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(5.0)
        self._socket.connect(str(folder / "hands"))
        self._lines = self._socket.makefile("rw", encoding="utf-8")

    def port(self, name: str) -> str:
        """The path of a twin's line."""
        return str(self.folder / name)

    def do(self, verb: str, **values: object) -> dict[str, Any]:
        """Let hands do something; fail when they cannot."""
        answer = self.ask(verb, **values)
        assert answer["ok"], answer
        return answer

    def ask(self, verb: str, **values: object) -> dict[str, Any]:
        """Let hands try something."""
        self._lines.write(json.dumps({"do": verb, **values}) + "\n")
        self._lines.flush()
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return answer

    def pump(self) -> dict[str, Any]:
        """The pump's part of the world."""
        state: dict[str, Any] = self.do("state")["pump"]
        return state

    def end(self) -> None:
        """End the process as a service manager would."""
        self._lines.close()
        self._socket.close()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(10) == 0
