"""Score the networks of `train_trypan_blue` out of fold, and write the card, the weights and the folds.

    python -m vision.counting.training.score_trypan_blue LDC_FOLDER NETWORKS_FOLDER \
        --models vision/counting/models --folds tests/data/vision/folds [--study]

Each picture is counted by the network that saw none of its acquisition group. The decision levels below were
chosen on these same answers: `--study` prints how the figures change around them. Needs onnx.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx  # type: ignore[import-not-found]
from onnx import numpy_helper

from vision.counting import trypan_blue
from vision.counting.method import Scale
from vision.counting.training import scoring, trypan_folds
from vision.counting.training.trypan_folds import PARTS
from vision.picture_file import FieldPicture, read_grey

VERSION = "0.2.0"
CELL_LEVEL, CELL_LEVEL_IF_DEAD = 0.5, 0.45
GREY_ZONE = (0.45, 0.55)
# Peaks from this probability on teach what a probability is worth.
LEAST_LEVEL = 0.1
# Diameters that 20 px cells are resized to, to see what another magnification costs.
ZOOMS_PX = (12, 16, 26, 32, 40)
LEAST_SPREAD = 0.02

PURPOSE = (
    "Live and dead cells in brightfield pictures of a suspension stained with trypan blue, in a counting "
    "chamber, through a grey camera: cells of some 8 to 20 um, at 12 to 40 pixels a cell."
)
LIMITS = (
    "One public set of one laboratory (LDC): other instruments are seen only as six acquisition groups. "
    "Groups image and image_ look alike, so a group held out is not always an instrument held out.",
    "Labels themselves differ by 1.4 % in count and 1.7 percentage points in viability (70 patches "
    "labelled twice).",
    "Decision levels were chosen on the out-of-fold answers that the figures come from.",
    "Cells cut by the picture's edge are found or not, as the labels are uneven there.",
    "Dead cells of faint contrast are missed first, and debris of the look of a dead cell is called one.",
    "Cells far out of focus are not told apart; trypan blue itself reads high below some 70 % viability.",
)


@dataclass(frozen=True, slots=True)
class Held:
    """A labelled picture with the peaks of the network that never saw its group."""

    image: scoring.LabelledImage
    centres: trypan_blue.Centres


def _odds(level: float) -> float:
    return float(np.log(level / (1 - level)))


def bare_card(weights: bytes) -> dict[str, Any]:
    """Return a card that lets every peak through, to score with."""
    nothing = {"middle": [0.0] * (2 * trypan_blue.RINGS), "spread": [1.0] * (2 * trypan_blue.RINGS)}
    card: dict[str, Any] = {
        "id": "trypan-blue",
        "version": VERSION,
        "sha256": hashlib.sha256(weights).hexdigest(),
        "levels": {
            "cell": LEAST_LEVEL,
            "cell_if_dead": LEAST_LEVEL,
            "grey_zone": list(GREY_ZONE),
            "confidence": [1.0, 0.0],
        },
        "typical": {"live": nothing, "dead": nothing},
    }
    return {**card, "content_sha256": trypan_blue.content_hash(card)}


def held_out(images: Sequence[scoring.LabelledImage], networks: Path) -> list[Held]:
    """Look at each picture through the network of its part."""
    out = []
    for part, groups in PARTS.items():
        weights = (networks / f"{part}.onnx").read_bytes()
        model = trypan_blue.model_of(weights, bare_card(weights))
        for image in images:
            if image.group in groups:
                relative = trypan_blue.working_picture(read_grey(image.path).grey, 1.0)
                answer = model.network.run(relative[None])
                out.append(Held(image, trypan_blue.centres_of(answer, LEAST_LEVEL)))
    return out


def decided(
    centres: trypan_blue.Centres, level: float, level_if_dead: float, grey_zone: tuple[float, float]
) -> list[scoring.Found]:
    """Turn peaks into cells by levels."""
    least = np.where(centres.dead > 0.5, _odds(level_if_dead), _odds(level))
    kinds = np.where(
        centres.dead < grey_zone[0], "live", np.where(centres.dead > grey_zone[1], "dead", "unclassified")
    )
    return [
        scoring.Found(float(centres.x[n]), float(centres.y[n]), str(kinds[n]))
        for n in np.flatnonzero(centres.odds > least)
    ]


def figures_of(
    held: Sequence[Held], level: float, if_dead: float, zone: tuple[float, float]
) -> dict[str, float]:
    """Score held-out pictures at given levels."""
    tallies = [scoring.tally(decided(h.centres, level, if_dead, zone), h.image.cells) for h in held]
    whole = scoring.total(tallies)
    unsure = whole.found - whole.found_live - whole.found_dead
    return {
        **scoring.figures(tallies, [h.image.sample for h in held]),
        "unclassified_percent": 100 * unsure / max(1, whole.found),
    }


def study(held: Sequence[Held]) -> None:
    """Print the figures around the levels in use."""
    shown = ("f1", "bias_percent", "sample_count_error_percent", "viability_error_pp", "dead_sensitivity")
    for level in (0.35, 0.4, 0.45, 0.5, 0.55, 0.6):
        for if_dead in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55):
            got = figures_of(held, level, if_dead, GREY_ZONE)
            print(level, if_dead, *(f"{key} {got[key]:.4f}" for key in shown))
    for zone in ((0.5, 0.5), (0.45, 0.55), (0.4, 0.6), (0.35, 0.55), (0.35, 0.65), (0.3, 0.5), (0.5, 0.7)):
        got = figures_of(held, CELL_LEVEL, CELL_LEVEL_IF_DEAD, zone)
        print(
            zone, *(f"{key} {got[key]:.4f}" for key in (*shown, "viability_bias_pp", "unclassified_percent"))
        )


def confidence_of(held: Sequence[Held]) -> tuple[float, float]:
    """Fit slope and offset that turn a peak's odds into the odds of being a labelled cell (Newton)."""
    odds, right = [], []
    for each in held:
        found = [
            scoring.Found(float(x), float(y), "") for x, y in zip(each.centres.x, each.centres.y, strict=True)
        ]
        matched = scoring.match(found, each.image.cells)
        odds += each.centres.odds.tolist()
        right += [n in matched for n in range(len(found))]
    x = np.column_stack([odds, np.ones(len(odds))])
    y, coefficients = np.array(right, float), np.zeros(2)
    for _ in range(30):
        chance = 1 / (1 + np.exp(-x @ coefficients))
        slope = x.T @ (y - chance)
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + 1e-6 * np.eye(2)
        coefficients += np.linalg.solve(bend, slope)
    return round(float(coefficients[0]), 4), round(float(coefficients[1]), 4)


