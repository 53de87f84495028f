"""Live and dead by two stains, on fields whose truth is known because they were mixed here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from vision.counting import live_dead_populations as populations
from vision.counting import two_channels
from vision.counting.count_command import count
from vision.counting.live_dead import LiveDead
from vision.counting.method import Cell, Finding, Scale
from vision.counting.training.two_channel_mixes import Mix, Staining, drawn_nuclei, mixed
from vision.picture_file import FieldPicture, PictureUnreadable

SIDE_PX, NUCLEI, RADIUS_PX = 640, 120, 11.0


@pytest.fixture(scope="module")
def field():
    return drawn_nuclei(SIDE_PX, NUCLEI, RADIUS_PX, np.random.default_rng(7))


@pytest.fixture(scope="module")
def true_nuclei(field):
    """Stands for the method that finds nuclei: it knows where each one was drawn."""
    cells = []
    for number in range(1, int(field.labels.max()) + 1):
        rows, columns = np.nonzero(field.labels == number)
        radius = float(np.sqrt(len(rows) / np.pi))
        cells.append(Cell(columns.mean(), rows.mean(), radius, "nucleus", 1.0, 1.0))
    return lambda picture, scale: Finding(tuple(cells), field.labels)


def pictures(mix: Mix) -> list[FieldPicture]:
    return [FieldPicture(mix.a, 8, 0.0), FieldPicture(mix.b, 8, 0.0)]


def found_in(mix: Mix, method: LiveDead) -> Finding:
    return method.find(pictures(mix), Scale(object_diameter_px=mix.diameter_px))


def viability_error_pp(mix: Mix, finding: Finding) -> float:
    kinds = [cell.kind for cell in finding.cells if cell.included]
    told = kinds.count("live") + kinds.count("dead")
    return 100 * abs(kinds.count("live") / told - float(mix.live.mean()))


@pytest.mark.parametrize("bleed", [0.0, 0.15, 0.3])
@pytest.mark.parametrize("live_share", [0.0, 0.5, 0.9, 1.0])
def test_the_share_of_live_nuclei_is_told_at_any_bleed_through(field, true_nuclei, live_share, bleed):
    staining = Staining(live_share=live_share, bleed_a_to_b=bleed, shift_px=(2.0, -1.0))
    mix = mixed(field, staining, np.random.default_rng(3))

    finding = found_in(mix, LiveDead(segment=true_nuclei))

    assert viability_error_pp(mix, finding) <= 1.5, finding.measures
    assert finding.measures["unclassified_share"] <= 0.03
    if live_share > 0 and bleed > 0:
        assert finding.measures["bleed_through_a_to_b"] == pytest.approx(bleed, abs=0.03)


def test_a_dead_nucleus_that_lost_all_of_its_live_stain_is_dead(field, true_nuclei):
    staining = Staining(live_share=0.6, quenched=(0.0, 0.0))
    mix = mixed(field, staining, np.random.default_rng(4))

    finding = found_in(mix, LiveDead(segment=true_nuclei))

    assert viability_error_pp(mix, finding) <= 1.0
    assert finding.measures["dead_in_b_alone_share"] > 0.9


def test_a_shift_of_a_few_pixels_is_told_and_corrected(field, true_nuclei):
    staining = Staining(live_share=0.7, shift_px=(4.0, -3.0))
    mix = mixed(field, staining, np.random.default_rng(5))

    finding = found_in(mix, LiveDead(segment=true_nuclei))

    assert finding.measures["channel_shift_known"] == 1
    assert finding.measures["channel_shift_x_px"] == pytest.approx(4.0, abs=0.3)
    assert finding.measures["channel_shift_y_px"] == pytest.approx(-3.0, abs=0.3)
    assert viability_error_pp(mix, finding) <= 1.5


def test_a_shift_too_large_to_be_one_field_is_told(field, true_nuclei):
    mix = mixed(field, Staining(live_share=0.7, shift_px=(25.0, 8.0)), np.random.default_rng(5))

    measures = found_in(mix, LiveDead(segment=true_nuclei)).measures

    assert measures["channel_shift_known"] == 1
    assert measures["channel_shift_px"] > measures["channel_shift_limit_px"]


def test_stains_that_share_no_light_give_no_shift(field):
    other = drawn_nuclei(SIDE_PX, NUCLEI, RADIUS_PX, np.random.default_rng(8))

    shift = two_channels.shift_between(field.light, other.light, 2 * RADIUS_PX)

    assert not shift.known
    assert shift.length_px == 0


def test_debris_that_one_stain_alone_shows_does_not_count(field, true_nuclei):
    mix = mixed(field, Staining(live_share=0.8), np.random.default_rng(6))
    labels = field.labels.copy()
    specks = [(40 + 60 * k, 12) for k in range(6)]
    for number, (x, y) in enumerate(specks, start=NUCLEI + 1):
        labels[y - 3 : y + 4, x - 3 : x + 4] = number
        mix.b[y - 3 : y + 4, x - 3 : x + 4] = 200
    cells = (
        *true_nuclei(None, None).cells,
        *(Cell(float(x), float(y), 3.5, "nucleus", 1.0, 1.0) for x, y in specks),
    )

    finding = found_in(mix, LiveDead(segment=lambda picture, scale: Finding(cells, labels)))

    assert [cell.excluded for cell in finding.cells[-6:]] == ["small"] * 6
    assert viability_error_pp(mix, finding) <= 1.5


def test_bleed_through_that_a_control_gave_is_used_as_it_is(field, true_nuclei):
    mix = mixed(field, Staining(live_share=0.9, bleed_a_to_b=0.2), np.random.default_rng(9))

    finding = found_in(mix, LiveDead("AO/PI", (0.2, 0.01), true_nuclei))

    assert finding.measures["bleed_through_a_to_b"] == 0.2
    assert finding.measures["bleed_through_b_to_a"] == 0.01
    assert finding.measures["bleed_through_estimated"] == 0
    assert viability_error_pp(mix, finding) <= 1.5


def test_a_second_channel_that_copies_the_first_tells_nobody_dead(field, true_nuclei):
    """As when each channel was stretched to full contrast: then one ratio holds for all nuclei."""
    mix = mixed(field, Staining(live_share=1.0, bleed_a_to_b=0.9, noise_grey=1.0), np.random.default_rng(10))

    finding = found_in(mix, LiveDead(segment=true_nuclei))

    assert {cell.kind for cell in finding.cells} == {"unclassified"}
    assert finding.measures["bleed_through_beyond_bound"] == 1


def test_saturated_live_nuclei_are_not_taken_for_dead_ones(field, true_nuclei):
    mix = mixed(field, Staining(live_share=1.0, bleed_a_to_b=0.25, spread_a=0.5), np.random.default_rng(11))
    brighter = Mix(
        np.clip(mix.a * 2.5, 0, 255), np.clip(mix.b * 2.5, 0, 255), mix.centres, mix.live, mix.diameter_px
    )
    assert (brighter.a == 255).mean() > 0.02

    finding = found_in(brighter, LiveDead(segment=true_nuclei))

    assert "dead" not in {cell.kind for cell in finding.cells}
    assert finding.measures["unclassified_share"] < 0.2


def test_channels_of_different_size_are_refused_in_words(true_nuclei):
    first, second = (FieldPicture(np.zeros((64, side), np.float32), 8, 0.0) for side in (64, 80))

    with pytest.raises(PictureUnreadable, match="different size"):
        LiveDead(segment=true_nuclei).find([first, second], Scale(object_diameter_px=20))


def test_an_empty_field_has_no_nuclei_and_no_population():
    dark = np.random.default_rng(1).normal(10, 2, (128, 128)).astype(np.float32)
    nobody = LiveDead(segment=lambda picture, scale: Finding((), np.zeros((128, 128), np.int32)))

    finding = nobody.find([FieldPicture(dark, 8, 0.0)] * 2, Scale(object_diameter_px=20))

    assert finding.cells == ()
    assert finding.measures["populations"] == 0


@pytest.mark.requirement("F-042")
def test_one_field_gives_the_same_bits_twice(field, true_nuclei):
    mix = mixed(field, Staining(live_share=0.7, bleed_a_to_b=0.1), np.random.default_rng(12))
    method = LiveDead(segment=true_nuclei)

    first, second = found_in(mix, method), found_in(mix, method)

    assert first.cells == second.cells
    assert json.dumps(dict(first.measures)) == json.dumps(dict(second.measures))


def test_two_channels_are_counted_from_files_by_the_command(tmp_path, capsys):
    field = drawn_nuclei(400, 60, 11.0, np.random.default_rng(21))
    mix = mixed(field, Staining(live_share=0.7, bleed_a_to_b=0.15), np.random.default_rng(22))
    files = [tmp_path / "live.png", tmp_path / "dead.png"]
    for file, channel in zip(files, (mix.a, mix.b), strict=True):
        Image.fromarray(channel.astype(np.uint8)).save(file)

    count(["--method", "live-dead", "--channels", *map(str, files), "--object-diameter-px", "22", "--json"])

    result = json.loads(capsys.readouterr().out.splitlines()[0])
    assert result["verdict"] == "counted", result["reasons"]
    assert abs(result["total"] - len(mix.live)) <= 4
    assert abs(result["viability_percent"] - 100 * mix.live.mean()) <= 5
    assert {cell["class"] for cell in result["cells"]} <= {"live", "dead", "unclassified"}
    assert result["method"]["id"] == "live-dead"


def test_a_few_dark_nuclei_below_the_others_do_not_make_the_others_dead():
    """They lie in the shade of bright ones: no population, though their ratio is the lowest."""
    rng = np.random.default_rng(13)
    a = np.concatenate([rng.normal(90, 15, 160), rng.normal(20, 5, 40)])
    b = np.concatenate([0.2 * a[:160] + rng.normal(0, 1, 160), rng.normal(90, 20, 40)])
    b[:4] = 0.0

    decision = populations.decide(
        populations.Lights(a, b, 1.0, 1.0, a > 1000), populations.STAIN_PAIRS["AO/PI"]
    )

    assert decision.kinds.count("live") == 160
    assert decision.kinds.count("dead") == 40
    assert decision.bleed_a_to_b == pytest.approx(0.2, abs=0.01)
