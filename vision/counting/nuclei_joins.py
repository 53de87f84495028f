"""Whether two basins that touch are one nucleus: a small learned judgement on shape and light.

Climbing the inner distance parts too much rather than too little. Each pair of touching basins is described
by how deep the pass between them is, how long their contact, and how much like an ellipse the two are
together and apart; the likeliest pairs are joined first, then described anew, until none is likely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vision.counting import nuclei_kernels as kernels

Table = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

# Columns of a basin: pixels, moments about the picture's corner, sums of foreground and grey, peak depth.
AREA, X, Y, XX, YY, XY, INSIDE, GREY, PEAK = range(9)
# Columns of a pair: contact length, sums of depth, foreground and grey along it, deepest pass.
LENGTH, DEPTH_SUM, INSIDE_SUM, GREY_SUM, PASS = range(5)
FEATURES = 15
ROUNDS_MOST = 12


@dataclass(frozen=True, slots=True)
class Judge:
    """A small network of one hidden layer over standardised features.

    `middle` and `spread` are (FEATURES,); `weights` (FEATURES, hidden) and (hidden,); `offsets` (hidden,)
    and one number.
    """

    middle: Table
    spread: Table
    weights: tuple[Table, Table]
    offsets: tuple[Table, float]

    @classmethod
    def from_card(cls, card: Mapping[str, Sequence[float]]) -> Judge:
        """Read a judge from lists of numbers."""
        hidden = len(card["hidden_offsets"])
        return cls(
            middle=np.array(card["middle"]),
            spread=np.array(card["spread"]),
            weights=(np.array(card["hidden"]).reshape(FEATURES, hidden), np.array(card["out"])),
            offsets=(np.array(card["hidden_offsets"]), float(card["out_offset"][0])),
        )

    def probability(self, features: Table) -> Table:
        """Return the probability, 0 to 1, that each pair is one nucleus: (n,) of (n, FEATURES)."""
        given = np.clip((features - self.middle) / self.spread, -6, 6)
        # Sums in a fixed order: no library that may choose another by its number of threads.
        hidden = np.tanh(np.einsum("nf,fh->nh", given, self.weights[0], optimize=False) + self.offsets[0])
        raised = np.einsum("nh,h->n", hidden, self.weights[1], optimize=False) + self.offsets[1]
        out: Table = 1 / (1 + np.exp(-np.clip(raised, -30, 30)))
        return out


@dataclass(frozen=True, slots=True)
class Touching:
    """Basins (n, 9), pairs of their numbers from 0 (m, 2), and what is known of each pair (m, 5)."""

    basins: Table
    pairs: npt.NDArray[np.int64]
    contact: Table


def touching(
    labels: Labels, found: Table, inside: Bytes, depth: Bytes, grey: npt.NDArray[np.float32]
) -> Touching:
    """Measure all basins and where they touch; `found` is what `kernels.settle` gave."""
    area, x0, y0 = found[:, 0], found[:, 9], found[:, 10]
    dx, dy = found[:, 1], found[:, 2]
    basins = np.stack(
        [
            area,
            dx + area * x0,
            dy + area * y0,
            found[:, 3] + 2 * x0 * dx + area * x0 * x0,
            found[:, 4] + 2 * y0 * dy + area * y0 * y0,
            found[:, 5] + x0 * dy + y0 * dx + area * x0 * y0,
            found[:, 6],
            kernels.sums_of(labels, grey, len(found)),
            found[:, 7],
        ],
        axis=1,
    )
    room = labels.size // 32 + 64
    pairs, values, n = kernels.contacts(labels, depth, inside, grey, room)
    if n > room:
        pairs, values, n = kernels.contacts(labels, depth, inside, grey, n)
    contact = np.empty((len(pairs), 5))
    contact[:, LENGTH] = 1
    contact[:, DEPTH_SUM : GREY_SUM + 1] = values
    contact[:, PASS] = values[:, 0]
    return _gathered(Touching(basins, pairs.astype(np.int64) - 1, contact))


def _gathered(given: Touching) -> Touching:
    """Put rows of one pair together."""
    if len(given.pairs) == 0:
        return given
    key = given.pairs[:, 0] * len(given.basins) + given.pairs[:, 1]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    rows = given.contact[order]
    contact = np.add.reduceat(rows, starts, axis=0)
    contact[:, PASS] = np.maximum.reduceat(rows[:, PASS], starts)
    return Touching(given.basins, given.pairs[order][starts], contact)


def _shape(basins: Table) -> tuple[Table, Table]:
    """Return how well each basin fills the ellipse of its moments (1 is an ellipse), and its elongation."""
    area = basins[:, AREA]
    mx, my = basins[:, X] / area, basins[:, Y] / area
    xx = basins[:, XX] / area - mx * mx + 1 / 12
    yy = basins[:, YY] / area - my * my + 1 / 12
    xy = basins[:, XY] / area - mx * my
    determinant = np.maximum(xx * yy - xy * xy, 1 / 144)
    root = np.sqrt((xx - yy) ** 2 + 4 * xy * xy)
    return area / (4 * np.pi * np.sqrt(determinant)), np.log((xx + yy + root) ** 2 / (4 * determinant)) / 2


def features_of(given: Touching, typical_area_px: float, contrast: float) -> Table:
    """Describe each pair: (m, FEATURES) float64, all without a unit."""
    a, b = given.basins[given.pairs[:, 0]], given.basins[given.pairs[:, 1]]
    contact = given.contact
    union = a + b
    small = np.minimum(a[:, AREA], b[:, AREA])
    low, high = np.minimum(a[:, PEAK], b[:, PEAK]), np.maximum(a[:, PEAK], b[:, PEAK])
    (fill_a, long_a), (fill_b, long_b), (fill, long) = _shape(a), _shape(b), _shape(union)
    light_a, light_b = a[:, GREY] / a[:, AREA], b[:, GREY] / b[:, AREA]
    length = contact[:, LENGTH]
    return np.stack(
        [
            contact[:, PASS] / np.maximum(low, 1),
            contact[:, PASS] / 255,
            low / 255,
            high / 255,
            contact[:, DEPTH_SUM] / length / np.maximum(low, 1),
            contact[:, INSIDE_SUM] / length / 255,
            np.log(length / np.sqrt(small)),
            np.log(small / np.maximum(a[:, AREA], b[:, AREA])),
            np.log(union[:, AREA] / typical_area_px),
            np.log(small / typical_area_px),
            fill,
            fill - (fill_a * a[:, AREA] + fill_b * b[:, AREA]) / union[:, AREA],
            long,
            long - np.maximum(long_a, long_b),
            (np.minimum(light_a, light_b) - contact[:, GREY_SUM] / length) / contrast
            + 0.5 * np.abs(light_a - light_b) / contrast,
        ],
        axis=1,
    )


def typical_area(basins: Table) -> float:
    """Return the area of the basin that holds the middle of all area, in pixels."""
    area = np.sort(basins[:, AREA])
    total = np.cumsum(area)
    return float(area[np.searchsorted(total, total[-1] / 2)]) if len(area) else 1.0


def names_of_joined(given: Touching, contrast: float, judge: Judge, level: float) -> npt.NDArray[np.int32]:
    """Join the pairs that are one nucleus with a probability above `level`.

    Returns
    -------
    (n + 1,) int32 ndarray
        The new label of each old one, 1..k in the order of their first members; [0] is 0.
    """
    parent = np.arange(len(given.basins))
    typical = typical_area(given.basins)
    now = given
    for _ in range(ROUNDS_MOST):
        if len(now.pairs) == 0:
            break
        likely = judge.probability(features_of(now, typical, contrast))
        chosen = _apart(now.pairs, likely, level)
        if len(chosen) == 0:
            break
        now = joined(now, chosen, parent)
    roots = parent.copy()
    for _ in range(ROUNDS_MOST):
        roots = parent[roots]
    names = np.zeros(len(parent) + 1, np.int32)
    _, first, back = np.unique(roots, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(1, len(first) + 1)
    names[1:] = rank[back]
    return names


def _apart(pairs: npt.NDArray[np.int64], likely: Table, level: float) -> list[int]:
    """Choose the likeliest pairs, no basin twice: a joined basin is described anew first."""
    taken: set[int] = set()
    chosen = []
    candidates = np.flatnonzero(likely > level)
    for k in candidates[np.argsort(-likely[candidates], kind="stable")]:
        a, b = int(pairs[k, 0]), int(pairs[k, 1])
        if a not in taken and b not in taken:
            taken |= {a, b}
            chosen.append(int(k))
    return chosen


def joined(given: Touching, chosen: Sequence[int], parent: npt.NDArray[np.int64]) -> Touching:
    """Return basins and pairs after joining the chosen pairs; `parent` is brought up to date."""
    basins = given.basins.copy()
    into = np.arange(len(basins))
    for k in chosen:
        a, b = given.pairs[k]
        peak = max(basins[a, PEAK], basins[b, PEAK])
        basins[a] += basins[b]
        basins[a, PEAK] = peak
        into[b] = a
        parent[b] = a
    pairs = np.sort(into[given.pairs], axis=1)
    still = pairs[:, 0] != pairs[:, 1]
    return _gathered(Touching(basins, pairs[still], given.contact[still]))