def typical_of(images: Sequence[scoring.LabelledImage], model: trypan_blue.Model) -> dict[str, Any]:
    """Describe the labelled cells of each class: the middle and the spread of their rings."""
    rows: dict[str, list[npt.NDArray[np.float32]]] = {"live": [], "dead": []}
    for image in images:
        relative = trypan_blue.working_picture(read_grey(image.path).grey, 1.0)
        centres = trypan_blue.centres_of(model.network.run(relative[None]), LEAST_LEVEL)
        if not len(centres.x):
            continue
        description = trypan_blue.describe(relative, centres)
        found = [scoring.Found(float(x), float(y), "") for x, y in zip(centres.x, centres.y, strict=True)]
        for n, k in scoring.match(found, image.cells).items():
            rows[image.cells[k].kind].append(description[n])
    out = {}
    for kind, each in rows.items():
        table = np.stack(each)
        spread = np.maximum(table.std(axis=0), LEAST_SPREAD)
        out[kind] = {
            "middle": [round(float(v), 5) for v in np.median(table, axis=0)],
            "spread": [round(float(v), 5) for v in spread],
        }
    return out


def at_other_zooms(
    images: Sequence[scoring.LabelledImage], models: Mapping[str, trypan_blue.Model]
) -> dict[str, Any]:
    """Score pictures resized to other magnifications, with the cells' diameter told."""
    out = {}
    for diameter in ZOOMS_PX:
        zoom = diameter / 20
        tallies = []
        for image in images:
            grey = read_grey(image.path).grey
            way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
            sized = np.asarray(cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=way), np.float32)
            found = trypan_blue.find_with(
                models[image.group], FieldPicture(sized, 8, 0.0), Scale(object_diameter_px=diameter)
            ).cells
            cells = [scoring.Found((c.x + 0.5) / zoom - 0.5, (c.y + 0.5) / zoom - 0.5, c.kind) for c in found]
            tallies.append(scoring.tally(cells, image.cells))
        got = scoring.figures(tallies, [image.sample for image in images])
        out[f"{diameter} px"] = {
            key: round(got[key], 4) for key in ("f1", "bias_percent", "dead_sensitivity")
        }
    return out


