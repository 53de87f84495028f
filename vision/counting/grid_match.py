"""Which ruling do these lines belong to, and at what scale: lines of one direction against known chambers.

Every reading is kept beside its rivals. A scale is only certain when no reading at another scale, and no
evenly ruled paper of any scale, explains the same lines nearly as well.
"""

from __future__ import annotations

import functools
from collections import Counter
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
# Single lines this near each other run together: in pixels, where they begin to say something when met, where
# they begin to be missed, and from where on they are lines like all others.
FINE_MM = 0.05
FINE_PX = (2.5, 4.0, 11.0)
# Strength of a line over that of a single one: from here on multiple, up to there single, between neither.
MULTIPLE_FROM, SINGLE_TO = 1.75, 1.45
EVEN_LINES = 61
EVEN_TOLERANCE = 0.08
GROWN_MOST, JUDGED_MOST, JUDGED_MOST_OF_SCALE = 32, 36, 4
# A reading this many lines behind the best of its direction decides nothing.
SCORE_BEHIND_MOST = 7.0
# How much better several lines must explain a multiple line than one bold line does.
SUB_SPACING_SURE = 1.6


@dataclass(frozen=True, slots=True)
class Clusters:
    """Lines of one family at one coarseness, multiple lines taken as one.

    `places`, `strengths` are (n,) float64: middle in pixels, and area in the profile. `kinds` is (n,) int64,
    a first guess: 1 for multiple, -1 for single, 0 for either.
    """

    places: Doubles
    strengths: Doubles
    kinds: npt.NDArray[np.int64]


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
    missing : float
        Lines in view that were not found, those hard to see counting less than one.
    left_over, wrong_kind : int
        What else does not fit.
    """

    ruling: str
    px_per_mm: float
    score: float
    lines: tuple[int, ...]
    places: Doubles
    multiple: tuple[bool, ...]
    missing: float
    left_over: int
    wrong_kind: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A ruling as it can be seen at some scale, and which pairs of its lines to start from.

    `gains` and `costs` are (m,) float64: what a line counts when it is met, and when it is missing.
    `pairs` is (p, 3) int64: two of its lines, and how many lines apart the two seen are.
    """

    name: str
    places: Doubles  # in mm
    multiple: npt.NDArray[np.bool_]
    gains: Doubles
    costs: Doubles
    tolerance_mm: float
    pairs: npt.NDArray[np.int64]


_Candidate = tuple[float, Clusters, _Pattern, Doubles]


def readings(family: Family, rulings: Sequence[Ruling]) -> list[Reading]:
    """Return the readings of a family of lines, best first; the even ones are among them."""
    if len(family.peaks_x) < 2:
        return []
    candidates: list[_Candidate] = []
    seen: tuple[float, ...] = ()
    for low, clusters in _rungs(family):
        for ruling in rulings:
            candidates += _candidates(family, clusters, _pattern(ruling, low), low, low * RUNG)
        if tuple(clusters.places) != seen:
            seen = tuple(clusters.places)
            candidates += _candidates(family, clusters, _even(), 0.0, np.inf)
    return _judged_best(family, candidates)


def readings_near(family: Family, ruling: Ruling, px_per_mm: float, within: float) -> list[Reading]:
    """Return the readings of a family of lines as one ruling at one scale, best first."""
    if len(family.peaks_x) < 2:
        return []
    starts = _cluster_starts(family, px_per_mm)
    if len(starts) < 2:
        return []
    pattern = _pattern(ruling, px_per_mm)
    low, high = px_per_mm * (1.0 - within), px_per_mm * (1.0 + within)
    return _judged_best(family, _candidates(family, _clusters(family, starts), pattern, low, high))


def _candidates(
    family: Family, clusters: Clusters, pattern: _Pattern, low: float, high: float
) -> list[_Candidate]:
    rows = grid_kernels.best_readings(
        *(clusters.places, clusters.kinds, pattern.places, pattern.multiple, pattern.gains, pattern.costs),
        *(
            pattern.pairs,
            low,
            high,
            pattern.tolerance_mm,
            TOLERANCE_PX,
            float(len(family.profile)),
            GROWN_MOST,
        ),
    )
    return [(float(row[3]), clusters, pattern, row) for row in rows]


def _judged_best(family: Family, candidates: list[_Candidate]) -> list[Reading]:
    """Judge the best candidates: each reading once, and few of one scale, as even lines fit anywhere."""
    candidates.sort(key=lambda one: -one[0])
    found: list[Reading] = []
    judged: set[tuple[str, int, int]] = set()
    of_scale: Counter[tuple[str, int]] = Counter()
    for score, clusters, pattern, row in candidates:
        if score < max(candidates[0][0] - SCORE_BEHIND_MOST, 0.0) or len(judged) >= JUDGED_MOST:
            break
        # Two that grew into the same reading start at the same place, at the same scale.
        start = pattern.places[0] - row[-1]
        scale = (pattern.name, round(50.0 * float(np.log(row[1]))))
        key = (*scale, round(float((row[0] * start + row[1]) * start + row[2])))
        if key in judged or of_scale[scale] >= JUDGED_MOST_OF_SCALE:
            continue
        judged.add(key)
        of_scale[scale] += 1
        reading = _judged(family, clusters, pattern, row[:3], pattern.places - row[-1])
        if reading is not None:
            found.append(reading)
    return sorted(found, key=lambda one: -one.score)


