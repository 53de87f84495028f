"""The plots of a dilution series as SVG: proportional fit, distance from it, and variation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from vision.counting.qualification import Qualification

WIDTH, HEIGHT = 340, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 332, 12, 208
INK, GRID, WORDS, BAND, LIMIT = "#1c1c1c", "#dddddd", "#555555", "#cccccc", "#b45309"
MARKS_ABOUT = 5


@dataclass(frozen=True, slots=True)
class _Axes:
    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (RIGHT - LEFT) * (value - self.x_low) / (self.x_high - self.x_low)

    def y(self, value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - self.y_low) / (self.y_high - self.y_low)

    def path(self, line: Sequence[tuple[float, float]]) -> str:
        """A line through points, cut at the frame by the drawing's clip."""
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in line)


def _marks(low: float, high: float) -> list[float]:
    """Round values from at or below `low` to at or above `high`."""
    raw = max(high - low, 1e-12) / MARKS_ABOUT
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, max(last, first + 1) + 1)]


def _said(value: float) -> str:
    return f"{value:.1e}".replace("e+0", "e").replace("e+", "e") if abs(value) >= 1e4 else f"{value:g}"


def _frame(axes: _Axes, marks: Sequence[float], title: str, x_title: str, name: str, inside: str) -> str:
    """A drawing with its grid, words and what lies inside; `title` is what it says without eyes."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="DejaVu Sans, sans-serif" font-size="10" '
        f'fill="{WORDS}"><title>{escape(title)}</title>',
        f'<clipPath id="{name}"><rect x="{LEFT}" y="{TOP - 6}" width="{RIGHT - LEFT}" '
        f'height="{BOTTOM - TOP + 12}"/></clipPath>',
    ]
    for mark in marks:
        at = axes.y(mark)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{RIGHT}" stroke="{GRID}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 3.5:.1f}" text-anchor="end">{_said(mark)}</text>')
    parts.append(f'<g clip-path="url(#{name})">{inside}</g>')
    parts.append(f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="{WORDS}"/>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>')
    return "".join(parts) + "</svg>"


def _ticks(axes: _Axes, places: Sequence[float]) -> str:
    """The fractions under the axis; one that would touch its neighbour is left out."""
    parts, before = [], -math.inf
    for place in sorted(places):
        at = axes.x(place)
        if at - before >= 24:
            parts.append(f'<text x="{at:.1f}" y="{BOTTOM + 14}" text-anchor="middle">{place:g}</text>')
            before = at
    return "".join(parts)


def _dots(axes: _Axes, points: Sequence[tuple[float, float]], radius: float, style: str) -> str:
    return "".join(
        f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="{radius}" {style}/>' for x, y in points
    )


def _with_ticks(drawing: str, ticks: str) -> str:
    return drawing.removesuffix("</svg>") + ticks + "</svg>"


def fit_plot(found: Qualification, name: str) -> str:
    """Concentration against dilution: looks, samples, the proportional fit and its interval."""
    looks = [(p.fraction, value) for p in found.points for value in p.observations_cells_ml]
    reach = max(p.fraction for p in found.points) * 1.06
    slope = found.indicators.slope_cells_ml
    marks = _marks(0.0, max([y for _, y in looks] + [slope * reach, 1.0]))
    axes = _Axes(0.0, reach, marks[0], marks[-1])
    inside = ""
    if "slope_cells_ml" in found.intervals:
        low, high = found.intervals["slope_cells_ml"]
        inside += f'<path d="{axes.path([(0, 0), (reach, low * reach), (reach, high * reach)])}Z" '
        inside += f'fill="{BAND}"/>'
    inside += f'<path d="{axes.path([(0, 0), (reach, slope * reach)])}" fill="none" stroke="{INK}"/>'
    inside += f'<path d="{axes.path(found.curve)}" fill="none" stroke="{INK}" stroke-dasharray="4 3"/>'
    inside += _dots(axes, looks, 1.6, f'fill="none" stroke="{WORDS}"')
    inside += _dots(axes, [(p.fraction, p.mean_cells_ml) for p in found.points], 2.6, f'fill="{INK}"')
    title = f"Concentration against dilution fraction; slope {slope:.4g} cells/mL"
    drawing = _frame(axes, marks, title, "dilution fraction", name, inside)
    return _with_ticks(drawing, _ticks(axes, [level.target for level in found.levels]))


def deviation_plot(found: Qualification, name: str) -> str:
    """How far each sample, and the flexible fit, is from proportionality, in percent."""
    slope = found.indicators.slope_cells_ml or 1.0

    def percent(fraction: float, value: float) -> tuple[float, float]:
        return fraction, 100 * (value / (slope * fraction) - 1)

    points = [percent(p.fraction, p.mean_cells_ml) for p in found.points]
    curve = [percent(x, y) for x, y in found.curve]
    limit = found.limits.deviation_percent_max
    furthest = max([abs(y) for _, y in points] + [limit * 1.1])
    marks = _marks(-furthest, furthest)
    axes = _Axes(0.0, max(p.fraction for p in found.points) * 1.06, marks[0], marks[-1])
    inside = f'<path d="M{LEFT} {axes.y(0):.1f}H{RIGHT}" stroke="{INK}"/>'
    for bound in (limit, -limit):
        inside += f'<path d="M{LEFT} {axes.y(bound):.1f}H{RIGHT}" stroke="{LIMIT}" stroke-dasharray="2 3"/>'
    inside += f'<path d="{axes.path(curve)}" fill="none" stroke="{INK}" stroke-dasharray="4 3"/>'
    inside += _dots(axes, points, 2.6, f'fill="{INK}"')
    title = f"Distance from proportionality in percent; {found.indicators.deviation_percent:.1f} % on average"
    drawing = _frame(axes, marks, title, "dilution fraction", name, inside)
    return _with_ticks(drawing, _ticks(axes, [level.target for level in found.levels]))


def variation_plot(found: Qualification, name: str) -> str:
    """CV of the replicates at each dilution beside the limit."""
    limit = found.limits.cv_percent_max
    bars = [(level.target, level.judged_cv_percent) for level in found.levels]
    marks = _marks(0.0, max([cv for _, cv in bars if cv is not None] + [limit * 1.1]))
    axes = _Axes(0.0, float(len(bars)), marks[0], marks[-1])
    inside, ticks, step = "", "", max(1, -(-len(bars) // 10))
    for place, (target, cv) in enumerate(bars):
        middle = axes.x(place + 0.5)
        if cv is not None:
            # Over the limit a bar is hatched by its outline as well as by colour.
            over = not cv < limit
            style = f'fill="none" stroke="{LIMIT}" stroke-width="2"' if over else f'fill="{WORDS}"'
            wide = (RIGHT - LEFT) / len(bars) * 0.5
            inside += f'<rect x="{middle - wide / 2:.1f}" y="{axes.y(cv):.1f}" width="{wide:.1f}" '
            inside += f'height="{BOTTOM - axes.y(cv):.1f}" {style}/>'
        if place % step == 0:
            ticks += f'<text x="{middle:.1f}" y="{BOTTOM + 14}" text-anchor="middle">{target:g}</text>'
    inside += f'<path d="M{LEFT} {axes.y(limit):.1f}H{RIGHT}" stroke="{LIMIT}" stroke-dasharray="2 3"/>'
    title = f"Variation of the replicates in percent; limit {limit:g} %"
    return _with_ticks(_frame(axes, marks, title, "dilution fraction", name, inside), ticks)
