"""Accuracy of the counting methods beside OpenCV and scikit-image peers, on the labelled public sets.

    python tests/bench/bench_count.py [trypan] [nuclei] [simulated] [live-dead] [--without-peers]

The sets are the shared ones beside the checkout (or under CELLWRIGHT_SHARED); where they are missing, the
committed parts of them. Our figures are out of fold: each picture is counted by a network that saw nothing of
its acquisition group (trypan blue) or of its fold (nuclei). The peers' knobs are the best on the very set
that they are scored on, which favours the peers. Values are [value, low, high]: 95 % bootstrap intervals over
pictures, for errors of specimens over specimens. One JSON line a set. Speed has a bench of its own.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import count_methods
import count_peers
import cv2
import numpy as np

from vision.counting import live_dead
from vision.counting.method import Scale
from vision.counting.methods import method_named
from vision.counting.training import scoring, scoring_masks
from vision.picture_file import read_grey

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "tests" / "data" / "vision"
ROUNDS = 400
BLUR_STRONG = "48"
Figures = dict[str, Any]


def folder_of(name: str) -> Path | None:
    """Return a set's folder: shared, or its committed part, or None."""
    shared = Path(os.environ.get("CELLWRIGHT_SHARED", ROOT.parent / "shared")) / "data" / "vision" / name
    chosen = [folder for folder in (shared, COMMITTED / name) if (folder / "images.csv").is_file()]
    return chosen[0] if chosen else None


def intervals(
    value: dict[str, float], draw: Callable[[np.random.Generator], dict[str, float]]
) -> dict[str, list[float]]:
    """Return each figure as [value, low, high]."""
    rng = np.random.default_rng(0)
    drawn = [draw(rng) for _ in range(ROUNDS)]
    return {
        k: [round(float(v), 4) for v in (value[k], *np.percentile([d[k] for d in drawn], [2.5, 97.5]))]
        for k in value
    }


# -- trypan blue


def trypan_figures(tallies: Sequence[scoring.Tally], samples: Sequence[str]) -> dict[str, list[float]]:
    """Return a finder's figures with intervals: errors over specimens, the others over pictures."""
    members: dict[str, list[int]] = {}
    for n, sample in enumerate(samples):
        members.setdefault(sample, []).append(n)
    names = list(members)

    def draw(rng: np.random.Generator) -> dict[str, float]:
        pictures = rng.integers(0, len(tallies), len(tallies))
        by_picture = scoring.figures([tallies[n] for n in pictures], [samples[n] for n in pictures])
        turns = [names[k] for k in rng.integers(0, len(names), len(names))]
        drawn = [(n, str(turn)) for turn, name in enumerate(turns) for n in members[name]]
        by_sample = scoring.figures([tallies[n] for n, _ in drawn], [turn for _, turn in drawn])
        specimens = ("sample_count", "viability", "bias")
        return {k: (by_sample if k.startswith(specimens) else by_picture)[k] for k in by_picture}

    return intervals(scoring.figures(tallies, samples), draw)


def trypan() -> Figures | None:
    """Score trypan blue."""
    folder = folder_of("ldc_trypan")
    if folder is None:
        return None
    images = scoring.read_set(folder)
    pictures = [read_grey(image.path) for image in images]
    samples = [image.sample for image in images]
    folds = count_methods.trypan_finders()

    def merit(tallies: list[scoring.Tally]) -> float:
        whole = scoring.total(tallies)
        right = whole.confusion["live", "live"] + whole.confusion["dead", "dead"]
        return scoring.figures(tallies, samples)["f1"] + right / max(1, whole.matched)

    def tallied(find: Callable[[int], list[scoring.Found]]) -> list[scoring.Tally]:
        return [scoring.tally(find(n), image.cells) for n, image in enumerate(images)]

    rows: dict[str, list[scoring.Tally]] = {}
    if folds:
        rows["cellwright trypan-blue"] = tallied(
            lambda n: [
                scoring.Found(c.x, c.y, c.kind)
                for c in folds[images[n].group](pictures[n], Scale(object_diameter_px=20.0)).cells
            ]
        )
    for name, finders in count_peers.cell_finders().items():
        alternatives = [tallied(lambda n, find=find: find(pictures[n].grey)) for find in finders]
        rows[name] = max(alternatives, key=merit)
    return {
        "pictures": len(images),
        "labelled_cells": sum(len(image.cells) for image in images),
        "accuracy": {name: trypan_figures(tallies, samples) for name, tallies in rows.items()},
    }


# -- nuclei


