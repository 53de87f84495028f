"""The waits that run: elapsed, target, maximum, and what the wait is for."""

from __future__ import annotations

from appliance.link.messages import TimerView
from tui import local_time, wording
from tui.view import View
from tui.widgets.bar_with_band import fill_text
from tui.widgets.words import Words, ellipsis


def timer_text(timer: TimerView, *, width: int) -> str:
    """A timer in three lines: what for, the bar, the numbers."""
    target = None if timer.target_s is None else float(timer.target_s)
    maximum = None if timer.maximum_s is None else float(timer.maximum_s)
    numbers = local_time.clock_words(timer.elapsed_s)
    if target is not None:
        numbers = wording.TIMER_TARGET.format(elapsed=numbers, target=local_time.clock_words(target))
    if maximum is not None:
        over = timer.elapsed_s > maximum
        limit = wording.TIMER_MAXIMUM.format(maximum=local_time.clock_words(maximum))
        numbers = f"{numbers}, {wording.TIMER_OVER + ', ' if over else ''}{limit}"
    bar = fill_text(timer.elapsed_s, target=target, maximum=maximum, width=width)
    return f"{ellipsis(timer.words, width)}\n{bar}\n{ellipsis(numbers, width)}"


class TimerPanel(Words):
    """All running timers; hidden when there is none."""

    def show(self, view: View) -> None:
        """Show the newest timers."""
        width = max(20, self.content_size.width or 28)
        self.display = bool(view.timers)
        self.say("\n".join(timer_text(timer, width=width) for timer in view.timers[:3]))
