"""What a batch record shows, before it is a page: sections of tables, facts, pictures, charts and texts.

`report_content` makes it from the events; `report_html` and `report_pdf` draw it. Text in here is
what the record says, letter for letter: each drawing makes it harmless in its own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Style = Literal["", "strong", "code", "quiet", "alert", "struck"]
Mark = Literal["", "alert", "struck"]


@dataclass(frozen=True, slots=True)
class Span:
    """A run of text; `event` makes it a link to that event in the audit trail."""

    text: str
    style: Style = ""
    event: int = 0


Cell = str | tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `event` is the event that it shows, where others may point to it."""

    cells: tuple[Cell, ...]
    mark: Mark = ""
    event: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under headings. `shares` are the widths of the columns against each other.

    A `dense` table is one of thousands of short rows; on paper it is set in lines of even width.
    """

    heads: tuple[str, ...]
    rows: Sequence[Row]
    none: str
    shares: tuple[float, ...]
    dense: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and their values, one a line."""

    rows: Sequence[tuple[str, Cell]]


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence between tables."""

    cell: Cell
    mark: Mark = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture scaled down, as JPEG."""

    data: bytes
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A picture of the record, or why it is not shown; the original is the file `sha256`."""

    sha256: str
    caption: Cell
    picture: Thumbnail | None
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Pictures beside each other."""

    items: Sequence[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A drawing made by us, as SVG, with its name and what must be said of it."""

    title: str
    svg: bytes
    notes: Sequence[str]
    alert: bool = False


@dataclass(frozen=True, slots=True)
class LongText:
    """A text of many lines, as it was recorded."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class NewPage:
    """On paper, what follows begins on a new page; pages apart from others are set side by side."""


Block = Table | Facts | Note | Figures | Chart | LongText | NewPage


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    name: str
    title: str
    blocks: Sequence[Block]
    new_page: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole batch record, ready to be drawn."""

    batch: str
    unit: str
    code: str
    simulated: bool
    made_of: datetime  # time of the last event: the only date that a drawing may carry
    facts: Facts
    sections: Sequence[Section]
    exceptions: int
    events: int
    machine_readable: bytes = field(repr=False)
