"""Letters, digits and signs under a gloved finger, in pages of 32 keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Grid
from textual.message import Message

from tui import wording
from tui.widgets.touch_button import TouchButton

BACKSPACE: Final = "backspace"
SHIFT: Final = "shift"
PAGE: Final = "page"
SPACE: Final = " "

# 28 characters a page; alphabetical, since few type ten-fingered in gloves.
PAGES: Final = {
    "abc": "abcdefghijklmnopqrstuvwxyz.-",
    "123": "1234567890.,:;-+/()%=°µ'\"!?_",
    "#+=": "#@&*$€£^~|\\<>[]{}`§«»×÷±≤≥“”",  # noqa: RUF001
}
PAGE_WORDS: Final = {"abc": wording.LETTERS, "123": wording.DIGITS, "#+=": wording.SYMBOLS}
# Labels are mostly digits and capitals: a donation number needs one page, its check character the other.
LABEL_PAGES: Final = {
    wording.FIRST_LETTERS: "1234567890ABCDEFGHIJKLMNOPQR",
    wording.LAST_LETTERS: "1234567890STUVWXYZ*-./      ",
}


class Keyboard(Grid):
    """Eight columns by four rows: 28 characters, then shift, page, space, backspace."""

    class Pressed(Message):
        """A key was tapped: a character or `backspace`."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, pages: Mapping[str, str] = PAGES) -> None:
        super().__init__(id="keyboard")
        self._pages = pages
        self._page = next(iter(pages))
        self._shifted = False
        self._allowed: str | None = None

    def allow(self, characters: str) -> None:
        """Switch off the keys of all other characters; each small letter goes with its capital."""
        if characters != self._allowed:
            self._allowed = characters
            self._label()

    def compose(self) -> ComposeResult:
        for place in range(28):
            yield TouchButton("", role="key", id=f"key-{place}", classes="letter")
        yield TouchButton(wording.SHIFT, role="key", payload=SHIFT, id="key-shift", classes="letter")
        yield TouchButton(wording.DIGITS, role="key", payload=PAGE, id="key-page", classes="letter")
        yield TouchButton(wording.SPACE, role="key", payload=SPACE, id="key-space", classes="letter")
        yield TouchButton(wording.BACKSPACE, role="key", payload=BACKSPACE, classes="letter")

    def on_mount(self) -> None:
        """Put the letters on the keys."""
        self._label()

    def _label(self) -> None:
        for place, character in enumerate(self._pages[self._page]):
            key = self.query_one(f"#key-{place}", TouchButton)
            key.payload = (
                _shifted(character)
                if self._shifted and character.isascii() and character.isalpha()
                else character
            )
            key.say(key.payload)
            key.disabled = not self._may(key.payload)
        pages = list(self._pages)
        following = pages[(pages.index(self._page) + 1) % len(pages)]
        self.query_one("#key-page", TouchButton).say(PAGE_WORDS.get(following, following))
        shift = self.query_one("#key-shift", TouchButton)
        shift.set_class(self._shifted, "current")
        allowed = self._allowed
        shift.disabled = allowed is not None and not any(one.islower() for one in allowed)
        self.query_one("#key-space", TouchButton).disabled = not self._may(SPACE)

    def _may(self, character: str) -> bool:
        return character != "" and (self._allowed is None or character in self._allowed)

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Change the page, or pass the character on; shift holds for one letter."""
        event.stop()
        assert isinstance(event.button, TouchButton)
        key = event.button.payload
        if key == PAGE:
            pages = list(self._pages)
            self._page = pages[(pages.index(self._page) + 1) % len(pages)]
        elif key == SHIFT:
            self._shifted = not self._shifted
        else:
            self._shifted = False
            self.post_message(self.Pressed(key))
        self._label()


def _shifted(character: str) -> str:
    return character.upper() if character.islower() else character.lower()
