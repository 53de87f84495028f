"""Hold a label before the camera: aim, then a tick that leaves by itself, or words that stay."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Center, Horizontal, Vertical
from textual.events import Click, Key

from tui import wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.aiming import AimingPicture
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words, hanging

# Words that change faster than this cannot be read.
HINT_STAYS_S: Final = 0.8
TICK_STAYS_S: Final = 1.2
BAR_CELLS: Final = 20
TICK_WIDTH: Final = 50
TICK: Final = (
    "                ▄██▀",
    "              ▄██▀  ",
    "            ▄██▀    ",
    "▀██▄      ▄██▀      ",
    "  ▀██▄  ▄██▀        ",
    "    ▀████▀          ",
    "      ▀▀            ",
)


class ScanScreen(BedsideScreen[str]):
    """The newest picture in a frame with its target, what to change, and how long there is.

    It ends nothing by itself: whoever opened it takes it away, or the person taps "End the scan", which
    dismisses with `ended`.

    Parameters
    ----------
    aiming : str
        The file that the camera's program replaces.
    at_patient : bool
        No picture is shown then, only where a symbol is seen.
    """

    IS_FLOW = True

    def __init__(
        self, title: str, instruction: str, *, expects: str = "", aiming: str = "", at_patient: bool = False
    ) -> None:
        super().__init__()
        self._title, self._instruction, self._expects = title, instruction, expects
        self._aiming, self._at_patient = aiming, at_patient
        self._hint, self._hint_s = "", 0.0
        self._ends_s = 0.0
        self._limit_s = 0.0

    def compose_body(self) -> ComposeResult:
        yield Words(self._title, id="scan-title", classes="title")
        yield Words(wording.AIM_BEGINS, id="aim-words")
        yield AimingPicture(self._aiming, id="aim")
        with Horizontal(id="scan-foot"):
            with Vertical(id="scan-said"):
                yield Words(self._instruction, id="scan-instruction")
                yield Words(
                    wording.EXPECTS.format(words=self._expects) if self._expects else "", id="scan-expects"
                )
                yield Words("", id="scan-left")
            yield TouchButton(wording.END_SCAN, id="end-scan")

    def begins(self, limit_s: float, left_s: float, *, at_patient: bool = False) -> None:
        """How long this scan may take, what is left of it, and whether a picture may be shown."""
        self._limit_s, self._ends_s = limit_s, time.monotonic() + left_s
        self._at_patient |= at_patient

    def show(self, view: View) -> None:
        """Follow the picture and the time; a STOP ends the aiming."""
        if view.snapshot.stop_latched:
            self.dismiss(None)
            return
        aim = self.query_one(AimingPicture).aim
        self._say(self._hint_of(aim.hints, bool(aim.outlines)) if aim is not None else wording.AIM_BEGINS)
        self.query_one("#scan-left", Words).say(self._left_words())

    def _hint_of(self, hints: Sequence[str], seen: bool) -> str:
        for hint in hints:
            if hint in wording.AIM_HINTS:
                return wording.AIM_HINTS[hint]
        if seen:
            return wording.AIM_SEEN
        return wording.AIM_AT_PATIENT if self._at_patient else wording.AIM_NOTHING

    def _say(self, words: str) -> None:
        now_s = time.monotonic()
        if words == self._hint or now_s - self._hint_s < HINT_STAYS_S:
            return
        self._hint, self._hint_s = words, now_s
        self.query_one("#aim-words", Words).say(words)

    def _left_words(self) -> str:
        if not self._limit_s:
            return ""
        left_s = max(0.0, self._ends_s - time.monotonic())
        full = round(BAR_CELLS * left_s / self._limit_s)
        return f"{'━' * full}{'─' * (BAR_CELLS - full)} {wording.SCAN_LEFT.format(seconds=round(left_s))}"

    @on(TouchButton.Pressed, "#end-scan")
    def end(self, event: TouchButton.Pressed) -> None:
        """The person ends the scan."""
        event.stop()
        self.dismiss("ended")

    def on_key(self, event: Key) -> None:
        """A keyboard ends it too."""
        if event.key == "escape":
            event.stop()
            self.dismiss("ended")


class TickScreen(BedsideScreen[str]):
    """A big tick with what was read; it leaves by itself, sooner at a touch."""

    IS_FLOW = True

    def __init__(self, title: str, said: Sequence[tuple[str, str]]) -> None:
        super().__init__(classes="ticked")
        self._title, self._said = title, said

    def compose_body(self) -> ComposeResult:
        with Vertical(id="ticked"):
            yield Words("\n".join(TICK), id="tick")
            yield Words(self._title, id="tick-title", classes="title")
            with Center():
                yield Words(hanging(self._said, TICK_WIDTH), id="tick-facts")

    def on_mount(self) -> None:
        """One short sound, and then it leaves."""
        self.app.bell()
        self.set_timer(TICK_STAYS_S, self._leave)

    def _leave(self) -> None:
        if self.is_current:
            self.dismiss("seen")

    def on_click(self, event: Click) -> None:
        """Whoever has read it goes on."""
        # A tap on the rail is the rail's.
        if self.query_one("#ticked").region.contains(event.screen_x, event.screen_y):
            self.dismiss("seen")

    def on_key(self, event: Key) -> None:
        """A key does too."""
        event.stop()
        self.dismiss("seen")


class NotReadScreen(BedsideScreen[str]):
    """The label could not be read: what to change, and the ways on. Nothing was accepted."""

    IS_FLOW = True

    def __init__(self, words: str, *, can_type: bool) -> None:
        super().__init__()
        self._words, self._can_type = words, can_type

    def compose_body(self) -> ComposeResult:
        with Vertical(id="refused"):
            yield Words(wording.NOT_READ_TITLE, id="refused-title", classes="title")
            yield Words(self._words, id="refused-words")
            yield Words(wording.NOT_READ_TYPE if self._can_type else "", id="type-words")
        with Horizontal(classes="actions"):
            yield TouchButton(wording.SCAN_AGAIN, id="again", role="primary")
            if self._can_type:
                yield TouchButton(wording.TYPE_NUMBER, id="type")

    @on(TouchButton.Pressed, "#again")
    def again(self, event: TouchButton.Pressed) -> None:
        """Look once more."""
        event.stop()
        self.dismiss("again")

    @on(TouchButton.Pressed, "#type")
    def type_it(self, event: TouchButton.Pressed) -> None:
        """Type what stands on the label."""
        event.stop()
        self.dismiss("type")

    def on_key(self, event: Key) -> None:
        """Enter looks once more."""
        if event.key == "enter":
            event.stop()
            self.dismiss("again")
