"""First answers of an engine before this one, read back from the record.

What a command made true carries its id. So a double tap or a retried send that crosses a restart
of the engine still returns its first answer and acts once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from appliance.domain.upcasters import todays_body
from appliance.link.messages import Accepted, Refused
from appliance.record.canonical import StoredRecord

REFUSALS = frozenset({"DispositionRefused", "DocumentRefused"})


class _Payload(msgspec.Struct):
    batch: str | None = None
    command: str | None = None
    body: dict[str, Any] = {}


class Answered:
    """Collects the answers while the record is folded, oldest first."""

    def __init__(self) -> None:
        self._answers: dict[str, Accepted | Refused] = {}

    def take(self, stored: StoredRecord) -> None:
        """Look at one record; what no command asked for says nothing."""
        payload = msgspec.json.decode(stored.payload, type=_Payload)
        if not payload.command:
            return
        kind = stored.header.kind
        body = todays_body(kind, stored.header.payload_version, payload.body)
        if kind in REFUSALS:
            self._answers[payload.command] = Refused(
                command_id=payload.command, reason=str(body["reason"]), words=str(body["words"])
            )
            return
        result = {"batch": payload.batch} if kind == "BatchOpened" else {}
        self._answers[payload.command] = Accepted(command_id=payload.command, seq=stored.seq, result=result)

    def newest(self, count: int) -> list[Accepted | Refused]:
        """At most `count` answers, in the order of their commands."""
        return list(self._answers.values())[-count:]
