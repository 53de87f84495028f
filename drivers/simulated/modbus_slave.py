"""The server's half of Modbus RTU, for twins: a stream of bytes in, replies out."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Protocol

from drivers.modbus import (
    BROADCAST,
    COILS_MAX,
    READ_COILS,
    READ_INPUTS,
    READS,
    REFUSAL,
    REGISTERS_MAX,
    WRITE_COIL,
    WRITE_COILS,
    WRITE_REGISTER,
    WRITE_REGISTERS,
    bits_of,
    frame,
    packed_bits,
    whole,
    words_of,
)

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
FRAME_BYTES_MAX = 256
# A frame ends after 3.5 characters of silence; a pseudo-terminal and a USB adapter split frames by more.
FORGOTTEN_AFTER_S = 0.25


class ModbusException(Exception):
    """The request cannot be carried out; `code` is what the master is told."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code}")


class Bank(Protocol):
    """What a unit holds. Every method may raise `ModbusException`."""

    FUNCTIONS: frozenset[int]

    def read_bits(self, function: int, start: int, count: int) -> Sequence[bool]:
        """Return coils (function 1) or inputs (2)."""

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        """Return holding (function 3) or input registers (4), each 0 to 65535."""

    def write_bits(self, start: int, states: Sequence[bool]) -> None:
        """Switch coils."""

    def write_words(self, start: int, words: Sequence[int]) -> None:
        """Write registers, all or none."""


class ModbusSlave:
    """Finds the requests in a stream of bytes and answers those to its address.

    A whole request is answered at once. Frames with a wrong checksum are nobody's and stay unanswered, as
    do frames to other addresses; a broadcast write is carried out without a word.
    """

    def __init__(self, address: int, bank: Bank) -> None:
        self.address, self._bank = address, bank
        self._buffer = bytearray()
        self._last_s = 0.0

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes that arrived and return the replies."""
        if now_s - self._last_s > FORGOTTEN_AFTER_S:
            self._buffer.clear()
        self._last_s = now_s
        self._buffer += data
        replies: list[bytes] = []
        while (request := self._take_request()) is not None:
            replies += self._answer(request)
        return replies

    def forget(self) -> None:
        """Drop a request that has begun: the power is lost."""
        self._buffer.clear()

    def _take_request(self) -> bytes | None:
        """Take the first whole frame and drop what stands before it."""
        buffer = self._buffer
        for at in range(len(buffer) - 3):
            length = _request_length(buffer[at:])
            if length is not None and whole(buffer[at : at + length]):
                request = bytes(buffer[at : at + length])
                del buffer[: at + length]
                return request
        del buffer[:-FRAME_BYTES_MAX]
        return None

    def _answer(self, request: bytes) -> list[bytes]:
        address, pdu = request[0], request[1:-2]
        if address not in (self.address, BROADCAST):
            return []
        try:
            reply = self._carried_out(pdu)
        except ModbusException as refusal:
            reply = bytes((pdu[0] | REFUSAL, refusal.code))
        return [] if address == BROADCAST else [frame(self.address, reply)]

    def _carried_out(self, pdu: bytes) -> bytes:
        function = pdu[0]
        if function not in self._bank.FUNCTIONS:
            raise ModbusException(ILLEGAL_FUNCTION)
        if len(pdu) < 5:
            raise ModbusException(ILLEGAL_VALUE)
        start, value = struct.unpack(">HH", pdu[1:5])
        if function in READS:
            data = self._read(function, start, value)
            return bytes((function, len(data))) + data
        self._write(function, start, value, pdu[6:])
        return pdu[:5]

    def _read(self, function: int, start: int, count: int) -> bytes:
        bits = function in (READ_COILS, READ_INPUTS)
        if not 1 <= count <= (COILS_MAX if bits else REGISTERS_MAX):
            raise ModbusException(ILLEGAL_VALUE)
        if bits:
            return packed_bits(self._bank.read_bits(function, start, count))
        words = self._bank.read_words(function, start, count)
        return struct.pack(f">{count}H", *words)

    def _write(self, function: int, start: int, value: int, data: bytes) -> None:
        if function == WRITE_COIL:
            if value not in (0x0000, 0xFF00):
                raise ModbusException(ILLEGAL_VALUE)
            self._bank.write_bits(start, [value == 0xFF00])
        elif function == WRITE_REGISTER:
            self._bank.write_words(start, [value])
        elif function == WRITE_COILS:
            if not 1 <= value <= COILS_MAX or len(data) != (value + 7) // 8:
                raise ModbusException(ILLEGAL_VALUE)
            self._bank.write_bits(start, bits_of(data, value))
        elif function == WRITE_REGISTERS:
            if not 1 <= value <= REGISTERS_MAX or len(data) != 2 * value:
                raise ModbusException(ILLEGAL_VALUE)
            self._bank.write_words(start, words_of(data))
        else:
            raise ModbusException(ILLEGAL_FUNCTION)


def _request_length(head: bytearray) -> int | None:
    """Return how long a request is by its function; for an unknown one, all that is there."""
    function = head[1]
    if function in READS or function in (WRITE_COIL, WRITE_REGISTER):
        length = 8
    elif function in (WRITE_COILS, WRITE_REGISTERS):
        if len(head) < 7:
            return None
        length = 9 + head[6]
    else:
        length = len(head)
    return length if len(head) >= length else None
