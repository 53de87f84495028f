"""Plain text on the screen, never read as markup."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import zip_longest

from textual.content import Content
from textual.widgets import Static


class Words(Static, inherit_bindings=False):
    """A text that may come from outside: a label or a name with `[/x]` in it stays a text.

    It repaints only when the text changes, so that a tile fed at 4 Hz costs nothing at rest.
    """

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(Content(text), id=id, classes=classes, markup=False)
        self._text = text

    @property
    def text(self) -> str:
        """What is shown."""
        return self._text

    def say(self, text: str) -> None:
        """Show another text."""
        if text != self._text:
            self._text = text
            self.update(Content(text))


def hanging(rows: Sequence[tuple[str, str]], width: int) -> str:
    """Labels left, words right; either goes on below its own beginning, so that nothing is cut."""
    longest = max((len(label) for label, _ in rows), default=1)
    rooms = [min(longest, width // 2), min(longest, max(12, width // 3))]
    wide, narrow = (_columns(rows, width, max(1, room)) for room in rooms)
    return "\n".join(narrow if len(narrow) < len(wide) else wide)


def _columns(rows: Sequence[tuple[str, str]], width: int, label_room: int) -> list[str]:
    room = max(8, width - label_room - 2)
    lines = []
    for label, words in rows:
        pieces = [piece for line in words.splitlines() for piece in textwrap.wrap(line, room)]
        labels = textwrap.wrap(label, label_room)
        for left, right in zip_longest(labels or [""], pieces, fillvalue=""):
            lines.append(f"{left:<{label_room}}  {right}".rstrip())
    return lines


def ellipsis(text: str, width: int) -> str:
    """Cut a text to a width in a way that is seen."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
