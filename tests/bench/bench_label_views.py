"""Photographs harmed by seed, for what a set of photographs does not show: how far does reading carry.

    python tests/bench/bench_label_views.py [--data DIR] [--seeds N] [--first N] [--harm NAME …]

Each photograph with a readable symbol is turned by any angle, resized and harmed in one way. Pictures without
one are harmed too: nothing may be confirmed there. One JSON object a harm and symbology on stdout, then one
for all. The harms are drawn by seed; a change of the reader is judged by seeds it was not made on.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from vision.labels.bench_command import SMALL_SET
from vision.labels.bench_run import Tally
from vision.labels.bench_set import Photo, photos_of
from vision.labels.locate import Gray
from vision.labels.symbols import load_gray, read_symbols

Rng = np.random.Generator
Harming = Callable[[Gray, Rng], Gray]
SIDE_PX_MAX = 1600


def turned(gray: Gray, angle_deg: float, scale: float = 1.0) -> Gray:
    """Turn and resize a picture; nothing is cut off, the border goes on as it ends."""
    height, width = gray.shape
    turn = math.radians(angle_deg)
    across, up = abs(math.cos(turn)) * scale, abs(math.sin(turn)) * scale
    size = int(width * across + height * up) + 2, int(width * up + height * across) + 2
    how = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, scale)
    how[:, 2] += size[0] / 2 - width / 2, size[1] / 2 - height / 2
    if scale < 1:
        gray = np.asarray(cv2.GaussianBlur(gray, (0, 0), 0.4 / scale), np.uint8)
    kind = cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(gray, how, size, flags=kind, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _clipped(levels: np.ndarray) -> Gray:
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _blur(gray: Gray, rng: Rng) -> Gray:
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), rng.uniform(0.8, 1.8)), np.uint8)


def _motion(gray: Gray, rng: Rng) -> Gray:
    length, angle = rng.uniform(2, 6), rng.uniform(0, math.pi)
    side = 2 * int(length / 2) + 3
    kernel = np.zeros((side, side), np.float32)
    step = length / 2 * np.array([math.cos(angle), math.sin(angle)])
    first, last = ((side // 2 + way * step).round().astype(int).tolist() for way in (-1, 1))
    cv2.line(kernel, (first[0], first[1]), (last[0], last[1]), 1.0, 1)
    return np.asarray(cv2.filter2D(gray, -1, kernel / kernel.sum()), np.uint8)


def _grain(gray: Gray, rng: Rng) -> Gray:
    return _clipped(gray + rng.normal(0, rng.uniform(8, 25), gray.shape))


def _jpeg(gray: Gray, rng: Rng) -> Gray:
    _, data = cv2.imencode(".jpg", gray, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 50))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)


def _dim(gray: Gray, rng: Rng) -> Gray:
    return _clipped(gray * rng.uniform(0.12, 0.4) + rng.normal(4, 2.5, gray.shape))


def _gamma(gray: Gray, rng: Rng) -> Gray:
    power = rng.uniform(0.35, 0.7) if rng.random() < 0.5 else rng.uniform(1.5, 2.6)
    return _clipped(255 * (gray / 255.0) ** power)


def _shade(gray: Gray, rng: Rng) -> Gray:
    """Light that falls off over the picture, with the hard edge of a shadow across it."""
    height, width = gray.shape
    v, u = np.mgrid[0:height, 0:width] / max(height, width)
    angle, at = rng.uniform(0, 2 * math.pi), rng.uniform(0.3, 0.7)
    along = u * math.cos(angle) + v * math.sin(angle)
    light = 1 - rng.uniform(0.3, 0.6) * (along - along.min()) / np.ptp(along)
    edge = along > np.quantile(along, at)
    return _clipped(gray * light * np.where(edge, rng.uniform(0.45, 0.7), 1.0))


def _perspective(gray: Gray, rng: Rng) -> Gray:
    height, width = gray.shape
    box = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    moved = box + (rng.uniform(-0.14, 0.14, (4, 2)) * [width, height]).astype(np.float32)
    moved -= moved.min(axis=0)
    size = (int(moved[:, 0].max()) + 1, int(moved[:, 1].max()) + 1)
    how = cv2.getPerspectiveTransform(box, moved.astype(np.float32))
    return np.asarray(cv2.warpPerspective(gray, how, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _glare(gray: Gray, rng: Rng) -> Gray:
    height, width = gray.shape
    v, u = np.mgrid[0:height, 0:width]
    x, y = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    away = np.hypot(u - x, v - y) / (rng.uniform(0.06, 0.14) * max(height, width))
    return _clipped(gray + 300 * np.exp(-0.5 * away**2))


def _lines(gray: Gray, rng: Rng) -> Gray:
    """White lines across the print, as dead dots of a print head leave them; then lens and grain."""
    harmed = gray.copy()
    height, width = gray.shape
    paper = int(np.percentile(gray, 90))
    for _ in range(int(rng.integers(1, 4))):
        if rng.random() < 0.5:
            at = int(rng.uniform(0.2, 0.8) * width)
            harmed[:, at : at + max(1, width // 300)] = paper
        else:
            at = int(rng.uniform(0.2, 0.8) * height)
            harmed[at : at + max(1, height // 300)] = paper
    return np.asarray(cv2.GaussianBlur(harmed, (0, 0), 0.6), np.uint8)


def _negative(gray: Gray, rng: Rng) -> Gray:
    return np.asarray(255 - gray, np.uint8)


def _none(gray: Gray, rng: Rng) -> Gray:
    return gray


HARMS: dict[str, Harming] = {
    "none": _none, "blur": _blur, "motion": _motion, "grain": _grain, "jpeg": _jpeg, "dim": _dim,
    "gamma": _gamma, "shade": _shade, "perspective": _perspective, "glare": _glare, "lines": _lines,
}  # fmt: skip
SCALES = {"half": 0.5, "smaller": 0.7, "double": 2.0}


def view_of(whole: Gray, harm: str, seed: int) -> Gray:
    """Harm a photograph by seed: always the same view of it."""
    rng = np.random.default_rng((seed, [*HARMS, *SCALES].index(harm)))
    fit = min(1.0, SIDE_PX_MAX / max(whole.shape))
    angle = float(rng.integers(0, 360))
    if harm in SCALES:
        return turned(whole, angle, fit * SCALES[harm])
    if harm in ("perspective", "lines"):
        return turned(HARMS[harm](whole, rng), angle, fit)
    return HARMS[harm](turned(whole, angle, fit * float(rng.uniform(0.85, 1.2))), rng)


def measured(photo: Photo, harm: str, seeds: range, budget_ms: float) -> tuple[Tally, list[int], list[str]]:
    """Read the views of one photograph; the seeds that were not confirmed, and what was wrong."""
    cv2.setNumThreads(1)
    whole = load_gray(photo.path)
    tally, unconfirmed, wrong = Tally(), [], []
    for seed in seeds:
        gray = view_of(whole, harm, seed)
        began, began_cpu = time.perf_counter(), time.process_time()
        found = read_symbols(gray, budget_ms=budget_ms, clock=time.process_time).symbols
        took = 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - began_cpu)
        before = tally.confirmed
        tally.add([({each.data, each.text.encode()}, each.confirmed) for each in found], photo.payloads, took)
        if tally.confirmed == before:
            unconfirmed.append(seed)
        bad = [each for each in found if not {each.data, each.text.encode()} & photo.payloads]
        wrong += [f"{photo.path.name} seed {seed}: {each.text!r} {each.confirmed}" for each in bad]
    return tally, unconfirmed, wrong


def main() -> int:
    """Print the table; 1 when a wrong read was confirmed."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--data", type=Path, default=SMALL_SET)
    parser.add_argument("--seeds", type=int, default=1, help="views of each photograph and harm (default: 1)")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--harm", nargs="*", default=[], choices=[*HARMS, *SCALES])
    parser.add_argument("--symbology", nargs="*", default=[])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--budget-ms", type=float, default=3000.0)
    parser.add_argument("--misses", type=Path, help="write the views that were not confirmed to this file")
    options = parser.parse_args()
    photos = photos_of(options.data)
    kinds = sorted({photo.symbology if photo.reads_as else "other" for photo in photos})
    kinds = [kind for kind in kinds if not options.symbology or kind in options.symbology]
    seeds = range(options.first, options.first + options.seeds)
    total: dict[str, Tally] = {}
    misses, wrongs = [], []
    with ProcessPoolExecutor(options.processes) as pool:
        for harm in options.harm or [*HARMS, *SCALES]:
            for kind in kinds:
                chosen = [each for each in photos if (each.symbology if each.reads_as else "other") == kind]
                jobs = [pool.submit(measured, each, harm, seeds, options.budget_ms) for each in chosen]
                sum_of = Tally()
                for photo, job in zip(chosen, jobs, strict=True):
                    tally, unconfirmed, wrong = job.result()
                    sum_of.join(tally)
                    misses += [f"{kind} {harm} {photo.path.name} {seed}" for seed in unconfirmed]
                    wrongs += [f"{kind} {harm} {each}" for each in wrong]
                total.setdefault(kind, Tally()).join(sum_of)
                line = {"bench": "label views", "harm": harm, "symbology": kind}
                print(json.dumps({**line, **sum_of.line()}), flush=True)
    for kind, tally in total.items():
        print(json.dumps({"bench": "label views", "harm": "all", "symbology": kind, **tally.line()}))
    if options.misses:
        options.misses.write_text("\n".join(misses + wrongs) + "\n")
    print(json.dumps({"bench": "label views", "wrong_reads": wrongs[:40]}))
    return 1 if any(tally.confirmed_wrong for tally in total.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
