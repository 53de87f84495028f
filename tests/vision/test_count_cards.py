"""A performance card says what a method is for and how well it does, and is held to it (Annex 22)."""

from __future__ import annotations

import hashlib
import json

import pytest

from vision.counting import cards
from vision.counting.count_command import count


@pytest.fixture
def weights(tmp_path):
    file = tmp_path / "weights.onnx"
    file.write_bytes(b"weights")
    return file


@pytest.fixture
def card():
    return {
        "id": "trial",
        "version": "1.0.0",
        "date": "2026-11-01",
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "intended_use": "Cells in a trial.",
        "learnt_from": [{"name": "a set", "licence": "CC0"}],
        "split": {"how": "By group.", "folds": {"0": ["a", "b"], "1": ["c"]}},
        "figures": {"f1": [0.95, 0.94, 0.96], "count_error_percent": 2.5},
        "acceptance": {"f1": {"at_least": 0.94}, "count_error_percent": {"at_most": 3.0}},
        "by": {"group": {"a": {"f1": 0.9}, "c": {"f1": 0.97}}},
        "limits": ["One laboratory."],
    }


def test_a_card_that_holds_what_it_says_is_fit(card, weights):
    cards.check(card, weights)


@pytest.mark.requirement("F-044")
def test_a_part_that_two_folds_hold_out_was_learnt_from_by_one_that_is_scored_on_it(card, weights):
    card["split"]["folds"]["1"] = ["c", "b"]

    with pytest.raises(cards.CardUnfit, match="holds out b a second time"):
        cards.check(card, weights)


@pytest.mark.requirement("F-044")
def test_other_weights_than_those_validated_are_noticed(card, weights):
    weights.write_bytes(b"other weights")

    with pytest.raises(cards.CardUnfit, match="not those that the card was made with"):
        cards.check(card, weights)


def test_a_figure_that_misses_its_level_must_be_named_among_the_limits(card, weights):
    card["figures"]["count_error_percent"] = 4.0

    with pytest.raises(cards.CardUnfit, match="count_error_percent is 4"):
        cards.check(card, weights)
    card["limits"].append("count_error_percent is above its level where cells touch.")
    cards.check(card, weights)


@pytest.mark.parametrize("key", ["intended_use", "limits", "split", "figures"])
def test_a_card_without_a_section_is_unfit(card, weights, key):
    del card[key]

    with pytest.raises(cards.CardUnfit, match=key):
        cards.check(card, weights)


def test_a_page_shows_figures_with_intervals_and_what_was_asked(card):
    page = cards.page_of(card)

    assert "| f1 | 0.95 [0.94, 0.96] |" in page
    assert "| count error, % | at most 3 | 2.5 | met |" in page
    assert "- fold 0 holds out a, b" in page
    assert "- One laboratory." in page


def test_the_command_prints_the_card_of_each_method_asked_for(capsys):
    assert count(["cards", "live-dead", "--json"]) == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["id"] == "live-dead"


def test_a_method_that_does_not_exist_is_named_in_words(capsys):
    assert count(["cards", "crystal-ball"]) == 2

    assert "there is no method 'crystal-ball'" in capsys.readouterr().err
