"""The unit's half of EI-Bisynch, for the Eurotherm twin: two-letter names in place of registers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Protocol

from drivers.framing import ACK, EOT, ETX, NAK, bcc, bcc_block
from drivers.modbus import READ_HOLDING
from drivers.simulated.modbus_slave import ModbusException

# Names and errors of the real unit beyond PV, SL, OP and EE are second-hand, see the device's page.
REGISTERS = {"PV": 1, "SL": 2, "OP": 4}
OUTPUT_STEP = Decimal("0.1")
NO_ERROR, UNKNOWN_NAME, WRONG_CHECK, READ_ONLY, WRONG_VALUE = range(5)
FORGOTTEN_AFTER_S = 0.25
REQUEST_BYTES_MAX = 64
_READ = rb"\x04([0-9])\1([0-9])\2(?P<name>[0-9A-Za-z]{2,3})\x05"
_WRITE = rb"\x04([0-9])\4([0-9])\5\x02(?P<text>[\x20-\x7e]*)\x03(?P<check>[\x00-\xff])"
_REQUEST = re.compile(_READ + b"|" + _WRITE)


class Bank(Protocol):
    """What a unit holds, as the Modbus slave asks for it too; each may raise `ModbusException`."""

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        """Return registers."""

    def write_words(self, start: int, words: Sequence[int]) -> None:
        """Write registers."""


class BisynchSlave:
    """Finds the requests in a stream of bytes and answers those to its address.

    A name that it does not know is answered with EOT. What is no whole request stays unanswered.
    """

    def __init__(self, address: int, decimals: int, bank: Bank) -> None:
        group, unit = divmod(address, 10)
        self._address = f"{group}{unit}".encode("ascii")
        self._bank = bank
        self._step = Decimal(1).scaleb(-decimals)
        self._error = NO_ERROR
        self._buffer = bytearray()
        self._last_s = 0.0

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes that arrived and return the replies."""
        if now_s - self._last_s > FORGOTTEN_AFTER_S:
            self._buffer.clear()
        self._last_s = now_s
        self._buffer += data
        replies = []
        while (request := _REQUEST.search(bytes(self._buffer))) is not None:
            del self._buffer[: request.end()]
            group, unit = (request[1], request[2]) if request["name"] else (request[4], request[5])
            if group + unit == self._address:
                replies.append(self._answer(request))
        del self._buffer[:-REQUEST_BYTES_MAX]
        return replies

    def forget(self) -> None:
        """Drop a request that has begun and the last error: the power is lost."""
        self._buffer.clear()
        self._error = NO_ERROR

    def _answer(self, request: re.Match[bytes]) -> bytes:
        if request["name"] is not None:
            return self._told(request["name"].decode("ascii"))
        self._error = self._taken(request["text"].decode("ascii"), request["check"][0])
        return bytes((NAK if self._error else ACK,))

    def _told(self, name: str) -> bytes:
        if name == "EE":
            return bcc_block(f"EE>{self._error:04X}".encode("ascii"))
        if name not in REGISTERS:
            self._error = UNKNOWN_NAME
            return bytes((EOT,))
        word = self._bank.read_words(READ_HOLDING, REGISTERS[name], 1)[0]
        value = (word - 0x10000 if word & 0x8000 else word) * self._step_of(name)
        return bcc_block(f"{name}{value}".encode("ascii"))

    def _taken(self, text: str, check: int) -> int:
        """Take a value; return the number of the error, 0 when there is none."""
        name = text[:2]
        if bcc(text.encode("ascii") + bytes((ETX,))) != check:
            return WRONG_CHECK
        if name not in REGISTERS:
            return UNKNOWN_NAME
        try:
            steps = round(Decimal(text[2:].strip()) / self._step_of(name))
            if not -0x8000 <= steps <= 0x7FFF:
                return WRONG_VALUE
            self._bank.write_words(REGISTERS[name], [steps & 0xFFFF])
        except (InvalidOperation, ValueError, OverflowError):
            return WRONG_VALUE
        except ModbusException:
            return WRONG_VALUE if name == "SL" else READ_ONLY
        return NO_ERROR

    def _step_of(self, name: str) -> Decimal:
        return OUTPUT_STEP if name == "OP" else self._step
