"""All events of a batch in their order, a day under its date: the audit trail on paper."""

from __future__ import annotations

from appliance.record.canonical import QUALITY_SIMULATED, QUALITY_TRUSTED
from appliance.record.report.batch import Batch
from appliance.record.report.entries import Entry
from appliance.record.report.model import Block, Mark, NewPage, Note, Row, Table
from appliance.record.report.text import NOTHING, Times, offset

HEADS = ("No.", "UTC", "Hash", "Kind", "Who", "Facts")
SHARES = (1.0, 1.4, 1.6, 3.6, 1.4, 12.0)
HASH_LETTERS = 8
ROWS_OF_A_PAGE = 100


def blocks(batch: Batch) -> list[Block]:
    """One table for each day, or for each change of the site's clock."""
    made: list[Block] = [Note(_lead(batch))]
    day, rows = "", list[Row]()
    for entry in batch.entries:
        heading = _day(batch.times, entry)
        if heading != day:
            made += _table(day, rows)
            if len(rows) > ROWS_OF_A_PAGE:
                made.append(NewPage())
            day, rows = heading, []
        rows.append(_row(batch, entry))
    return [*made, *_table(day, rows)]


def _lead(batch: Batch) -> str:
    return (
        f"{len(batch.entries)} events, in the order of their numbers; the hash is the beginning of the "
        "event's place in the chain. ! marks an exception, ~ what was corrected or voided later. Names of "
        "files and hashes are cut; Files has them in full, and the attached record every byte."
    )


def _table(day: str, rows: list[Row]) -> list[Block]:
    if not rows:
        return []
    return [
        Note(day, ""),
        Table(heads=HEADS, rows=rows, none="", shares=SHARES, dense=True),
    ]


def _day(times: Times, entry: Entry) -> str:
    wall = entry.header.wall
    local = ""
    if times.zone is not None:
        there = wall.astimezone(times.zone)
        local = f", local time {there:%Z} is {offset(there)}"
    return f"{wall:%Y-%m-%d} UTC{local}"


def _row(batch: Batch, entry: Entry) -> Row:
    trusted = entry.header.clock_quality in (QUALITY_TRUSTED, QUALITY_SIMULATED)
    at = f"{entry.header.wall:%H:%M:%S}{'' if trusted else ' (time not trusted)'}"
    mark: Mark = "alert" if entry.seq in batch.exceptions else ""
    facts = batch.facts(entry)
    changes = batch.changes_of(entry) + batch.voided.get(entry.seq, [])
    if changes:
        mark = "struck"
        later = ", ".join(f"{change.kind} {change.seq}" for change in changes)
        facts = f"{facts} · CHANGED LATER by {later}"
    cells = (
        str(entry.seq),
        at,
        entry.stored.hash.hex()[:HASH_LETTERS],
        entry.kind,
        entry.header.actor,
        facts or NOTHING,
    )
    return Row(cells, mark, entry.seq)
