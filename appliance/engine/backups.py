"""Copies of the record by themselves: after each batch and each `every_h`, in a process of their own.

What came of a copy or of a drill, also of one that a person began by command, lies as a note beside
the record: the engine, its only writer, puts it on record at its next tick.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from appliance.domain import copies
from appliance.domain import events as ev
from appliance.engine.port import EnginePort
from appliance.record import copy_notes
from appliance.record.canonical import decode_payload

LOOK_EVERY_NS = 2_000_000_000
# In real time, however fast a simulated clock runs: after a copy, and after one that failed.
REST_NS = 600_000_000_000
COPY_WITHIN_S = 3_600
NICE = 19

_logger = logging.getLogger(__name__)


class Backups:
    """Begins a copy when one is due, and puts on record what came of each."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._looked_ns = engine.clock.monotonic_ns() - LOOK_EVERY_NS
        self._rest_until_ns = 0
        self._last: datetime | None = None
        self._copied_seq: int | None = None  # the newest copy holds the record up to here
        self._running = False

    async def tick(self) -> None:
        """Take the notes that wait, and begin a copy when one is due."""
        now_ns = self._engine.clock.monotonic_ns()
        if now_ns - self._looked_ns < LOOK_EVERY_NS:
            return
        self._looked_ns = now_ns
        if self._running:
            return  # the copy under way takes its own note, and the others with it
        await self._take_notes()
        if not self._engine.config.backup.folder or now_ns < self._rest_until_ns:
            return
        if await self._is_due():
            self._running = True
            self._engine.begin(self._copy())

    async def _is_due(self) -> bool:
        engine = self._engine
        if self._copied_seq is None:
            self._last, self._copied_seq = await engine.journal.in_writer(self._newest)
        now = engine.clock.utc()
        every = timedelta(hours=engine.config.backup.every_h)
        late = self._last is None or not timedelta(0) <= now - self._last < every
        return late or self._batch_ended_at() > self._copied_seq

    def _newest(self) -> tuple[datetime | None, int]:
        """When the record was copied last, and up to where; of an earlier log's copies nothing is known."""
        found = self._engine.record.newest("BackupTaken")
        if found is None:
            return None, 0
        body = decode_payload(found.payload).body
        mine = body["epoch"] == found.header.epoch.hex()
        return found.header.wall, int(body["seq"]) if mine else 0

    def _batch_ended_at(self) -> int:
        """The number at which the last batch was sealed or came to its end; 0 while it runs."""
        batch = self._engine.unit.batch
        if batch is None:
            return 0
        if batch.closed and batch.facts:
            return batch.facts[-1].seq
        return batch.sealed.sealed_seq if batch.sealed is not None else 0

    async def _copy(self) -> None:
        engine = self._engine
        try:
            words = await self._copied()
            if "BackupFailed" not in await self._take_notes() and words:
                await self._note(ev.BackupFailed(words=words))
        finally:
            self._rest_until_ns = engine.clock.monotonic_ns() + REST_NS
            self._running = False

    async def _copied(self) -> str:
        """Run `cellwright backup`; in words why it did not end well, empty when it did."""
        backup, home = self._engine.config.backup, self._engine.home
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance.cli", "backup", "--home", str(home.root)),
            *("--to", backup.folder, "--keep", str(backup.keep), "--json"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        try:
            _, said = await asyncio.wait_for(process.communicate(), COPY_WITHIN_S)
        except TimeoutError:
            process.kill()
            return f"The copy to {backup.folder} was not done within {COPY_WITHIN_S // 60} minutes."
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode == 0:
            return ""
        return said.decode("utf-8", "replace").strip()[-500:] or f"No copy came to {backup.folder}."

    async def _take_notes(self) -> set[str]:
        """Put on record what the commands left; of which kinds it was."""
        taken = set()
        for path, kind, body in list(copy_notes.waiting(self._engine.record.folder)):
            event = _event_of(path, kind, body)
            if event is None:
                continue
            if not await self._engine.journal.in_writer(self._is_on_record, kind, body):
                await self._note(event)
            path.unlink(missing_ok=True)
            taken.add(kind)
        return taken

    async def _note(self, event: copies.Noted) -> None:
        await self._engine.turn(lambda: copies.noted(self._engine.unit, event))
        if isinstance(event, ev.BackupTaken):
            mine = event.epoch == self._engine.journal.head.epoch.hex()
            self._last, self._copied_seq = self._engine.clock.utc(), event.seq if mine else 0
        elif isinstance(event, ev.BackupFailed):
            _logger.error("no copy of the record was made: %s", event.words)

    def _is_on_record(self, kind: str, body: dict[str, Any]) -> bool:
        """An engine that died after the commit and before the note was removed has it on record."""
        found = self._engine.record.newest(kind)
        made_at = body.get("made_at")
        return found is not None and made_at is not None and decode_payload(found.payload).body == body


def _event_of(path: Path, kind: str, body: dict[str, Any]) -> copies.Noted | None:
    try:
        event = ev.from_body(kind, body)
    except (KeyError, msgspec.ValidationError) as problem:
        _logger.error("the note %s is not a %s: %s", path, kind, problem)
        copy_notes.put_aside(path)
        return None
    assert isinstance(event, ev.BackupTaken | ev.BackupFailed | ev.RestoreDrilled)
    return event
