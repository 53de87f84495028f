"""The Numba functions of the grid finder, all in one file: the cache overlooks a callee changed elsewhere.

Trying every pair of lines as every pair of a ruling is thousands of small fits: loops over a few dozen
numbers each, for which no library call exists and an interpreter takes a second.
"""

from __future__ import annotations

import numpy as np
from numba import njit

READING_FIELDS = 6
# What a line costs that the reading has no use for, and one that is multiple or single against it, in lines.
LEFT_OVER_COSTS, WRONG_KIND_COSTS = 0.7, 0.7


@njit(cache=True, nogil=True)
def sum_along(strips, inside, weights, offsets, lean, fan):  # type: ignore[no-untyped-def]
    """Take the mean over strips along lines of one lean.

    Parameters
    ----------
    strips : (s, w) float32 ndarray
        Mean detail by strip and column. Not changed.
    inside : (s, w) bool ndarray
        Where a strip lies inside the picture.
    weights : (s,) float64 ndarray
        How much each strip counts, not negative.
    offsets : (s,) float64 ndarray
        Height of each strip's middle above the middle of all, in pixels.
    lean, fan : float
        A line's x moves by lean + fan * x' per pixel of height, x' = -1 to 1 over the width.

    Returns
    -------
    (w,) float64 ndarray
        Weighted mean over the strips that a line crosses, times the square root of their share of the
        weight: where few strips reach, the mean is noisier. 0 where none does.
    """
    count, width = strips.shape
    out = np.zeros(width, np.float64)
    everything = weights.sum()
    for x in range(width):
        slope = lean + fan * (2.0 * x / width - 1.0)
        total = 0.0
        weight = 0.0
        for row in range(count):
            place = x + slope * offsets[row]
            left = int(np.floor(place))
            if left < 0 or left >= width - 1 or not inside[row, left]:
                continue
            part = place - left
            total += weights[row] * (strips[row, left] * (1.0 - part) + strips[row, left + 1] * part)
            weight += weights[row]
        if weight > 0.0:
            out[x] = total / weight * np.sqrt(weight / everything)
    return out


@njit(cache=True, nogil=True)
def nearest_place(places, wanted):  # type: ignore[no-untyped-def]
    """Return the index of the place nearest to `wanted`; `places` ascend and are not empty."""
    low, high = 0, len(places) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if places[middle] <= wanted:
            low = middle
        else:
            high = middle
    return low if wanted - places[low] <= places[high] - wanted else high


@njit(cache=True, nogil=True)
def loose_score(  # type: ignore[no-untyped-def]
    places, kinds, marks, multiple, gains, costs, scale, anchor, anchored, slack_px, least_px, width
):
    """Score a reading made from two lines: the lines met, less those missing and those left over.

    Parameters
    ----------
    places, marks : (n,), (m,) float64 ndarray
        Lines seen, in pixels, and lines of the ruling, ascending.
    kinds : (n,) int64 ndarray
        1 for a line that looks multiple, -1 for one that looks single, 0 for one that may be either.
    multiple : (m,) bool ndarray
        Which lines of the ruling are multiple.
    gains, costs : (m,) float64 ndarray
        What a line of the ruling counts when it is met, and when it is in view and missing.
    scale, anchor, anchored : float
        Pixels per unit of `marks`, and the pixel at which the mark `anchored` lies.
    slack_px, least_px : float
        How near a line must be at the anchor, and at least; 1.5 % of the distance from it is added.
    width : float
        Width of the profile in pixels.

    Returns
    -------
    score : float
    """
    score = 0.0
    matched, between = 0, 0
    at = 0
    tolerance = max(slack_px, least_px)
    first = anchor + scale * (marks[0] - anchored)
    last = anchor + scale * (marks[-1] - anchored)
    for place in places:
        if first - tolerance <= place <= last + tolerance:
            between += 1
    for number in range(len(marks)):
        wanted = anchor + scale * (marks[number] - anchored)
        if wanted <= 2 or wanted >= width - 3:
            continue
        while at + 1 < len(places) and abs(places[at + 1] - wanted) <= abs(places[at] - wanted):
            at += 1
        if abs(places[at] - wanted) <= tolerance + 0.015 * abs(wanted - anchor):
            matched += 1
            score += gains[number]
            if kinds[at] == (-1 if multiple[number] else 1):
                score -= WRONG_KIND_COSTS
        else:
            score -= costs[number]
    return score - LEFT_OVER_COSTS * max(between - matched, 0)


