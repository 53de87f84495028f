"""Look and decide: the count, the signature, the full stop."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Digits

from appliance.link.messages import ChoiceView, CountView, PromptView
from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.fact_list import FactList
from tui.widgets.picture import Picture
from tui.widgets.replicate_table import ReplicateTable
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

# What the one big type of a terminal can write: enough for the hexadecimal code of a hash.
BIG_CHARACTERS: Final = frozenset("0123456789ABCDEF-")


def review_choices(prompt: PromptView) -> list[ChoiceView]:
    """What may be decided: the choices of the prompt's field, else its one button."""
    for field in prompt.fields:
        if field.kind == "choice":
            return field.choices
    return [ChoiceView(value="", words=prompt.button or wording.ACCEPT)]


class ReviewScreen(BedsideScreen[str]):
    """The picture of what was counted, the numbers with their intervals, and the decision."""

    IS_FLOW = True

    def __init__(self, prompt: PromptView, counts: list[CountView]) -> None:
        super().__init__()
        self._prompt, self._counts = prompt, counts

    def compose_body(self) -> ComposeResult:
        picture = self._prompt.picture or next((count.picture for count in self._counts if count.picture), "")
        yield Words(self._prompt.title, classes="title")
        with Horizontal(id="review"):
            with Vertical(id="review-left"):
                if picture:
                    yield Picture(picture, id="picture")
                yield Words(wording.PICTURE_ZOOM if picture else wording.PICTURE_NONE, id="picture-words")
            with Vertical(id="review-right"):
                yield ReplicateTable(id="replicates")
                yield FactList(self._prompt.facts, id="review-facts")
        with Horizontal(classes="actions"):
            for choice in review_choices(self._prompt):
                yield TouchButton(choice.words, payload=choice.value, role="primary", classes="decision")

    def on_mount(self) -> None:
        """Show the numbers once the widths are known."""
        self.query_one(ReplicateTable).display = bool(self._counts) or self._prompt.kind == "review"
        self.call_after_refresh(lambda: self.query_one(ReplicateTable).show(self._counts))

    @on(TouchButton.Pressed, ".decision")
    def decided(self, event: TouchButton.Pressed) -> None:
        """Give the decision back."""
        event.stop()
        assert isinstance(event.button, TouchButton)
        self.dismiss(event.button.payload)


class SignScreen(BedsideScreen[str]):
    """What is signed, in which meaning, under which code."""

    IS_FLOW = True

    def __init__(self, prompt: PromptView, signer: str) -> None:
        super().__init__()
        self._prompt, self._signer = prompt, signer

    def compose_body(self) -> ComposeResult:
        prompt = self._prompt
        yield Words(f"{wording.SIGN_TITLE}: {prompt.title}", classes="title")
        with Vertical(id="signed"):
            yield Words(prompt.instruction)
            yield FactList(prompt.facts, id="sign-facts")
            yield Words(wording.SIGN_MEANING.format(meaning=prompt.meaning), id="meaning")
            yield Words(wording.SIGN_PERSON.format(name=self._signer), id="signer")
            yield Words(id="sign-time")
            yield Words(wording.SIGN_HASH, classes="heading")
            if prompt.signs and set(prompt.signs.upper()) <= BIG_CHARACTERS:
                yield Digits(prompt.signs.upper(), id="signs-digits")
            else:
                yield Words(prompt.signs, id="signs")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SIGN_BUTTON, id="sign", role="primary")

    def show(self, view: View) -> None:
        """The time runs on until the person signs: in UTC, and in the unit's own zone (R-21, R-24)."""
        self.query_one("#sign-time", Words).say(
            wording.SIGN_AT.format(**local_time.moment_words(view.utc, view.snapshot.unit.time_zone))
        )

    @on(TouchButton.Pressed, "#sign")
    def sign(self, event: TouchButton.Pressed) -> None:
        """Go on to the password."""
        event.stop()
        self.dismiss("sign")


class RefusalScreen(BedsideScreen[str]):
    """The engine's words, to be read before anything else; red when nothing may go on."""

    IS_FLOW = True

    def __init__(self, words: str, *, full_stop: bool) -> None:
        super().__init__(classes="full-stop" if full_stop else "")
        self._words, self.full_stop = words, full_stop

    def compose_body(self) -> ComposeResult:
        with Vertical(id="refused"):
            title = wording.FULL_STOP_TITLE if self.full_stop else wording.REFUSED_TITLE
            yield Words(title, id="refused-title", classes="title")
            yield Words(self._words, id="refused-words")
        with Horizontal(classes="actions"):
            button = wording.FULL_STOP_BACK if self.full_stop else wording.REFUSED_BACK
            yield TouchButton(button, id="read", role="primary")

    @on(TouchButton.Pressed, "#read")
    def read(self, event: TouchButton.Pressed) -> None:
        """Go back."""
        event.stop()
        self.dismiss("read")
