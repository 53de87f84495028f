"""Compare found cells with labelled boxes: matching, and the figures of a method."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

LEAST_RADIUS_PX = 6.0


@dataclass(frozen=True, slots=True)
class Truth:
    """A labelled cell: centre and radius in pixels."""

    x: float
    y: float
    radius: float
    kind: str


@dataclass(frozen=True, slots=True)
class Found:
    """A detected cell, in pixels."""

    x: float
    y: float
    kind: str


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One picture of the labelled set."""

    path: Path
    group: str
    sample: str
    cells: tuple[Truth, ...]


def read_set(folder: Path) -> list[LabelledImage]:
    """Read `images.csv` and `boxes.csv` of a labelled folder."""
    boxes: dict[str, list[Truth]] = defaultdict(list)
    with (folder / "boxes.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            x0, y0, x1, y1 = (float(row[k]) for k in ("x0", "y0", "x1", "y1"))
            radius = max(LEAST_RADIUS_PX, (x1 - x0 + y1 - y0) / 4)
            boxes[row["image"]].append(Truth((x0 + x1) / 2, (y0 + y1) / 2, radius, row["label"]))
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    inside = folder / "images"
    pictures = inside if inside.is_dir() else folder
    return [
        LabelledImage(pictures / r["image"], r["group"], r["sample"], tuple(boxes[r["image"]])) for r in rows
    ]


def match(found: Sequence[Found], truth: Sequence[Truth]) -> dict[int, int]:
    """Pair found cells with labelled ones, as many as can be, each within one labelled radius.

    Returns
    -------
    dict
        Index of a found cell to the index of its label. Augmenting paths give the greatest
        number of pairs, as the Hungarian method would; near pairs are tried first.
    """
    reach: list[list[tuple[float, int]]] = []
    for f in found:
        near = [(float(np.hypot(f.x - t.x, f.y - t.y)), j) for j, t in enumerate(truth)]
        reach.append(sorted((d, j) for d, j in near if d <= truth[j].radius))
    owner: dict[int, int] = {}

    def place(i: int, tried: set[int]) -> bool:
        for _, j in reach[i]:
            if j in tried:
                continue
            tried.add(j)
            if j not in owner or place(owner[j], tried):
                owner[j] = i
                return True
        return False

    for i in sorted((i for i in range(len(found)) if reach[i]), key=lambda i: reach[i][0]):
        place(i, set())
    return {i: j for j, i in owner.items()}


@dataclass
class Tally:
    """Counts of one picture or of many, added up."""

    matched: int = 0
    found: int = 0
    truth: int = 0
    found_live: int = 0
    found_dead: int = 0
    truth_live: int = 0
    truth_dead: int = 0
    confusion: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, other: Tally) -> None:
        """Add another tally to this one."""
        for name in ("matched", "found", "truth", "found_live", "found_dead", "truth_live", "truth_dead"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for key, value in other.confusion.items():
            self.confusion[key] += value


def tally(found: Sequence[Found], truth: Sequence[Truth]) -> Tally:
    """Score one picture."""
    pairs = match(found, truth)
    result = Tally(
        matched=len(pairs),
        found=len(found),
        truth=len(truth),
        found_live=sum(f.kind == "live" for f in found),
        found_dead=sum(f.kind == "dead" for f in found),
        truth_live=sum(t.kind == "live" for t in truth),
        truth_dead=sum(t.kind == "dead" for t in truth),
    )
    for i, j in pairs.items():
        result.confusion[truth[j].kind, found[i].kind] += 1
    return result


def total(tallies: Sequence[Tally]) -> Tally:
    """Add tallies up."""
    result = Tally()
    for each in tallies:
        result.add(each)
    return result


def figures(tallies: Sequence[Tally], samples: Sequence[str]) -> dict[str, float]:
    """Compute a method's figures; `samples` pools pictures into specimens.

    Returns
    -------
    dict
        f1, precision, recall, dead_sensitivity (shares); bias_percent and
        sample_count_error_percent (of the labelled count); viability_error_pp,
        viability_bias_pp and viability_rms_pp (percentage points over specimens).
    """
    all_of = total(tallies)
    pools: dict[str, Tally] = defaultdict(Tally)
    for each, sample in zip(tallies, samples, strict=True):
        pools[sample].add(each)
    counted = [p for p in pools.values() if p.truth and p.found_live + p.found_dead]
    count_error = np.array([abs(p.found - p.truth) / p.truth for p in pools.values() if p.truth])
    viability = np.array(
        [
            100
            * (p.found_live / (p.found_live + p.found_dead) - p.truth_live / (p.truth_live + p.truth_dead))
            for p in counted
        ]
    )
    return {
        "f1": 2 * all_of.matched / max(1, all_of.found + all_of.truth),
        "precision": all_of.matched / max(1, all_of.found),
        "recall": all_of.matched / max(1, all_of.truth),
        "dead_sensitivity": all_of.confusion["dead", "dead"] / max(1, all_of.truth_dead),
        "bias_percent": 100 * (all_of.found / max(1, all_of.truth) - 1),
        "sample_count_error_percent": 100 * float(count_error.mean()),
        "sample_count_rms_percent": 100 * float(np.sqrt((count_error**2).mean())),
        "viability_error_pp": float(np.abs(viability).mean()) if len(viability) else 0.0,
        "viability_bias_pp": float(viability.mean()) if len(viability) else 0.0,
        "viability_rms_pp": float(np.sqrt((viability**2).mean())) if len(viability) else 0.0,
    }
