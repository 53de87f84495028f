"""Accuracy and speed of the trypan-blue counter beside two OpenCV peers, in one run.

    python tests/bench/bench_count.py [LDC_FOLDER]

The folder defaults to the shared set beside the checkout (or under CELLWRIGHT_SHARED), and to the
committed patches where that is missing. Our figures are out of fold: each picture is counted by
networks that saw none of its acquisition group. The peers' knobs are set on the whole set, which
favours them. Intervals are 95 % bootstrap intervals over pictures (F1, dead) or specimens (errors).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from vision.counting import cells, count_images, frame_quality, segment
from vision.counting.method import Scale
from vision.counting.methods import method_named
from vision.counting.training import scoring
from vision.picture_file import FieldPicture, read_grey

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "vision"
ROUNDS = 400
Finder = Callable[[scoring.LabelledImage, np.ndarray], list[scoring.Found]]


def labelled_folder(arguments: list[str]) -> Path:
    """Choose the set: named, shared, or the committed patches."""
    if arguments:
        return Path(arguments[0])
    shared = Path(os.environ.get("CELLWRIGHT_SHARED", ROOT.parent / "shared"))
    whole = shared / "data" / "vision" / "ldc_trypan"
    return whole if whole.is_dir() else DATA / "ldc_trypan"


def ours() -> Finder:
    """Return the counter with the model of the fold that left the picture's group out."""
    folds = json.loads((DATA / "trypan_blue_folds.json").read_text(encoding="utf-8"))
    models = {group: cells.model_from(document) for group, document in folds.items()}

    def find(image: scoring.LabelledImage, grey: np.ndarray) -> list[scoring.Found]:
        found = cells.find_cells(segment.prepare(grey, 1.0), models[image.group])
        return [scoring.Found(c.x, c.y, c.kind) for c in found]

    return find


