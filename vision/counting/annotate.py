"""The picture that shows what was counted: each cell marked by colour and by shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.method import Cell
from vision.counting.results import ImageResult
from vision.picture_file import PictureUnreadable, read_grey

Colours = npt.NDArray[np.uint8]

# OpenCV's order: blue, green, red.
LIVE, DEAD, UNSURE, LEFT_OUT = (60, 200, 60), (220, 60, 230), (40, 220, 250), (150, 150, 150)
INK, PAPER, WARNING = (30, 30, 30), (245, 245, 245), (40, 40, 220)
SHEET_WIDTH_MAX_PX = 1600
# Shown in 64 grey levels, a sheet of a hundred fields weighs a third: it shows, the originals prove.
SHOWN_LEVELS_MASK = 0xFC
COLUMNS_MAX = 8
TILE_MAX_PX = 480
GAP_PX = 4
LEGEND_PX = 34
BANNER_PX = 34
DASHES = 8
FONT = cv2.FONT_HERSHEY_SIMPLEX


def _mark(canvas: Colours, cell: Cell, factor: float) -> None:
    x, y = round(cell.x * factor), round(cell.y * factor)
    radius = max(4, round(cell.radius * factor))
    if not cell.included:
        cv2.rectangle(canvas, (x - radius, y - radius), (x + radius, y + radius), LEFT_OUT, 1, cv2.LINE_AA)
    elif cell.kind == "live":
        cv2.circle(canvas, (x, y), radius, LIVE, 1, cv2.LINE_AA)
    elif cell.kind == "dead":
        cv2.circle(canvas, (x, y), radius, DEAD, 1, cv2.LINE_AA)
        arm = max(2, round(radius * 0.7))
        cv2.line(canvas, (x - arm, y - arm), (x + arm, y + arm), DEAD, 1, cv2.LINE_AA)
        cv2.line(canvas, (x - arm, y + arm), (x + arm, y - arm), DEAD, 1, cv2.LINE_AA)
    else:
        for dash in range(DASHES):
            start = 360 * dash / DASHES
            cv2.ellipse(
                canvas, (x, y), (radius, radius), 0, start, start + 180 / DASHES, UNSURE, 2, cv2.LINE_AA
            )


def annotated(grey: npt.NDArray[np.float32], cells: Sequence[Cell], *, width_px: int) -> Colours:
    """Draw the marks of `cells` on a picture scaled to `width_px`.

    Returns
    -------
    (h, w, 3) uint8 ndarray
        Blue, green, red. Live: plain circle. Dead: crossed circle. Unclassified: dashed circle.
        Left out: square.
    """
    factor = width_px / grey.shape[1]
    size = (width_px, max(1, round(grey.shape[0] * factor)))
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    shown = cv2.resize(np.clip(grey, 0, 255).astype(np.uint8), size, interpolation=way)
    shown = np.asarray(shown, np.uint8) & np.uint8(SHOWN_LEVELS_MASK)
    canvas = np.ascontiguousarray(cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR), np.uint8)
    for cell in cells:
        _mark(canvas, cell, factor)
    return canvas


def _legend(width_px: int, cells: Sequence[Cell]) -> Colours:
    """Draw one line that says what each mark means, with how many there are."""
    kinds = [cell.kind if cell.included else "left out" for cell in cells]
    strip: Colours = np.full((LEGEND_PX, width_px, 3), PAPER, np.uint8)
    x = 14
    size = 0.5 if width_px >= 520 else 0.32
    for kind, word in (
        ("live", "live"),
        ("dead", "dead"),
        ("unclassified", "not sure"),
        ("left out", "left out"),
    ):
        shape = Cell(x, LEGEND_PX / 2, 8, "live", 1.0, 1.0, excluded="edge")
        if kind != "left out":
            shape = Cell(x, LEGEND_PX / 2, 8, kind, 1.0, 1.0)  # type: ignore[arg-type]
        _mark(strip, shape, 1.0)
        text = f"{word} {kinds.count(kind)}"
        cv2.putText(strip, text, (x + 14, LEGEND_PX // 2 + 5), FONT, size, INK, 1, cv2.LINE_AA)
        x += 40 + cv2.getTextSize(text, FONT, size, 1)[0][0]
    return strip


def _banner(width_px: int) -> Colours:
    strip: Colours = np.full((BANNER_PX, width_px, 3), PAPER, np.uint8)
    cv2.putText(strip, "SIMULATED", (12, BANNER_PX - 10), FONT, 0.7, WARNING, 2, cv2.LINE_AA)
    return strip


def _write(path: Path, parts: Sequence[Colours]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    good, data = cv2.imencode(".png", np.vstack(parts))
    assert good, "PNG encoding of an 8-bit picture cannot fail"
    path.write_bytes(data.tobytes())
    return path


def write_overlay(result: ImageResult, path: Path, *, simulated: bool = False) -> Path | None:
    """Write one picture with its marks and a legend; None when the picture cannot be read."""
    try:
        grey = read_grey(Path(result.image)).grey
    except PictureUnreadable:
        return None
    # Small fields are enlarged: a mark on a cell of 20 px would hide it.
    width = min(SHEET_WIDTH_MAX_PX, max(grey.shape[1], 480))
    parts = [annotated(grey, result.cells, width_px=width), _legend(width, result.cells)]
    return _write(path, [_banner(width), *parts] if simulated else parts)


def _tile(result: ImageResult, side_px: int) -> Colours:
    """Draw one field into a square; a field that was left out says why across its top."""
    tile: Colours = np.full((side_px, side_px, 3), PAPER, np.uint8)
    try:
        grey = read_grey(Path(result.image)).grey
    except PictureUnreadable:
        cv2.putText(tile, "unreadable", (4, side_px // 2), FONT, 0.4, WARNING, 1, cv2.LINE_AA)
        return tile
    factor = side_px / max(grey.shape)
    drawn = annotated(grey, result.cells, width_px=max(1, round(grey.shape[1] * factor)))[:side_px, :side_px]
    tile[: drawn.shape[0], : drawn.shape[1]] = drawn
    if result.verdict != "counted":
        tile[:16] = PAPER
        why = " ".join(result.reasons)
        cv2.putText(tile, f"left out: {why}", (3, 12), FONT, 0.36, WARNING, 1, cv2.LINE_AA)
    return tile


def write_contact_sheet(
    results: Sequence[ImageResult], path: Path, *, simulated: bool = False
) -> Path | None:
    """Write all fields of a specimen as one PNG of at most 1600 px width; None without any field."""
    if not results:
        return None
    columns = min(COLUMNS_MAX, math.ceil(math.sqrt(len(results))))
    side = min(TILE_MAX_PX, SHEET_WIDTH_MAX_PX // columns - GAP_PX)
    width = max(columns * (side + GAP_PX), 480)
    rows = math.ceil(len(results) / columns)
    sheet: Colours = np.full((rows * (side + GAP_PX), width, 3), PAPER, np.uint8)
    for n, result in enumerate(results):
        y, x = (n // columns) * (side + GAP_PX), (n % columns) * (side + GAP_PX)
        sheet[y : y + side, x : x + side] = _tile(result, side)
    counted = [cell for r in results if r.verdict == "counted" for cell in r.cells]
    parts = [sheet, _legend(width, counted)]
    return _write(path, [_banner(width), *parts] if simulated else parts)
