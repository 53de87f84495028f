"""A peer at the other end of a real pseudo-terminal, whose every answer a story writes."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
import tty
from collections.abc import Callable, Iterator

from drivers.modbus import whole

Script = Callable[[bytes], list[tuple[float, bytes]]]  # request to (delay in s, bytes) in turn


class Peer:
    """Cuts what comes into frames and answers each as the script says, in turn and never two at once."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.heard: list[bytes] = []
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Peer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10.0)
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        buffer = b""
        due: list[tuple[float, bytes]] = []
        while not self._ended.is_set():
            ready, _, _ = select.select([self._master], [], [], 0.002)
            if ready:
                buffer += os.read(self._master, 4096)
            for request in _requests(buffer):
                self.heard.append(request)
                buffer = buffer[len(request) :]
                at = time.monotonic()
                for delay_s, data in self.script(request):
                    at += delay_s
                    due.append((at, data))
            due.sort(key=lambda one: one[0])
            while due and due[0][0] <= time.monotonic():
                os.write(self._master, due.pop(0)[1])


def _requests(buffer: bytes) -> Iterator[bytes]:
    start = 0
    for end in range(len(buffer) + 1):
        if whole(buffer[start:end]):
            yield buffer[start:end]
            start = end


@contextlib.contextmanager
def speaking(script: Script) -> Iterator[Peer]:
    """Let a peer answer while a story runs."""
    with Peer(script) as peer:
        yield peer
