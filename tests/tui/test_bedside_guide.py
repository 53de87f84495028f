"""The one page for operators uses the words of the screens, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from tui import wording

GUIDE = Path(__file__).parents[2] / "docs" / "operator-guide.md"

# Examples of what the unit fills in; their fixed parts are checked by the strip's own tests.
FILLED_IN = re.compile(r"\d|^batch …$|^Expected: …$")


def screen_words() -> set[str]:
    """Every fixed text of the screens, in one line each."""
    texts: list[str] = []
    for name, value in vars(wording).items():
        if not name.isupper():
            continue
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            texts += [one for each in value.values() for one in ((each,) if isinstance(each, str) else each)]
    return {" ".join(text.split()) for text in texts}


def test_every_word_in_bold_stands_on_a_screen():
    text = re.sub(r"`[^`]*`", "", GUIDE.read_text(encoding="utf-8"))
    said = set(re.findall(r"\*\*([^*]+)\*\*", text))
    known = screen_words()

    assert sorted(words for words in said if not FILLED_IN.search(words) and words not in known) == []