def mask_figures(scores: Sequence[scoring_masks.MaskScore]) -> dict[str, list[float]]:
    """Return the figures of label images with intervals over pictures."""

    def draw(rng: np.random.Generator) -> dict[str, float]:
        return scoring_masks.figures([scores[n] for n in rng.integers(0, len(scores), len(scores))])

    return intervals(scoring_masks.figures(scores), draw)


def nuclei() -> Figures | None:
    """Score nuclei."""
    folder = folder_of("dsb2018_fluo")
    if folder is None:
        return None
    rows = scoring_masks.read_rows(folder)
    folds = scoring_masks.folds_of(rows)
    pictures = [read_grey(folder / "images" / row["image"]) for row in rows]
    true = [
        cv2.imread(str(folder / "labels" / row["image"]), cv2.IMREAD_UNCHANGED).astype(np.int32)
        for row in rows
    ]
    finders = count_methods.nuclei_finders()

    def scored(mask: Callable[[int], np.ndarray]) -> list[scoring_masks.MaskScore]:
        return [
            scoring_masks.score_masks(row["image"], row["size_class"], true[n], mask(n))
            for n, row in enumerate(rows)
        ]

    runs: dict[str, list[scoring_masks.MaskScore]] = {}
    if finders:
        runs["cellwright nuclei"] = scored(
            lambda n: np.asarray(finders[folds[n]](pictures[n], Scale()).labels)
        )
    for name, maskers in count_peers.nuclei_maskers().items():
        alternatives = [scored(lambda n, mask=mask: mask(pictures[n].grey)) for mask in maskers]
        runs[name] = max(alternatives, key=lambda scores: scoring_masks.figures(scores)["f1_iou50"])
    classes = sorted({row["size_class"] for row in rows})
    by_class = {
        name: {
            kind: {
                k: round(v, 4)
                for k, v in scoring_masks.figures([s for s in scores if s.size_class == kind]).items()
            }
            for kind in classes
        }
        for name, scores in runs.items()
    }
    return {
        "pictures": len(rows),
        "labelled_nuclei": int(sum(len(np.unique(t)) - 1 for t in true)),
        "accuracy": {name: mask_figures(scores) for name, scores in runs.items()},
        "by_size_class": by_class,
    }


def simulated() -> Figures | None:
    """Count simulated fields whose number is exact, by blur and channel; is strong blur flagged?"""
    folder = folder_of("bbbc005_counts")
    if folder is None:
        return None
    method = method_named("nuclei")
    inside = folder / "images" if (folder / "images").is_dir() else folder
    errors: dict[str, dict[str, list[float]]] = {}
    flagged: dict[str, list[bool]] = {}
    maskers = count_peers.nuclei_maskers()
    with (folder / "images.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        picture = read_grey(inside / row["image"])
        true = int(row["count"])
        place = f"blur {row['blur_level']} {row['channel']}"
        finding, reasons = count_methods.reasons_of(method, [picture], Scale())
        flagged.setdefault(f"blur {row['blur_level']}", []).append("out_of_focus" in reasons)
        counts = {"cellwright nuclei": sum(cell.included for cell in finding.cells)}
        for name, alternatives in maskers.items():
            counts[name] = len(np.unique(alternatives[0](picture.grey))) - 1
        for name, count in counts.items():
            errors.setdefault(name, {}).setdefault(place, []).append(100 * abs(count - true) / true)
    return {
        "pictures": len(rows),
        "count_error_percent": {
            name: {place: round(float(np.mean(values)), 2) for place, values in sorted(places.items())}
            for name, places in errors.items()
        },
        "flagged_out_of_focus_percent": {
            blur: round(100 * float(np.mean(values)), 1) for blur, values in sorted(flagged.items())
        },
    }


def of_card() -> Figures:
    """Return the figures of live-dead's card: its mixes are scored where the card is made."""
    card = live_dead.committed_card()
    return {"card_date": card.get("date"), "accuracy": card.get("figures"), "by": card.get("by")}


SETS: dict[str, Callable[[], Figures | None]] = {
    "trypan": trypan,
    "nuclei": nuclei,
    "simulated": simulated,
    "live-dead": of_card,
}


def main() -> int:
    """Score each set that was named, or all."""
    cv2.setNumThreads(1)
    if not count_peers.HAS_SKIMAGE:
        print("scikit-image is not installed: its peers are left out.", file=sys.stderr)
    failed = False
    arguments = sys.argv[1:]
    if "--without-peers" in arguments:
        arguments.remove("--without-peers")
        count_peers.leave_out()
    for name in arguments or SETS:
        figures = SETS[name]()
        failed |= figures is None
        shown = figures if figures is not None else {"left_out": "the set is not here"}
        print(json.dumps({"bench": "count", "set": name, **shown}), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
