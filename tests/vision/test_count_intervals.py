"""Limits against published tables, and what must hold of a budget whatever was counted."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.counting.chamber import Dilution, Volume
from vision.counting.count_limits import COVERAGE_FACTOR, garwood, normal_quantile, regularised_gamma, wilson
from vision.counting.method_error import EVENTS, MethodError, Rate
from vision.counting.random_effects import spread_between
from vision.counting.uncertainty import Budget, FieldCount, budget, fields_wanted

NONE = MethodError.none()
OURS = MethodError((Rate(0.04, 4e-4), *(Rate(0.02, 1e-4),) * (len(EVENTS) - 1)), 12, 1600, "made up")
pytestmark = pytest.mark.requirement("F-040")


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


def of(live: int, dead: int, unclassified: int = 0, **more: object) -> FieldCount:
    return FieldCount(live + dead + unclassified, live, dead, **more)


def counted(*fields: FieldCount, volume: Volume | None = None, factor: float = 1.0, error=NONE) -> Budget:
    return budget(fields, volume=volume, dilution=Dilution.of(factor), method_error=error)


def component(result: Budget, name: str, quantity: str = "concentration"):
    return next(each for each in result.components if (each.name, each.of) == (name, quantity))


def test_without_any_other_part_the_limits_are_wilsons_and_garwoods(monkeypatch):
    for prior in ("FIELD_PRIOR_SCALE", "CHAMBER_PRIOR_SCALE", "SHARE_PRIOR_SCALE"):
        monkeypatch.setattr(f"vision.counting.uncertainty.{prior}", 1e-9)
    exact = Volume(1e-4, depth_relative_u=0.0, area_relative_u=0.0)

    result = counted(of(280, 120), volume=exact)

    assert result.viability.interval == pytest.approx(wilson(280, 400), abs=1e-7)
    assert result.total.interval == pytest.approx(garwood(400), rel=1e-9)
    assert result.concentration.interval == pytest.approx([1e4 * end for end in garwood(400)], rel=1e-9)
    assert result.viable_concentration.interval[0] == pytest.approx(1e4 * garwood(280)[0], rel=1e-9)


def test_the_parts_of_a_concentration_add_in_quadrature():
    volume = Volume(1e-4, depth_relative_u=0.03, area_relative_u=0.04)

    result = counted(FieldCount(10_000), volume=volume, factor=2.0)

    parts = [each.relative_standard_uncertainty for each in result.components]
    low, high = result.concentration.interval
    assert (component(result, "counting").relative_standard_uncertainty) == 0.01
    assert math.log(high / low) / 2 / COVERAGE_FACTOR == pytest.approx(math.hypot(*parts), rel=2e-3)
    # One pipetting of 1:2: half of each volume's error reaches the factor.
    assert component(result, "dilution").relative_standard_uncertainty == pytest.approx(
        0.5 * math.hypot(0.015, 0.015)
    )


def test_an_undiluted_sample_has_no_dilution_error():
    names = [each.name for each in counted(FieldCount(100), volume=Volume(1e-4)).components]

    assert names == [
        "counting",
        "between fields",
        "between chambers",
        "method",
        "chamber depth",
        "field area",
    ]


def test_a_validated_bias_moves_the_interval_and_leaves_the_value():
    blind = MethodError((Rate(0.2, 1e-8), Rate(0.2, 1e-8), *(Rate(0.0, 0.0),) * 7), 9, 900, "made up")

    result = counted(*[of(900, 100)] * 9, error=blind)

    assert result.total.value == 9000
    assert result.count_bias == pytest.approx(-0.2)
    assert result.viability_bias == pytest.approx(0.0, abs=1e-9)
    # One in five cells is missed: there are 11,250, and the interval reaches down to what was counted.
    assert result.total.interval[0] == 9000
    assert result.total.interval[1] > 11_250


def test_false_dead_objects_leave_room_for_a_higher_viability():
    debris = MethodError((*(Rate(0.0, 0.0),) * 7, Rate(0.03, 1e-6), Rate(0.0, 0.0)), 9, 900, "made up")

    result = counted(*[of(950, 50)] * 9, error=debris)

    # 0.95 is what the method finds of 0.9785: 0.9785 / 1.03.
    low, high = result.viability.interval
    assert low == pytest.approx(0.95, abs=0.025)
    assert low <= 0.95 < 0.9785 < high
    assert result.viability_bias == pytest.approx(0.95 - 0.9785, abs=1e-3)


def test_fields_that_differ_more_than_chance_widen_the_interval():
    even = counted(*[FieldCount(n) for n in (100, 96, 104, 99, 101, 100, 98, 102, 100)])
    uneven = counted(*[FieldCount(n) for n in (100, 40, 160, 70, 130, 100, 60, 140, 100)])

    assert component(even, "between fields").kind == component(uneven, "between fields").kind == "A"
    assert component(even, "between fields").degrees_of_freedom == 8
    assert component(even, "between fields").relative_standard_uncertainty < 0.02
    # The spread of these nine is 39 %, of which Poisson explains 10 %: 38 % / sqrt(9) of their sum.
    assert component(uneven, "between fields").relative_standard_uncertainty == pytest.approx(0.127, abs=0.02)
    assert (
        uneven.total.interval[0] < even.total.interval[0] < even.total.interval[1] < uneven.total.interval[1]
    )


def test_one_field_tells_nothing_of_others_so_published_spread_stands():
    result = counted(of(900, 100))

    assert component(result, "between fields").kind == "B"
    assert component(result, "between fields").relative_standard_uncertainty == pytest.approx(0.07, abs=1e-3)
    assert component(result, "between fields").degrees_of_freedom is None


def test_three_fillings_that_agree_halve_what_one_filling_leaves_open():
    one = counted(*[FieldCount(500, chamber="1")] * 3)
    three = counted(*[FieldCount(500, chamber=name) for name in "123"])

    assert component(one, "between chambers").relative_standard_uncertainty == pytest.approx(0.06, abs=1e-3)
    assert component(three, "between chambers").relative_standard_uncertainty < 0.03


def test_no_cell_gives_an_upper_limit_and_no_viability():
    result = counted(of(0, 0), of(0, 0), volume=Volume(1e-4), error=OURS)

    assert result.viability is result.viable_concentration is None
    assert result.concentration.value == result.concentration.interval[0] == 0
    # 3.69 cells is Garwood's limit of none.
    assert 3.6e4 < result.concentration.interval[1] < 4.2e4


fields_of_any_kind = st.lists(
    st.builds(
        of,
        st.integers(0, 3000),
        st.integers(0, 3000),
        st.integers(0, 300),
        size=st.floats(0.1, 10),
        chamber=st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=9,
)
rates = st.tuples(*[st.builds(Rate, st.floats(0, 0.2), st.floats(0, 0.01))] * len(EVENTS))
errors = st.builds(MethodError, rates, st.integers(0, 20), st.integers(1, 5000), st.just("made up"))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(fields=fields_of_any_kind, error=errors, volume_ml=st.floats(1e-6, 1e-2), factor=st.floats(1, 1000))
def test_every_interval_holds_its_value_and_is_a_number(fields, error, volume_ml, factor):
    result = counted(*fields, volume=Volume(volume_ml), factor=factor, error=error)

    quantities = [result.total, result.concentration, result.viability, result.viable_concentration]
    for quantity in quantities:
        if quantity is None:
            continue
        low, high = quantity.interval
        assert 0 <= low <= quantity.value <= high < math.inf
    if result.viability is not None:
        assert result.viability.interval[1] <= 1
        # All unclassified cells may be on one side.
        live, everything = sum(f.live for f in fields), sum(f.total for f in fields)
        assert result.viability.interval[0] <= live / everything + 1e-12
        assert result.viability.interval[1] >= 1 - sum(f.dead for f in fields) / everything - 1e-12
    assert all(0 <= each.relative_standard_uncertainty < math.inf for each in result.components)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(fields=fields_of_any_kind, factor=st.floats(1, 20), times=st.floats(0.01, 100))
def test_a_unit_of_volume_changes_the_digits_and_nothing_else(fields, factor, times):
    plain = counted(*fields, volume=Volume(1e-4), factor=factor, error=OURS)
    larger = [FieldCount(f.total, f.live, f.dead, size=f.size * times, chamber=f.chamber) for f in fields]
    scaled = counted(*larger, volume=Volume(1e-4 * times), factor=factor, error=OURS)

    assert scaled.total.interval == pytest.approx(plain.total.interval, rel=1e-6)
    assert [times * end for end in scaled.concentration.interval] == pytest.approx(
        plain.concentration.interval, rel=1e-6
    )
    assert (scaled.viability is None) == (plain.viability is None)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(live=st.integers(0, 2000), dead=st.integers(0, 2000))
def test_one_more_live_cell_never_lowers_a_limit(live, dead):
    if live + dead == 0:
        return

    less, more = counted(of(live, dead), error=OURS), counted(of(live + 1, dead), error=OURS)

    assert more.viability.interval[0] >= less.viability.interval[0] - 1e-9
    assert more.viability.interval[1] >= less.viability.interval[1] - 1e-9
    assert more.total.interval[0] >= less.total.interval[0] - 1e-6
    assert more.total.interval[1] >= less.total.interval[1] - 1e-6


@settings(derandomize=True, deadline=None, max_examples=40)
@given(live=st.integers(1, 2000), dead=st.integers(1, 2000), unsure=st.integers(1, 300))
def test_doubt_widens(live, dead, unsure):
    plain, own_error = counted(of(live, dead)), counted(of(live, dead), error=OURS)
    unclassified = counted(of(live, dead, unsure))

    def ratio(result):
        return result.total.interval[1] / result.total.interval[0]

    assert ratio(own_error) > ratio(plain)
    assert unclassified.viability.interval[0] < plain.viability.interval[0]
    assert unclassified.viability.interval[1] > plain.viability.interval[1]


def test_a_spread_of_nothing_is_not_proved_by_three_units():
    chance = 1e-6

    three = spread_between([[(1.0, chance)] * 3], 0.05).variance
    thirty = spread_between([[(1.0, chance)] * 30], 0.05).variance
    prior = spread_between([[(1.0, chance)]], 0.05).variance

    assert math.sqrt(prior) == pytest.approx(0.05, rel=1e-2)
    assert thirty < three < prior


def test_many_units_outvote_the_prior():
    values = [(1 + 0.3 * (-1) ** n, 1e-4) for n in range(40)]

    assert math.sqrt(spread_between([values], 0.05).variance) == pytest.approx(0.30, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "cells", "least", "more"),
    [(4, 100, 100, 0), (4, 50, 100, 6), (1, 99, 100, 1), (3, 0, 100, None)],
)
def test_the_fields_still_to_take_follow_from_those_taken(fields, cells, least, more):
    assert fields_wanted(fields, cells, least) == more
