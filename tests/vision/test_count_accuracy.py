"""The counter against labels that nobody of this project made, by networks that never saw the group."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import statistics
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vision.counting import cells, segment
from vision.counting.count_images import count_files, count_picture
from vision.counting.method import Scale
from vision.counting.method_error import MethodError
from vision.counting.training import scoring
from vision.counting.trypan_rings import METHOD, TrypanRings
from vision.picture_file import FieldPicture, read_grey

DATA = Path(__file__).parents[1] / "data" / "vision"
PATCHES = DATA / "ldc_trypan"
SHARED = Path(os.environ.get("CELLWRIGHT_SHARED", Path(__file__).parents[3] / "shared"))
WHOLE_SET = SHARED / "data" / "vision" / "ldc_trypan" / "images"


@pytest.fixture(scope="module")
def patches() -> list[scoring.LabelledImage]:
    return scoring.read_set(PATCHES)


@pytest.fixture(scope="module")
def fold_models() -> dict[str, cells.Model]:
    """One model for each acquisition group, trained without that group."""
    documents = json.loads((DATA / "trypan_blue_folds.json").read_text())
    return {group: cells.model_from(document) for group, document in documents.items()}


def _tally(image: scoring.LabelledImage, picture: FieldPicture, model: cells.Model) -> scoring.Tally:
    found, _ = count_picture(
        [picture], method=TrypanRings(model), scale=Scale(object_diameter_px=20), allow_unscaled=False
    )
    return scoring.tally([scoring.Found(c.x, c.y, c.kind) for c in found.cells], image.cells)


def test_cells_of_a_group_never_seen_are_found_and_told_apart(patches, fold_models):
    tallies = [_tally(image, read_grey(image.path), fold_models[image.group]) for image in patches]

    figures = scoring.figures(tallies, [image.sample for image in patches])

    assert figures["f1"] >= 0.93, figures
    # The committed samples hold six patches each, a fifth of the whole set's.
    assert figures["sample_count_error_percent"] <= 7.5, figures
    assert figures["viability_error_pp"] <= 6.0, figures
    assert figures["dead_sensitivity"] >= 0.8, figures


@pytest.mark.parametrize("change", ["half as bright", "a quarter brighter", "turned", "mirrored"])
def test_another_light_or_another_way_round_costs_no_accuracy(patches, fold_models, change):
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
        changed = scoring.LabelledImage(image.path, image.group, image.sample, truth)
        tallies.append(_tally(changed, FieldPicture(grey, 8, 0.0), fold_models[image.group]))

    figures = scoring.figures(tallies, [image.sample for image in some])

    assert figures["f1"] >= 0.91, figures
    assert abs(figures["bias_percent"]) <= 8, figures


def test_one_large_field_holds_what_its_patches_hold(patches, fold_models):
    some = [i for i in patches if i.group == "ncell" and read_grey(i.path).grey.shape == (219, 225)][:16]
    greys = [read_grey(i.path).grey for i in some]
    # Each patch on one brightness: a field has one lamp.
    greys = [g * np.float32(100 / np.median(g)) for g in greys]
    field = np.vstack([np.hstack(greys[row * 4 : row * 4 + 4]) for row in range(4)])
    truth = tuple(
        scoring.Truth(c.x + 225 * (n % 4), c.y + 219 * (n // 4), c.radius, c.kind)
        for n, image in enumerate(some)
        for c in image.cells
    )

    whole = scoring.LabelledImage(Path("field"), "ncell", "0", truth)
    tally = _tally(
        whole, FieldPicture(np.clip(field, 0, 255).astype(np.float32), 8, 0.0), fold_models["ncell"]
    )

    assert scoring.figures([tally], ["0"])["f1"] >= 0.9


def test_three_ways_round_of_at_least_400_counted_cells_agree_within_5_percent(tmp_path):
    turns = (None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180)
    pools = []
    for names, turn in zip(json.loads((PATCHES / "replicates.json").read_text()), turns, strict=True):
        paths = [tmp_path / f"{turn}-{name}" for name in names]
        for name, path in zip(names, paths, strict=True):
            with Image.open(PATCHES / name) as picture:
                (picture if turn is None else picture.transpose(turn)).save(path)
        pools.append(count_files(paths, um_per_px=0.6, field_depth_um=100.0).pooled)

    assert [pool.verdict for pool in pools] == ["counted"] * 3
    assert all(pool.live + pool.dead >= 400 for pool in pools)
    values = [pool.concentration_cells_ml for pool in pools]
    assert statistics.stdev(values) / statistics.mean(values) <= 0.05
    listed = {name for names in json.loads((PATCHES / "replicates.json").read_text()) for name in names}
    with (PATCHES / "images.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] in listed]
    live, dead = (sum(int(row[key]) for row in rows) for key in ("n_live", "n_dead"))
    for pool in pools:
        low, high = pool.viability_interval_percent
        assert low < 100 * live / (live + dead) < high


@pytest.mark.skipif(not WHOLE_SET.is_dir(), reason="the shared image set is not here")
def test_the_committed_patches_show_the_pixels_of_their_source(patches):
    for image in patches:
        ours, theirs = read_grey(image.path).grey, read_grey(WHOLE_SET / image.path.name).grey
        assert hashlib.sha256(ours.tobytes()).digest() == hashlib.sha256(theirs.tobytes()).digest()


def test_the_weights_state_the_scores_that_the_method_is_shipped_with():
    validation = cells.committed_model().validation

    assert validation["split"] == "each acquisition group held out once"
    assert validation["f1"] >= 0.93
    assert MethodError.from_card(METHOD.card()).total_ratio(1.0)[1] > 0


def test_changed_weights_are_not_used():
    document = json.loads(cells.WEIGHTS_FILE.read_text())
    document["cell_level"] = 0.1

    with pytest.raises(cells.WeightsUnusable, match="Install the software again"):
        cells.model_from(document)


def test_the_radius_fits_the_labelled_size(patches):
    ratios = []
    for image in patches[::6]:
        maps = segment.prepare(read_grey(image.path).grey, 1.0)
        found = cells.find_cells(maps, cells.committed_model())
        pairs = scoring.match([scoring.Found(c.x, c.y, c.kind) for c in found], image.cells)
        ratios += [found[i].radius / image.cells[j].radius for i, j in pairs.items()]

    assert 0.85 <= statistics.median(ratios) <= 1.2
