"""Commit events durably, fold them, tell the screens: always in this order.

SQLite writes run in a thread of their own, so that a slow disk delays no lease. The journal is
called from one turn at a time (`Engine.turn`), which keeps events and state in one order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec

from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit, evolve
from appliance.domain.turns import ReadingsOnRecord, batch_of
from appliance.domain.upcasters import event_of
from appliance.engine.clock import Clock
from appliance.link.messages import EventMessage
from appliance.record.canonical import NewRecord, Stamp, StoredRecord, encode_payload
from appliance.record.log import Head, Record

UNIT_ACTOR = "unit"


class Journal:
    """The only code of the engine that writes the record.

    Parameters
    ----------
    tell
        Called with each committed event as a message for the screens.
    """

    def __init__(
        self, record: Record, clock: Clock, unit: Unit, tell: Callable[[EventMessage], None]
    ) -> None:
        self.record, self._clock, self._unit, self._tell = record, clock, unit, tell
        self.writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="record")
        self.words = ""  # what is wrong with the record, empty when all is well
        self.committed_at: datetime | None = None
        self.waiting_since_ns = 0  # when the commit under way began, 0 when none is
        self.on_record = ReadingsOnRecord()
        self.head = record.head()  # kept here: asking the record would wait behind a slow disk

    async def commit(
        self,
        events: Sequence[ev.Event],
        *,
        at: Stamp,
        actor: str = UNIT_ACTOR,
        command: str | None = None,
        batch: str | None = None,
    ) -> list[Fact]:
        """Make events true: durable when this returns; raises `RecordError` when nothing was written.

        All of them carry the stamp of their decision: records with one stamp are one commit.
        """
        if not events:
            return []
        open_batch = batch or batch_of(self._unit, events)
        records = [self._record(event, at, actor, command, open_batch) for event in events]
        stored = await self.in_writer(self.record.append_many, records)
        self.committed_at = self._clock.utc()
        self.head = Head(self.head.epoch, stored[-1].seq, stored[-1].hash)
        return [self._fold(event, one, open_batch) for event, one in zip(events, stored, strict=True)]

    def reopened(self, record: Record) -> list[Fact]:
        """Go on with a record that was closed, checked and opened again after a fault.

        What a failed commit left on the disk after all is on record, so it is folded too, and returned.
        """
        came_back: list[Fact] = []
        for stored in record.read(self.head.seq + 1):
            fact = fact_of(stored)
            if fact is not None:
                self._take(fact)
                came_back.append(fact)
        self.record, self.head, self.words = record, record.head(), ""
        return came_back

    async def in_writer(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run record work in the writer's thread; raises what it raises."""
        self.waiting_since_ns = self._clock.monotonic_ns()
        try:
            result = await asyncio.get_running_loop().run_in_executor(self.writer, work, *arguments)
        finally:
            self.waiting_since_ns = 0
        return result

    def _record(
        self, event: ev.Event, at: Stamp, actor: str, command: str | None, batch: str | None
    ) -> NewRecord:
        kind = type(event).__name__
        payload = encode_payload(None if kind in ev.UNIT_KINDS else batch, command, ev.to_body(event))
        return NewRecord(
            kind=kind,
            payload=payload,
            actor=actor,
            stamp=at,
            payload_version=event.VERSION,
        )

    def _fold(self, event: ev.Event, stored: StoredRecord, batch: str | None) -> Fact:
        header = stored.header
        of_batch = None if header.kind in ev.UNIT_KINDS else batch
        fact = Fact(event, header.wall, header.actor, stored.seq, of_batch)
        self._take(fact)
        self._tell(
            EventMessage(
                seq=stored.seq,
                name=header.kind,
                actor=header.actor,
                occurred_at=header.wall,
                batch=of_batch,
                body=ev.to_body(event),
            )
        )
        return fact

    def _take(self, fact: Fact) -> None:
        evolve(self._unit, fact)
        self.on_record.take(fact.event)


def fact_of(stored: StoredRecord) -> Fact | None:
    """A stored record as a fact; None for a kind that the domain does not fold (genesis)."""
    header = stored.header
    if header.kind not in ev.KINDS:
        return None
    payload = msgspec.json.decode(stored.payload)
    event = event_of(header.kind, header.payload_version, payload["body"])
    assert event is not None, header.kind
    return Fact(event, header.wall, header.actor, stored.seq, payload["batch"])
