"""What one turn puts on record beside its events: who asked for what, and the readings that decided.

With these two every decision can be made again from the log alone (`appliance.record.replay`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from appliance.domain import events as ev
from appliance.domain.batch import ReadingNow, Unit
from appliance.domain.roles import Actor

ReadingKey = tuple[str, str]
SECRET_WORDS = frozenset({"pin", "password", "passphrase", "secret", "proof", "token", "verifier"})


class ReadingsOnRecord:
    """The readings that the log has named last; only what differs from them is named again."""

    def __init__(self) -> None:
        self._known: dict[ReadingKey, ReadingNow] = {}

    def news(self, looked_at: Mapping[ReadingKey, ReadingNow | None]) -> ev.ReadingsUsed | None:
        """What was looked at and is not on record as it is; None when all of it is."""
        fresh = {
            key: reading
            for key, reading in sorted(looked_at.items())
            if reading is not None and self._known.get(key) != reading
        }
        return ev.ReadingsUsed(readings=[_named(key, one) for key, one in fresh.items()]) if fresh else None

    def take(self, used: ev.ReadingsUsed) -> dict[ReadingKey, ReadingNow]:
        """Remember what an event names; returns it as readings."""
        readings = {(one["device"] or "", one["name"] or ""): _reading(one) for one in used.readings}
        self._known |= readings
        return readings

    def forget(self) -> None:
        """The engine starts: it has heard nothing yet."""
        self._known.clear()


def _named(key: ReadingKey, reading: ReadingNow) -> dict[str, str | None]:
    return {
        "device": key[0],
        "name": key[1],
        "value": reading.value,
        "unit": reading.unit,
        "quality": reading.quality,
        "detail": reading.detail,
        "source_at": reading.source_at,
        "received_at": reading.received_at.isoformat(),
    }


def _reading(named: Mapping[str, str | None]) -> ReadingNow:
    return ReadingNow(
        value=named["value"],
        unit=named["unit"] or "",
        quality=named["quality"] or "",
        detail=named["detail"] or "",
        source_at=named["source_at"] or "",
        received_at=datetime.fromisoformat(named["received_at"] or ""),
    )


def batch_of(unit: Unit, events: Iterable[ev.Event]) -> str | None:
    """The open batch; of a closed one only what still decides about its product is a fact."""
    current = unit.batch
    if current is None:
        return None
    late = any(isinstance(event, ev.DispositionRecorded | ev.DispositionRefused) for event in events)
    return current.id if late or not current.closed else None


def command_taken(
    name: str, body: Mapping[str, Any], station: str, people: Sequence[Actor]
) -> ev.CommandTaken:
    """What was asked, by whom and with which proof; a secret never comes with it."""
    return ev.CommandTaken(
        name=name,
        body=_without_secrets(body),
        station=station,
        people=[msgspec.to_builtins(person) for person in people],
    )


def people_of(taken: ev.CommandTaken) -> list[Actor]:
    """The proven people of a command, as its decision saw them."""
    return msgspec.convert(taken.people, list[Actor])


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            str(key): _without_secrets(one)
            for key, one in value.items()
            if not SECRET_WORDS & set(str(key).lower().split("_"))
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(one) for one in value]
    # The record takes no floats; what decides travels as text anyway.
    return value if value is None or isinstance(value, str | bool | int) else str(value)
