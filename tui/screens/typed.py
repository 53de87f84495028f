"""Type what a label says: one part at a time, judged character by character."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Key

from appliance.domain import typed_entry
from tui import wording
from tui.screens.chrome import BedsideScreen
from tui.widgets.keyboard import LABEL_PAGES, Keyboard
from tui.widgets.keypad import BACKSPACE
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words


class TypedScreen(BedsideScreen[str]):
    """One part of a label; keys that cannot follow are off, and the check character is judged at once.

    Nothing of what is expected stands here, nor what somebody else typed.
    """

    IS_FLOW = True
    BODY_CLASSES = "entering"

    def __init__(self, part: str, *, number: str, go_on: bool) -> None:
        super().__init__()
        self._part, self._number, self._go_on = part, number, go_on
        self._text = ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="text-head"):
            with Vertical(id="text-left"):
                label = typed_entry.label_of(self._part)
                yield Words(f"{label}   {self._number}".rstrip(), id="text-title", classes="title")
                yield Words("▏", id="text")
                yield Words(typed_entry.hint_of(self._part), id="typed-words")
            yield TouchButton(
                wording.ENTER_NEXT if self._go_on else wording.ENTER,
                id="enter",
                role="primary",
                disabled=True,
            )
        yield Keyboard(pages=LABEL_PAGES)

    def on_mount(self) -> None:
        """Say how it looks on the label."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        judged = typed_entry.judge(self._part, self._text)
        said = judged.words if self._text else typed_entry.hint_of(self._part)
        whole = bool(self._text) and not typed_entry.may_follow(self._part, self._text)
        words = self.query_one("#typed-words", Words)
        words.say(said)
        words.set_class(whole and not judged.good, "wrong")
        self.query_one("#text", Words).say(f"{typed_entry.shown(self._part, self._text)}▏")
        self.query_one("#enter", TouchButton).disabled = not judged.good
        self.query_one(Keyboard).allow(typed_entry.may_follow(self._part, self._text))

    def _take(self, character: str) -> None:
        allowed = typed_entry.may_follow(self._part, self._text)
        # A key with a small letter means the capital where only that can stand.
        for one in (character, character.upper()):
            if one in allowed:
                self._text += one
                break
        self._redraw()

    @on(Keyboard.Pressed)
    def key(self, event: Keyboard.Pressed) -> None:
        """Take a key."""
        event.stop()
        if event.key == BACKSPACE:
            self._text = self._text[:-1]
            self._redraw()
        else:
            self._take(event.key)

    def on_key(self, event: Key) -> None:
        """A real keyboard works too."""
        if event.key == "backspace":
            self._text = self._text[:-1]
            self._redraw()
        elif event.key == "enter":
            if typed_entry.judge(self._part, self._text).good:
                self.dismiss(self._text)
        elif event.character is not None and event.is_printable:
            self._take(event.character)

    @on(TouchButton.Pressed, "#enter")
    def enter(self, event: TouchButton.Pressed) -> None:
        """Give it back."""
        event.stop()
        self.dismiss(self._text)
