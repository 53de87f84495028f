"""Traces kept in files: two of at most 1 MiB a device, written beside the polling and never by it.

What led to a fault is kept apart as well, in two of at most 256 KiB: the others are soon written over.

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
FAULTS_BYTES_MAX = 256 * 1024
BEFORE_A_FAULT = 40  # pieces of bytes
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
        Made when it is not there. `DEVICE.trace` is the newer file, `DEVICE.trace.1` the older one;
        `DEVICE.faults.trace` and its older one hold what led to faults.
    device : str
        The device's id.
    """

    def __init__(self, trace: Trace, folder: Path, device: str) -> None:
        self.run = f"{int(time.time())}-{os.getpid()}"
        self._trace = trace
        self._path = folder / f"{device}.trace"
        self._faults_path = folder / f"{device}.faults.trace"
        self._header = {
            "device": device,
            "run": self.run,
            "utc": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
            "monotonic_ns": time.monotonic_ns(),
        }
        self._spool: deque[TraceEntry] = deque(maxlen=SPOOL_ENTRIES_MAX)
        self._faults: deque[tuple[dict[str, Any], list[TraceEntry]]] = deque(maxlen=FAULTS_WAITING_MAX)
        self._wake = threading.Event()
        self._ending = False
        trace.spool = self._spool
        self._thread = threading.Thread(target=self._keep, daemon=True, name="trace")
        self._thread.start()

    def fault(self, kind: str, words: str) -> None:
        """Note a fault behind the bytes that led to it, and write both now. For the line's own thread."""
        told = {"monotonic_ns": time.monotonic_ns(), "kind": kind, "words": words}
        self._faults.append((told, list(self._trace.entries)[-BEFORE_A_FAULT:]))
        self._wake.set()

    def finish(self, timeout_s: float) -> None:
        """Give what was noted a moment to be written."""
        self._ending = True
        self._wake.set()
        self._thread.join(timeout_s)

    def _keep(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write(self._path, [f"# {json.dumps(self._header)}"], FILE_BYTES_MAX)
            while not self._ending:
                self._wake.wait(WRITE_EVERY_S)
                self._wake.clear()
                self._write_what_is_new()
        except OSError as error:
            # A full disk must never cost a reading: the ring in memory goes on.
            _logger.warning("the trace is not kept in %s: %s", self._path, error)

    def _write_what_is_new(self) -> None:
        faults = [self._faults.popleft() for _ in range(len(self._faults))]
        for told, before in faults:
            apart = [f"# {json.dumps(self._header)}", *map(_line, before), f"! {json.dumps(told)}"]
            self._write(self._faults_path, apart, FAULTS_BYTES_MAX)
        self._write(self._path, self._lines([told for told, _ in faults]), FILE_BYTES_MAX)

    def _lines(self, faults: list[dict[str, Any]]) -> list[str]:
        lines: list[str] = []
        for _ in range(len(self._spool)):
            entry = self._spool.popleft()
            while faults and faults[0]["monotonic_ns"] < entry.monotonic_ns:
                lines.append(f"! {json.dumps(faults.pop(0))}")
            lines.append(_line(entry))
        return lines + [f"! {json.dumps(fault)}" for fault in faults]

    def _write(self, path: Path, lines: list[str], bytes_max: int) -> None:
        """Add lines; where one no longer fits, the file becomes the older one and a new one begins."""
        size = path.stat().st_size if path.exists() else 0
        pieces: list[bytes] = []
        for line in (f"{line}\n".encode() for line in lines):
            if size + len(line) > bytes_max:
                _append(path, pieces)
                path.replace(path.with_name(path.name + ".1"))
                pieces = [f"# {json.dumps(self._header)}\n".encode()]
                size = len(pieces[0])
            pieces.append(line)
            size += len(line)
        _append(path, pieces)


def _append(path: Path, pieces: list[bytes]) -> None:
    if pieces:
        with path.open("ab") as file:
            file.write(b"".join(pieces))


def _line(entry: TraceEntry) -> str:
    sign = ">" if entry.direction == "out" else "<"
    return f"{entry.exchange} {sign} {entry.monotonic_ns // 1000} {entry.size} {entry.data.hex()}"


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
