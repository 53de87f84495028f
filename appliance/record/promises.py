"""What events say of the record around them: signatures, seals and anchors are held against it.

Each of them is bound to its own place. One that was moved to another batch, another phase or another
record says something that this place does not bear out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from appliance.domain.blob_names import blobs_hash
from appliance.record.canonical import Payload, read_json
from appliance.record.errors import RecordRefused

BEFORE_ALL = -(2**53)
HashAt = Callable[[int], bytes | None]


@dataclass(slots=True)
class Promises:
    """Takes the events of one log in order, and says which of them the record does not bear out."""

    KINDS: ClassVar[frozenset[str]] = frozenset(
        {"BatchOpened", "SignatureGiven", "SecondPersonConfirmed", "BatchSealed", "MeasurementsSealed"}
    )

    first: int
    unit: str
    # Event, its kind, and the head of the telemetry log that it names.
    telemetry: list[tuple[int, str, int, str]] = field(default_factory=list)
    _opened: dict[str, tuple[int, str]] = field(default_factory=dict)  # batch → number, hash of its recipe
    _files: dict[str, set[str]] = field(default_factory=dict)

    def file(self, batch: str | None, sha256: str) -> None:
        """An event of this batch names a file."""
        if batch is not None:
            self._files.setdefault(batch, set()).add(sha256)

    def misfit(self, kind: str, seq: int, payload: Payload, hash_at: HashAt) -> str:
        """What is wrong with this event, empty when nothing is."""
        if kind == "BatchOpened":
            if payload.batch is not None:
                self._opened[payload.batch] = (seq, str(payload.body.get("recipe_hash", "")))
                self._files[payload.batch] = set()
            return ""
        if kind == "BatchSealed":
            return self._seal_misfit(seq, payload, hash_at)
        if kind == "MeasurementsSealed":
            self._anchor(seq, kind, payload.body)
            return ""
        return self._signature_misfit(seq, payload)

    def _signature_misfit(self, seq: int, payload: Payload) -> str:
        """A signature is bound to the hash of the exact text under it, and that text to this place."""
        body = payload.body
        content = body.get("content")
        if not isinstance(content, str) or not content:
            return ""
        if hashlib.sha256(content.encode()).hexdigest() != body.get("signs"):
            return "the signature does not cover the text it stands under."
        if not content.startswith("{"):
            return ""
        try:
            said = read_json(content.encode())
        except RecordRefused:
            return ""
        if not isinstance(said, dict):
            return ""
        # Of a batch that was opened before this run the numbers may go back beyond it.
        opened, recipe_hash = self._opened.get(payload.batch or "", (BEFORE_ALL, said.get("recipe_hash")))
        place = {"unit": self.unit, "batch": payload.batch, "phase": body.get("phase")}
        place["recipe_hash"] = recipe_hash
        up_to = said.get("recorded_up_to_seq", 0)
        earlier = up_to == 0 or (isinstance(up_to, int) and opened <= up_to < seq)
        if not earlier or any(said.get(name, fact) != fact for name, fact in place.items()):
            return "the signature was given for another place of the record."
        return ""

    def _seal_misfit(self, seq: int, payload: Payload, hash_at: HashAt) -> str:
        """A seal names the head it was put on, the telemetry, the files and the recipe of its batch."""
        body = payload.body
        sealed = body.get("sealed_seq")
        if isinstance(sealed, int) and sealed >= self.first:
            held = hash_at(sealed)
            if held is None or held.hex() != body.get("sealed_hash"):
                return "it seals another record."
        self._anchor(seq, "BatchSealed", body)
        if payload.batch not in self._opened:
            return ""
        files = self._files[payload.batch]
        if "blobs_hash" in body and (body["blobs_hash"], body.get("blob_count")) != (
            blobs_hash(files),
            len(files),
        ):
            return "it seals other files than the batch names."
        if "recipe_hash" in body and body["recipe_hash"] != self._opened[payload.batch][1]:
            return "it seals another recipe than the batch was opened with."
        return ""

    def _anchor(self, seq: int, kind: str, body: dict[str, Any]) -> None:
        named_seq, named_hash = body.get("telemetry_seq"), body.get("telemetry_hash")
        if isinstance(named_seq, int):
            self.telemetry.append((seq, kind, named_seq, str(named_hash)))