@njit(cache=True, nogil=True)
def fit_bent_line(u, x, number, degree):  # type: ignore[no-untyped-def]
    """Fit x = c[0] u^2 + c[1] u + c[2] to the first `number` points by least squares; c[0] is 0 at degree 1.

    Returns (3,) float64; all 0 when the points do not determine it.
    """
    middle, size = 0.0, 1e-12
    for one in range(number):
        middle += u[one] / number
    for one in range(number):
        size = max(size, abs(u[one] - middle))
    terms = degree + 1
    system = np.zeros((3, 4), np.float64)
    for one in range(number):
        v = (u[one] - middle) / size
        powers = (1.0, v, v * v)
        for row in range(terms):
            for column in range(terms):
                system[row, column] += powers[row] * powers[column]
            system[row, 3] += powers[row] * x[one]
    for row in range(terms):
        pivot = system[row, row]
        if abs(pivot) < 1e-9:
            return np.zeros(3, np.float64)
        for other in range(terms):
            if other != row:
                share = system[other, row] / pivot
                for column in range(4):
                    system[other, column] -= share * system[row, column]
    a = system[0, 3] / system[0, 0]
    b = system[1, 3] / system[1, 1] / size
    c = system[2, 3] / system[2, 2] / (size * size) if terms == 3 else 0.0
    out = np.empty(3, np.float64)
    out[0] = c
    out[1] = b - 2.0 * c * middle
    out[2] = a - b * middle + c * middle * middle
    return out


@njit(cache=True, nogil=True)
def grow(  # type: ignore[no-untyped-def]
    places,
    kinds,
    marks,
    multiple,
    gains,
    costs,
    scale,
    anchor,
    anchored,
    tolerance_mm,
    least_px,
    reach,
    width,
):
    """Follow a ruling outwards from two lines, bending the scale a little as perspective does.

    Parameters are those of `loose_score`; `reach` is how far from the anchor lines are taken at first, in
    pixels, and `tolerance_mm` is in units of `marks`.

    Returns
    -------
    (6,) float64 ndarray
        Coefficients c of x = c[0] u^2 + c[1] u + c[2] with u = mark - anchored, then the score (as in
        `loose_score`), and how many lines were met and left over. All 0 when it came to nothing.
    """
    nothing = np.zeros(READING_FIELDS, np.float64)
    u = np.empty(len(marks), np.float64)
    x = np.empty(len(marks), np.float64)
    fit = np.array([0.0, scale, anchor])
    while True:
        tolerance = max(tolerance_mm * fit[1], least_px)
        number = 0
        for mark in marks:
            at = mark - anchored
            wanted = fit[0] * at * at + fit[1] * at + fit[2]
            if abs(wanted - anchor) > reach:
                continue
            found = places[nearest_place(places, wanted)]
            if abs(found - wanted) <= tolerance:
                u[number], x[number] = at, found
                number += 1
        if number < 2:
            return nothing
        fit = fit_bent_line(u, x, number, 1 if number < 7 else 2)
        if not 0.8 * scale < fit[1] < 1.25 * scale:
            return nothing
        if reach > 1.3 * width:
            break
        reach *= 1.6
    out = np.zeros(READING_FIELDS, np.float64)
    out[:3] = fit
    low, high, before = np.inf, -np.inf, -np.inf
    tolerance = max(tolerance_mm * fit[1], least_px)
    for number in range(len(marks)):
        at = marks[number] - anchored
        wanted = fit[0] * at * at + fit[1] * at + fit[2]
        if wanted <= before:
            return nothing
        before = wanted
        if wanted <= 2 or wanted >= width - 3:
            continue
        low, high = min(low, wanted), max(high, wanted)
        near = nearest_place(places, wanted)
        if abs(places[near] - wanted) <= tolerance:
            out[4] += 1
            out[3] += gains[number]
            if kinds[near] == (-1 if multiple[number] else 1):
                out[3] -= WRONG_KIND_COSTS
        else:
            out[3] -= costs[number]
    for place in places:
        if low - tolerance <= place <= high + tolerance:
            out[5] += 1
    out[5] = max(out[5] - out[4], 0.0)
    out[3] -= LEFT_OVER_COSTS * out[5]
    return out


