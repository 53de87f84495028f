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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx  # type: ignore[import-not-found]
from onnx import numpy_helper

from vision.counting import trypan_blue, trypan_votes
from vision.counting.method import Scale
from vision.counting.training import scoring, trypan_folds
from vision.counting.training.trypan_folds import PARTS
from vision.picture_file import FieldPicture, read_grey

VERSION = "0.2.0"
CELL_LEVEL, CELL_LEVEL_IF_DEAD = 0.6, 0.4
GREY_ZONE = (0.36, 0.44)
# Diameters that 20 px cells are resized to, to see what another magnification costs.
ZOOMS_PX = (12, 16, 26, 32, 40)
ZOOMED_EVERY = 3
LEAST_SPREAD = 0.02
# Keeps the fit of the certainty from weights without bound.
LEAST_BEND = 0.3

DATE = "2026-11-21"
BOOTSTRAPS = 400
ACCEPTANCE = {
    "f1": {"at_least": 0.95},
    "sample_count_error_percent": {"at_most": 3.0},
    "viability_error_pp": {"at_most": 2.5},
    "dead_sensitivity": {"at_least": 0.90},
}
INTENDED_USE = (
    "Live and dead cells in brightfield pictures of a suspension stained with trypan blue, in a counting "
    "chamber, through a grey camera: cells of some 8 to 20 um, at 12 to 40 pixels a cell."
)
NOT_FOR = (
    "Fluorescence, stained smears, tissue, colonies, phase contrast, and any sample without trypan blue.",
    "Cells in clumps that a person cannot part, and cells far out of focus.",
)
LIMITS = [
    "One public set of one laboratory (LDC): other instruments are seen only as six acquisition groups. "
    "Groups image and image_ look alike, so a group held out is not always an instrument held out.",
    "Labels themselves differ by 1.4 % in count and 1.7 percentage points in viability (70 patches "
    "labelled twice).",
    "Decision levels and the weights of the certainty were fitted on the out-of-fold answers that the "
    "figures come from; weights fitted without the held-out part as well give F1 0.961, a count error of "
    "2.1 %, a viability error of 1.9 percentage points and 0.885 of the dead.",
    "Levels from which nine of ten dead cells were found out of fold made the shipped network, which is "
    "surer, call granular live cells dead: its viability read 2.6 percentage points low. So the levels are "
    "even.",
    "Cells cut by the picture's edge are found or not, as the labels are uneven there.",
    "Dead cells of faint contrast are missed first, and debris of the look of a dead cell is called one.",
    "Cells far out of focus are not told apart; trypan blue itself reads high below some 70 % viability.",
]


@dataclass(frozen=True, slots=True)
class Held:
    """A labelled picture with the peaks of the network that never saw its group."""

    image: scoring.LabelledImage
    shape: tuple[int, ...]
    centres: trypan_blue.Centres
    votes: npt.NDArray[np.float32]


