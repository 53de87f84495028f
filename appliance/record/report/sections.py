"""The sections of a batch record for a human, in the order in which a reviewer needs them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from appliance.domain.blob_names import named_blobs
from appliance.record.report import audit_trail as report_audit_trail
from appliance.record.report import custody as report_custody
from appliance.record.report import labels as report_labels
from appliance.record.report import materials as report_materials
from appliance.record.report import people as report_people
from appliance.record.report import run_by_people as report_run_by_people
from appliance.record.report.batch import Batch, pictures_of
from appliance.record.report.entries import Entry
from appliance.record.report.model import (
    Block,
    Cell,
    Facts,
    Figure,
    Figures,
    Note,
    Row,
    Section,
    Span,
    Table,
)
from appliance.record.report.text import NOTHING, duration, interval, listed, or_nothing, plain, words_of

PHASE_ENDS = {"PhaseCompleted": "complete", "PhaseAborted": "aborted", "PhaseStopped": "stopped"}
SCANNED = ("LineCleared", "BagAccepted", "BagRefused", "MaterialAccepted", "MaterialRefused", "SampleTaken")
LABELLED = (
    "LabelPrinted",
    "LabelVerified",
    "LabelVoided",
    "LabelShown",
    "LabelDestroyed",
    "LabelMissing",
    "LabelLossAccepted",
    "LabelsReconciled",
    "ProductLabelled",
    "BedsideMatched",
    "HandOverSigned",
    "HandedOver",
)
QUALITY_KINDS = ("DeviationOpened", "AlarmRaised", "AlarmAcknowledged", "AlarmCleared", "CommentAdded")
DEVICE_KINDS = (
    "DeviceIdentified",
    "DeviceQualified",
    "CountMethodQualified",
    "DeviceOrdered",
    "DeviceReported",
    "DeviceRefusedOrder",
    "DeviceWentSilent",
    "DeviceRecovered",
    "DeviceRestartSeen",
)
QUALIFIED_BY = ("r2", "cv_percent", "pi_squared", "deviation_percent")
LONG_TABLE = 400
LONGEST_WORDS = 600
FACTS = ("No.", "When", "What", "Facts")
FACTS_SHARES = (1.1, 4.0, 3.4, 11.5)


def all_sections(batch: Batch, trends: Sequence[Block]) -> list[Section]:
    """Everything but the long texts and the audit trail."""
    return [
        Section("exceptions", "Exceptions", _exceptions(batch)),
        Section("corrections", "Corrections", report_people.corrections(batch)),
        Section("results", "Results", [_results(batch)]),
        Section("signatures", "Signatures", report_people.signatures(batch)),
        Section("phases", "Phases", [_phases(batch)]),
        Section(
            "materials",
            "Identity and materials",
            [*report_materials.blocks(batch), _table_of(batch, SCANNED, "Nothing was scanned.")],
        ),
        Section("custody", "Consent, custody and transport", report_custody.blocks(batch)),
        Section(
            "labels",
            "Labels and hand-over",
            [*report_labels.blocks(batch), _table_of(batch, LABELLED, "No label was made.")],
        ),
        Section("counts", "Cell counts", _counts(batch)),
        Section("run_by_people", "Devices run by people", report_run_by_people.blocks(batch)),
        Section("values", "Recorded values", _values(batch)),
        Section("trends", "Trends", [*trends] or [Note("No measurement is on record.")]),
        Section("quality", "Deviations, alarms and comments", [_quality(batch)]),
        Section("devices", "Devices", [_devices(batch)]),
        Section("pictures", "Pictures", _pictures(batch)),
        Section("files", "Files", _files(batch)),
    ]


def audit_trail(batch: Batch) -> Section:
    """Every event of the batch, none left out."""
    return Section("events", "All events (audit trail)", report_audit_trail.blocks(batch), new_page=True)


def _when(batch: Batch, entry: Entry) -> tuple[Cell, Cell]:
    return ((_link(entry),), batch.times.both(entry.header.wall))


def _exceptions(batch: Batch) -> list[Block]:
    groups = Counter(group for group, _ in batch.exceptions.values())
    rows = [
        Row(
            (
                *_when(batch, entry),
                (Span(batch.exceptions[entry.seq][0], "alert"),),
                _short(batch.exceptions[entry.seq][1]),
            )
        )
        for entry in batch.entries
        if entry.seq in batch.exceptions
    ]
    table = Table(
        heads=("No.", "When", "Group", "What"),
        rows=rows,
        none="None: no exception is on record.",
        shares=(1.1, 4.0, 2.2, 12.7),
        dense=len(rows) > LONG_TABLE,
    )
    if not rows:
        return [table]
    summary = ", ".join(f"{number} {group.lower()}" for group, number in groups.most_common())
    lead = f"{len(rows)} of {len(batch.entries)} events need a look: {summary}. A number leads to its event."
    return [Note(lead), table]


def _short(words: str) -> str:
    """Words for a table; a very long text is cut, and its event and Long texts have it in full."""
    if len(words) <= LONGEST_WORDS:
        return words
    return f"{words[:LONGEST_WORDS]}… (the rest of {len(words)} characters stands under Long texts)"


def _results(batch: Batch) -> Table:
    rows = []
    for entry in batch.of("ResultReceived"):
        body = entry.body
        good = body.get("verdict") in ("pass", "report")
        value = f"{or_nothing(body.get('value'))} {plain(body.get('unit') or '')}".strip()
        found = (
            *report_people.with_corrections(batch, entry, value),
            Span(f" {interval(body.get('interval'))}", "quiet"),
        )
        verdict = Span(or_nothing(body.get("verdict")), "strong" if good else "alert")
        rows.append(
            Row(
                (
                    (_link(entry),),
                    words_of(or_nothing(body.get("test"))),
                    found,
                    or_nothing(body.get("limit")),
                    (verdict,),
                    or_nothing(body.get("rule")),
                    batch.times.utc(entry.header.wall),
                )
            )
        )
    return Table(
        heads=("No.", "Test", "Result", "Limit", "Verdict", "Rule", "UTC"),
        rows=rows,
        none="No result was received.",
        shares=(1.0, 3.4, 3.6, 3.0, 1.6, 4.2, 3.5),
        dense=len(rows) > LONG_TABLE,
    )


def _phases(batch: Batch) -> Table:
    started: dict[str, Entry] = {}
    ended: dict[str, Entry] = {}
    held: Counter[str] = Counter()
    for entry in batch.entries:
        phase = entry.text("phase")
        if entry.kind == "PhaseStarted":
            started.setdefault(phase, entry)
        elif entry.kind in PHASE_ENDS:
            ended[phase] = entry
        elif entry.kind == "PhaseHeld":
            held[phase] += 1
    rows = []
    for phase, start in started.items():
        end = ended.get(phase)
        state = PHASE_ENDS[end.kind] if end else "not ended"
        rows.append(
            Row(
                (
                    words_of(phase),
                    batch.times.both(start.header.wall),
                    batch.times.both(end.header.wall) if end else NOTHING,
                    duration(end.header.wall - start.header.wall) if end else NOTHING,
                    (Span(state, "" if state == "complete" else "alert"),),
                    (Span(str(held[phase]), "alert" if held[phase] else ""),),
                )
            )
        )
    return Table(
        heads=("Phase", "Started", "Ended", "Took", "State", "Held"),
        rows=rows,
        none="No phase was started.",
        shares=(3.6, 4.2, 4.2, 3.0, 2.0, 1.2),
    )


def _table_of(batch: Batch, kinds: Sequence[str], none: str) -> Table:
    entries = batch.of(*kinds)
    rows = [
        Row(
            (
                *_when(batch, entry),
                (Span(words_of(entry.kind), "alert" if entry.seq in batch.exceptions else ""),),
                batch.facts(entry),
            )
        )
        for entry in entries
    ]
    return Table(heads=FACTS, rows=rows, none=none, shares=FACTS_SHARES, dense=len(rows) > LONG_TABLE)


def _counts(batch: Batch) -> list[Block]:
    blocks: list[Block] = _count_qualifications(batch)
    for entry in batch.of("CellCountReported"):
        body = entry.body
        verdict = or_nothing(body.get("verdict"))
        images = named_blobs({"images": body.get("images") or []})
        cells = listed(body, "live", "dead", "unclassified", "fields")
        blocks.append(
            Facts(
                [
                    ("Count", (Span(f"replicate {plain(body.get('replicate'))}, event "), _link(entry))),
                    ("Verdict", (Span(verdict, "strong" if verdict == "counted" else "alert"),)),
                    ("Reasons", or_nothing(body.get("reasons"))),
                    ("Viability", _measure(body.get("viability_percent"), "%", body, "viability")),
                    (
                        "Concentration",
                        _measure(body.get("concentration_cells_ml"), "cells/mL", body, "concentration"),
                    ),
                    ("Cells", cells or NOTHING),
                    ("Method", or_nothing(body.get("method"))),
                    ("Station", or_nothing(body.get("station"))),
                    (
                        "Counted on",
                        f"{len(images)} original pictures, listed under Files"
                        if images
                        else "the pictures of the replicates",
                    ),
                ]
            )
        )
        blocks += _figures(batch, entry, "what was counted")
    if not batch.of("CellCountReported"):
        blocks.append(Note("No cells were counted."))
    return blocks


def _count_qualifications(batch: Batch) -> list[Block]:
    """By what the counting methods were qualified when the batch opened."""
    blocks: list[Block] = []
    for entry in batch.of("BatchOpened"):
        said = json.loads((entry.body.get("unit_before") or {}).get("count_qualifications", "{}"))
        for method, one in said.items():
            figures = ", ".join(f"{name} {one['figures'].get(name, NOTHING)}" for name in QUALIFIED_BY)
            made_up = (Span(" FICTITIOUS", "alert"),) if one.get("fictitious") else ()
            facts: list[tuple[str, Cell]] = [
                ("Counting method", (Span(f"{method}, version {one['version']}"), *made_up)),
                ("SHA-256 of code and weights", one["hash"]),
                ("Qualified", f"on {one['performed_on']}, until {one['qualified_until']}: {one['verdict']}"),
                ("By", f"{one['first_person']} and {one['second_person']}: {one['reason']}"),
                ("Figures (ISO 20391-2)", figures),
                ("Series and page, SHA-256", f"{one['design_blob']} {one['report_blob']}"),
            ]
            blocks.append(Facts(facts))
    return blocks


def _measure(value: object, unit: str, body: dict[str, object], name: str) -> Cell:
    bounds = next((body[key] for key in body if key.startswith(f"{name}_interval")), None)
    return (
        Span(f"{or_nothing(value)} {unit}", "strong"),
        Span(f" {interval(bounds) or 'without an interval'}", "quiet"),
    )


def _values(batch: Batch) -> list[Block]:
    entries = batch.of("ValueRecorded")
    if len(entries) <= LONG_TABLE:
        return [_value_table(batch, entries, "No value was recorded.")]
    told = [one for one in entries if one.seq in batch.exceptions or batch.changes_of(one)]
    lead = (
        f"{len(entries)} values were recorded; this table sums them up. Each stands in the audit trail, "
        "and those of doubtful quality or corrected later stand here too."
    )
    none = "None of them was of doubtful quality or corrected."
    return [Note(lead), _value_summary(batch, entries), _value_table(batch, told, none)]


def _value_table(batch: Batch, entries: Sequence[Entry], none: str) -> Table:
    rows = []
    for entry in entries:
        quality = or_nothing(entry.body.get("quality"))
        value = f"{or_nothing(entry.body.get('value'))} {plain(entry.body.get('unit') or '')}".strip()
        rows.append(
            Row(
                (
                    (_link(entry),),
                    batch.times.utc(entry.header.wall),
                    words_of(or_nothing(entry.body.get("phase"))),
                    words_of(or_nothing(entry.body.get("key"))),
                    report_people.with_corrections(batch, entry, value),
                    (Span(quality, "" if quality in ("good", NOTHING) else "alert"),),
                    or_nothing(entry.body.get("source")),
                )
            )
        )
    return Table(
        heads=("No.", "UTC", "Phase", "What", "Value", "Quality", "Source"),
        rows=rows,
        none=none,
        shares=(1.1, 3.6, 2.6, 3.6, 3.8, 1.6, 3.8),
        dense=len(rows) > LONG_TABLE,
    )


def _value_summary(batch: Batch, entries: Sequence[Entry]) -> Table:
    """How often each value was recorded, its first and last, and the lowest and highest of numbers."""
    groups: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        names = (entry.text("phase"), entry.text("key"), entry.text("unit"))
        groups.setdefault(names, []).append(entry)
    rows = []
    for (phase, key, unit), found in groups.items():
        numbers = [number for one in found if (number := _number(one.text("value"))) is not None]
        bounds = f"{min(numbers)} to {max(numbers)} {unit}" if numbers else NOTHING
        ends = (f"{one.text('value')} {unit}".strip() for one in (found[0], found[-1]))
        rows.append(Row((words_of(phase), words_of(key), str(len(found)), *ends, bounds.strip())))
    return Table(
        heads=("Phase", "What", "Values", "First", "Last", "Lowest to highest"),
        rows=rows,
        none="",
        shares=(3.0, 5.0, 1.6, 3.0, 3.0, 4.0),
        dense=len(rows) > LONG_TABLE,
    )


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _quality(batch: Batch) -> Table:
    return _table_of(batch, QUALITY_KINDS, "No deviation, alarm or comment is on record.")


def _devices(batch: Batch) -> Table:
    devices = [str(one) for one in batch.opened.body.get("devices") or []]
    seen: dict[str, Counter[str]] = {device: Counter() for device in devices}
    known: dict[str, str] = {}
    for entry in batch.of(*DEVICE_KINDS):
        device = entry.text("device")
        seen.setdefault(device, Counter())[entry.kind] += 1
        if entry.kind == "DeviceIdentified":
            known[device] = listed(entry.body, "maker", "model", "serial_number", "firmware", "qualified")
    rows = [
        Row(
            (
                device,
                known.get(device, "identified before the batch was opened"),
                str(kinds["DeviceOrdered"]),
                str(kinds["DeviceReported"]),
                (Span(str(_trouble(kinds)), "alert" if _trouble(kinds) else ""),),
            )
        )
        for device, kinds in seen.items()
    ]
    return Table(
        heads=("Device", "Identity", "Orders", "Reports", "Faults"),
        rows=rows,
        none="No device was used.",
        shares=(3.0, 10.0, 1.6, 1.6, 1.6),
    )


def _trouble(kinds: Counter[str]) -> int:
    return kinds["DeviceRefusedOrder"] + kinds["DeviceWentSilent"] + kinds["DeviceRestartSeen"]


def _pictures(batch: Batch) -> list[Block]:
    blocks: list[Block] = []
    seen: set[str] = set()
    for entry in batch.entries:
        names = set(pictures_of(entry))
        if entry.kind != "CellCountReported" and not names <= seen:
            blocks += _figures(batch, entry, words_of(entry.kind).lower())
        seen |= names
    merged = [item for block in blocks if isinstance(block, Figures) for item in block.items]
    return [Figures(merged)] if merged else [Note("No picture was stored.")]


def _figures(batch: Batch, entry: Entry, words: str) -> list[Block]:
    figures = []
    for name in pictures_of(entry):
        picture, missing = batch.thumbnails[name]
        lead = "SIMULATED · " if batch.simulated else ""
        caption: Cell = (Span(f"{lead}{words}, event "), _link(entry))
        figures.append(Figure(sha256=name, caption=caption, picture=picture, missing=missing))
    return [Figures(figures)] if figures else []


def _files(batch: Batch) -> list[Block]:
    first: dict[str, Entry] = {}
    for entry in batch.entries:
        for name in named_blobs(entry.body):
            first.setdefault(name, entry)
    rows = []
    for name, entry in first.items():
        size, media_type = batch.source.files.get(name, (None, ""))
        there: Cell = f"{size} bytes" if size is not None else (Span("missing", "alert"),)
        rows.append(
            Row(
                (
                    (Span(name, "code"),),
                    there,
                    media_type or NOTHING,
                    (Span(f"{words_of(entry.kind)} "), _link(entry)),
                )
            )
        )
    table = Table(
        heads=("SHA-256 of the original", "Size", "Type", "First named by event"),
        rows=rows,
        none="No file is named by this record.",
        shares=(12.0, 2.6, 3.2, 4.4),
        dense=len(rows) > 40,
    )
    lead = "The originals lie in the record and in its archive under these names, unchanged."
    return [Note(lead), table] if rows else [table]


def _link(entry: Entry) -> Span:
    return Span(str(entry.seq), "", entry.seq)
