"""Find the ruling of a counting chamber in a picture: where it lies, which lines it shows, and the scale.

`find_grid` answers with a `Grid` when one reading of the lines stands clear of all others, and with a
`NoGrid` that says in words why not otherwise. A wrong scale is worse than none: lengths enter a
concentration squared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import grid_lines, grid_match
from vision.counting.chamber_table import Ruling, chambers
from vision.counting.grid_lines import Family
from vision.counting.grid_match import Reading

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
NoGridReason = Literal[
    "no_lines",
    "one_direction",
    "too_few_lines",
    "ambiguous",
    "axes_disagree",
    "other_ruling",
    "bent",
    "tilted",
]

# Most lines are seen at under a megapixel; finer ones at the picture's own pixels, coarse ones at fewer.
WORKING_PIXELS = (0.8e6, 0.25e6)
PROMINENCE_LEAST = 6.0
SCALES_AGREE = 0.03
GUIDES_MOST = 8
SCORE_LEAST, MARGIN_LEAST, SCORE_BEHIND_MOST = 7.0, 2.5, 5.0
LINES_LEAST, LINES_LEAST_SUM, AXIS_SCORE_LEAST = 2, 6, 2.2
UNFIT_SHARE_MOST = 0.34
# Between the lines of a triple line: rulings measure 5 to 6 um; 0.25 mm read as 0.05 mm would give 1.
SUB_SPACING_UM, SUB_SPACING_USUAL_UM = (3.5, 9.9), (4.3, 7.2)
# What a measured width of multiple lines counts, in lines.
SUB_SPACING_SAYS = 1.0
# The other rulings of the table are known so that they are not taken for one of these.
RULINGS_MEASURED = ("neubauer-improved", "fuchs-rosenthal")
# A strip shows a line where it is this share as bright as in its brighter half, with gaps of so many strips.
LINE_SHOWS, RUN_GAP_STRIPS = 0.4, 3
RESIDUAL_UM_MOST = 4.0
BEND_MOST = 0.012
SCALE_SPREAD_MOST = 0.10

WORDS: dict[NoGridReason, str] = {
    "no_lines": "No ruled lines were found in this picture. Give the size of a pixel.",
    "one_direction": "Ruled lines were found in one direction only. Show a part with crossing lines.",
    "too_few_lines": "Too few ruled lines are in view to be sure of their spacing. Show more of the grid.",
    "ambiguous": "The lines in view fit more than one spacing. Show a place where the spacing changes.",
    "axes_disagree": "The two directions of lines give different scales. Give the size of a pixel.",
    "other_ruling": "These lines look like a ruling that is not measured by. Give the size of a pixel.",
    "bent": "The lines are bent, so the scale changes over the picture. Use a camera on the microscope.",
    "tilted": "The picture is tilted, so that the scale changes over it. Take it straight from above.",
}


@dataclass(frozen=True, slots=True)
class GridLine:
    """A ruled line, in pixels of the picture as given.

    Attributes
    ----------
    axis : int
        0 for a line that marks a place along the ruling's first axis (it runs more down than across the
        picture), 1 for the other.
    x0, y0, x1, y1 : float
        The ends of what was seen of it.
    width : float
        Full width of what it covers, multiple lines as one, in pixels.
    position_mm : float or None
        Its place on the ruling; None while the scale is not known.
    multiple : bool
        Ruled two- or threefold; its middle is the measure.
    """

    axis: int
    x0: float
    y0: float
    x1: float
    y1: float
    width: float
    position_mm: float | None = None
    multiple: bool = False


@dataclass(frozen=True, slots=True)
class Square:
    """A square of the ruling that lies wholly inside the picture.

    `corners` is (4, 2) float64, x and y in pixels, clockwise from the top left of the ruling; `side_mm`
    its two sides.
    """

    corners: Doubles
    side_mm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Grid:
    """The ruling of a chamber, found with certainty.

    Attributes
    ----------
    ruling : str
        Name of the ruling (see `chambers.toml`).
    lines : tuple of GridLine
    spacings_mm : tuple of two tuples of float
        The spacings in view on each axis, ascending: 0.25 for corner squares, 0.20 for the centre's groups
        and 0.05 for its small squares.
    angle_deg : float
        Rotation of the ruling against the picture, -45 to 45, clockwise as seen on a screen.
    px_per_mm : tuple of float
        Scale along the first and second axis, at the middle of the lines seen.
    um_per_px : float
        Square root of the area of a pixel, in micrometres.
    um_per_px_relative_u : float
        Its relative standard uncertainty: fit, ruling tolerance and change over the picture together.
    residual_um : float
        Root mean square distance of the points seen on the lines from the fit.
    skew_deg : float
        Angle between the axes, less 90.
    scale_spread : float
        (Largest - smallest) / mean scale over the lines seen: perspective.
    to_mm : (3, 3) float64 ndarray
        Projective map from picture pixels (x, y, 1) to millimetres on the ruling.
    squares : tuple of Square
        Those wholly inside the picture.
    middle : tuple of float
        The pixel, x and y, at which the scales are given: the middle of the lines seen.
    """

    ruling: str
    lines: tuple[GridLine, ...]
    spacings_mm: tuple[tuple[float, ...], tuple[float, ...]]
    angle_deg: float
    px_per_mm: tuple[float, float]
    um_per_px: float
    um_per_px_relative_u: float
    residual_um: float
    skew_deg: float
    scale_spread: float
    to_mm: Doubles
    squares: tuple[Square, ...]
    middle: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class NoGrid:
    """No scale: `reason` is a key, `words` say what is so and what to do; `lines` were seen all the same."""

    reason: NoGridReason
    words: str
    lines: tuple[GridLine, ...] = ()


def find_grid(grey: Floats) -> Grid | NoGrid:
    """Find the ruling in a picture.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Brightness, 0 to 255. Not changed.

    Returns
    -------
    Grid or NoGrid
        `NoGrid` whenever another reading of the lines is nearly as good.
    """
    grey = np.ascontiguousarray(grey, np.float32)
    answer = NoGrid("no_lines", WORDS["no_lines"])
    if min(grey.shape) < 64:
        return answer
    for pixels in _pixels_to_try(grey.size):
        again = _find_at(grey, pixels)
        if isinstance(again, Grid):
            return again
        if len(again.lines) > len(answer.lines) or answer.reason == "no_lines":
            answer = again
    return answer


def _pixels_to_try(size: int) -> list[float]:
    tries = [float(min(size, WORKING_PIXELS[0]))]
    if size > 2 * WORKING_PIXELS[1]:
        tries.append(WORKING_PIXELS[1])
    return tries


def rulings() -> list[Ruling]:
    """Return the rulings that are looked for."""
    return [chamber.ruling for chamber in chambers().values() if chamber.ruling is not None]


def _find_at(grey: Floats, pixels: float) -> Grid | NoGrid:
    working = grid_lines.prepare(grey, pixels)
    angles, prominences = grid_lines.directions(working)
    if prominences[0] < PROMINENCE_LEAST:
        return NoGrid("no_lines", WORDS["no_lines"])
    order = np.argsort(np.abs((angles - 90.0 + 90.0) % 180.0 - 90.0))
    turns = grid_lines.turns_deg(angles[order])
    families = [
        grid_lines.family(working, turn, float(prominences[one]))
        for turn, one in zip(turns, order, strict=True)
    ]
    answer: Grid | NoGridReason
    if prominences[1] < PROMINENCE_LEAST:
        answer = "one_direction"
    elif min(len(one.peaks_x) for one in families) < LINES_LEAST:
        answer = "too_few_lines"
    else:
        chosen = _choose(families, [grid_match.readings(one, rulings()) for one in families])
        answer = chosen if isinstance(chosen, str) else _fitted(grey.shape, working.factor, families, chosen)
    if isinstance(answer, Grid):
        return answer
    seen = [line for axis, one in enumerate(families) for line in _plain_lines(one, axis, working.factor)]
    return NoGrid(answer, WORDS[answer], tuple(seen))


def _choose(
    families: Sequence[Family], found: Sequence[Sequence[Reading]]
) -> tuple[Reading, Reading] | NoGridReason:
    """Return the pair of readings that stands clear of all pairs of another scale, or why there is none."""
    first, second = found
    best = None
    rival = 0.0
    for pair in _pairs(families, first, second):
        score, scale, one, other = pair
        if scale == 0.0:
            rival = max(rival, score)
            continue
        if best is not None and (
            score < best[0] - SCORE_BEHIND_MOST or abs(np.log(scale / best[1])) <= SCALES_AGREE
        ):
            continue
        fits, measured = _sub_spacing_fits(families, (one, other))
        if not fits:
            continue
        if best is None:
            # Lines of a multiple line just as far apart as makers rule them are evidence of their own.
            best = (score + SUB_SPACING_SAYS * measured, scale, one, other)
        else:
            rival = max(rival, score + SUB_SPACING_SAYS * measured)
    if best is None:
        return "axes_disagree" if _each_sure(first) and _each_sure(second) else "too_few_lines"
    score, _, one, other = best
    if score - rival < MARGIN_LEAST:
        return "ambiguous"
    if score < SCORE_LEAST or len(one.lines) + len(other.lines) < LINES_LEAST_SUM:
        return "too_few_lines"
    # Two lines are one distance, and one distance fits any scale that is looked for.
    if min(one.score, other.score) < AXIS_SCORE_LEAST or min(len(one.lines), len(other.lines)) < 3:
        return "too_few_lines"
    if one.ruling not in RULINGS_MEASURED:
        return "other_ruling"
    # One axis alone reads much better than it does in the pair: the axes contradict.
    alone = max(_best_named(first) - one.score, _best_named(second) - other.score)
    if alone > 0.5 * score:
        return "axes_disagree"
    for reading in (one, other):
        unfit = reading.missing + reading.left_over + reading.wrong_kind
        if unfit > UNFIT_SHARE_MOST * (len(reading.lines) + unfit):
            return "ambiguous"
    return one, other


def _pairs(
    families: Sequence[Family], first: Sequence[Reading], second: Sequence[Reading]
) -> list[tuple[float, float, Reading, Reading]]:
    """Return score, scale (0 for even lines) and readings of both axes that agree, best first.

    Each axis is also read again at the scales that the other suggests: a few even lines alone fit too many.
    """
    by_name = {one.name: one for one in rulings()}
    pairs = []
    for axis, found in enumerate((first, second)):
        tried: list[tuple[str, float]] = []
        for one in found:
            near = any(one.ruling == name and abs(np.log(one.px_per_mm / px)) < 0.01 for name, px in tried)
            if one.ruling == "even" or near or len(tried) >= GUIDES_MOST:
                continue
            tried.append((one.ruling, one.px_per_mm))
            others = grid_match.readings_near(
                families[1 - axis], by_name[one.ruling], one.px_per_mm, SCALES_AGREE
            )
            for other in others[:1]:
                both = (one, other) if axis == 0 else (other, one)
                pairs.append((one.score + other.score, one.px_per_mm, *both))
    evens = [next((one for one in found if one.ruling == "even"), None) for found in (first, second)]
    if evens[0] is not None and evens[1] is not None:
        pairs.append((evens[0].score + evens[1].score, 0.0, evens[0], evens[1]))
    return sorted(pairs, key=lambda pair: -pair[0])


def _best_named(found: Sequence[Reading]) -> float:
    return max((one.score for one in found if one.ruling != "even"), default=0.0)


def _each_sure(found: Sequence[Reading]) -> bool:
    return bool(_best_named(found) >= SCORE_LEAST / 2)


def _sub_spacing_fits(families: Sequence[Family], readings: Sequence[Reading]) -> tuple[bool, int]:
    """Say whether the multiple lines are as wide as makers rule them, and on how many axes that was measured.

    Lines that are even but for the multiple ones have nothing else to tell their spacing by.
    """
    measured = [one for one in map(grid_match.sub_spacing_um, families, readings) if one is not None]
    if not measured:
        return _spacing_changes(readings), 0
    usual = sum(SUB_SPACING_USUAL_UM[0] <= one <= SUB_SPACING_USUAL_UM[1] for one in measured)
    return all(SUB_SPACING_UM[0] <= one <= SUB_SPACING_UM[1] for one in measured), usual


def _spacing_changes(readings: Sequence[Reading]) -> bool:
    """Say whether two spacings of the ruling were seen, each at least twice, on either axis."""
    positions = next(one.positions_mm for one in rulings() if one.name == readings[0].ruling)
    seen = Counter(
        round(positions[b] - positions[a], 4)
        for one in readings
        for a, b in pairwise(one.lines)
        if b == a + 1
    )
    return sum(times >= 2 for times in seen.values()) >= 2


def _to_picture(family: Family, factor: float, x: Doubles, y: Doubles) -> Doubles:
    """Map places of a family's turned frame to pixels of the picture as given; (n, 2)."""
    linear, offset = family.to_turned[:, :2], family.to_turned[:, 2]
    working = (np.column_stack([x, y]) - offset) @ linear  # the inverse of a rotation is its transpose
    return np.asarray((working + 0.5) / factor - 0.5)


