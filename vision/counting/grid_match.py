"""Which ruling do these lines belong to, and at what scale: lines of one direction against known chambers.

Every reading is kept beside its rivals. A scale is only certain when no reading at another scale, and no
evenly ruled paper of any scale, explains the same lines nearly as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
GROWN_MOST = 10


@dataclass(frozen=True, slots=True)
class Clusters:
    """Lines of one family at one coarseness, multiple lines taken as one.

    `places`, `strengths`, `variances` are (n,) float64: middle in pixels, area in the profile, and second
    central moment in square pixels.
    """

    places: Doubles
    strengths: Doubles
    variances: Doubles


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
    sub_spacing_um : float or None
        Distance between the lines of a multiple line, from the spread of multiple over single lines.
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
    sub_spacing_um: float | None


def readings(family: Family, rulings: Sequence[Ruling]) -> list[Reading]:
    """Return the readings of a family of lines, best first; the even ones are among them."""
    found: list[Reading] = []
    if len(family.peaks_x) < 2:
        return found
    seen: tuple[float, ...] = ()
    for px_per_mm, clusters in _rungs(family):
        for ruling in rulings:
            low, high = px_per_mm, px_per_mm * RUNG
            found += _read(family, clusters, _Pattern.of(ruling, low), low, high)
        if tuple(clusters.places) != seen:
            seen = tuple(clusters.places)
            found += _read(family, clusters, _Pattern.even(), 0.0, np.inf)
    return sorted(found, key=lambda one: -one.score)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A ruling as it can be seen: which of its lines are far enough apart."""

    name: str
    places: Doubles  # in mm
    multiple: npt.NDArray[np.bool_]
    indices: npt.NDArray[np.int64]
    tolerance_mm: float

    @classmethod
    def of(cls, ruling: Ruling, px_per_mm: float) -> _Pattern:
        places = np.array(ruling.positions_mm)
        multiple = np.array(ruling.multiple)
        gaps = np.diff(places)
        fine = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf)) < FINE_MM
        keep = ~fine | multiple if FINE_MM * px_per_mm < RESOLVED_PX else np.ones(len(places), bool)
        return cls(ruling.name, places[keep], multiple[keep], np.flatnonzero(keep), TOLERANCE_MM)

    @classmethod
    def even(cls) -> _Pattern:
        places = np.arange(EVEN_LINES, dtype=np.float64)
        return cls("even", places, np.zeros(EVEN_LINES, bool), np.arange(EVEN_LINES), 0.08)


def _rungs(family: Family) -> Iterator[tuple[float, Clusters]]:
    """Yield the lower end of each range of scales with the lines as they are seen at it."""
    last: tuple[int, ...] = ()
    clusters = None
    px_per_mm = PX_PER_MM_LEAST
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
    rows = []
    for low, high, left, right in zip(first, last, gaps_left, gaps_right, strict=True):
        reach = min(0.45 * left, 0.45 * right, 3.0 + 0.6 * (high - low))
        begin = max(0, round(low - reach))
        end = min(len(profile), round(high + reach) + 1)
        window = profile[begin:end]
        base = min(float(window[:2].mean()), float(window[-2:].mean()))
        weight = np.maximum(window - base, 0.0)
        x = np.arange(begin, end)
        total = max(float(weight.sum()), 1e-9)
        place = float((weight * x).sum() / total)
        rows.append((place, total, float((weight * (x - place) ** 2).sum() / total)))
    return Clusters(*np.array(rows, np.float64).reshape(-1, 3).T)


