"""A TCP proxy on loopback that cuts connections: real bytes, real resets, by a plan."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator


class CuttingProxy:
    """Passes bytes on; each connection to it may die after a number of bytes sent up or answered down."""

    def __init__(self, port: int, plan: Iterator[tuple[int | None, int | None]]) -> None:
        self._target, self._plan = port, plan
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _start(self, target: object, *values: object) -> None:
        assert callable(target)
        thread = threading.Thread(target=target, args=values, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            up_bytes, down_bytes = next(self._plan, (None, None))
            far = socket.create_connection(("127.0.0.1", self._target))
            self._start(self._pump, near, far, up_bytes)
            self._start(self._pump, far, near, down_bytes)

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                if limit is not None and passed + len(data) > limit:
                    target.sendall(data[: limit - passed])
                    break
                target.sendall(data)
                passed += len(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
