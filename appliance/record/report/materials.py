"""The materials of a batch: which lot, from which receipt, who received and released it, in place of what."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Cell, Row, Span, Table
from appliance.record.report.text import NOTHING, or_nothing

HEADS = (
    "No.",
    "Material",
    "Catalogue number",
    "Lot",
    "Expires",
    "Receipt",
    "Received, released",
    "Certificate",
)
SHARES = (1.1, 3.4, 3.4, 2.2, 3.0, 2.6, 3.0, 3.3)
BEFORE_RECEIPTS = "not kept then"


def blocks(batch: Batch) -> list[Block]:
    """One table of all materials that were taken; nothing where none was."""
    accepted = batch.of("MaterialAccepted")
    if not accepted:
        return []
    titles, receipts, recalled = _titles(batch), _receipts(batch), _recalled(batch)
    rows = [_row(batch, one, titles, receipts, recalled) for one in accepted]
    return [Table(heads=HEADS, rows=rows, none="", shares=SHARES)]


def _row(
    batch: Batch,
    entry: Entry,
    titles: Mapping[str, str],
    receipts: Mapping[str, Mapping[str, Any]],
    recalled: set[tuple[str, str]],
) -> Row:
    material, catalogue, lot = (entry.text(name) for name in ("material", "catalogue", "lot"))
    known = receipts.get(entry.text("receipt"), {})
    serial = entry.text("serial")
    of_lot: list[Span] = [Span(lot + (f", serial {serial}" if serial and serial != lot else ""))]
    if (catalogue, lot) in recalled:
        of_lot.append(Span(" RECALLED", "alert"))
    substitutes = entry.text("substitutes")
    number: Cell = catalogue
    if substitutes:
        number = (Span(catalogue), Span(f" qualified alternate for {substitutes}", "strong"))
    people = [entry.text(name) for name in ("received_by", "released_by")]
    return Row(
        (
            (Span(str(entry.seq), "", entry.seq),),
            titles.get(material, material),
            number,
            tuple(of_lot),
            batch.times.read(entry.body.get("expires_at")),
            entry.text("receipt") or BEFORE_RECEIPTS,
            ", ".join(batch.person(one) for one in people) if all(people) else NOTHING,
            or_nothing(known.get("certificate")),
        )
    )


def _titles(batch: Batch) -> dict[str, str]:
    try:
        materials = tomllib.loads(batch.opened.text("recipe_text")).get("material", {})
    except tomllib.TOMLDecodeError:
        return {}  # its text stands under Long texts as it is
    return {name: str(one.get("title", name)) for name, one in materials.items() if isinstance(one, dict)}


def _receipts(batch: Batch) -> dict[str, Mapping[str, Any]]:
    """What the batch's opening tells of receipts; one that came in later is in the unit's record alone."""
    said = json.loads((batch.opened.body.get("unit_before") or {}).get("materials", "{}"))
    return {str(one["id"]): one for one in said.get("receipts", [])}


def _recalled(batch: Batch) -> set[tuple[str, str]]:
    return {(one.text("catalogue"), one.text("lot")) for one in batch.of("LotOfBatchRecalled")}
