"""A serial line: opened exclusively, one request in flight, every wait bounded, every byte traced.

Rules that hold for each protocol here: nothing is sent before the reply or its time-out; what lies in
the receive buffer before a request, or behind a reply, is nobody's answer and is reported as such.
"""

from __future__ import annotations

import errno
import threading
import time
from collections import deque
from collections.abc import Callable

from drivers.faults import DeviceGarbled, DeviceSilent, LineFlooded, LineLost, StrayBytes
from drivers.framing import BrokenFrame, Take
from drivers.trace import Trace, TraceEntry
from drivers.wire import LineSettings, Wire, WriteStuck, is_pseudo_terminal, is_url, open_wire

__all__ = ["LineSettings", "SerialLine", "TraceEntry", "settings_enforceable"]

WRITE_TIMEOUT_S = 0.2
RECEIVE_BYTES_MAX = 4096  # beyond what was asked for
REPLY_BYTES = 512  # more than any reply here has
FED_BYTES_KEPT = 24  # of a piece of a long transmission: what a label says is not for a trace
AFTER_BROKEN_S = 0.01  # a device that sends rubbish is not asked as fast as a processor can
AFTER_FLOOD_S = 0.05


def settings_enforceable(port: str) -> bool:
    """Tell whether a port carries parity and data bits.

    A pseudo-terminal carries neither, a raw TCP port has none, and a bare `socket://` leaves them to the
    box at its other end.
    """
    if is_url(port):
        return port.startswith("rfc2217://")
    return not is_pseudo_terminal(port)


