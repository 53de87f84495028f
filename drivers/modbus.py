"""Modbus RTU: checksum, requests, replies, and one unit on a serial line.

A reply carries address, function and checksum, but no number: a late reply to an earlier question of the
same shape (function and length) cannot be told from the right one. So nothing is asked while a reply may
still be on its way: after anything unexpected a question whose reply has a shape of its own goes first.
"""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from drivers.faults import DeviceGarbled, DeviceRefused, DeviceSilent, LineLost, StrayBytes, WrongDevice
from drivers.framing import BrokenFrame
from drivers.line import LineSettings, SerialLine

READ_COILS, READ_INPUTS, READ_HOLDING, READ_INPUT_REGISTERS = 1, 2, 3, 4
WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS = 5, 6, 15, 16
READS = frozenset((READ_COILS, READ_INPUTS, READ_HOLDING, READ_INPUT_REGISTERS))
REFUSAL = 0x80  # added to the function of a reply that is an exception
BROADCAST = 0
REGISTERS_MAX, COILS_MAX = 125, 2000
EXCEPTIONS = {
    1: "it does not know this function",
    2: "it has no such address",
    3: "it cannot have this value",
    4: "it failed while doing it",
    5: "it needs more time",
    6: "it is busy",
    8: "its memory is damaged",
    10: "the gateway has no path to it",
    11: "the gateway gets no answer from it",
}
TRANSIENT = frozenset((5, 6, 11))  # worth asking again
TRANSIENT_WAIT_S = 0.05
SILENCE_CHARACTERS = 3.5
SILENCE_FAST_S = 0.00175  # fixed above 19200 baud
TURNAROUND_S = 0.2  # after a broadcast
EXCHANGE_S = 0.3
ALIKE_S = 0.05  # how long a second copy of a reply may be on its way
QUIET_S = 0.01


class ModbusRefused(DeviceRefused):
    """The unit answered with an exception; nothing was done. `code` is the exception's number."""

    def __init__(self, device: str, code: int) -> None:
        self.code = code
        words = EXCEPTIONS.get(code, "it gives a reason of its own")
        super().__init__(device, f"refused the request: {words} (exception {code}).")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0xA001 if byte & 1 else byte >> 1
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def crc16_modbus(data: bytes | bytearray) -> int:
    """Return the CRC-16 of Modbus: polynomial 0x8005 reflected, start 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def frame(address: int, pdu: bytes) -> bytes:
    """Return a frame as it goes over the line: address, function and data, checksum low byte first."""
    body = bytes((address,)) + pdu
    return body + crc16_modbus(body).to_bytes(2, "little")


def whole(data: bytes | bytearray) -> bool:
    """Tell whether these bytes end with the checksum of those before."""
    return len(data) >= 4 and crc16_modbus(data[:-2]) == int.from_bytes(data[-2:], "little")


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a unit. `reply_bytes` is the byte count that the reply to a read must have."""

    pdu: bytes
    reply_bytes: int = 0

    @property
    def function(self) -> int:
        """The function's number."""
        return self.pdu[0]

    @property
    def is_read(self) -> bool:
        """Whether it changes nothing."""
        return self.function in READS

    def reply_start(self, address: int) -> bytes:
        """Return how a reply begins: for a write this is all of it but the checksum."""
        if self.is_read:
            return bytes((address, self.function, self.reply_bytes))
        return bytes((address,)) + self.pdu[:5]

    @property
    def reply_length(self) -> int:
        """Length of the whole reply in bytes, when it is no exception."""
        return 5 + self.reply_bytes if self.is_read else 8


def read_registers(start: int, count: int, function: int = READ_HOLDING) -> Request:
    """Ask for registers (function 3, or 4 for input registers)."""
    assert 1 <= count <= REGISTERS_MAX, count
    return Request(struct.pack(">BHH", function, start, count), 2 * count)


