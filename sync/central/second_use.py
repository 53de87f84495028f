"""One order, at most one hand-over; one bag, at most one batch: central sees what no unit can (SAFETY 9).

Each event that uses an order or a bag is noted when it arrives. A second use is found whichever of
both records comes first, and however late: central's log says so, both units get a signed
notice, and neither batch is certified before a QP has said why; after two hand-overs, never.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access import documents
from appliance.access.central_words import TEXT_LENGTH_MAX, USES_MAX, Notice, Use
from appliance.domain.batch import bag_key
from appliance.domain.stock import key_of
from appliance.domain.upcasters import todays_body
from appliance.record.canonical import decode_payload, split_record
from appliance.record.errors import RecordRefused
from sync.central.store import CentralEvent, Document, Store, UseRow

KEY_CHARACTERS_MAX = 200
ONCE = ("order", "bag", "hand_over")
FOUND, JUDGED = "SecondUseFound", "SecondUseJudged"
TITLES = {"order": "Order", "bag": "Bag", "hand_over": "Hand-over of order"}
KINDS = (
    "BatchOpened",
    "BagAccepted",
    "HandedOver",
    "OrderHandedBack",
    "MaterialAccepted",
    "MaterialReceived",
    "CentralWordTaken",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondUse:
    """One thing that stands in more than one batch, as one of these batches sees it."""

    subject: str
    key: str
    uses: tuple[UseRow, ...]
    judged_by: str = ""
    judged_words: str = ""

    @property
    def title(self) -> str:
        return f"{TITLES[self.subject]} {self.key.replace('|', ' ')}"

    @property
    def words(self) -> str:
        """What is so, without what to do."""
        places = [f"batch {use.batch} on unit {use.unit_id}" for use in self.uses]
        shown = places[:4] + ([f"{len(places) - 4} more"] if len(places) > 4 else [])
        verb = "was handed over" if self.subject == "hand_over" else "was used"
        named = f"{TITLES['order' if self.subject == 'hand_over' else self.subject]} "
        return f"{named}{self.key.replace('|', ' ')} {verb} in {', and in '.join(shown)}."

    @property
    def blocks(self) -> bool:
        """Whether no release may be signed: until a QP has said why, and after two hand-overs for ever."""
        return self.subject == "hand_over" or not self.judged_by

    @property
    def mark(self) -> str:
        """These very uses: one more makes a judgement of before void."""
        return json.dumps([[use.unit_id, use.epoch, use.seq] for use in self.uses])


# ── At the intake ──────────────────────────────────────────────────────────────────────


def uses_in(kind: str, body: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Subject, key and detail of each use that an event is."""
    said = {name: str(value) for name, value in body.items() if isinstance(value, str | int)}
    match kind:
        case "BatchOpened":
            order = _order(said.get("order_text", ""))
            return [
                ("order", said.get("order_id", ""), order.get("patient", "")),
                ("consent", order.get("consent", ""), order.get("coi", "")),
            ]
        case "BagAccepted":
            bag = bag_key(said.get("din", ""), said.get("description_code", ""), said.get("division", ""))
            return [("bag", bag, "")]
        case "HandedOver":
            return [("hand_over", said.get("order_id", ""), said.get("dose_label", ""))]
        case "OrderHandedBack":
            return [("hand_back", said.get("order", ""), said.get("assignment", ""))]
        case "MaterialAccepted":
            lot = key_of(said.get("catalogue", ""), said.get("lot", ""))
            return [("lot", lot, said.get("material", ""))]
        case "MaterialReceived":
            lot = key_of(said.get("catalogue", ""), said.get("lot", ""))
            return [("lot_received", lot, said.get("quantity", ""))]
        case "CentralWordTaken":
            return [
                ("word_taken", f"{said.get('type', '')}:{said.get('document', '')}", said.get("version", ""))
            ]
        case _:
            return []


def note(
    store: Store,
    key: Ed25519PrivateKey,
    *,
    unit_id: str,
    epoch: str,
    seq: int,
    batch: str,
    kind: str,
    body: Mapping[str, Any],
    received_at: str,
) -> None:
    """Note what an event uses, inside the transaction that stores it; a second use is told at once."""
    for subject, said, detail in uses_in(kind, body):
        thing = said[:KEY_CHARACTERS_MAX] if said.strip("|") else ""
        use = UseRow(
            subject=subject,
            key=thing,
            unit_id=unit_id,
            epoch=epoch,
            seq=seq,
            batch=batch,
            kind=kind,
            detail=detail,
            received_at=received_at,
        )
        if thing and store.note_use(use) and subject in ONCE:
            found = _doubled(subject, thing, store.uses(subject, thing))
            if found is not None and use in found.uses:
                _tell(store, key, found, received_at)


