"""Stop from outside: a person at central withdraws a consent or recalls a lot, and every unit hears of it.

Central's key signs the document, which is enough to stop and never to allow. The person proves who
they are at that moment and gives a reason; central's own log keeps both. A recall tells at once
which units, batches and patients have the lot, over all records that are here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access import documents
from appliance.access.central_words import KINDS, TEXT_LENGTH_MAX, CentralWord, Recall, Withdrawal
from appliance.domain.stock import key_of
from sync.acks import utc_text
from sync.central.accounts import Accounts, SignInRefused
from sync.central.second_use import KEY_CHARACTERS_MAX
from sync.central.store import Account, Document, Store

W = TypeVar("W", bound=CentralWord)
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,39}")  # the unit's rule for the ids of a consent
REASON_LENGTH_MIN = 3
EVENTS = {"withdrawal": "ConsentWithdrawalSent", "recall": "LotRecallSent"}


class StopRefused(Exception):
    """Nothing was sent; the words say what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """A batch that has taken a lot, and whose it is."""

    unit: str
    batch: str
    patient: str
    order: str
    material: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LotTrace:
    """Where a lot is, over all units, as far as their records are here."""

    units: list[str]  # that received or used it
    batches: list[Affected]

    @property
    def patients(self) -> list[str]:
        return sorted({one.patient for one in self.batches if one.patient})


@dataclass(frozen=True, slots=True)
class Stops:
    """Sends words that stop."""

    store: Store
    key: Ed25519PrivateKey
    accounts: Accounts

    def withdraw(self, person: str, password: str, said: Mapping[str, Any], *, now: datetime) -> Withdrawal:
        """Tell every unit that a patient withdrew a consent; raises `StopRefused`."""
        texts = _texts(said, "consent", "coi", "patient", "received_from", "reason")
        for name in ("consent", "coi"):
            if not ID.fullmatch(texts[name]):
                raise StopRefused(f"'{texts[name][:40]}' is no {name} id. Write it as on the form.")
        if texts["patient"] and not ID.fullmatch(texts["patient"]):
            raise StopRefused("Write the patient's code as on the order, never a name.")
        if not 1 <= len(texts["received_from"]) <= 100:
            raise StopRefused("Write from whom it was received: a function, never the patient's name.")
        other = chains_of_consent(self.store, texts["consent"]) - {texts["coi"]}
        if other:
            raise StopRefused(
                f"Consent {texts['consent']} stands for {', '.join(sorted(other))} on the orders here, "
                f"not for {texts['coi']}. Compare both with the form."
            )
        account = self._proven(person, password, texts["reason"], now)
        word = Withdrawal(
            id=texts["consent"],
            version=1,
            issued_at=now.replace(microsecond=0),
            by=account.person,
            name=account.name,
            reason=texts["reason"],
            consent=texts["consent"],
            coi=texts["coi"],
            patient=texts["patient"],
            received_from=texts["received_from"],
            withdrawn_at=now.replace(microsecond=0),
        )
        what = f"Consent {word.consent} of {word.coi} withdrawn ({word.received_from})"
        return self._send(word, what, now)

    def recall(self, person: str, password: str, said: Mapping[str, Any], *, now: datetime) -> Recall:
        """Tell every unit that a lot may not be used; raises `StopRefused`."""
        texts = _texts(said, "catalogue", "lot", "reference", "reason")
        for name in ("catalogue", "lot", "reference"):
            if not 1 <= len(texts[name]) <= 60:
                raise StopRefused(f"Write the {name} as on the maker's notice, in 1 to 60 characters.")
        account = self._proven(person, password, texts["reason"], now)
        word = Recall(
            id=key_of(texts["catalogue"], texts["lot"]),
            version=1,
            issued_at=now.replace(microsecond=0),
            by=account.person,
            name=account.name,
            reason=texts["reason"],
            catalogue=texts["catalogue"],
            lot=texts["lot"],
            reference=texts["reference"],
        )
        return self._send(word, f"Lot {word.lot} of {word.catalogue} recalled ({word.reference})", now)

    def _proven(self, person: str, password: str, reason: str, now: datetime) -> Account:
        if not REASON_LENGTH_MIN <= len(reason) <= TEXT_LENGTH_MAX:
            raise StopRefused(f"Give a reason in {REASON_LENGTH_MIN} to {TEXT_LENGTH_MAX} characters.")
        try:
            return self.accounts.prove(person, password, now=now)
        except SignInRefused as refused:
            raise StopRefused(f"Nothing was sent. {refused}") from None

    def _send(self, word: W, what: str, now: datetime) -> W:
        with self.store.transaction():
            held = self.store.document(word.TYPE, word.id)
            if held is not None and word.TYPE == "withdrawal":
                raise StopRefused("This withdrawal was sent already. Every unit gets it, new ones too.")
            word = msgspec.structs.replace(word, version=(held.version if held else 0) + 1)
            signed = documents.sign(word.TYPE, word.to_content(), self.key, "central")  # type: ignore[arg-type]
            envelope = documents.to_json(signed).strip()
            self.store.put_document(
                Document(type=word.TYPE, document_id=word.id, version=word.version, envelope=envelope)
            )
            for unit in self.store.units():
                if unit.status == "active":
                    self.store.queue_down(unit.unit_id, word.TYPE, envelope)
            self.store.add_event(
                at=utc_text(now),
                actor=word.by,
                kind=EVENTS[word.TYPE],
                body=msgspec.json.encode({"text": f"{what}: {word.reason}", "id": word.id}).decode(),
            )
        return word


