"""The materials of a unit, folded from events: what was received, released, used up, recalled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from appliance.domain import events_of_materials as ev
from appliance.domain.event import Event

QUARANTINED, RELEASED, REJECTED, USED_UP = "quarantined", "released", "rejected", "used_up"
FINISHED_KEPT_MAX = 200  # receipts that are used up or rejected; an older one is told as not received
GTIN_DIGITS = (8, 12, 13, 14)


def catalogue_key(catalogue: str) -> str:
    """A catalogue number as it is compared: a GTIN with all its 14 digits, any other without blanks."""
    plain = "".join(catalogue.split()).upper()
    return plain.zfill(14) if plain.isdigit() and len(plain) in GTIN_DIGITS else plain


def lot_key(lot: str) -> str:
    """A lot as it is compared: a typed recall must meet a printed lot."""
    return "".join(lot.split()).upper()


def key_of(catalogue: str, lot: str) -> str:
    """Catalogue number and lot as one text."""
    return f"{catalogue_key(catalogue)}|{lot_key(lot)}"


@dataclass(slots=True)
class Receipt:
    """Pieces of one lot that came in together."""

    id: str
    catalogue: str
    lot: str
    state: str = QUARANTINED
    title: str = ""
    serial: str = ""
    expires_at: str = ""
    quantity: int = 0
    supplier: str = ""
    visual_check: str = ""
    certificate: str = ""  # SHA-256 of the file, or the reference of the paper
    received_by: str = ""
    received_at: str = ""
    decided_by: str = ""
    used: int = 0
    booked_out: int = 0
    serials: list[str] = field(default_factory=list)  # of the pieces that were used

    @property
    def key(self) -> str:
        return key_of(self.catalogue, self.lot)

    @property
    def left(self) -> int:
        """Pieces that neither a batch took nor anybody booked out."""
        return max(0, self.quantity - self.used - self.booked_out)

    @property
    def expires(self) -> datetime:
        return datetime.fromisoformat(self.expires_at)

    @property
    def usable(self) -> bool:
        """Released and not used up; whether it is expired or recalled is asked apart."""
        return self.state == RELEASED and self.left > 0


@dataclass(slots=True)
class Stock:
    """All that a unit knows of its materials.

    `partial` says that it is only what one batch's record tells: a receipt that it does not name is
    another material's, and what was decided about it is taken as the record has it.
    """

    received: int = 0
    receipts: dict[str, Receipt] = field(default_factory=dict)
    finished: dict[str, Receipt] = field(default_factory=dict)  # the newest, for their reasons
    recalls: dict[str, ev.LotRecalled] = field(default_factory=dict)
    partial: bool = False

    def of(self, catalogue: str, lot: str | None = None) -> list[Receipt]:
        """The receipts of a catalogue number, of one lot where it is named; oldest first."""
        wanted = catalogue_key(catalogue)
        return [
            one
            for one in (*self.finished.values(), *self.receipts.values())
            if catalogue_key(one.catalogue) == wanted and (lot is None or lot_key(one.lot) == lot_key(lot))
        ]

    def recall_of(self, catalogue: str, lot: str) -> ev.LotRecalled | None:
        return self.recalls.get(key_of(catalogue, lot))

    def take(self, event: Event, at: datetime, actor: str) -> None:
        """Fold one fact; one of a receipt that is not known changes nothing."""
        match event:
            case ev.MaterialReceived():
                self._receive(event, at, actor)
            case ev.MaterialReleased(receipt=id, person=person) if id in self.receipts:
                self.receipts[id].state, self.receipts[id].decided_by = RELEASED, person
            case ev.MaterialRejected(receipt=id, person=person) if id in self.receipts:
                self.receipts[id].decided_by = person
                self._finish(id, REJECTED)
            case ev.MaterialBookedOut(receipt=id, quantity=pieces) if id in self.receipts:
                self.receipts[id].booked_out += pieces
                self._finish_when_empty(id)
            case ev.MaterialAccepted(receipt=id, serial=serial) if id in self.receipts:
                self.receipts[id].used += 1
                self.receipts[id].serials += [serial] if serial else []
                self._finish_when_empty(id)
            case ev.LotRecalled(catalogue=catalogue, lot=lot):
                self.recalls[key_of(catalogue, lot)] = event
            case ev.RecallLifted(catalogue=catalogue, lot=lot):
                self.recalls.pop(key_of(catalogue, lot), None)
            case _:
                pass

    def _receive(self, event: ev.MaterialReceived, at: datetime, actor: str) -> None:
        self.received += 1
        self.receipts[event.receipt] = Receipt(
            id=event.receipt,
            catalogue=event.catalogue,
            lot=event.lot,
            title=event.title,
            serial=event.serial,
            expires_at=event.expires_at,
            quantity=event.quantity,
            supplier=event.supplier,
            visual_check=event.visual_check,
            certificate=event.certificate_blob or event.certificate_reference,
            received_by=actor,
            received_at=at.isoformat(),
        )

    def _finish_when_empty(self, id: str) -> None:
        if self.receipts[id].left == 0:
            self._finish(id, USED_UP)

    def _finish(self, id: str, state: str) -> None:
        receipt = self.receipts.pop(id)
        receipt.state = state
        self.finished[id] = receipt
        while len(self.finished) > FINISHED_KEPT_MAX:
            del self.finished[next(iter(self.finished))]

    # ── What a batch's record tells of it ──────────────────────────────────────────────

    def told(self, catalogues: Iterable[str]) -> dict[str, Any]:
        """All that a batch which takes these catalogue numbers could ask of it, as plain JSON values."""
        wanted = {catalogue_key(one) for one in catalogues}
        said: dict[str, Any] = {"received": self.received}
        receipts = [_said(one) for one in self.receipts.values() if catalogue_key(one.catalogue) in wanted]
        finished = [
            {"id": one.id, "catalogue": one.catalogue, "lot": one.lot, "state": one.state}
            for one in self.finished.values()
            if catalogue_key(one.catalogue) in wanted
        ]
        recalls = [asdict(one) for one in self.recalls.values() if catalogue_key(one.catalogue) in wanted]
        lists = {"receipts": receipts, "finished": finished, "recalls": recalls}
        return said | {name: rows for name, rows in lists.items() if rows}

    @classmethod
    def from_told(cls, said: Mapping[str, Any]) -> Stock:
        """The stock as a batch's record tells it."""
        stock = cls(received=int(said.get("received", 0)), partial=True)
        stock.receipts = {one.id: one for one in _receipts(said.get("receipts", ()))}
        stock.finished = {one.id: one for one in _receipts(said.get("finished", ()))}
        for one in said.get("recalls", ()):
            recalled = ev.LotRecalled(**one)
            stock.recalls[key_of(recalled.catalogue, recalled.lot)] = recalled
        return stock


def _said(receipt: Receipt) -> dict[str, Any]:
    return {name: value for name, value in asdict(receipt).items() if value}


def _receipts(said: Iterable[Mapping[str, Any]]) -> Iterator[Receipt]:
    return (Receipt(**one) for one in said)
