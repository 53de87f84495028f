"""The picture that shows what was counted: each cell marked by colour and by shape."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.count_images import CountedField
from vision.counting.counting_region import CountingRegion
from vision.counting.method import Cell, CellClass, Labels
from vision.counting.output_files import png
from vision.picture_file import FieldPicture

if TYPE_CHECKING:
    from vision.counting.neubauer import Grid

Colours = npt.NDArray[np.uint8]

# OpenCV's order: blue, green, red. Green against magenta, and yellow lighter than both, stay apart for
# people who do not tell red from green; the shapes say the same again.
LIVE, DEAD, UNSURE = (80, 225, 60), (225, 70, 240), (40, 220, 250)
NUCLEUS, LEFT_OUT, RULING, REGION = (240, 200, 60), (165, 165, 165), (60, 150, 250), (235, 170, 40)
INK, PAPER, WARNING = (30, 30, 30), (245, 245, 245), (40, 40, 220)
COLOUR_OF: dict[CellClass, tuple[int, int, int]] = {
    "live": LIVE,
    "dead": DEAD,
    "unclassified": UNSURE,
    "nucleus": NUCLEUS,
}
WORD_OF: dict[CellClass, str] = {
    "live": "live",
    "dead": "dead",
    "unclassified": "not sure",
    "nucleus": "nuclei",
}
REASON_WORDS = {
    "edge": "outside the counted area",
    "grid_line": "on a grid line",
    "small": "small",
    "large": "large",
}

SHEET_WIDTH_MAX_PX, SHEET_HEIGHT_MAX_PX = 1600, 4000
# Small fields are enlarged: a mark on a cell of 20 px would hide it.
WIDTH_LEAST_PX = 480
# Shown in 64 grey levels, a sheet of a hundred fields weighs a third: it shows, the originals prove.
SHOWN_LEVELS_MASK = 0xFC
# Fluorescence leaves most of the range empty; it is shown between these percentiles.
STRETCH_PERCENTILES = (0.5, 99.8)
STRETCH_STEP_PX = 4
COLUMNS_MAX = 8
TILE_MAX_PX = 480
GAP_PX = 4
LEGEND_PX = 34
BANNER_PX = 34
DASHES = 8
DASH_PX = 5
# Cells of this radius, as shown, bear a line of two pixels.
THICK_FROM_PX = 12
BAR_SHARE_MOST = 0.25
FONT = cv2.FONT_HERSHEY_SIMPLEX


def _mark(canvas: Colours, cell: Cell, factor: float, thick: int = 1) -> None:
    x, y = round((cell.x + 0.5) * factor - 0.5), round((cell.y + 0.5) * factor - 0.5)
    # Just outside of the cell: the mark must not hide what it stands for.
    radius = max(4, round(cell.radius * factor) + thick)
    if cell.excluded:
        _left_out_mark(canvas, (x, y), radius, cell.excluded)
    elif cell.kind == "dead":
        cv2.circle(canvas, (x, y), radius, DEAD, thick, cv2.LINE_AA)
        arm = max(2, round(radius * 0.7))
        cv2.line(canvas, (x - arm, y - arm), (x + arm, y + arm), DEAD, 1, cv2.LINE_AA)
        cv2.line(canvas, (x - arm, y + arm), (x + arm, y - arm), DEAD, 1, cv2.LINE_AA)
    elif cell.kind == "unclassified":
        for dash in range(DASHES):
            start = 360 * dash / DASHES
            cv2.ellipse(
                canvas, (x, y), (radius, radius), 0, start, start + 180 / DASHES, UNSURE, 2, cv2.LINE_AA
            )
    else:
        cv2.circle(canvas, (x, y), radius, COLOUR_OF[cell.kind], thick, cv2.LINE_AA)


def _left_out_mark(canvas: Colours, centre: tuple[int, int], radius: int, reason: str) -> None:
    """Draw a square with one stroke for the reason: across for the edge, upright for a grid line."""
    x, y = centre
    cv2.rectangle(canvas, (x - radius, y - radius), (x + radius, y + radius), LEFT_OUT, 1, cv2.LINE_AA)
    if reason == "edge":
        cv2.line(canvas, (x - radius, y + radius), (x + radius, y - radius), LEFT_OUT, 1, cv2.LINE_AA)
    elif reason == "grid_line":
        cv2.line(canvas, (x, y - radius), (x, y + radius), LEFT_OUT, 1, cv2.LINE_AA)


def _ruling(canvas: Colours, grid: Grid, factor: float) -> None:
    """Draw the ruled lines that were found, dashed: between the dashes the line itself is seen."""
    for line in grid.lines:
        _dashed(canvas, (line.x0 * factor, line.y0 * factor), (line.x1 * factor, line.y1 * factor), RULING)


def _dashed(
    canvas: Colours, start: tuple[float, float], end: tuple[float, float], colour: tuple[int, int, int]
) -> None:
    length = math.hypot(end[0] - start[0], end[1] - start[1])
    for k in range(0, max(1, int(length // DASH_PX)), 3):
        ends = [
            (round(start[0] + (end[0] - start[0]) * share), round(start[1] + (end[1] - start[1]) * share))
            for share in (k * DASH_PX / length, min(1.0, (k + 1) * DASH_PX / length))
        ]
        cv2.line(canvas, ends[0], ends[1], colour, 1, cv2.LINE_AA)


def _region(canvas: Colours, region: CountingRegion, factor: float) -> None:
    """Draw the area that counts: its top and left edge whole, its bottom and right edge dashed."""
    for polygon in region.polygons:
        corners = [(float(x) * factor, float(y) * factor) for x, y in polygon]
        top_left, top_right, bottom_right, bottom_left = corners
        for one, other in ((top_left, top_right), (top_left, bottom_left)):
            cv2.line(canvas, _whole(one), _whole(other), REGION, 1, cv2.LINE_AA)
        _dashed(canvas, top_right, bottom_right, REGION)
        _dashed(canvas, bottom_left, bottom_right, REGION)


def _whole(point: tuple[float, float]) -> tuple[int, int]:
    return round(point[0]), round(point[1])


def _outline(canvas: Colours, cells: Sequence[Cell], labels: Labels) -> None:
    """Draw the borders of labelled cells; the canvas is at the labels' scale or another."""
    height, width = canvas.shape[:2]
    shown = cv2.resize(labels.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    border = np.zeros((height, width), bool)
    border[:, 1:] |= shown[:, 1:] != shown[:, :-1]
    border[1:] |= shown[1:] != shown[:-1]
    colours = np.array([(0, 0, 0), *(LEFT_OUT if c.excluded else COLOUR_OF[c.kind] for c in cells)], np.uint8)
    # A border lies between two cells or beside the ground: the larger number is a cell in both cases.
    owner = shown.astype(np.int32)
    owner[:, 1:] = np.maximum(owner[:, 1:], shown[:, :-1].astype(np.int32))
    owner[1:] = np.maximum(owner[1:], shown[:-1].astype(np.int32))
    canvas[border] = colours[np.minimum(owner[border], len(cells))]


def _stretched(grey: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    low, high = np.percentile(grey[::STRETCH_STEP_PX, ::STRETCH_STEP_PX], STRETCH_PERCENTILES)
    return np.asarray((grey - low) * (255.0 / max(1.0, high - low)), np.float32)


def _shown(pictures: Sequence[FieldPicture], size: tuple[int, int], stretch: bool) -> Colours:
    """Scale a field to `size` (width, height) in colours; two channels become green and magenta."""
    way = cv2.INTER_AREA if size[0] < pictures[0].grey.shape[1] else cv2.INTER_CUBIC
    planes = []
    for picture in pictures[:2]:
        grey = cv2.resize(picture.grey, size, interpolation=way)
        grey = _stretched(np.asarray(grey, np.float32)) if stretch else grey
        planes.append(np.clip(grey, 0, 255).astype(np.uint8) & np.uint8(SHOWN_LEVELS_MASK))
    first, other = planes[0], planes[-1]
    return np.ascontiguousarray(np.dstack([other, first, other]))


def annotated(
    pictures: Sequence[FieldPicture],
    cells: Sequence[Cell],
    *,
    width_px: int,
    labels: Labels | None = None,
    um_per_px: float | None = None,
    grid: Grid | None = None,
    region: CountingRegion | None = None,
    stretch: bool = False,
) -> Colours:
    """Draw the marks of `cells` on a field scaled to `width_px`.

    Returns
    -------
    (h, w, 3) uint8 ndarray
        Blue, green, red. Live: plain circle. Dead: crossed circle. Unclassified: dashed circle.
        Nucleus: its border. Left out: square. The ruling and the area that counts, where they are
        known; with a scale, a bar of a round length.
    """
    height, width = pictures[0].grey.shape
    factor = width_px / width
    canvas = _shown(pictures, (width_px, max(1, round(height * factor))), stretch)
    if grid is not None:
        _ruling(canvas, grid, factor)
    if region is not None:
        _region(canvas, region, factor)
    if um_per_px is not None:
        # Before the marks: it may cover the field, and no mark.
        _scale_bar(canvas, um_per_px / factor)
    if labels is not None:
        _outline(canvas, cells, labels)
    thick = 2 if cells and factor * median(cell.radius for cell in cells) >= THICK_FROM_PX else 1
    for cell in cells:
        if labels is None or cell.excluded or cell.kind in ("dead", "unclassified"):
            _mark(canvas, cell, factor, thick)
    return canvas


def bar_um(um_across: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten, in micrometres, within a quarter of a width."""
    most = um_across * BAR_SHARE_MOST
    power = 10.0 ** math.floor(math.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def _scale_bar(canvas: Colours, um_per_shown_px: float) -> None:
    height, width = canvas.shape[:2]
    if width < 160 or height < 80:
        return
    length_um = bar_um(width * um_per_shown_px)
    length = round(length_um / um_per_shown_px)
    text = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"
    size = 0.5 if width >= WIDTH_LEAST_PX else 0.36
    text_width = cv2.getTextSize(text, FONT, size, 1)[0][0]
    right, bottom = width - 10, height - 8
    left = right - max(length, text_width) - 12
    box = canvas[bottom - 30 : bottom, left:right]
    box[:] = (box * 0.25 + np.array(PAPER) * 0.75).astype(np.uint8)
    start = (left + right - length) // 2
    cv2.rectangle(canvas, (start, bottom - 9), (start + length, bottom - 6), INK, -1)
    place = ((left + right - text_width) // 2, bottom - 14)
    cv2.putText(canvas, text, place, FONT, size, INK, 1, cv2.LINE_AA)


def _entries(cells: Sequence[Cell], classes: Sequence[CellClass]) -> list[tuple[Cell, str]]:
    """Return what the legend says: a mark for each class and each reason, with how many there are."""
    kinds = Counter(cell.kind for cell in cells if cell.included)
    left_out = Counter(cell.excluded for cell in cells if cell.excluded)
    entries = [(Cell(0, 0, 8, kind, 1.0, 1.0), f"{WORD_OF[kind]} {kinds[kind]}") for kind in classes]
    for reason, count in sorted(left_out.items()):
        words = f"left out, {REASON_WORDS.get(reason, reason)} {count}"
        entries.append((Cell(0, 0, 8, "live", 1.0, 1.0, excluded=reason), words))
    if not left_out:
        entries.append((Cell(0, 0, 8, "live", 1.0, 1.0, excluded="any"), "left out 0"))
    return entries


def legend(width_px: int, cells: Sequence[Cell], classes: Sequence[CellClass]) -> Colours:
    """Draw what each mark means, with how many there are, in as many lines as it takes."""
    size = 0.5 if width_px >= 520 else 0.36
    lines: list[list[tuple[Cell, str, int]]] = [[]]
    x = 14
    for shape, text in _entries(cells, classes):
        needed = 40 + cv2.getTextSize(text, FONT, size, 1)[0][0]
        if lines[-1] and x + needed > width_px:
            lines.append([])
            x = 14
        lines[-1].append((shape, text, x))
        x += needed
    strip: Colours = np.full((LEGEND_PX * len(lines), width_px, 3), PAPER, np.uint8)
    for row, line in enumerate(lines):
        y = LEGEND_PX * row + LEGEND_PX // 2
        for shape, text, x in line:
            _mark(strip, Cell(x, y, 8, shape.kind, 1.0, 1.0, shape.excluded), 1.0)
            cv2.putText(strip, text, (x + 16, y + 5), FONT, size, INK, 1, cv2.LINE_AA)
    return strip


def banner(width_px: int) -> Colours:
    """Draw the strip that says that nothing real was counted."""
    strip: Colours = np.full((BANNER_PX, width_px, 3), PAPER, np.uint8)
    cv2.putText(strip, "SIMULATED", (12, BANNER_PX - 10), FONT, 0.7, WARNING, 2, cv2.LINE_AA)
    return strip


def field_picture(
    counted: CountedField, classes: Sequence[CellClass], *, width_px: int | None = None
) -> Colours | None:
    """Draw one field with its marks; None when the picture could not be read."""
    if counted.finding is None:
        return None
    height, width = counted.pictures[0].grey.shape
    fitting = min(SHEET_WIDTH_MAX_PX, int(SHEET_HEIGHT_MAX_PX * width / height), max(width, WIDTH_LEAST_PX))
    return annotated(
        counted.pictures,
        counted.result.cells,
        width_px=max(1, fitting if width_px is None else width_px),
        labels=counted.finding.labels,
        um_per_px=counted.result.um_per_px,
        grid=counted.grid,
        region=counted.region,
        stretch="nucleus" in classes or len(counted.pictures) > 1,
    )


def overlay_png(
    counted: CountedField, classes: Sequence[CellClass], *, simulated: bool = False
) -> bytes | None:
    """Return one field with its marks and a legend as PNG; None when the picture could not be read."""
    drawn = field_picture(counted, classes)
    if drawn is None:
        return None
    width = drawn.shape[1]
    parts = [drawn, legend(width, counted.result.cells, classes)]
    return png(np.vstack([banner(width), *parts] if simulated else parts))


class ContactSheet:
    """All fields of a specimen on one picture of at most 1600 px width, drawn field by field.

    Parameters
    ----------
    fields : int
        How many fields will come.
    classes : sequence of str
        What the legend names.
    """

    def __init__(self, fields: int, classes: Sequence[CellClass]) -> None:
        self._classes = tuple(classes)
        self._columns = min(COLUMNS_MAX, math.ceil(math.sqrt(fields)))
        self._side = min(TILE_MAX_PX, SHEET_WIDTH_MAX_PX // self._columns - GAP_PX)
        step = self._side + GAP_PX
        width = max(self._columns * step, WIDTH_LEAST_PX)
        self._sheet: Colours = np.full((math.ceil(fields / self._columns) * step, width, 3), PAPER, np.uint8)
        self._cells: list[Cell] = []
        self._drawn = 0

    def add(self, counted: CountedField) -> None:
        """Draw the next field into its place."""
        step, side = self._side + GAP_PX, self._side
        y, x = self._drawn // self._columns * step, self._drawn % self._columns * step
        self._sheet[y : y + side, x : x + side] = self._tile(counted)
        self._drawn += 1
        if counted.result.verdict == "counted":
            self._cells += counted.result.cells

    def png(self, *, simulated: bool = False) -> bytes:
        """Return the sheet with its legend as PNG."""
        width = self._sheet.shape[1]
        parts = [self._sheet, legend(width, self._cells, self._classes)]
        return png(np.vstack([banner(width), *parts] if simulated else parts))

    def _tile(self, counted: CountedField) -> Colours:
        """Draw one field into a square; a field that was left out says why across its top."""
        side = self._side
        tile: Colours = np.full((side, side, 3), PAPER, np.uint8)
        if counted.finding is None:
            cv2.putText(tile, "unreadable", (4, side // 2), FONT, 0.4, WARNING, 1, cv2.LINE_AA)
            return tile
        height, width = counted.pictures[0].grey.shape
        shown_width = max(1, round(width * side / max(height, width)))
        drawn = field_picture(counted, self._classes, width_px=shown_width)
        assert drawn is not None, "a field with a finding has pictures"
        drawn = drawn[:side, :side]
        tile[: drawn.shape[0], : drawn.shape[1]] = drawn
        if counted.result.verdict != "counted":
            tile[:16] = PAPER
            why = " ".join(counted.result.reasons)
            cv2.putText(tile, f"left out: {why}", (3, 12), FONT, 0.36, WARNING, 1, cv2.LINE_AA)
        return tile
