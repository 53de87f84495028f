"""F-041: a result is judged by its value or by the ends of its interval, and the record says which."""

from __future__ import annotations

from decimal import Decimal

import pytest
from bedside import RECIPE_B, Bedside, counted

from appliance.domain.recipe import parse
from appliance.domain.recipe_check import check
from appliance.domain.release import BOTH_BOUNDS, LOWER_BOUND, POINT, WINDOW_RULES, judged_by

pytestmark = pytest.mark.requirement("F-041")
BY_BOUNDS = RECIPE_B.replace('dose = "yes"', 'dose = "yes"\ndose_rule = "both_bounds"')
# Of 70 kg, 30 mL and 90 % viability, cells/mL that lie well inside 0.5 to 4.0e6 cells/kg, and at its ends.
INSIDE = ("4500000", ["4100000", "4900000"])
LOW = ("1400000", ["1200000", "1600000"])
HIGH = ("10000000", ["9000000", "11000000"])


def filled(recipe: str, concentration: tuple[str, list[str]]) -> Bedside:
    bedside = Bedside(recipe)
    value, ends = concentration
    bedside.begin_batch()
    bedside.count = lambda request: counted(
        request, concentration_cells_ml=value, concentration_interval_cells_ml=ends
    )
    bedside.works_through("fill")
    return bedside


@pytest.mark.parametrize(
    ("concentration", "by_value", "by_bounds"),
    [(INSIDE, "pass", "pass"), (LOW, "pass", "fail"), (HIGH, "pass", "fail")],
    ids=["inside", "lower end outside", "upper end outside"],
)
def test_the_recipe_says_whether_the_dose_or_its_whole_interval_lies_in_the_window(
    concentration: tuple[str, list[str]], by_value: str, by_bounds: str
) -> None:
    value, bounds = filled(RECIPE_B, concentration), filled(BY_BOUNDS, concentration)

    assert value.result("dose").verdict == by_value
    assert bounds.result("dose").verdict == by_bounds
    assert value.result("dose").rule == "point value inside the window"
    assert bounds.result("dose").rule == "both ends of the 95 % interval inside the window"
    assert value.result("dose").interval == bounds.result("dose").interval


def test_a_dose_whose_interval_reaches_out_of_the_window_is_told_with_its_interval_and_rule() -> None:
    bedside = filled(BY_BOUNDS, LOW)

    (words,) = bedside.deviations()

    low, high = bedside.result("dose").interval
    assert f"({low} to {high})" in words
    assert "both ends of the 95 % interval inside the window" in words


def test_a_rule_that_nobody_knows_is_refused_with_the_recipe() -> None:
    wrong = BY_BOUNDS.replace("both_bounds", "lower_bound")

    assert check(parse(wrong.encode())) == ["phase.fill.text.dose_rule: write point or both_bounds."]


@pytest.mark.parametrize(
    ("rule", "interval", "verdict"),
    [
        (POINT, ["0.1", "9"], "pass"),
        (LOWER_BOUND, ["0.9", "9"], "fail"),
        (LOWER_BOUND, ["1", "9"], "fail"),
        (LOWER_BOUND, ["1", "5"], "pass"),
        (BOTH_BOUNDS, ["1.0", "5.0"], "pass"),
        (BOTH_BOUNDS, ["0.999", "5"], "fail"),
        (BOTH_BOUNDS, ["1", "5.001"], "fail"),
        (BOTH_BOUNDS, [], "fail"),
    ],
)
def test_an_interval_is_judged_by_the_ends_that_face_the_limits(
    rule: str, interval: list[str], verdict: str
) -> None:
    ends = [Decimal(end) for end in interval]

    assert judged_by(rule, Decimal(2), ends, Decimal(1), Decimal(5)) == verdict


def test_a_minimum_alone_asks_nothing_of_the_upper_end() -> None:
    assert judged_by(LOWER_BOUND, Decimal(80), [Decimal(71), Decimal(99)], Decimal(70), None) == "pass"
    assert judged_by(LOWER_BOUND, Decimal(71), [Decimal(66), Decimal(76)], Decimal(70), None) == "fail"


def test_the_count_s_own_viable_concentration_goes_into_the_dose() -> None:
    bedside = Bedside()
    bedside.begin_batch()
    bedside.count = lambda request: counted(
        request,
        viable_concentration_cells_ml="3900000",
        viable_concentration_interval_cells_ml=["3100000", "5000000"],
    )

    bedside.works_through("fill")

    assert bedside.result("viable_concentration").value == "3900000"
    assert bedside.result("viable_concentration").interval == ["3100000", "5000000"]
    per_kg = Decimal(bedside.result("dose").value) / Decimal(3900000)
    low, high = (Decimal(end) for end in bedside.result("dose").interval)
    assert [round(low / per_kg, -5), round(high / per_kg, -5)] == [3100000, 5000000]


def test_of_a_record_without_it_the_viable_concentration_is_the_product_of_both_figures() -> None:
    bedside = Bedside()
    bedside.begin_batch()

    bedside.works_through("count")

    assert bedside.result("viable_concentration").value == "4050000"
    low, high = (int(end) for end in bedside.result("viable_concentration").interval)
    # Of 4.5 (4.1 to 4.9) million and 90 (86.9 to 92.4) %: 8.9 and 3.4 % below, 8.9 and 2.7 % above.
    assert low == pytest.approx(4050000 * (1 - 0.0953), rel=1e-3)
    assert high == pytest.approx(4050000 * (1 + 0.0928), rel=1e-3)


def test_every_rule_of_a_window_has_words_for_the_record() -> None:
    assert set(WINDOW_RULES) == {POINT, BOTH_BOUNDS}
    assert all(WINDOW_RULES.values())
