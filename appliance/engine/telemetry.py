"""The telemetry log: one packed chunk a minute, and its head named in the gxp log.

The head is anchored each hour, where a phase ends and where a batch ends, and signed there too: the
gxp log, signed every few seconds, vouches for it. On a disk that is nearly full readings are kept more
sparingly, so that room is left for what nobody may lose.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from appliance.domain import events as ev
from appliance.domain.batch import Fact
from appliance.engine.clock import stamp
from appliance.engine.journal import UNIT_ACTOR
from appliance.engine.port import EnginePort
from appliance.engine.samples import SPARING_TICKS
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.disk import disk_level
from appliance.record.errors import RecordError, RecordRefused
from appliance.record.measurements import KIND, PAYLOAD_VERSION, ChunkWriter
from appliance.record.telemetry_chunk import Chunk

ANCHOR_EVERY = timedelta(hours=1)
LOG = "telemetry"
PHASE_ENDS = (ev.PhaseCompleted, ev.PhaseAborted)
SPARING_WORDS = "The disk is nearly full. Trends are kept once in 10 seconds until there is room."
PLENTY_WORDS = "The disk has room again. Trends are kept every second."

_logger = logging.getLogger(__name__)


class TelemetryLog:
    """Writes the chunks that are over and anchors them; one at a time, whoever asks."""

    def __init__(self, engine: EnginePort) -> None:
        self._engine = engine
        self._writer = ChunkWriter()
        self._lock = asyncio.Lock()
        self._anchored_at: datetime | None = None
        self._anchored_seq = 0
        self._sparing = False

    async def tick(self) -> None:
        """Write what is over; anchor once an hour."""
        now = self._engine.clock.utc()
        async with self._lock:
            if await self._write():
                await self._watch_room()
        if self._anchored_at is None:
            self._anchored_at = now
        if not timedelta(0) <= now - self._anchored_at < ANCHOR_EVERY:
            await self.anchor("hour")

    def phases_ended(self, facts: Sequence[Fact]) -> None:
        """Anchor what was read up to the end of these phases, when one ended."""
        for fact in facts:
            if isinstance(fact.event, PHASE_ENDS):
                self._engine.begin(self.anchor(f"end of {fact.event.phase}"))

    async def anchor(self, why: str) -> None:
        """Write, sign, and name the head in the gxp log; nothing when it is named already."""
        engine = self._engine
        async with self._lock:
            self._anchored_at = engine.clock.utc()
            await self._write(force=True)
            await engine.journal.in_writer(self.sign)
            head = await engine.journal.in_writer(engine.record.head, LOG)
            if head.seq > max(self._anchored_seq, 1):
                self._anchored_seq = head.seq
                sealed = ev.MeasurementsSealed(
                    telemetry_seq=head.seq, telemetry_hash=head.hash.hex(), why=why
                )
                await engine.turn(lambda: [sealed])

    def sign(self) -> None:
        """Sign what is unsigned; for the writer's thread. The next chunk names its channels again."""
        self._engine.record.seal(stamp(self._engine.clock), LOG)
        self._writer.begin_anew()

    async def _write(self, *, force: bool = False) -> int:
        samples = self._engine.readings.samples
        chunks = samples.finished(self._engine.clock.utc(), force=force)
        for number, chunk in enumerate(chunks):
            try:
                await self._engine.journal.in_writer(self._append, chunk)
            except RecordRefused as refused:
                _logger.error("a minute of readings cannot be recorded: %s", refused)
            except RecordError:
                samples.put_back(chunks[number:])
                raise
        return len(chunks)

    def _append(self, chunk: Chunk) -> None:
        """Write one chunk; in the writer's thread, where `sign` runs too, so that neither comes between."""
        engine = self._engine
        batch = engine.unit.batch
        record = NewRecord(
            kind=KIND,
            payload=encode_payload(
                batch.id if batch is not None and not batch.closed else None, None, self._writer.body(chunk)
            ),
            actor=UNIT_ACTOR,
            stamp=stamp(engine.clock),
            payload_version=PAYLOAD_VERSION,
            log=LOG,
        )
        self._writer.stored(engine.record.append_many([record])[0].seq)

    async def _watch_room(self) -> None:
        """Fewer readings on a nearly full disk; both turns go on record, so that no gap is a riddle."""
        sparing = disk_level(self._engine.record.folder).level == "critical"
        if sparing == self._sparing:
            return
        self._sparing = sparing
        self._engine.readings.samples.every_ticks = SPARING_TICKS if sparing else 1
        words = SPARING_WORDS if sparing else PLENTY_WORDS
        await self._engine.turn(lambda: [ev.RecordFaultSeen(words=words)])
