"""What came from what: order, bags, materials, samples, counts, results, labels and dose, both ways.

The record is read once, and only the events that name a thing. An identifier is found as people write it:
with or without blanks, as printed under a symbol or as the symbol says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from appliance.record.canonical import StoredRecord, decode_payload


@dataclass(frozen=True, slots=True)
class Thing:
    """Something with an identifier of its own.

    `key` is its kind and identifier, and tells it from every other; `names` are the ways people write it.
    """

    kind: str
    id: str
    words: str
    names: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The thing's place in the graph."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing became part of another, or gave it: with the event that says so."""

    source: str
    target: str
    words: str
    at: datetime
    seq: int


@dataclass(slots=True)
class Genealogy:
    """All things of a record and how they came from each other."""

    things: dict[str, Thing] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    held: dict[str, str] = field(default_factory=dict)  # key of a bag or dose → who holds it now, in words

    def found(self, identifier: str) -> list[Thing]:
        """Return the things that an identifier names, the newest last."""
        wanted = plain(identifier)
        return [
            thing
            for thing in self.things.values()
            if wanted == plain(thing.id) or any(wanted == plain(name) for name in thing.names)
        ]

    def before(self, key: str) -> list[Step]:
        """The steps that led to a thing, from whatever they began with, in the record's order."""
        return self._walk(key, back=True)

    def after(self, key: str) -> list[Step]:
        """The steps that a thing led to, in the record's order."""
        return self._walk(key, back=False)

    def _walk(self, key: str, *, back: bool) -> list[Step]:
        beside: dict[str, list[Step]] = {}
        for step in self.steps:
            beside.setdefault(step.target if back else step.source, []).append(step)
        seen, waiting, steps = {key}, [key], dict[Step, None]()
        while waiting:
            for step in beside.get(waiting.pop(), ()):
                steps[step] = None
                other = step.source if back else step.target
                if other not in seen:
                    seen.add(other)
                    waiting.append(other)
        return sorted(steps, key=lambda step: step.seq)


def plain(identifier: str) -> str:
    """An identifier without blanks, dashes, brackets and case."""
    return re.sub(r"[\s\-\[\]]", "", identifier).upper()


def genealogy_of(records: Iterable[StoredRecord]) -> Genealogy:
    """Read a record's events, in their order, into what came from what."""
    made = _Maker()
    for stored in records:
        header = stored.header
        if header.kind in KINDS:
            payload = decode_payload(stored.payload)
            made.take(header.kind, str(payload.batch or ""), dict(payload.body), header.wall, stored.seq)
    return made.genealogy


