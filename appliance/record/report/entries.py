"""The events of one batch as a report reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from appliance.domain.upcasters import todays_body
from appliance.record.canonical import Header, Payload, StoredRecord, decode_payload


@dataclass(frozen=True)
class Entry:
    """One event as the report shows it."""

    stored: StoredRecord

    @cached_property
    def header(self) -> Header:
        """The record's head."""
        return self.stored.header

    @cached_property
    def payload(self) -> Payload:
        """The record's facts."""
        return decode_payload(self.stored.payload)

    @property
    def seq(self) -> int:
        """The event's number."""
        return self.stored.seq

    @property
    def kind(self) -> str:
        """The event's name."""
        return self.header.kind

    @cached_property
    def body(self) -> dict[str, Any]:
        """The event's fields, under today's names where it is of an earlier version."""
        return todays_body(self.kind, self.header.payload_version, self.payload.body)

    def text(self, name: str) -> str:
        """A field as text; empty where the event has none."""
        value = self.body.get(name)
        return "" if value is None else str(value)


def of_batch(events: Iterable[StoredRecord], batch: str) -> Iterator[Entry]:
    """From the opening to the batch's last event; what concerns no batch in between belongs to it."""
    waiting: list[Entry] = []
    opened = False
    for stored in events:
        entry = Entry(stored)
        if entry.payload.batch == batch:
            opened = opened or entry.kind == "BatchOpened"
            yield from waiting
            yield entry
            waiting = []
        elif opened and entry.payload.batch is None:
            waiting.append(entry)
