"""What must never give a number: blurred, dark, glaring, empty, noisy and foreign pictures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vision.counting import frame_quality
from vision.counting.count_images import count_file, count_files, count_picture
from vision.counting.method import Cell, Finding, Scale
from vision.counting.methods import UnknownMethod, method_named
from vision.counting.results import CountResult
from vision.picture_file import FieldPicture, read_grey

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
CROWDED = [PATCHES / name for name in json.loads((PATCHES / "replicates.json").read_text())[0][:30]]


def _counted(grey, **scale):
    picture = FieldPicture(np.clip(np.round(grey), 0, 255).astype(np.float32), 8, 0.0)
    known = Scale(**(scale or {"um_per_px": 0.6}))
    method = method_named("trypan-blue")
    found, judged = count_picture([picture], method=method, scale=known, allow_unscaled=False)
    return list(found.cells), list(judged.reasons), judged.verdict, judged.quality


def _greys():
    return [read_grey(path).grey for path in CROWDED]


def test_good_pictures_pass():
    verdicts = [_counted(grey)[2] for grey in _greys()]

    assert verdicts.count("counted") == len(verdicts)


@pytest.mark.parametrize("sigma", [4, 5, 6])
def test_every_strongly_blurred_picture_is_called_out_of_focus(sigma):
    results = [_counted(cv2.GaussianBlur(grey, (0, 0), sigma)) for grey in _greys()]

    assert all("out_of_focus" in reasons for _, reasons, _, _ in results)
    assert all(verdict != "counted" for _, _, verdict, _ in results)


def test_blur_is_seen_through_the_camera_grain():
    rng = np.random.default_rng(1)

    for grey in _greys()[:10]:
        blurred = cv2.GaussianBlur(grey, (0, 0), 5) + rng.normal(0, 2, grey.shape)
        assert "out_of_focus" in _counted(blurred)[1]


def test_a_dark_picture_is_called_dark():
    assert all("dark" in _counted(grey * (20 / np.median(grey)))[1] for grey in _greys()[:10])


def test_a_glaring_picture_is_called_bright_and_saturated():
    for grey in _greys()[:10]:
        _, reasons, verdict, _ = _counted(grey * (300 / np.median(grey)))
        assert {"bright", "saturated"} <= set(reasons)
        assert verdict != "counted"


def test_a_lamp_off_centre_is_called_uneven():
    for patch in _greys()[:5]:
        # A field wide enough for its light to be told from its cells.
        grey = np.tile(patch, (2, 4))
        ramp = np.linspace(0.06, 2.2, grey.shape[1], dtype=np.float32)[None, :]
        assert "uneven_light" in _counted(grey * ramp)[1]


@pytest.mark.parametrize("level", [0, 90, 128, 255])
def test_a_blank_picture_has_no_cells_and_no_viability(tmp_path, level):
    path = tmp_path / "blank.png"
    Image.fromarray(np.full((240, 320), level, np.uint8)).save(path)

    result = count_file(path, scale=Scale(um_per_px=0.6))

    assert (result.live, result.dead, result.viability_percent) == (0, 0, None)
    assert "empty" in result.reasons
    assert result.verdict != "counted"


def test_a_field_with_grain_and_no_cells_counts_zero():
    rng = np.random.default_rng(2)

    found, reasons, verdict, _ = _counted(rng.normal(95, 2, (220, 220)))

    assert found == []
    assert (reasons, verdict) == (["empty"], "counted")


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    spread=st.floats(1, 120),
    grain_px=st.sampled_from([0.0, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0]),
)
def test_noise_of_any_grain_never_gives_a_viability(tmp_path_factory, seed, spread, grain_px):
    noise = np.random.default_rng(seed).normal(128, spread, (260, 260))
    if grain_px:
        noise = cv2.GaussianBlur(noise, (0, 0), grain_px)
    path = tmp_path_factory.getbasetemp() / "noise.png"
    Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(path)

    result = count_file(path, scale=Scale(um_per_px=0.6))

    assert result.viability_percent is None or len(result.cells) <= 2


def test_a_printed_page_is_not_this_kind_of_picture():
    page = np.full((300, 400), 250, np.uint8)
    rng = np.random.default_rng(3)
    for x in range(20, 380, 3):
        if rng.random() < 0.5:
            page[30:150, x : x + 3] = 5
    for n in range(6):
        cv2.putText(page, "A9999 26 123456 <LOT>", (15, 180 + 18 * n), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 5, 2)

    _, reasons, verdict, _ = _counted(page)

    assert "not_this_kind" in reasons
    assert verdict == "refused"


def test_a_coloured_picture_is_not_this_kind(tmp_path):
    rng = np.random.default_rng(4)
    smear = np.zeros((240, 240, 3), np.uint8)
    smear[..., 0], smear[..., 1], smear[..., 2] = 230, 150, 190
    for x, y in rng.integers(10, 230, (60, 2)):
        cv2.circle(smear, (int(x), int(y)), 9, (190, 60, 90), -1)
    Image.fromarray(smear).save(tmp_path / "smear.png")

    result = count_file(tmp_path / "smear.png", scale=Scale(um_per_px=0.6))

    assert result.verdict == "refused"
    assert result.viability_percent is None


def test_crowded_and_clumped_fields_are_sent_back():
    def field(places):
        return [Cell(float(x), float(y), 10.0, "live", 1.0, 1.0) for x, y in places]

    crowd = field([(x, y) for x in range(10, 400, 19) for y in range(10, 400, 19)])
    pairs = field([(x + d, y) for x in range(20, 980, 160) for y in range(20, 980, 160) for d in (0, 19)])
    spread = field([(x, y) for x in range(20, 980, 80) for y in range(20, 980, 80)])
    rng = np.random.default_rng(7)

    def reasons(cells, side):
        empty = FieldPicture(np.round(rng.normal(90, 2, (side, side))).astype(np.float32), 8, 0.0)
        finding = Finding(tuple(cells))
        judged = frame_quality.judge("trypan-blue", [empty], finding, Scale(um_per_px=0.6))
        return {"dense", "clumped"} & set(judged.reasons)

    assert "dense" in reasons(crowd, 400)
    assert reasons(pairs, 1000) == {"clumped"}
    assert reasons(spread, 1000) == set()


def test_without_a_scale_the_cells_are_listed_and_the_verdict_is_repeat():
    unscaled = count_file(CROWDED[0], scale=Scale())
    allowed = count_file(CROWDED[0], scale=Scale(), allow_unscaled=True)

    assert (unscaled.verdict, unscaled.reasons) == ("repeat", ("unknown_scale",))
    assert unscaled.cells == allowed.cells
    assert len(unscaled.cells) > 0
    assert allowed.verdict == "counted"


def test_the_scale_decides_what_is_a_cell():
    grey = read_grey(CROWDED[3]).grey
    doubled = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)

    # A doubtful cell may fall on either side of the decision level.
    at_once = [c for c in _counted(grey, um_per_px=0.6)[0] if c.confidence > 0.8]
    twice = [c for c in _counted(doubled, um_per_px=0.3)[0] if c.confidence > 0.8]

    assert len(twice) == len(at_once) > 3
    for a, b in zip(at_once, twice, strict=True):
        assert abs(b.x / 2 - a.x) < 3
        assert abs(b.y / 2 - a.y) < 3


def test_too_few_cells_is_said_of_the_specimen_and_not_of_one_field():
    result = count_files(CROWDED[:3], um_per_px=0.6, field_depth_um=100.0)

    assert [image.verdict for image in result.images] == ["counted"] * 3
    assert result.pooled.verdict == "repeat"
    assert result.pooled.reasons == ("too_few_cells",)


def test_a_faulty_field_is_left_out_of_the_pool_with_its_volume(tmp_path):
    blurred = cv2.GaussianBlur(read_grey(CROWDED[0]).grey, (0, 0), 6)
    Image.fromarray(blurred.astype(np.uint8)).save(tmp_path / "blurred.png")

    clean = count_files(CROWDED[1:], um_per_px=0.6, field_depth_um=100.0).pooled
    mixed = count_files([tmp_path / "blurred.png", *CROWDED[1:]], um_per_px=0.6, field_depth_um=100.0).pooled

    assert mixed.fields_left_out == 1
    assert mixed.concentration_cells_ml == clean.concentration_cells_ml
    assert mixed.verdict == "counted"


def test_when_no_field_can_be_used_the_pool_says_why(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")

    result: CountResult = count_files([tmp_path / "broken.png"], um_per_px=0.6, field_depth_um=100.0)

    assert result.pooled.verdict == "refused"
    assert result.pooled.reasons == ("unreadable",)
    assert result.pooled.viability_percent is None
    assert result.pooled.concentration_cells_ml is None


@pytest.mark.parametrize(
    "numbers",
    [
        {"um_per_px": 0.0},
        {"um_per_px": float("nan")},
        {"um_per_px": 50.0},
        {"dilution": 0.5},
        {"field_depth_um": -1.0},
    ],
)
def test_numbers_that_cannot_be_are_refused_in_words(numbers):
    with pytest.raises(ValueError, match="must be"):
        count_files(CROWDED[:1], **numbers)


def test_an_unknown_method_names_the_known_ones():
    with pytest.raises(UnknownMethod, match="trypan-blue"):
        count_files(CROWDED[:1], method="guess", um_per_px=0.6)
