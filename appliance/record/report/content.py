"""From the events of one batch to the content of its record for a human: exceptions first, then everything.

Made from the record alone, so the same record gives the same content. Nothing is left out: every
event stands in the audit trail, also of a kind that this software does not know.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from appliance.record.errors import RecordRefused
from appliance.record.report import sections as report_sections
from appliance.record.report import text as report_text
from appliance.record.report import trends as report_trends
from appliance.record.report.batch import Batch, Source, is_long
from appliance.record.report.entries import Entry, of_batch
from appliance.record.report.model import Block, Cell, Facts, LongText, Note, Report, Section, Span
from appliance.record.report.text import or_nothing

CODE_GROUPS = 3
STATES = (
    ("HandedOver", "handed over"),
    ("BatchAborted", "aborted"),
    ("DispositionRecorded", "disposition recorded"),
    ("BatchSealed", "sealed, awaiting disposition"),
    ("BatchCompleted", "complete, not sealed"),
)


def content_of(source: Source) -> Report:
    """The content of one batch's record.

    Raises
    ------
    RecordRefused
        The events hold no opening of this batch.
    """
    entries = list(of_batch(source.events, source.batch))
    if not entries:
        raise RecordRefused(f"There is no batch {source.batch} among these events. Check the batch id.")
    batch = Batch(source, entries)
    with ThreadPoolExecutor(1) as beside:
        # Pictures are scaled on the other core while the readings are thinned.
        pictures = beside.submit(lambda: batch.thumbnails)
        trends = _trends(batch)
        pictures.result()
    return Report(
        batch=source.batch,
        unit=entries[0].header.unit,
        code=short_code(entries[-1].stored.hash),
        simulated=batch.simulated,
        made_of=entries[-1].header.wall,
        facts=_head(batch),
        sections=[
            *report_sections.all_sections(batch, trends),
            Section("texts", "Long texts", _texts(batch), new_page=True),
            report_sections.audit_trail(batch),
        ],
        exceptions=len(batch.exceptions),
        events=len(entries),
        machine_readable=_machine_readable(entries),
    )


def _trends(batch: Batch) -> list[Block]:
    source = batch.source
    begin, end = batch.opened.header.wall, batch.entries[-1].header.wall
    if source.telemetry:
        # A batch that runs may have readings after its last event.
        end = max(end, source.telemetry[-1].header.wall)
    grid = report_trends.Grid.over(begin, end)
    try:
        found = report_trends.trends(source.telemetry, source.telemetry_record, grid)
    except RecordRefused as problem:
        return [Note(f"The trends cannot be drawn. {problem} Verify the record.", "alert")]
    return list(report_trends.blocks(found, grid))


def short_code(record_hash: bytes) -> str:
    """The first letters of a hash, in groups, as they stand on each page."""
    digits = record_hash.hex()
    return " ".join(digits[4 * n : 4 * n + 4] for n in range(CODE_GROUPS))


def _texts(batch: Batch) -> list[LongText]:
    first: dict[str, str] = {}
    for entry in batch.entries:
        for name, value in entry.body.items():
            if is_long(value):
                words = f"{report_text.words_of(entry.kind)}, {report_text.words_of(name)}"
                first.setdefault(value, f"{words}, event {entry.seq}")
    return [LongText(f"{title}: {first[text]}", text) for text, title in batch.texts.items()]


def _head(batch: Batch) -> Facts:
    opened, last = batch.opened, batch.entries[-1]
    body, header = opened.body, opened.header
    sealed = batch.of("BatchSealed")
    recipe = f"{or_nothing(body.get('recipe_id'))} {or_nothing(body.get('recipe_version'))}"
    rows: list[tuple[str, Cell]] = [
        ("Batch", (Span(batch.source.batch, "strong"),)),
        ("Order", or_nothing(body.get("order_id"))),
        *_assignment(body),
        ("Unit", header.unit),
        ("Site", f"{or_nothing(body.get('site'))}, local time {batch.times.name}"),
        ("State", (Span(_state(batch), "strong"),)),
        ("Disposition", _disposition(batch)),
        ("Opened", batch.times.both(header.wall)),
        ("Last event", batch.times.both(last.header.wall)),
        ("Events", f"{batch.entries[0].seq} to {last.seq}, {len(batch.entries)} of this batch"),
        ("Recipe", recipe),
        ("Recipe hash", (Span(str(body.get("recipe_hash") or report_text.NOTHING), "code"),)),
        *_label_templates(body),
        ("Software", f"Cellwright {or_nothing(body.get('software_version'))}"),
        ("Build hash", (Span(str(body.get("build_hash") or "not recorded"), "code"),)),
        ("Log epoch", (Span(header.epoch.hex(), "code"),)),
        ("Sealed head", _sealed(sealed[-1]) if sealed else "not sealed"),
        ("Record hash", (Span(last.stored.hash.hex(), "code"), Span(f" of event {last.seq}", "quiet"))),
    ]
    return Facts(rows)


def _assignment(body: dict[str, Any]) -> list[tuple[str, Cell]]:
    """For which unit, until when and on which consent the order was signed; one of before named none."""
    try:
        said = json.loads(str(body.get("order_text") or "{}"))
    except ValueError:
        return []
    if not isinstance(said, dict) or not said.get("unit"):
        return []
    number, until = said.get("assignment", 1), said.get("expires_at")
    words = f"unit {said['unit']}, assignment {number}, to be begun by {until}"
    return [("Order is for", words), ("On consent", or_nothing(said.get("consent")))]


def _label_templates(body: dict[str, Any]) -> list[tuple[str, Cell]]:
    """By which approved templates its labels were drawn; a batch of before froze none."""
    frozen = body.get("label_templates") or {}
    return [
        (
            f"Label template {name}",
            (Span(f"version {one.get('version')}, "), Span(str(one.get("hash") or ""), "code")),
        )
        for name, one in sorted(frozen.items())
    ]


def _sealed(entry: Entry) -> Cell:
    return (
        Span(entry.text("sealed_hash"), "code"),
        Span(f" of event {entry.text('sealed_seq')}, {entry.text('blob_count')} files", "quiet"),
    )


def _state(batch: Batch) -> str:
    kinds = {entry.kind for entry in batch.entries}
    return next((words for kind, words in STATES if kind in kinds), "running")


def _disposition(batch: Batch) -> Cell:
    found = batch.of("DispositionRecorded")
    if not found:
        return "none recorded"
    body = found[-1].body
    who = batch.person(body.get("by"))
    return (
        Span(or_nothing(body.get("disposition")), "strong"),
        Span(f" ({or_nothing(body.get('stage'))}) by {who}, {batch.times.read(body.get('decided_at'))}"),
    )


class _Line(msgspec.Struct):
    seq: int
    hash: str
    epoch: str
    at: str
    monotonic_ns: int
    boot_id: str
    clock_quality: int
    algorithm: int
    payload_version: int
    down_cursor: int
    actor: str
    kind: str
    payload: msgspec.Raw


def _machine_readable(entries: Sequence[Entry]) -> bytes:
    """One JSON object a line: what holds for all events, then each with hash, header and exact payload.

    With the published layout these give the bytes that were hashed.
    """
    first = {"format": "cellwright-events/1", "unit": entries[0].header.unit, "log": entries[0].header.log}
    return msgspec.json.Encoder().encode_lines([first, *map(_line, entries)])


def _line(entry: Entry) -> _Line:
    head = entry.header
    return _Line(
        seq=entry.seq,
        hash=entry.stored.hash.hex(),
        epoch=head.epoch.hex(),
        at=head.wall.isoformat(timespec="microseconds"),
        monotonic_ns=head.monotonic_ns,
        boot_id=head.boot_id.hex(),
        clock_quality=head.clock_quality,
        algorithm=head.algorithm,
        payload_version=head.payload_version,
        down_cursor=head.down_cursor,
        actor=head.actor,
        kind=head.kind,
        payload=msgspec.Raw(entry.stored.payload),
    )