def catch_up(store: Store, key: Ed25519PrivateKey, *, now: str) -> None:
    """Note what records that came before uses were noted say; costs one look through them, once."""
    if not store.batches() or any(store.uses_of_batch(one.unit_id, one.batch) for one in store.batches()):
        return
    with store.transaction():
        for unit_id, epoch, row in store.records_of_kinds(KINDS):
            try:
                header, raw = split_record(row.data)
                body = todays_body(row.kind, header.payload_version, decode_payload(raw).body)
            except RecordRefused:
                continue  # counted as a projection fault when it came
            note(
                store,
                key,
                unit_id=unit_id,
                epoch=epoch,
                seq=row.seq,
                batch=row.batch,
                kind=row.kind,
                body=body,
                received_at=now,
            )


def _order(order_text: str) -> dict[str, str]:
    try:
        found = msgspec.json.decode(order_text)
    except (msgspec.DecodeError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _doubled(subject: str, thing: str, uses: Sequence[UseRow]) -> SecondUse | None:
    """The uses where there are two; a bag that one batch accepted again, after a restore, is one use."""
    first: dict[tuple[Any, ...], UseRow] = {}
    for use in uses:
        place: tuple[Any, ...] = (use.unit_id, use.batch)
        if subject != "bag":  # an epoch that knows nothing of the one before may make the order anew
            place = (*place, use.epoch, use.seq)
        first.setdefault(place, use)
    if len(first) < 2:
        return None
    return SecondUse(subject=subject, key=thing, uses=tuple(first.values()))


def _tell(store: Store, key: Ed25519PrivateKey, found: SecondUse, at: str) -> None:
    notice_id = f"{found.subject}:{found.key}"
    held = store.document("notice", notice_id)
    notice = Notice(
        id=notice_id,
        version=(held.version if held else 0) + 1,
        issued_at=datetime.fromisoformat(at),
        by="central",
        name="central",
        reason=found.words[:TEXT_LENGTH_MAX],
        subject=found.subject,
        key=found.key,
        uses=tuple(Use(unit=use.unit_id, batch=use.batch) for use in found.uses[:USES_MAX]),
    )
    envelope = documents.to_json(documents.sign("notice", notice.to_content(), key, "central")).strip()
    store.put_document(
        Document(type="notice", document_id=notice_id, version=notice.version, envelope=envelope)
    )
    for unit_id in sorted({use.unit_id for use in found.uses}):
        store.queue_down(unit_id, "notice", envelope)
    body = msgspec.json.encode({"text": found.words, "subject": found.subject, "key": found.key}).decode()
    for unit_id, batch in sorted({(use.unit_id, use.batch) for use in found.uses}):
        store.add_event(at=at, actor="central", kind=FOUND, unit_id=unit_id, batch=batch, body=body)


# ── For people ─────────────────────────────────────────────────────────────────────────


def all_second_uses(store: Store) -> list[SecondUse]:
    """Everything that was used twice, the newest first."""
    pairs = ((subject, key, store.uses(subject, key)) for subject, key in store.used_twice(ONCE))
    return [one for one in (_doubled(*pair) for pair in pairs) if one is not None]


def of_batch(store: Store, unit_id: str, batch: str, events: Iterable[CentralEvent]) -> list[SecondUse]:
    """What of a batch was used a second time, and what a QP said of it."""
    judged = [event for event in events if event.kind == JUDGED]
    found = []
    for subject, key in dict.fromkeys((u.subject, u.key) for u in store.uses_of_batch(unit_id, batch)):
        one = _doubled(subject, key, store.uses(subject, key)) if subject in ONCE else None
        if one is not None:
            found.append(_with_judgement(one, judged))
    return found


def _with_judgement(one: SecondUse, judged: Sequence[CentralEvent]) -> SecondUse:
    for event in reversed(judged):
        body = json.loads(event.body)
        if (body.get("subject"), body.get("key"), body.get("mark")) == (one.subject, one.key, one.mark):
            return SecondUse(
                subject=one.subject,
                key=one.key,
                uses=one.uses,
                judged_by=event.actor,
                judged_words=str(body.get("reason", "")),
            )
    return one
