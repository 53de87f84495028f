"""From pixels and squares to millilitres, and what is said of fields, depths and dilutions that cannot be."""

from __future__ import annotations

import math

import pytest

from vision.counting.chamber import (
    Dilution,
    DilutionStep,
    FieldGeometry,
    ImpossibleDilution,
    ImpossibleField,
    concentration_cells_ml,
    volume_of,
)

pytestmark = pytest.mark.requirement("F-040")


def test_a_chamber_square_gives_the_textbook_concentration():
    square = FieldGeometry(width_px=1000, height_px=1000, um_per_px=1.0, depth_um=100.0)

    assert square.volume_ml() == pytest.approx(1e-4)
    assert concentration_cells_ml(50, square.volume_ml(), dilution=2.0) == pytest.approx(1e6)


def test_four_corner_squares_are_four_times_a_tenth_of_a_microlitre():
    corners = FieldGeometry.of_squares(4, side_um=1000.0, depth_um=100.0)

    assert volume_of([corners]).volume_ml == pytest.approx(4e-4)
    assert volume_of([corners, corners]).volume_ml == pytest.approx(8e-4)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        ({"width_px": 0}, "no area"),
        ({"height_px": -3}, "no area"),
        ({"um_per_px": 0.0}, "size of a pixel"),
        ({"um_per_px": math.nan}, "size of a pixel"),
        ({"depth_um": math.inf}, "depth"),
    ],
)
def test_a_field_that_cannot_be_is_refused_in_words(size, says):
    with pytest.raises(ImpossibleField, match=says):
        FieldGeometry(**({"width_px": 10, "height_px": 10, "um_per_px": 1.0, "depth_um": 100.0} | size))


def test_no_field_makes_no_volume():
    with pytest.raises(ImpossibleField, match="volume counted is not known"):
        volume_of([])


@pytest.mark.parametrize("factor", [0.0, 0.99, 1000.1, math.nan, math.inf, -2.0])
def test_a_dilution_that_cannot_be_is_refused_in_words(factor):
    with pytest.raises(ImpossibleDilution, match="final volume over sample volume"):
        Dilution.of(factor)


def test_the_errors_of_two_pipettings_multiply():
    twice = Dilution((DilutionStep(10.0, 0.02, 0.01), DilutionStep(2.0, 0.01, 0.01)))

    assert twice.factor() == pytest.approx(20)
    # Nine tenths of one step's error reach its factor, half of the other's.
    assert twice.relative_u() == pytest.approx(
        math.hypot(0.9 * math.hypot(0.02, 0.01), 0.5 * math.hypot(0.01, 0.01))
    )


def test_a_great_dilution_is_taken_as_made_in_steps():
    assert Dilution.of(1.0).steps == ()
    assert len(Dilution.of(20.0).steps) == 1
    assert len(Dilution.of(100.0).steps) == 2
    assert Dilution.of(100.0).factor() == pytest.approx(100)
    assert Dilution.of(100.0).relative_u() > Dilution.of(20.0).relative_u() > Dilution.of(2.0).relative_u()
