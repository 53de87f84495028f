"""Digits under a gloved finger."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Grid
from textual.message import Message

from tui import wording
from tui.widgets.touch_button import TouchButton

BACKSPACE: Final = "backspace"
CLEAR: Final = "clear"
SIGN: Final = "sign"


class Keypad(Grid):
    """Three columns, four rows; the lower left key is the point, the sign, or "Clear"."""

    class Pressed(Message):
        """A key was tapped: a digit, `.`, `sign`, `backspace` or `clear`."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, *, corner: str = CLEAR) -> None:
        super().__init__(id="keypad")
        self._corner = corner

    def compose(self) -> ComposeResult:
        for digit in "789456123":
            yield TouchButton(digit, role="key", payload=digit)
        corner = {CLEAR: wording.CLEAR, SIGN: wording.SIGN_KEY}.get(self._corner, self._corner)
        yield TouchButton(corner, role="key", payload=self._corner)
        yield TouchButton("0", role="key", payload="0")
        yield TouchButton(wording.BACKSPACE, role="key", payload=BACKSPACE)

    @on(TouchButton.Pressed)
    def tapped(self, event: TouchButton.Pressed) -> None:
        """Pass the key on."""
        event.stop()
        assert isinstance(event.button, TouchButton)
        self.post_message(self.Pressed(event.button.payload))
