"""The Numba functions of the trypan-blue counter, all in one file.

One file because Numba's cache does not notice a change of a callee that lives elsewhere: the
caller keeps running the old code. Kernels are plain serial arithmetic (`nogil`, no `prange`), so
that one image gives one bit pattern whatever the number of threads; checks are done by callers.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

Image = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]
Features = npt.NDArray[np.float32]

RINGS = 16
RING_STEP_PX = 1.5
ANGLES = 24
PER_RING = 6
EXTRA_FEATURES = 10
FEATURES = RINGS * PER_RING + EXTRA_FEATURES


@njit(cache=True, nogil=True)
def median_of_windows(small, half, stride):  # type: ignore[no-untyped-def]
    """Take the median of a square window about every `stride`-th pixel.

    Parameters
    ----------
    small : (h, w) float32 ndarray
        Shrunken image, in grey levels. Not changed.
    half : int
        Half of the window's side, in pixels of `small`; the window is cut at the edge.
    stride : int
        Distance between two windows' centres, in pixels of `small`.

    Returns
    -------
    (ceil(h / stride), ceil(w / stride)) float32 ndarray
        Medians, in grey levels; the first window is centred within the first `stride` pixels.
    """
    height, width = small.shape
    rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
    out = np.empty((rows, columns), np.float32)
    window = np.empty((2 * half + 1) * (2 * half + 1), np.float32)
    for row in range(rows):
        y = min(row * stride + stride // 2, height - 1)
        top, bottom = max(0, y - half), min(height, y + half + 1)
        for column in range(columns):
            x = min(column * stride + stride // 2, width - 1)
            left, right = max(0, x - half), min(width, x + half + 1)
            n = 0
            for j in range(top, bottom):
                for i in range(left, right):
                    window[n] = small[j, i]
                    n += 1
            out[row, column] = np.median(window[:n])
    return out


@njit(cache=True, nogil=True)
def vote_for_centres(relative, floor, radius_low, radius_high, ceiling):  # type: ignore[no-untyped-def]
    """Let each edge pixel vote for the centres of circles that it may bound.

    Parameters
    ----------
    relative : (h, w) float32 ndarray
        Smoothed image over its background, minus 1 (no unit). Not changed.
    floor : float
        Gradients below this are noise and do not vote (1/px).
    radius_low, radius_high : int
        Band of radii, in pixels, both included.
    ceiling : float
        Gradients above this count as this much, so that one glaring edge does not outvote a cell.

    Returns
    -------
    dark, bright : (h, w) float32 ndarray
        Votes for a disc darker, or brighter, than its surroundings (no unit).

    References
    ----------
    .. [1] G. Loy and A. Zelinsky, "Fast radial symmetry for detecting points of interest",
       IEEE Trans. Pattern Anal. Mach. Intell. 25(8), 959-973, 2003.
    """
    height, width = relative.shape
    dark = np.zeros((height, width), np.float32)
    bright = np.zeros((height, width), np.float32)
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            gx = 0.5 * (relative[y, x + 1] - relative[y, x - 1])
            gy = 0.5 * (relative[y + 1, x] - relative[y - 1, x])
            size = np.sqrt(gx * gx + gy * gy)
            if size < floor:
                continue
            weight = np.float32(min(size, ceiling) / ceiling)
            ux, uy = gx / size, gy / size
            for radius in range(radius_low, radius_high + 1):
                share = weight / np.float32(radius)
                xo, yo = round(x - ux * radius), round(y - uy * radius)
                if 0 <= xo < width and 0 <= yo < height:
                    dark[yo, xo] += share
                xi, yi = round(x + ux * radius), round(y + uy * radius)
                if 0 <= xi < width and 0 <= yi < height:
                    bright[yi, xi] += share
    return dark, bright


@njit(cache=True, nogil=True)
def local_maxima(score, floor, reach, most):  # type: ignore[no-untyped-def]
    """Find pixels that no pixel within `reach` exceeds.

    Parameters
    ----------
    score : (h, w) float32 ndarray
        Any map. Not changed.
    floor : float
        Lower maxima are left out, in units of `score`.
    reach : int
        Half side of the square that a maximum must rule, in pixels.
    most : int
        Bound on the number returned; the scan stops there.

    Returns
    -------
    (n, 3) float32 ndarray
        x, y in pixels and the score; in reading order. Of equal neighbours the first is taken.
    """
    height, width = score.shape
    out = np.empty((most, 3), np.float32)
    n = 0
    for y in range(height):
        for x in range(width):
            here = score[y, x]
            if here < floor:
                continue
            # Most pixels lose against the one beside them; asking these first saves the window.
            if (x > 0 and score[y, x - 1] > here) or (x + 1 < width and score[y, x + 1] > here):
                continue
            if (y > 0 and score[y - 1, x] > here) or (y + 1 < height and score[y + 1, x] > here):
                continue
            best = True
            for j in range(max(0, y - reach), min(height, y + reach + 1)):
                for i in range(max(0, x - reach), min(width, x + reach + 1)):
                    other = score[j, i]
                    if other > here or (other == here and (j < y or (j == y and i < x))):
                        best = False
                        break
                if not best:
                    break
            if best:
                out[n, 0], out[n, 1], out[n, 2] = x, y, here
                n += 1
                if n == most:
                    return out
    return out[:n].copy()


@njit(cache=True, nogil=True)
def describe(relative, dark, bright, activity, points):  # type: ignore[no-untyped-def]
    """Describe the surroundings of each point by rings, the same at any rotation.

    Parameters
    ----------
    relative : (h, w) float32 ndarray
        Lightly smoothed image over its background, minus 1 (no unit). Not changed.
    dark, bright : (h, w) float32 ndarray
        Smoothed votes of `vote_for_centres`.
    activity : (h, w) float32 ndarray
        Local root mean square of `relative` (no unit).
    points : (n, 2) float32 ndarray
        x, y in pixels, inside the image.

    Returns
    -------
    (n, FEATURES) float32 ndarray
        For each ring: mean, standard deviation, least, greatest, and the strength of the first
        and second angular harmonic, over the samples inside the image; then votes, activity,
        contrast within 20 px, and the visible share of four discs.
    """
    height, width = relative.shape
    n = points.shape[0]
    out = np.zeros((n, FEATURES), np.float32)
    cos, sin = np.empty(ANGLES, np.float32), np.empty(ANGLES, np.float32)
    for a in range(ANGLES):
        cos[a], sin[a] = np.cos(2.0 * np.pi * a / ANGLES), np.sin(2.0 * np.pi * a / ANGLES)
    for k in range(n):
        px, py = points[k, 0], points[k, 1]
        last_mean = np.float32(0.0)
        seen_all = 0
        for r in range(RINGS):
            total, squares = np.float32(0.0), np.float32(0.0)
            least, greatest = np.float32(1e9), np.float32(-1e9)
            c1, s1, c2, s2 = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
            seen = 0
            radius = np.float32(r * RING_STEP_PX)
            for a in range(ANGLES):
                x, y = px + radius * cos[a], py + radius * sin[a]
                if x < 0 or y < 0 or x > width - 1 or y > height - 1:
                    continue
                xi, yi = min(int(x), width - 2), min(int(y), height - 2)
                fx, fy = x - xi, y - yi
                v = (relative[yi, xi] * (1 - fx) + relative[yi, xi + 1] * fx) * (1 - fy) + (
                    relative[yi + 1, xi] * (1 - fx) + relative[yi + 1, xi + 1] * fx
                ) * fy
                total += v
                squares += v * v
                least, greatest = min(least, v), max(greatest, v)
                c1 += v * cos[a]
                s1 += v * sin[a]
                c2 += v * cos[(2 * a) % ANGLES]
                s2 += v * sin[(2 * a) % ANGLES]
                seen += 1
            base = r * PER_RING
            seen_all += seen
            if seen == 0:
                out[k, base] = last_mean
                out[k, base + 2], out[k, base + 3] = last_mean, last_mean
            else:
                mean = total / seen
                out[k, base] = mean
                out[k, base + 1] = np.sqrt(max(np.float32(0.0), squares / seen - mean * mean))
                out[k, base + 2], out[k, base + 3] = least, greatest
                if seen == ANGLES:
                    out[k, base + 4] = np.sqrt(c1 * c1 + s1 * s1) / seen
                    out[k, base + 5] = np.sqrt(c2 * c2 + s2 * s2) / seen
                last_mean = mean
            if r == 3 or r == 7 or r == 11 or r == 15:
                out[k, RINGS * PER_RING + 6 + (r - 3) // 4] = seen_all / (ANGLES * (r + 1.0))
        xc, yc = round(px), round(py)
        extra = RINGS * PER_RING
        out[k, extra] = dark[yc, xc]
        out[k, extra + 1] = bright[yc, xc]
        out[k, extra + 2] = activity[yc, xc]
        top, low = np.float32(-1e9), np.float32(1e9)
        squares20, seen20 = np.float32(0.0), 0
        for j in range(max(0, yc - 20), min(height, yc + 21)):
            for i in range(max(0, xc - 20), min(width, xc + 21)):
                v = relative[j, i]
                top, low = max(top, v), min(low, v)
                squares20 += v * v
                seen20 += 1
        out[k, extra + 3], out[k, extra + 4] = top, low
        out[k, extra + 5] = np.sqrt(squares20 / seen20)
    return out


@njit(cache=True, nogil=True)
def class_probabilities(features, centre, scale, w1, b1, w2, b2, w3, b3):  # type: ignore[no-untyped-def]
    """Run one small network of two hidden layers over each row of features.

    Parameters
    ----------
    features : (n, FEATURES) float32 ndarray
        From `describe`. Not changed.
    centre, scale : (FEATURES,) float32 ndarray
        Subtracted from, then multiplied to, each feature; the result is held within -6 and 6.
    w1, b1, w2, b2, w3, b3 : float32 ndarrays
        Weights (inputs, outputs) and offsets of the layers.

    Returns
    -------
    (n, 3) float32 ndarray
        Probabilities of background, live, dead; each row sums to 1.
    """
    n = features.shape[0]
    d, h1, h2 = w1.shape[0], w1.shape[1], w2.shape[1]
    out = np.empty((n, 3), np.float32)
    first, second = np.empty(h1, np.float32), np.empty(h2, np.float32)
    for k in range(n):
        first[:] = b1
        for i in range(d):
            v = (features[k, i] - centre[i]) * scale[i]
            v = min(max(v, np.float32(-6.0)), np.float32(6.0))
            for j in range(h1):
                first[j] += v * w1[i, j]
        second[:] = b2
        for i in range(h1):
            v = first[i]
            if v > 0:
                for j in range(h2):
                    second[j] += v * w2[i, j]
        z0, z1, z2 = b3[0], b3[1], b3[2]
        for i in range(h2):
            v = second[i]
            if v > 0:
                z0 += v * w3[i, 0]
                z1 += v * w3[i, 1]
                z2 += v * w3[i, 2]
        top = max(z0, max(z1, z2))
        e0, e1, e2 = np.exp(z0 - top), np.exp(z1 - top), np.exp(z2 - top)
        total = e0 + e1 + e2
        out[k, 0], out[k, 1], out[k, 2] = e0 / total, e1 / total, e2 / total
    return out


@njit(cache=True, nogil=True)
def keep_strongest(points, score, distance):  # type: ignore[no-untyped-def]
    """Of points closer than `distance`, keep the one with the greater score.

    Parameters
    ----------
    points : (n, 2) float32 ndarray
        x, y in pixels, none negative.
    score : (n,) float32 ndarray
        Greater is better; equal scores fall to the earlier point.
    distance : float
        Least distance between two kept points, in pixels.

    Returns
    -------
    (m,) int64 ndarray
        Indices of the kept points, best first.
    """
    n = points.shape[0]
    kept = np.empty(n, np.int64)
    if n == 0:
        return kept
    # Kept points hang in the squares of a grid, so that only near ones are compared.
    side = max(distance, 1.0)
    columns = int(points[:, 0].max() / side) + 1
    rows = int(points[:, 1].max() / side) + 1
    first = np.full(rows * columns, -1, np.int64)
    following = np.full(n, -1, np.int64)
    found = 0
    for o in np.argsort(-score, kind="mergesort"):
        column, row = int(points[o, 0] / side), int(points[o, 1] / side)
        near = False
        for j in range(max(0, row - 1), min(rows, row + 2)):
            for i in range(max(0, column - 1), min(columns, column + 2)):
                k = first[j * columns + i]
                while k >= 0 and not near:
                    dx, dy = points[o, 0] - points[k, 0], points[o, 1] - points[k, 1]
                    near = dx * dx + dy * dy < distance * distance
                    k = following[k]
        if not near:
            following[o] = first[row * columns + column]
            first[row * columns + column] = o
            kept[found] = o
            found += 1
    return kept[:found].copy()


def warm() -> None:
    """Compile or load every kernel with the types that the counter uses."""
    image = np.zeros((32, 32), np.float32)
    image[12:20, 12:20] = 0.5
    median_of_windows(image, 2, 2)
    dark, bright = vote_for_centres(image, 0.01, 4, 8, 0.1)
    found = local_maxima(dark, 0.01, 3, 100)
    points = np.ascontiguousarray(found[:, :2])
    features = describe(image, dark, bright, image, points)
    spread = np.ones(FEATURES, np.float32)
    class_probabilities(
        features,
        spread,
        spread,
        np.zeros((FEATURES, 4), np.float32),
        np.zeros(4, np.float32),
        np.zeros((4, 4), np.float32),
        np.zeros(4, np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros(3, np.float32),
    )
    keep_strongest(points, np.ascontiguousarray(found[:, 2]), 5.0)
