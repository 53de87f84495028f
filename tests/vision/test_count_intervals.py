"""The intervals against published tables, and what must hold for any counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.counting.chamber import FieldGeometry, concentration_cells_ml
from vision.counting.uncertainty import (
    MethodError,
    VolumeError,
    concentration_interval,
    garwood,
    normal_quantile,
    regularised_gamma,
    viability_interval,
    wilson,
)

NONE = MethodError(viability_pp=0.0, count_percent=0.0, cells=100)
OURS = MethodError(viability_pp=2.5, count_percent=4.5, cells=104)
counts = st.integers(0, 3000)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    # R. G. Newcombe, Statistics in Medicine 17, 857-872, 1998, Table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_gives_newcombes_table(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Exact 95 % limits of a Poisson mean, e.g. Ulm, Am. J. Epidemiol. 131, 373-375, 1990.
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (5, 1.623, 11.668), (10, 4.795, 18.390), (100, 81.364, 121.627)],
)
def test_garwood_gives_the_exact_poisson_limits(count, low, high):
    assert garwood(count) == pytest.approx((low, high), abs=6e-4)


def test_garwood_holds_for_large_counts():
    low, high = garwood(1_000_000)

    assert (low, high) == pytest.approx((1e6 - 1.96 * 1e3, 1e6 + 1.96 * 1e3), abs=5)


def test_normal_quantile_and_gamma_function_give_known_values():
    assert normal_quantile(0.975) == pytest.approx(1.959964, abs=1e-6)
    assert regularised_gamma(1.0, 2.0) == pytest.approx(1 - math.exp(-2), rel=1e-12)
    # P(1/2, x) is erf(sqrt(x)).
    assert regularised_gamma(0.5, 3.0) == pytest.approx(math.erf(math.sqrt(3.0)), rel=1e-12)


def test_without_other_errors_viability_has_the_wilson_interval():
    low, high = viability_interval(280, 120, 0, NONE)

    assert (low, high) == pytest.approx([100 * v for v in wilson(280, 400)])
    assert (round(low), round(high)) == (65, 74)


def test_no_cells_have_no_viability():
    assert viability_interval(0, 0, 0, OURS) is None
    assert viability_interval(0, 0, 7, OURS) is None


@settings(derandomize=True, deadline=None)
@given(live=counts, dead=counts, unclassified=st.integers(0, 300))
def test_the_viability_interval_holds_its_value_and_widens_with_doubt(live, dead, unclassified):
    if live + dead == 0:
        return

    plain = viability_interval(live, dead, 0, NONE)
    own_error = viability_interval(live, dead, 0, OURS)
    unsure = viability_interval(live, dead, unclassified, OURS)

    assert 0 <= unsure[0] <= 100 * live / (live + dead) <= unsure[1] <= 100
    assert own_error[0] <= plain[0] + 1e-9
    assert own_error[1] >= plain[1] - 1e-9
    # An unsure cell may be either: with all of them on one side the share stays inside.
    everything = live + dead + unclassified
    assert unsure[0] <= 100 * live / everything + 1e-9
    assert unsure[1] >= 100 * (live + unclassified) / everything - 1e-9


def test_a_chamber_square_gives_the_textbook_concentration():
    square = FieldGeometry(width_px=1000, height_px=1000, um_per_px=1.0, depth_um=100.0)

    assert square.volume_ml() == pytest.approx(1e-4)
    assert concentration_cells_ml(50, square.volume_ml(), dilution=2.0) == pytest.approx(1e6)


@settings(derandomize=True, deadline=None)
@given(count=counts, dilution=st.floats(1, 100))
def test_the_concentration_interval_holds_its_value(count, dilution):
    low, high = concentration_interval(count, 1e-4, dilution, OURS)

    assert 0 <= low <= concentration_cells_ml(count, 1e-4, dilution) < high


def test_relative_uncertainties_add_in_quadrature():
    exact = VolumeError(area=0.0, depth=0.0, dilution=0.0)
    low, high = concentration_interval(400, 1e-4, 1.0, NONE, exact)
    assert (low, high) == pytest.approx([1e4 * v for v in garwood(400)])

    deep = VolumeError(area=0.03, depth=0.04, dilution=0.5)
    _, wide = concentration_interval(10_000, 1e-4, 1.0, NONE, deep)
    poisson = garwood(10_000)[1] - 10_000

    # An undiluted sample has no dilution error; area and depth make 5 %.
    assert wide == pytest.approx(1e4 * (10_000 + math.hypot(poisson, normal_quantile(0.975) * 500)), rel=1e-6)


def test_the_viability_interval_covers_the_truth_in_95_of_100_specimens():
    rng = np.random.default_rng(5)
    inside = cases = 0
    for truth in (0.5, 0.7, 0.85, 0.95):
        for cells in (100, 400, 1000):
            for _ in range(150):
                # The classifier's error as validated: a shift of the share, the same for one specimen.
                share = min(1.0, max(0.0, truth + rng.normal(0, 0.025)))
                live = int(rng.binomial(cells, share))
                low, high = viability_interval(live, cells - live, 0, OURS)
                inside += low <= 100 * truth <= high
                cases += 1

    assert inside / cases >= 0.94
