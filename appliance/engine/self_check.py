"""Once a week the whole record is read and checked, while the unit works; what was found goes on record.

Each start checks the file, its guards and what is not signed yet. A unit that is not started for
months would learn of a bad sector only at the export of a batch: this finds it within the week (R-38).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from datetime import datetime, timedelta
from typing import Any

from appliance.domain import events as ev
from appliance.engine.port import EnginePort
from appliance.record.canonical import StoredRecord

CHECK_EVERY = timedelta(days=7)
# In real time since the start, however fast a simulated clock runs.
REST_NS = 3_600_000_000_000
CHECK_WITHIN_S = 3_600
NICE = 19

_logger = logging.getLogger(__name__)


class SelfCheck:
    """Begins a check when one is due; it runs in a process of its own, so that it delays no lease."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._rested_ns = engine.clock.monotonic_ns()
        self._last: datetime | None = None
        self._running = False

    async def tick(self) -> None:
        """Begin a check when the last one was a week ago."""
        engine = self._engine
        if self._running or engine.clock.monotonic_ns() - self._rested_ns < REST_NS:
            return
        now = engine.clock.utc()
        if self._last is None:
            self._last = await engine.journal.in_writer(self._newest) or now
        if timedelta(0) <= now - self._last < CHECK_EVERY:
            return
        self._running = True
        engine.begin(self._check())

    def _newest(self) -> datetime | None:
        """When the record was checked last; where it never was, when it began."""
        record = self._engine.record
        found: StoredRecord | None = record.newest("RecordVerified") or next(record.read(1, 1), None)
        return None if found is None else found.header.wall

    async def _check(self) -> None:
        engine = self._engine
        try:
            verdict = await self._verdict()
        finally:
            self._running = False
            self._last, self._rested_ns = engine.clock.utc(), engine.clock.monotonic_ns()
        words = str(verdict["words"])
        found: list[ev.Event] = [
            ev.RecordVerified(whole=bool(verdict["whole"]), events=int(verdict["events"]), words=words)
        ]
        if not verdict["whole"]:
            advice = "Finish the running batch, open no other one, and call QA."
            found.append(ev.RecordFaultSeen(words=f"{words} {advice}"))
        await engine.turn(lambda: found)

    async def _verdict(self) -> dict[str, Any]:
        """What `cellwright verify` says of the record as it is now."""
        command = [sys.executable, "-m", "appliance.cli", "verify", str(self._engine.record.folder), "--json"]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        try:
            out, _ = await asyncio.wait_for(process.communicate(), CHECK_WITHIN_S)
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            raise
        try:
            verdict: dict[str, Any] = json.loads(out)
        except ValueError:
            _logger.error("the check of the record said nothing that can be read")
            return {"whole": False, "events": 0, "words": "The record could not be read."}
        return verdict
