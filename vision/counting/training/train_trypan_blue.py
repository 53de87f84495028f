"""Make the weights of the trypan-blue counter from the labelled patches of the LDC set.

    python -m vision.counting.training.train_trypan_blue LDC_FOLDER --weights FILE --folds FILE

Only numpy trains. Each acquisition group is held out once; the scores written into the weights
come from networks that saw no picture of the group that they score. The networks of each fold
are written too, so that a benchmark can repeat those scores; the shipped networks learn from all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import cells, kernels, segment
from vision.counting.training import scoring
from vision.picture_file import read_grey

VERSION = "0.1.0"
HIDDEN = (48, 24)
NETWORKS = 3
EPOCHS = 14
BATCH = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4
DROPPED_INPUTS = 0.1
VARIANTS = 5
# A candidate this near to a label's centre (in label radii) is that cell, one beyond is none;
# between the two the label itself is not sure enough to teach.
NEAR, FAR = 0.45, 0.6
DEAD_WEIGHT = 1.5
CELL_LEVEL = 0.55
GREY_ZONE = (0.4, 0.6)
DISTANCE_PX = 13.0

Array = npt.NDArray[np.float32]


@dataclass
class Examples:
    """Described candidates of all pictures and their variants."""

    features: Array
    kind: npt.NDArray[np.int64]
    distance: Array
    image: npt.NDArray[np.int64]


def _variant(grey: Array, number: int, rng: np.random.Generator) -> tuple[segment.Prepared, float]:
    """Return the picture's maps as it is (0) or with other size, sharpness, contrast and grain."""
    if number == 0:
        return segment.prepare(grey, 1.0), 1.0
    size = float(np.exp(rng.uniform(-0.2, 0.2)))
    way = cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    grey = np.asarray(cv2.resize(grey, None, fx=size, fy=size, interpolation=way), np.float32)
    if rng.random() < 0.4:
        grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.4, 1.0)), np.float32)
    background = segment.background_of(grey)
    relative = (grey / background - 1.0) * np.exp(rng.uniform(-0.4, 0.4))
    if rng.random() < 0.5:
        relative = relative + rng.normal(0, rng.uniform(0, 0.03), relative.shape)
    return segment.maps_of(relative.astype(np.float32), background, 1.0), size


def examples_of(images: Sequence[scoring.LabelledImage]) -> Examples:
    """Describe the candidates of every picture in `VARIANTS` variants, with what each one is."""
    rng = np.random.default_rng(0)
    features, kinds, distances, owners = [], [], [], []
    for number, image in enumerate(images):
        grey = read_grey(image.path).grey
        for variant in range(VARIANTS):
            maps, size = _variant(grey, variant, rng)
            points = segment.candidates(maps)
            kind, nearest = np.zeros(len(points), np.int64), np.full(len(points), 9.0, np.float32)
            for cell in image.cells:
                radius = max(scoring.LEAST_RADIUS_PX, cell.radius * size)
                gap = np.hypot(points[:, 0] - cell.x * size, points[:, 1] - cell.y * size) / radius
                nearer = gap < nearest
                nearest[nearer] = gap[nearer]
                kind[nearer] = 1 if cell.kind == "live" else 2
            features.append(segment.describe(maps, points))
            kinds.append(kind)
            distances.append(nearest)
            owners.append(np.full(len(points), number))
    return Examples(*(np.concatenate(x) for x in (features, kinds, distances, owners)))


def _forward(p: list[Array], x: Array) -> tuple[Array, Array, Array]:
    first = np.maximum(x @ p[0] + p[1], 0)
    second = np.maximum(first @ p[2] + p[3], 0)
    z = second @ p[4] + p[5]
    e = np.exp(z - z.max(1, keepdims=True))
    return first, second, e / e.sum(1, keepdims=True)


