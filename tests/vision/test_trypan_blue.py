"""The trypan-blue method by itself: what it finds in groups it never saw, at any zoom, on any seam."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.counting import trypan_blue
from vision.counting.cards import check
from vision.counting.method import Scale
from vision.counting.method_error import MethodError
from vision.counting.network import WeightsUnusable
from vision.counting.training import scoring, trypan_folds
from vision.picture_file import FieldPicture, PictureUnreadable, read_grey

DATA = Path(__file__).parents[1] / "data" / "vision"
PATCHES = DATA / "ldc_trypan"
pytestmark = pytest.mark.requirement("F-037")


@pytest.fixture(scope="module")
def patches() -> list[scoring.LabelledImage]:
    return scoring.read_set(PATCHES)


@pytest.fixture(scope="module")
def folds() -> dict[str, trypan_blue.Model]:
    """One model for each acquisition group, taught without that group."""
    return trypan_folds.read_folds(DATA / "folds")


def _tally(model, grey, truth, scale, zoom=1.0) -> scoring.Tally:
    finding = trypan_blue.find_with(model, FieldPicture(grey, 8, 0.0), scale)
    found = [scoring.Found((c.x + 0.5) / zoom - 0.5, (c.y + 0.5) / zoom - 0.5, c.kind) for c in finding.cells]
    return scoring.tally(found, truth)


def _mosaic(patches: list[scoring.LabelledImage], columns: int, rows: int) -> np.ndarray:
    """Join patches into one field under one lamp."""
    greys = [read_grey(image.path).grey for image in patches]
    greys = [cv2.resize(g, (214, 214), interpolation=cv2.INTER_AREA) * (110 / np.median(g)) for g in greys]
    joined = [np.hstack(greys[columns * r : columns * (r + 1)]) for r in range(rows)]
    return np.clip(np.vstack(joined), 0, 255).astype(np.float32)


def test_cells_of_a_group_never_seen_are_found_and_told_apart(patches, folds):
    tallies = [_tally(folds[i.group], read_grey(i.path).grey, i.cells, Scale()) for i in patches]

    figures = scoring.figures(tallies, [image.sample for image in patches])

    assert figures["f1"] >= 0.94, figures
    assert abs(figures["bias_percent"]) <= 4, figures
    assert figures["dead_sensitivity"] >= 0.83, figures
    # The committed samples hold six patches each, a fifth of the whole set's, and few cells.
    assert figures["sample_count_error_percent"] <= 5, figures
    assert figures["viability_error_pp"] <= 6, figures


@pytest.mark.parametrize("change", ["half as bright", "a quarter brighter", "turned", "mirrored"])
def test_another_light_or_another_way_round_costs_no_accuracy(patches, folds, change):
    some = patches[::3]
    tallies = []
    for image in some:
        grey, truth = read_grey(image.path).grey, image.cells
        width = grey.shape[1]
        if change == "half as bright":
            grey = grey * np.float32(0.5)
        elif change == "a quarter brighter":
            grey = np.minimum(grey * np.float32(1.25), np.float32(255))
        elif change == "turned":
            grey = np.ascontiguousarray(np.rot90(grey))
            truth = tuple(scoring.Truth(c.y, width - 1 - c.x, c.radius, c.kind) for c in truth)
        else:
            grey = np.ascontiguousarray(grey[:, ::-1])
            truth = tuple(scoring.Truth(width - 1 - c.x, c.y, c.radius, c.kind) for c in truth)
        tallies.append(_tally(folds[image.group], grey, truth, Scale()))

    figures = scoring.figures(tallies, [image.sample for image in some])

    assert figures["f1"] >= 0.91, figures
    assert abs(figures["bias_percent"]) <= 6, figures


@pytest.mark.parametrize("diameter_px", [12, 16, 28, 40])
def test_another_magnification_costs_little_once_the_size_of_a_cell_is_told(patches, folds, diameter_px):
    some, zoom = patches[::4], diameter_px / 20
    way = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    tallies = []
    for image in some:
        grey = cv2.resize(read_grey(image.path).grey, None, fx=zoom, fy=zoom, interpolation=way)
        grey = np.clip(grey, 0, 255).astype(np.float32)
        scale = Scale(object_diameter_px=diameter_px)
        tallies.append(_tally(folds[image.group], grey, image.cells, scale, zoom))

    assert scoring.figures(tallies, [image.sample for image in some])["f1"] >= 0.9


def test_a_pixel_size_says_the_same_as_a_cell_of_12_um(patches):
    picture = read_grey(patches[0].path)
    large = FieldPicture(cv2.resize(picture.grey, None, fx=1.7, fy=1.7), 8, 0.0)

    by_length = trypan_blue.METHOD.find([large], Scale(um_per_px=0.6 / 1.7))
    by_size = trypan_blue.METHOD.find([large], Scale(object_diameter_px=34.0))

    assert by_length.cells == by_size.cells != ()


def test_cells_on_the_seams_of_tiles_count_once(patches):
    eight_bit = [image for image in patches if image.cells][:49]
    field = _mosaic(eight_bit, 7, 7)
    assert min(field.shape) > 1.5 * trypan_blue.TILE_PX, "two tiles a side"
    shift = 64
    shifted = cv2.copyMakeBorder(field, shift, 0, shift, 0, cv2.BORDER_REFLECT_101)

    here = trypan_blue.METHOD.find([FieldPicture(field, 8, 0.0)], Scale()).cells
    moved = trypan_blue.METHOD.find([FieldPicture(shifted, 8, 0.0)], Scale()).cells

    inside = [c for c in moved if c.x >= shift + 20 and c.y >= shift + 20]
    kept = [c for c in here if c.x >= 20 and c.y >= 20]
    assert len(kept) > 200
    places = np.array([(c.x - shift, c.y - shift) for c in inside])
    lonely = [c for c in kept if np.hypot(*(places - (c.x, c.y)).T).min() > c.radius]
    # A doubtful cell may fall on either side of the decision level wherever it lies; none is doubled.
    assert len(lonely) <= 0.01 * len(kept)
    assert abs(len(inside) - len(kept)) <= 0.01 * len(kept)


def test_one_picture_gives_the_same_bits_at_any_number_of_threads_and_in_another_process(patches):
    field = FieldPicture(_mosaic(patches, 5, 5), 8, 0.0)
    before = cv2.getNumThreads()
    answers = []
    try:
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            answers.append(trypan_blue.METHOD.find([field], Scale()))
    finally:
        cv2.setNumThreads(before)
    path = patches[0].path
    code = (
        "import sys;from pathlib import Path;from vision.counting.trypan_blue import *;"
        "from vision.picture_file import read_grey;"
        "print(METHOD.find([read_grey(Path(sys.argv[1]))],Scale()), METHOD.hash())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()

    assert answers[0] == answers[1] == answers[2]
    here = trypan_blue.METHOD.find([read_grey(path)], Scale())
    assert other == f"{here} {trypan_blue.METHOD.hash()}"


def test_changed_weights_or_a_changed_card_are_not_used(tmp_path):
    card = json.loads(trypan_blue.CARD_FILE.read_text(encoding="utf-8"))
    weights = bytearray(trypan_blue.WEIGHTS_FILE.read_bytes())
    weights[len(weights) // 2] ^= 1

    with pytest.raises(WeightsUnusable, match="Install the software again"):
        trypan_blue.model_of(bytes(weights), card)
    card["decision_levels"]["cell"] = 0.1
    with pytest.raises(WeightsUnusable, match="Install the software again"):
        trypan_blue.model_of(trypan_blue.WEIGHTS_FILE, card)


def test_votes_of_edges_agree_on_real_cells_and_not_on_grain_or_strokes(patches):
    field = _mosaic(patches, 4, 4)
    rng = np.random.default_rng(5)
    strokes = np.full(field.shape, 120, np.float32)
    for x, y, dx, dy in rng.integers(-60, 800, (400, 4)):
        cv2.line(
            strokes, (int(x), int(y)), (int(x + dx / 20), int(y + dy / 20)), float(rng.uniform(20, 230)), 3
        )

    good = trypan_blue.METHOD.find([FieldPicture(field, 8, 0.0)], Scale())
    bad = trypan_blue.METHOD.find([FieldPicture(strokes, 8, 0.0)], Scale())

    assert good.agreement is not None
    assert good.agreement > 0.85
    assert bad.agreement is not None
    assert bad.agreement < 0.5


def test_an_empty_field_has_no_cells_and_no_agreement():
    rng = np.random.default_rng(2)
    finding = trypan_blue.METHOD.find(
        [FieldPicture(rng.normal(95, 2, (300, 300)).astype(np.float32), 8, 0.0)], Scale()
    )

    assert finding.cells == ()
    assert finding.agreement is None


def test_the_radius_fits_the_labelled_size(patches, folds):
    ratios = []
    for image in patches[::4]:
        found = trypan_blue.find_with(folds[image.group], read_grey(image.path), Scale()).cells
        pairs = scoring.match([scoring.Found(c.x, c.y, c.kind) for c in found], image.cells)
        ratios += [found[i].radius / image.cells[j].radius for i, j in pairs.items()]

    assert 0.9 <= np.median(ratios) <= 1.1
    assert np.percentile(np.abs(np.log(ratios)), 90) < 0.45


def test_cells_like_those_learnt_from_are_typical(patches):
    cells = [
        c for image in patches[::4] for c in trypan_blue.METHOD.find([read_grey(image.path)], Scale()).cells
    ]

    assert np.median([c.typicality for c in cells]) < 1.3
    assert np.median([c.confidence for c in cells]) > 0.9


def test_a_scale_at_which_a_picture_holds_no_cell_is_refused():
    picture = FieldPicture(np.full((200, 200), 100, np.float32), 8, 0.0)

    with pytest.raises(PictureUnreadable, match="Check the scale"):
        trypan_blue.METHOD.find([picture], Scale(object_diameter_px=300))


def test_the_card_states_the_figures_that_the_method_is_shipped_with():
    card = trypan_blue.METHOD.card()

    check(card, trypan_blue.WEIGHTS_FILE)

    assert card["version"] == trypan_blue.METHOD.version
    assert card["figures"]["f1"][0] >= 0.95
    assert set(card["by"]["acquisition_group"]) == {"image", "image_", "ncell", "b", "d", "g"}
    rows = card["validation"]["specimens"]
    assert sum(row["truth_live"] + row["truth_dead"] for row in rows) == 1664
    assert MethodError.from_card(card).total_ratio(0.8)[0] == pytest.approx(1, abs=0.05)
