"""Which batches, orders and patients a lot of a material has reached, from the record alone (F-094).

The record is read once, and only the kinds of events that can tell; patients are pseudonyms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import msgspec

from appliance.domain.stock import catalogue_key, lot_key
from appliance.record.canonical import StoredRecord

# What became of a batch, the last word of it: kind → words.
ENDS = {"BatchAborted": "aborted", "BatchSealed": "sealed", "HandedOver": "handed over"}
KINDS = frozenset(
    {
        "BatchOpened",
        "MaterialAccepted",
        "DispositionRecorded",
        "MaterialReceived",
        "MaterialReleased",
        "MaterialRejected",
        "MaterialBookedOut",
        "LotRecalled",
        "RecallLifted",
        *ENDS,
    }
)


class _Opened(msgspec.Struct):
    order_text: str
    recipe_id: str


class _Order(msgspec.Struct):
    id: str
    patient: str
    coi: str
    din: str


class _Accepted(msgspec.Struct):
    material: str
    catalogue: str
    lot: str
    expires_at: str
    receipt: str = ""
    serial: str = ""
    substitutes: str = ""


class _Payload(msgspec.Struct):
    batch: str | None
    body: msgspec.Raw


class _Disposition(msgspec.Struct):
    disposition: str


_payload = msgspec.json.Decoder(_Payload)
_opened, _order = msgspec.json.Decoder(_Opened), msgspec.json.Decoder(_Order)
_accepted, _disposition = msgspec.json.Decoder(_Accepted), msgspec.json.Decoder(_Disposition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One batch that took a piece of the lot."""

    batch: str
    order: str
    patient: str  # a pseudonym
    coi: str
    din: str
    recipe: str
    state: str  # open aborted sealed released rejected handed over
    material: str
    catalogue: str
    lot: str
    expires_at: str
    receipt: str
    serial: str
    substitutes: str
    taken_at: datetime
    entry: int


@dataclass(frozen=True, slots=True)
class Trace:
    """What a record tells of one lot: its batches, and the events that speak of it."""

    uses: tuple[Use, ...]
    history: tuple[dict[str, Any], ...]  # receipt, release, recall, in the record's order

    @property
    def found(self) -> bool:
        return bool(self.uses or self.history)

    def as_json(self, lot: str) -> dict[str, Any]:
        """The whole as plain JSON values."""
        return {
            "lot": lot,
            "batches": len({one.batch for one in self.uses}),
            "orders": len({one.order for one in self.uses}),
            "patients": len({one.patient for one in self.uses}),
            "uses": [asdict(one) | {"taken_at": one.taken_at.isoformat()} for one in self.uses],
            "history": list(self.history),
        }


def trace_lot(records: Iterable[StoredRecord], lot: str, catalogue: str = "") -> Trace:
    """Follow one lot through a record's events of `KINDS`; of all catalogue numbers where none is named."""
    traced = _Tracer(lot_key(lot), catalogue_key(catalogue))
    for stored in records:
        traced.take(stored)
    return traced.trace()


class _Tracer:
    def __init__(self, lot: str, catalogue: str) -> None:
        self._lot, self._catalogue = lot, catalogue
        self._opened: dict[str, msgspec.Raw] = {}
        self._states: dict[str, str] = {}
        self._taken: list[tuple[str, _Accepted, datetime, int]] = []
        self._receipts: set[str] = set()
        self._history: list[dict[str, Any]] = []

    def take(self, stored: StoredRecord) -> None:
        header = stored.header
        payload = _payload.decode(stored.payload)
        kind, batch = header.kind, payload.batch or ""
        if kind == "BatchOpened":
            self._opened[batch] = payload.body
        elif kind == "MaterialAccepted":
            accepted = _accepted.decode(payload.body)
            if self._is_of(accepted.catalogue, accepted.lot):
                self._taken.append((batch, accepted, header.wall, stored.seq))
        elif kind == "DispositionRecorded":
            self._states[batch] = _disposition.decode(payload.body).disposition
        elif kind in ENDS:
            self._end(batch, ENDS[kind])
        else:
            self._tell(kind, msgspec.json.decode(payload.body), header.wall, stored.seq)

    def _end(self, batch: str, words: str) -> None:
        if words != "sealed" or self._states.get(batch, "sealed") == "sealed":
            self._states[batch] = words

    def _is_of(self, catalogue: str, lot: str) -> bool:
        return lot_key(lot) == self._lot and self._catalogue in ("", catalogue_key(catalogue))

    def _tell(self, kind: str, body: dict[str, Any], at: datetime, seq: int) -> None:
        if "catalogue" in body:
            if not self._is_of(body["catalogue"], body["lot"]):
                return
            self._receipts |= {body["receipt"]} if "receipt" in body else set()
        elif body.get("receipt") not in self._receipts:
            return
        names = (
            "receipt",
            "catalogue",
            "title",
            "lot",
            "quantity",
            "supplier",
            "reference",
            "reason",
            "person",
        )
        said = {name: body[name] for name in names if body.get(name)}
        self._history.append({"what": kind, "at": at.isoformat(), "entry": seq, **said})

    def trace(self) -> Trace:
        return Trace(tuple(self._uses()), tuple(self._history))

    def _uses(self) -> Iterator[Use]:
        for batch, accepted, at, seq in self._taken:
            opened = _opened.decode(self._opened[batch])
            order = _order.decode(opened.order_text)
            yield Use(
                batch=batch,
                order=order.id,
                patient=order.patient,
                coi=order.coi,
                din=order.din,
                recipe=opened.recipe_id,
                state=self._states.get(batch, "open"),
                material=accepted.material,
                catalogue=accepted.catalogue,
                lot=accepted.lot,
                expires_at=accepted.expires_at,
                receipt=accepted.receipt,
                serial=accepted.serial,
                substitutes=accepted.substitutes,
                taken_at=at,
                entry=seq,
            )
