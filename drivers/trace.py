"""The bytes of a line: each exchange has a number, and each reading knows the exchanges it came from."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from drivers.reading import Reading

if TYPE_CHECKING:
    from drivers.roles import Driver

ENTRIES_MAX = 512
ENTRY_BYTES_MAX = 256  # kept of one entry; a flood must not fill the memory
SPOOL_ENTRIES_MAX = 8192
EXCHANGES_MAX = 32  # named by one reading
REFERENCE_BYTES_MAX = 64  # of the reply that a record quotes


@dataclass(frozen=True, slots=True)
class TraceEntry:
    """Bytes that went out or came in, and when.

    `exchange` is the number of the request that they are or follow; 0 stands before the first one.
    `size` is how many bytes there were, of which `data` keeps the first.
    """

    monotonic_ns: int
    direction: Literal["out", "in"]
    data: bytes
    exchange: int = 0
    size: int = 0


class Trace:
    """The newest bytes of one line, in memory and bounded.

    `spool`, where somebody set one, gets every entry as well; whoever set it empties it.
    """

    def __init__(self) -> None:
        self.entries: deque[TraceEntry] = deque(maxlen=ENTRIES_MAX)
        self.exchange = 0
        self.spool: deque[TraceEntry] | None = None

    def note(self, direction: Literal["out", "in"], data: bytes, *, keep: int = ENTRY_BYTES_MAX) -> None:
        """Keep bytes, the first `keep` of them; a request begins the next exchange."""
        if direction == "out":
            self.exchange += 1
        entry = TraceEntry(time.monotonic_ns(), direction, bytes(data[:keep]), self.exchange, len(data))
        self.entries.append(entry)
        if self.spool is not None:
            self.spool.append(entry)

    def reference(self, exchanges: tuple[int, ...]) -> str:
        """Return how a record names the bytes of a reading: the numbers, and the last reply in hex."""
        if not exchanges:
            return ""
        last = exchanges[-1]
        replies = [one.data for one in self.since(last - 1) if one.exchange == last and one.direction == "in"]
        numbers = str(last) if exchanges[0] == last else f"{exchanges[0]}-{last}"
        return f"{numbers} {b''.join(replies)[:REFERENCE_BYTES_MAX].hex()}".strip()

    def since(self, exchange: int) -> list[TraceEntry]:
        """Return what is kept of the exchanges behind that number."""
        newer: list[TraceEntry] = []
        for entry in reversed(self.entries):
            if entry.exchange <= exchange:
                break
            newer.append(entry)
        return newer[::-1]


def read_traced(driver: Driver) -> list[Reading]:
    """Read a device and let each reading name the exchanges that it came from."""
    trace = driver.line.traced
    before = trace.exchange
    readings = driver.read()
    return linked(readings, trace.since(before))


def linked(readings: Iterable[Reading], entries: list[TraceEntry]) -> list[Reading]:
    """Return the readings, each with its exchanges: those whose bytes came since the reading before it.

    Several readings out of one reply share its exchange.
    """
    found: list[Reading] = []
    place = 0
    exchanges: tuple[int, ...] = ()
    for reading in readings:
        own: list[int] = []
        while place < len(entries) and entries[place].monotonic_ns <= reading.received_ns:
            number = entries[place].exchange
            if not own or own[-1] != number:
                own.append(number)
            place += 1
        exchanges = tuple(own[-EXCHANGES_MAX:]) if own else exchanges
        found.append(replace(reading, exchanges=exchanges))
    return found


def shown_bytes(data: bytes) -> str:
    """Return bytes as people read them: printable ASCII as it is, the rest in angle brackets."""
    names = {0x02: "STX", 0x03: "ETX", 0x0A: "LF", 0x0D: "CR", 0x11: "XON", 0x13: "XOFF"}
    return "".join(
        chr(byte) if 0x20 <= byte <= 0x7E and byte not in b"<>" else f"<{names.get(byte, f'{byte:02X}')}>"
        for byte in data
    )
