"""What a method's card says of its errors, and how much of that is chance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vision.counting.method_error import EVENTS, CardLacksValidation, MethodError

pytestmark = pytest.mark.requirement("F-040", "F-044")


def row(name: str, live: int, dead: int, group: str = "", **events: int) -> dict[str, object]:
    """Return a validation row; what no event takes is found as it is."""
    lost_live = events.get("missed_live", 0) + events.get("live_dead", 0) + events.get("live_unclassified", 0)
    lost_dead = events.get("missed_dead", 0) + events.get("dead_live", 0) + events.get("dead_unclassified", 0)
    known = {key: value for key, value in events.items() if not key.startswith("missed")}
    return {
        "specimen": name,
        "group": group,
        "truth_live": live,
        "truth_dead": dead,
        "live_live": live - lost_live,
        "dead_dead": dead - lost_dead,
        **known,
    }


def card(*rows: dict[str, object]) -> dict[str, object]:
    return {"validation": {"specimens": list(rows)}}


def rate(error: MethodError, event: str):
    return error.rates[EVENTS.index(event)]


def test_the_mean_rates_are_those_of_all_specimens_together():
    error = MethodError.from_card(
        card(
            row("a", 800, 200, missed_live=20, live_dead=8, dead_live=10, false_dead=15),
            row("b", 400, 100, missed_live=10, live_dead=4, dead_live=5, false_dead=7),
        )
    )

    assert rate(error, "live missed").mean == pytest.approx(30 / 1200, rel=0.03)
    assert rate(error, "live called dead").mean == pytest.approx(12 / 1200, rel=0.05)
    assert rate(error, "dead called live").mean == pytest.approx(15 / 300, rel=0.05)
    assert rate(error, "false dead").mean == pytest.approx(22 / 1500, rel=0.03)
    found, _ = error.total_ratio(0.8)
    assert found == pytest.approx((1500 - 30 + 22) / 1500, abs=2e-3)
    share, _ = error.share(0.8)
    assert share == pytest.approx((1200 - 30 - 12 + 15) / (1500 - 30 + 22), abs=2e-3)


def test_chance_in_small_specimens_is_not_taken_for_the_methods_own_spread():
    rng = np.random.default_rng(11)
    # One rate for all: what differs between these specimens is chance alone.
    small = [row(str(n), 80, 20, live_dead=int(rng.binomial(80, 0.05))) for n in range(60)]
    differing = [
        row(str(n), 80, 20, live_dead=int(rng.binomial(80, r))) for n, r in enumerate([0.01, 0.09] * 30)
    ]

    chance = rate(MethodError.from_card(card(*small)), "live called dead")
    own = rate(MethodError.from_card(card(*differing)), "live called dead")

    # As measured, the specimens' own rates scatter by 0.024; of one rate next to nothing may be left.
    assert np.std([r["live_dead"] / 80 for r in small]) > 0.018
    assert math.sqrt(chance.variance) < 0.012
    assert math.sqrt(own.variance) == pytest.approx(0.04, abs=0.01)


def test_specimens_mixed_from_all_groups_do_not_hide_how_groups_differ():
    lost = {"p": 2, "q": 2, "r": 20, "s": 2}
    mixed = [row(str(n), 100, 0, group, missed_live=k) for n in range(10) for group, k in lost.items()]

    error = MethodError.from_card(card(*mixed))

    # In each specimen 26 of 400 are missed; in one group of four 20 of 100.
    assert math.sqrt(rate(error, "live missed").variance) > 0.05
    assert "4 acquisition groups" in error.rests_on


def test_errors_that_cancel_in_each_specimen_are_not_told_as_an_error_of_the_count():
    missed = [4, 40, 12, 70, 20, 55, 8, 33, 61, 25]
    cancelling = [row(str(n), 1000, 0, missed_live=k, false_live=k) for n, k in enumerate(missed)]
    crossing = [
        row(str(n), 1000, 0, missed_live=k, false_live=k2)
        for n, (k, k2) in enumerate(zip(missed, reversed(missed), strict=True))
    ]

    _, of_cancelling = MethodError.from_card(card(*cancelling)).total_ratio(1.0)
    _, of_crossing = MethodError.from_card(card(*crossing)).total_ratio(1.0)

    assert of_cancelling < 0.012
    assert of_crossing > 0.02


def test_errors_that_add_up_in_each_specimen_are_told_larger_than_apart():
    missed = [10, 60, 20, 90, 30, 70, 5, 50, 100, 40]
    alike = [
        row(str(n), 700, 300, missed_live=7 * k // 10, missed_dead=3 * k // 10) for n, k in enumerate(missed)
    ]

    found, relative_u = MethodError.from_card(card(*alike)).total_ratio(0.7)

    # The specimens' own counts scatter by 3.2 % of which 0.7 % are chance.
    assert found == pytest.approx(1 - 0.0475, abs=2e-3)
    assert 0.026 < relative_u < 0.045


def test_what_never_happened_in_few_cells_is_not_impossible():
    few = rate(MethodError.from_card(card(row("a", 30, 10))), "dead called live")
    many = rate(MethodError.from_card(card(row("a", 30_000, 10_000))), "dead called live")

    assert few.mean > 0.01
    assert math.sqrt(few.variance) > 0.01
    assert many.mean < 1e-4


def test_a_method_without_classes_gives_its_counts_alone():
    rows = [{"specimen": str(n), "group": "x", "truth": 400, "found": 410, "matched": 380} for n in range(8)]

    error = MethodError.from_card({"validation": {"specimens": rows}})

    found, relative_u = error.total_ratio(1.0)
    assert found == pytest.approx(410 / 400, abs=2e-3)
    assert 0.002 < relative_u < 0.03


def test_a_card_that_gives_overall_errors_alone_is_taken_whole():
    error = MethodError.from_card(
        {"validation": {"sample_count_rms_percent": 4.5, "viability_rms_pp": 2.7, "cells_per_specimen": 104}}
    )

    assert error.total_ratio(1.0) == pytest.approx((1.0, 0.045), rel=0.01)
    _, share_u = error.share(0.8)
    assert 0.02 < share_u < 0.05


@pytest.mark.parametrize("empty", [{}, {"validation": {}}, card(row("a", 0, 0))])
def test_without_validation_no_interval_is_given(empty):
    with pytest.raises(CardLacksValidation, match="choose another method"):
        MethodError.from_card(empty)
