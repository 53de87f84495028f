"""What was signed and what was typed in this batch, a page at a time."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal

from appliance.link.messages import EnteredView, SignatureView
from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words, hanging

Row = tuple[str, str]


def signature_row(one: SignatureView, time_zone: str) -> Row:
    """Printed name; meaning, time in UTC and here, and whether it still holds (R-21, R-23, R-24)."""
    words = wording.SIGNATURE_WORDS.format(
        meaning=one.meaning, what=one.what, signs=one.signs, **local_time.moment_words(one.at, time_zone)
    )
    return one.name, f"{words}\n{wording.SIGNATURE_VOID.format(words=one.void)}" if one.void else words


def entered_row(one: EnteredView, *, first: bool) -> Row:
    """A typed value as it holds, or as it was first, with the reasons of its corrections (R-09)."""
    label = f"{one.title}: {one.field.label}"
    if one.waits:
        return label, f"{one.words}\n{wording.CORRECTION_WAITS.format(words=one.waits)}"
    if not first or not one.reasons:
        return label, one.words
    reasons = "; ".join(one.reasons)
    return label, wording.ENTERED_FIRST.format(words=one.words, first=one.first, reasons=reasons)


class ListScreen(BedsideScreen[str]):
    """Rows of label and words, as many at a time as the screen holds; "Back" is in the rail."""

    IS_FLOW = True
    TITLE_WORDS = ""
    NONE_WORDS = ""

    def __init__(self) -> None:
        super().__init__()
        self._first = 0
        self._following = 0

    def rows(self, view: View) -> list[Row]:
        """What is listed now."""
        raise NotImplementedError

    def compose_body(self) -> ComposeResult:
        yield Words(self.TITLE_WORDS, classes="title")
        yield Words(id="rows")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SHOW_MORE, id="show-more")
            yield from self.compose_actions()

    def compose_actions(self) -> ComposeResult:
        """Yield further buttons."""
        yield from ()

    def show(self, view: View) -> None:
        rows, words = self.rows(view), self.query_one("#rows", Words)
        width, room = words.content_size.width or 70, max(3, self.query_one("#body").size.height - 9)
        self._first = self._first if self._first < len(rows) else 0
        shown: list[str] = []
        self._following = self._first
        for row in rows[self._first :]:
            lines = [*hanging([row], width).splitlines(), ""]
            if shown and len(shown) + len(lines) > room:
                break
            shown += lines
            self._following += 1
        words.say("\n".join(shown) if rows else self.NONE_WORDS)
        self.query_one("#show-more").display = len(rows) > self._following or self._first > 0

    @on(TouchButton.Pressed, "#show-more")
    def show_more(self, event: TouchButton.Pressed) -> None:
        """Show the next rows, and the first after the last."""
        event.stop()
        self._first = self._following
        self.follow()


class SignaturesScreen(ListScreen):
    """Who signed what, when, in which meaning, and what is void since."""

    TITLE_WORDS = wording.SIGNATURES
    NONE_WORDS = wording.SIGNATURES_NONE

    def rows(self, view: View) -> list[Row]:
        batch, zone = view.snapshot.batch, view.snapshot.unit.time_zone
        return [signature_row(one, zone) for one in batch.signatures] if batch else []


class EnteredScreen(ListScreen):
    """The values that people typed; one tap shows the first ones beside them."""

    TITLE_WORDS = wording.ENTERED
    NONE_WORDS = wording.ENTERED_NONE

    def __init__(self) -> None:
        super().__init__()
        self._with_first = False

    def compose_actions(self) -> ComposeResult:
        yield TouchButton(wording.FIRST_VALUES, id="first-values")

    def rows(self, view: View) -> list[Row]:
        batch = view.snapshot.batch
        return [entered_row(one, first=self._with_first) for one in batch.entered] if batch else []

    def show(self, view: View) -> None:
        super().show(view)
        button = self.query_one("#first-values", TouchButton)
        button.say(wording.VALUES_NOW if self._with_first else wording.FIRST_VALUES)
        batch = view.snapshot.batch
        button.display = batch is not None and any(one.reasons for one in batch.entered)

    @on(TouchButton.Pressed, "#first-values")
    def first_values(self, event: TouchButton.Pressed) -> None:
        """Show or hide the first values."""
        event.stop()
        self._with_first, self._first = not self._with_first, 0
        self.follow()
