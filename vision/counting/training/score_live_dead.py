"""Score `live-dead` on mixes of two channels and write its card.

    python -m vision.counting.training.score_live_dead DSB2018_FOLDER --folds tests/data/vision/folds

No public set of two aligned channels with labels exists. Mixes are made from labelled nuclei of real
pictures (each field from pictures that the network finding the nuclei has not seen) and from drawn ones, see
`two_channel_mixes`. A field holds at least 200 nuclei. The method itself has no trained part: its levels were
set on other seeds than those scored here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.counting import live_dead, nuclei
from vision.counting import live_dead_populations as populations
from vision.counting.method import Finding, Scale
from vision.counting.training import scoring, two_channel_mixes
from vision.counting.training.scoring_masks import FOLDS, fold_files, folds_of, read_rows
from vision.picture_file import FieldPicture, read_grey

VERSION = "0.1.0"
SEED = 2026
FIELD_NUCLEI_LEAST = 200
SHARES = (0.50, 0.70, 0.85, 0.95, 0.98)
BLEEDS = (0.0, 0.1, 0.2, 0.3)
# Stainings drawn for each field of real nuclei, and drawn fields in all.
MIXES_A_FIELD, DRAWN_FIELDS = 3, 20
ROUNDS = 1000
CLASSES = ("live", "dead", "unclassified")
ACCEPTANCE = {
    "viability_error_pp": {"at_most": 2.0},
    "dead_sensitivity": {"at_least": 0.9},
    "count_error_percent": {"at_most": 6.0},
}
INTENDED_USE = (
    "Live and dead nucleated cells in two aligned fluorescence channels of one field, taken with fixed "
    "exposures: first the stain that enters every nucleus (acridine orange, Hoechst), second the one that "
    "enters only dead nuclei (propidium iodide; DAPI beside acridine orange)."
)
NOT_FOR = [
    "Channels whose contrast was stretched each by itself: the ratio of the stains is then lost.",
    "Cells without a nucleus; stains of cytoplasm or enzymes (calcein, fluorescein diacetate).",
    "Telling apoptotic from necrotic cells.",
]
LEARNT_FROM = [
    {
        "part": "telling live from dead",
        "from": "no trained part; levels set on mixes by other seeds than those scored",
        "licence": "own",
    },
    {"part": "finding nuclei", "from": "the method nuclei, see its card", "licence": "see its card"},
]
SPLIT = (
    "No public labelled set of two aligned channels exists: the method was validated on nuclei masks and "
    "synthetic mixes only. Nuclei of real pictures (dsb2018_fluo, CC0) were called live or dead by chance "
    "and rendered into two channels; the network that found them had not seen their pictures. {real} such "
    "mixes and {drawn} fields of drawn nuclei, {least} nuclei or more each."
)
LIMITS = [
    "Validated on nuclei masks and synthetic mixes only; how real stains, cells and debris differ from "
    "the mixes is not known. Qualify it with your own dilution series (`count qualify`) and controls.",
    "Bleed-through of a field without any live nucleus cannot be measured; the typical value is used, or "
    "the one given from single-stained controls.",
    "Specks that only the dead stain shows and that are a third of a nucleus or larger count as dead.",
    "A dead nucleus that the segmentation joins with a live one is not told apart from it.",
    "The figures are those of fields with 200 nuclei or more; with fewer, populations are less sure.",
]
Find = Callable[[FieldPicture, Scale], Finding]


@dataclass(frozen=True)
class Score:
    """One mix: what it was, and how each nucleus of it was found."""

    specimen: str
    group: str
    live_share: float
    bleed: float
    tally: scoring.Tally
    bleed_found: float
    shift_error_px: float | None

    @property
    def viability_error_pp(self) -> float:
        """Found viability less true one, in percentage points."""
        t = self.tally
        found = t.found_live / max(1, t.found_live + t.found_dead)
        return 100 * (found - t.truth_live / max(1, t.truth))

    @property
    def count_error_percent(self) -> float:
        """Found count less true one, in percent of it."""
        return 100 * (self.tally.found / self.tally.truth - 1)

    def row(self) -> dict[str, Any]:
        """Return the row of the card: whole numbers, by label and finding."""
        c = self.tally.confusion
        seen = {kind: c["live", kind] + c["dead", kind] for kind in CLASSES}
        t = self.tally
        found = {"live": t.found_live, "dead": t.found_dead}
        found["unclassified"] = t.found - t.found_live - t.found_dead
        numbers = {
            "truth_live": t.truth_live,
            "truth_dead": t.truth_dead,
            **{f"{true}_{kind}": c[true, kind] for true in ("live", "dead") for kind in CLASSES},
            **{f"false_{kind}": found[kind] - seen[kind] for kind in CLASSES},
        }
        # What is missing counts as zero.
        return {"specimen": self.specimen, "group": self.group, **{k: n for k, n in numbers.items() if n}}


def staining_of(
    share: float, bleed: float, diameter_px: float, rng: np.random.Generator
) -> two_channel_mixes.Staining:
    """Draw all that a specimen and a microscope bring along; share and bleed-through are given."""
    reach = min(3.0, 0.2 * diameter_px)
    # Hoechst stays in dead nuclei, acridine orange is quenched in them.
    quenched = ((0.0, 0.1), (0.05, 0.4), (0.6, 1.2))[int(rng.integers(3))]
    return two_channel_mixes.Staining(
        live_share=share,
        bleed_a_to_b=bleed,
        bleed_b_to_a=float(rng.uniform(0, 0.05)),
        quenched=quenched,
        exposure_b=float(rng.uniform(0.7, 1.5)),
        spread_a=float(rng.uniform(0.15, 0.35)),
        spread_b=float(rng.uniform(0.2, 0.45)),
        shift_px=(float(rng.uniform(-reach, reach)), float(rng.uniform(-reach, reach))),
        blur_px=float(rng.uniform(0, 0.05) * diameter_px),
        background_grey=float(rng.uniform(5, 25)),
        noise_grey=float(rng.uniform(1, 4)),
        uneven=float(rng.uniform(0, 0.5)),
        debris=float(rng.uniform(0, 0.04)),
    )


def score(
    name: str,
    group: str,
    field: two_channel_mixes.Nuclei,
    staining: two_channel_mixes.Staining,
    segment: Find,
    rng: np.random.Generator,
) -> Score:
    """Mix one field, count it, and compare."""
    mix = two_channel_mixes.mixed(field, staining, rng)
    method = live_dead.LiveDead(segment=segment)
    pictures = [FieldPicture(mix.a, 8, 0.0), FieldPicture(mix.b, 8, 0.0)]
    finding = method.find(pictures, Scale(object_diameter_px=mix.diameter_px))
    found = [scoring.Found(c.x, c.y, c.kind) for c in finding.cells if c.included]
    radius = max(scoring.LEAST_RADIUS_PX, mix.diameter_px / 2)
    truth = [
        scoring.Truth(float(x), float(y), radius, "live" if live else "dead")
        for (x, y), live in zip(mix.centres, mix.live, strict=True)
    ]
    m = finding.measures
    off = np.hypot(
        m["channel_shift_x_px"] - staining.shift_px[0], m["channel_shift_y_px"] - staining.shift_px[1]
    )
    return Score(
        name,
        group,
        staining.live_share,
        staining.bleed_a_to_b,
        scoring.tally(found, truth),
        m["bleed_through_a_to_b"],
        float(off) if m["channel_shift_known"] else None,
    )


def real_fields(folder: Path) -> Iterator[tuple[int, str, str, two_channel_mixes.Nuclei]]:
    """Lay pictures of one fold and one acquisition class side by side: (fold, class, name, field)."""
    rows = read_rows(folder)
    parts: dict[tuple[int, str], list[two_channel_mixes.Nuclei]] = {}
    for row, fold in zip(rows, folds_of(rows), strict=True):
        grey = read_grey(folder / "images" / row["image"]).grey
        labels = cv2.imread(str(folder / "labels" / row["image"]), cv2.IMREAD_UNCHANGED)
        assert labels is not None, row["image"]
        nuclei_here = two_channel_mixes.nuclei_of(grey, labels.astype(np.int32))
        parts.setdefault((fold, row["size_class"]), []).append(nuclei_here)
    for (fold, size_class), pictures in sorted(parts.items()):
        # Where a class has too few nuclei for a field, its pictures serve once more, mirrored.
        pictures = pictures + [two_channel_mixes.mirrored(picture) for picture in pictures]
        chosen: list[two_channel_mixes.Nuclei] = []
        number, last = 0, len(pictures) // 2
        for place, picture in enumerate(pictures):
            if number and place >= last:
                break
            chosen.append(picture)
            columns = max(1, int(np.sqrt(len(chosen))))
            whole = len(chosen) % columns == 0
            if whole and sum(int(part.labels.max()) for part in chosen) >= FIELD_NUCLEI_LEAST:
                name = f"{size_class} fold {fold} field {number}"
                yield fold, size_class, name, two_channel_mixes.joined(chosen, columns)
                chosen, number = [], number + 1


def scores_of(folder: Path, finders: Mapping[int, Find]) -> list[Score]:
    """Score all mixes; `finders` gives for each fold what finds nuclei without having seen it."""
    rng = np.random.default_rng(SEED)
    out: list[Score] = []
    turn = 0
    for fold, size_class, name, field in real_fields(folder):
        for _ in range(MIXES_A_FIELD):
            share, bleed = SHARES[turn % len(SHARES)], BLEEDS[turn // 2 % len(BLEEDS)]
            staining = staining_of(share, bleed, field.diameter_px, rng)
            out.append(score(f"{name} mix {turn}", size_class, field, staining, finders[fold], rng))
            turn += 1
            print(out[-1].specimen, f"{out[-1].viability_error_pp:+.2f} pp", file=sys.stderr, flush=True)
    for number in range(DRAWN_FIELDS):
        share, bleed = SHARES[number % len(SHARES)], BLEEDS[number % len(BLEEDS)]
        field = two_channel_mixes.drawn_nuclei(900, 240, float(rng.uniform(8, 16)), rng)
        staining = staining_of(share, bleed, field.diameter_px, rng)
        out.append(score(f"drawn {number}", "drawn", field, staining, finders[number % FOLDS], rng))
    return out


def figures_of(scores: Sequence[Score]) -> dict[str, float]:
    """Return the figures of some mixes."""
    whole = scoring.total([s.tally for s in scores])
    viability = np.array([s.viability_error_pp for s in scores])
    count = np.array([s.count_error_percent for s in scores])
    c = whole.confusion
    return {
        "viability_error_pp": float(np.abs(viability).mean()),
        "viability_bias_pp": float(viability.mean()),
        "count_error_percent": float(np.abs(count).mean()),
        "count_bias_percent": float(count.mean()),
        "dead_sensitivity": c["dead", "dead"] / max(1, whole.truth_dead),
        "dead_of_found_sensitivity": c["dead", "dead"] / max(1, sum(c["dead", k] for k in CLASSES)),
        "live_of_found_sensitivity": c["live", "live"] / max(1, sum(c["live", k] for k in CLASSES)),
        "f1_centre": 2 * whole.matched / max(1, whole.found + whole.truth),
        "unclassified_percent": 100
        * (whole.found - whole.found_live - whole.found_dead)
        / max(1, whole.found),
    }


def with_intervals(scores: Sequence[Score]) -> dict[str, list[float]]:
    """Return each figure with its 95 % bootstrap interval over mixes."""
    value = figures_of(scores)
    rng = np.random.default_rng(0)
    drawn = [
        figures_of([scores[k] for k in rng.integers(0, len(scores), len(scores))]) for _ in range(ROUNDS)
    ]
    return {
        name: [
            round(float(v), 4) for v in (value[name], *np.percentile([d[name] for d in drawn], [2.5, 97.5]))
        ]
        for name in value
    }


def broken_down(scores: Sequence[Score]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the figures by bleed-through, by share of live nuclei, and by where the nuclei come from."""
    keys: dict[str, Callable[[Score], str]] = {
        "bleed_through": lambda s: f"{s.bleed:.0%}",
        "live_share": lambda s: f"{s.live_share:.0%}",
        "nuclei_of": lambda s: s.group,
    }
    shown = ("viability_error_pp", "viability_bias_pp", "dead_sensitivity", "count_error_percent")
    out: dict[str, dict[str, dict[str, float]]] = {}
    for by, key in keys.items():
        out[by] = {}
        for name in sorted({key(s) for s in scores}, key=lambda text: (len(text), text)):
            chosen = [s for s in scores if key(s) == name]
            figures = figures_of(chosen)
            out[by][name] = {"mixes": len(chosen), **{k: round(figures[k], 3) for k in shown}}
    return out


