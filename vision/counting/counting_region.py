"""Which cells belong to an area whose volume is known: the rule of two edges; and which are ruled lines.

A cell that touches the top or left line of a counting area counts, one that touches the bottom or right
line does not. Over areas laid side by side each cell then counts exactly once, whatever its size, so that
the expected count is concentration times volume. [1]_

The rule is applied to the corner of a cell's bounding square at its lower right: the cell counts where that
corner lies in the area, its own top and left line included. In a picture without a grid the area keeps one
cell's diameter from the top and left edge of the picture, so that each cell that counts lies in the picture
whole: a cell cut by the edge is found or not by luck.

Without a depth there is no volume, and without a volume no area to belong to: all cells of the picture are
then listed as counted, the cut ones among them.

References
----------
.. [1] H. J. G. Gundersen, "Notes on the estimation of the numerical density of arbitrary profiles: the edge
   effect", J. Microsc. 111, 219-223, 1977.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from vision.counting.method import Cell

if TYPE_CHECKING:
    from vision.counting.neubauer import Grid, NoGrid, Square

Doubles = npt.NDArray[np.float64]

# Of the disc of a cell on a line at least this share must show beside the line, to be judged by it.
BESIDE_SHARE_LEAST = 0.25
GROUND_PX_LEAST = 30
BARE_SHARE_MOST = 0.06


@dataclass(frozen=True, slots=True)
class CountingRegion:
    """An area in which cells are counted.

    Attributes
    ----------
    kind : str
        `picture` or `squares`.
    area_mm2 : float
        Its size; what the volume is made of, with the chamber's depth.
    polygons : tuple of (4, 2) float64 ndarray
        Its outline for the eye, x and y in pixels.
    to_region : (3, 3) float64 ndarray
        Projective map from pixels to the coordinates of `spans`.
    spans : (n, 4) float64 ndarray
        Left, top, right, bottom of each part; a part holds its left and top border and not the others.
    """

    kind: str
    area_mm2: float
    polygons: tuple[Doubles, ...]
    to_region: Doubles
    spans: Doubles


def picture_region(width_px: int, height_px: int, radius_px: float, um_per_px: float) -> CountingRegion:
    """Return the area of a picture without a grid, for cells of up to this radius.

    Raises
    ------
    ValueError
        The picture is no larger than a cell.
    """
    # Pixel centres are whole numbers: the picture reaches from -0.5 to width - 0.5.
    left = top = 2.0 * radius_px - 0.5
    right, bottom = width_px - 0.5, height_px - 0.5
    if right - left < 1 or bottom - top < 1:
        raise ValueError("The picture is no larger than a cell. Show a larger field.")
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    area_mm2 = (right - left) * (bottom - top) * (um_per_px / 1000.0) ** 2
    return CountingRegion(
        "picture", area_mm2, (corners,), np.eye(3), np.array([[left, top, right, bottom]], np.float64)
    )


def squares_region(grid: Grid, squares: Sequence[Square] | None = None) -> CountingRegion:
    """Return the area of whole squares of a ruling; all that lie in the picture when none are named.

    Raises
    ------
    ValueError
        There is no square wholly inside the picture.
    """
    squares = grid.squares if squares is None else squares
    if not squares:
        raise ValueError("No square of the grid lies wholly in the picture. Show more of it.")
    spans = []
    for square in squares:
        on_ruling = _mapped(grid.to_mm, square.corners)
        spans.append((*on_ruling.min(axis=0), *on_ruling.max(axis=0)))
    area_mm2 = float(sum(one.side_mm[0] * one.side_mm[1] for one in squares))
    return CountingRegion(
        "squares", area_mm2, tuple(one.corners for one in squares), grid.to_mm, np.round(spans, 6)
    )


def apply_two_edges(cells: Sequence[Cell], region: CountingRegion) -> list[Cell]:
    """Return the cells, those that do not belong to the region marked as excluded by the `edge`.

    Cells already excluded for another reason keep it.
    """
    if not cells:
        return []
    inside = belongs(
        np.array([[one.x, one.y] for one in cells], np.float64),
        np.array([one.radius for one in cells], np.float64),
        region,
    )
    return [
        one if within or one.excluded else replace(one, excluded="edge")
        for one, within in zip(cells, inside, strict=True)
    ]


def exclude_grid_lines(
    cells: Sequence[Cell], grey: npt.NDArray[np.float32], found: Grid | NoGrid
) -> list[Cell]:
    """Return the cells, those marked as `grid_line` that are nothing but a ruled line.

    A cell that lies on a line is still a cell: it shows beside the line as well. So only what has the bare
    ground of its surroundings beside the line, all the way round, is the line itself. Where a line covers
    nearly all of a cell nothing can be told, and it stays a cell.
    """
    if not cells or not found.lines:
        return list(cells)
    from vision.counting.neubauer import line_mask  # compiled: only where a grid was looked for

    mask = line_mask(grey, found)
    return [
        replace(one, excluded="grid_line") if not one.excluded and _is_bare_line(one, grey, mask) else one
        for one in cells
    ]


def _is_bare_line(cell: Cell, grey: npt.NDArray[np.float32], mask: npt.NDArray[np.bool_]) -> bool:
    height, width = grey.shape
    reach = 2.2 * cell.radius
    top, bottom = max(0, int(cell.y - reach)), min(height, int(cell.y + reach) + 2)
    left, right = max(0, int(cell.x - reach)), min(width, int(cell.x + reach) + 2)
    lines = mask[top:bottom, left:right]
    y, x = np.mgrid[top:bottom, left:right]
    away = np.hypot(x - cell.x, y - cell.y)
    disc = away <= 1.15 * cell.radius
    if not (lines & (away <= cell.radius)).any():
        return False
    beside, ground = disc & ~lines, (away > 1.4 * cell.radius) & ~lines
    if beside.sum() < BESIDE_SHARE_LEAST * disc.sum() or ground.sum() < GROUND_PX_LEAST:
        return False
    window = grey[top:bottom, left:right]
    level = float(np.median(window[ground]))
    spread = max(1.4826 * float(np.median(np.abs(window[ground] - level))), 1.0)
    # Noise alone puts 1 % of the pixels beyond 2.6 spreads; a ring or a dark disc most of its own.
    return bool((np.abs(window[beside] - level) > 2.6 * spread).mean() < BARE_SHARE_MOST)


def belongs(centres: Doubles, radii: Doubles, region: CountingRegion) -> npt.NDArray[np.bool_]:
    """Say of each cell whether the rule of two edges counts it.

    Parameters
    ----------
    centres : (n, 2) float64 ndarray
        x and y in pixels.
    radii : (n,) float64 ndarray
        In pixels.

    Returns
    -------
    inside : (n,) bool ndarray
    """
    middle = _mapped(region.to_region, centres)
    # How far a cell reaches along each direction of the region, by the local scale.
    across, along = np.array([0.5, 0.0]), np.array([0.0, 0.5])
    right = _mapped(region.to_region, centres + across) - _mapped(region.to_region, centres - across)
    down = _mapped(region.to_region, centres + along) - _mapped(region.to_region, centres - along)
    corner = middle + radii[:, None] * np.hypot(right, down)
    spans = region.spans
    within = (
        (corner[:, None, 0] >= spans[None, :, 0])
        & (corner[:, None, 0] < spans[None, :, 2])
        & (corner[:, None, 1] >= spans[None, :, 1])
        & (corner[:, None, 1] < spans[None, :, 3])
    )
    return np.asarray(within.any(axis=1))


def _mapped(matrix: Doubles, points: Doubles) -> Doubles:
    moved = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    return np.asarray(moved[:, :2] / moved[:, 2:])