def send_standing(store: Store, unit_id: str) -> int:
    """A unit that is enrolled later hears of everything that was stopped before."""
    standing = [one for kind in ("withdrawal", "recall") for one in store.documents(kind)]
    for one in standing:
        store.queue_down(unit_id, one.type, one.envelope)
    return len(standing)


def words_sent(store: Store, kind: str) -> list[CentralWord]:
    """The newest version of each withdrawal or recall, the newest first."""
    found = []
    for held in store.documents(kind):
        content = documents.parse(held.envelope).content
        found.append(msgspec.json.decode(content, type=KINDS[kind]))
    return sorted(found, key=lambda word: word.issued_at, reverse=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """At which units a stop holds, by their own signed records, and from which no word of it came yet."""

    holds_at: list[str]
    not_yet_at: list[str]


def reached(store: Store, word: CentralWord) -> Reached:
    """How far a stop has come."""
    taken = {
        use.unit_id
        for use in store.uses("word_taken", f"{word.TYPE}:{word.id}"[:KEY_CHARACTERS_MAX])
        if use.detail.isdigit() and int(use.detail) >= word.version
    }
    active = {unit.unit_id for unit in store.units() if unit.status == "active"}
    return Reached(holds_at=sorted(taken), not_yet_at=sorted(active - taken))


def chains_of_consent(store: Store, consent: str) -> set[str]:
    """The chains of identity for which a consent stands, by the orders and batches that are here."""
    chains = {use.detail for use in store.uses("consent", consent)}
    for held in store.documents("order"):
        order = json.loads(documents.parse(held.envelope).content)
        if order.get("consent") == consent:
            chains.add(str(order.get("coi", "")))
    return chains - {""}


def batches_on(store: Store, consent: str) -> list[tuple[str, str]]:
    """Unit and batch of whatever was begun on a consent."""
    return [(use.unit_id, use.batch) for use in store.uses("consent", consent)]


def trace_of_lot(store: Store, catalogue: str, lot: str) -> LotTrace:
    """Units, batches and patients that have a lot."""
    key = key_of(catalogue, lot)
    used = store.uses("lot", key)
    units = {use.unit_id for use in used} | {use.unit_id for use in store.uses("lot_received", key)}
    batches: dict[tuple[str, str], Affected] = {}
    for use in used:
        orders = [one for one in store.uses_of_batch(use.unit_id, use.batch) if one.subject == "order"]
        batches[use.unit_id, use.batch] = Affected(
            unit=use.unit_id,
            batch=use.batch,
            patient=orders[0].detail if orders else "",
            order=orders[0].key if orders else "",
            material=use.detail,
        )
    return LotTrace(units=sorted(units), batches=list(batches.values()))


def stops_of(store: Store, events: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, str, str]]:
    """Group, words and kind of the evidence for each stop that concerns a batch with these events."""
    for kind, body in events:
        if kind == "MaterialAccepted":
            catalogue, lot = str(body.get("catalogue", "")), str(body.get("lot", ""))
            held = store.document("recall", key_of(catalogue, lot))
            if held is not None:
                word = msgspec.json.decode(documents.parse(held.envelope).content, type=Recall)
                yield (
                    "Recall",
                    f"Lot {lot} of {catalogue} is recalled ({word.reference}): {word.reason}",
                    kind,
                )
        elif kind == "BatchOpened":
            consent = _consent(str(body.get("order_text", "")))
            held = store.document("withdrawal", consent) if consent else None
            if held is not None:
                said = msgspec.json.decode(documents.parse(held.envelope).content, type=Withdrawal)
                yield "Consent", f"The consent {consent} was withdrawn: {said.reason}", kind


def _consent(order_text: str) -> str:
    try:
        found = json.loads(order_text)
    except ValueError:
        return ""
    return str(found.get("consent", "")) if isinstance(found, dict) else ""


def _texts(said: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: str(said.get(name, "")).strip() for name in names}
