"""Choose one of several: a person, an order, a reason, a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Grid, Horizontal
from textual.events import Key

from tui import wording
from tui.screens.chrome import BedsideScreen
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

CHOICES_SHOWN = 6
BADGE_CHARACTERS_MAX = 128


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing to choose; one that cannot be chosen says why in its detail."""

    value: str
    words: str
    detail: str = ""
    possible: bool = True


class ChoicesScreen(BedsideScreen[str]):
    """Up to six offers at a time; dismisses with the value, or None for "Back".

    Parameters
    ----------
    reads_badge : bool
        Take what a badge reader in keyboard mode types, up to Enter, as the answer `badge:…`.
    """

    IS_FLOW = True

    def __init__(
        self, title: str, offers: Sequence[Offer], *, hint: str = "", reads_badge: bool = False
    ) -> None:
        super().__init__()
        self._title, self._hint, self._offers = title, hint, list(offers)
        self._first = 0
        self._reads_badge = reads_badge
        self._badge = ""

    def compose_body(self) -> ComposeResult:
        yield Words(self._title, classes="title")
        yield Words(self._hint, id="hint")
        with Grid(id="offers"):
            for _ in range(CHOICES_SHOWN):
                yield TouchButton("", classes="offer")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SHOW_MORE, id="show-more")

    def on_mount(self) -> None:
        """Fill the first page."""
        self.query_one("#hint").display = bool(self._hint)
        self.query_one("#show-more").display = len(self._offers) > CHOICES_SHOWN
        self._fill()

    def _fill(self) -> None:
        shown = self._offers[self._first : self._first + CHOICES_SHOWN]
        for place, button in enumerate(self.query(".offer").results(TouchButton)):
            button.display = place < len(shown)
            if place < len(shown):
                offer = shown[place]
                button.payload = offer.value
                button.disabled = not offer.possible
                button.say(f"{offer.words}\n{offer.detail}" if offer.detail else offer.words)

    @on(TouchButton.Pressed, ".offer")
    def chosen(self, event: TouchButton.Pressed) -> None:
        """Give the choice back."""
        event.stop()
        assert isinstance(event.button, TouchButton)
        self.dismiss(event.button.payload)

    @on(TouchButton.Pressed, "#show-more")
    def show_more(self, event: TouchButton.Pressed) -> None:
        """Show the next offers, and the first after the last."""
        event.stop()
        self._first += CHOICES_SHOWN
        if self._first >= len(self._offers):
            self._first = 0
        self._fill()

    def on_key(self, event: Key) -> None:
        """Collect a badge; never into an input, whatever has focus."""
        if not self._reads_badge:
            return
        if event.key == "enter" and self._badge:
            event.stop()
            self.dismiss(f"badge:{self._badge}")
        elif event.character is not None and event.is_printable:
            event.stop()
            self._badge = (self._badge + event.character)[-BADGE_CHARACTERS_MAX:]
