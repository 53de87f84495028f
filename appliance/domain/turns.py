"""What one turn puts on record beside its events: who asked for what, and the readings that decided.

With these two every decision can be made again from the log alone (`appliance.record.replay`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

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

    def copy(self) -> ReadingsOnRecord:
        """The same, to go on from without changing this one."""
        twin = ReadingsOnRecord()
        twin._known = dict(self._known)
        return twin

    def take(self, event: ev.Event) -> dict[ReadingKey, ReadingNow]:
        """Remember what an event names; returns it as readings.

        A batch's record names them anew, so that it can be decided again by itself.
        """
        if isinstance(event, ev.EngineStarted | ev.BatchOpened):
            self._known.clear()
        if not isinstance(event, ev.ReadingsUsed):
            return {}
        readings = {(one["device"], one["name"]): _reading(one) for one in event.readings}
        self._known |= readings
        return readings


def _named(key: ReadingKey, reading: ReadingNow) -> dict[str, str]:
    named = {
        "device": key[0],
        "name": key[1],
        "unit": reading.unit,
        "quality": reading.quality,
        "detail": reading.detail,
        "source_at": reading.source_at,
        "received_at": reading.received_at.isoformat(),
    }
    if reading.trace:
        named["trace"] = reading.trace
    return named if reading.value is None else {**named, "value": reading.value}


def _reading(named: Mapping[str, str]) -> ReadingNow:
    return ReadingNow(
        value=named.get("value"),
        unit=named["unit"],
        quality=named["quality"],
        detail=named["detail"],
        source_at=named["source_at"],
        received_at=datetime.fromisoformat(named["received_at"]),
        trace=named.get("trace", ""),
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
    values = body.get("values")
    return ev.CommandTaken(
        name=name,
        body=_texts({key: one for key, one in body.items() if key != "values"}),
        values=_texts(values) if isinstance(values, Mapping) else {},
        station=station,
        people=[
            {"id": one.id, "name": one.name, "roles": ",".join(one.roles), "proof": one.proof}
            for one in people
        ],
    )


def people_of(taken: ev.CommandTaken) -> list[Actor]:
    """The proven people of a command, as its decision saw them."""
    return [
        Actor(one["id"], one["name"], tuple(filter(None, one["roles"].split(","))), one["proof"])
        for one in taken.people
    ]


def _texts(values: Mapping[Any, Any]) -> dict[str, str]:
    return {str(key): _text(one) for key, one in values.items() if not _is_secret(str(key))}


def _is_secret(key: str) -> bool:
    return bool(SECRET_WORDS & set(key.lower().split("_")))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
