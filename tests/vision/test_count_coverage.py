"""F-040: the intervals of a count hold the truth in 94 to 97 of 100 specimens, the whole chain simulated.

Few specimens, so that it takes seconds; `tests/bench/bench_count_coverage.py` draws a hundred times as many
of the same kinds and holds every cell of the grid to 92 %.
"""

from __future__ import annotations

import pytest

from tests.bench.bench_count_coverage import AVERAGED, QUANTITIES, Specimen, grid, least_of_grid, simulate

pytestmark = pytest.mark.requirement("F-040")
TIMES = 5


@pytest.fixture(scope="module")
def coverages():
    return simulate(grid(AVERAGED), TIMES, seed=7, validations=60)


@pytest.mark.parametrize("name", QUANTITIES)
def test_an_interval_of_a_hundred_cells_or_more_holds_the_truth_as_often_as_it_says(coverages, name):
    cover = coverages[name, "enough", "all"]

    # Two standard errors of this many specimens about what is asked for.
    assert cover.tried > 1500
    assert 0.94 - 0.012 < cover.share < 0.97 + 0.008, cover


@pytest.mark.parametrize("name", QUANTITIES)
def test_an_interval_of_fewer_cells_may_be_wider_but_never_holds_the_truth_less_often(coverages, name):
    cover = coverages[name, "few", "all"]

    assert cover.tried > 300
    assert cover.share > 0.93 - 0.02, cover


@pytest.mark.soak
@pytest.mark.parametrize("name", QUANTITIES)
def test_no_cell_of_the_grid_of_concentrations_and_viabilities_is_left_out(name):
    table = simulate(grid(AVERAGED), 80, seed=8)

    assert least_of_grid(table, name, 80) > 0.92


def test_more_fields_make_the_interval_narrower_and_no_less_true():
    few, many = (
        simulate([Specimen(1e6, 0.9, fields, "usual")], 150, seed=9, validations=30) for fields in (1, 30)
    )

    for name in ("concentration", "viability"):
        one, thirty = (table[name, "enough", "all"] for table in (few, many))
        assert thirty.width / thirty.tried < 0.65 * one.width / one.tried
        assert thirty.share > 0.9