def missed(figures: Mapping[str, Any]) -> list[str]:
    """Say which figures miss what was asked before the test."""
    out = []
    for name, level in ACCEPTANCE.items():
        value = figures[name][0]
        if not level.get("at_least", -np.inf) <= value <= level.get("at_most", np.inf):
            asked = ", ".join(f"{bound.replace('_', ' ')} {number:g}" for bound, number in level.items())
            out.append(
                f"{name} is {value:.3g} on the mixes, where {asked} was asked: see the card of nuclei."
            )
    return out


def card_of(scores: Sequence[Score], held: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the performance card."""
    found = [s.shift_error_px for s in scores if s.shift_error_px is not None]
    figures: dict[str, Any] = with_intervals(scores)
    figures["bleed_through_error"] = round(float(np.mean([abs(s.bleed_found - s.bleed) for s in scores])), 4)
    figures["shift_error_median_px"] = round(float(np.median(found)), 3)
    figures["shift_known_percent"] = round(100 * len(found) / len(scores), 1)
    drawn = sum(s.group == "drawn" for s in scores)
    return {
        "id": live_dead.LiveDead.id,
        "version": VERSION,
        "date": datetime.now(UTC).date().isoformat(),
        "intended_use": INTENDED_USE,
        "not_for": NOT_FOR,
        "learnt_from": LEARNT_FROM,
        "split": {
            "how": SPLIT.format(real=len(scores) - drawn, drawn=drawn, least=FIELD_NUCLEI_LEAST),
            "folds": dict(held),
        },
        "figures": figures,
        "acceptance": ACCEPTANCE,
        "by": broken_down(scores),
        "decision_levels": {
            "noise_spreads_live_most": populations.LIVE_SPREADS_MOST,
            "noise_spreads_dead_least": populations.DEAD_SPREADS_LEAST,
            "way_to_dead_population_live_most": populations.LIVE_WAY_MOST,
            "way_to_dead_population_dead_least": populations.DEAD_WAY_LEAST,
            "excess_live_most": populations.LIVE_EXCESS_MOST,
            "excess_dead_least": populations.DEAD_EXCESS_LEAST,
        },
        "limits": [*missed(figures), *LIMITS],
        "validation": {"specimens": [s.row() for s in scores]},
    }


def written(card: Mapping[str, Any]) -> str:
    """Write a card as JSON, one line a specimen."""
    rows = [json.dumps(row) for row in card["validation"]["specimens"]]
    head = json.dumps({key: value for key, value in card.items() if key != "validation"}, indent=1)
    body = ",\n   ".join(rows)
    return f'{head[:-2]},\n "validation": {{\n  "specimens": [\n   {body}\n  ]\n }}\n}}\n'


def finders_of(folder: Path) -> dict[int, Find]:
    """Return for each fold the nuclei finder whose network has not seen it."""

    def finder(path: Path) -> Find:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        own = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        model = nuclei.model_of(path, digest, {**nuclei.committed_card(), **own})
        return lambda picture, scale: nuclei.find_nuclei(picture, scale, model)

    return {fold: finder(path) for fold, path in fold_files(folder).items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Score and write the card."""
    parser = argparse.ArgumentParser(description=main.__doc__, allow_abbrev=False)
    parser.add_argument("folder", type=Path, help="the set dsb2018_fluo")
    parser.add_argument("--folds", type=Path, required=True, help="networks of the folds of `nuclei`")
    parser.add_argument("--card", type=Path, default=live_dead.CARD_FILE)
    options = parser.parse_args(argv)
    cv2.setNumThreads(1)
    scores = scores_of(options.folder, finders_of(options.folds))
    rows = read_rows(options.folder)
    held: dict[str, list[str]] = {str(fold): [] for fold in range(FOLDS)}
    for row, fold in zip(rows, folds_of(rows), strict=True):
        held[str(fold)].append(row["image"])
    card = card_of(scores, held)
    options.card.write_text(written(card), encoding="utf-8")
    print(json.dumps({"figures": card["figures"], "by": card["by"]}), file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
