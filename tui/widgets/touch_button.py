"""A button for a finger in a glove."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button


class TouchButton(Button):
    """A button whose label is plain text and whose look has no colour.

    Release inside is Textual's own rule: a finger that slides off does nothing.

    Parameters
    ----------
    label : str
        What will happen, in words.
    role : {"primary", "other", "key"}
        Sets the size: `primary` and `key` at least 20 mm, `other` at least 15 mm.
    payload : str
        What a message handler needs to know which of several like buttons it was.
    """

    def __init__(
        self,
        label: str,
        *,
        role: str = "other",
        payload: str = "",
        id: str | None = None,
        classes: str = "",
        disabled: bool = False,
    ) -> None:
        super().__init__(Content(label), id=id, classes=f"{role} {classes}".strip(), disabled=disabled)
        self.payload = payload
        self.words = label
        self._is_key = role == "key"
        if role == "key":
            # A Button swallows a second tap within 0.2 s; a keypad typed fast would lose digits.
            self.active_effect_duration = 0

    def post_message(self, message: Message) -> bool:
        """Pass a tap on a key straight to its pad.

        Each widget works through its own queue: of two keys tapped while the screen is busy the
        second could speak first, and a PIN would arrive in another order than it was tapped.
        """
        if self._is_key and isinstance(message, Click) and isinstance(self.parent, Widget):
            return not self.disabled and self.parent.post_message(self.Pressed(self))
        return super().post_message(message)

    def say(self, label: str) -> None:
        """Change the words on the button."""
        if label != self.words:
            self.words = label
            self.label = Content(label)
