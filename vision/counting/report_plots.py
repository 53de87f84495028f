"""The drawings of a count's page: histograms and bars, as SVG that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from vision.counting.method import CellClass

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 260, 150, 30, 30, 8
BINS = 24
COLOUR = {"live": "#2f8f4e", "dead": "#b23a9e", "unclassified": "#c79a00", "nucleus": "#2b7bb9"}
HATCH_OF = {"dead": 45, "unclassified": 0}
# The outermost cells of each side share the last bins, so that one odd cell does not flatten the rest.
PERCENTILES = (0.5, 99.5)


def hatches() -> str:
    """Return the patterns that the drawings fill bars with, so that a grey print tells them apart."""
    patterns = "".join(
        f'<pattern id="hatch-{kind}" width="4" height="4" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate({angle})"><rect width="4" height="4" fill="{COLOUR[kind]}"/>'
        '<rect width="1.4" height="4" fill="#fff" fill-opacity=".75"/></pattern>'
        for kind, angle in HATCH_OF.items()
    )
    hidden = 'width="0" height="0" style="position:absolute" aria-hidden="true"'
    return f"<svg {hidden}><defs>{patterns}</defs></svg>"


def fill_of(kind: str) -> str:
    """Return what bars of this class are filled with."""
    return f"url(#hatch-{kind})" if kind in HATCH_OF else COLOUR[kind]


def mark(kind: str) -> str:
    """Draw the mark that stands for a class in the pictures, in a text's line."""
    colour, shape = COLOUR.get(kind, "#8a8a8a"), '<circle cx="8" cy="8" r="6"/>'
    if kind == "dead":
        shape += '<path d="M4 4l8 8M12 4l-8 8"/>'
    elif kind == "unclassified":
        shape = '<circle cx="8" cy="8" r="6" stroke-dasharray="2.6 2.1"/>'
    elif kind not in COLOUR:
        shape = '<rect x="2" y="2" width="12" height="12"/>'
    return f'<svg width="16" height="16" fill="none" stroke="{colour}" stroke-width="1.8">{shape}</svg>'


def histogram(values: Mapping[CellClass, Sequence[float]], title: str, axis: str) -> str:
    """Draw how often each size comes, the classes stacked."""
    every = np.concatenate([np.asarray(v, np.float64) for v in values.values()] or [np.zeros(0)])
    if len(every) == 0:
        return ""
    low, high = np.percentile(every, PERCENTILES)
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, BINS + 1)
    stacks = {k: np.histogram(np.clip(v, low, high), edges)[0] for k, v in values.items()}
    most = max(1, int(sum(stacks.values()).max()))  # type: ignore[union-attr]
    step = (WIDTH - LEFT - 6) / BINS
    tall = HEIGHT - BOTTOM - TOP
    bars = []
    ground = np.zeros(BINS)
    for kind, counts in stacks.items():
        for n, count in enumerate(counts):
            if count:
                part = tall * count / most
                y = HEIGHT - BOTTOM - tall * ground[n] / most - part
                bars.append(
                    f'<rect x="{LEFT + n * step + 0.5:.1f}" y="{y:.1f}" width="{step - 1:.1f}" '
                    f'height="{part:.1f}" fill="{fill_of(kind)}"/>'
                )
        ground += counts
    floor = HEIGHT - BOTTOM
    labels = "".join(
        f'<text x="{LEFT + share * (WIDTH - LEFT - 6):.0f}" y="{floor + 12}" text-anchor="{anchor}">'
        f"{low + share * (high - low):.3g}</text>"
        for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end"))
    )
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">{"".join(bars)}'
        f'<path d="M{LEFT} {TOP}V{floor}H{WIDTH - 6}" fill="none" stroke="#888"/>'
        f'<text x="{LEFT - 4}" y="{TOP + 8}" text-anchor="end">{most}</text>'
        f'<text x="{LEFT - 4}" y="{floor}" text-anchor="end">0</text>{labels}'
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">{escape(axis)}</text>'
        "</svg></figure>"
    )


def share_bar(share: float) -> str:
    """Draw a share of 0 to 1 as a bar in a table's cell."""
    width = round(100 * min(1.0, max(0.0, share)))
    return (
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="100" height="8" fill="#eee"/><rect width="{width}" height="8" fill="#2b7bb9"/></svg>'
    )


def interval_bar(value: float, low: float, high: float, least: float, most: float) -> str:
    """Draw a value with its interval on a scale from `least` to `most`."""

    def place(number: float) -> float:
        return 4 + 292 * (min(max(number, least), most) - least) / max(1e-12, most - least)

    return (
        '<svg class="interval" viewBox="0 0 300 22" role="img" aria-label="interval">'
        '<rect x="4" y="9" width="292" height="4" fill="#e4e4e4"/>'
        f'<rect x="{place(low):.1f}" y="6" width="{max(1.5, place(high) - place(low)):.1f}" height="10" '
        'fill="#9cc3e0"/>'
        f'<rect x="{place(value) - 1.25:.1f}" y="2" width="2.5" height="18" fill="#1c1c1c"/></svg>'
    )
