"""The Numba functions of `live-dead`, all in one file: the cache overlooks a callee changed elsewhere."""

from __future__ import annotations

import numpy as np
from numba import njit

# Columns of `light_of_nuclei`: size, moments of light in each channel, and the quarter that tells the kind.
AREA, X, Y, LIGHT_A, X_A, Y_A, LIGHT_B, X_B, Y_B, MEAN_A, MEAN_B, AT_TOP = range(12)


@njit(cache=True, nogil=True)
def light_of_nuclei(labels, a, b, full_a, count):  # type: ignore[no-untyped-def]
    """Measure each nucleus' light in both channels.

    Parameters
    ----------
    labels : (h, w) int32 ndarray
        0 for background, 1..count for nuclei. Not changed.
    a, b : (h, w) float32 ndarray
        Channels without their backgrounds, in grey levels. Not changed.
    full_a : (h, w) bool ndarray
        Where the first channel is at its top level, so that its light is not known.
    count : int
        Number of nuclei.

    Returns
    -------
    (count, 12) float64 ndarray
        Area (px); sums of x and y; light above zero and its moments about x and y, for each channel; mean
        grey level of both channels in one quarter of the nucleus; 1 where that quarter is at A's top level.

    Notes
    -----
    A nucleus is cut into quarters through its centre. Light of a dead neighbour falls on one side of a live
    nucleus, its own dead stain on all sides: the quarter with the second least light in B tells one from
    the other. Pixels at the top level of A are left out of the means, if others are left.
    """
    out = np.zeros((count, 12), np.float64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            k = labels[y, x] - 1
            if k < 0:
                continue
            va, vb = np.float64(a[y, x]), np.float64(b[y, x])
            out[k, 0] += 1.0
            out[k, 1] += x
            out[k, 2] += y
            if va > 0.0:
                out[k, 3] += va
                out[k, 4] += va * x
                out[k, 5] += va * y
            if vb > 0.0:
                out[k, 6] += vb
                out[k, 7] += vb * x
                out[k, 8] += vb * y
    quarters = np.zeros((count, 4, 6), np.float64)
    at_top = np.zeros(4, np.float64)
    for y in range(height):
        for x in range(width):
            k = labels[y, x] - 1
            if k < 0:
                continue
            q = 0
            if x * out[k, 0] >= out[k, 1]:
                q += 1
            if y * out[k, 0] >= out[k, 2]:
                q += 2
            c = 3 if full_a[y, x] else 0
            quarters[k, q, c] += 1.0
            quarters[k, q, c + 1] += a[y, x]
            quarters[k, q, c + 2] += b[y, x]
    means = np.empty(4, np.float64)
    for k in range(count):
        for q in range(4):
            # What is left of a quarter without its saturated pixels speaks for it, unless that is too little.
            at_top[q] = 0.0
            if quarters[k, q, 0] < max(1.0, 0.1 * quarters[k, q, 3]):
                at_top[q] = 1.0 if quarters[k, q, 3] > 0.0 else 0.0
                for c in range(3):
                    quarters[k, q, c] += quarters[k, q, c + 3]
            means[q] = quarters[k, q, 2] / max(quarters[k, q, 0], 1.0)
            if quarters[k, q, 0] < 1.0:
                means[q] = np.inf
        least, q = 0, -1
        for other in range(1, 4):
            if means[other] < means[least]:
                least, q = other, least
            elif q < 0 or means[other] < means[q]:
                q = other
        if quarters[k, q, 0] < 1.0:
            q = least
        size = max(quarters[k, q, 0], 1.0)
        out[k, 9] = quarters[k, q, 1] / size
        out[k, 10] = quarters[k, q, 2] / size
        out[k, 11] = at_top[q]
    return out


def warm() -> None:
    """Compile or load the kernel with the types that the method uses."""
    plane = np.zeros((4, 4), np.float32)
    light_of_nuclei(np.ones((4, 4), np.int32), plane, plane, plane > 0, 1)
