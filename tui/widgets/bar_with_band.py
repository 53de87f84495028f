"""A value on a scale with its normal band: easier to judge at a glance than a bare number."""

from __future__ import annotations

from tui.widgets.words import Words


def bar_text(value: float | None, *, low: float, high: float, band: tuple[float, float], width: int) -> str:
    """Draw `··▒▒▒▒█▒▒··`: scale, normal band and the place of the value.

    Parameters
    ----------
    value : float or None
        Nothing is marked for None.
    low, high : float
        Ends of the scale. A value beyond an end is drawn as an arrow there.
    band : (float, float)
        Ends of the normal band.
    width : int
        Cells to draw, at least 3.
    """
    assert width >= 3, width
    span = (high - low) or 1.0

    def cell(at: float) -> int:
        return round((at - low) / span * (width - 1))

    first, last = max(0, cell(band[0])), min(width - 1, cell(band[1]))
    cells = ["▒" if first <= place <= last else "·" for place in range(width)]
    if value is not None:
        if value < low:
            cells[0] = "◀"
        elif value > high:
            cells[-1] = "▶"
        else:
            cells[cell(value)] = "█"
    return "".join(cells)


def fill_text(value: float, *, target: float | None, maximum: float | None, width: int) -> str:
    """Draw elapsed time against its target `┃` and its maximum (the right end): `████──┃────`."""
    assert width >= 3, width
    end = maximum or target or max(value, 1.0)
    done = min(width, round(value / end * width)) if end else width
    cells = ["█" if place < done else "─" for place in range(width)]
    if target is not None and maximum is not None and target < maximum:
        cells[min(width - 1, int(target / end * width))] = "┃"
    return "".join(cells)


class BarWithBand(Words):
    """A value drawn on a scale with its normal band."""

    def show(self, value: float | None, *, low: float, high: float, band: tuple[float, float]) -> None:
        """Draw the value; the scale takes the widget's width."""
        self.say(bar_text(value, low=low, high=high, band=band, width=max(3, self.size.width or 24)))
