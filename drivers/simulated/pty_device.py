"""A twin behind a pseudo-terminal, found through a link that exists only while the twin answers."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from drivers.simulated.faults import LineFaults
from drivers.simulated.twin import Twin

TICK_S = 0.01
READ_BYTES = 4096


class PtyDevice:
    """Carries bytes between a pseudo-terminal and a twin, with the faults of a line in between.

    Parameters
    ----------
    twin : Twin
        The device.
    link : Path
        Name under which drivers find it.
    faults : LineFaults, optional
        Faults of the line.
    pace_baud : int
        0 sends at once; else replies take the time they would at that rate.
    """

    def __init__(
        self, twin: Twin, link: Path, *, faults: LineFaults | None = None, pace_baud: int = 0
    ) -> None:
        self.twin, self.link = twin, link
        self.faults = faults or LineFaults()
        self._byte_s = twin.BITS_PER_BYTE / pace_baud if pace_baud else 0.0
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._out: deque[tuple[float, bytes]] = deque()
        self._due_s = 0.0

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._master

    def publish(self) -> None:
        """Make the link: from here on the twin answers."""
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)

    def close(self) -> None:
        """Take the link away and hang up."""
        with contextlib.suppress(FileNotFoundError):
            if self.link.readlink() == Path(os.ttyname(self._slave)):
                self.link.unlink()
        os.close(self._master)
        os.close(self._slave)

    def on_readable(self) -> None:
        """Let the twin answer what came in."""
        try:
            data = os.read(self._master, READ_BYTES)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EIO):
                return
            raise
        now_s = time.monotonic()
        self.twin.senses.stuck = self.faults.stuck
        arrived = self.faults.request(data, now_s)
        if not arrived:
            return
        if self.faults.restarts():
            self._send(self.twin.restart(now_s), now_s)
            return
        echo = self.faults.echo(data)
        if echo:
            self._queue(0.0, echo, now_s)
        self._send(self.twin.receive(arrived, now_s), now_s + self._byte_s * len(data))
        self.flush()

    def on_tick(self) -> None:
        """Let the twin send what it sends by itself, and send what has become due."""
        now_s = time.monotonic()
        self._send(self.twin.tick(now_s), now_s)
        self.flush()

    def restart(self) -> None:
        """Let the twin lose its power for a moment."""
        now_s = time.monotonic()
        self._send(self.twin.restart(now_s), now_s)

    def next_due_s(self) -> float | None:
        """When the next byte is due, in monotonic seconds."""
        return self._out[0][0] if self._out else None

    def flush(self) -> None:
        """Send what is due. What nobody takes off the line is lost, as on a real one."""
        now_s = time.monotonic()
        while self._out and self._out[0][0] <= now_s:
            _, data = self._out.popleft()
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def _send(self, replies: Sequence[bytes], from_s: float) -> None:
        for reply in replies:
            for delay_s, piece in self.faults.reply(reply):
                self._queue(delay_s, piece, from_s)

    def _queue(self, delay_s: float, data: bytes, from_s: float) -> None:
        # First in, first out: a late reply holds back those behind it, as in a real device.
        self._due_s = max(self._due_s, from_s) + delay_s
        if not self._byte_s:
            self._out.append((self._due_s, data))
            return
        for byte in data:
            self._due_s += self._byte_s
            self._out.append((self._due_s, bytes((byte,))))


class Stop:
    """Becomes true on SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        self.asked = True


class Service(Protocol):
    """Anything else that waits on a descriptor in the same loop."""

    def fileno(self) -> int:
        """The descriptor to wait on."""

    def on_readable(self) -> None:
        """Take what came in."""


def serve(
    devices: Sequence[PtyDevice],
    services: Callable[[], Sequence[Service]],
    stop_asked: Callable[[], bool],
) -> None:
    """Let the twins answer until asked to stop; their links exist just as long."""
    try:
        for device in devices:
            device.publish()
        while not stop_asked():
            _serve_once(devices, services())
    finally:
        for device in devices:
            device.close()


def _serve_once(devices: Sequence[PtyDevice], services: Sequence[Service]) -> None:
    dues = [due for due in (device.next_due_s() for device in devices) if due is not None]
    wait_s = min([TICK_S, *(due - time.monotonic() for due in dues)])
    ready, _, _ = select.select([*devices, *services], [], [], max(0.0, wait_s))
    for device in devices:
        if device in ready:
            device.on_readable()
        device.on_tick()
    for service in services:
        if service in ready:
            service.on_readable()