def train(x: Array, kind: npt.NDArray[np.int64], seed: int) -> list[Array]:
    """Fit one network by Adam with decoupled decay and a cosine schedule [1]_ [2]_.

    References
    ----------
    .. [1] D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.
    .. [2] I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    rng = np.random.default_rng(seed)
    sizes = (x.shape[1], *HIDDEN, 3)
    p: list[Array] = []
    for a, b in itertools.pairwise(sizes):
        p += [rng.normal(0, np.sqrt(2 / a), (a, b)).astype(np.float32), np.zeros(b, np.float32)]
    mean, square = [0 * a for a in p], [0 * a for a in p]
    weight = np.where(kind == 2, DEAD_WEIGHT, 1.0).astype(np.float32)
    steps, step = EPOCHS * (len(x) // BATCH), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            batch = x[rows] * (rng.random((BATCH, x.shape[1]), dtype=np.float32) > DROPPED_INPUTS)
            batch = batch / np.float32(1 - DROPPED_INPUTS)
            slopes = _slopes(p, batch, kind[rows], weight[rows])
            step += 1
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            for j, slope in enumerate(slopes):
                mean[j] = 0.9 * mean[j] + 0.1 * slope
                square[j] = 0.999 * square[j] + 0.001 * slope**2
                move = mean[j] / (1 - 0.9**step) / (np.sqrt(square[j] / (1 - 0.999**step)) + 1e-8)
                decay = WEIGHT_DECAY * p[j] if j % 2 == 0 else 0.0
                p[j] = (p[j] - rate * (move + decay)).astype(np.float32)
    return p


def _slopes(p: list[Array], x: Array, kind: npt.NDArray[np.int64], weight: Array) -> list[Array]:
    """Return the slopes of the weighted cross-entropy for each array of weights."""
    first, second, chance = _forward(p, x)
    g = chance.copy()
    g[np.arange(len(x)), kind] -= 1
    g *= weight[:, None] / len(x)
    g2 = (g @ p[4].T) * (second > 0)
    g1 = (g2 @ p[2].T) * (first > 0)
    return [x.T @ g1, g1.sum(0), first.T @ g2, g2.sum(0), second.T @ g, g.sum(0)]


def document_of(
    examples: Examples, chosen: npt.NDArray[np.bool_], validation: dict[str, Any]
) -> dict[str, Any]:
    """Train the networks on the chosen pictures' candidates and write them as a document."""
    kind = np.where(examples.distance < NEAR, examples.kind, 0)
    rng = np.random.default_rng(1)
    # Far background repeats itself: half of it teaches as much in half the time.
    use = chosen[examples.image] & ((examples.distance < NEAR) | (examples.distance > FAR))
    use &= (examples.distance < 1.5) | (rng.random(len(kind)) < 0.5)
    x = examples.features[use]
    centre = np.median(x, 0).astype(np.float32)
    scale = (1 / (x.std(0) + 1e-3)).astype(np.float32)
    x = np.clip((x - centre) * scale, -6, 6).astype(np.float32)
    names = ("w1", "b1", "w2", "b2", "w3", "b3")
    networks = []
    for seed in range(NETWORKS):
        weights = train(x, kind[use], seed)
        networks.append({name: cells.pack(w, "<f2") for name, w in zip(names, weights, strict=True)})
    document: dict[str, Any] = {
        "method": cells.METHOD_ID,
        "version": VERSION,
        "inputs": kernels.FEATURES,
        "hidden": list(HIDDEN),
        "centre": cells.pack(centre, "<f4"),
        "scale": cells.pack(scale, "<f4"),
        "networks": networks,
        "cell_level": CELL_LEVEL,
        "grey_zone": list(GREY_ZONE),
        "distance_px": DISTANCE_PX,
        "validation": validation,
    }
    return {**document, "sha256": cells.content_hash(document)}


def tally_of(image: scoring.LabelledImage, model: cells.Model) -> scoring.Tally:
    """Count one labelled picture with a model and score it."""
    found = cells.find_cells(segment.prepare(read_grey(image.path).grey, 1.0), model)
    return scoring.tally([scoring.Found(c.x, c.y, c.kind) for c in found], image.cells)


def hold_out_each_group(
    images: Sequence[scoring.LabelledImage], examples: Examples
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train once without each group; return the folds' documents and the out-of-fold figures."""
    groups = np.array([image.group for image in images])
    folds: dict[str, Any] = {}
    tallies: list[scoring.Tally] = [scoring.Tally()] * len(images)
    by_group: dict[str, Any] = {}
    for group in sorted(set(groups)):
        folds[group] = document_of(examples, groups != group, {})
        model = cells.model_from(folds[group])
        held = [int(n) for n in np.flatnonzero(groups == group)]
        for n in held:
            tallies[n] = tally_of(images[n], model)
        scores = scoring.figures([tallies[n] for n in held], [images[n].sample for n in held])
        by_group[group] = {key: round(value, 4) for key, value in scores.items()}
        print(group, by_group[group], file=sys.stderr)
    scores = scoring.figures(tallies, [image.sample for image in images])
    everything = scoring.total(tallies)
    validation = {
        "split": "each acquisition group held out once",
        "images": len(images),
        "labelled_cells": everything.truth,
        "cells_per_specimen": round(everything.truth / len({i.sample for i in images})),
        **{key: round(value, 4) for key, value in scores.items()},
        "confusion_truth_found": {f"{a}/{b}": n for (a, b), n in sorted(everything.confusion.items())},
        "by_group": by_group,
    }
    return folds, validation


def main(argv: Sequence[str] | None = None) -> int:
    """Train, validate and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, default=cells.WEIGHTS_FILE)
    parser.add_argument("--folds", type=Path, required=True)
    options = parser.parse_args(argv)
    images = scoring.read_set(options.folder)
    examples = examples_of(images)
    folds, validation = hold_out_each_group(images, examples)
    print(json.dumps(validation), file=sys.stderr)
    options.folds.write_text(json.dumps(folds, sort_keys=True, indent=0) + "\n", encoding="utf-8")
    whole = document_of(examples, np.ones(len(images), bool), validation)
    options.weights.write_text(json.dumps(whole, sort_keys=True, indent=0) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
