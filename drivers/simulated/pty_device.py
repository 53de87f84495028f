"""A twin behind a pseudo-terminal, found through a link that exists only while the twin answers."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import signal
import time
import tty
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Protocol

from drivers.simulated.faults import LATE_S_MAX, LineFaults
from drivers.simulated.twin import Twin

TICK_S = 0.01
READ_BYTES = 4096
UNPLUGGED_S = 1.0
FROZEN_S = 1.5
FLOOD_S = 1.0
INTAKE_S = 0.05  # of the line's pace: how much of a long job comes in at once
FLOOD_BYTES = 512  # a tick: about what a line of 460800 baud carries


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
        self._master, self._slave = _line_pair()
        self._out: deque[tuple[float, bytes]] = deque()
        self._due_s = 0.0
        self._asked: deque[tuple[str, float]] = deque()
        self._back_at_s: float | None = None
        self._frozen_until_s = self._floods_until_s = self._deaf_until_s = 0.0
        self._moments: dict[str, Callable[[float, float], None]] = {
            "unplug": lambda now_s, for_s: self._unplug(now_s, for_s or UNPLUGGED_S),
            "freeze": lambda now_s, for_s: self._freeze(now_s, for_s or FROZEN_S),
            "flood": lambda now_s, for_s: self._flood(now_s, for_s or FLOOD_S),
            "restart": lambda now_s, _: self.restart(),
            "brown_out": lambda now_s, _: self.brown_out(),
            "firmware": lambda now_s, _: self._come_back_with_other_firmware(now_s),
        }
        self._other_firmware = False

    def fileno(self) -> int:
        """The descriptor to wait on."""
        return self._master

    @property
    def frozen(self) -> bool:
        """Whether the firmware hangs: it neither reads nor answers, and its motor goes on."""
        return self.faults.for_good("freeze") or time.monotonic() < self._frozen_until_s

    @property
    def listens(self) -> bool:
        """Whether more bytes can come in now: a long job takes its time on a slow line."""
        return not self.frozen and time.monotonic() >= self._deaf_until_s

    def publish(self) -> None:
        """Make the link: from here on the twin answers."""
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self.link)

    def close(self) -> None:
        """Take the link away and hang up."""
        self._take_link_away()
        os.close(self._master)
        os.close(self._slave)

    def fault(self, word: str, for_s: float = 0.0) -> None:
        """Let one fault happen, or switch one on from now; "none" ends all. Any thread may ask.

        What befalls the device itself happens once and ends by itself after `for_s`. Without a time,
        `freeze` and `flood` last until "none", as `silent` and `one_way` do. `firmware` waits for the
        next restart. With a rate ("unplug:0.1") a fault is drawn by seed from then on.
        """
        if word in ("freeze", "flood") and not for_s:
            self.faults.set(word)
        elif word in ("restart", "brown_out"):
            self._moments[word](time.monotonic(), for_s)
        elif word == "firmware":
            self._other_firmware = True
        elif word in self._moments:
            self._asked.append((word, for_s))
        else:
            self.faults.set(word)
            if word == "none":
                self._frozen_until_s = self._floods_until_s = 0.0

    def on_readable(self) -> None:
        """Let the twin answer what came in."""
        if not self.listens:
            return
        try:
            data = self._read()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EIO):
                return
            raise
        if not data:
            return
        now_s = time.monotonic()
        if self._takes_its_time:
            self._deaf_until_s = now_s + self._byte_s * len(data)
        self.twin.senses.stuck, self.twin.senses.drifting = self.faults.stuck, self.faults.drifting
        befalls = self.faults.of_the_device()
        if befalls:
            self._moments[befalls](now_s, 0.0)
        if befalls and befalls != "flood":
            return  # the request is lost with it
        arrived = self.faults.request(data, now_s)
        if not arrived:
            return
        echo = self.faults.echo(data)
        if echo:
            self._queue(0.0, echo, now_s)
        came_s = now_s if self._takes_its_time else now_s + self._byte_s * len(data)
        self._send(self.twin.receive(arrived, now_s), came_s)
        self.flush()

    def on_tick(self) -> None:
        """Let the twin send what it sends by itself, and send what has become due."""
        now_s = time.monotonic()
        while self._asked:
            word, for_s = self._asked.popleft()
            self._moments[word](now_s, for_s)
        if self._back_at_s is not None and now_s >= self._back_at_s:
            self._back_at_s = None
            self.publish()
        if self.frozen:
            return
        self._send(self.twin.tick(now_s), now_s)
        self.flush()
        if self.faults.for_good("flood") or now_s < self._floods_until_s:
            self._write(self.faults.noise(FLOOD_BYTES))

    def restart(self) -> None:
        """Let the twin lose its power for a moment."""
        now_s = time.monotonic()
        self._lose_power()
        self._send(self.twin.restart(now_s), now_s)

    def brown_out(self) -> None:
        """Let the twin lose its power so shortly that it says nothing of it."""
        self._lose_power()
        self.twin.brown_out(time.monotonic())

    def next_due_s(self) -> float | None:
        """When the next byte is due, in monotonic seconds."""
        return self._out[0][0] if self._out else None

    def flush(self) -> None:
        """Send what is due. What nobody takes off the line is lost, as on a real one."""
        now_s = time.monotonic()
        while self._out and self._out[0][0] <= now_s:
            _, data = self._out.popleft()
            self._write(data)

    @property
    def _takes_its_time(self) -> bool:
        return self.twin.TAKES_LONG_JOBS and self._byte_s > 0

    def _read(self) -> bytes:
        size = max(1, int(INTAKE_S / self._byte_s)) if self._takes_its_time else READ_BYTES
        return os.read(self._master, size)

    def _write(self, data: bytes) -> None:
        if self._back_at_s is None:  # nobody hears a device whose line is unplugged
            with contextlib.suppress(BlockingIOError):
                os.write(self._master, data)

    def _lose_power(self) -> None:
        self._out.clear()
        self._due_s = self._frozen_until_s = self._floods_until_s = 0.0
        if self._other_firmware:
            self._other_firmware = False
            self.twin.firmware = next_firmware(self.twin.firmware)

    def _come_back_with_other_firmware(self, now_s: float) -> None:
        self._other_firmware = True
        self.restart()

    def _freeze(self, now_s: float, for_s: float) -> None:
        self._frozen_until_s = now_s + for_s

    def _flood(self, now_s: float, for_s: float) -> None:
        self._floods_until_s = now_s + for_s

    def _unplug(self, now_s: float, for_s: float) -> None:
        """Hang up. The device keeps its power; its line comes back under another name."""
        self._take_link_away()
        fresh = _line_pair()  # before the old one ends, so that it cannot get the same name
        os.close(self._master)
        os.close(self._slave)
        self._master, self._slave = fresh
        self._out.clear()
        self._due_s = 0.0
        self._back_at_s = now_s + for_s
        if self._other_firmware:
            self._other_firmware = False
            self.twin.firmware = next_firmware(self.twin.firmware)

    def _take_link_away(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.link.readlink() == Path(os.ttyname(self._slave)):
                self.link.unlink()

    def _send(self, replies: Sequence[bytes], from_s: float) -> None:
        for reply in replies:
            for delay_s, piece in self.faults.reply(reply):
                self._queue(delay_s, piece, from_s)

    def _queue(self, delay_s: float, data: bytes, from_s: float) -> None:
        # First in, first out: a late reply holds back those behind it, as in a real device. It is no
        # later for those: many in a row would else pile up to minutes that no device keeps an answer for.
        behind = self._due_s - from_s > LATE_S_MAX
        self._due_s = max(self._due_s, from_s) + (0.0 if behind else delay_s)
        if not self._byte_s:
            self._out.append((self._due_s, data))
            return
        for byte in data:
            self._due_s += self._byte_s
            self._out.append((self._due_s, bytes((byte,))))


def next_firmware(firmware: str) -> str:
    """Return the version after a version, of the same form and length; one without a digit stays."""
    numbers = list(re.finditer(r"\d+", firmware))
    if not numbers:
        return firmware
    last = numbers[-1]
    digits = len(last[0])
    following = f"{(int(last[0]) + 1) % 10**digits:0{digits}d}"
    return firmware[: last.start()] + following + firmware[last.end() :]


def _line_pair() -> tuple[int, int]:
    """Return both ends of a pseudo-terminal that changes no byte."""
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return master, slave


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
    dues = [
        due for due in (device.next_due_s() for device in devices if not device.frozen) if due is not None
    ]
    wait_s = min([TICK_S, *(due - time.monotonic() for due in dues)])
    ready, _, _ = select.select(
        [*(device for device in devices if device.listens), *services], [], [], max(0.0, wait_s)
    )
    for device in devices:
        if device in ready:
            device.on_readable()
        device.on_tick()
    for service in services:
        if service in ready:
            service.on_readable()
