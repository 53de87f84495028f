"""What people see: marks that differ by shape and colour, a legend, and the word SIMULATED."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vision.counting.annotate import (
    DEAD,
    LEFT_OUT,
    LIVE,
    NUCLEUS,
    UNSURE,
    ContactSheet,
    annotated,
    bar_um,
    overlay_png,
)
from vision.counting.count_images import CountedField, Settings, count_field, count_files
from vision.counting.method import Cell, Finding, Scale
from vision.counting.methods import method_named
from vision.counting.results import ImageResult, Numbers
from vision.picture_file import FieldPicture

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
SOME = sorted(PATCHES.glob("*.png"))[:10]


def _picture(grey: np.ndarray) -> FieldPicture:
    return FieldPicture(grey.astype(np.float32), 8, 0.0)


def _marks(kind: str, excluded: str = "") -> np.ndarray:
    field = [_picture(np.full((60, 60), 100))]
    cell = Cell(30, 30, 12, kind, 1.0, 1.0, excluded)  # type: ignore[arg-type]
    drawn, plain = annotated(field, [cell], width_px=60), annotated(field, [], width_px=60)
    return np.any(drawn != plain, axis=2)


def test_each_kind_of_cell_has_a_colour_and_a_shape_of_its_own():
    shapes = [_marks("live"), _marks("dead"), _marks("unclassified"), _marks("live", excluded="edge")]

    for n, one in enumerate(shapes):
        for other in shapes[n + 1 :]:
            assert (one != other).mean() > 0.01
    assert len({LIVE, DEAD, UNSURE, LEFT_OUT}) == 4


def test_a_specimens_fields_come_on_one_sheet_of_bounded_width(tmp_path):
    overlay = count_files(SOME, um_per_px=0.6, overlay_dir=tmp_path / "new" / "folder").overlay

    with Image.open(overlay) as sheet:
        assert overlay.name == "pooled.png"
        assert 480 <= sheet.width <= 1600
        colours = {colour for _, colour in sheet.getcolors(maxcolors=2**24)}
    assert LIVE[::-1] in colours


def test_a_simulated_count_says_so_in_the_picture(tmp_path):
    sheet = ContactSheet(2, ("live", "dead", "unclassified"))
    settings = Settings(method_named("trypan-blue"), Scale(um_per_px=0.6))
    for path in SOME[:2]:
        sheet.add(count_field([path], settings))
    (plain := tmp_path / "plain.png").write_bytes(sheet.png())
    (marked := tmp_path / "marked.png").write_bytes(sheet.png(simulated=True))

    with Image.open(plain) as a, Image.open(marked) as b:
        banner = np.asarray(b)[: b.height - a.height]
        np.testing.assert_array_equal(np.asarray(b)[banner.shape[0] :], np.asarray(a))
    # Red ink on paper: the word.
    assert ((banner[..., 0] > 180) & (banner[..., 1] < 80)).sum() > 300


def test_an_unreadable_field_has_its_place_on_the_sheet_too(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"broken")

    result = count_files([SOME[0], tmp_path / "broken.png"], um_per_px=0.6, overlay_dir=tmp_path)

    with Image.open(result.overlay) as sheet:
        assert sheet.width >= 2 * 400


def test_no_fields_make_no_sheet(tmp_path):
    assert count_files([], um_per_px=0.6, overlay_dir=tmp_path).overlay is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("um_across", "bar"), [(130, 20), (400, 100), (401, 100), (1999, 200), (9000, 2000)])
def test_the_bar_is_of_a_round_length_within_a_quarter_of_the_width(um_across, bar):
    assert bar_um(um_across) == bar


def test_the_bar_stands_only_where_the_scale_is_known():
    field = [_picture(np.full((300, 400), 100))]

    plain = annotated(field, [], width_px=400)
    scaled = annotated(field, [], width_px=400, um_per_px=0.5)

    assert (plain[200:] != scaled[200:]).any()
    assert (plain[:200] == scaled[:200]).all()


def test_labelled_nuclei_are_outlined_where_they_lie_and_left_out_ones_are_crossed_off():
    labels = np.zeros((60, 60), np.int32)
    labels[10:30, 10:25], labels[10:30, 25:40], labels[40:58, 40:58] = 1, 2, 3
    cells = [
        Cell(x, y, 9, "nucleus", 1.0, 1.0, why)
        for x, y, why in ((17, 20, ""), (32, 20, ""), (49, 49, "edge"))
    ]

    drawn = annotated([_picture(np.zeros((60, 60)))], cells, width_px=60, labels=labels)

    outline = np.all(drawn == NUCLEUS, axis=2)
    assert outline[10:31, 10:41].sum() > 60
    assert outline[32:].sum() == 0
    assert (drawn[40:58, 40:58] == LEFT_OUT).all(axis=2).any()


def test_two_channels_are_shown_in_two_colours():
    first, second = np.zeros((50, 50)), np.zeros((50, 50))
    first[10:20, 10:20], second[30:40, 30:40] = 200, 200

    blue, green, red = cv2.split(annotated([_picture(first), _picture(second)], [], width_px=50))

    assert green[15, 15] > 150 > blue[15, 15]
    assert min(blue[35, 35], red[35, 35]) > 150 > green[35, 35]


def test_a_very_tall_field_is_drawn_within_bounds():
    result = ImageResult("tall", "counted", (), (), Numbers(), 1.0, {})
    counted = CountedField(result, (_picture(np.full((9000, 300), 90)),), Finding(()))

    with Image.open(io.BytesIO(overlay_png(counted, ("live",)))) as picture:
        assert picture.height <= 4200