@njit(cache=True, nogil=True)
def best_readings(  # type: ignore[no-untyped-def]
    places, kinds, marks, multiple, gains, costs, pairs, low, high, tolerance_mm, least_px, width, most
):
    """Try each two neighbouring lines as each pair of the ruling's, and grow the best.

    Parameters
    ----------
    places, marks : (n,), (m,) float64 ndarray
        Lines seen, in pixels, and lines of the ruling, in mm; both ascending, n >= 2.
    kinds, multiple, gains, costs : ndarray
        See `loose_score`.
    pairs : (p, 3) int64 ndarray
        First and second index into `marks`, and how many lines apart the two seen are (1 or 2).
    low, high : float
        Scales tried, from `low` up to but not `high`, in pixels per mm.
    tolerance_mm, least_px, width : float
        See `grow`.
    most : int
        How many are grown.

    Returns
    -------
    (k, 7) float64 ndarray
        The fields of `grow` and the mark of the anchor, k <= most; of equal readings the first.
    """
    best = np.full((most, 5), -1e9)
    filled = 0
    for pair in range(len(pairs)):
        first, second, apart = pairs[pair, 0], pairs[pair, 1], pairs[pair, 2]
        for at in range(len(places) - apart):
            gap = places[at + apart] - places[at]
            scale = gap / (marks[second] - marks[first])
            if scale <= 0.0 or not low <= scale < high:
                continue
            anchor, anchored = places[at], marks[first]
            slack = tolerance_mm * scale
            score = loose_score(
                *(places, kinds, marks, multiple, gains, costs, scale, anchor, anchored),
                *(slack, least_px, width),
            )
            # One reading comes from many pairs: of those alike the best is kept.
            origin = anchor / scale - anchored
            slot = -1
            for one in range(filled):
                apart_by = abs(origin - (best[one, 2] / best[one, 1] - best[one, 3]))
                if abs(best[one, 1] / scale - 1.0) < 0.008 and apart_by < 0.012:
                    slot = one
                    break
            if slot >= 0:
                if score > best[slot, 0]:
                    best[slot] = (score, scale, anchor, anchored, gap)
                continue
            if filled < most:
                best[filled] = (score, scale, anchor, anchored, gap)
                filled += 1
                continue
            worst = int(np.argmin(best[:, 0]))
            if score > best[worst, 0]:
                best[worst] = (score, scale, anchor, anchored, gap)
    out = np.empty((filled, READING_FIELDS + 1), np.float64)
    spacing = np.inf
    for one in range(len(marks) - 1):
        spacing = min(spacing, marks[one + 1] - marks[one])
    number = 0
    for one in range(filled):
        grown = grow(
            *(places, kinds, marks, multiple, gains, costs, best[one, 1], best[one, 2], best[one, 3]),
            *(tolerance_mm, least_px, max(2.6 * spacing * best[one, 1], 1.1 * best[one, 4]), width),
        )
        if grown[4] >= 2:
            out[number, :READING_FIELDS] = grown
            out[number, READING_FIELDS] = best[one, 3]
            number += 1
    return out[:number]


def warm() -> None:
    """Compile or load every kernel with the types that the grid finder uses."""
    sum_along(np.zeros((2, 8), np.float32), np.ones((2, 8), np.bool_), np.ones(2), np.zeros(2), 0.0, 0.0)
    lines = np.array([3.0, 7.0, 11.0])
    kinds, multiple = np.zeros(3, np.int64), np.zeros(3, np.bool_)
    best_readings(
        lines, kinds, lines, multiple, lines, lines, np.array([[0, 1, 1]]), 0.1, 10.0, 0.1, 0.5, 16.0, 2
    )
