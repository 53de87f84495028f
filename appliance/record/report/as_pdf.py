"""The batch record as an archival PDF: PDF/A-3b with our fonts and the record's events attached.

Typst sets it in a child process, because a long record takes hundreds of megabytes that the engine's
machine gets back at once. Text goes to it as data, never as source, so no text can act as markup.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.record.errors import RecordRefused
from appliance.record.report.as_html import MARKS, SIMULATED
from appliance.record.report.model import (
    Block,
    Cell,
    Chart,
    Facts,
    Figure,
    Figures,
    LongText,
    NewPage,
    Note,
    Report,
    Span,
    Table,
)
from appliance.record.report.text import FONTS, lines, shown

TEMPLATE = Path(__file__).with_name("batch_record.typ")
RECORD_FILE = "events.jsonl"
LONGEST_S = 300
LINE_LETTERS = 171
RUN_LINES = 40  # a typesetter's block that is much longer costs more than its lines
TEXT_LETTERS = 158
LONGEST_WORD = 16
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC|\d\d:\d\d:\d\d \S+ \(UTC[^)]*\)")
_LONG_WORD = re.compile(r"[^\s\-]{17,}")
_PAGES = re.compile(rb"<xmpTPg:NPages>([0-9]+)</xmpTPg:NPages>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdf:
    """A finished PDF."""

    data: bytes
    pages: int


def pdf(report: Report, *, timeout_s: float = LONGEST_S) -> Pdf:
    """The whole record as PDF; the same content gives the same bytes.

    Raises
    ------
    RecordRefused
        It could not be set, in words of what to do.
    """
    with tempfile.TemporaryDirectory(prefix="cellwright-report-") as name:
        folder = Path(name)
        _write(report, folder)
        command = [sys.executable, "-I", str(Path(__file__).with_name("typesetting.py")), name]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise RecordRefused(
                f"The PDF was not done after {timeout_s:.0f} s. Read the HTML page instead."
            ) from None
        if done.returncode:
            said = (done.stderr.strip() or "it ended without a word").splitlines()[-1]
            raise RecordRefused(f"The PDF could not be made ({said}). Read the HTML page instead.")
        data = (folder / "record.pdf").read_bytes()
    return Pdf(data=data, pages=_pages(data))


def _pages(data: bytes) -> int:
    """The number of pages, as the document's own description has it; PDF/A keeps that readable."""
    found = _PAGES.search(data)
    assert found is not None, "the PDF does not tell its number of pages"
    return int(found[1])


def _write(report: Report, folder: Path) -> None:
    """Everything that the typesetter reads, into its folder."""
    (folder / TEMPLATE.name).write_bytes(TEMPLATE.read_bytes())
    (folder / RECORD_FILE).write_bytes(report.machine_readable)
    (folder / "fonts.txt").write_text(str(FONTS))
    drawing = _Drawing(folder, _pointed_at(report))
    content = {
        "batch": shown(report.batch),
        "unit": shown(report.unit),
        "code": report.code,
        "simulated": SIMULATED if report.simulated else "",
        "date": list(report.made_of.timetuple()[:6]),
        "attachment": RECORD_FILE,
        "facts": drawing.facts(report.facts),
        "sections": [
            {
                "name": section.name,
                "title": shown(section.title),
                "new_page": section.new_page,
                "blocks": [drawing.block(block) for block in section.blocks],
            }
            for section in report.sections
        ],
    }
    (folder / "content.json").write_text(json.dumps(content, ensure_ascii=False))


def _pointed_at(report: Report) -> set[int]:
    """The events that a link leads to: only these need a place of their own."""
    found: set[int] = set()
    for section in report.sections:
        for block in section.blocks:
            if isinstance(block, Table) and not block.dense:
                found |= {span.event for row in block.rows for cell in row.cells for span in _spans(cell)}
            elif isinstance(block, Facts):
                found |= {span.event for _, cell in block.rows for span in _spans(cell)}
            elif isinstance(block, Figures):
                found |= {span.event for figure in block.items for span in _spans(figure.caption)}
    return found - {0}


def _spans(cell: Cell) -> Sequence[Span]:
    return () if isinstance(cell, str) else cell


