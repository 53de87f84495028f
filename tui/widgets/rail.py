"""The column at the right of every screen: where to go, and STOP always in the same corner."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer

from tui import wording
from tui.widgets.touch_button import TouchButton

# A hold cannot be seen on every touch stack, so STOP is two taps in two different places.
ARMED_S: Final = 5.0

PLACES: Final = (
    ("home", wording.HOME),
    ("run", wording.RUN),
    ("alarms", wording.ALARMS),
    ("record", wording.RECORD),
)


class Rail(Vertical):
    """Navigation above, STOP below. Armed, "Stop now" takes the place of the navigation.

    Parameters
    ----------
    place : str
        The place whose key is marked as current; empty in the middle of something.
    back : bool
        Offer "Back" in place of the navigation.
    bare : bool
        Offer STOP alone: on the lock screen and while the engine is away.
    """

    class Went(Message):
        """A person chose a place, or `back`."""

        def __init__(self, place: str) -> None:
            super().__init__()
            self.place = place

    class Armed(Message):
        """STOP was tapped once."""

    class StopNow(Message):
        """STOP was tapped and confirmed: stop everything that moves."""

    def __init__(self, *, place: str = "", back: bool = False, bare: bool = False) -> None:
        super().__init__(id="rail")
        self._place, self._back, self._bare = place, back, bare
        self._disarm: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="places"):
            if self._back:
                yield TouchButton(wording.BACK, id="go-back", payload="back")
            elif not self._bare:
                for place, words in PLACES:
                    current = "current" if place == self._place else ""
                    yield TouchButton(words, id=f"go-{place}", payload=place, classes=current)
        yield TouchButton(wording.STOP_NOW, id="stop-now", role="primary")
        yield TouchButton(wording.STOP, id="stop", role="primary")

    @on(TouchButton.Pressed, "#stop")
    def arm(self, event: TouchButton.Pressed) -> None:
        """Arm; a second tap on the same place arms afresh, it neither stops nor disarms."""
        event.stop()
        if self._disarm is not None:
            self._disarm.stop()
        self._disarm = self.set_timer(ARMED_S, self.disarm)
        self.add_class("armed")
        self.query_one("#stop", TouchButton).say(wording.STOP_AGAIN)
        self.post_message(self.Armed())

    def disarm(self) -> None:
        """Go back to the plain rail."""
        if self._disarm is not None:
            self._disarm.stop()
            self._disarm = None
        self.remove_class("armed")
        self.query_one("#stop", TouchButton).say(wording.STOP)

    @on(TouchButton.Pressed, "#stop-now")
    def stop_now(self, event: TouchButton.Pressed) -> None:
        """Ask for the stop, with nothing in between."""
        event.stop()
        self.disarm()
        self.post_message(self.StopNow())

    @on(TouchButton.Pressed)
    def go(self, event: TouchButton.Pressed) -> None:
        """Ask for another place."""
        event.stop()
        if isinstance(event.button, TouchButton) and event.button.payload:
            self.post_message(self.Went(event.button.payload))
