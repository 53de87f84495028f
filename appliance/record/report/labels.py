"""Each label that a batch issued and what became of it, by its serial (F-008)."""

from __future__ import annotations

from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Cell, Row, Span, Table
from appliance.record.report.text import NOTHING, or_nothing

HEADS = ("No.", "Label", "Template", "Printed", "Why it was made", "Applied and scanned", "Void", "Fate")
SHARES = (1.1, 3.9, 2.6, 3.4, 3.0, 1.8, 3.2, 2.6)
# The newest of these says where a void label is.
FATES = {
    "LabelShown": "void, shown",
    "LabelDestroyed": "destroyed",
    "LabelMissing": "MISSING",
    "LabelLossAccepted": "MISSING, signed for",
}


def blocks(batch: Batch) -> list[Block]:
    """One table of all labels by their serials; nothing where the batch issued none."""
    requests = batch.of("LabelRequested")
    if not requests:
        return []
    return [Table(heads=HEADS, rows=[_row(batch, one) for one in requests], none="", shares=SHARES)]


def _row(batch: Batch, request: Entry) -> Row:
    serial = request.text("label_id")
    printed, verified = _last(batch, "LabelPrinted", serial), _last(batch, "LabelVerified", serial)
    voided = _last(batch, "LabelVoided", serial)
    flag = (request.body.get("identity") or {}).get("flags", "")
    label: Cell = (Span(serial), Span(" second print, flag 05", "strong")) if flag == "05" else serial
    return Row(
        (
            (Span(str(request.seq), "", request.seq),),
            label,
            _template(request, printed),
            _printed(batch, printed),
            or_nothing(request.text("reason") or ("the recipe asks for it" if not voided else "")),
            _number(verified),
            (Span(voided.text("reason"), "alert"),) if voided else NOTHING,
            _fate(batch, serial, printed=printed, verified=verified, voided=voided),
        )
    )


def _last(batch: Batch, kind: str, serial: str) -> Entry | None:
    return next((one for one in reversed(batch.of(kind)) if one.text("label_id") == serial), None)


def _number(entry: Entry | None) -> Cell:
    return (Span(str(entry.seq), "", entry.seq),) if entry else NOTHING


def _template(request: Entry, printed: Entry | None) -> str:
    version = printed.text("version") if printed else ""
    return f"{request.text('template')}{f' version {version}' if version else ''}"


def _printed(batch: Batch, printed: Entry | None) -> Cell:
    if printed is None:
        return (Span("was not printed", "alert"),)
    who = printed.text("said_by")
    where = printed.text("printer") or "no printer: the picture is the label"
    said = f", said by {batch.person(who)}" if who and who != "printer" else ""
    return (Span(str(printed.seq), "", printed.seq), Span(f" {where}{said}"))


def _fate(
    batch: Batch, serial: str, *, printed: Entry | None, verified: Entry | None, voided: Entry | None
) -> Cell:
    if printed is None:
        return NOTHING
    told = [one for kind in FATES for one in batch.of(kind) if one.text("label_id") == serial]
    if told:
        newest = max(told, key=lambda one: one.seq)
        words = FATES[newest.kind]
        if newest.kind == "LabelDestroyed":
            people = [batch.person(newest.text(name)) for name in ("person", "witness")]
            words = f"{words} by {people[0]}, witnessed by {people[1]}"
        return (Span(words, "alert" if "MISSING" in words else ""),)
    if voided is not None:
        return (Span("not accounted for", "alert"),)
    return "applied" if verified else (Span("not applied", "alert"),)