def validation_of(
    images: Sequence[scoring.LabelledImage], models: Mapping[str, trypan_blue.Model]
) -> dict[str, Any]:
    """Count every picture as a unit would, by its fold's model, and score it."""
    tallies, agreements = [], []
    for image in images:
        finding = trypan_blue.find_with(models[image.group], read_grey(image.path), Scale())
        tallies.append(scoring.tally([scoring.Found(c.x, c.y, c.kind) for c in finding.cells], image.cells))
        agreements += [finding.agreement] if finding.agreement is not None else []
    by_group: dict[str, Any] = {}
    for group in sorted({image.group for image in images}):
        own = [n for n, image in enumerate(images) if image.group == group]
        got = scoring.figures([tallies[n] for n in own], [images[n].sample for n in own])
        labelled = scoring.total([tallies[n] for n in own])
        by_group[group] = {
            "images": len(own),
            "labelled_live": labelled.truth_live,
            "labelled_dead": labelled.truth_dead,
            **{key: round(value, 4) for key, value in got.items()},
        }
    whole = scoring.total(tallies)
    unsure = whole.found - whole.found_live - whole.found_dead
    return {
        "split": "each acquisition group held out once, the three small ones together",
        "set": "LDC (maxKudi/Cell-Dataset), 480 patches",
        "images": len(images),
        "labelled_cells": whole.truth,
        "cells_per_specimen": round(whole.truth / len({image.sample for image in images})),
        **{k: round(v, 4) for k, v in scoring.figures(tallies, [i.sample for i in images]).items()},
        "unclassified_percent": round(100 * unsure / whole.found, 4),
        "mean_agreement_with_votes": round(float(np.mean(agreements)), 4),
        "confusion_truth_found": {f"{a}/{b}": n for (a, b), n in sorted(whole.confusion.items())},
        "by_group": by_group,
        "at_other_zooms": at_other_zooms(images, models),
    }


def places_of(weights: bytes) -> list[tuple[int, int]]:
    """Find where in an ONNX file the weights lie: offset in bytes and count of float32, in its order."""
    out = []
    for tensor in onnx.load_from_string(weights).graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 2:
            raw = values.tobytes()
            assert weights.count(raw) == 1, tensor.name
            out.append((weights.index(raw), values.size))
    return out


def write_all(
    images: Sequence[scoring.LabelledImage], held: Sequence[Held], networks: Path, models: Path, folds: Path
) -> None:
    """Write weights, folds and card; the figures in the card are those of the files as written."""
    shipped = (networks / "all.onnx").read_bytes()
    bare = trypan_blue.model_of(shipped, bare_card(shipped))
    card: dict[str, Any] = {
        "id": "trypan-blue",
        "version": VERSION,
        "purpose": PURPOSE,
        "learnt_from": "the 480 labelled patches of the LDC set, MIT licence, (c) 2021 Okerulu Chukwudi",
        "script": "vision/counting/training/train_trypan_blue.py",
        "sha256": hashlib.sha256(shipped).hexdigest(),
        "levels": {
            "cell": CELL_LEVEL,
            "cell_if_dead": CELL_LEVEL_IF_DEAD,
            "grey_zone": list(GREY_ZONE),
            "confidence": list(confidence_of(held)),
        },
        "typical": typical_of(images, bare),
        "limits": list(LIMITS),
    }
    by_group: dict[str, trypan_blue.Model] = {}
    folds.mkdir(parents=True, exist_ok=True)
    places = places_of(shipped)
    for part, groups in PARTS.items():
        weights = (networks / f"{part}.onnx").read_bytes()
        assert places_of(weights) == places, part
        trypan_folds.write_fold(folds / f"trypan_blue_{part}.f16", weights, places)
        by_group |= dict.fromkeys(groups, trypan_folds.model_with(weights, card))
    plan = {"places": places}
    (folds / trypan_folds.PLACES_FILE).write_text(json.dumps(plan) + "\n", encoding="utf-8")
    card["validation"] = validation_of(images, by_group)
    card["content_sha256"] = trypan_blue.content_hash(card)
    models.mkdir(parents=True, exist_ok=True)
    (models / trypan_blue.WEIGHTS_FILE.name).write_bytes(shipped)
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (models / trypan_blue.CARD_FILE.name).write_text(text, encoding="utf-8")
    print(json.dumps(card["validation"], indent=1))


def main(arguments: Sequence[str] | None = None) -> int:
    """Study the levels, or write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", type=Path)
    parser.add_argument("--models", type=Path, default=trypan_blue.MODELS)
    parser.add_argument("--folds", type=Path)
    parser.add_argument("--study", action="store_true")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    images = scoring.read_set(options.folder)
    held = held_out(images, options.networks)
    if options.study:
        study(held)
    if options.folds is not None:
        write_all(images, held, options.networks, options.models, options.folds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
