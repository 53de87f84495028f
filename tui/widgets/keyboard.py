"""Letters, digits and signs under a gloved finger, in pages of 32 keys."""

from __future__ import annotations

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


class Keyboard(Grid):
    """Eight columns by four rows: 28 characters, then shift, page, space, backspace."""

    class Pressed(Message):
        """A key was tapped: a character or `backspace`."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self) -> None:
        super().__init__(id="keyboard")
        self._page = "abc"
        self._shifted = False

    def compose(self) -> ComposeResult:
        for place in range(28):
            yield TouchButton("", role="key", id=f"key-{place}", classes="letter")
        yield TouchButton(wording.SHIFT, role="key", payload=SHIFT, id="key-shift", classes="letter")
        yield TouchButton(wording.DIGITS, role="key", payload=PAGE, id="key-page", classes="letter")
        yield TouchButton(wording.SPACE, role="key", payload=SPACE, classes="letter")
        yield TouchButton(wording.BACKSPACE, role="key", payload=BACKSPACE, classes="letter")

    def on_mount(self) -> None:
        """Put the letters on the keys."""
        self._label()

    def _label(self) -> None:
        for place, character in enumerate(PAGES[self._page]):
            key = self.query_one(f"#key-{place}", TouchButton)
            key.payload = character.upper() if self._shifted and self._page == "abc" else character
            key.say(key.payload)
        pages = list(PAGES)
        following = pages[(pages.index(self._page) + 1) % len(pages)]
        self.query_one("#key-page", TouchButton).say(PAGE_WORDS[following])
        self.query_one("#key-shift", TouchButton).set_class(self._shifted, "current")

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Change the page, or pass the character on; shift holds for one letter."""
        event.stop()
        assert isinstance(event.button, TouchButton)
        key = event.button.payload
        if key == PAGE:
            pages = list(PAGES)
            self._page = pages[(pages.index(self._page) + 1) % len(pages)]
        elif key == SHIFT:
            self._shifted = not self._shifted
        else:
            self._shifted = False
            self.post_message(self.Pressed(key))
        self._label()