def _line_points(family: Family, place: float, reach: float) -> tuple[Doubles, Doubles]:
    """Return x and y, in the turned frame, of each strip that shows the line, from its first to its last."""
    count, width = family.strips.shape
    lean = float(family.lean(np.array([place]))[0])
    middles = place + lean * (family.strips_y - family.middle_y())
    steps = np.arange(-int(np.ceil(reach)), int(np.ceil(reach)) + 1)
    columns = np.round(middles).astype(np.int64)[:, None] + steps
    ok = (columns[:, 0] >= 1) & (columns[:, -1] < width - 1)
    columns = np.clip(columns, 0, width - 1)
    rows = np.arange(count)[:, None]
    ok &= family.valid[rows, columns].all(axis=1)
    windows = family.strips[rows, columns].astype(np.float64)
    weights = np.maximum(windows - np.minimum(windows[:, :1], windows[:, -1:]), 0.0)
    tall = windows.max(axis=1)
    if not ok.any():
        return np.empty(0), np.empty(0)
    # A line is as bright all along; what is far dimmer is the ground beyond its end, or a cell upon it.
    usual = float(np.median(np.sort(tall[ok])[-max(2, int(ok.sum()) // 2) :]))
    ok &= (tall >= LINE_SHOWS * usual) & (weights.sum(axis=1) > 0)
    ok[ok] = _longest_run(np.flatnonzero(ok), RUN_GAP_STRIPS)
    x = (weights * columns).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9)
    return x[ok], family.strips_y[ok]


def _longest_run(indices: npt.NDArray[np.int64], gap_most: int) -> npt.NDArray[np.bool_]:
    """Mark the longest run of ascending indices whose gaps are no wider than `gap_most`."""
    starts = np.flatnonzero(np.append(True, np.diff(indices) > gap_most))
    ends = np.append(starts[1:], len(indices))
    keep = np.zeros(len(indices), bool)
    if len(indices):
        longest = int(np.argmax(ends - starts))
        keep[starts[longest] : ends[longest]] = True
    return keep


def _plain_lines(family: Family, axis: int, factor: float) -> list[GridLine]:
    """Return the lines of a family without a scale."""
    found = []
    for place in family.peaks_x:
        xs, ys = _line_points(family, float(place), 3.0)
        if len(ys) < max(3, 0.3 * len(family.strips_y)):
            continue
        found.append(_ends(family, axis, factor, xs, ys, 3.0 / factor))
    return found


def _ends(family: Family, axis: int, factor: float, xs: Doubles, ys: Doubles, width: float) -> GridLine:
    fit = np.polyfit(ys, xs, 1)
    half = 0.5 * float(family.strips_y[1] - family.strips_y[0])
    y = np.array([ys.min() - half, ys.max() + half])
    (x0, y0), (x1, y1) = _to_picture(family, factor, np.polyval(fit, y), y)
    return GridLine(axis, float(x0), float(y0), float(x1), float(y1), width)


def _fitted(
    shape: tuple[int, ...],
    factor: float,
    families: Sequence[Family],
    chosen: tuple[Reading, Reading],
) -> Grid | NoGridReason:
    """Fit ruling to picture over all points of all lines, and judge the fit."""
    by_name = {one.name: one for one in rulings()}
    ruling = by_name[chosen[0].ruling]
    points, marks, axes, lines = [], [], [], []
    for axis, (family, reading) in enumerate(zip(families, chosen, strict=True)):
        reach = max(2.0, 0.013 * reading.px_per_mm)
        for index, place, multiple in zip(reading.lines, reading.places, reading.multiple, strict=True):
            xs, ys = _line_points(family, float(place), reach)
            if len(ys) < 2:
                continue
            mark = ruling.positions_mm[index]
            width = (0.004 + 0.012 * multiple) * reading.px_per_mm / factor + 1.5
            end = _ends(family, axis, factor, xs, ys, width)
            lines.append(GridLine(axis, end.x0, end.y0, end.x1, end.y1, width, mark, multiple))
            points.append(_to_picture(family, factor, xs, ys))
            marks += [mark] * len(ys)
            axes += [axis] * len(ys)
    if len(lines) < LINES_LEAST_SUM:
        return "too_few_lines"
    fit = _projective(np.concatenate(points), np.array(marks), np.array(axes))
    if fit is None:
        return "too_few_lines"
    return _grid_of(shape, ruling, tuple(lines), fit)


@dataclass(frozen=True, slots=True)
class _Fit:
    to_mm: Doubles
    points: Doubles
    residuals_mm: Doubles
    axes: npt.NDArray[np.int64]


def _projective(points: Doubles, marks: Doubles, axes: npt.NDArray[np.int64]) -> _Fit | None:
    """Fit the map from pixels to marks: its first coordinate for axis-0 points, its second for axis-1 points.

    Linear least squares over eight unknowns, each point giving one equation, in centred and scaled pixels;
    points three spreads off are left out and the rest is fitted again.
    """
    middle, size = points.mean(axis=0), float(np.abs(points - points.mean(axis=0)).max())
    scaled = (points - middle) / size
    keep = np.ones(len(points), bool)
    answer: Doubles = np.zeros(8)
    for _ in range(3):
        x, y, mark, axis = scaled[keep, 0], scaled[keep, 1], marks[keep], axes[keep]
        if min((axis == 0).sum(), (axis == 1).sum()) < 4:
            return None
        rows = np.zeros((len(x), 8))
        for one in (0, 1):
            mine = axis == one
            rows[mine, 3 * one : 3 * one + 3] = np.column_stack([x[mine], y[mine], np.ones(mine.sum())])
        rows[:, 6], rows[:, 7] = -mark * x, -mark * y
        answer = np.asarray(np.linalg.lstsq(rows, mark, rcond=None)[0], np.float64)
        residuals = _residuals(answer, scaled, marks, axes)
        spread = max(1.4826 * float(np.median(np.abs(residuals[keep]))), 1e-5)
        keep = np.abs(residuals) < 3.0 * spread
    matrix = np.vstack([answer[:3], answer[3:6], [answer[6], answer[7], 1.0]])
    centre = np.array([[1 / size, 0, -middle[0] / size], [0, 1 / size, -middle[1] / size], [0, 0, 1]])
    return _Fit(matrix @ centre, points[keep], _residuals(answer, scaled, marks, axes)[keep], axes[keep])


def _residuals(answer: Doubles, scaled: Doubles, marks: Doubles, axes: npt.NDArray[np.int64]) -> Doubles:
    x, y = scaled[:, 0], scaled[:, 1]
    below = 1.0 + answer[6] * x + answer[7] * y
    first = (answer[0] * x + answer[1] * y + answer[2]) / below
    second = (answer[3] * x + answer[4] * y + answer[5]) / below
    return np.asarray(np.where(axes == 0, first, second) - marks)


def _jacobian(to_mm: Doubles, point: Doubles) -> Doubles:
    """Return the (2, 2) derivative of millimetres by pixels at a point."""
    top = to_mm @ np.append(point, 1.0)
    return np.asarray((to_mm[:2, :2] - np.outer(top[:2] / top[2], to_mm[2, :2])) / top[2])


def _grid_of(
    shape: tuple[int, ...], ruling: Ruling, lines: tuple[GridLine, ...], fit: _Fit
) -> Grid | NoGridReason:
    middle = 0.5 * (fit.points.min(axis=0) + fit.points.max(axis=0))
    low, high = fit.points.min(axis=0), fit.points.max(axis=0)
    places = np.array([[x, y] for x in (low[0], middle[0], high[0]) for y in (low[1], middle[1], high[1])])
    areas = np.array([abs(float(np.linalg.det(_jacobian(fit.to_mm, one)))) for one in places])
    sides = np.sqrt(areas)
    scale_spread = float((sides.max() - sides.min()) / sides.mean())
    if not np.isfinite(scale_spread) or scale_spread > SCALE_SPREAD_MOST:
        return "tilted"
    to_px = np.linalg.inv(_jacobian(fit.to_mm, middle))  # pixels by millimetres
    px_per_mm = (float(np.linalg.norm(to_px[:, 0])), float(np.linalg.norm(to_px[:, 1])))
    if abs(np.log(px_per_mm[0] / px_per_mm[1])) > SCALES_AGREE:
        return "axes_disagree"
    residual_um = 1000.0 * float(np.sqrt(np.mean(fit.residuals_mm**2)))
    bend = _bend(fit, low, high)
    if residual_um > RESIDUAL_UM_MOST + 700.0 / float(np.mean(px_per_mm)) or bend > BEND_MOST:
        return "bent"
    along = np.degrees(np.arctan2(to_px[1, 0], to_px[0, 0]))
    down = np.degrees(np.arctan2(to_px[1, 1], to_px[0, 1]))
    skew = float((down - along + 90.0) % 180.0 - 90.0)
    skew = skew - 90.0 if skew > 0 else skew + 90.0
    angle = float((along + 45.0) % 90.0 - 45.0)
    um_per_px = 1000.0 * float(sides[4])
    tolerance = max(one.ruling_relative_u for one in chambers().values() if one.ruling == ruling)
    relative_u = float(np.sqrt(_fit_relative_u(fit) ** 2 + tolerance**2 + (scale_spread**2 + bend**2) / 12.0))
    spacings = tuple(_spacings(lines, axis) for axis in (0, 1))
    return Grid(
        ruling=ruling.name,
        lines=lines,
        spacings_mm=(spacings[0], spacings[1]),
        angle_deg=angle,
        px_per_mm=px_per_mm,
        um_per_px=um_per_px,
        um_per_px_relative_u=relative_u,
        residual_um=residual_um,
        skew_deg=skew,
        scale_spread=scale_spread,
        to_mm=fit.to_mm,
        squares=_squares(shape, ruling, lines, fit.to_mm),
        middle=(float(middle[0]), float(middle[1])),
    )


def _bend(fit: _Fit, low: Doubles, high: Doubles) -> float:
    """Return how much the local scale changes by what a projective map cannot follow: bent lines.

    The residuals are fitted by what a radial distortion of the lens would leave; its coefficient is the
    relative change of scale at the rim of the lines seen.
    """
    middle, size = 0.5 * (low + high), 0.5 * float(np.max(high - low))
    to_mm = _jacobian(fit.to_mm, middle)
    u = (fit.points - middle) / size
    radius2 = (u**2).sum(axis=1)
    moved = (u * radius2[:, None] * size) @ to_mm.T
    wanted = np.where(fit.axes == 0, moved[:, 0], moved[:, 1])
    # What a projective map takes up of it is taken off first.
    columns = []
    for one in (0, 1):
        mine = (fit.axes == one).astype(np.float64)
        columns += [mine, mine * u[:, 0], mine * u[:, 1], mine * u[:, 0] * u[:, 1], mine * u[:, one] ** 2]
    base = np.column_stack(columns)
    left = wanted - base @ np.linalg.lstsq(base, wanted, rcond=None)[0]
    if float(left @ left) < 1e-12:
        return 0.0
    return 3.0 * abs(float(left @ fit.residuals_mm) / float(left @ left))


def _fit_relative_u(fit: _Fit) -> float:
    """Return the relative standard uncertainty of the scale from the scatter of the points."""
    worst = 0.0
    to_mm = fit.to_mm
    for axis in (0, 1):
        mine = fit.axes == axis
        points, residuals = fit.points[mine], fit.residuals_mm[mine]
        top = np.column_stack([points, np.ones(len(points))]) @ to_mm.T
        marks = top[:, axis] / top[:, 2]
        # Points of one line share its error: the lines, not the points, are independent.
        names, which = np.unique(np.round(marks - residuals, 4), return_inverse=True)
        means = np.array([residuals[which == one].mean() for one in range(len(names))])
        spread = float(((names - names.mean()) ** 2).sum())
        worst = max(worst, (float((means**2).sum()) / max(len(names) - 2, 1) / max(spread, 1e-9)) ** 0.5)
    return worst


def _spacings(lines: Sequence[GridLine], axis: int) -> tuple[float, ...]:
    """Name the spacings in view: neighbours, and groups bounded by multiple lines."""
    mine = sorted(
        (one.position_mm, one.multiple) for one in lines if one.axis == axis and one.position_mm is not None
    )
    found = {round(b[0] - a[0], 3) for a, b in pairwise(mine)}
    bounds = [place for place, multiple in mine if multiple]
    found |= {round(b - a, 3) for a, b in pairwise(bounds)}
    return tuple(sorted(one for one in found if one in (0.025, 0.05, 0.2, 0.25)))


def _squares(
    shape: tuple[int, ...], ruling: Ruling, lines: Sequence[GridLine], to_mm: Doubles
) -> tuple[Square, ...]:
    """Return the squares between neighbouring bounds of the ruling that lie wholly inside the picture.

    The bounds are the lines 0.25 mm apart outside the centre, and the multiple lines of its groups.
    """
    bounds = [place for place, multiple in zip(ruling.positions_mm, ruling.multiple, strict=True) if multiple]
    gaps = np.diff(ruling.positions_mm)
    wide = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) > 0.1
    bounds = sorted({*bounds, *np.array(ruling.positions_mm)[wide].tolist()})
    spans = []
    for axis in (0, 1):
        mine = [one.position_mm for one in lines if one.axis == axis and one.position_mm is not None]
        spans.append([one for one in bounds if min(mine) - 1e-6 <= one <= max(mine) + 1e-6])
    to_px = np.linalg.inv(to_mm)
    height, width = shape[:2]
    found = []
    for left, right in zip(spans[0], spans[0][1:], strict=False):
        for top, bottom in zip(spans[1], spans[1][1:], strict=False):
            corners = (
                np.array([[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]) @ to_px.T
            )
            corners = corners[:, :2] / corners[:, 2:]
            if corners.min() >= 0 and corners[:, 0].max() <= width - 1 and corners[:, 1].max() <= height - 1:
                found.append(Square(corners, (round(right - left, 4), round(bottom - top, 4))))
    return tuple(found)


def line_mask(grey: Floats, found: Grid | NoGrid | None = None) -> npt.NDArray[np.bool_]:
    """Return where ruled lines cover the picture, whether or not their scale is known.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
    found : Grid, NoGrid or None
        What `find_grid` said of the picture; None lets it look.

    Returns
    -------
    mask : (h, w) bool ndarray
        True on lines. A cell that lies on a line is still a cell: leave out only what has nothing beside it.
    """
    found = find_grid(grey) if found is None else found
    mask = np.zeros(grey.shape, np.uint8)
    for line in found.lines:
        ends = [(round(16 * line.x0), round(16 * line.y0)), (round(16 * line.x1), round(16 * line.y1))]
        cv2.line(mask, ends[0], ends[1], 1, max(1, round(line.width)), cv2.LINE_8, 4)
    return mask > 0
