"""Type with gloves: a number with its range, a PIN, a text, a password."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Key
from textual.widgets import Digits

from appliance.link.messages import FactView, FieldView
from tui import wording
from tui.screens.chrome import BedsideScreen
from tui.widgets.bar_with_band import BarWithBand
from tui.widgets.fact_list import FactList
from tui.widgets.keyboard import Keyboard
from tui.widgets.keypad import BACKSPACE, CLEAR, SIGN, Keypad
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

NUMBER_CHARACTERS_MAX: Final = 10
PIN_DIGITS_MAX: Final = 12
TEXT_CHARACTERS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Judged:
    """What the range says about a number being typed."""

    value: Decimal | None
    words: str
    good: bool


def _decimal(text: str | None) -> Decimal | None:
    try:
        value = Decimal(text) if text else None
    except InvalidOperation:
        return None
    return value if value is not None and value.is_finite() else None


def judge(text: str, field: FieldView) -> Judged:
    """Compare what is typed with the field's range; the engine judges again."""
    if not text:
        return Judged(None, wording.EMPTY, False)
    value, low, high = _decimal(text), _decimal(field.minimum), _decimal(field.maximum)
    if value is None:
        return Judged(None, wording.NOT_A_NUMBER, False)
    if len(text.partition(".")[2]) > field.decimals:
        return Judged(value, wording.TOO_MANY_DECIMALS, False)
    if low is not None and value < low:
        return Judged(value, wording.TOO_LOW, False)
    if high is not None and value > high:
        return Judged(value, wording.TOO_HIGH, False)
    return Judged(value, wording.IN_RANGE if field.minimum or field.maximum else "", True)


def range_words(field: FieldView) -> str:
    """The range and the digits after the point, in words."""
    if field.minimum is not None and field.maximum is not None:
        words = wording.RANGE_BOTH
    elif field.minimum is not None:
        words = wording.RANGE_MINIMUM
    elif field.maximum is not None:
        words = wording.RANGE_MAXIMUM
    else:
        words = ""
    limits = words.format(minimum=field.minimum, maximum=field.maximum, unit=field.unit)
    digits = wording.RANGE_DECIMALS.format(decimals=field.decimals) if field.decimals else wording.RANGE_WHOLE
    return f"{limits}\n{digits}".strip()


def pressed(text: str, key: str, *, characters_max: int) -> str:
    """The text after a key of the keypad."""
    match key:
        case "backspace":
            return text[:-1]
        case "clear":
            return ""
        case "sign":
            return text[1:] if text.startswith("-") else "-" + text
        case ".":
            return text if "." in text else (text or "0") + "."
        case _:
            return (text + key)[:characters_max]


class NumberScreen(BedsideScreen[str]):
    """A number with its unit; the range is checked while typing. Dismisses with the text."""

    IS_FLOW = True
    BODY_CLASSES = "entering"

    def __init__(self, field: FieldView, *, title: str, go_on: bool, facts: list[FactView]) -> None:
        super().__init__()
        self._field, self._title, self._facts = field, title, facts
        self._go_on = go_on
        self._text = ""

    def compose_body(self) -> ComposeResult:
        negative = (_decimal(self._field.minimum) or Decimal(0)) < 0
        corner = "." if self._field.decimals else (SIGN if negative else CLEAR)
        with Horizontal(classes="entry"):
            with Vertical(classes="entry-left"):
                yield Words(self._title, classes="title")
                yield Words(self._field.label, id="label")
                with Horizontal(id="value-line"):
                    yield Digits("", id="value")
                    yield Words(self._field.unit, id="unit")
                yield BarWithBand(id="bar")
                yield Words(id="judgement")
                yield Words(range_words(self._field), id="range")
                yield FactList(self._facts, id="entry-facts")
                with Horizontal(classes="actions"):
                    words = wording.ENTER_NEXT if self._go_on else wording.ENTER
                    yield TouchButton(words, id="enter", role="primary", disabled=True)
                    if corner == "." and negative:  # the point has taken the corner of the sign
                        yield TouchButton(wording.SIGN_KEY, id="sign")
                    elif corner != CLEAR:
                        yield TouchButton(wording.CLEAR, id="clear")
            yield Keypad(corner=corner)

    def on_mount(self) -> None:
        """Show that nothing is entered yet."""
        self.call_after_refresh(self._redraw)

    def _redraw(self) -> None:
        judged = judge(self._text, self._field)
        self.query_one("#value", Digits).update(self._text or "-")
        self.query_one("#judgement", Words).say(judged.words)
        self.query_one("#judgement").set_class(bool(self._text) and not judged.good, "wrong")
        self.query_one("#enter", TouchButton).disabled = not judged.good
        low, high = _decimal(self._field.minimum), _decimal(self._field.maximum)
        bar = self.query_one(BarWithBand)
        bar.display = low is not None and high is not None
        if low is not None and high is not None:
            margin = float(high - low) / 4 or 1.0
            value = None if judged.value is None else float(judged.value)
            band = (float(low), float(high))
            bar.show(value, low=band[0] - margin, high=band[1] + margin, band=band)

    @on(Keypad.Pressed)
    def key(self, event: Keypad.Pressed) -> None:
        """Take a key."""
        event.stop()
        self._text = pressed(self._text, event.key, characters_max=NUMBER_CHARACTERS_MAX)
        self._redraw()

    def on_key(self, event: Key) -> None:
        """A real keyboard works too."""
        if event.character is not None and event.character in "0123456789.-":
            key = SIGN if event.character == "-" else event.character
            self._text = pressed(self._text, key, characters_max=NUMBER_CHARACTERS_MAX)
        elif event.key == "backspace":
            self._text = self._text[:-1]
        elif event.key == "enter" and judge(self._text, self._field).good:
            self.dismiss(self._text)
            return
        self._redraw()

    @on(TouchButton.Pressed, "#enter")
    def enter(self, event: TouchButton.Pressed) -> None:
        """Give the number back."""
        event.stop()
        self.dismiss(self._text)

    @on(TouchButton.Pressed, "#sign")
    def turn_sign(self, event: TouchButton.Pressed) -> None:
        """Below zero, or above it again."""
        event.stop()
        self._text = pressed(self._text, SIGN, characters_max=NUMBER_CHARACTERS_MAX)
        self._redraw()

    @on(TouchButton.Pressed, "#clear")
    def clear(self, event: TouchButton.Pressed) -> None:
        """Begin again."""
        event.stop()
        self._text = ""
        self._redraw()


