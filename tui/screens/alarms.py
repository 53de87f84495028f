"""Alarms: state, cause, what to do, and acknowledging."""

from __future__ import annotations

from typing import Final

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from appliance.link.messages import AlarmView
from tui import local_time, wording
from tui.screens.chrome import BedsideScreen
from tui.view import PRIORITIES, View
from tui.widgets.touch_button import TouchButton
from tui.widgets.words import Words, hanging

# Three fit a screen without the button for more, two with it.
ALARMS_SHOWN: Final = 3
ALARMS_SHOWN_PAGED: Final = 2


def alarm_text(alarm: AlarmView, view: View, width: int) -> str:
    """State, cause and action of one alarm."""
    since = wording.ALARM_SINCE_WORDS.format(
        time=wording.UTC.format(time=local_time.utc_words(alarm.raised_at)),
        age=local_time.duration_words((view.utc - alarm.raised_at).total_seconds()),
        state=wording.ALARM_STATES[alarm.state],
    )
    rows = [
        (wording.ALARM_CAUSE, alarm.cause),
        (wording.ALARM_ACTION, alarm.action),
        (wording.ALARM_SINCE, since),
    ]
    return hanging(rows, width)


class AlarmRow(Horizontal):
    """One alarm with its button."""

    def compose(self) -> ComposeResult:
        with Vertical(classes="alarm-words"):
            yield Words(classes="alarm-title")
            yield Words(classes="alarm-text")
        yield TouchButton(wording.ACKNOWLEDGE, classes="acknowledge", role="primary")

    def show(self, alarm: AlarmView | None, view: View) -> None:
        """Show an alarm, or nothing."""
        self.display = alarm is not None
        if alarm is None:
            return
        marker, priority = wording.PRIORITY_MARKERS[alarm.priority], wording.PRIORITY_WORDS[alarm.priority]
        title = self.query_one(".alarm-title", Words)
        title.say(f"{marker} {priority}  {alarm.title}")
        for name in PRIORITIES:
            title.set_class(name == alarm.priority, name)
        text = self.query_one(".alarm-text", Words)
        text.say(alarm_text(alarm, view, text.content_size.width or 56))
        button = self.query_one(TouchButton)
        button.payload = alarm.id
        button.say(wording.ACKNOWLEDGED if alarm.state == "acknowledged" else wording.ACKNOWLEDGE)
        button.disabled = (
            alarm.state == "acknowledged"
            or view.snapshot.person is None
            or view.busy(f"acknowledge:{alarm.id}")
        )


class AlarmsScreen(BedsideScreen[None]):
    """All alarms, the most urgent first, as many at a time as fit."""

    PLACE = "alarms"

    def __init__(self) -> None:
        super().__init__()
        self._first = 0

    def compose_body(self) -> ComposeResult:
        yield Words(wording.ALARMS_TITLE, id="alarms-title", classes="title")
        yield Words(wording.ALARMS_NONE, id="alarms-none")
        for _ in range(ALARMS_SHOWN):
            yield AlarmRow()
        with Horizontal(classes="actions"):
            yield TouchButton(wording.MORE_ALARMS, id="more-alarms")

    def show(self, view: View) -> None:
        alarms = view.alarms
        fits = ALARMS_SHOWN_PAGED if self.has_class("short") else ALARMS_SHOWN
        paged = len(alarms) > fits
        if self._first >= len(alarms) or not paged:
            self._first = 0
        self.query_one("#alarms-none").display = not alarms
        self.query_one("#more-alarms").display = paged
        shown = alarms[self._first : self._first + (ALARMS_SHOWN_PAGED if paged else fits)]
        for place, row in enumerate(self.query(AlarmRow)):
            row.show(shown[place] if place < len(shown) else None, view)

    @on(TouchButton.Pressed, "#more-alarms")
    def more(self, event: TouchButton.Pressed) -> None:
        """Show the next alarms, and the first after the last."""
        event.stop()
        self._first += ALARMS_SHOWN_PAGED
        self.follow()

    @on(TouchButton.Pressed, ".acknowledge")
    def acknowledge(self, event: TouchButton.Pressed) -> None:
        """Acknowledge this one alarm."""
        event.stop()
        event.button.disabled = True
        assert isinstance(event.button, TouchButton)
        alarm = event.button.payload
        self.bedside.send("acknowledge_alarm", {"alarm": alarm}, key=f"acknowledge:{alarm}")