def _pattern(ruling: Ruling, px_per_mm: float) -> _Pattern:
    return _pattern_at(ruling, min(round(FINE_MM * px_per_mm, 1), 20.0))


@functools.cache
def _pattern_at(ruling: Ruling, fine_px: float) -> _Pattern:
    places = np.array(ruling.positions_mm)
    multiple = np.array(ruling.multiple)
    gaps = np.diff(places)
    fine = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) < 1.2 * FINE_MM
    # Single lines too near each other to be told apart say little when met and nothing when missing.
    faint = fine & ~multiple & (fine_px < FINE_PX[2])
    gains = np.where(faint, np.clip((fine_px - FINE_PX[0]) / (FINE_PX[2] - FINE_PX[0]), 0.05, 1.0), 1.0)
    costs = np.where(faint, np.clip((fine_px - FINE_PX[1]) / (FINE_PX[2] - FINE_PX[1]), 0.0, 1.0), 1.0)
    # Neighbours that are neighbours; with one line unseen between them; with one too many.
    at = np.arange(len(places))
    steps = [(at[:-theirs], at[theirs:], ours) for theirs, ours in ((1, 1), (2, 1), (1, 2))]
    if faint.any():
        firm = at[~faint]
        steps += [(firm[:-1], firm[1:], 1)]
    pairs = np.concatenate([np.column_stack([a, b, np.full(len(a), ours)]) for a, b, ours in steps])
    pairs = np.ascontiguousarray(np.unique(pairs, axis=0), np.int64)
    return _Pattern(ruling.name, places, multiple, gains, gains * costs, TOLERANCE_MM, pairs)


@functools.cache
def _even() -> _Pattern:
    places, ones = np.arange(EVEN_LINES, dtype=np.float64), np.ones(EVEN_LINES)
    pairs = np.array([[EVEN_LINES // 2, EVEN_LINES // 2 + 1, one] for one in (1, 2)], np.int64)
    return _Pattern("even", places, np.zeros(EVEN_LINES, bool), ones, ones, EVEN_TOLERANCE, pairs)


def _rungs(family: Family) -> Iterator[tuple[float, Clusters]]:
    """Yield the lower end of each range of scales with the lines as they are seen at it."""
    px_per_mm = PX_PER_MM_LEAST
    last: tuple[int, ...] = ()
    clusters = None
    px_per_mm = PX_PER_MM_LEAST
    while px_per_mm < PX_PER_MM_MOST:
        starts = _cluster_starts(family, px_per_mm)
        if clusters is None or tuple(starts) != last:
            clusters = _clusters(family, starts)
            last = tuple(starts)
        if len(clusters.places) >= 2:
            yield px_per_mm, clusters
        px_per_mm *= RUNG


def _cluster_starts(family: Family, px_per_mm: float) -> npt.NDArray[np.int64]:
    within = max(1.3, MULTIPLE_WITHIN_MM * px_per_mm)
    return np.flatnonzero(np.append(True, np.diff(family.peaks_x) > within))


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
    found = np.array(rows, np.float64).reshape(-1, 2)
    # Windows of neighbours may overlap by a pixel; their middles must still ascend.
    keep = np.append(True, np.diff(np.maximum.accumulate(found[:, 0])) > 0.2)
    places, strengths = np.ascontiguousarray(found[keep].T)
    ratio = strengths / max(float(np.percentile(strengths, 35.0)), 1e-9)
    kinds = (ratio > MULTIPLE_FROM).astype(np.int64) - (ratio < SINGLE_TO).astype(np.int64)
    return Clusters(places, strengths, kinds)


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
    begin, end = wanted[inside][0] - tolerance, wanted[inside][-1] + tolerance
    between = np.flatnonzero((clusters.places >= begin) & (clusters.places <= end))
    left_over = len(set(between.tolist()) - set(used.tolist()))
    wrong = _wrong_kinds(clusters.strengths[used], pattern.multiple[ok])
    missing = float(pattern.costs[inside & ~ok].sum())
    gained = float(pattern.gains[ok].sum())
    middle = float(np.interp(width / 2.0, wanted, marks))
    return Reading(
        ruling=pattern.name,
        px_per_mm=float(2.0 * fit[0] * middle + fit[1]),
        score=gained
        - missing
        - grid_kernels.LEFT_OVER_COSTS * left_over
        - grid_kernels.WRONG_KIND_COSTS * wrong,
        lines=tuple(int(one) for one in np.flatnonzero(ok)),
        places=clusters.places[used],
        multiple=tuple(bool(one) for one in pattern.multiple[ok]),
        missing=missing,
        left_over=left_over,
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
