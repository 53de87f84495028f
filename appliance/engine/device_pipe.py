"""The pipe between the engine and a device host, as the host sees it.

Down come orders, leases and STOP; a thread of its own reads them and watches the lease on
real monotonic time. A lease never revives: a host that was frozen finds it lapsed, whatever
the pipe holds by then. Up go readings and outcomes, written by another thread, so that an
engine that does not read cannot hold up a STOP.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

FIRST_LEASE_S = 5.0  # from the start of the process to the engine's first word
ORDERS_WAITING_MAX = 64
LINES_WAITING_MAX = 1_000
LINE_BYTES_MAX = 64 * 1024
STOP_CAME_FIRST = "A STOP came first; it was not sent."
EXIT_LEFT, EXIT_BROKEN, EXIT_LEASE_LAPSED = 0, 1, 3
_NS = 1_000_000_000

_logger = logging.getLogger("device_host")
SafeState = Literal["stop", "keep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order as it came down the pipe."""

    id: str
    term: int
    name: str
    parameters: dict[str, str]
    received_ns: int
    expires_ns: int


class Inbox:
    """What the engine has said; urgent things overtake the rest."""

    def __init__(
        self,
        *,
        lease_ms: int,
        safe_state: SafeState,
        interrupt: Callable[[], None],
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.wake = threading.Event()
        self.orders: deque[Order] = deque()
        self.turned_away: deque[tuple[str, str]] = deque()
        self.stop_ns: int | None = None  # when the oldest STOP came that is not carried out
        self.ending = ""  # why this host leaves; empty while it stays
        self.exit_status = EXIT_LEFT
        self.safe_state: SafeState = safe_state
        self.expected: Mapping[str, str] = dict(expected or {})  # who the device must be to be given an order
        self.term = 0
        self._lease_ns = lease_ms * 1_000_000
        self._deadline_ns = time.monotonic_ns() + int(FIRST_LEASE_S * _NS)
        self._interrupt = interrupt
        self._rest = b""

    def urgent(self) -> bool:
        """Whether something is there that a driver call must not delay."""
        return self.stop_ns is not None or bool(self.ending)

    def next_order(self) -> Order | None:
        """Take the oldest waiting order; both threads may ask."""
        try:
            return self.orders.popleft()
        except IndexError:
            return None

    def end(self, why: str, exit_status: int = EXIT_LEFT) -> None:
        """Make the host leave; the first reason stands."""
        if not self.ending:
            self.ending, self.exit_status = why, exit_status
        self._hurry()

    def listen(self, pipe: int, terminated: int) -> None:
        """Read the pipe and watch the lease until either ends (the listener thread)."""
        try:
            while not self.ending:
                self._listen_once(pipe, terminated)
        except Exception:
            # Outermost loop of this thread: without it nobody watches the lease, so the host leaves.
            _logger.exception("the listener failed")
            self.end("the listener failed", EXIT_BROKEN)

    def _listen_once(self, pipe: int, terminated: int) -> None:
        left_ns = self._deadline_ns - time.monotonic_ns()
        readable = select.select([pipe, terminated], [], [], max(0.0, left_ns / _NS))[0]
        # A lease never revives: it is judged before what has come down the pipe is looked at.
        lapsed = time.monotonic_ns() >= self._deadline_ns
        data = os.read(pipe, LINE_BYTES_MAX) if pipe in readable else b""
        if data:
            self._take(data, only_stop=lapsed)
        if lapsed:
            self.end("the lease lapsed", EXIT_LEASE_LAPSED)
        elif terminated in readable:
            self.end("terminated")
        elif pipe in readable and not data:
            self.end("the engine's end of the pipe closed")

    def _take(self, data: bytes, *, only_stop: bool) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_BYTES_MAX:
            self.end("a line without end came down the pipe", EXIT_BROKEN)
            return
        messages = [_message_of(line) for line in lines if line.strip()]
        stops = [place for place, message in enumerate(messages) if message.get("stop")]
        if stops:
            self._stop()
        for place, message in enumerate([] if only_stop else messages):
            if "order" in message and stops and place < stops[-1]:
                self.turned_away.append((str(message["order"]["id"]), STOP_CAME_FIRST))
            else:
                self._sort(message)
        self.wake.set()

    def _stop(self) -> None:
        self.stop_ns = self.stop_ns or time.monotonic_ns()
        # What was waiting was ordered before the STOP, by somebody who did not know of it.
        while (order := self.next_order()) is not None:
            self.turned_away.append((order.id, STOP_CAME_FIRST))
        self._hurry()

    def _sort(self, message: dict[str, Any]) -> None:
        if "lease" in message:
            term = int(message["lease"]["term"])
            if term >= self.term:
                self.term = term
                self._deadline_ns = time.monotonic_ns() + self._lease_ns
        elif "order" in message:
            order = _order_of(message["order"])
            if len(self.orders) >= ORDERS_WAITING_MAX:
                self.turned_away.append((order.id, "Too many orders wait; it was not sent."))
            else:
                self.orders.append(order)
        elif "safe_state" in message and message["safe_state"] in ("stop", "keep"):
            self.safe_state = message["safe_state"]
        elif "expect" in message:
            self.expected = {str(key): str(value) for key, value in message["expect"].items()}
        elif message.get("close"):
            self.end("the engine said so")
        elif not message.get("stop"):
            _logger.warning("a line came down the pipe that is no message of this protocol")

    def _hurry(self) -> None:
        self.wake.set()
        self._interrupt()


class Outbox:
    """Lines up the pipe, written by a thread of their own: an engine that does not read holds up no STOP."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lines: queue.Queue[bytes | None] = queue.Queue(LINES_WAITING_MAX)
        self._thread = threading.Thread(target=self._write, daemon=True, name="outbox")
        self._thread.start()

    def send(self, message: dict[str, Any]) -> None:
        """Queue one message; while the engine does not read, what does not fit is dropped."""
        try:
            self._lines.put_nowait(json.dumps(message, ensure_ascii=False).encode() + b"\n")
        except queue.Full:
            _logger.warning("the engine does not read; dropped a message")

    def finish(self, timeout_s: float) -> None:
        """Give what is queued a moment to leave."""
        try:
            self._lines.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                while line:
                    line = line[os.write(self._fd, line) :]
            except OSError:
                return  # the engine has gone; the listener sees it too and brings the device to safety


def _message_of(line: bytes) -> dict[str, Any]:
    """One line as a message; an unusable one is empty, and then said to be none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _order_of(body: dict[str, Any]) -> Order:
    now_ns = time.monotonic_ns()
    return Order(
        id=str(body["id"]),
        term=int(body["term"]),
        name=str(body["name"]),
        parameters={str(key): str(value) for key, value in body.get("parameters", {}).items()},
        received_ns=now_ns,
        expires_ns=now_ns + int(body["expires_in_ms"]) * 1_000_000,
    )