class PinScreen(BedsideScreen[str]):
    """A PIN, shown as dots; beside it the raw facts that the person is about to confirm."""

    IS_FLOW = True
    BODY_CLASSES = "entering"

    def __init__(
        self,
        *,
        title: str,
        button: str,
        refusal: str = "",
        words: str = "",
        facts: list[FactView] | None = None,
    ) -> None:
        super().__init__()
        self._title, self._button, self._refusal = title, button, refusal
        self._words, self._facts = words, facts or []
        self._text = ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(classes="entry"):
            with Vertical(classes="entry-left"):
                yield Words(self._title, classes="title")
                yield Words("", id="dots")
                yield Words(wording.PIN_HINT, id="range")
                yield Words(self._refusal, id="refusal")
                yield Words(self._words, id="entry-words")
                yield FactList(self._facts, id="entry-facts")
                with Horizontal(classes="actions"):
                    yield TouchButton(self._button, id="enter", role="primary", disabled=True)
            yield Keypad(corner=CLEAR)

    def on_mount(self) -> None:
        """Show why an earlier try was refused."""
        self.query_one("#refusal").display = bool(self._refusal)
        self.query_one("#entry-words").display = bool(self._words)

    def _redraw(self) -> None:
        self.query_one("#dots", Words).say("● " * len(self._text))
        self.query_one("#enter", TouchButton).disabled = not self._text

    @on(Keypad.Pressed)
    def key(self, event: Keypad.Pressed) -> None:
        """Take a key."""
        event.stop()
        self._text = pressed(self._text, event.key, characters_max=PIN_DIGITS_MAX)
        self._redraw()

    def on_key(self, event: Key) -> None:
        """A real keyboard works too."""
        if event.character is not None and event.character in "0123456789":
            self._text = pressed(self._text, event.character, characters_max=PIN_DIGITS_MAX)
        elif event.key == "backspace":
            self._text = self._text[:-1]
        elif event.key == "enter" and self._text:
            self.dismiss(self._text)
            return
        self._redraw()

    @on(TouchButton.Pressed, "#enter")
    def enter(self, event: TouchButton.Pressed) -> None:
        """Give the PIN back."""
        event.stop()
        self.dismiss(self._text)


class TextScreen(BedsideScreen[str]):
    """A text or a password from the on-screen keyboard."""

    IS_FLOW = True
    BODY_CLASSES = "entering"

    def __init__(self, *, title: str, button: str, secret: bool = False, refusal: str = "") -> None:
        super().__init__()
        self._title, self._button, self._refusal = title, button, refusal
        self._secret, self._hidden = secret, secret
        self._text = ""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="text-head"):
            with Vertical(id="text-left"):
                yield Words(self._title, id="text-title", classes="title")
                yield Words(self._refusal, id="text-refusal")
                yield Words("▏", id="text")
            if self._secret:
                yield TouchButton(wording.SHOW, id="show")
            yield TouchButton(self._button, id="enter", role="primary", disabled=True)
        yield Keyboard()

    def on_mount(self) -> None:
        """Show why an earlier try was refused."""
        self.query_one("#text-refusal").display = bool(self._refusal)

    def _redraw(self) -> None:
        shown = "●" * len(self._text) if self._hidden else self._text
        room = max(10, (self.query_one("#text").content_size.width or 40) * 2 - 4)
        self.query_one("#text", Words).say(f"{shown[-room:]}▏")
        self.query_one("#enter", TouchButton).disabled = not self._text.strip()

    @on(Keyboard.Pressed)
    def key(self, event: Keyboard.Pressed) -> None:
        """Take a key."""
        event.stop()
        if event.key == BACKSPACE:
            self._text = self._text[:-1]
        else:
            self._text = (self._text + event.key)[:TEXT_CHARACTERS_MAX]
        self._redraw()

    def on_key(self, event: Key) -> None:
        """A real keyboard works too."""
        if event.key == "backspace":
            self._text = self._text[:-1]
        elif event.key == "enter" and self._text.strip():
            self.dismiss(self._text)
            return
        elif event.character is not None and event.is_printable:
            self._text = (self._text + event.character)[:TEXT_CHARACTERS_MAX]
        self._redraw()

    @on(TouchButton.Pressed, "#show")
    def show_or_hide(self, event: TouchButton.Pressed) -> None:
        """Let the person read what was typed, or hide it again."""
        event.stop()
        self._hidden = not self._hidden
        self.query_one("#show", TouchButton).say(wording.SHOW if self._hidden else wording.HIDE)
        self._redraw()

    @on(TouchButton.Pressed, "#enter")
    def enter(self, event: TouchButton.Pressed) -> None:
        """Give the text back."""
        event.stop()
        self.dismiss(self._text)
