"""Each reason key: when it is given, by which method, in which words, and that it is documented."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from vision.counting import frame_quality
from vision.counting.count_images import Settings, count_field
from vision.counting.method import Cell, Finding, Scale
from vision.counting.training import other_pictures
from vision.picture_file import ChannelsDiffer, FieldPicture, PictureUnreadable

DOCUMENT = Path(__file__).parents[2] / "docs" / "counting.md"
SCALE = Scale(um_per_px=0.5)
SIDE_PX = 260


def _nuclei(**changes):
    """Draw round nuclei of 20 px on a dark ground, and what a method would find in it."""
    rng = np.random.default_rng(41)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX].astype(np.float32)
    light = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    places = [(x, y) for x in range(25, SIDE_PX, 45) for y in range(25, SIDE_PX, 45)]
    for x, y in places:
        far = np.hypot(rows - y, columns - x)
        light = np.maximum(light, 1 / (1 + np.exp(np.minimum(far, 60) - 10)))
    grey = changes.get("ground", 8) + changes.get("bright", 120) * light
    grey = grey + changes.get("slope", 0) * columns / SIDE_PX + rng.normal(0, 1, grey.shape)
    cells = tuple(Cell(float(x), float(y), 10.0, "nucleus", 1.0, 1.0) for x, y in places)
    return FieldPicture(np.clip(np.round(grey), 0, 255).astype(np.float32), 8, 0.0), cells


def _reasons(method_id, pictures, finding):
    return frame_quality.judge(method_id, pictures, finding, SCALE).reasons


def test_a_plain_field_of_nuclei_has_nothing_against_it():
    picture, cells = _nuclei()

    assert _reasons("nuclei", [picture], Finding(cells)) == ()


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("dark", {"bright": 0, "ground": 3}),
        ("bright", {"bright": 30, "ground": 220}),
        ("saturated", {"bright": 2500}),
        ("uneven_light", {"slope": 200, "bright": 60}),
    ],
)
def test_the_light_of_nuclei_is_judged_by_its_own_measures(reason, changes):
    picture, cells = _nuclei(**changes)
    if reason == "saturated":
        picture = FieldPicture(np.minimum(picture.grey * 4, 255).astype(np.float32), 8, 0.0)

    assert reason in _reasons("nuclei", [picture], Finding(cells))


@pytest.mark.parametrize(("agreement", "told"), [(None, False), (0.95, False), (0.2, True)])
def test_detectors_that_disagree_send_a_field_back(agreement, told):
    picture, cells = _nuclei()

    reasons = _reasons("nuclei", [picture], Finding(cells, agreement=agreement))

    assert ("detectors_disagree" in reasons) == told


def test_a_handful_of_cells_is_too_few_for_detectors_to_disagree_on():
    picture, cells = _nuclei()

    assert "detectors_disagree" not in _reasons("nuclei", [picture], Finding(cells[:5], agreement=0.2))


@pytest.mark.parametrize(
    ("measures", "told"),
    [
        ({}, False),
        ({"channel_shift_px": 1.0, "channel_shift_limit_px": 10.0, "channel_shift_known": 1.0}, False),
        ({"channel_shift_px": 30.0, "channel_shift_limit_px": 10.0, "channel_shift_known": 1.0}, True),
        ({"channel_shift_px": 30.0, "channel_shift_limit_px": 10.0, "channel_shift_known": 0.0}, False),
        ({"channel_offset_radii": 0.4}, True),
        ({"channel_offset_radii": -1.0}, False),
    ],
)
def test_channels_that_lie_apart_send_a_field_back(measures, told):
    first, cells = _nuclei()
    second = FieldPicture(first.grey * np.float32(0.5), 8, 0.0)

    reasons = _reasons("live-dead", [first, second], Finding(cells, measures=measures))

    assert ("channels_differ" in reasons) == told


def test_one_file_given_twice_is_no_pair_of_channels():
    picture, cells = _nuclei()

    judged = frame_quality.judge("live-dead", [picture, picture], Finding(cells), SCALE)

    assert judged.reasons == ("channels_differ",)
    assert judged.verdict == "repeat"


def test_channels_of_two_sizes_are_refused_by_their_own_key(tmp_path):
    from PIL import Image

    from vision.counting.methods import method_named

    for name, side in (("a.png", 100), ("b.png", 120)):
        Image.fromarray(np.full((side, side), 9, np.uint8)).save(tmp_path / name)

    result = count_field(
        [tmp_path / "a.png", tmp_path / "b.png"], Settings(method_named("live-dead"), SCALE)
    ).result

    assert issubclass(ChannelsDiffer, PictureUnreadable)
    assert (result.verdict, result.reasons) == ("refused", ("channels_differ",))


def test_a_live_dead_pair_of_something_else_is_refused():
    rng = np.random.default_rng(43)
    for family in ("blood_smear", "printed_text", "phase_contrast", "stripes"):
        first, second = (
            FieldPicture(_grey(other_pictures.FAMILIES[family](rng, SIDE_PX, SIDE_PX)), 8, 0.0) for _ in "ab"
        )
        _, cells = _nuclei()
        assert "not_this_kind" in _reasons("live-dead", [first, second], Finding(cells))


def _grey(levels):
    grey = levels if levels.ndim == 2 else levels.mean(axis=2)
    return np.round(grey).astype(np.float32)


def test_a_field_of_one_level_was_never_pictured():
    for method_id in ("trypan-blue", "nuclei"):
        flat = FieldPicture(np.full((200, 200), 90, np.float32), 8, 0.0)
        judged = frame_quality.judge(method_id, [flat], Finding(()), SCALE)
        assert judged.verdict == "refused"
        assert "empty" in judged.reasons


def test_a_true_zero_is_counted_by_either_method():
    rng = np.random.default_rng(44)
    for method_id, ground in (("trypan-blue", 95), ("nuclei", 6)):
        grey = np.clip(np.round(rng.normal(ground, 1.5, (220, 220))), 0, 255).astype(np.float32)
        judged = frame_quality.judge(method_id, [FieldPicture(grey, 8, 0.0)], Finding(()), SCALE)
        assert judged.reasons == ("empty",)
        assert judged.verdict == "counted"


def test_an_unknown_scale_is_a_remark_where_that_is_allowed():
    picture, cells = _nuclei()

    strict = frame_quality.judge("nuclei", [picture], Finding(cells), Scale())
    allowed = frame_quality.judge("nuclei", [picture], Finding(cells), Scale(), allow_unscaled=True)

    assert (strict.verdict, allowed.verdict) == ("repeat", "counted")
    assert strict.reasons == allowed.reasons == ("unknown_scale",)


def test_every_reason_is_documented_and_says_what_to_do():
    table = re.findall(r"^\| `([a-z_]+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(frame_quality.WHAT_TO_DO) <= set(table)
    for method_id, words in frame_quality.WHAT_TO_DO_BY_METHOD.items():
        assert set(words) <= set(frame_quality.WHAT_TO_DO), method_id
    for reason, words in frame_quality.WHAT_TO_DO.items():
        assert words.endswith("."), reason
        assert reason == "empty" or words.count(".") >= 2, reason


def test_the_words_are_the_methods_own():
    assert "condenser" in frame_quality.words_for(["uneven_light"], "trypan-blue")
    assert "nuclei" in frame_quality.words_for(["not_this_kind"], "nuclei")
    assert frame_quality.words_for(["empty"], "nuclei") == "No cells in this field."