def read_coils(start: int, count: int, function: int = READ_COILS) -> Request:
    """Ask for coils (function 1, or 2 for inputs)."""
    assert 1 <= count <= COILS_MAX, count
    return Request(struct.pack(">BHH", function, start, count), (count + 7) // 8)


def write_coil(coil: int, on: bool) -> Request:
    """Switch one coil."""
    return Request(struct.pack(">BHH", WRITE_COIL, coil, 0xFF00 if on else 0))


def write_coils(start: int, states: Sequence[bool]) -> Request:
    """Switch coils that follow each other."""
    data = packed_bits(states)
    return Request(struct.pack(">BHHB", WRITE_COILS, start, len(states), len(data)) + data)


def write_register(register: int, word: int) -> Request:
    """Write one register; `word` is 0 to 65535."""
    return Request(struct.pack(">BHH", WRITE_REGISTER, register, word))


def write_registers(start: int, words: Sequence[int]) -> Request:
    """Write registers that follow each other."""
    data = struct.pack(f">{len(words)}H", *words)
    return Request(struct.pack(">BHHB", WRITE_REGISTERS, start, len(words), len(data)) + data)


def packed_bits(states: Sequence[bool]) -> bytes:
    """Return bits as bytes, the first in the lowest bit of the first byte."""
    data = bytearray((len(states) + 7) // 8)
    for index, state in enumerate(states):
        data[index // 8] |= state << index % 8
    return bytes(data)


def bits_of(data: bytes, count: int) -> tuple[bool, ...]:
    """Return the first bits out of packed bytes."""
    return tuple(bool(data[index // 8] >> index % 8 & 1) for index in range(count))


def words_of(data: bytes) -> tuple[int, ...]:
    """Return registers out of bytes, each 0 to 65535."""
    return struct.unpack(f">{len(data) // 2}H", data)


def signed(word: int) -> int:
    """Return a register as a signed number."""
    return word - 0x10000 if word & 0x8000 else word


def float_low_word_first(words: Sequence[int]) -> float:
    """Return a float out of two registers, low word first (Hamilton, Vaisala)."""
    value: float = struct.unpack(">f", struct.pack(">HH", words[1], words[0]))[0]
    return value


def words_low_first(value: float) -> tuple[int, int]:
    """Return a float as two registers, low word first."""
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return low, high


def take_reply(buffer: bytearray, address: int, request: Request) -> bytes | None:
    """Take the reply to a request, an exception too, with all that stands before it.

    Whole frames of another shape, as a late reply to another question is, are dropped with it.

    Returns
    -------
    bytes or None
        The whole frame with its checksum; None while it is not complete.

    Raises
    ------
    BrokenFrame
        A reply stands there whole and its checksum is wrong; the buffer is emptied.
    """
    shapes = (
        (request.reply_start(address), request.reply_length),
        (bytes((address, request.function | REFUSAL)), 5),
    )
    found = [
        (at, length)
        for start, length in shapes
        for at in _positions(buffer, start)
        if len(buffer) >= at + length and whole(buffer[at : at + length])
    ]
    if found:
        at, length = min(found)
        reply = bytes(buffer[at : at + length])
        del buffer[: at + length]
        return reply
    if any(buffer.startswith(start) and len(buffer) >= length for start, length in shapes):
        buffer.clear()
        raise BrokenFrame("a reply with a wrong checksum")
    return None


def _positions(buffer: bytearray, start: bytes) -> list[int]:
    positions, at = [], buffer.find(start)
    while at >= 0:
        positions.append(at)
        at = buffer.find(start, at + 1)
    return positions


def silence_s(settings: LineSettings) -> float:
    """Return the rest between two frames: 3.5 characters, fixed above 19200 baud."""
    if settings.baud_rate > 19200:
        return SILENCE_FAST_S
    bits = 1 + settings.byte_bits + (settings.parity != "N") + settings.stop_bits
    return SILENCE_CHARACTERS * bits / settings.baud_rate


def line_settings(words: str) -> LineSettings:
    """Return what a setting such as "9600-8N1" says of the line."""
    return LineSettings.told(words)


class ModbusUnit:
    """One unit on a line: one request in flight, each reply checked, the line brought in step when in doubt.

    Parameters
    ----------
    device : str
        How a fault names the device.
    port, settings
        As `SerialLine` takes them.
    address : int
        1 to 247, some devices more.
    probes : tuple of Request
        Harmless reads whose replies look like no other reply that is ever asked for (function and byte
        count differ); used in turn to bring the line in step. An exception is a reply too.
    """

    def __init__(
        self, device: str, port: str, settings: LineSettings, *, address: int, probes: tuple[Request, ...]
    ) -> None:
        assert probes and all(probe.is_read for probe in probes)
        self.device, self.address = device, address
        self.line = SerialLine(device, port, settings, self._take)
        self.echoes = False
        self._silence_s = silence_s(settings)
        self._probes = cycle(probes)
        self._asked: Request | None = None
        self._echo_to_come = b""
        self._in_doubt = True
        self._writes = 0
        self._replied: dict[tuple[int, int], tuple[float, bytes, int]] = {}

    def open(self, *, within_s: float) -> None:
        """Open the line, find out whether it echoes, and make sure that the unit answers.

        Raises
        ------
        WrongDevice
            Something answers, and it is no Modbus unit with this address.
        DeviceSilent
        """
        self.line.open()
        self._in_doubt, self.echoes = True, False
        deadline = time.monotonic() + within_s
        heard = False
        while True:
            try:
                self._resynchronise(EXCHANGE_S)
                return
            except LineLost:
                self.line.close()
                raise
            except (DeviceSilent, DeviceGarbled) as fault:
                heard = heard or isinstance(fault, DeviceGarbled)
                if time.monotonic() < deadline:
                    continue
                self.line.close()
                if heard:
                    words = f"what answers is no Modbus unit {self.address}. Check port and address."
                    raise WrongDevice(self.device, words) from fault
                raise

    def close(self) -> None:
        """Let go of the line."""
        self.line.close()

    def ask(self, request: Request, deadline: float | None = None) -> bytes:
        """Send a request and return the data of its reply: what was read, or the fields written.

        Raises
        ------
        ModbusRefused
            The unit answered with an exception.
        DeviceSilent, DeviceGarbled
            Whether a write was carried out is unknown: read before any retry.
        """
        if self._in_doubt or self.line.drain():
            self._resynchronise(self._wait_s(deadline))
        self._wait_out_copies(request)
        return self._exchange(request, self._wait_s(deadline))

    def query(self, request: Request, deadline: float) -> bytes:
        """Ask what changes nothing, again where a reply was lost, until `deadline` (monotonic seconds).

        Raises
        ------
        ModbusRefused, DeviceSilent, DeviceGarbled
        """
        assert request.is_read, request
        while True:
            try:
                return self.ask(request, deadline)
            except ModbusRefused as refusal:
                if refusal.code not in TRANSIENT or time.monotonic() + TRANSIENT_WAIT_S >= deadline:
                    raise
                time.sleep(TRANSIENT_WAIT_S)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if time.monotonic() >= deadline:
                    raise

    def _wait_s(self, deadline: float | None) -> float:
        left_s = EXCHANGE_S if deadline is None else deadline - time.monotonic()
        if left_s <= 0:
            raise DeviceSilent(self.device, "does not answer in time. Check cable and power.")
        return min(EXCHANGE_S, left_s)

    def registers(
        self, start: int, count: int, deadline: float, function: int = READ_HOLDING
    ) -> tuple[int, ...]:
        """Return registers, each 0 to 65535; see `query`."""
        return words_of(self.query(read_registers(start, count, function), deadline))

    def coils(self, start: int, count: int, deadline: float, function: int = READ_COILS) -> tuple[bool, ...]:
        """Return coils; see `query`."""
        return bits_of(self.query(read_coils(start, count, function), deadline), count)

    def tell_at_once(self, request: Request, *, timeout_s: float = EXCHANGE_S) -> bytes:
        """Send a request with nothing before it, for STOP; what lies on the line is dropped."""
        self.line.drain()
        return self._exchange(request, timeout_s, at_once=True)

    def broadcast(self, request: Request) -> None:
        """Tell all units of the line; none answers."""
        assert not request.is_read, request
        self._writes += 1
        self.line.drain()
        self.line.send(frame(BROADCAST, request.pdu))
        self._in_doubt = True  # an echo may come, and nothing confirms it
        self.line.rest(TURNAROUND_S)

    def doubt(self) -> None:
        """Bring the line in step before the next request: a reply came that cannot be right."""
        self._in_doubt = True

    def _exchange(self, request: Request, timeout_s: float, *, at_once: bool = False) -> bytes:
        sent = frame(self.address, request.pdu)
        self._in_doubt = True
        self._asked, self._echo_to_come = request, sent
        self._writes += not request.is_read
        (self.line.send_at_once if at_once else self.line.send)(sent)
        reply = self.line.receive(timeout_s=timeout_s)
        self._check_nothing_follows(reply)
        self.line.rest(self._silence_s)
        refused = bool(reply[1] & REFUSAL)
        shape = (reply[1], 0 if refused else request.reply_bytes)
        self._replied[shape] = (time.monotonic(), request.pdu, self._writes)
        if refused:
            raise ModbusRefused(self.device, reply[2])
        return reply[3:-2] if request.is_read else reply[2:6]

    def _check_nothing_follows(self, reply: bytes) -> None:
        """A second copy of the reply is harmless; anything else makes this one doubtful too."""
        rest = self.line.drain()
        if not rest:
            self._in_doubt = False
            return
        if rest.replace(reply, b""):
            raise StrayBytes(self.device, reply + b" | " + rest)

    def _take(self, buffer: bytearray) -> bytes | None:
        """Take the reply to the request in flight, behind the echo where the line has one."""
        request, echo = self._asked, self._echo_to_come
        if request is None:
            return None
        reply_is_echo = request.function in (WRITE_COIL, WRITE_REGISTER)
        if echo and (self.echoes or not reply_is_echo):
            if len(buffer) < len(echo) and echo.startswith(buffer):
                return None
            if buffer.startswith(echo):
                del buffer[: len(echo)]
                self._echo_to_come, self.echoes = b"", True
            elif not reply_is_echo and buffer:
                self.echoes = False
        return take_reply(buffer, self.address, request)

    def _resynchronise(self, timeout_s: float) -> None:
        """Wait until the line is quiet, drop what came, and ask what only one question answers."""
        quiet_by = time.monotonic() + timeout_s
        while self.line.drain() and time.monotonic() < quiet_by:
            time.sleep(QUIET_S)
        # An exception is in step as well: this unit lacks what the probe asks for.
        with contextlib.suppress(ModbusRefused):
            self._exchange(next(self._probes), timeout_s)

    def _wait_out_copies(self, request: Request) -> None:
        """Let a second copy of an earlier reply of this shape come in before this request goes out.

        The same question again, with nothing written in between, may get the copy: it is as true.
        """
        # A reply to a write names what was written; its exception does not.
        shapes = [(request.function | REFUSAL, 0)]
        if request.is_read:
            shapes.append((request.function, request.reply_bytes))
        alike = [self._replied[shape] for shape in shapes if shape in self._replied]
        copies_until_s = max(
            (
                replied_s + ALIKE_S
                for replied_s, pdu, writes in alike
                if pdu != request.pdu or (request.is_read and writes != self._writes)
            ),
            default=0.0,
        )
        wait_s = copies_until_s - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
            self.line.drain()