class _Drawing:
    """Blocks as the plain values that the template draws; pictures as files beside them."""

    def __init__(self, folder: Path, pointed_at: set[int]) -> None:
        self._folder, self._pointed_at = folder, pointed_at
        self._files = 0
        self._there = set[int]()

    def block(self, block: Block) -> dict[str, Any]:
        match block:
            case Table():
                return self._lines(block) if block.dense and block.rows else self._table(block)
            case Facts():
                return self.facts(block)
            case Note():
                return {"is": "note", "cell": _cell(block.cell), "mark": block.mark}
            case Figures():
                return {"is": "figures", "items": [self._figure(one) for one in block.items]}
            case Chart():
                return self._chart(block)
            case NewPage():
                return {"is": "page"}
            case LongText():
                wrapped = [part for line in lines(block.text) for part in _wrapped(line, TEXT_LETTERS)]
                parts = ["\n".join(wrapped[at : at + RUN_LINES]) for at in range(0, len(wrapped), RUN_LINES)]
                return {"is": "text", "title": _words(block.title), "parts": parts}

    def facts(self, facts: Facts) -> dict[str, Any]:
        return {"is": "facts", "rows": [[shown(name), _cell(cell)] for name, cell in facts.rows]}

    def _table(self, table: Table) -> dict[str, Any]:
        return {
            "is": "table",
            "heads": [shown(head) for head in table.heads],
            "shares": list(table.shares),
            "rows": [[_cell(cell) for cell in row.cells] for row in table.rows],
            "none": shown(table.none),
        }

    def _lines(self, table: Table) -> dict[str, Any]:
        """A dense table in lines of even width; an event that is pointed at gets a place of its own."""
        heads = [shown(head) for head in table.heads]
        rows = [[_plain(cell) for cell in row.cells] for row in table.rows]
        widths = _widths(heads, rows, table.shares)
        runs: list[dict[str, Any]] = []
        for row, cells in zip(table.rows, rows, strict=True):
            event = row.event if row.event in self._pointed_at and row.event not in self._there else 0
            self._there.add(event)
            if event or not runs or runs[-1]["mark"] != row.mark or len(runs[-1]["lines"]) >= RUN_LINES:
                runs.append({"lines": [], "mark": row.mark, "event": event})
            runs[-1]["lines"] += _row_lines(cells, widths, MARKS[row.mark] or " ")
        for run in runs:
            run["text"] = "\n".join(run.pop("lines"))
        return {"is": "lines", "heads": "\n".join(_row_lines(heads, widths)), "runs": runs}

    def _figure(self, figure: Figure) -> dict[str, Any]:
        name = ""
        if figure.picture is not None:
            name = self._file("jpg", figure.picture.data)
        return {
            "file": name,
            "caption": _cell(figure.caption),
            "missing": shown(figure.missing),
            "original": f"{figure.sha256[:32]}\u200b{figure.sha256[32:]}",
        }

    def _chart(self, chart: Chart) -> dict[str, Any]:
        name = self._file("svg", chart.svg)
        notes = _words("; ".join(chart.notes))
        return {
            "is": "chart",
            "file": name,
            "title": _words(chart.title),
            "notes": notes,
            "alert": chart.alert,
        }

    def _file(self, ending: str, data: bytes) -> str:
        self._files += 1
        name = f"p{self._files}.{ending}"
        (self._folder / name).write_bytes(data)
        return name


def _cell(cell: Cell) -> list[list[object]]:
    spans = (Span(cell),) if isinstance(cell, str) else cell
    return [[_words(span.text), span.style, span.event] for span in spans]


def _words(text: str) -> str:
    """Text whose longest words may break, so that none runs out of its column."""
    broken = _LONG_WORD.sub(_broken, shown(text))
    return _MOMENT.sub(lambda found: found[0].replace(" ", "\u00a0"), broken)


def _broken(found: re.Match[str]) -> str:
    word = found[0]
    return "\u200b".join(word[at : at + LONGEST_WORD] for at in range(0, len(word), LONGEST_WORD))


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]], shares: Sequence[float]) -> list[int]:
    """Letters for each column: what it needs at most, and the widest column takes the rest."""
    needs = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    flexible = max(range(len(needs)), key=lambda column: shares[column])
    caps = [min(need, 66) for need in needs]
    room = LINE_LETTERS - 2 - sum(cap + 1 for column, cap in enumerate(caps) if column != flexible)
    caps[flexible] = min(needs[flexible], max(30, room))
    return caps


def _row_lines(cells: Sequence[str], widths: Sequence[int], lead: str = " ") -> list[str]:
    """One row in as many lines as its longest cell needs."""
    columns = [_wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    told = []
    for number in range(max(map(len, columns))):
        parts = (column[number] if number < len(column) else "" for column in columns)
        line = " ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True))
        told.append(f"{' ' if number else lead} {line}".rstrip())
    return told


def _plain(cell: Cell) -> str:
    return shown(cell if isinstance(cell, str) else "".join(span.text for span in cell))


def _wrapped(line: str, width: int) -> list[str]:
    """A line in parts of at most `width` letters, broken at blanks where there are any."""
    parts = []
    while len(line) > width:
        blank = line.rfind(" ", 1, width + 1)
        at = blank if blank > 0 else width
        parts.append(line[:at])
        line = line[at:].lstrip() if blank > 0 else line[at:]
    return [*parts, line]
