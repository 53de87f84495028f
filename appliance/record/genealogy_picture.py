"""A genealogy as a drawing: what a thing came from above it, what it led to below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from appliance.record.genealogy import Genealogy, Step, Thing

BOX_WIDTH_PX, BOX_HEIGHT_PX = 240, 52
GAP_X_PX, GAP_Y_PX = 24, 46
MARGIN_PX = 24
COLUMNS_MAX = 5
TEXT_CHARACTERS_MAX = 34
STYLE = (
    "text{font-family:sans-serif;fill:#1b1f23}.id{font-size:13px;font-weight:600}"
    ".words{font-size:11px}.box{fill:#fff;stroke:#5a6570;stroke-width:1.2}.asked{stroke-width:3}"
    ".step{stroke:#8a949e;stroke-width:1.2;fill:none}"
)


def as_svg(genealogy: Genealogy, asked: Thing) -> str:
    """Draw everything that a thing came from and led to, a row for each generation."""
    steps = list(dict.fromkeys([*genealogy.before(asked.key), *genealogy.after(asked.key)]))
    places, height = _places(_generations(steps, asked))
    width = 2 * MARGIN_PX + COLUMNS_MAX * BOX_WIDTH_PX + (COLUMNS_MAX - 1) * GAP_X_PX
    lines = [_line(places[step.source], places[step.target], step) for step in steps]
    boxes = [
        _box(genealogy.things[key], place, asked=key == asked.key) for key, place in sorted(places.items())
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">',
            f"<title>Genealogy of {escape(asked.kind)} {escape(asked.id)}</title>",
            f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _generations(steps: Sequence[Step], asked: Thing) -> list[list[str]]:
    """Each thing one row below the lowest that it came from."""
    depth = {asked.key: 0}
    for _ in range(len(steps) + 1):
        moved = False
        for step in steps:
            at = depth.setdefault(step.source, 0) + 1
            if depth.get(step.target, -1) < at <= len(steps) + 1:
                depth[step.target], moved = at, True
        if not moved:
            break
    rows: dict[int, list[str]] = {}
    for key, at in depth.items():
        rows.setdefault(at, []).append(key)
    return [rows[at] for at in sorted(rows)]


def _places(rows: Sequence[Sequence[str]]) -> tuple[dict[str, tuple[int, int]], int]:
    places, y = {}, MARGIN_PX
    for row in rows:
        for first in range(0, len(row), COLUMNS_MAX):
            for column, key in enumerate(row[first : first + COLUMNS_MAX]):
                places[key] = (MARGIN_PX + column * (BOX_WIDTH_PX + GAP_X_PX), y)
            y += BOX_HEIGHT_PX + GAP_Y_PX
    return places, y - GAP_Y_PX + MARGIN_PX


def _line(source: tuple[int, int], target: tuple[int, int], step: Step) -> str:
    x1, y1 = source[0] + BOX_WIDTH_PX // 2, source[1] + BOX_HEIGHT_PX
    x2, y2 = target[0] + BOX_WIDTH_PX // 2, target[1]
    bend = max(20, (y2 - y1) // 2)
    return (
        f'<path class="step" d="M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2}">'
        f"<title>{escape(step.words)} ({step.at:%Y-%m-%d %H:%M} UTC, entry {step.seq})</title></path>"
    )


def _box(thing: Thing, place: tuple[int, int], *, asked: bool) -> str:
    x, y = place
    words = _short(f"{thing.kind}: {thing.words}")
    mark = " asked" if asked else ""
    return (
        f'<rect class="box{mark}" x="{x}" y="{y}" width="{BOX_WIDTH_PX}" height="{BOX_HEIGHT_PX}" rx="4"/>'
        f'<text class="id" x="{x + 10}" y="{y + 21}">{escape(_short(thing.id))}</text>'
        f'<text class="words" x="{x + 10}" y="{y + 39}">{escape(words)}</text>'
    )


def _short(text: str) -> str:
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"