class _Maker:
    """Takes events one by one; knows each batch's own things."""

    def __init__(self) -> None:
        self.genealogy = Genealogy()
        self._dose_of: dict[str, str] = {}
        self._sample_of: dict[str, str] = {}
        self._bag_of: dict[str, Thing] = {}
        self._passed: dict[str, int] = {}  # batch → hand-overs so far

    def take(self, kind: str, batch: str, body: Mapping[str, Any], at: datetime, seq: int) -> None:
        for source, target, words in _TAKERS.get(kind, _nothing)(self, batch, body):
            for thing in (source, target):
                self.genealogy.things.setdefault(thing.key, thing)
            self.genealogy.steps.append(Step(source.key, target.key, words, at, seq))

    def opened(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        order = json.loads(body["order_text"])
        coi = _chain(order["coi"])
        patient = Thing("patient", order["patient"], "patient")
        ordered = Thing("order", order["id"], f"order of {order.get('recipe', '')}".strip())
        self._bag_of[batch] = _bag(order["din"], order["description_code"], order["division"])
        yield patient, coi, "is known by"
        yield coi, ordered, "runs through"
        yield coi, self._bag_of[batch], "begins with"
        yield ordered, _batch(batch), "was begun as"

    def bag(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        yield _bag(body["din"], body["description_code"], body["division"]), _batch(batch), "went into"

    def material(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        lot = f"{body['catalogue']}/{body['lot']}"
        names = frozenset(filter(None, (body["lot"], body["catalogue"], body.get("receipt", ""))))
        yield Thing("material lot", lot, body["material"], names), _batch(batch), "was used in"

    def sample(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        sample = Thing("sample", body["sample_id"], f"sample of {body['volume_ml']} mL")
        self._sample_of[batch] = body["sample_id"]
        self.genealogy.things.setdefault(sample.key, sample)
        yield _batch(batch), sample, "gave"

    def count(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        viability = f", viability {body['viability_percent']} %" if body["viability_percent"] else ""
        counted = Thing(
            "count", body["count_id"], f"replicate {body['replicate']}, {body['verdict']}{viability}"
        )
        yield self._sample(batch), counted, "was counted as"

    def result(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        words = f"{body['test'].replace('_', ' ')} {body['value']} {body['unit']}, {body['verdict']}"
        result = Thing("result", f"{batch}/{body['test']}", " ".join(words.split()))
        yield self._sample(batch), result, "was found to have"

    def labelled(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        dose = _bag(body["din"], body["product_code"][:5], body["division"], body["label_id"], kind="dose")
        self._dose_of[batch] = dose.key
        self.genealogy.things.setdefault(dose.key, dose)
        yield _batch(batch), dose, "was filled as"

    def disposition(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        words = f"{body['disposition']} ({body['stage']}) by {body['name'] or body['by']}"
        decision = Thing("disposition", f"{batch}/{body['version']}", words)
        yield self._dose(batch), decision, "has the"

    def matched(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        match = Thing("bedside match", f"{batch}/match", "wristband, bag and order agree")
        yield self._dose(batch), match, "was held against the patient:"

    def handed(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        words = " to ".join(body[who] for who in ("giver", "receiver") if body.get(who)) or "handed over"
        yield self._dose(batch), Thing("hand-over", f"{batch}/hand-over", words), "was handed over"

    # ── Consent, hands and roads ───────────────────────────────────────────────────────

    def consented(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        consent = _consent(body)
        yield Thing("patient", body["patient"], "patient"), consent, "gave"
        yield consent, _chain(body["coi"]), "allows"

    def withdrew(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        words = f"{body['reason']}, received from {body['received_from']}"
        withdrawal = Thing("withdrawal of consent", f"{body['coi']}/{body['consent']}", words)
        yield _consent(body), withdrawal, "was ended by"
        yield _chain(body["coi"]), withdrawal, "was stopped by"

    def passed(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        self._passed[batch] = number = self._passed.get(batch, 0) + 1
        seal = f"seal {body['seal_number']} {body['seal']}".replace("  ", " ") if body["seal"] else ""
        warmth = f"{body['temperature_c']} °C" if body["temperature_c"] else ""
        about = ", ".join(filter(None, (f"at {body['place']}", seal, warmth)))
        names = frozenset(filter(None, (body["seal_number"], body["shipper"])))
        words = f"{body['giver']} to {body['receiver']} {about}"
        hands = Thing("custody", f"{batch}/custody-{number}", words, names)
        what = self._bag(batch) if body["kind"] == "bag" else self._dose(batch)
        self.genealogy.held[what.key] = f"{body['holder']}: {body['receiver']} {about}"
        yield what, hands, "was given by"
        if body["kind"] == "bag":
            yield hands, _batch(batch), "was received for"

    def travelled(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        words = (
            f"{body['sent_from']} to {body['sent_to']}, {body['lowest_c']} to {body['highest_c']} °C, "
            f"{body['outside_min']} min outside: {body['verdict']}"
        )
        names = frozenset(filter(None, (body["shipper"], body["logger"], body["seal_number"])))
        road = Thing("transport", f"{batch}/transport", words, names)
        yield self._bag(batch), road, "travelled in"
        yield road, _batch(batch), "ended before"

    def voided(self, batch: str, body: Mapping[str, Any]) -> Iterator[tuple[Thing, Thing, str]]:
        yield _batch(batch), Thing("void label", body["label_id"], str(body["reason"])), "had, and voided,"

    def _bag(self, batch: str) -> Thing:
        return self._bag_of.get(batch) or _batch(batch)

    def _sample(self, batch: str) -> Thing:
        known = self._sample_of.get(batch)
        return self.genealogy.things[f"sample:{known}"] if known else _batch(batch)

    def _dose(self, batch: str) -> Thing:
        known = self._dose_of.get(batch)
        return self.genealogy.things[known] if known else _batch(batch)


def _nothing(*_: object) -> Iterator[tuple[Thing, Thing, str]]:
    return iter(())


_TAKERS: Mapping[str, Any] = {
    "BatchOpened": _Maker.opened,
    "BagAccepted": _Maker.bag,
    "MaterialAccepted": _Maker.material,
    "SampleTaken": _Maker.sample,
    "CellCountReported": _Maker.count,
    "ResultReceived": _Maker.result,
    "ProductLabelled": _Maker.labelled,
    "DispositionRecorded": _Maker.disposition,
    "BedsideMatched": _Maker.matched,
    "HandOverSigned": _Maker.handed,
    "ConsentRecorded": _Maker.consented,
    "ConsentWithdrawn": _Maker.withdrew,
    "CustodyTransferred": _Maker.passed,
    "TransportRecorded": _Maker.travelled,
    "LabelVoided": _Maker.voided,
}
KINDS = frozenset(_TAKERS)


def _chain(coi: str) -> Thing:
    return Thing("chain of identity", coi, "chain of identity", frozenset({f"&/{coi}"}))


def _consent(body: Mapping[str, Any]) -> Thing:
    """A form's id is the site's own: with the chain of identity it names one form of one patient."""
    said = f"consent, received from {body['received_from']}"
    return Thing("consent", f"{body['coi']}/{body['consent']}", said, frozenset({body["consent"]}))


def _batch(batch: str) -> Thing:
    return Thing("batch", batch, "batch")


def _bag(din: str, description_code: str, division: str, label_id: str = "", kind: str = "bag") -> Thing:
    words = f"{description_code}, division {division}" + (f", label {label_id}" if label_id else "")
    names = frozenset(name for name in (din, f"={din}", label_id) if name)
    return Thing(kind, f"{din}/{description_code}/{division}", words, names)
