"""The most urgent alarm, in one fixed place on every screen."""

from __future__ import annotations

from typing import Final

from tui import wording
from tui.view import PRIORITIES, View
from tui.widgets.words import Words

# Half periods of the banner's blink, in ticks of 0.25 s: high 2 Hz, medium 0.5 Hz, low steady (None).
BLINK_TICKS: Final = {"high": 1, "medium": 4, "low": None}


class AlarmBanner(Words):
    """Marker, priority word, title and what to do; told apart by more than its colour."""

    def __init__(self) -> None:
        super().__init__(id="banner")
        self._ticks = 0
        self._priority = ""

    def show(self, view: View | None) -> None:
        """Show the first alarm that is not over, or hide."""
        standing = [alarm for alarm in view.alarms if alarm.state != "cleared"] if view else []
        self.set_class(bool(standing), "shown")
        self._priority = standing[0].priority if standing else ""
        for priority in PRIORITIES:
            self.set_class(priority == self._priority, priority)
        if not standing:
            self.remove_class("dim")
            return
        alarm = standing[0]
        marker = wording.PRIORITY_MARKERS[alarm.priority]
        self.set_class(alarm.state == "active", "blinking")
        self.say(f"{marker} {wording.PRIORITY_WORDS[alarm.priority]}  {alarm.title}. {alarm.action}")

    def tick(self) -> None:
        """Blink an alarm that nobody has acknowledged."""
        self._ticks += 1
        half_period = BLINK_TICKS.get(self._priority)
        blinks = half_period is not None and self.has_class("blinking")
        self.set_class(blinks and half_period is not None and self._ticks // half_period % 2 == 1, "dim")
