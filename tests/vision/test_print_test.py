"""Stories of the print-head test: a dead dot is found, and a picture that could not show one never passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from label_scenes import PRINT_TEST
from print_test_scenes import seen

from vision.labels.print_test import PIXELS_A_DOT_MIN, PrintVerdict, judge

PAYLOAD = PRINT_TEST["linear_text"]
DOT_MM = {203: 25.4 / 203, 300: 25.4 / 300}


def verdict(dpi: int = 300, **scene: Any) -> PrintVerdict:
    return judge(seen(dpi=dpi, **scene), PAYLOAD, dpi=dpi)


@pytest.mark.requirement("F-007", "T18")
@pytest.mark.parametrize(
    "scene",
    [
        {"tilt": 0.15, "turn_deg": 8.0, "blur_px": 1.5, "light_fall": 0.5},
        {"dpi": 203, "pixels_a_dot": 2.0, "turn_deg": 180.0},
        pytest.param({}, marks=pytest.mark.soak),
        pytest.param({"blur_px": 2.5}, marks=pytest.mark.soak),
        pytest.param({"grain": 10.0}, marks=pytest.mark.soak),
        pytest.param({"pixels_a_dot": 4.0, "tilt": -0.1}, marks=pytest.mark.soak),
    ],
)
def test_one_dead_dot_is_found_and_its_place_told_and_a_whole_head_passes(scene: dict[str, Any]) -> None:
    column = 444
    found = verdict(dead=(column,), **scene)

    dot_mm = DOT_MM[scene.get("dpi", 300)]
    assert found.verdict == "fail", found
    assert len(found.dead) == 1
    assert found.dead[0].at_mm == pytest.approx((column + 0.5) * dot_mm, abs=0.25)
    assert found.dead[0].width_mm == pytest.approx(dot_mm, rel=0.3)
    assert f"{found.dead[0].at_mm:.1f} mm" in found.words

    whole = verdict(**scene)
    assert (whole.verdict, whole.dead) == ("pass", ()), whole
    assert 0 < whole.narrowest_mm < dot_mm


@pytest.mark.requirement("F-007", "T18")
def test_each_of_several_dead_dots_is_told() -> None:
    columns = (20, 601, 606, 1180)

    found = verdict(dead=columns, pixels_a_dot=2.0)

    assert [round(each.at_mm, 1) for each in found.dead] == pytest.approx(
        [(column + 0.5) * DOT_MM[300] for column in columns], abs=0.2
    )


@pytest.mark.parametrize("dots_wide", [25, pytest.param(5, marks=pytest.mark.soak), 60])
def test_a_wider_dead_stretch_is_one_line_of_its_width(dots_wide: int) -> None:
    found = verdict(dead=(600,), dots_wide=dots_wide)

    assert [round(each.width_mm / DOT_MM[300]) for each in found.dead] == pytest.approx([dots_wide], rel=0.25)


@pytest.mark.requirement("F-007", "T18")
@pytest.mark.parametrize(
    ("scene", "words"),
    [
        ({"pixels_a_dot": 1.0}, "Come closer"),
        ({"blur_px": 9.0}, "square symbols were not read"),
        ({"dead": (300,), "dots_wide": 250}, "no print, lies on a part"),
        pytest.param(
            {"dead": (1033,), "dots_wide": 80}, "square symbols were not read", marks=pytest.mark.soak
        ),
    ],
)
def test_a_picture_that_could_not_show_a_dead_dot_never_passes(scene: dict[str, Any], words: str) -> None:
    told = verdict(**scene)

    assert told.verdict == "cannot_tell"
    assert words in told.words


def test_glare_on_the_field_and_half_a_label_never_pass() -> None:
    picture = seen()
    height, width = picture.shape
    down, across = np.mgrid[0:height, 0:width]
    away = np.hypot(across - 0.5 * width, down - 0.62 * height) / 150
    burnt = np.clip(picture + 230 * np.exp(-(away**2)), 0, 255).astype(np.uint8)

    assert judge(burnt, PAYLOAD, dpi=300).verdict == "cannot_tell"
    assert judge(np.ascontiguousarray(picture[:, : width // 2]), PAYLOAD, dpi=300).verdict == "cannot_tell"
    assert judge(np.full((400, 600), 255, np.uint8), PAYLOAD, dpi=300).verdict == "cannot_tell"


def test_the_label_of_another_printer_or_day_is_not_judged() -> None:
    told = judge(seen(), "PT PRINTER-2 2611211405", dpi=300)

    assert told.verdict == "cannot_tell"
    assert "another test" in told.words


@pytest.mark.soak
@pytest.mark.requirement("F-007", "T18")
@pytest.mark.parametrize("dpi", [203, 300])
@pytest.mark.parametrize("seed", range(20))
def test_no_dead_dot_is_missed_and_no_whole_head_fails_with_pixels_enough(dpi: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    scene: dict[str, Any] = {
        "pixels_a_dot": float(rng.uniform(PIXELS_A_DOT_MIN + 0.1, 4.0)),
        "blur_px": float(rng.uniform(0.6, 2.0)),
        "tilt": float(rng.uniform(-0.12, 0.12)),
        "turn_deg": float(rng.uniform(-15, 15)),
        "light_fall": float(rng.uniform(0, 0.5)),
        "grain": float(rng.uniform(2, 8)),
        "seed": seed,
    }
    column = int(rng.integers(20, int(101.6 / DOT_MM[dpi]) - 20))

    assert verdict(dpi=dpi, dead=(column,), **scene).verdict in ("fail", "cannot_tell")
    assert verdict(dpi=dpi, **scene).verdict in ("pass", "cannot_tell")
