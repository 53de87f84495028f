"""What a line is made of: a native port by its descriptor, raw TCP, or a port behind a URL of pyserial."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import select
import termios
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, cast

import serial

from drivers.tcp_wire import TcpWire, is_tcp

Parity = Literal["N", "E", "O"]
READ_BYTES = 4096
LEAVE_S = 0.3  # how long closing waits for bytes that the port has not sent yet
_WRITE_S = 0.2  # at a port behind a URL
_SLICE_S = 0.01  # of a wait at a port behind a URL, which cannot be waited on
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """How bytes travel; see the device's page."""

    baud_rate: int
    byte_bits: int = 8
    parity: Parity = "N"
    stop_bits: int = 1
    rts_cts: bool = False
    xon_xoff: bool = False

    @classmethod
    def told(cls, words: str, *, rts_cts: bool = False, xon_xoff: bool = False) -> LineSettings:
        """Return what a setting such as "9600-8N1" says."""
        match = re.fullmatch(r"(\d+)-([5-8])([NEO])([12])", words)
        assert match is not None, f"the catalogue lets no such line pass: {words!r}"
        return cls(
            baud_rate=int(match[1]),
            byte_bits=int(match[2]),
            parity=cast(Parity, match[3]),
            stop_bits=int(match[4]),
            rts_cts=rts_cts,
            xon_xoff=xon_xoff,
        )


class WriteStuck(OSError):
    """The port took no bytes in time; those it had taken and not sent were thrown away."""


class Wire(Protocol):
    """An open port. Every failure of it is an `OSError`."""

    def waiting(self) -> bytes:
        """Return what has come already, without waiting."""

    def read(self, wait_s: float) -> bytes:
        """Wait for bytes, at most so long, and return all that came with them."""

    def write(self, data: bytes, wait_s: float) -> None:
        """Hand over all bytes, within so long."""

    def write_some(self, data: bytes, wait_s: float) -> int:
        """Hand over what the port takes within so long; how many bytes. For what is too long for one go."""

    def close(self) -> None:
        """Let go of the port, within a bound of its own."""


def is_pseudo_terminal(port: str) -> bool:
    """Tell whether a port is one end of a pseudo-terminal, as a twin's is."""
    return not is_url(port) and str(Path(port).resolve()).startswith("/dev/pts/")


def is_url(port: str) -> bool:
    """Tell whether a port is a URL of pyserial, such as `rfc2217://host:port`."""
    return "://" in port


def open_wire(port: str, settings: LineSettings) -> Wire:
    """Open a port for this process alone.

    Raises
    ------
    OSError, ValueError
        Not there, held by somebody else, or not able to carry these settings.
    """
    try:
        if is_tcp(port):
            return TcpWire(port)
        if is_url(port):
            return _FarWire(port, settings)
        return _NativeWire(port, settings)
    except termios.error as error:
        number = error.args[0] if error.args else errno.EINVAL
        raise OSError(number, "the port does not carry these settings") from error


class _NativeWire:
    """A port of this machine. pyserial opens and sets it; bytes go by its descriptor.

    Waiting for a descriptor costs nothing while no byte comes, where pyserial's own reading asks the
    kernel several times for each.
    """

    def __init__(self, port: str, settings: LineSettings) -> None:
        self._serial = serial.Serial(
            port=port, timeout=0, write_timeout=0, exclusive=True, **_as_pyserial(settings)
        )
        self._end = self._serial.fileno()
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._end, select.POLLIN)
        self._writable.register(self._end, select.POLLOUT)
        if settings.xon_xoff:
            # An XOFF that noise made, or that came before, outlives the closing of a port: take it back.
            termios.tcflow(self._end, termios.TCOOFF)
            termios.tcflow(self._end, termios.TCOON)

    def waiting(self) -> bytes:
        return self._read_now()

    def read(self, wait_s: float) -> bytes:
        events = self._readable.poll(max(0.0, wait_s) * 1000)
        if not events:
            return b""
        data = self._read_now()
        if not data:  # ready, and nothing there: the other end hung up
            raise OSError(errno.EIO, "the device hung up")
        return data

    def write(self, data: bytes, wait_s: float) -> None:
        deadline = time.monotonic() + wait_s
        left = memoryview(data)
        while left:
            try:
                left = left[os.write(self._end, left) :]
            except BlockingIOError:
                self._wait_for_room(deadline)

    def write_some(self, data: bytes, wait_s: float) -> int:
        events = self._writable.poll(max(0.0, wait_s) * 1000)
        if any(event & _GONE for _, event in events):
            raise OSError(errno.EIO, "the device hung up")
        try:
            return os.write(self._end, data) if events else 0
        except BlockingIOError:
            return 0

    def close(self) -> None:
        # The kernel may hold up the closing of a port whose device takes no bytes for half a minute.
        deadline = time.monotonic() + LEAVE_S
        with suppress(OSError, termios.error):
            while self._serial.out_waiting:
                if time.monotonic() >= deadline:
                    termios.tcflush(self._end, termios.TCOFLUSH)
                    break
                time.sleep(_SLICE_S)
        with suppress(OSError):
            # A child just forked still holds the descriptor until it runs a program of its own; only
            # giving the lock back by name frees the port at once.
            fcntl.flock(self._end, fcntl.LOCK_UN)
        self._serial.close()

    def _read_now(self) -> bytes:
        try:
            return os.read(self._end, READ_BYTES)
        except BlockingIOError:
            return b""

    def _wait_for_room(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        events = self._writable.poll(max(0.0, left_s) * 1000)
        if any(event & _GONE for _, event in events):
            raise OSError(errno.EIO, "the device hung up")
        if not events:
            # Half an order that leaves later, when nobody waits for it, is worse than none.
            termios.tcflush(self._end, termios.TCOFLUSH)
            raise WriteStuck(errno.ETIMEDOUT, "it takes no bytes")


class _FarWire:
    """A port behind a URL, read in slices: it cannot be waited on."""

    def __init__(self, port: str, settings: LineSettings) -> None:
        self._serial = serial.serial_for_url(
            port,
            timeout=_SLICE_S,
            # RFC 2217 in pyserial has no such setting; its socket gives up after 5 s.
            write_timeout=None if port.startswith("rfc2217:") else _WRITE_S,
            **_as_pyserial(settings),
        )

    def waiting(self) -> bytes:
        data = b""
        while len(data) < READ_BYTES and self._serial.in_waiting:
            data += bytes(self._serial.read(min(self._serial.in_waiting, READ_BYTES)))
        return data

    def read(self, wait_s: float) -> bytes:
        deadline = time.monotonic() + wait_s
        while not (data := bytes(self._serial.read(1))):
            if time.monotonic() >= deadline:
                return b""
        return data + self.waiting()

    def write(self, data: bytes, wait_s: float) -> None:
        try:
            self._serial.write(data)
        except serial.SerialTimeoutException as error:
            raise WriteStuck(errno.ETIMEDOUT, "it takes no bytes") from error

    def write_some(self, data: bytes, wait_s: float) -> int:
        self.write(data, wait_s)
        return len(data)

    def close(self) -> None:
        with suppress(OSError):
            self._serial.close()


def _as_pyserial(settings: LineSettings) -> dict[str, object]:
    return {
        "baudrate": settings.baud_rate,
        "bytesize": settings.byte_bits,
        "parity": settings.parity,
        "stopbits": settings.stop_bits,
        "rtscts": settings.rts_cts,
        "xonxoff": settings.xon_xoff,
    }
