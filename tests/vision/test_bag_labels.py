"""Our own labels on bags: the same by seed, read through what bags do to them, and never read as another."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench.bench_bag_labels import held_up
from vision.labels.bag_scenes import HARMS, HARSHER, MUST_STAND, Harm, drawn_label, view_of
from vision.labels.symbols import read_symbols


@pytest.mark.parametrize("harm", HARMS)
def test_a_view_is_the_same_whenever_it_is_made_and_its_frames_differ(harm: Harm) -> None:
    level = HARSHER.get(harm, 0.0)
    first, again = (list(view_of(3, harm, level).frames(2)) for _ in range(2))

    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])


def test_a_view_without_harm_reads_whole_and_says_what_the_label_says() -> None:
    view = view_of(1, "none", 0.0)

    read = read_symbols(next(iter(view.frames(1))), ("code128", "datamatrix"))

    assert {each.text for each in read.symbols} == view.label.payloads
    assert all(each.confirmed for each in read.symbols)


def test_two_labels_of_the_set_never_say_the_same() -> None:
    seen = [drawn_label(number).payloads for number in range(12)]

    assert len(frozenset[str]().union(*(each - {"product"} for each in seen))) >= 30


@pytest.mark.requirement("F-004")
@pytest.mark.parametrize("harm", sorted(MUST_STAND))
def test_a_harmed_label_is_read_within_five_frames_and_never_as_another(harm: Harm) -> None:
    tallies = [held_up(seed, harm, MUST_STAND[harm], 5) for seed in range(5)]

    assert sum(each.read for each in tallies) >= 4, [each.unread_seeds for each in tallies]
    assert not any(each.wrong_accepts for each in tallies)


def test_a_label_harmed_far_beyond_that_is_not_read_as_another_either() -> None:
    tallies = [held_up(seed, harm, level, 2) for harm, level in HARSHER.items() for seed in range(1)]

    assert not any(each.wrong_accepts for each in tallies)