class SerialLine:
    """One port, owned by the thread that opened it. `take` cuts the received bytes into frames.

    Parameters
    ----------
    device : str
        How a fault names the device, e.g. "Balance".
    port : str
        Path of the port, best a name under /dev/serial/by-id that survives re-enumeration, a raw TCP port
        such as `tcp://host:9100`, or a URL of pyserial such as `rfc2217://host:port`.
    settings : LineSettings
        Line settings. On a pseudo-terminal 8N1 without RTS/CTS is used in their place, because the kernel
        refuses the others there.
    take : Take
        Takes one frame out of a buffer, see `drivers.framing`.
    echoes : bool
        Whether the line sends back what is sent to it, as a two-wire RS-485 adapter may. Then the first
        bytes behind a request that are that very request are dropped, once; a reply that equals its
        request comes behind them and stays.
    """

    def __init__(
        self, device: str, port: str, settings: LineSettings, take: Take, *, echoes: bool = False
    ) -> None:
        self.device, self.port, self.settings, self.echoes = device, port, settings, echoes
        self._take = take
        self._wire: Wire | None = None
        self._owner = 0
        self._buffer = bytearray()
        self._echo_to_come = b""
        self._send_not_before = 0.0
        self._in_flight = False
        self._unasked_bytes = 0
        self._has_transceiver = True
        self.enforced = True
        self.traced = Trace()

    @property
    def trace(self) -> deque[TraceEntry]:
        """The newest bytes that went out and came in."""
        return self.traced.entries

    def open(self) -> None:
        """Open the port for this process alone; harmless when it is open already."""
        if self._wire is not None:
            return
        self.enforced = settings_enforceable(self.port)
        self._has_transceiver = not is_pseudo_terminal(self.port)
        plain = LineSettings(baud_rate=self.settings.baud_rate, xon_xoff=self.settings.xon_xoff)
        wanted = self.settings if self._has_transceiver else plain
        try:
            self._wire = open_wire(self.port, wanted)
        except (OSError, ValueError) as error:
            raise LineLost(self.device, _why_not_opened(self.port, error)) from error
        self._owner = threading.get_ident()
        self._buffer.clear()
        self._echo_to_come, self._unasked_bytes = b"", 0

    def close(self) -> None:
        """Close the port; harmless when it is closed already."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def ask(self, request: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the one frame that answers it.

        Raises
        ------
        StrayBytes
            Bytes stood in the buffer before (then nothing was sent), or behind the reply.
        DeviceGarbled, DeviceSilent, LineLost
        """
        assert not self._in_flight, "one request in flight"
        try:
            self._in_flight = True
            stray = self.drain()
            if stray:
                raise StrayBytes(self.device, stray)
            self.send(request)
            frame = self.receive(timeout_s=timeout_s)
            self._add(self._waiting())
            if self._buffer:
                raise StrayBytes(self.device, frame + b" | " + self.drain())
            self._unasked_bytes = 0
            return frame
        finally:
            self._in_flight = False

    def send(self, request: bytes) -> None:
        """Write a request, after the rest that the device asked for."""
        wait_s = self._send_not_before - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        self.send_at_once(request)

    def send_at_once(self, request: bytes) -> None:
        """Write a request without any rest: for STOP, which waits for nothing."""
        wire = self._open_wire()
        self.traced.note("out", request)
        self._echo_to_come = request if self.echoes else b""
        self._unasked_bytes = max(0, self._unasked_bytes - REPLY_BYTES)
        try:
            wire.write(request, WRITE_TIMEOUT_S)
        except WriteStuck as error:
            raise DeviceSilent(self.device, "does not take any bytes. Check cable and power.") from error
        except OSError as error:
            raise self._lost(error) from error

    def feed(self, data: bytes, *, wait_s: float) -> int:
        """Write what the port takes of a long transmission within so long; how many bytes it took.

        Nothing is called back: who begins a transmission feeds all of it, or ends the device's waiting for
        the rest in a way that the device knows.
        """
        try:
            taken = self._open_wire().write_some(data, wait_s)
        except OSError as error:
            raise self._lost(error) from error
        if taken:
            self.traced.note("out", data[:taken], keep=FED_BYTES_KEPT)
        return taken

    def receive(self, *, timeout_s: float) -> bytes:
        """Return the next frame; bytes behind it stay in the buffer."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                frame = None if self._awaits_echo() else self._take(self._buffer)
            except BrokenFrame as error:
                self._rest_at_least(AFTER_BROKEN_S)
                raise DeviceGarbled(self.device, f"unusable bytes: {error}. Check the cable.") from error
            if frame is not None:
                return frame
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            self._add(self._read(left_s))
        if self._buffer:
            raise DeviceGarbled(
                self.device, "a reply without an end. Check the cable.", repr(bytes(self._buffer))
            )
        raise DeviceSilent(self.device, "does not answer. Check cable and power.")

    def drain(self) -> bytes:
        """Empty the receive buffer and return what stood in it."""
        self._add(self._waiting())
        stray = bytes(self._buffer)
        self._buffer.clear()
        self._echo_to_come = b""
        return stray

    def resynchronise(self, probe: bytes, is_answer: Callable[[bytes], bool], *, timeout_s: float) -> bytes:
        """Ask something harmless and drop all that comes before its answer; return what was dropped.

        To be done after every time-out and every garbled reply: a late reply must not answer the next
        question. `is_answer` must fit no reply to any other question.

        Raises
        ------
        DeviceGarbled, DeviceSilent, LineLost
            The answer did not come; the line is as doubtful as before.
        """
        dropped = self.drain()
        self.send(probe)
        deadline = time.monotonic() + timeout_s
        while True:
            frame = self.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            if is_answer(frame):
                break
            dropped += frame + b"\n"
        return dropped + self.drain()

    def rest(self, seconds: float) -> None:
        """Let the next request wait: many devices need time to turn a line round or to store a value.

        A pseudo-terminal has no transceiver to turn round; rests below 50 ms do not hold there.
        """
        if self._has_transceiver or seconds >= 0.05:
            self._send_not_before = time.monotonic() + seconds

    def _rest_at_least(self, seconds: float) -> None:
        self._send_not_before = max(self._send_not_before, time.monotonic() + seconds)

    def _awaits_echo(self) -> bool:
        """Drop the echo of the request once it is whole; true while it is still coming in."""
        echo = self._echo_to_come
        if not echo:
            return False
        if self._buffer.startswith(echo):
            del self._buffer[: len(echo)]
        elif echo.startswith(bytes(self._buffer)):
            return True
        self._echo_to_come = b""
        return False

    def _read(self, wait_s: float) -> bytes:
        try:
            return self._open_wire().read(wait_s)
        except OSError as error:
            raise self._lost(error) from error

    def _waiting(self) -> bytes:
        try:
            return self._open_wire().waiting()
        except OSError as error:
            raise self._lost(error) from error

    def _add(self, data: bytes) -> None:
        if not data:
            return
        self.traced.note("in", data)
        self._buffer += data
        self._unasked_bytes += len(data)
        if self._unasked_bytes > RECEIVE_BYTES_MAX:
            # The rest lets the kernel throw bytes away in place of this process reading them all.
            self._buffer.clear()
            self._unasked_bytes = 0
            self._rest_at_least(AFTER_FLOOD_S)
            raise LineFlooded(self.device, "floods the line with bytes. Disconnect and check it.")

    def _open_wire(self) -> Wire:
        if self._wire is None:
            raise LineLost(self.device, f"the line {self.port} is not open. Open the device first.")
        assert threading.get_ident() == self._owner, "the thread that opened a line is the only one to use it"
        return self._wire

    def _lost(self, error: OSError) -> LineLost:
        why = error.strerror or str(error)
        return LineLost(
            self.device, f"the line {self.port} is gone ({why}). Check the cable, then reconnect."
        )


def _why_not_opened(port: str, error: OSError | ValueError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EAGAIN, errno.EBUSY):
        return f"another program holds {port}. End that program, then connect again."
    if number in (errno.ENOENT, errno.ENXIO, errno.ENODEV):
        return f"there is no port {port}. Check the cable and power, or correct the name of the port."
    if number in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT):
        return f"nothing answers at {port}. Check power, network cable and address."
    if number in (errno.EACCES, errno.EPERM):
        return f"this user may not open {port}. Give it the port's group (often dialout)."
    return f"cannot open {port} ({error}). Check the cable and that no other program uses it."