def _read(family: Family, clusters: Clusters, pattern: _Pattern, low: float, high: float) -> list[Reading]:
    """Try the pattern at all places where two neighbouring lines fit two of its own, and grow the best."""
    places, marks = clusters.places, pattern.places
    if pattern.name == "even":
        pairs = np.array([(EVEN_LINES // 2, EVEN_LINES // 2 + 1)])
    else:
        at = np.arange(len(marks))
        pairs = np.concatenate([np.column_stack([at[:-step], at[step:]]) for step in (1, 2)])
    at = np.arange(len(places))
    ours = np.concatenate([np.column_stack([at[:-step], at[step:]]) for step in (1, 2) if len(at) > step])
    gaps = (places[ours[:, 1]] - places[ours[:, 0]])[:, None] / (marks[pairs[:, 1]] - marks[pairs[:, 0]])
    chosen, which = np.nonzero((gaps >= low) & (gaps < high))
    if chosen.size == 0:
        return []
    scales = gaps[chosen, which]
    anchors, anchored = places[ours[chosen, 0]], marks[pairs[which, 0]]
    scores = _loose_scores(family, clusters, pattern, scales, anchors, anchored)
    grown: list[Reading] = []
    tried: set[tuple[int, int]] = set()
    for one in np.argsort(-scores, kind="stable"):
        if len(tried) >= GROWN_MOST or scores[one] < scores.max() - 6.0:
            break
        # Neighbouring pairs often stand for one and the same reading.
        key = (round(np.log(scales[one]) / 0.02), round((anchors[one] / scales[one] - anchored[one]) / 0.03))
        if key in tried:
            continue
        tried.add(key)
        reading = _grow(
            family, clusters, pattern, float(scales[one]), float(anchors[one]), float(anchored[one])
        )
        if reading is not None and (pattern.name == "even" or low * 0.97 <= reading.px_per_mm < high * 1.03):
            grown.append(reading)
    return grown


def _nearest(places: Doubles, wanted: Doubles) -> tuple[npt.NDArray[np.int64], Doubles]:
    right = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    left = right - 1
    nearest = np.where(wanted - places[left] <= places[right] - wanted, left, right)
    return nearest, np.abs(places[nearest] - wanted)


def _loose_scores(
    family: Family,
    clusters: Clusters,
    pattern: _Pattern,
    scales: Doubles,
    anchors: Doubles,
    anchored: Doubles,
) -> Doubles:
    width = len(family.profile)
    wanted = anchors[:, None] + scales[:, None] * (pattern.places[None, :] - anchored[:, None])
    _, away = _nearest(clusters.places, wanted)
    tolerance = np.maximum(pattern.tolerance_mm * scales, TOLERANCE_PX)[:, None]
    tolerance = tolerance + 0.015 * np.abs(wanted - anchors[:, None])
    inside = (wanted > 2) & (wanted < width - 3)
    matched = (inside & (away <= tolerance)).sum(axis=1)
    begin = np.searchsorted(clusters.places, wanted[:, 0] - 2)
    within = np.searchsorted(clusters.places, wanted[:, -1] + 2) - begin
    return np.asarray(2.0 * matched - inside.sum(axis=1) - 0.7 * np.maximum(within - matched, 0), np.float64)


def _grow(
    family: Family, clusters: Clusters, pattern: _Pattern, scale: float, anchor: float, anchored: float
) -> Reading | None:
    """Follow the ruling outwards from two lines, bending the scale a little as perspective does."""
    marks = pattern.places - anchored
    fit: Doubles = np.array([0.0, scale, anchor])
    reach = 2.6 * float(np.diff(pattern.places).min()) * scale
    width = len(family.profile)
    while True:
        wanted = np.asarray(np.polyval(fit, marks), np.float64)
        tolerance = max(pattern.tolerance_mm * fit[1], TOLERANCE_PX)
        near, away = _nearest(clusters.places, wanted)
        ok = (away <= tolerance) & (np.abs(wanted - anchor) <= reach)
        if ok.sum() < 2:
            return None
        degree = 1 if ok.sum() < 7 else 2
        fit = np.polyfit(marks[ok], clusters.places[near[ok]], degree)
        fit = np.concatenate([np.zeros(3 - len(fit)), fit])
        if not 0.8 * scale < fit[1] < 1.25 * scale:
            return None
        if reach > width:
            break
        reach *= 1.6
    return _judged(family, clusters, pattern, fit, marks)


def _judged(
    family: Family, clusters: Clusters, pattern: _Pattern, fit: Doubles, marks: Doubles
) -> Reading | None:
    width = len(family.profile)
    wanted = np.asarray(np.polyval(fit, marks), np.float64)
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
    left_over = np.setdiff1d(between, used)
    # Lines too fine to be told apart leave their own bumps between those that are.
    left_over_count = (
        0 if len(pattern.places) < EVEN_LINES and _unresolved(pattern, fit[1]) else len(left_over)
    )
    wrong, sub_um = _kinds(clusters, used, pattern.multiple[ok], fit[1])
    missing = int(inside.sum() - ok.sum())
    middle = float(np.interp(width / 2.0, wanted, marks))
    return Reading(
        ruling=pattern.name,
        px_per_mm=float(np.polyval(np.polyder(fit), middle)),
        score=float(ok.sum() - missing - 0.7 * left_over_count - 0.7 * wrong),
        lines=tuple(int(one) for one in pattern.indices[ok]),
        places=clusters.places[used],
        multiple=tuple(bool(one) for one in pattern.multiple[ok]),
        missing=missing,
        left_over=left_over_count,
        wrong_kind=wrong,
        sub_spacing_um=sub_um,
    )


def _unresolved(pattern: _Pattern, px_per_mm: float) -> bool:
    return FINE_MM * px_per_mm < RESOLVED_PX


def _kinds(
    clusters: Clusters, used: npt.NDArray[np.int64], multiple: npt.NDArray[np.bool_], px_per_mm: float
) -> tuple[int, float | None]:
    """Count lines that are multiple where they should be single or the reverse; measure multiple lines."""
    strengths, variances = clusters.strengths[used], clusters.variances[used]
    singles = ~multiple
    if not singles.any():
        return 0, None
    ratio = strengths / max(float(np.median(strengths[singles])), 1e-9)
    wrong = int((singles & (ratio > MULTIPLE_FROM)).sum() + (multiple & (ratio < SINGLE_TO)).sum())
    if not multiple.any():
        return wrong, None
    # Three lines d apart have 2/3 d^2 more variance than one of them, however blurred.
    more = float(np.median(variances[multiple]) - np.median(variances[singles]))
    return wrong, 1000.0 * (1.5 * max(more, 0.0)) ** 0.5 / px_per_mm
