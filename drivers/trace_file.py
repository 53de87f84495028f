"""Traces kept in files: two of at most 1 MiB a device, written beside the polling and never by it.

One line a piece of bytes: number of the exchange, `>` out or `<` in, monotonic microseconds, how many
bytes there were, and the first of them in hex. A line that begins with `#` opens a run of a host and
tells its wall clock, one that begins with `!` is a fault.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from drivers.trace import SPOOL_ENTRIES_MAX, Trace, TraceEntry

FILE_BYTES_MAX = 1024 * 1024
WRITE_EVERY_S = 1.0
FAULTS_WAITING_MAX = 64
LINE_BYTES_MAX = 2048

_logger = logging.getLogger("device_host")


class TraceUnreadable(ValueError):
    """A file that is no trace."""


@dataclass(frozen=True, slots=True)
class Noted:
    """One line of a trace file: bytes, a fault, or the beginning of a run."""

    entry: TraceEntry | None = None
    fault: dict[str, Any] | None = None
    run: dict[str, Any] | None = None


class TraceKeeper:
    """Writes what a line notes into files, in a thread of its own.

    Parameters
    ----------
    trace : Trace
        Of the line; its spool is taken.
    folder : Path
        Made when it is not there. `DEVICE.trace` is the newer file, `DEVICE.trace.1` the older one.
    device : str
        The device's id.
    """

    def __init__(self, trace: Trace, folder: Path, device: str) -> None:
        self.run = f"{int(time.time())}-{os.getpid()}"
        self._path = folder / f"{device}.trace"
        self._header = {
            "device": device,
            "run": self.run,
            "utc": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "monotonic_ns": time.monotonic_ns(),
        }
        self._spool: deque[TraceEntry] = deque(maxlen=SPOOL_ENTRIES_MAX)
        self._faults: deque[dict[str, Any]] = deque(maxlen=FAULTS_WAITING_MAX)
        self._wake = threading.Event()
        self._ending = False
        trace.spool = self._spool
        self._thread = threading.Thread(target=self._keep, daemon=True, name="trace")
        self._thread.start()

    def fault(self, kind: str, words: str) -> None:
        """Note a fault behind the bytes that led to it, and write both now."""
        self._faults.append({"monotonic_ns": time.monotonic_ns(), "kind": kind, "words": words})
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Give what was noted a moment to be written."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _keep(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write([f"# {json.dumps(self._header)}"])
            while not self._ending:
                self._wake.wait(WRITE_EVERY_S)
                self._wake.clear()
                self._write(self._lines())
        except OSError as error:
            # A full disk must never cost a reading: the ring in memory goes on.
            _logger.warning("the trace is not kept in %s: %s", self._path, error)

    def _lines(self) -> list[str]:
        lines: list[str] = []
        faults = [self._faults.popleft() for _ in range(len(self._faults))]
        for _ in range(len(self._spool)):
            entry = self._spool.popleft()
            while faults and faults[0]["monotonic_ns"] < entry.monotonic_ns:
                lines.append(f"! {json.dumps(faults.pop(0))}")
            sign = ">" if entry.direction == "out" else "<"
            lines.append(
                f"{entry.exchange} {sign} {entry.monotonic_ns // 1000} {entry.size} {entry.data.hex()}"
            )
        return lines + [f"! {json.dumps(fault)}" for fault in faults]

    def _write(self, lines: list[str]) -> None:
        """Add lines; where one no longer fits, the file becomes the older one and a new one begins."""
        size = self._path.stat().st_size if self._path.exists() else 0
        pieces: list[bytes] = []
        for line in (f"{line}\n".encode() for line in lines):
            if size + len(line) > FILE_BYTES_MAX:
                self._append(pieces)
                self._path.replace(self._path.with_name(self._path.name + ".1"))
                pieces = [f"# {json.dumps(self._header)}\n".encode()]
                size = len(pieces[0])
            pieces.append(line)
            size += len(line)
        self._append(pieces)

    def _append(self, pieces: list[bytes]) -> None:
        if pieces:
            with self._path.open("ab") as file:
                file.write(b"".join(pieces))


def noted_in(path: Path) -> Iterator[Noted]:
    """Read a trace file, line by line.

    Raises
    ------
    TraceUnreadable
        A line that no trace has; the message says which.
    OSError
    """
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_BYTES_MAX):
            number += 1
            try:
                yield _noted(line.decode("ascii").rstrip("\n"))
            except (ValueError, KeyError) as error:
                if not line.endswith(b"\n"):
                    return  # its last line is cut: the host died while it wrote
                raise TraceUnreadable(f"{path} is no trace: line {number} cannot be read.") from error


def _noted(line: str) -> Noted:
    if line.startswith(("#", "!")):
        told = json.loads(line[1:])
        return Noted(run=told) if line[0] == "#" else Noted(fault=told)
    exchange, sign, microseconds, size, *hexed = line.split(" ")
    direction: dict[str, Any] = {">": "out", "<": "in"}
    return Noted(
        entry=TraceEntry(
            int(microseconds) * 1000,
            direction[sign],
            bytes.fromhex("".join(hexed)),
            int(exchange),
            int(size),
        )
    )
