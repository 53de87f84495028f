"""The ruling of a counting chamber in a picture: found with its scale, or refused in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from chamber_scenes import ChamberScene, random_scene

from vision.counting.neubauer import WORDS, Grid, NoGrid, find_grid, line_mask
from vision.picture_file import read_grey

PHOTOS = sorted((Path(__file__).parents[1] / "data" / "vision" / "neubauer_grid").glob("*.jpg"))
PATCHES = sorted((Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan").glob("**/*.png"))
# By autocorrelation of line profiles over the whole set of photos.
HEMOCROP_PX_PER_MM = 333.5
Floats = npt.NDArray[np.float32]


def scale_error(found: Grid, scene: ChamberScene) -> float:
    """The larger relative error of the two scales, where the lines were seen."""
    true = scene.px_per_mm_at(np.array(found.middle))
    return float(np.abs(np.array(found.px_per_mm) / np.array(true) - 1.0).max())


@pytest.mark.requirement("F-038")
@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_both_axes_of_a_real_chamber_give_one_scale(photo: Path) -> None:
    found = find_grid(read_grey(photo).grey)

    assert isinstance(found, Grid)
    assert found.ruling == "neubauer-improved"
    assert found.px_per_mm == pytest.approx((HEMOCROP_PX_PER_MM, HEMOCROP_PX_PER_MM), rel=0.01)
    assert found.um_per_px == pytest.approx(1000 / HEMOCROP_PX_PER_MM, rel=0.005)
    # The trap: groups of the centre are 67 px, squares of the corner 83 px. Both are there, both are named.
    assert found.spacings_mm == ((0.05, 0.2, 0.25), (0.05, 0.2, 0.25))
    assert -3.0 < found.angle_deg < 1.0
    assert found.um_per_px_relative_u < 0.01


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda path: path.stem)
def test_squares_of_a_real_chamber_have_the_size_of_the_maker(photo: Path) -> None:
    found = find_grid(read_grey(photo).grey)

    assert isinstance(found, Grid)
    corner = [one for one in found.squares if one.side_mm == (0.25, 0.25)]
    centre = [one for one in found.squares if one.side_mm == (0.2, 0.2)]
    assert len(corner) >= 10
    assert len(centre) >= 2
    for square in corner:
        sides = np.linalg.norm(square.corners - np.roll(square.corners, 1, axis=0), axis=1)
        assert sides == pytest.approx([0.25 * HEMOCROP_PX_PER_MM] * 4, rel=0.02)


@pytest.mark.parametrize("angle_deg", [-44.0, -20.0, 0.0, 33.0])
@pytest.mark.parametrize("contrast", [45.0, -45.0], ids=["bright lines", "dark lines"])
def test_a_chamber_is_read_at_any_angle_and_contrast(angle_deg: float, contrast: float) -> None:
    scene = ChamberScene(angle_deg=angle_deg, contrast=contrast, px_per_mm=300.0, seed=3)

    found = find_grid(scene.render())

    assert isinstance(found, Grid)
    assert scale_error(found, scene) < 0.005
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.2)
    # Right is right and down is down: the map is a rotation, not its mirror image.
    assert np.linalg.det(found.to_mm[:2, :2]) > 0


@pytest.mark.parametrize(
    ("px_per_mm", "centre_mm"),
    [(90.0, (1.5, 1.5)), (180.0, (1.2, 1.4)), (800.0, (1.1, 1.0)), (2000.0, (1.5, 1.4))],
)
def test_a_chamber_is_read_from_the_whole_ruling_to_a_few_groups(
    px_per_mm: float, centre_mm: tuple[float, float]
) -> None:
    scene = ChamberScene(px_per_mm=px_per_mm, centre_mm=centre_mm, angle_deg=2.0, seed=5)

    found = find_grid(scene.render())

    assert isinstance(found, Grid)
    assert scale_error(found, scene) < 0.01


def test_pixels_that_are_not_square_are_measured_and_not_averaged_away() -> None:
    scene = ChamberScene(stretch=1.015, px_per_mm=320.0, seed=8)

    found = find_grid(scene.render())

    assert isinstance(found, Grid)
    assert found.px_per_mm[1] / found.px_per_mm[0] == pytest.approx(1.015, abs=0.003)


def test_axes_that_contradict_each_other_give_no_scale() -> None:
    # Half as much again across: 0.20 mm across is as wide as 0.30 mm down. No camera does that.
    across = cv2.resize(ChamberScene(seed=2).render(), None, fx=1.25, fy=1.0, interpolation=cv2.INTER_LINEAR)

    found = find_grid(across)

    assert isinstance(found, NoGrid)
    assert found.reason in ("axes_disagree", "ambiguous")


def test_a_grid_bent_by_the_eyepiece_is_right_or_refused() -> None:
    for barrel in (0.01, 0.03, 0.06, 0.1):
        scene = ChamberScene(barrel=barrel, seed=4)

        found = find_grid(scene.render())

        assert isinstance(found, NoGrid) or scale_error(found, scene) < 0.02
    assert isinstance(found, NoGrid)


def test_even_lines_alone_are_no_scale() -> None:
    # Nine squares of a corner: the same lines could be 0.05 mm apart at a fifth of the scale.
    scene = ChamberScene(px_per_mm=1200.0, centre_mm=(0.5, 0.5), width=800, height=800, seed=6)

    found = find_grid(scene.render())

    assert isinstance(found, NoGrid)
    assert found.reason in ("ambiguous", "too_few_lines")
    assert found.words == WORDS[found.reason]


@pytest.mark.parametrize("seed", range(20_000, 20_008))
def test_no_scene_of_a_chamber_is_read_wrong(seed: int) -> None:
    scene = random_scene(seed)

    found = find_grid(scene.render())

    assert isinstance(found, NoGrid) or scale_error(found, scene) < 0.01


@pytest.mark.parametrize("ruling", ["thoma", "buerker"])
@pytest.mark.parametrize("px_per_mm", [250.0, 700.0])
def test_a_ruling_that_is_not_measured_by_is_not_taken_for_another(ruling: str, px_per_mm: float) -> None:
    scene = ChamberScene(ruling=ruling, px_per_mm=px_per_mm, centre_mm=(0.6, 0.5), seed=1)

    found = find_grid(scene.render())

    assert isinstance(found, NoGrid) or scale_error(found, scene) < 0.01


def _paper(step_px: float, bold_every: int) -> Floats:
    y, x = np.mgrid[0:600, 0:800].astype(np.float64)
    picture = np.full((600, 800), 200.0, np.float32)
    for along in (x * 0.99 + y * 0.1, y * 0.99 - x * 0.1):
        number = np.round(along / step_px)
        bold = (number % bold_every == 0) if bold_every else np.zeros_like(number, bool)
        picture -= 80.0 * np.clip(np.where(bold, 1.7, 1.0) - np.abs(along - number * step_px), 0, 1).astype(
            np.float32
        )
    return picture


def _bricks() -> Floats:
    picture = np.full((600, 800), 150.0, np.float32)
    for row, y in enumerate(range(0, 600, 40)):
        cv2.line(picture, (0, y), (800, y), 215.0, 3)
        for x in range(row % 2 * 45, 800, 90):
            cv2.line(picture, (x, y), (x, y + 40), 215.0, 3)
    return picture


def _text() -> Floats:
    picture = np.full((600, 800), 230, np.uint8)
    for y in range(30, 600, 26):
        cv2.putText(picture, "LITHE ill HELLFIRE title hill TELL 11111", (5, y), 0, 0.8, 30, 2)
    return picture.astype(np.float32)


NOT_RULED = {
    "nothing": np.full((400, 400), 128.0, np.float32),
    "noise": np.random.default_rng(0).normal(128, 30, (500, 700)).astype(np.float32),
    "stripes": np.tile(128 + 50 * np.sin(np.arange(700) / 3.0), (500, 1)).astype(np.float32),
    "graph paper": _paper(24.0, 0),
    "graph paper with bold fifths": _paper(20.0, 5),
    "graph paper with bold fourths": _paper(20.0, 4),
    "graph paper with bold tenths": _paper(12.0, 10),
    "bricks": _bricks(),
    "text": _text(),
}


@pytest.mark.parametrize("name", NOT_RULED)
def test_a_picture_without_a_chamber_gives_no_scale(name: str) -> None:
    assert isinstance(find_grid(NOT_RULED[name]), NoGrid)


def test_patches_with_a_line_or_two_give_no_scale() -> None:
    found = [find_grid(read_grey(path).grey) for path in PATCHES[::4]]

    assert all(isinstance(one, NoGrid) for one in found)


def test_a_picture_is_not_changed_and_answers_the_same_again() -> None:
    picture = ChamberScene(seed=9).render()
    before = picture.copy()

    first, second = find_grid(picture), find_grid(picture)

    assert np.array_equal(picture, before)
    assert isinstance(first, Grid)
    assert isinstance(second, Grid)
    assert first.px_per_mm == second.px_per_mm
    assert np.array_equal(first.to_mm, second.to_mm)


def test_the_mask_covers_lines_and_leaves_the_squares_free() -> None:
    scene = ChamberScene(cells_per_mm2=0.0, noise=1.0, seed=7)
    picture = scene.render()
    ground = replace(scene, contrast=0.0).render()

    mask = line_mask(picture, find_grid(picture))

    on_line = picture - ground > 12
    assert mask[on_line].mean() > 0.9
    assert mask[~cv2.dilate(on_line.astype(np.uint8), np.ones((7, 7))).astype(bool)].mean() < 0.03


def test_two_lines_in_a_patch_are_masked_though_their_scale_is_unknown() -> None:
    picture = np.random.default_rng(1).normal(120, 2, (200, 200)).astype(np.float32)
    cv2.line(picture, (60, 0), (66, 199), 170.0, 2)
    cv2.line(picture, (0, 140), (199, 134), 170.0, 2)

    found = find_grid(picture)

    assert isinstance(found, NoGrid)
    mask = line_mask(picture, found)
    assert mask[picture > 150].mean() > 0.8
    assert mask.mean() < 0.15
