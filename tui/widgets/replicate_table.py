"""The replicates of a count: never a number without its interval and verdict (SAFETY 8)."""

from __future__ import annotations

from appliance.link.messages import CountView
from tui import wording
from tui.widgets.bar_with_band import bar_text
from tui.widgets.words import Words

COUNTED = "counted"


def _interval(count: CountView) -> tuple[float, float] | None:
    try:
        low, high = (float(end) for end in count.viability_interval_percent)
    except ValueError:
        return None
    return low, high


def count_text(count: CountView, *, width: int) -> str:
    """One replicate; its bar runs from 0 to 100 % with the interval as the band."""
    # The engine numbers replicates from 1; 0 is all of them together.
    title = wording.REPLICATE if count.replicate else wording.POOLED
    head = title.format(number=count.replicate, verdict=count.verdict)
    interval = _interval(count)
    if count.verdict != COUNTED and count.words:
        return f"{head}\n{count.words}"
    if interval is None:
        return f"{head}\n{wording.NO_INTERVAL}"
    low, high = interval
    numbers = wording.REPLICATE_NUMBERS.format(live=count.live, dead=count.dead)
    low_words, high_words = count.viability_interval_percent
    viability = wording.VIABILITY.format(percent=count.viability_percent, low=low_words, high=high_words)
    try:
        value = float(count.viability_percent)
    except ValueError:
        value = None
    bar = bar_text(value, low=0, high=100, band=(low, high), width=width)
    return f"{head}\n{viability}\n{numbers}\n{bar}"


class ReplicateTable(Words):
    """All replicates so far."""

    def show(self, counts: list[CountView]) -> None:
        """Show these counts."""
        width = max(20, self.content_size.width or 34)
        texts = [count_text(count, width=width) for count in counts]
        self.say("\n\n".join([*texts, wording.INTERVAL_HINT]) if texts else wording.NO_COUNTS)
