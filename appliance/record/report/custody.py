"""Who had it when: consent, hand-overs and transport of one batch, as a reviewer reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Cell, Note, Row, Span, Table
from appliance.record.report.text import NOTHING, or_nothing

CONSENT_HEADS = ("No.", "Consent", "State", "Received from", "Day", "By")
CONSENT_SHARES = (1.1, 4.0, 2.6, 5.0, 4.0, 3.3)
HANDS_HEADS = ("No.", "When", "What", "Giver to receiver", "Place", "Seal", "°C")
HANDS_SHARES = (1.1, 4.0, 3.2, 5.2, 3.2, 3.0, 1.4)
ROAD_HEADS = ("No.", "Shipper, logger", "From, to", "Lowest, highest", "Outside, gaps", "Verdict")
ROAD_SHARES = (1.1, 3.8, 6.2, 3.4, 4.0, 2.0)
BEFORE = "before"  # in place of a number: it was on record before this batch opened
NO_CONSENT = "No consent is on record of this batch: it was opened by rules that did not ask for one."


def blocks(batch: Batch) -> list[Block]:
    """Three tables: the consent it rests on, the hands it went through, the roads it came."""
    hands, roads = batch.of("CustodyTransferred"), batch.of("TransportRecorded")
    return [
        Table(
            heads=CONSENT_HEADS,
            rows=list(_consents(batch)),
            none=NO_CONSENT,
            shares=CONSENT_SHARES,
        ),
        Table(
            heads=HANDS_HEADS,
            rows=[_hand_over(batch, one) for one in hands],
            none="No hand-over is on record.",
            shares=HANDS_SHARES,
        ),
        Table(
            heads=ROAD_HEADS,
            rows=[_road(batch, one) for one in roads],
            none="No transport is on record.",
            shares=ROAD_SHARES,
        ),
        *(Note(words) for one in roads for words in _stretches(batch, one)),
    ]


def _coi(batch: Batch) -> str:
    try:
        return str(json.loads(batch.opened.text("order_text")).get("coi", ""))
    except (ValueError, AttributeError):
        return ""


def _consents(batch: Batch) -> Iterator[Row]:
    """What the opening tells of consents, then what came since of this chain of identity alone."""
    said = json.loads((batch.opened.body.get("unit_before") or {}).get("consents", "[]"))
    for one in said:
        yield _consent(batch, (Span(BEFORE, "quiet"),), one["said"], withdrawn=bool(one["withdrawn"]))
    coi = _coi(batch)
    for entry in batch.of("ConsentRecorded", "ConsentWithdrawn"):
        if entry.text("coi") == coi:
            withdrawn = entry.kind == "ConsentWithdrawn"
            yield _consent(batch, _number(entry), entry.body, withdrawn=withdrawn)


def _consent(batch: Batch, number: Cell, said: Mapping[str, Any], *, withdrawn: bool) -> Row:
    people = [str(said.get(name) or "") for name in ("first_person", "second_person", "noted_by")]
    by = ", ".join(batch.person(one) for one in people if one)
    state = Span("withdrawn", "alert") if withdrawn else Span("given", "strong")
    day = batch.times.read(said.get("withdrawn_at")) if withdrawn else or_nothing(said.get("given_on"))
    source = or_nothing(said.get("received_from"))
    reason = str(said.get("reason") or "")
    return Row(
        (
            number,
            or_nothing(said.get("consent")),
            (state,),
            f"{source}: {reason}" if reason else source,
            day,
            by or ("a signed document" if said.get("document_blob") else NOTHING),
        )
    )


def _number(entry: Entry) -> Cell:
    return (Span(str(entry.seq), "", entry.seq),)


def _hand_over(batch: Batch, entry: Entry) -> Row:
    giver, receiver = (batch.person(entry.text(name)) for name in ("giver", "receiver"))
    seal, number = entry.text("seal"), entry.text("seal_number")
    remarks = entry.text("remarks")
    return Row(
        (
            _number(entry),
            batch.times.both(entry.header.wall),
            f"{entry.text('kind')} {entry.text('key').replace('|', ' ')}",
            f"{giver} to {receiver}" + (f" ({remarks})" if remarks else ""),
            or_nothing(entry.text("place")),
            (Span(f"{number} {seal}".strip() or NOTHING, "alert" if seal == "broken" else ""),),
            or_nothing(entry.text("temperature_c")),
        )
    )


def _road(batch: Batch, entry: Entry) -> Row:
    verdict = entry.text("verdict")
    low, high = (entry.body.get("range_c") or [NOTHING, NOTHING])[:2]
    sent = f"{entry.text('sent_from')} to {entry.text('sent_to')}"
    when = f"{batch.times.read(entry.text('started'))} to {batch.times.read(entry.text('ended'))}"
    return Row(
        (
            _number(entry),
            f"{entry.text('shipper')}, {entry.text('logger')}; {or_nothing(entry.text('packing'))}",
            f"{sent}; {when}; {entry.body.get('readings', 0)} readings",
            f"{entry.text('lowest_c')} to {entry.text('highest_c')} °C; allowed {low} to {high} °C",
            f"{entry.text('outside_min')} min outside; {len(entry.body.get('gaps') or [])} gaps",
            (Span(or_nothing(verdict), "strong" if verdict == "pass" else "alert"),),
        )
    )


def _stretches(batch: Batch, entry: Entry) -> Iterator[str]:
    for one in entry.body.get("excursions") or []:
        at, far = batch.times.read(one.get("at")), one.get("furthest_c")
        yield f"Outside its range from {at} for {one.get('minutes')} min, as far as {far} °C."
    for one in entry.body.get("gaps") or []:
        yield f"Without a reading from {batch.times.read(one.get('at'))} for {one.get('minutes')} min."
