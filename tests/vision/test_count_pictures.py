"""What people see: marks that differ by shape and colour, a legend, and the word SIMULATED."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from vision.counting.annotate import DEAD, LEFT_OUT, LIVE, UNSURE, annotated, write_contact_sheet
from vision.counting.count_images import count_file, count_files
from vision.counting.method import Cell, Scale

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
SOME = sorted(PATCHES.glob("*.png"))[:10]


def _marks(kind: str, excluded: str = "") -> np.ndarray:
    grey = np.full((60, 60), 100, np.float32)
    drawn = annotated(grey, [Cell(30, 30, 12, kind, 1.0, 1.0, excluded)], width_px=60)  # type: ignore[arg-type]
    plain = annotated(grey, [], width_px=60)
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
    results = [count_file(path, scale=Scale(um_per_px=0.6)) for path in SOME[:2]]

    plain = write_contact_sheet(results, tmp_path / "plain.png")
    marked = write_contact_sheet(results, tmp_path / "marked.png", simulated=True)

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
    assert write_contact_sheet([], tmp_path / "none.png") is None
    assert not (tmp_path / "none.png").exists()
