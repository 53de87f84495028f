"""`cellwright device trace`: the bytes of each exchange and the readings they became, live or from a file."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drivers.faults import DeviceFault
from drivers.reading import Reading
from drivers.roles import Driver
from drivers.trace import TraceEntry, read_traced, shown_bytes
from drivers.trace_file import Noted, TraceUnreadable, noted_in

GOOD, REFUSED, WRONG_USAGE = 0, 1, 2
SECONDS = 5.0
POLL_S = 0.2


@dataclass
class Exchange:
    """A request and all that came until the next one."""

    number: int
    began_ns: int
    sent: bytes = b""
    received: bytes = b""
    answered_ns: int | None = None
    sizes: dict[str, int] = field(default_factory=lambda: {"out": 0, "in": 0})

    def take(self, entry: TraceEntry) -> None:
        """Add one piece of bytes."""
        self.sizes[entry.direction] += entry.size
        if entry.direction == "out":
            self.sent += entry.data
        else:
            self.received += entry.data
            self.answered_ns = entry.monotonic_ns

    def as_json(self) -> dict[str, Any]:
        """Return it with times in milliseconds."""
        took_ms = None if self.answered_ns is None else round((self.answered_ns - self.began_ns) / 1e6, 3)
        told: dict[str, Any] = {
            "exchange": self.number,
            "monotonic_ns": self.began_ns,
            "sent": self.sent.hex(),
            "sent_text": shown_bytes(self.sent),
            "received": self.received.hex(),
            "received_text": shown_bytes(self.received),
            "took_ms": took_ms,
        }
        left_out = sum(self.sizes.values()) - len(self.sent) - len(self.received)
        return told | ({"bytes_not_kept": left_out} if left_out else {})

    def as_text(self) -> str:
        """Return it as a person reads it, with hex below."""
        told = self.as_json()
        took = "no reply" if told["took_ms"] is None else f"{told['took_ms']} ms"
        lines = [f"#{self.number}  {self.began_ns / 1e9:.6f} s  {took}"]
        for sign, data in ((">", self.sent), ("<", self.received)):
            if data:
                lines += [f"  {sign} {shown_bytes(data)}", f"    {data.hex(' ')}"]
        return "\n".join(lines)


def exchanges(entries: Iterable[TraceEntry]) -> Iterator[Exchange]:
    """Return what belongs together, in order."""
    current: Exchange | None = None
    for entry in entries:
        if current is None or entry.exchange != current.number:
            if current is not None:
                yield current
            current = Exchange(entry.exchange, entry.monotonic_ns)
        current.take(entry)
    if current is not None:
        yield current


def trace_file(path: Path, *, only: int | None, run: str | None, as_json: bool) -> int:
    """Print what a trace file holds, or one exchange of it; each run of a host counts anew."""
    pending: list[TraceEntry] = []
    found = False
    wanted = run is None

    def print_pending() -> bool:
        told = [one for one in exchanges(pending) if only in (None, one.number)]
        for one in told:
            print(json.dumps(one.as_json()) if as_json else one.as_text())
        pending.clear()
        return bool(told)

    try:
        for noted in noted_in(path):
            if noted.entry is not None:
                if wanted:
                    pending.append(noted.entry)
                continue
            found |= print_pending()
            if noted.run is not None:
                wanted = run in (None, noted.run.get("run"))
            if only is None and wanted:
                _tell_note(noted, as_json=as_json)
        found |= print_pending()
    except (OSError, TraceUnreadable) as error:
        print(error, file=sys.stderr)
        return REFUSED
    if only is not None and not found:
        print(f"{path} holds no exchange {only}. Look into the older file beside it.", file=sys.stderr)
        return REFUSED
    return GOOD


def trace_live(driver: Driver, *, seconds: float, as_json: bool) -> int:
    """Read a device for a while; print each exchange, and behind them the readings they became."""
    trace = driver.line.traced
    seen = 0
    until_s = time.monotonic() + seconds
    while True:
        readings: list[Reading] = []
        try:
            readings = read_traced(driver)
        except DeviceFault as fault:
            told = {"fault": fault.kind, "words": str(fault)}
            print(json.dumps(told) if as_json else f"! {fault}", flush=True)
        for one in exchanges(trace.since(seen)):
            print(json.dumps(one.as_json()) if as_json else one.as_text(), flush=True)
        seen = trace.exchange
        for reading in readings:
            _tell_reading(reading, as_json=as_json)
        if time.monotonic() + POLL_S >= until_s:
            return GOOD
        time.sleep(POLL_S)


def add_to(parser: argparse.ArgumentParser, types: list[str]) -> None:
    """Describe the words of the command."""
    parser.add_argument("type", metavar="TYPE", nargs="?", choices=types, help=", ".join(types))
    parser.add_argument("--port", help="path of the port, to read a device and see its bytes")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long to read")
    parser.add_argument("--file", type=Path, help="a trace that a unit kept, in place of a device")
    parser.add_argument("--exchange", type=int, help="of a file: this exchange alone")
    parser.add_argument(
        "--run",
        dest="of_run",
        metavar="RUN",
        help="of a file: this run of the host alone, as a record names it",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _tell_note(noted: Noted, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"run": noted.run} if noted.run else {"fault": noted.fault}))
    elif noted.run:
        print(f"# {noted.run.get('device')}, run {noted.run.get('run')}, began {noted.run.get('utc')}")
    elif noted.fault:
        print(f"! {noted.fault.get('kind')}: {noted.fault.get('words')}")


def _tell_reading(reading: Reading, *, as_json: bool) -> None:
    value = None if reading.value is None else str(reading.value)
    numbers = list(reading.exchanges)
    if as_json:
        told = {"reading": reading.name, "value": value, "unit": reading.unit, "quality": reading.quality}
        print(json.dumps(told | {"exchanges": numbers}, ensure_ascii=False), flush=True)
        return
    shown = "no value" if value is None else f"{value} {reading.unit}".strip()
    came = ", ".join(f"#{number}" for number in numbers)
    print(f"= {reading.name} {shown}, {reading.quality}, out of {came or 'nothing'}", flush=True)
