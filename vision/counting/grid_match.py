"""Which ruling do these lines belong to, and at what scale: lines of one direction against known chambers.

Every reading is kept beside its rivals. A scale is only certain when no reading at another scale, and no
evenly ruled paper of any scale, explains the same lines nearly as well.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.counting import grid_kernels
from vision.counting.chamber_table import Ruling
from vision.counting.grid_lines import Family

Doubles = npt.NDArray[np.float64]

# Working pixels per millimetre in which a ruling is looked for.
PX_PER_MM_LEAST, PX_PER_MM_MOST = 30.0, 4200.0
RUNG = 1.45
# Lines of one multiple line lie nearer than this; lines of a ruling lie farther apart.
MULTIPLE_WITHIN_MM = 0.012
# A line is where the ruling says when it is this near, in millimetres and (least) in pixels.
TOLERANCE_MM, TOLERANCE_PX = 0.004, 0.8
# Closer lines run into each other and are not looked for one by one.
RESOLVED_PX = 4.5
FINE_MM = 0.06
# Strength of a line over that of a single one: from here on multiple, up to there single, between neither.
MULTIPLE_FROM, SINGLE_TO = 1.75, 1.45
EVEN_LINES = 61
EVEN_TOLERANCE = 0.08
GROWN_MOST, JUDGED_MOST = 24, 40
LEFT_OVER_COSTS, WRONG_KIND_COSTS = 0.7, 0.7
# A reading this many lines behind the best of its direction decides nothing.
SCORE_BEHIND_MOST = 7.0
# How much better several lines must explain a multiple line than one bold line does.
SUB_SPACING_SURE = 1.6


@dataclass(frozen=True, slots=True)
class Clusters:
    """Lines of one family at one coarseness, multiple lines taken as one.

    `places`, `strengths` are (n,) float64: middle in pixels, and area in the profile.
    """

    places: Doubles
    strengths: Doubles


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the lines of one family.

    Attributes
    ----------
    ruling : str
        Name of the ruling; `even` for paper ruled evenly, at any scale.
    px_per_mm : float
        Scale in working pixels (for `even`, pixels per line).
    score : float
        Lines explained, less lines missing, left over, or of the wrong kind.
    lines : tuple of int
        Index into the ruling of each line matched.
    places : (m,) float64 ndarray
        Where the matched lines lie, in pixels of the turned frame.
    multiple : tuple of bool
        What the ruling says of them.
    missing, left_over, wrong_kind : int
        What does not fit.
    """

    ruling: str
    px_per_mm: float
    score: float
    lines: tuple[int, ...]
    places: Doubles
    multiple: tuple[bool, ...]
    missing: int
    left_over: int
    wrong_kind: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A ruling as it can be seen: which of its lines are far enough apart, and which pairs to start from.

    `pairs` is (p, 3) int64: two of its lines, and how many lines apart the two seen are.
    """

    name: str
    places: Doubles  # in mm
    multiple: npt.NDArray[np.bool_]
    indices: npt.NDArray[np.int64]
    tolerance_mm: float
    pairs: npt.NDArray[np.int64]
    resolved: bool


def readings(family: Family, rulings: Sequence[Ruling]) -> list[Reading]:
    """Return the readings of a family of lines, best first; the even ones are among them."""
    if len(family.peaks_x) < 2:
        return []
    candidates: list[tuple[float, Clusters, _Pattern, Doubles]] = []
    seen: tuple[float, ...] = ()
    for low, clusters in _rungs(family):
        patterns = [(_pattern(ruling, FINE_MM * low >= RESOLVED_PX), low, low * RUNG) for ruling in rulings]
        if tuple(clusters.places) != seen:
            seen = tuple(clusters.places)
            patterns.append((_even(), 0.0, np.inf))
        for pattern, least, most in patterns:
            rows = grid_kernels.best_readings(
                *(clusters.places, pattern.places, pattern.pairs, least, most, pattern.tolerance_mm),
                *(TOLERANCE_PX, float(len(family.profile)), GROWN_MOST),
            )
            scores = rows[:, 3] - rows[:, 4]
            scores = scores - LEFT_OVER_COSTS * rows[:, 5] if pattern.resolved else scores
            candidates += [
                (float(score), clusters, pattern, row) for score, row in zip(scores, rows, strict=True)
            ]
    return _judged_best(family, candidates)


def _judged_best(
    family: Family, candidates: list[tuple[float, Clusters, _Pattern, Doubles]]
) -> list[Reading]:
    """Judge the candidates with most lines, each reading once."""
    candidates.sort(key=lambda one: -one[0])
    found: list[Reading] = []
    judged: set[tuple[str, int, int]] = set()
    for score, clusters, pattern, row in candidates:
        if score < max(candidates[0][0] - SCORE_BEHIND_MOST, 0.0) or len(judged) >= JUDGED_MOST:
            break
        # Two that grew into the same reading start at the same place, at the same scale.
        start = pattern.places[0] - row[-1]
        origin = float((row[0] * start + row[1]) * start + row[2])
        key = (pattern.name, round(origin), round(100.0 * float(np.log(row[1]))))
        if key in judged:
            continue
        judged.add(key)
        reading = _judged(family, clusters, pattern, row[:3], pattern.places - row[-1])
        if reading is not None:
            found.append(reading)
    return sorted(found, key=lambda one: -one.score)


@functools.cache
def _pattern(ruling: Ruling, resolved: bool) -> _Pattern:
    places = np.array(ruling.positions_mm)
    multiple = np.array(ruling.multiple)
    gaps = np.diff(places)
    fine = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) < FINE_MM
    keep = np.ones(len(places), bool) if resolved else ~fine | multiple
    # Neighbours that are neighbours; with one line unseen between them; with one too many.
    at = np.arange(int(keep.sum()))
    steps = [(at[:-theirs], at[theirs:], ours) for theirs, ours in ((1, 1), (2, 1), (1, 2))]
    pairs = np.concatenate([np.column_stack([a, b, np.full(len(a), ours)]) for a, b, ours in steps])
    return _Pattern(
        *(ruling.name, places[keep], multiple[keep], np.flatnonzero(keep), TOLERANCE_MM),
        *(np.ascontiguousarray(pairs, np.int64), resolved),
    )


@functools.cache
def _even() -> _Pattern:
    places = np.arange(EVEN_LINES, dtype=np.float64)
    pairs = np.array([[EVEN_LINES // 2, EVEN_LINES // 2 + 1, one] for one in (1, 2)], np.int64)
    return _Pattern(
        "even", places, np.zeros(EVEN_LINES, bool), np.arange(EVEN_LINES), EVEN_TOLERANCE, pairs, True
    )


def _rungs(family: Family) -> Iterator[tuple[float, Clusters]]:
    """Yield the lower end of each range of scales with the lines as they are seen at it."""
    px_per_mm = PX_PER_MM_LEAST
    last: tuple[int, ...] = ()
    clusters = None
    while px_per_mm < PX_PER_MM_MOST:
        within = max(1.3, MULTIPLE_WITHIN_MM * px_per_mm)
        starts = np.flatnonzero(np.append(True, np.diff(family.peaks_x) > within))
        if clusters is None or tuple(starts) != last:
            clusters = _clusters(family, starts)
            last = tuple(starts)
        if len(clusters.places) >= 2:
            yield px_per_mm, clusters
        px_per_mm *= RUNG


def _clusters(family: Family, starts: npt.NDArray[np.int64]) -> Clusters:
    peaks, profile = family.peaks_x, family.profile
    ends = np.append(starts[1:], len(peaks))
    first, last = peaks[starts], peaks[ends - 1]
    gaps_left = np.append(np.inf, first[1:] - last[:-1])
    gaps_right = np.append(first[1:] - last[:-1], np.inf)
    wide = _line_width(profile, peaks)
    rows = []
    for low, high, left, right in zip(first, last, gaps_left, gaps_right, strict=True):
        reach = min(0.45 * left, 0.45 * right, 1.0 + 1.2 * wide + 0.5 * (high - low))
        begin = max(0, round(low - reach))
        end = min(len(profile), round(high + reach) + 1)
        window = profile[begin:end]
        base = min(float(window[:2].mean()), float(window[-2:].mean()))
        weight = np.maximum(window - base, 0.0)
        total = max(float(weight.sum()), 1e-9)
        rows.append((float((weight * np.arange(begin, end)).sum() / total), total))
    return Clusters(*np.array(rows, np.float64).reshape(-1, 2).T)


def _line_width(profile: Doubles, peaks: Doubles) -> float:
    """Return the usual full width at half height of a peak, in pixels."""
    widths = []
    for place in peaks:
        at = round(float(place))
        half = 0.5 * profile[at]
        left = right = at
        while left > 0 and profile[left] > half:
            left -= 1
        while right < len(profile) - 1 and profile[right] > half:
            right += 1
        widths.append(right - left - 1)
    return max(1.0, float(np.percentile(widths, 35.0)))


def _nearest(places: Doubles, wanted: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    right = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    left = right - 1
    nearest = np.where(wanted - places[left] <= places[right] - wanted, left, right)
    return nearest, np.abs(places[nearest] - wanted)


def _judged(
    family: Family, clusters: Clusters, pattern: _Pattern, fit: Doubles, marks: Doubles
) -> Reading | None:
    width = len(family.profile)
    wanted = (fit[0] * marks + fit[1]) * marks + fit[2]
    if np.any(np.diff(wanted) <= 0):
        return None
    tolerance = max(pattern.tolerance_mm * fit[1], TOLERANCE_PX)
    near, away = _nearest(clusters.places, wanted)
    inside = (wanted > 2) & (wanted < width - 3)
    ok = inside & (away <= tolerance)
    if pattern.name == "even" and ok.any():
        # Paper goes on as far as its lines do.
        inside[: np.flatnonzero(ok)[0]] = False
        inside[np.flatnonzero(ok)[-1] + 1 :] = False
    if ok.sum() < 2:
        return None
    used = near[ok]
    span = (wanted[inside][0] - tolerance, wanted[inside][-1] + tolerance)
    between = np.flatnonzero((clusters.places >= span[0]) & (clusters.places <= span[1]))
    left_over = set(between.tolist()) - set(used.tolist())
    # Lines too fine to be told apart leave their own bumps between those that are.
    left_over_count = len(left_over) if pattern.resolved else 0
    wrong = _wrong_kinds(clusters.strengths[used], pattern.multiple[ok])
    missing = int(inside.sum() - ok.sum())
    middle = float(np.interp(width / 2.0, wanted, marks))
    return Reading(
        ruling=pattern.name,
        px_per_mm=float(2.0 * fit[0] * middle + fit[1]),
        score=float(ok.sum() - missing - LEFT_OVER_COSTS * left_over_count - WRONG_KIND_COSTS * wrong),
        lines=tuple(int(one) for one in pattern.indices[ok]),
        places=clusters.places[used],
        multiple=tuple(bool(one) for one in pattern.multiple[ok]),
        missing=missing,
        left_over=left_over_count,
        wrong_kind=wrong,
    )


def _wrong_kinds(strengths: Doubles, multiple: npt.NDArray[np.bool_]) -> int:
    """Count the lines that are multiple where they should be single, or the reverse."""
    singles = ~multiple
    if not singles.any():
        return 0
    ratio = strengths / max(float(np.median(strengths[singles])), 1e-9)
    return int((singles & (ratio > MULTIPLE_FROM)).sum() + (multiple & (ratio < SINGLE_TO)).sum())


def sub_spacing_um(family: Family, reading: Reading) -> float | None:
    """Measure how far apart the lines of a multiple line are; None where it looks like one bold line.

    The multiple lines as seen are explained by copies of the single lines as seen: blur is in both.
    """
    places, multiple, px_per_mm = reading.places, np.array(reading.multiple), reading.px_per_mm
    if not multiple.any() or multiple.all() or len(places) < 3:
        return None
    half = min(0.42 * float(np.diff(places).min()), 2.0 + 0.045 * px_per_mm)
    if half < 2.0:
        return None
    offsets = np.arange(-half, half + 0.25, 0.5)
    seen = np.interp(places[:, None] + offsets, np.arange(len(family.profile)), family.profile)
    single, several = np.median(seen[~multiple], axis=0), np.median(seen[multiple], axis=0)
    single = single - 0.5 * (single[:2].mean() + single[-2:].mean())
    several = several - 0.5 * (several[:2].mean() + several[-2:].mean())
    misfits, apart = [], np.linspace(0.0, 0.6 * half, 40)
    for one in apart:
        best = np.inf
        for places_px in ((-one, 0.0, one), (-0.5 * one, 0.5 * one)):
            model = sum(np.interp(offsets - at, offsets, single, left=0.0, right=0.0) for at in places_px)
            energy = max(float(model @ model), 1e-12)
            best = min(best, float(several @ several - (several @ model) ** 2 / energy))
        misfits.append(best)
    least = int(np.argmin(misfits))
    if misfits[0] < SUB_SPACING_SURE * max(misfits[least], 1e-9) or least in (0, len(apart) - 1):
        return None
    return 1000.0 * float(apart[least]) / px_per_mm
