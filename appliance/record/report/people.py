"""What people did to the record: signatures as they stand now, corrections with the first value kept."""

from __future__ import annotations

from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Cell, Note, Row, Span, Style, Table
from appliance.record.report.text import NOTHING, or_nothing, plain, words_of

SIGNING = ("SignatureGiven", "SecondPersonConfirmed", "DispositionRecorded")
LONG_TABLE = 400
CODE_LETTERS = 8


def signatures(batch: Batch) -> list[Block]:
    """Printed name, meaning, time in UTC and at the site, what was signed, and whether it still covers."""
    rows = [_signature(batch, entry) for entry in batch.of(*SIGNING)]
    table = Table(
        heads=("No.", "Printed name", "Meaning", "Signed at", "What was signed", "Code", "Stands"),
        rows=rows,
        none="Nobody has signed.",
        shares=(1.0, 3.2, 2.0, 4.0, 4.6, 1.9, 3.2),
        dense=len(rows) > LONG_TABLE,
    )
    if not rows:
        return [table]
    lead = (
        "The code is the beginning of the SHA-256 of exactly what was signed. A signature whose content "
        "was changed afterwards is struck through and covers nothing."
    )
    return [Note(lead), table]


def _signature(batch: Batch, entry: Entry) -> Row:
    body, voided = entry.body, batch.voided.get(entry.seq, [])
    person = body.get("person") or body.get("by")
    name = str(body.get("name") or batch.people.get(str(person)) or "")
    at: object = body.get("at") or body.get("decided_at")
    if entry.kind == "SignatureGiven":
        meaning, what, signs = body.get("meaning"), body.get("what"), body.get("signs")
    elif entry.kind == "SecondPersonConfirmed":
        phase, key = entry.text("phase"), entry.text("key")
        meaning, what, signs = "verified", f"{words_of(phase)}: {words_of(key)}", ""
    else:
        meaning, signs = "certified", body.get("decision_hash")
        what = f"{or_nothing(body.get('disposition'))} ({or_nothing(body.get('stage'))})"
    style: Style = "struck" if voided else ""
    code = str(signs or entry.stored.hash.hex())[:CODE_LETTERS]
    signed_at = batch.times.read(at) if at else batch.times.both(entry.header.wall)
    return Row(
        (
            (Span(str(entry.seq), "", entry.seq),),
            (Span(name or NOTHING, style or "strong"), Span(f" {or_nothing(person)}", "quiet")),
            (Span(or_nothing(meaning), style),),
            (Span(signed_at, style),),
            (Span(batch.value(what) if what else NOTHING, style),),
            (Span(code, "code"),),
            _stands(voided),
        )
    )


def _stands(voided: list[Entry]) -> Cell:
    if not voided:
        return "yes"
    spans = [Span("void: no longer signed. ", "alert")]
    for entry in voided:
        spans += [Span(f"{plain(entry.body.get('words') or '')} Event "), Span(str(entry.seq), "", entry.seq)]
        because = entry.body.get("because_seq")
        if isinstance(because, int):
            spans += [Span(", changed by event "), Span(str(because), "", because)]
        spans.append(Span(". "))
    return tuple(spans)


def corrections(batch: Batch) -> list[Block]:
    """Every value changed since its first entry: the first struck through, the new, why, who and when."""
    rows = []
    for entry in batch.of("ValueCorrected"):
        body = entry.body
        unit = plain(body.get("unit") or "")
        first = body.get("corrected_seq")
        rows.append(
            Row(
                (
                    (Span(str(entry.seq), "", entry.seq),),
                    _first_entry(first),
                    ": ".join(words_of(str(body[n])) for n in ("phase", "key", "field") if body.get(n)),
                    (Span(f"{or_nothing(body.get('old'))} {unit}".strip(), "struck"),),
                    (Span(f"{or_nothing(body.get('new'))} {unit}".strip(), "strong"),),
                    batch.value(body.get("reason") or NOTHING),
                    f"{or_nothing(body.get('name'))} ({or_nothing(body.get('person'))})",
                    batch.times.both(entry.header.wall),
                )
            )
        )
    return [
        Table(
            heads=("No.", "First entry", "What", "First value", "New value", "Reason", "Who", "When"),
            rows=rows,
            none="No value was changed since its first entry.",
            shares=(1.0, 1.4, 3.4, 2.0, 2.0, 4.0, 2.8, 4.0),
            dense=len(rows) > LONG_TABLE,
        )
    ]


def _first_entry(seq: object) -> Cell:
    return (Span(str(seq), "", seq),) if isinstance(seq, int) else NOTHING


def with_corrections(batch: Batch, entry: Entry, value: str) -> tuple[Span, ...]:
    """A value as it was first entered, struck through where it was corrected, and then the new one."""
    changes = batch.changes_of(entry)
    if not changes:
        return (Span(value, "strong"),)
    spans = [Span(value, "struck")]
    for change in changes:
        new = f"{or_nothing(change.body.get('new'))} {plain(change.body.get('unit') or '')}".strip()
        who, why = or_nothing(change.body.get("name")), or_nothing(change.body.get("reason"))
        spans += [
            Span(f" {new}", "strong"),
            Span(f" ({why}; {who}, event "),
            Span(str(change.seq), "", change.seq),
        ]
        spans.append(Span(")"))
    return tuple(spans)
