"""A twin behind a raw TCP port of this machine, as a printer's 9100; a file at its link holds the URL."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from drivers.simulated.faults import LineFaults
from drivers.simulated.pty_device import READ_BYTES, PtyDevice
from drivers.simulated.twin import Twin

HOST = "127.0.0.1"


class TcpDevice(PtyDevice):
    """Carries bytes between one connection and a twin. One program at a time: others are hung up on.

    Parameters
    ----------
    number : int
        The port's number; 0 takes any that is free.
    """

    def __init__(
        self,
        twin: Twin,
        link: Path,
        *,
        faults: LineFaults | None = None,
        pace_baud: int = 0,
        number: int = 0,
    ) -> None:
        super().__init__(twin, link, faults=faults, pace_baud=pace_baud)
        self._door = socket.create_server((HOST, number), backlog=4)
        self._door.setblocking(False)
        self.number = int(self._door.getsockname()[1])
        self._peer: socket.socket | None = None

    @property
    def url(self) -> str:
        """The port, as `unit.toml` names it."""
        return f"tcp://{HOST}:{self.number}"

    def fileno(self) -> int:
        """The descriptor to wait on: the connection, or the door where nobody is connected."""
        return (self._peer or self._door).fileno()

    def publish(self) -> None:
        """Write the URL where the link of a pseudo-terminal would be."""
        fresh = self.link.with_name(f".{self.link.name}.{os.getpid()}")
        fresh.write_text(f"{self.url}\n", encoding="ascii")
        fresh.replace(self.link)

    def close(self) -> None:
        """Hang up and shut the door."""
        self.hang_up()
        self._door.close()
        super().close()

    def hang_up(self) -> None:
        """End the connection."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.close()

    def on_readable(self) -> None:
        """Let somebody in, or let the twin answer."""
        if self._peer is None:
            with contextlib.suppress(BlockingIOError):
                peer, _ = self._door.accept()
                peer.setblocking(False)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._peer = peer
            if self._back_at_s is not None:
                self.hang_up()
            return
        super().on_readable()

    def on_tick(self) -> None:
        """Hang up on a second caller; go on."""
        if self._peer is not None:
            with contextlib.suppress(BlockingIOError):
                second, _ = self._door.accept()
                second.close()
        super().on_tick()

    def _read(self) -> bytes:
        peer = self._peer
        assert peer is not None, "somebody is connected"
        try:
            data = peer.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self.hang_up()
        return data

    def _write(self, data: bytes) -> None:
        if self._peer is None or self._back_at_s is not None:
            return
        try:
            self._peer.send(data)
        except BlockingIOError:
            return  # what nobody takes is lost
        except ConnectionError:
            self.hang_up()

    def _lose_power(self) -> None:
        self.hang_up()
        super()._lose_power()

    def _unplug(self, now_s: float, for_s: float) -> None:
        self.hang_up()
        super()._unplug(now_s, for_s)

    def _take_link_away(self) -> None:
        self.link.unlink(missing_ok=True)
