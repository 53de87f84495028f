"""Compare found label images with true ones, and say which network may be scored on which picture.

Plain numpy: the benches use it too, without what trains networks.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int32]

# Pictures are dealt to the folds in turns within an acquisition class, in the order of `images.csv`.
FOLDS = 3
OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class MaskScore:
    """One picture's counts and the pairs that cover each other by at least half."""

    image: str
    size_class: str
    true: int
    found: int
    matched: int


def read_rows(folder: Path) -> list[dict[str, str]]:
    """Read a set's `images.csv`."""
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def folds_of(rows: Sequence[Mapping[str, str]]) -> list[int]:
    """Return each picture's fold."""
    turn: dict[str, int] = {}
    out = []
    for row in rows:
        kind = row["size_class"]
        out.append(turn.get(kind, 0) % FOLDS)
        turn[kind] = turn.get(kind, 0) + 1
    return out


def fold_files(folder: Path) -> dict[int, Path]:
    """Return the weights of each fold's network: the one that has not seen the fold's pictures."""
    return {fold: folder / f"nuclei-fold-{fold}.onnx" for fold in range(FOLDS)}


def matches(true: Labels, found: Labels, overlap: float = OVERLAP) -> int:
    """Count the objects of two label images that cover each other by more than `overlap` (at least 0.5).

    Above one half an object has at most one partner, so that this is the assignment of the Hungarian method.
    """
    assert overlap >= 0.5, overlap
    n, m = int(true.max()) + 1, int(found.max()) + 1
    both = np.bincount(true.ravel().astype(np.int64) * m + found.ravel(), minlength=n * m).reshape(n, m)
    union = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
    return int((both[1:, 1:] > overlap * union[1:, 1:]).sum())


def score_masks(image: str, size_class: str, true: Labels, found: Labels) -> MaskScore:
    """Score one picture."""
    return MaskScore(
        image,
        size_class,
        len(np.unique(true[true > 0])),
        len(np.unique(found[found > 0])),
        matches(true, found),
    )


def figures(scores: Sequence[MaskScore]) -> dict[str, float]:
    """Return the figures of a set of pictures.

    Returns
    -------
    dict
        f1_iou50 (pooled), f1_iou50_mean (over pictures), count_error_percent (mean of absolute errors over
        pictures), count_bias_percent (pooled).
    """
    true = np.array([s.true for s in scores], float)
    found = np.array([s.found for s in scores], float)
    matched = np.array([s.matched for s in scores], float)
    both = np.maximum(true + found, 1)
    return {
        "f1_iou50": float(2 * matched.sum() / max(1.0, float((true + found).sum()))),
        "f1_iou50_mean": float((2 * matched / both).mean()),
        "count_error_percent": float(100 * (np.abs(found - true) / np.maximum(true, 1)).mean()),
        "count_bias_percent": float(100 * (found.sum() / max(1.0, float(true.sum())) - 1)),
    }