def bare_card(weights: bytes) -> dict[str, Any]:
    """Return a card that lets every peak through, to score with."""
    nothing = {"middle": [0.0] * (2 * trypan_blue.RINGS), "spread": [1.0] * (2 * trypan_blue.RINGS)}
    card: dict[str, Any] = {
        "id": "trypan-blue",
        "version": VERSION,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "decision_levels": {
            "cell": 0.0,
            "cell_if_dead": 0.0,
            "grey_zone": list(GREY_ZONE),
            "certainty": asdict(trypan_blue.Certainty(1.0, 0.0, 0.0, 0.0, 0.0, 0.0)),
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
                grey = read_grey(image.path).grey
                relative = trypan_blue.working_picture(grey, 1.0)
                answer = model.network.run(relative[None])
                centres = trypan_blue.centres_of(answer, trypan_blue.LEAST_LEVEL)
                votes = trypan_votes.votes_of(grey, 1.0).near(centres.x, centres.y)
                out.append(Held(image, relative.shape, centres, votes))
    return out


def decided(
    each: Held, certainty: trypan_blue.Certainty, level: float, if_dead: float, zone: tuple[float, float]
) -> list[scoring.Found]:
    """Turn peaks into cells by levels."""
    centres = each.centres
    sure = certainty.of(centres, each.shape, each.votes)
    kinds = np.where(centres.dead < zone[0], "live", np.where(centres.dead > zone[1], "dead", "unclassified"))
    return [
        scoring.Found(float(centres.x[n]), float(centres.y[n]), str(kinds[n]))
        for n in np.flatnonzero(sure > np.where(centres.dead > 0.5, if_dead, level))
    ]


def figures_of(
    held: Sequence[Held],
    certainty: trypan_blue.Certainty,
    level: float,
    if_dead: float,
    zone: tuple[float, float],
) -> dict[str, float]:
    """Score held-out pictures at given levels."""
    tallies = [scoring.tally(decided(h, certainty, level, if_dead, zone), h.image.cells) for h in held]
    whole = scoring.total(tallies)
    unsure = whole.found - whole.found_live - whole.found_dead
    return {
        **scoring.figures(tallies, [h.image.sample for h in held]),
        "unclassified_percent": 100 * unsure / max(1, whole.found),
    }


def study(held: Sequence[Held]) -> None:
    """Print the figures around the levels in use."""
    shown = ("f1", "bias_percent", "sample_count_error_percent", "viability_error_pp", "dead_sensitivity")
    certainty = certainty_of(held)
    print(certainty)
    for level in (0.4, 0.45, 0.5, 0.55, 0.6):
        for if_dead in (0.25, 0.3, 0.35, 0.4, 0.45, 0.5):
            got = figures_of(held, certainty, level, if_dead, GREY_ZONE)
            print(level, if_dead, *(f"{key} {got[key]:.4f}" for key in shown))
    for zone in ((0.5, 0.5), (0.45, 0.55), (0.4, 0.6), (0.35, 0.55), (0.35, 0.65), (0.3, 0.5), (0.3, 0.4)):
        got = figures_of(held, certainty, CELL_LEVEL, CELL_LEVEL_IF_DEAD, zone)
        print(
            zone, *(f"{key} {got[key]:.4f}" for key in (*shown, "viability_bias_pp", "unclassified_percent"))
        )


def certainty_of(held: Sequence[Held]) -> trypan_blue.Certainty:
    """Fit what turns odds and cuts into the probability of being a labelled cell (logistic, by Newton)."""
    rows: list[npt.NDArray[np.float32]] = []
    right: list[bool] = []
    for each in held:
        centres = each.centres
        places = zip(centres.x, centres.y, strict=True)
        matched = scoring.match([scoring.Found(float(x), float(y), "") for x, y in places], each.image.cells)
        first, last = trypan_blue.cut_shares(centres, each.shape)
        votes = np.minimum(each.votes, trypan_blue.VOTES_MOST)
        ones = np.ones_like(votes)
        rows.append(np.column_stack([centres.odds, first, last, centres.dead, votes, ones]))
        right += [n in matched for n in range(len(centres.x))]
    x, y, weights = np.concatenate(rows).astype(float), np.array(right, float), np.zeros(6)
    for _ in range(30):
        chance = 1 / (1 + np.exp(-x @ weights))
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + LEAST_BEND * np.eye(6)
        weights += np.linalg.solve(bend, x.T @ (y - chance) - LEAST_BEND * weights)
    return trypan_blue.Certainty(*(round(float(w), 3) for w in weights))


def typical_of(images: Sequence[scoring.LabelledImage], model: trypan_blue.Model) -> dict[str, Any]:
    """Describe the labelled cells of each class: the middle and the spread of their rings."""
    rows: dict[str, list[npt.NDArray[np.float32]]] = {"live": [], "dead": []}
    for image in images:
        relative = trypan_blue.working_picture(read_grey(image.path).grey, 1.0)
        centres = trypan_blue.centres_of(model.network.run(relative[None]), trypan_blue.LEAST_LEVEL)
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


def counted(
    images: Sequence[scoring.LabelledImage], models: Mapping[str, trypan_blue.Model]
) -> tuple[list[scoring.Tally], float]:
    """Count every picture as a unit would, by its fold's model; return tallies and the mean agreement."""
    tallies, agreements = [], []
    for image in images:
        finding = trypan_blue.find_with(models[image.group], read_grey(image.path), Scale())
        found = [scoring.Found(c.x, c.y, c.kind) for c in finding.cells]
        tallies.append(scoring.tally(found, image.cells))
        agreements += [finding.agreement] if finding.agreement is not None else []
    return tallies, float(np.mean(agreements))


def with_intervals(
    tallies: Sequence[scoring.Tally], samples: Sequence[str]
) -> dict[str, list[float] | float]:
    """Return each figure as value, low, high: 95 % bootstrap over pictures, or over specimens for errors."""
    members: dict[str, list[int]] = {}
    for n, sample in enumerate(samples):
        members.setdefault(sample, []).append(n)
    rng = np.random.default_rng(0)
    draws: list[dict[str, float]] = []
    for _ in range(BOOTSTRAPS):
        pictures = rng.integers(0, len(tallies), len(tallies))
        one = scoring.figures([tallies[n] for n in pictures], [samples[n] for n in pictures])
        names = [list(members)[k] for k in rng.integers(0, len(members), len(members))]
        chosen = [(n, str(turn)) for turn, name in enumerate(names) for n in members[name]]
        pools = scoring.figures([tallies[n] for n, _ in chosen], [turn for _, turn in chosen])
        shares = ("f1", "precision", "recall", "dead_sensitivity")
        draws.append({key: (one if key in shares else pools)[key] for key in one})
    value = scoring.figures(tallies, samples)
    return {
        key: [round(float(v), 4) for v in (value[key], *np.percentile([d[key] for d in draws], [2.5, 97.5]))]
        for key in value
    }


def specimen_rows(
    images: Sequence[scoring.LabelledImage], tallies: Sequence[scoring.Tally]
) -> list[dict[str, Any]]:
    """Count events by specimen and acquisition group, as `method_error` reads them."""
    pools: dict[tuple[str, str], list[scoring.Tally]] = {}
    for image, each in zip(images, tallies, strict=True):
        pools.setdefault((image.sample, image.group), []).append(each)
    rows = []
    for (specimen, group), several in sorted(pools.items()):
        whole = scoring.total(several)
        unsure = whole.found - whole.found_live - whole.found_dead
        row: dict[str, Any] = {
            "specimen": specimen,
            "group": group,
            "truth_live": whole.truth_live,
            "truth_dead": whole.truth_dead,
        }
        for kind, found in (("live", whole.found_live), ("dead", whole.found_dead), ("unclassified", unsure)):
            right = [whole.confusion[truth, kind] for truth in ("live", "dead")]
            row |= {f"live_{kind}": right[0], f"dead_{kind}": right[1], f"false_{kind}": found - sum(right)}
        rows.append(row)
    return rows


def validation_of(
    images: Sequence[scoring.LabelledImage], models: Mapping[str, trypan_blue.Model]
) -> dict[str, Any]:
    """Score every picture out of fold: the parts of a card that hold figures."""
    tallies, agreement = counted(images, models)
    by_group: dict[str, Any] = {}
    for group in sorted({image.group for image in images}):
        own = [n for n, image in enumerate(images) if image.group == group]
        got = scoring.figures([tallies[n] for n in own], [images[n].sample for n in own])
        labelled = scoring.total([tallies[n] for n in own])
        by_group[group] = {
            "images": len(own),
            "labelled_live": labelled.truth_live,
            "labelled_dead": labelled.truth_dead,
            **{
                key: round(got[key], 4)
                for key in ("f1", "bias_percent", "viability_bias_pp", "dead_sensitivity")
            },
        }
    whole = scoring.total(tallies)
    unsure = whole.found - whole.found_live - whole.found_dead
    figures = with_intervals(tallies, [image.sample for image in images])
    figures["unclassified_percent"] = round(100 * unsure / whole.found, 2)
    figures["agreement_with_votes"] = round(agreement, 4)
    return {
        "figures": figures,
        "by": {
            "acquisition_group": by_group,
            "cell_diameter": at_other_zooms(images[::ZOOMED_EVERY], models),
        },
        "validation": {
            "images": len(images),
            "labelled_cells": whole.truth,
            "cells_per_specimen": round(whole.truth / len({image.sample for image in images})),
            "specimens": specimen_rows(images, tallies),
        },
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
        "date": DATE,
        "intended_use": INTENDED_USE,
        "not_for": list(NOT_FOR),
        "learnt_from": "The 480 labelled patches of the public LDC set (maxKudi/Cell-Dataset, MIT licence, "
        "(c) 2021 Okerulu Chukwudi), 1343 live and 321 dead cells, by "
        "vision/counting/training/train_trypan_blue.py.",
        "split": {
            "how": "Each acquisition group of the set is held out once, the three small ones together.",
            "folds": {part: list(groups) for part, groups in PARTS.items()},
        },
        "acceptance": ACCEPTANCE,
        "weights_sha256": hashlib.sha256(shipped).hexdigest(),
        "decision_levels": {
            "cell": CELL_LEVEL,
            "cell_if_dead": CELL_LEVEL_IF_DEAD,
            "grey_zone": list(GREY_ZONE),
            "certainty": asdict(certainty_of(held)),
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
    card |= validation_of(images, by_group)
    for name, bounds in ACCEPTANCE.items():
        value = card["figures"][name][0]
        if not bounds.get("at_least", -np.inf) <= value <= bounds.get("at_most", np.inf):
            card["limits"].append(f"Missed out of fold: {name} is {value:g}.")
    card["content_sha256"] = trypan_blue.content_hash(card)
    models.mkdir(parents=True, exist_ok=True)
    (models / trypan_blue.WEIGHTS_FILE.name).write_bytes(shipped)
    text = json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (models / trypan_blue.CARD_FILE.name).write_text(text, encoding="utf-8")
    print(json.dumps({"figures": card["figures"], "by": card["by"]}, indent=1))


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
