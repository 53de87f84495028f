"""The counting methods' cards: each has its page, and neither says what does not hold (F-044)."""

from __future__ import annotations

import pytest
from house import REPOSITORY

from vision.counting import cards

PAGES = REPOSITORY / "docs" / "methods"


@pytest.mark.requirement("F-044")
def test_each_card_has_its_page_and_both_say_the_same() -> None:
    written = {path.stem: path.read_text(encoding="utf-8") for path in PAGES.glob("*.md")}

    rendered = {name: cards.page_of(card) for name, card in cards.cards().items()}

    assert written == rendered, "Run `python -m vision.counting.cards` and commit docs/methods."
