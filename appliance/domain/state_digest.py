"""One hash over a state: equal on any machine that folded the same record.

Readings and the clock are no part of it: they are not folded, and what of them decided is an event.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from appliance.domain import decisions
from appliance.domain.batch import Batch, Unit
from appliance.domain.event import Event
from appliance.domain.prompts import Prompt

NOT_FOLDED = frozenset({"batch", "clock_trusted", "readings", "looked_at", "identities", "labels_of"})


def digest(value: Any) -> str:
    """SHA-256 over the canonical text of a plain value."""
    text = json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def state_digest(unit: Unit, now: datetime) -> str:
    """The open (or last) batch with all its facts, where its phases stand, and what is asked of people."""
    return digest({"batch": _batch(unit.batch), "prompts": _prompts(unit, now), **_about(unit)})


def small_digest(unit: Unit, now: datetime) -> str:
    """The same without the facts, which a transcript has hashed one by one."""
    batch = unit.batch
    runs = {} if batch is None else {name: run.state for name, run in batch.runs.items()}
    return digest({"runs": runs, "prompts": _prompts(unit, now), **_about(unit)})


def unit_digest(unit: Unit) -> str:
    """Everything that the unit keeps from batch to batch."""
    return digest({name: value for name, value in _fields(unit).items() if name not in NOT_FOLDED})


def _about(unit: Unit) -> dict[str, Any]:
    return {
        "term": unit.term,
        "stop_latched": unit.stop_latched,
        "alarms": unit.alarms,
        "qualified": unit.qualified,
        "silent": unit.silent,
    }


def _prompts(unit: Unit, now: datetime) -> list[Prompt]:
    return decisions.open_prompts(unit, now)


def _batch(batch: Batch | None) -> dict[str, Any]:
    if batch is None:
        return {}
    return {
        "id": batch.id,
        "opened_at": batch.opened_at,
        "recipe": batch.recipe.hash,
        "order": batch.order,
        "runs": {name: [run.state, len(run.facts)] for name, run in batch.runs.items()},
        "facts": batch.facts,
    }


def _fields(value: Any) -> dict[str, Any]:
    """The fields that say something: a later version may add one, and a record without it stays the same."""
    return {
        field.name: getattr(value, field.name)
        for field in dataclasses.fields(value)
        if getattr(value, field.name) != _default(field)
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def plain(value: Any) -> Any:
    """A value as JSON can hold it, in one form only."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {name: plain(one) for name, one in _fields(value).items()}
        return {"kind": type(value).__name__, **fields} if isinstance(value, Event) else fields
    if isinstance(value, Mapping):
        # Keys may be pairs: as text they sort the same everywhere.
        return {json.dumps(plain(key)): plain(one) for key, one in value.items()}
    if isinstance(value, Set):
        return sorted((plain(one) for one in value), key=json.dumps)
    assert isinstance(value, list | tuple), type(value)
    return [plain(one) for one in value]
