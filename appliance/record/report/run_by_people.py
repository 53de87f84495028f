"""Devices that people ran: which device, which programme, what it showed, from which file, who looked."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from appliance.domain.operator_devices import run_by_people
from appliance.record.report import people as report_people
from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Cell, Facts, Note, Row, Span, Table
from appliance.record.report.text import NOTHING, or_nothing, plain, words_of

TYPE = "operator_device"
NOT_RESULTS = ("serial_number",)
Body = Mapping[str, Any]


def blocks(batch: Batch) -> list[Block]:
    """One block of facts and one table of results for each such phase that was started."""
    found: list[Block] = []
    for phase, table in _phases(batch).items():
        entries = [entry for entry in batch.entries if entry.text("phase") == phase]
        if any(entry.kind == "PhaseStarted" for entry in entries):
            found += [_facts(batch, phase, table, entries), _results(batch, entries)]
    return found or [Note("No device was run by people.")]


def _phases(batch: Batch) -> dict[str, Body]:
    """The phases of this type, as the batch's own recipe tells them."""
    try:
        phases = tomllib.loads(batch.opened.text("recipe_text")).get("phase", {})
    except tomllib.TOMLDecodeError:
        return {}  # its text stands under Long texts as it is
    return {name: one for name, one in phases.items() if isinstance(one, dict) and one.get("type") == TYPE}


def _facts(batch: Batch, phase: str, table: Body, entries: list[Entry]) -> Facts:
    text = table.get("text", {})
    started = next(entry for entry in entries if entry.kind == "PhaseStarted")
    rows: list[tuple[str, Cell]] = [
        ("Phase", (Span(f"{or_nothing(table.get('title'))} ({words_of(phase)}), event "), _link(started))),
        ("Device", _device(batch, table)),
        ("Programme", or_nothing(text.get("programme"))),
        ("Serial number", _serial_number(entries)),
        ("File", _file(entries)),
        ("Picture", _picture(entries)),
        ("Verified by", _verified(batch, entries)),
    ]
    refused = [one for one in entries if one.kind in ("DeviceLabelRefused", "ExchangeFileRefused")]
    for one in refused:
        rows.append(("Refused", (Span(f"{plain(one.body.get('words'))} Event ", "alert"), _link(one))))
    return Facts(rows)


def _device(batch: Batch, table: Body) -> Cell:
    kinds = [role for role in table.get("uses", {}) if run_by_people(role)]
    bench = [one for one in batch.opened.body.get("bench") or [] if one.get("role") in kinds]
    if not bench:
        return or_nothing(table.get("text", {}).get("device"))
    return f"{or_nothing(bench[0].get('title'))} ({or_nothing(bench[0].get('id'))})"


def _serial_number(entries: list[Entry]) -> Cell:
    read = [one for one in entries if one.kind == "ValueRecorded" and one.text("key") == "serial_number"]
    if not read:
        return "not read in this phase"
    return (
        Span(read[-1].text("value"), "strong"),
        Span(f" {read[-1].text('source')}, event "),
        _link(read[-1]),
    )


def _file(entries: list[Entry]) -> Cell:
    accepted = [one for one in entries if one.kind == "ExchangeFileAccepted"]
    if not accepted:
        return "none was taken over"
    newest = accepted[-1]
    return (
        Span(f"{newest.text('file')}, SHA-256 "),
        Span(newest.text("blob"), "code"),
        Span(" event "),
        _link(newest),
    )


def _picture(entries: list[Entry]) -> Cell:
    taken = [one for one in entries if one.kind == "ScanRead" and one.text("key") == "photo"]
    if not taken or not taken[-1].text("picture"):
        return "none was taken"
    return (Span("shown under Pictures, event "), _link(taken[-1]))


def _verified(batch: Batch, entries: list[Entry]) -> Cell:
    seen = [
        one for one in entries if one.kind == "SecondPersonConfirmed" and one.text("key") == "result.verify"
    ]
    if not seen:
        return NOTHING
    return (Span(f"{batch.person(seen[-1].text('person'))}, event "), _link(seen[-1]))


def _results(batch: Batch, entries: list[Entry]) -> Table:
    rows = [
        Row(
            (
                (_link(entry),),
                words_of(entry.text("key")),
                report_people.with_corrections(
                    batch, entry, f"{entry.text('value')} {entry.text('unit')}".strip()
                ),
                entry.text("source"),
            )
        )
        for entry in entries
        if entry.kind == "ValueRecorded" and entry.text("key") not in NOT_RESULTS
    ]
    return Table(
        heads=("No.", "What", "Value", "Where it comes from"),
        rows=rows,
        none="It shows no numbers.",
        shares=(1.1, 4.0, 4.0, 10.0),
    )


def _link(entry: Entry) -> Span:
    return Span(str(entry.seq), "", entry.seq)
