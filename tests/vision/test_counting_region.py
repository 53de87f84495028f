"""The rule of two edges: each cell belongs to one area only, and the count is not biased."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from chamber_scenes import ChamberScene

from vision.counting.chamber_table import UnknownChamber, chamber_named, chambers
from vision.counting.counting_region import (
    CountingRegion,
    apply_two_edges,
    belongs,
    exclude_grid_lines,
    picture_region,
    squares_region,
)
from vision.counting.method import Cell
from vision.counting.neubauer import Grid, find_grid


def cell(x: float, y: float, radius: float = 10.0) -> Cell:
    return Cell(x, y, radius, "live", 0.9, 1.0)


def tiles(side: float, across: int) -> list[CountingRegion]:
    """Square areas side by side."""
    return [
        CountingRegion("squares", 1.0, (), np.eye(3), np.array([[i, j, i + 1, j + 1]]) * side)
        for i in range(across)
        for j in range(across)
    ]


def test_top_and_left_count_and_bottom_and_right_do_not() -> None:
    region = CountingRegion("squares", 1.0, (), np.eye(3), np.array([[100.0, 100.0, 200.0, 200.0]]))
    cells = [cell(150, 150), cell(150, 95), cell(95, 150), cell(150, 205), cell(205, 150), cell(150, 195)]

    marked = apply_two_edges(cells, region)

    assert [one.excluded for one in marked] == ["", "", "", "edge", "edge", "edge"]


def test_a_cell_left_out_for_another_reason_keeps_it() -> None:
    region = picture_region(400, 300, 10.0, 1.0)
    dirt = Cell(398.0, 150.0, 10.0, "live", 0.9, 1.0, excluded="small")

    assert apply_two_edges([dirt], region) == [dirt]
    assert apply_two_edges([], region) == []


@pytest.mark.requirement("F-038")
def test_over_areas_side_by_side_each_cell_counts_once() -> None:
    chance = np.random.default_rng(1)
    centres = chance.uniform(150, 450, (4000, 2))
    radii = chance.uniform(2, 40, 4000)

    times = sum(belongs(centres, radii, one).astype(int) for one in tiles(60.0, 10))

    assert np.array_equal(times, np.ones(4000, int))


@pytest.mark.parametrize("spread", [0.0, 0.4], ids=["one size", "many sizes"])
def test_the_count_of_a_picture_is_not_biased(spread: float) -> None:
    chance = np.random.default_rng(2)
    width, height, radius = 640, 480, 14.0
    region = picture_region(width, height, radius * (1 + spread), 1.0)
    expected, counted = 0.0, 0
    for _ in range(400):
        # Cells lie beyond the picture too; what is no more than a sliver in it is never found.
        density = 2e-3
        number = chance.poisson(density * (width + 200) * (height + 200))
        centres = chance.uniform((-100, -100), (width + 100, height + 100), (number, 2))
        radii = radius * chance.uniform(1 - spread, 1 + spread, number)
        seen = (centres > -radii[:, None] * 0.3).all(axis=1) & (
            centres < np.array([width, height]) + radii[:, None] * 0.3
        ).all(axis=1)
        counted += int((belongs(centres, radii, region) & seen).sum())
        expected += density * region.area_mm2 * 1e6

    assert counted / expected == pytest.approx(1.0, abs=0.003 + 2.0 / np.sqrt(expected))


def test_each_cell_counted_in_a_picture_lies_in_it_whole() -> None:
    chance = np.random.default_rng(3)
    centres = chance.uniform(-20, 420, (5000, 2))
    radii = chance.uniform(3, 12, 5000)

    inside = belongs(centres, radii, picture_region(400, 400, 12.0, 1.0))

    assert inside.any()
    assert (centres[inside] - radii[inside, None]).min() >= -0.5
    assert (centres[inside] + radii[inside, None]).max() <= 399.5


def test_squares_of_a_turned_grid_count_without_bias() -> None:
    scene = ChamberScene(angle_deg=20.0, px_per_mm=300.0, cells_per_mm2=30.0, seed=11)
    found = find_grid(scene.render())
    assert isinstance(found, Grid)
    region = squares_region(found)
    chance = np.random.default_rng(4)

    centres = chance.uniform((-50, -50), (scene.width + 50, scene.height + 50), (400_000, 2))
    counted = int(belongs(centres, np.full(len(centres), 5.0), region).sum())

    density = len(centres) / ((scene.width + 100) * (scene.height + 100))
    expected = density * region.area_mm2 * scene.px_per_mm**2
    assert counted / expected == pytest.approx(1.0, abs=0.015)


def test_a_line_found_as_a_cell_is_no_cell_and_a_cell_on_a_line_is_one() -> None:
    scene = ChamberScene(cells_per_mm2=0.0, px_per_mm=330.0, seed=12)
    picture = scene.render()
    found = find_grid(picture)
    assert isinstance(found, Grid)
    line = next(one for one in found.lines if not one.multiple)
    across, down = (line.x1 - line.x0, line.y1 - line.y0)
    place = (line.x0 + 0.31 * across, line.y0 + 0.31 * down)
    other = (line.x0 + 0.62 * across, line.y0 + 0.62 * down)
    cv2.circle(picture, (round(other[0]), round(other[1])), 7, 60.0, 2, cv2.LINE_AA)
    bare, on_line, beside = cell(*place, 7.0), cell(*other, 7.0), cell(30.0, 30.0, 7.0)

    marked = exclude_grid_lines([bare, on_line, beside], picture, found)

    assert [one.excluded for one in marked] == ["grid_line", "", ""]


def test_a_picture_smaller_than_a_cell_is_no_area() -> None:
    with pytest.raises(ValueError, match="larger field"):
        picture_region(30, 30, 20.0, 1.0)


def test_chambers_go_by_name_however_it_is_written() -> None:
    assert chamber_named("Improved Neubauer").id == "neubauer-improved"
    assert chamber_named("NEUBAUER_IMPROVED").depth_um == 100.0
    assert chamber_named("Bürker").id == "buerker"
    assert chamber_named("fuchs rosenthal").depth_um == 200.0
    with pytest.raises(UnknownChamber, match="neubauer-improved"):
        chamber_named("bathtub")


def test_each_chamber_says_how_sure_its_depth_is_and_who_says_so() -> None:
    for one in chambers().values():
        assert 10 <= one.depth_um <= 1000
        assert 0 < one.depth_relative_u < 0.1
        assert one.source


def test_rulings_have_the_lengths_that_are_in_print() -> None:
    improved, fuchs = chamber_named("neubauer-improved").ruling, chamber_named("fuchs-rosenthal").ruling

    assert improved is not None
    assert (len(improved.positions_mm), improved.positions_mm[-1]) == (29, 3.0)
    assert [place for place, many in zip(improved.positions_mm, improved.multiple, strict=True) if many] == [
        *(0.0, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 3.0)
    ]
    assert fuchs is not None
    assert fuchs.positions_mm[-1] == 4.0
