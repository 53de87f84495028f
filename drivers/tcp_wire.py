"""A raw TCP port as a wire: the printer's port 9100, one connection held for as long as it is open.

pyserial's `socket://` waits 5 s for a connection, notices no cable that was cut and lets a second program
of ours in beside the first; a socket of our own does with one descriptor what the native wire does.
"""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import time
from contextlib import suppress

SCHEME = "tcp://"
CONNECT_S = 2.0
READ_BYTES = 4096
# On a quiet connection a peer without power is noticed after about so long and not after two hours. There is
# no bound on what is under way (TCP_USER_TIMEOUT): it would break a connection to a printer that is out of
# paper and takes no more bytes for a while. What is not answered ends by the time-outs of the driver.
PROBES_MAX = 5
_PROBE_S = 1
_PORT = re.compile(
    r"tcp://(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})|\[[0-9A-Fa-f:]{2,45}\]):(?P<port>\d{1,5})"
)


def is_tcp(port: str) -> bool:
    """Tell whether a port is a raw TCP port, such as `tcp://printer.local:9100`."""
    return port.startswith(SCHEME)


def address_of(port: str) -> tuple[str, int]:
    """Return host and number of a raw TCP port.

    Raises
    ------
    ValueError
        Not of the form tcp://HOST:PORT.
    """
    match = _PORT.fullmatch(port)
    number = int(match["port"]) if match else 0
    if match is None or not 0 < number < 65536:
        raise ValueError(
            f"a raw TCP port is written tcp://HOST:PORT, such as tcp://192.168.1.20:9100, not {port!r}"
        )
    return match["host"].strip("[]"), number


def is_loopback(port: str) -> bool:
    """Tell whether a raw TCP port is on this machine by its name, as a twin's is."""
    match = _PORT.fullmatch(port)
    host = match["host"].lower() if match else ""
    return host in ("localhost", "[::1]") or re.fullmatch(r"127(?:\.\d{1,3}){3}", host) is not None


def answers_at(port: str) -> bool:
    """Tell whether something takes a connection there; not a byte is sent."""
    try:
        with socket.create_connection(address_of(port), timeout=CONNECT_S):
            return True
    except (OSError, ValueError):
        return False


class TcpWire:
    """An open connection. Its peer is gone when it hangs up, or answers none of the kernel's probes."""

    def __init__(self, port: str) -> None:
        host, number = address_of(port)
        try:
            known = {str(one[4][0]) for one in socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)}
        except OSError as error:
            raise _in_words(error, port) from error
        self._lock = _held_alone(min(known), number)
        try:
            self._socket = socket.create_connection((host, number), timeout=CONNECT_S)
        except OSError as error:
            self._lock.close()
            raise _in_words(error, port) from error
        if self._socket.getsockname()[0] == self._socket.getpeername()[0] and not is_loopback(port):
            # Another name of this machine would let a twin pass for a printer, past the check of its name.
            self.close()
            raise ValueError(f"{port} leads to this machine; a twin is named tcp://127.0.0.1:{number}")
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_S),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_S),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES_MAX),
        ):
            self._socket.setsockopt(level, option, value)
        self._socket.setblocking(False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._socket, select.POLLIN)
        self._writable.register(self._socket, select.POLLOUT)

    def waiting(self) -> bytes:
        """Return what has come already."""
        try:
            data = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return b""
        if not data:
            raise OSError(errno.ECONNRESET, "the device closed the connection")
        return data

    def read(self, wait_s: float) -> bytes:
        """Wait for bytes, at most so long."""
        return self.waiting() if self._readable.poll(max(0.0, wait_s) * 1000) else b""

    def write_some(self, data: bytes, wait_s: float) -> int:
        """Hand over what the connection takes within so long."""
        if not self._writable.poll(max(0.0, wait_s) * 1000):
            return 0
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    def write(self, data: bytes, wait_s: float) -> None:
        """Hand over all bytes, within so long.

        Notes
        -----
        What was handed over in part cannot be called back from a connection: it is broken off, so that
        half an order does not wait there for the rest of another.
        """
        deadline = time.monotonic() + wait_s
        left = memoryview(data)
        while left:
            taken = self.write_some(bytes(left), deadline - time.monotonic())
            if not taken and time.monotonic() >= deadline:
                self._socket.close()
                raise OSError(errno.ETIMEDOUT, "it takes no bytes")
            left = left[taken:]

    def close(self) -> None:
        """Let go of the connection; what was handed over still goes out."""
        with suppress(OSError):
            self._socket.close()
        self._lock.close()


def _held_alone(host: str, number: int) -> socket.socket:
    """Take a name that one program of this machine can hold; the kernel frees it with its holder."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0cellwright tcp {host}:{number}")
    except OSError as error:
        lock.close()
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error
    return lock


def _in_words(error: OSError, port: str) -> OSError:
    """Return the failure to connect with an errno that tells where to look."""
    if isinstance(error, TimeoutError):
        return OSError(errno.EHOSTUNREACH, f"nothing answers at {port}")
    if isinstance(error, socket.gaierror):
        return OSError(errno.EHOSTUNREACH, f"nobody knows the name in {port}")
    return error
