"""A serial line: opened exclusively, one request in flight, every wait bounded, every byte traced.

Rules that hold for each protocol here: nothing is sent before the reply or its time-out; what lies in
the receive buffer before a request, or behind a reply, is nobody's answer and is reported as such.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import serial

from drivers.faults import DeviceGarbled, DeviceSilent, LineLost, StrayBytes
from drivers.framing import BrokenFrame, Take

READ_SLICE_S = 0.01  # how late a time-out may be noticed
WRITE_TIMEOUT_S = 0.2
TRACE_ENTRIES = 512
RECEIVE_BYTES_MAX = 4096
AFTER_BROKEN_S = 0.01  # a device that floods the line is not asked as fast as a processor can


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSettings:
    """How bytes travel; see the device's page."""

    baud_rate: int
    byte_bits: int = 8
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: int = 1
    rts_cts: bool = False


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """Bytes that went out or came in, and when."""

    monotonic_ns: int
    direction: Literal["out", "in"]
    data: bytes


def settings_enforceable(port: str) -> bool:
    """Tell whether a port carries parity and data bits; a pseudo-terminal does neither."""
    return not str(Path(port).resolve()).startswith("/dev/pts/")


class SerialLine:
    """One port, owned by one thread. `take` cuts the received bytes into frames.

    Parameters
    ----------
    device : str
        How a fault names the device, e.g. "Balance".
    port : str
        Path of the port, best a name under /dev/serial/by-id that survives re-enumeration.
    settings : LineSettings
        Line settings. On a pseudo-terminal 8N1 without handshake is used in their place, because
        the kernel refuses the others there.
    take : Take
        Takes one frame out of a buffer, see `drivers.framing`.
    """

    def __init__(self, device: str, port: str, settings: LineSettings, take: Take) -> None:
        self.device, self.port, self.settings = device, port, settings
        self._take = take
        self._serial: serial.Serial | None = None
        self._buffer = bytearray()
        self._send_not_before = 0.0
        self._in_flight = False
        self.enforced = True
        self.trace: deque[TraceEntry] = deque(maxlen=TRACE_ENTRIES)

    def open(self) -> None:
        """Open the port for this process alone; harmless when it is open already."""
        if self._serial is not None:
            return
        self.enforced = settings_enforceable(self.port)
        wanted = self.settings if self.enforced else LineSettings(baud_rate=self.settings.baud_rate)
        try:
            self._serial = serial.Serial(
                port=self.port,
                baudrate=wanted.baud_rate,
                bytesize=wanted.byte_bits,
                parity=wanted.parity,
                stopbits=wanted.stop_bits,
                rtscts=wanted.rts_cts,
                timeout=READ_SLICE_S,
                write_timeout=WRITE_TIMEOUT_S,
                exclusive=True,
            )
        except (OSError, ValueError) as error:
            words = f"cannot open {self.port} ({error}). Check the cable and that no other program uses it."
            raise LineLost(self.device, words) from error
        self._buffer.clear()

    def close(self) -> None:
        """Close the port; harmless when it is closed already."""
        port, self._serial = self._serial, None
        if port is not None:
            port.close()

    def ask(self, request: bytes, *, timeout_s: float) -> bytes:
        """Send a request and return the one frame that answers it.

        Raises
        ------
        StrayBytes
            Bytes stood in the buffer before (then nothing was sent), or behind the reply.
        DeviceGarbled, DeviceSilent, LineLost
        """
        assert not self._in_flight, "one request in flight"
        self._in_flight = True
        try:
            stray = self.drain()
            if stray:
                raise StrayBytes(self.device, stray)
            self.send(request)
            frame = self.receive(timeout_s=timeout_s)
            self._collect_waiting()
            if self._buffer:
                raise StrayBytes(self.device, frame + b" | " + self.drain())
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
        port = self._open_port()
        self._note("out", request)
        try:
            port.write(request)
        except serial.SerialTimeoutException as error:
            raise DeviceSilent(self.device, "does not take any bytes. Check cable and power.") from error
        except OSError as error:
            raise self._lost(error) from error

    def receive(self, *, timeout_s: float) -> bytes:
        """Return the next frame; bytes behind it stay in the buffer."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                frame = self._take(self._buffer)
            except BrokenFrame as error:
                self._send_not_before = max(self._send_not_before, time.monotonic() + AFTER_BROKEN_S)
                raise DeviceGarbled(self.device, f"unusable bytes: {error}. Check the cable.") from error
            if frame is not None:
                return frame
            if time.monotonic() >= deadline:
                break
            self._collect()
        if self._buffer:
            raise DeviceGarbled(
                self.device, "a reply without an end. Check the cable.", repr(bytes(self._buffer))
            )
        raise DeviceSilent(self.device, "does not answer. Check cable and power.")

    def drain(self) -> bytes:
        """Empty the receive buffer and return what stood in it."""
        self._collect_waiting()
        stray = bytes(self._buffer)
        self._buffer.clear()
        return stray

    def rest(self, seconds: float) -> None:
        """Let the next request wait: many devices need time to turn a line round or to store a value.

        A pseudo-terminal has no transceiver to turn round; rests below 50 ms do not hold there.
        """
        if self.enforced or seconds >= 0.05:
            self._send_not_before = time.monotonic() + seconds

    def _collect(self) -> None:
        """Wait for bytes, at most one slice, and take all that came with them."""
        port = self._open_port()
        try:
            data = port.read(1)
            if data:
                data += port.read(min(port.in_waiting, RECEIVE_BYTES_MAX))
        except OSError as error:
            raise self._lost(error) from error
        self._add(data)

    def _collect_waiting(self) -> None:
        port = self._open_port()
        try:
            data = port.read(min(port.in_waiting, RECEIVE_BYTES_MAX))
        except OSError as error:
            raise self._lost(error) from error
        self._add(data)

    def _add(self, data: bytes) -> None:
        if not data:
            return
        self._note("in", data)
        self._buffer += data
        if len(self._buffer) > RECEIVE_BYTES_MAX:
            self._buffer.clear()
            raise DeviceGarbled(self.device, "floods the line with bytes. Disconnect and check it.")

    def _note(self, direction: Literal["out", "in"], data: bytes) -> None:
        self.trace.append(TraceEntry(time.monotonic_ns(), direction, bytes(data)))

    def _open_port(self) -> serial.Serial:
        if self._serial is None:
            raise LineLost(self.device, f"the line {self.port} is not open. Open the device first.")
        return self._serial

    def _lost(self, error: OSError) -> LineLost:
        return LineLost(
            self.device, f"the line {self.port} is gone ({error}). Check the cable, then reconnect."
        )
