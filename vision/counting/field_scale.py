"""What is known of size in one field, and which part of it counts: stated, or read off the ruling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from vision.counting.chamber_table import Chamber
from vision.counting.counting_region import CountingRegion, picture_region, squares_region
from vision.counting.method import Cell, Method, Scale
from vision.picture_file import FieldPicture

if TYPE_CHECKING:
    from vision.counting.neubauer import Grid

# A station's scale and a ruling that differ by more are not both right.
SCALES_AGREE = 0.03
# Where no cell was found the margin is that of a cell of the middle size, 12 um.
USUAL_RADIUS_UM = 6.0


@dataclass(frozen=True, slots=True)
class FieldScale:
    """The scale of one field.

    Attributes
    ----------
    scale : Scale
    grid : Grid or None
        The ruling found; None where none was looked for or seen with certainty.
    disagrees : bool
        The ruling gives another scale than the one stated.
    """

    scale: Scale
    grid: Grid | None = None
    disagrees: bool = False


def scale_of(
    pictures: Sequence[FieldPicture], method: Method, stated: Scale, chamber: Chamber | None
) -> FieldScale:
    """Return the stated scale, or the ruling's where none is stated; a named ruling checks the stated one.

    Fluorescence shows no ruling; none is looked for there.
    """
    ruled = chamber is not None and chamber.ruling is not None
    if "nucleus" in method.classes or method.channels > 1 or (stated.known() and not ruled):
        return FieldScale(stated)
    # The search is compiled: who states a scale and names no ruling does not wait for it.
    from vision.counting import neubauer

    grid = neubauer.find_grid(pictures[0].grey)
    if isinstance(grid, neubauer.NoGrid):
        return FieldScale(stated)
    if stated.um_per_px is not None:
        return FieldScale(stated, grid, abs(grid.um_per_px / stated.um_per_px - 1) > SCALES_AGREE)
    return FieldScale(Scale(grid.um_per_px, stated.object_diameter_px), grid)


def region_of(known: FieldScale, shape: tuple[int, int], cells: Sequence[Cell]) -> CountingRegion | None:
    """Return the part of a field whose volume can be told, or None without a scale.

    Whole squares of the ruling where there are any; otherwise the picture without a margin of one cell.
    """
    um_per_px = known.scale.um_per_px
    if um_per_px is None:
        return None
    if known.grid is not None and known.grid.squares:
        return squares_region(known.grid)
    radii = [cell.radius for cell in cells if cell.included]
    radius_px = median(radii) if radii else USUAL_RADIUS_UM / um_per_px
    height, width = shape
    try:
        return picture_region(width, height, radius_px, um_per_px)
    except ValueError:
        return None