def _kind_at(grey: np.ndarray, x: float, y: float, level: float) -> str:
    """Call a place live when its core outshines the picture's middle grey by the level."""
    column, row = round(x), round(y)
    core = grey[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
    return "live" if core.size and core.max() > level * np.median(grey) else "dead"


def hough(votes: float, level: float) -> Finder:
    """Return OpenCV's HoughCircles with a radius band of 6 to 16 px."""

    def find(_: scoring.LabelledImage, grey: np.ndarray) -> list[scoring.Found]:
        smooth = cv2.medianBlur(np.clip(grey, 0, 255).astype(np.uint8), 5)
        circles = cv2.HoughCircles(
            smooth, cv2.HOUGH_GRADIENT, 1, 12, param1=60, param2=votes, minRadius=6, maxRadius=16
        )
        if circles is None:
            return []
        return [
            scoring.Found(float(x), float(y), _kind_at(grey, x, y, level))
            for x, y in np.asarray(circles).reshape(-1, circles.shape[-1])[:, :2]
        ]

    return find


def blobs(threshold: float, level: float) -> Finder:
    """Return OpenCV's SimpleBlobDetector on the local contrast."""
    knobs = cv2.SimpleBlobDetector.Params()
    knobs.filterByColor, knobs.blobColor = True, 255
    knobs.filterByArea, knobs.minArea, knobs.maxArea = True, 60, 1500
    knobs.filterByCircularity = knobs.filterByConvexity = False
    knobs.filterByInertia, knobs.minInertiaRatio = True, 0.25
    knobs.minThreshold, knobs.maxThreshold, knobs.thresholdStep = threshold, threshold + 80, 10
    knobs.minDistBetweenBlobs = 10
    detector = cv2.SimpleBlobDetector.create(knobs)

    def find(_: scoring.LabelledImage, grey: np.ndarray) -> list[scoring.Found]:
        relative = grey / np.median(grey) - 1
        contrast = cv2.GaussianBlur(np.abs(relative).astype(np.float32), (0, 0), 3)
        points = detector.detect(np.clip(600 * contrast, 0, 255).astype(np.uint8))
        return [scoring.Found(p.pt[0], p.pt[1], _kind_at(grey, p.pt[0], p.pt[1], level)) for p in points]

    return find


def tallies_of(
    finder: Finder, images: list[scoring.LabelledImage], greys: list[np.ndarray]
) -> list[scoring.Tally]:
    """Score a finder on every picture."""
    return [scoring.tally(finder(i, g), i.cells) for i, g in zip(images, greys, strict=True)]


def best_of(
    finders: list[Finder], images: list[scoring.LabelledImage], greys: list[np.ndarray]
) -> list[scoring.Tally]:
    """Return the tallies of the finder with the best F1 plus share of live and dead told right."""

    def merit(tallies: list[scoring.Tally]) -> float:
        everything = scoring.total(tallies)
        right = everything.confusion["live", "live"] + everything.confusion["dead", "dead"]
        return scoring.figures(tallies, [i.sample for i in images])["f1"] + right / max(1, everything.matched)

    return max((tallies_of(f, images, greys) for f in finders), key=merit)


def with_intervals(tallies: list[scoring.Tally], samples: list[str]) -> dict[str, list[float]]:
    """Return each figure as [value, low, high]."""
    value = scoring.figures(tallies, samples)
    rng = np.random.default_rng(0)
    rows: list[dict[str, float]] = []
    members: dict[str, list[int]] = {}
    for n, sample in enumerate(samples):
        members.setdefault(sample, []).append(n)
    for _ in range(ROUNDS):
        pictures = rng.integers(0, len(tallies), len(tallies))
        names = [list(members)[k] for k in rng.integers(0, len(members), len(members))]
        by_picture = scoring.figures([tallies[n] for n in pictures], [samples[n] for n in pictures])
        drawn = [(n, f"{turn}") for turn, name in enumerate(names) for n in members[name]]
        by_sample = scoring.figures([tallies[n] for n, _ in drawn], [turn for _, turn in drawn])
        errors = ("sample_count_error_percent", "viability_error_pp", "bias_percent")
        rows.append({k: (by_sample if k in errors else by_picture)[k] for k in value})
    return {
        k: [round(float(v), 4) for v in (value[k], *np.percentile([row[k] for row in rows], [2.5, 97.5]))]
        for k in value
    }


def ms_per_megapixel(work: Callable[[], object], pixels: int) -> float:
    """Return the least processor time of five warm runs: what one core needs, whoever else is busy."""
    work()
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return round(1000 * best / (pixels / 1e6), 1)


def speed(greys: list[np.ndarray]) -> dict[str, dict[str, float]]:
    """Time one thread on 50 single patches and on one field of 4 MP, beside the peers on the same pixels."""
    cv2.setNumThreads(1)
    patches = [cv2.resize(g, (200, 200)).astype(np.float32) for g in (greys * (100 // len(greys) + 1))[:100]]
    field = np.vstack([np.hstack(patches[10 * r : 10 * r + 10]) for r in range(10)])
    model, nobody = cells.committed_model(), scoring.LabelledImage(Path(), "", "", ())

    def whole(grey: np.ndarray) -> None:
        maps = segment.prepare(grey, 1.0)
        found = cells.find_cells(maps, model)
        picture = FieldPicture(grey, 8, 0.0)
        frame_quality.reasons_for(picture, frame_quality.measure(picture, maps), found)

    rows: dict[str, Callable[[np.ndarray], object]] = {
        "cellwright_with_gates": whole,
        "hough": lambda grey: hough(16, 1.3)(nobody, grey),
        "blobs": lambda grey: blobs(15, 1.3)(nobody, grey),
        "numpy_copy": lambda grey: np.copyto(np.empty_like(grey), grey),
    }
    pixels = 50 * patches[0].size
    return {
        name: {
            "patches_ms_mp": ms_per_megapixel(lambda w=work: [w(grey) for grey in patches[:50]], pixels),
            "field_ms_mp": ms_per_megapixel(lambda w=work: w(field), field.size),
        }
        for name, work in rows.items()
    }


def gates(images: list[scoring.LabelledImage]) -> dict[str, float]:
    """Share of the set that is not counted as it is, and that is flagged when strongly blurred."""
    scale, method = Scale(um_per_px=0.6), method_named("trypan-blue")

    def verdict_of(picture: FieldPicture) -> str:
        found = count_images.count_picture([picture], method=method, scale=scale, allow_unscaled=True)
        return found[1].verdict

    refused = flagged = 0
    for image in images:
        picture = read_grey(image.path)
        refused += verdict_of(picture) != "counted"
        blurred = np.asarray(cv2.GaussianBlur(picture.grey, (0, 0), 5), np.float32)
        flagged += verdict_of(FieldPicture(blurred, 8, 0.0)) != "counted"
    return {
        "good_sent_back_percent": round(100 * refused / len(images), 2),
        "blurred_flagged_percent": round(100 * flagged / len(images), 2),
    }


def main() -> int:
    """Run all and print a table, then one JSON line."""
    began = time.perf_counter()
    count_images.warm()
    warm_s = time.perf_counter() - began
    images = scoring.read_set(labelled_folder(sys.argv[1:]))
    greys = [read_grey(image.path).grey for image in images]
    samples = [image.sample for image in images]
    levels = (1.3, 1.6, 2.0)
    runs = {
        "cellwright (out of fold)": tallies_of(ours(), images, greys),
        "HoughCircles": best_of([hough(v, x) for v in (10, 12, 14, 16, 19) for x in levels], images, greys),
        "SimpleBlobDetector": best_of([blobs(t, x) for t in (8, 15, 25) for x in levels], images, greys),
    }
    results = {name: with_intervals(tallies, samples) for name, tallies in runs.items()}
    shown = ("f1", "bias_percent", "sample_count_error_percent", "viability_error_pp", "dead_sensitivity")
    print(f"{len(images)} pictures, {sum(len(i.cells) for i in images)} labelled cells")
    for name, figures in results.items():
        print(
            f"{name:26}",
            *(f"{k} {v:.3g} [{a:.3g}, {b:.3g}]" for k in shown for v, a, b in [figures[k]]),
            sep="  ",
        )
    fast = speed(greys)
    rest = {
        **gates(images),
        "kernels_ready_s": round(warm_s, 2),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps({"bench": "count", "pictures": len(images), "accuracy": results, "speed": fast, **rest}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
