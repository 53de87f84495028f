"""ISO 20391-2: the indicators of a dilution series, what a design lacks, and what a file must hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vision.counting.dilution_series import Series, SeriesUnusable, read, read_file
from vision.counting.qualification import Limits, Qualification, as_json, qualify

COMET = Path(__file__).parents[1] / "data" / "vision" / "nist_comet"
HEAD = "counting_method,target_dilution_fraction,random_sample_number,rep_obsv,cell_conc\n"


def series_of(example: int, method: str) -> Series:
    found = read_file(COMET / f"Full_Template_Example_{example}_COMET.csv")
    return next(one for one in found if one.method == method)


def made(targets: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0), samples: int = 3, looks: int = 3) -> str:
    """A series of 1e6 cells/mL, each look 2 % off its neighbour."""
    rows = [
        f"trypan-blue,{target},{target * 100:.0f}-{sample},{look},{1e6 * target * (0.96 + 0.02 * look):.0f}"
        for target in targets
        for sample in range(samples)
        for look in range(1, looks + 1)
    ]
    return HEAD + "\n".join(rows) + "\n"


def judged(text: str, **limits: float) -> Qualification:
    (series,) = read(text.encode())
    return qualify(series, limits=Limits(**limits), rounds=0)


# Reference values worked out from the formulas of NIST's tool by another program.
@pytest.mark.requirement("F-039")
@pytest.mark.parametrize(
    ("example", "method", "slope", "r2", "pi_squared", "pi_absolute", "cv"),
    [
        (1, "Method 2", "1.059e+06", "0.99838", "0.0116", "0.3467", "5.19"),
        (2, "Method 5", "2.492e+06", "0.99802", "0.0231", "0.4747", "14.4"),
        (2, "Method 6", "2.415e+06", "0.98165", "0.0987", "1.0037", "23.6"),
        (2, "Method 7", "2.447e+06", "0.95704", "0.7485", "3.1440", "8.9"),
        (2, "Method 8", "2.422e+06", "0.95692", "1.0627", "2.7963", "23.7"),
        (3, "Method 1", "2.725e+06", "0.99932", "0.0205", "0.4591", "2.9"),
        (3, "Method 2", "1.858e+06", "0.99472", "0.0237", "0.5195", "10.5"),
        (3, "Method 3", "1.890e+06", "0.98316", "0.1812", "1.6477", "7.9"),
    ],
)
def test_the_examples_of_comet_give_the_known_indicators(
    example, method, slope, r2, pi_squared, pi_absolute, cv
):
    found = qualify(series_of(example, method), rounds=0).indicators

    digits = len(cv.partition(".")[2])
    assert f"{found.slope_cells_ml:.3e}" == slope
    assert f"{found.r2:.5f}" == r2
    assert (f"{found.pi_squared:.4f}", f"{found.pi_absolute:.4f}") == (pi_squared, pi_absolute)
    assert f"{found.cv_percent:.{digits}f}" == cv


@pytest.mark.requirement("F-039")
def test_a_good_method_passes_and_a_crooked_one_is_told_why():
    good = qualify(series_of(1, "Method 2"), rounds=0)
    crooked = qualify(series_of(2, "Method 7"), rounds=0)

    assert (good.verdict, good.failures, good.design_gaps) == ("pass", (), ())
    assert crooked.verdict == "fail"
    assert any("off proportionality" in words for words in crooked.failures)
    assert any("R²" in words for words in crooked.failures)


def test_the_intervals_hold_the_figures_and_come_out_the_same_each_time():
    series = series_of(3, "Method 2")

    first, second = (qualify(series, rounds=200) for _ in range(2))

    assert first.intervals == second.intervals
    for name in ("slope_cells_ml", "r2", "cv_percent"):
        low, high = first.intervals[name]
        assert low < getattr(first.indicators, name) < high, name


@pytest.mark.soak
def test_the_interval_of_the_slope_covers_the_truth_as_often_as_it_says():
    # 60 series of five dilutions with known stock: samples vary by 4 %, looks by 5 %.
    random, held = np.random.default_rng(1), 0
    for _ in range(60):
        rows = []
        for target in (0.1, 0.3, 0.5, 0.7, 0.9):
            for sample in range(4):
                true = 1e6 * target * (1 + 0.04 * random.standard_normal())
                rows += [
                    f"m,{target},{target}-{sample},{look},{true * (1 + 0.05 * random.standard_normal()):.1f}"
                    for look in range(3)
                ]
        (series,) = read((HEAD + "\n".join(rows)).encode())
        low, high = qualify(series, rounds=100).intervals["slope_cells_ml"]
        held += low <= 1e6 <= high

    # A bootstrap of four samples a dilution is somewhat narrow.
    assert 0.8 <= held / 60 <= 0.99, held / 60


def test_exact_proportion_gives_no_deviation_at_all():
    found = judged(made(looks=1)).indicators

    assert (found.r2, found.pi_squared) == pytest.approx((1.0, 0.0), abs=1e-20)
    assert found.slope_cells_ml == pytest.approx(0.98e6)  # each sample's one look is 2 % low
    assert found.cv_percent is None


@pytest.mark.requirement("F-039")
def test_a_design_with_too_few_dilutions_or_samples_says_what_is_missing():
    few = judged(made(targets=(0.5, 0.75, 1.0)))
    thin = judged(made(samples=2))

    assert few.verdict == thin.verdict == "fail"
    assert few.design_gaps == ("3 dilutions were measured; at least 4 are needed.",)
    assert "Dilution 0.25 has 2 replicate samples; at least 3 are needed." in thin.design_gaps


def test_one_sample_under_two_dilutions_is_a_slip_of_the_pen():
    text = made() + "trypan-blue,0.5,25-0,1,500000\n"

    assert any("25-0 stands under more than one dilution" in words for words in judged(text).design_gaps)


def test_where_nothing_was_looked_at_twice_the_samples_are_compared():
    found = judged(
        HEAD
        + "".join(
            f"m,{target},{target}-{sample},1,{1e6 * target * (1 + 0.2 * (sample - 1))}\n"
            for target in (0.25, 0.5, 0.75, 1.0)
            for sample in range(3)
        )
    )

    assert found.levels[0].cv_percent is None
    assert found.levels[0].judged_cv_percent == pytest.approx(20.0)
    assert any("vary by 20.00 %" in words for words in found.failures)
    assert any("twice" in words for words in found.remarks)


def test_a_stricter_limit_fails_what_the_usual_one_passes():
    assert judged(made()).verdict == "pass"
    assert judged(made(), cv_percent_max=1.5).verdict == "fail"
    assert judged(made(), pi_squared_max=1e-30, r2_min=0.5).verdict == "fail"


def test_unequal_numbers_of_looks_weigh_as_many():
    # Two samples, at 1.0 and 0.5; the first was looked at three times.
    text = HEAD + "m,1,a,1,100\nm,1,a,2,100\nm,1,a,3,100\nm,0.5,b,1,40\n"

    # Weights n/x: (3·1·100 + 2·0.5·40) / (3·1·1 + 2·0.5·0.5) = 340 / 3.5.
    assert judged(text).indicators.slope_cells_ml == pytest.approx(340 / 3.5)


def test_a_series_without_a_cell_is_no_division_by_zero():
    found = judged(HEAD + "".join(f"m,{t},{t}-{s},1,0\n" for t in (0.2, 0.4, 0.6, 0.8) for s in range(3)))

    assert found.verdict == "fail"
    assert "Not one cell was counted in the whole series." in found.failures


# ── The file ───────────────────────────────────────────────────────────────────────────


def test_columns_may_be_called_as_people_call_them():
    text = "\ufeffMethod;Dilution fraction;Sample ID;Concentration (cells/mL);Viability %\n"
    text += "A;0,5;1;500000,5;91,5\nA;0,25;2;250000;NA\n"

    (series,) = read(text.encode())

    assert [one.target for one in series.observations] == [0.5, 0.25]
    assert series.observations[0].concentration_cells_ml == 500000.5
    assert [one.viability_percent for one in series.observations] == [91.5, None]


def test_missing_columns_are_named():
    with pytest.raises(SeriesUnusable) as why:
        read(b"counting_method,target_dilution_fraction\nA,0.5\n")

    assert "random_sample_number, cell_conc" in str(why.value)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("m,50,1,1,1e6", "Line 2: the target dilution fraction is 50"),
        ("m,0,1,1,1e6", "Line 2: the target dilution fraction is 0"),
        ("m,0.5,1,1,many", "Line 2: cell_conc is 'many'"),
        ("m,0.5,1,1,-3", "Line 2: cell_conc is '-3'"),
        ("m,0.5,1,1,inf", "Line 2: cell_conc is 'inf'"),
        ("m,NA,1,1,1e6", "Line 2: the target dilution fraction is missing"),
        ("m,0.5,,1,1e6", "Line 2: the sample number is missing"),
        ("m,0.5,1,1,NA", "no row with a concentration"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_line(row, words):
    with pytest.raises(SeriesUnusable) as why:
        read((HEAD + row + "\n").encode())

    assert words in str(why.value)


@pytest.mark.parametrize("data", [b"", b"\x00\x01\x02", b"\xff\xfe\x00a", b'"' * 50, b"a" * 2_000_001])
def test_what_is_no_table_is_refused_in_words(data):
    with pytest.raises(SeriesUnusable):
        read(data)


def test_rows_without_a_concentration_are_left_out_and_told():
    found = judged(made() + "trypan-blue,1.0,100-0,4,NA\n")

    assert found.remarks[0] == "1 row without a concentration left out."


def test_the_figures_as_json_are_plain_values():
    import json

    told = json.loads(json.dumps(as_json(qualify(series_of(1, "Method 2"), rounds=50)), allow_nan=False))

    assert told["verdict"] == "pass"
    assert told["bootstrap_rounds"] == 50
    assert [level["target"] for level in told["levels"]] == sorted(
        level["target"] for level in told["levels"]
    )
