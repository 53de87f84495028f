"""The counting methods' cards: each has its page, and neither says what does not hold (F-044)."""

from __future__ import annotations

import pytest
from house import REPOSITORY

from vision.counting import cards
from vision.counting.methods import METHODS

PAGES = REPOSITORY / "docs" / "methods"


@pytest.mark.requirement("F-044")
def test_each_card_has_its_page_and_both_say_the_same() -> None:
    written = {path.stem: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}

    rendered = {name: cards.page_of(card) for name, card in cards.cards().items()}

    assert written == rendered, "Run `python -m vision.counting.cards` and commit docs/methods."


@pytest.mark.requirement("F-044")
@pytest.mark.parametrize("name", sorted(cards.cards()))
def test_what_a_card_says_holds(name: str) -> None:
    """Its weights are those validated, its test set was not learnt from, and a level missed is told."""
    cards.check(cards.cards()[name], cards.MODELS / f"{name}.onnx")


@pytest.mark.requirement("F-044")
def test_each_method_has_a_card() -> None:
    assert set(cards.cards()) == set(METHODS)
