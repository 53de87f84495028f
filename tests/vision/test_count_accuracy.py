"""The counter against labels that nobody of this project made, by networks that never saw the group."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import statistics
from pathlib import Path

import pytest
from PIL import Image

from vision.counting.count_images import count_files
from vision.counting.training import scoring
from vision.picture_file import read_grey

DATA = Path(__file__).parents[1] / "data" / "vision"
PATCHES = DATA / "ldc_trypan"
SHARED = Path(os.environ.get("CELLWRIGHT_SHARED", Path(__file__).parents[3] / "shared"))
WHOLE_SET = SHARED / "data" / "vision" / "ldc_trypan" / "images"


@pytest.fixture(scope="module")
def patches() -> list[scoring.LabelledImage]:
    return scoring.read_set(PATCHES)


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
