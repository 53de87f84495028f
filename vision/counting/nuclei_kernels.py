"""The Numba functions of the nuclei counter, all in one file.

One file because Numba's cache does not notice a change of a callee that lives elsewhere. Kernels are
plain serial arithmetic (`nogil`, no `prange`, no fast-math): one picture gives one bit pattern
whatever the number of threads. Checks are done by callers.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def two_views(grey, low, high, noise, block_px, top, out):  # type: ignore[no-untyped-def]
    """Write a strip of the picture as the network sees it: one view for bright nuclei, one for dim.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Rows of the picture, in grey levels. Not changed.
    low, high : (rows, columns) float32 ndarray
        Background and bright end, in grey levels, at the centres of blocks of `block_px`. Not changed.
    noise : float
        Grain of the background, in grey levels; above 0.
    block_px : float
        Side of a block, in pixels.
    top : int
        Row of the whole picture at which `grey` begins.
    out : (2, h, w) float32 ndarray
        Written: (grey - low) / (high - low) in -0.5 to 1.5, and the contrast to the noise c as
        c / (20 + |c|), which keeps a dim nucleus visible beside a bright one.
    """
    height, width = grey.shape
    rows, columns = low.shape
    index = np.empty(width, np.int32)
    share = np.empty(width, np.float32)
    for x in range(width):
        place = min(max((x + 0.5) / block_px - 0.5, 0.0), columns - 1.0)
        index[x] = min(int(place), max(columns - 2, 0))
        share[x] = np.float32(place - index[x])
    below = np.empty(columns + 1, np.float32)
    reach = np.empty(columns + 1, np.float32)
    per_noise = np.float32(1.0 / noise)
    half = np.float32(20.0)
    for y in range(height):
        place = min(max((top + y + 0.5) / block_px - 0.5, 0.0), rows - 1.0)
        row = min(int(place), max(rows - 2, 0))
        after = min(row + 1, rows - 1)
        part = np.float32(place - row)
        for k in range(columns):
            below[k] = low[row, k] + part * (low[after, k] - low[row, k])
            reach[k] = high[row, k] + part * (high[after, k] - high[row, k])
        below[columns] = below[columns - 1]
        reach[columns] = reach[columns - 1]
        for x in range(width):
            k = index[x]
            s = share[x]
            floor = below[k] + s * (below[k + 1] - below[k])
            ceiling = reach[k] + s * (reach[k + 1] - reach[k])
            above = grey[y, x] - floor
            out[0, y, x] = min(max(above / (ceiling - floor), np.float32(-0.5)), np.float32(1.5))
            contrast = above * per_noise
            out[1, y, x] = contrast / (half + abs(contrast))


@njit(cache=True, nogil=True)
def shuffle_to_bytes(maps, at, table, table_reach, top, rows, inside, depth):  # type: ignore[no-untyped-def]
    """Write the network's eight half-size maps as two full-size byte maps.

    Parameters
    ----------
    maps : (8, h, w) float32 ndarray
        Logits: maps 0-3 foreground, 4-7 normalised inner distance, each at the four pixels of a
        2 x 2 block in reading order. Not changed.
    at : (int, int)
        Row and column of `maps` that belong to the first row and column to write.
    table : (n,) uint8 ndarray
        The logistic function times 255 over -`table_reach` to `table_reach`. Not changed.
    table_reach : float
        End of the table, a logit.
    top : int
        First row of the whole picture to write.
    rows : int
        How many rows to write.
    inside, depth : (h, w) uint8 ndarray
        Written in rows `top` to `top + rows`: foreground and inner distance, 0 to 1 as 0 to 255.
    """
    width = inside.shape[1]
    last = table.size - 1
    per_step = np.float32(last / (2.0 * table_reach))
    middle = np.float32(last / 2.0 + 0.5)
    for row in range(rows):
        y = row // 2 + at[0]
        first = 2 * (row & 1)
        for x in range(width):
            k = first + (x & 1)
            place = int(maps[k, y, x // 2 + at[1]] * per_step + middle)
            inside[top + row, x] = table[min(max(place, 0), last)]
            place = int(maps[4 + k, y, x // 2 + at[1]] * per_step + middle)
            depth[top + row, x] = table[min(max(place, 0), last)]


@njit(cache=True, nogil=True)
def _root(parent, k):  # type: ignore[no-untyped-def]
    while parent[k] != k:
        parent[k] = parent[parent[k]]
        k = parent[k]
    return k


@njit(cache=True, nogil=True)
def _point_upwards(inside, depth, level, labels):  # type: ignore[no-untyped-def]
    """Let each foreground pixel point at its deepest neighbour; return how many are summits.

    `labels` becomes 0 in the background, else 1 + the index of the pixel pointed at (a summit points
    at itself). Of equally deep neighbours the first in reading order is taken as the deepest, so that a
    level place has no loops.
    """
    height, width = inside.shape
    summits = 0
    for y in range(height):
        for x in range(width):
            if inside[y, x] <= level:
                labels[y, x] = 0
                continue
            best = depth[y, x]
            at = y * width + x
            for v in range(max(0, y - 1), min(height, y + 2)):
                for u in range(max(0, x - 1), min(width, x + 2)):
                    if inside[v, u] > level:
                        there = depth[v, u]
                        if there > best or (there == best and v * width + u < at):
                            best = there
                            at = v * width + u
            labels[y, x] = at + 1
            if at == y * width + x:
                summits += 1
    return summits


@njit(cache=True, nogil=True)
def _number_summits(labels, depth, summits):  # type: ignore[no-untyped-def]
    """Turn pointers into numbers of summits; return each summit's depth and how many pixels climb to it."""
    width = labels.shape[1]
    flat = labels.ravel()
    number = np.empty(summits + 1, np.int32)
    peak, area = np.zeros(summits + 1, np.uint8), np.zeros(summits + 1, np.int32)
    made = 0
    for index in range(flat.size):
        if flat[index] == index + 1:
            made += 1
            number[made] = index
    # A summit is marked by its negative number; whoever points at it takes that over.
    for k in range(1, made + 1):
        flat[number[k]] = -k
        peak[k] = depth[number[k] // width, number[k] % width]
    for index in range(flat.size):
        if flat[index] == 0:
            continue
        at = index
        while flat[at] > 0:
            at = flat[at] - 1
        k = flat[at]
        area[-k] += 1
        at = index
        while flat[at] > 0:
            following = flat[at] - 1
            flat[at] = k
            at = following
    for index in range(flat.size):
        flat[index] = -flat[index]
    return peak, area


@njit(cache=True, nogil=True)
def _passes(labels, depth, room):  # type: ignore[no-untyped-def]
    """List where two basins touch: (n, 3) int32 with both numbers and the depth of the pass."""
    height, width = labels.shape
    out = np.empty((room, 3), np.int32)
    n = 0
    for y in range(height):
        for x in range(width):
            a = labels[y, x]
            if a == 0:
                continue
            for side in range(4):
                v, u = y + (side > 0), x + (1, -1, 0, 1)[side]
                if v >= height or u < 0 or u >= width:
                    continue
                b = labels[v, u]
                if b == 0 or b == a:
                    continue
                if n < room:
                    out[n, 0], out[n, 1] = a, b
                    out[n, 2] = min(depth[y, x], depth[v, u])
                n += 1
    return out, n


@njit(cache=True, nogil=True)
def part(inside, depth, level, saddle_share, peak_least, seed_px):  # type: ignore[no-untyped-def]
    """Part the foreground into basins about the deepest places, and join those that are one cell.

    Parameters
    ----------
    inside, depth : (h, w) uint8 ndarray
        Foreground and inner distance, 0 to 255. Not changed.
    level : int
        Pixels with `inside` above it are foreground.
    saddle_share : float
        Two basins whose pass has at least this share of the lower one's peak are one cell.
    peak_least : int
        A basin with a lower peak than this joins the first that it touches.
    seed_px : int
        So does one of fewer pixels.

    Returns
    -------
    labels : (h, w) int32 ndarray
        0 background, else the number of a basin; `settle` gives the final numbers.
    made : int
        How many basins were begun.
    parent : (made + 1,) int32 ndarray
        Which basin each was merged into.

    Notes
    -----
    A watershed by steepest ascent: pixels climb to their summit in reading order, which the cache
    likes, and only the passes between basins are sorted. Passes are then taken from the deepest down,
    so that joining is by dynamics as in flooding [1]_.

    References
    ----------
    .. [1] L. Najman and M. Schmitt, "Geodesic saliency of watershed contours and hierarchical
       segmentation", IEEE Trans. Pattern Anal. Mach. Intell. 18(12), 1163-1173, 1996.
    """
    labels = np.empty(inside.shape, np.int32)
    made = _point_upwards(inside, depth, level, labels)
    peak, area = _number_summits(labels, depth, made)
    passes, n = _passes(labels, depth, labels.size // 16 + 64)
    if n > len(passes):
        passes, n = _passes(labels, depth, n)
    parent = np.arange(made + 1).astype(np.int32)
    start = np.zeros(257, np.int64)
    for k in range(n):
        start[256 - passes[k, 2]] += 1
    for k in range(256):
        start[k + 1] += start[k]
    order = np.empty(n, np.int32)
    for k in range(n):
        place = 255 - passes[k, 2]
        order[start[place]] = k
        start[place] += 1
    for k in order:
        a, b = _root(parent, passes[k, 0]), _root(parent, passes[k, 1])
        if a == b:
            continue
        if peak[a] > peak[b] or (peak[a] == peak[b] and a < b):
            a, b = b, a
        if passes[k, 2] >= saddle_share * peak[a] or peak[a] < peak_least or area[a] < seed_px:
            parent[a] = b
            area[b] += area[a]
    return labels, made, parent


@njit(cache=True, nogil=True)
def settle(labels, parent, inside, depth, names):  # type: ignore[no-untyped-def]
    """Give each basin its final number in reading order and measure it.

    Parameters
    ----------
    labels : (h, w) int32 ndarray
        From `part`. Changed: basins become 1..n in the order of their first pixels.
    parent : (m,) int32 ndarray
        From `part`: which basin each was merged into.
    inside, depth : (h, w) uint8 ndarray
        Foreground and inner distance, 0 to 255. Not changed.
    names : (m,) int32 ndarray
        Room for the new numbers, all 0. Changed.

    Returns
    -------
    (n, 11) float64 ndarray
        Per basin: pixels, sum of x, of y, of x * x, of y * y, of x * y (about the first pixel, in
        pixels), sum of `inside`, peak of `depth`, 1 where it touches the picture's edge, x and y of
        the first pixel.
    """
    height, width = labels.shape
    count = 0
    for y in range(height):
        for x in range(width):
            if labels[y, x] > 0:
                root = _root(parent, labels[y, x])
                if names[root] == 0:
                    count += 1
                    names[root] = count
                labels[y, x] = names[root]
    return measure(labels, count, inside, depth)


@njit(cache=True, nogil=True)
def measure(labels, count, inside, depth):  # type: ignore[no-untyped-def]
    """Measure each label; see `settle` for what the columns are, (n, 11) with the origin in the last two."""
    height, width = labels.shape
    out = np.zeros((count, 11), np.float64)
    for y in range(height):
        for x in range(width):
            k = labels[y, x] - 1
            if k < 0:
                continue
            if out[k, 0] == 0.0:
                out[k, 9], out[k, 10] = x, y
            dx, dy = x - out[k, 9], y - out[k, 10]
            out[k, 0] += 1.0
            out[k, 1] += dx
            out[k, 2] += dy
            out[k, 3] += dx * dx
            out[k, 4] += dy * dy
            out[k, 5] += dx * dy
            out[k, 6] += inside[y, x]
            out[k, 7] = max(out[k, 7], depth[y, x])
            if x == 0 or y == 0 or x == width - 1 or y == height - 1:
                out[k, 8] = 1.0
    return out


@njit(cache=True, nogil=True)
def relabel(labels, names):  # type: ignore[no-untyped-def]
    """Replace each label k of an int32 label image in place by `names[k]`; `names[0]` is 0."""
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            labels[y, x] = names[labels[y, x]]


@njit(cache=True, nogil=True)
def edges_and_light(grey, labels, count):  # type: ignore[no-untyped-def]
    """Measure how steep each cell's edge is, and its light and the light about it.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        The picture, lightly smoothed, in grey levels. Not changed.
    labels : (h, w) int32 ndarray
        0 background, 1..`count`. Not changed.
    count : int
        Greatest label.

    Returns
    -------
    (count, 4) float64 ndarray
        Per cell: sum of grey within, the steepest step across its edge to the background (grey levels a
        pixel, central difference), sum of grey just outside, pixels just outside (2 px from the edge).
    """
    height, width = labels.shape
    out = np.zeros((count, 4), np.float64)
    for y in range(height):
        for x in range(width):
            k = labels[y, x]
            if k == 0:
                continue
            out[k - 1, 0] += grey[y, x]
            if y < 3 or x < 3 or y >= height - 3 or x >= width - 3:
                continue
            for side in range(4):
                dy = (-1, 1, 0, 0)[side]
                dx = (0, 0, -1, 1)[side]
                if labels[y + dy, x + dx] != 0:
                    continue
                if labels[y + 3 * dy, x + 3 * dx] == 0:
                    out[k - 1, 2] += grey[y + 3 * dy, x + 3 * dx]
                    out[k - 1, 3] += 1.0
                for j in range(-1, 2):
                    v, u = y + j * dy, x + j * dx
                    across = (grey[v + 1, u] - grey[v - 1, u]) * 0.5
                    along = (grey[v, u + 1] - grey[v, u - 1]) * 0.5
                    steep = np.sqrt(across * across + along * along)
                    out[k - 1, 1] = max(out[k - 1, 1], steep)
    return out


@njit(cache=True, nogil=True)
def strongest_places(distance, least, room):  # type: ignore[no-untyped-def]
    """Find where an object is widest: maxima of a distance map that no larger one overlaps.

    Parameters
    ----------
    distance : (h, w) float32 ndarray
        Distance to the background, in pixels, smoothed. Not changed.
    least : float
        Smallest distance that counts, in pixels.
    room : float
        A maximum keeps smaller ones this share of its own distance away.

    Returns
    -------
    (n, 3) float32 ndarray
        x, y and distance, the widest first.
    """
    height, width = distance.shape
    most = height * width // 8 + 8
    found = np.empty((most, 3), np.float32)
    n = 0
    for y in range(height):
        for x in range(width):
            here = distance[y, x]
            if here < least or n == most:
                continue
            reach = max(1, int(room * here))
            highest = True
            for v in range(max(0, y - reach), min(height, y + reach + 1)):
                for u in range(max(0, x - reach), min(width, x + reach + 1)):
                    there = distance[v, u]
                    # Of equal ones the first in reading order stays.
                    if there > here or (there == here and (v < y or (v == y and u < x))):
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                found[n, 0], found[n, 1], found[n, 2] = x, y, here
                n += 1
    return found[:n].copy()


@njit(cache=True, nogil=True)
def contacts(labels, depth, inside, grey, room):  # type: ignore[no-untyped-def]
    """List the places where two labels touch.

    Parameters
    ----------
    labels : (h, w) int32 ndarray
        0 background, 1..n. Not changed.
    depth, inside : (h, w) uint8 ndarray
        Inner distance and foreground, 0 to 255. Not changed.
    grey : (h, w) float32 ndarray
        The picture, in grey levels. Not changed.
    room : int
        How many places are listed at most.

    Returns
    -------
    pairs : (m, 2) int32 ndarray
        The lower label, the higher label; one row for each pair of straight neighbours.
    values : (m, 3) float32 ndarray
        The lesser depth, the lesser foreground, and the lesser grey of the two pixels.
    n : int
        How many places there are; above `room` only the first are listed.
    """
    height, width = labels.shape
    pairs, values = np.empty((room, 2), np.int32), np.empty((room, 3), np.float32)
    n = 0
    for y in range(height):
        for x in range(width):
            a = labels[y, x]
            if a == 0:
                continue
            for side in range(2):
                v, u = y + side, x + 1 - side
                if v >= height or u >= width:
                    continue
                b = labels[v, u]
                if b == 0 or b == a:
                    continue
                if n < room:
                    pairs[n, 0], pairs[n, 1] = min(a, b), max(a, b)
                    values[n, 0] = min(depth[y, x], depth[v, u])
                    values[n, 1] = min(inside[y, x], inside[v, u])
                    values[n, 2] = min(grey[y, x], grey[v, u])
                n += 1
    return pairs[: min(n, room)].copy(), values[: min(n, room)].copy(), n


@njit(cache=True, nogil=True)
def sums_of(labels, grey, count):  # type: ignore[no-untyped-def]
    """Return the sum of a picture within each label, (count,) float64."""
    height, width = labels.shape
    out = np.zeros(count, np.float64)
    for y in range(height):
        for x in range(width):
            if labels[y, x] > 0:
                out[labels[y, x] - 1] += grey[y, x]
    return out


def warm() -> None:
    """Compile or load every kernel with the types that the counter uses."""
    grey = np.zeros((32, 32), np.float32)
    grid = np.zeros((2, 2), np.float32)
    two_views(grey, grid, grid + np.float32(1), 1.0, 32.0, 0, np.empty((2, 32, 32), np.float32))
    inside, depth = np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8)
    maps = np.zeros((8, 16, 16), np.float32)
    shuffle_to_bytes(maps, (0, 0), np.zeros(64, np.uint8), 6.0, 0, 32, inside, depth)
    inside[8:20, 8:20], depth[10:18, 10:18] = 255, 200
    labels, made, parent = part(inside, depth, 127, 0.7, 60, 4)
    found = settle(labels, parent, inside, depth, np.zeros(made + 1, np.int32))
    measure(labels, len(found), inside, depth)
    contacts(labels, depth, inside, grey, 64)
    sums_of(labels, grey, len(found))
    relabel(labels, np.zeros(len(found) + 1, np.int32))
    edges_and_light(grey, labels, 1)
    strongest_places(grey, 1.0, 0.5)
