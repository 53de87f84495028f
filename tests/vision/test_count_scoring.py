"""The scores that benches and cards show: label images, folds, and mixes with a known truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vision.counting.training import scoring_masks
from vision.counting.training.two_channel_mixes import Staining, drawn_nuclei, joined, mirrored, mixed


def blocks(*corners: tuple[int, int], side: int = 8) -> np.ndarray:
    labels = np.zeros((40, 60), np.int32)
    for number, (y, x) in enumerate(corners, start=1):
        labels[y : y + side, x : x + side] = number
    return labels


def test_objects_match_when_they_cover_each_other_by_more_than_half():
    true = blocks((4, 4), (4, 30))

    # 7 of 8 columns shared: 56 / 72; 4 of 8: 32 / 96.
    assert scoring_masks.matches(true, blocks((4, 5), (4, 34))) == 1
    assert scoring_masks.matches(true, true) == 2
    assert scoring_masks.matches(true, np.zeros_like(true)) == 0


def test_one_object_found_in_two_halves_is_one_miss_and_two_false_ones():
    true = blocks((4, 4), side=16)
    halves = true.copy()
    halves[:12][halves[:12] > 0] = 2

    score = scoring_masks.score_masks("a.png", "class", true, halves)

    assert (score.true, score.found, score.matched) == (1, 2, 0)
    assert scoring_masks.figures([score])["count_error_percent"] == 100


def test_figures_pool_pairs_and_average_count_errors():
    one = scoring_masks.MaskScore("a", "x", true=10, found=8, matched=8)
    two = scoring_masks.MaskScore("b", "x", true=30, found=33, matched=27)

    figures = scoring_masks.figures([one, two])

    assert figures["f1_iou50"] == pytest.approx(2 * 35 / 81)
    assert figures["count_error_percent"] == pytest.approx(15)
    assert figures["count_bias_percent"] == pytest.approx(2.5)


@pytest.mark.requirement("F-044")
def test_pictures_take_turns_in_the_folds_within_their_class():
    rows = [{"size_class": kind} for kind in ("a", "b", "a", "a", "b", "a")]

    assert scoring_masks.folds_of(rows) == [0, 0, 1, 2, 1, 0]


def test_the_same_seed_mixes_the_same_field():
    nuclei = drawn_nuclei(160, 12, 9.0, np.random.default_rng(1))
    staining = Staining(live_share=0.5, debris=0.2, shift_px=(1.0, 0.5), blur_px=0.8)

    first, second = (mixed(nuclei, staining, np.random.default_rng(2)) for _ in range(2))

    assert np.array_equal(first.a, second.a)
    assert np.array_equal(first.b, second.b)
    assert np.array_equal(first.live, second.live)


def test_a_mix_shows_bleed_through_and_quenching_as_asked():
    nuclei = drawn_nuclei(320, 40, 11.0, np.random.default_rng(3))
    plain = Staining(live_share=0.5, bleed_a_to_b=0.2, quenched=(0.1, 0.1), noise_grey=0.5, uneven=0.0)

    mix = mixed(nuclei, replace(plain, spread_a=0.0, spread_b=0.0), np.random.default_rng(4))

    lights = np.array(
        [
            [channel[nuclei.labels == k].mean() - 12 for channel in (mix.a, mix.b)]
            for k in range(1, nuclei.labels.max() + 1)
        ]
    )
    ratio = lights[mix.live, 1] / lights[mix.live, 0]
    assert np.median(ratio) == pytest.approx(0.2, abs=0.02)
    assert np.median(lights[~mix.live, 0]) == pytest.approx(0.1 * np.median(lights[mix.live, 0]), rel=0.2)


def test_pictures_laid_side_by_side_keep_each_nucleus_its_own_number():
    part = drawn_nuclei(96, 5, 9.0, np.random.default_rng(5))

    field = joined([part, mirrored(part), part, part], columns=2)

    assert field.labels.shape == (192, 192)
    assert len(np.unique(field.labels)) == 1 + 4 * int(part.labels.max())
    assert field.diameter_px == pytest.approx(part.diameter_px)
