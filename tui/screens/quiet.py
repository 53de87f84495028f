"""The two screens without work: locked, and engine away."""

from __future__ import annotations

import time
from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.events import Click
from textual.widgets import Digits

from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import View
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words

ASLEEP_AFTER_S: Final = 30.0


class LockScreen(BedsideScreen[None]):
    """Locked: the first touch only wakes, but STOP works at once and without anybody signed in."""

    IS_BARE = True

    def __init__(self) -> None:
        super().__init__()
        self._woken_s: float | None = None

    def compose_body(self) -> ComposeResult:
        with Vertical(classes="quiet-card"):
            yield Words(wording.LOCKED_TITLE, classes="title")
            yield Digits("", id="clock")
            yield Words(wording.LOCKED_WORDS)
            yield Words(wording.LOCKED_TOUCH, id="touch")
        with Horizontal(classes="actions"):
            yield TouchButton("", id="unlock", role="primary")
            yield TouchButton(wording.UNLOCK_OTHER, id="other", role="primary")

    @property
    def awake(self) -> bool:
        """Whether a touch has woken the screen and it has not gone back to sleep."""
        return self._woken_s is not None and time.monotonic() - self._woken_s < ASLEEP_AFTER_S

    def show(self, view: View) -> None:
        person = view.snapshot.person
        unlock = self.query_one("#unlock", TouchButton)
        unlock.display = self.awake and person is not None
        unlock.say(wording.UNLOCK_AS.format(name=person.name) if person else "")
        local = local_time.local_words(view.utc, view.snapshot.unit.time_zone)
        self.query_one("#clock", Digits).update(local.partition(" ")[0] or local_time.utc_words(view.utc)[:5])
        self.query_one("#other").display = self.awake
        self.query_one("#touch").display = not self.awake
        for button in self.query("#unlock, #other"):
            button.disabled = view.busy("sign_in")

    def on_click(self, event: Click) -> None:
        """Wake."""
        event.stop()
        if not self.awake:
            self._woken_s = time.monotonic()
            self.follow()

    def on_key(self) -> None:
        """Wake by a key or a foot switch."""
        if not self.awake:
            self._woken_s = time.monotonic()
            self.follow()

    @on(TouchButton.Pressed, "#unlock")
    def unlock(self, event: TouchButton.Pressed) -> None:
        """Ask for the PIN of whoever locked."""
        event.stop()
        view = self.bedside.view
        self.bedside.start_sign_in(view.snapshot.person if view else None)

    @on(TouchButton.Pressed, "#other")
    def other(self, event: TouchButton.Pressed) -> None:
        """Let somebody else sign in."""
        event.stop()
        self.bedside.start_sign_in()


class AwayScreen(BedsideScreen[None]):
    """The engine is away: state, cause, what to do, and when the next attempt is."""

    IS_BARE = True

    def compose_body(self) -> ComposeResult:
        with Vertical(classes="quiet-card"):
            yield Words(wording.AWAY_TITLE, classes="title")
            yield Words(id="away-state")
            yield Words(id="away-cause")
            yield Words(wording.AWAY_DO, id="away-do")
            yield Words(id="away-next")

    def refresh_view(self) -> None:
        """Show the state of the link; there is no view to show."""
        super().refresh_view()
        away = self.bedside.away
        age = local_time.duration_words(time.monotonic() - away.since_s)
        last = self.bedside.last_utc
        self.query_one("#away-state", Words).say(
            wording.AWAY_STATE.format(age=age, time=local_time.utc_words(last))
            if last
            else wording.AWAY_STATE_NEVER.format(age=age)
        )
        self.query_one("#away-cause", Words).say(wording.AWAY_CAUSE.format(cause=away.cause))
        left_s = away.next_s - time.monotonic()
        words = (
            wording.AWAY_NEXT.format(seconds=round(left_s), attempt=away.attempt + 1)
            if left_s >= 0.5
            else wording.AWAY_TRYING.format(attempt=away.attempt + 1)
        )
        if self.bedside.link.in_flight:
            words = f"{words}\n{wording.AWAY_UNANSWERED}"
        self.query_one("#away-next", Words).say(words)
