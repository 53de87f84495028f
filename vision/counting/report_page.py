"""One page that shows a count to people: numbers, pictures, histograms, what the interval is made of.

It stands alone: pictures and drawings are in the file, nothing is loaded, nothing runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import TYPE_CHECKING, Any

from vision.counting import report_plots
from vision.counting.results import HasNumbers, ImageResult

if TYPE_CHECKING:
    from vision.counting.report import Page

NONE = "–"  # noqa: RUF001
STYLE = """
:root { --ink: #1c1c1c; --quiet: #5d5d5d; --line: #d9d9d9; }
* { box-sizing: border-box; }
body { font: 13px/1.45 system-ui, "DejaVu Sans", sans-serif; color: var(--ink); background: #fff;
  max-width: 62rem; margin: 1.6rem auto; padding: 0 1.6rem; }
header { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem;
  border-bottom: 2px solid var(--ink); padding-bottom: .35rem; }
h1 { font-size: 1.45rem; font-weight: 600; margin: 0; }
h2 { font-size: 1.02rem; font-weight: 600; margin: 1.15rem 0 .35rem; }
.quiet, figcaption, th, dt { color: var(--quiet); }
.verdict { display: inline-block; font-weight: 600; padding: .1rem .6rem; border: 1.5px solid;
  border-radius: 3px; }
.counted { color: #1d6b38; } .repeat { color: #8a5a00; } .refused { color: #a02020; }
.numbers { display: grid; grid-template-columns: repeat(3, 1fr); gap: .8rem 1.6rem; margin: .9rem 0 .4rem; }
.numbers > div { border-left: 3px solid var(--line); padding-left: .8rem; }
.numbers b { display: block; font-size: 1.75rem; font-weight: 600; line-height: 1.2; white-space: nowrap; }
.numbers small { font-size: .85rem; color: var(--quiet); font-weight: 400; }
svg.interval { width: 100%; max-width: 15rem; height: auto; display: block; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: .6rem; }
.pictures figure { margin: 0; }
.beside { display: grid; grid-template-columns: 3fr 2fr; gap: 0 2rem; }
.beside .pictures { display: block; } .beside .pictures img { max-height: 33rem; }
.beside .plots { display: block; } .beside .plots figure { max-width: 17rem; margin-bottom: .3rem; }
.pictures img { width: 100%; max-height: 26rem; object-fit: contain; object-position: left top;
  display: block; background: #f4f4f4; }
figcaption { font-size: .88em; overflow-wrap: anywhere; }
.plots { display: flex; flex-wrap: wrap; gap: .8rem; }
.plots figure { margin: 0; flex: 1 1 14rem; max-width: 20rem; }
.plots svg { width: 100%; height: auto; font-size: 9.5px; fill: var(--quiet); }
.key { display: inline-flex; gap: .35rem; align-items: center; margin-right: 1.1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .18rem .9rem .18rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; font-size: .92em; }
td.n, th.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
svg.bar { width: 4.5rem; height: .5rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
.two dl { font-size: .92em; line-height: 1.35; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", monospace; }
footer { margin-top: 1.2rem; border-top: 1px solid var(--line); padding-top: .4rem; font-size: .88em; }
@media (max-width: 44rem) { .numbers, .two { grid-template-columns: 1fr; } header { display: block; } }
@page { size: A4; margin: 12mm; }
@media print { body { margin: 0; max-width: none; padding: 0; font-size: 9.2px; }
  .beside .pictures img { max-height: 105mm; } .pictures { grid-template-columns: repeat(4, 1fr); }
  .beside .pictures { display: block; } .numbers b { font-size: 1.5rem; } h2 { margin-top: .8rem; }
  .plots figure { max-width: 58mm; } .beside .plots figure { max-width: 50mm; margin-bottom: 0; }
  td, th { padding-top: .06rem; padding-bottom: .06rem; } figure, tr, .numbers > div { break-inside: avoid; }
  h2 { break-after: avoid; }
  svg rect, .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
CLASS_WORDS = {"live": "live", "dead": "dead", "unclassified": "not sure", "nucleus": "nuclei"}
VERDICT_WORDS = {"counted": "✓ counted", "repeat": "↻ repeat", "refused": "✕ refused"}
EXCLUDED_WORDS = {
    "edge": "outside the counted area",
    "grid_line": "on a grid line",
    "small": "too small",
    "large": "too large",
}
QUALITY_WORDS = {
    "median_grey": "brightness, middle (0 to 255)",
    "saturated_share": "share of pixels at the top level",
    "ground_low": "ground, darkest against its middle",
    "ground_high": "ground, brightest against its middle",
    "contrast": "contrast of the strongest spot (logarithm)",
    "kind_odds": "chance that it is this kind of picture",
    "blur": "blurred (above 0) or sharp (below), log odds",
    "cover_share": "share of the field under cells",
    "touching_share": "share of cells that touch another",
    "agreement": "share of cells that both detectors find",
}
COMPONENTS_OF = {"concentration": "Concentration", "viability": "Viability"}
CARD_TEXTS = {
    "intended_use": "For",
    "what_for": "For",
    "not_for": "Not for",
    "split": "Test set",
    "limits": "Limits",
}


def page(shown: Page) -> str:
    """Return the whole page."""
    return "".join(
        [
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; ',
            "style-src 'unsafe-inline'\">",
            f"<title>Cell count, {escape(_what(shown))}</title><style>{STYLE}</style></head><body>",
            report_plots.hatches(),
            _head(shown),
            _numbers(shown),
            _seen(shown),
            _components(shown),
            _rows(shown),
            '<div class="two">',
            _quality(shown),
            _method(shown),
            "</div>",
            "<footer class=quiet>Intervals are 95 %. Values are as counted; the bias that validation showed ",
            "moves the interval. A field that is not counted is in no number.</footer></body></html>\n",
        ]
    )


def _what(shown: Page) -> str:
    if shown.fields == 1 and shown.rows:
        return shown.rows[0].image
    return f"{shown.fields} pictures of one specimen" if shown.is_pooled else f"{shown.fields} pictures"


def _head(shown: Page) -> str:
    given = " · ".join(f"{name} {escape(value)}" for name, value in shown.given.items())
    note = f"<p><b>{escape(shown.note)}</b></p>" if shown.note else ""
    return (
        f"<header><h1>Cell count</h1><span class=quiet>{shown.made_at:%Y-%m-%d %H:%M} UTC</span></header>"
        f"<p><b>{escape(_what(shown))}</b><br><span class=quiet>Method {escape(shown.method['id'])} "
        f"{escape(shown.method['version'])} · {given}</span></p>{note}"
    )


def _numbers(shown: Page) -> str:
    """Show the result of the specimen or the only picture; of a mere list, how many have which verdict."""
    result: HasNumbers
    if shown.is_pooled:
        result = shown.pooled
    elif shown.fields == 1 and shown.rows:
        result = shown.rows[0]
    else:
        chips = " ".join(f"{_chip(verdict)} {count}" for verdict, count in sorted(shown.verdicts.items()))
        return f"<p>{chips}</p>"
    boxes = [_count_box(result)]
    if result.viability_percent is not None and result.viability_interval_percent is not None:
        low, high = result.viability_interval_percent
        boxes.append(
            f"<div>Viability<b>{result.viability_percent:.1f} %</b><small>{low:.1f} to {high:.1f} %</small>"
            f"{report_plots.interval_bar(result.viability_percent, low, high, 0, 100)}</div>"
        )
    if result.concentration_cells_ml is not None and result.concentration_interval_cells_ml is not None:
        value, (low, high) = result.concentration_cells_ml, result.concentration_interval_cells_ml
        boxes.append(
            f"<div>Concentration<b>{_power(value)} <small>cells/mL</small></b>"
            f"<small>{_power(low)} to {_power(high)}</small>"
            f"{report_plots.interval_bar(value, low, high, 0, 1.5 * high)}</div>"
        )
    why = f" {escape(result.words)}" if result.words else ""
    return f'<p>{_chip(result.verdict)}{why}</p><div class="numbers">{"".join(boxes)}</div>'


def _count_box(result: HasNumbers) -> str:
    kinds = ""
    if result.live is not None:
        kinds = f"{result.live} live · {result.dead} dead · {result.unclassified} not sure"
    return f"<div>Cells counted<b>{result.total}</b><small>{kinds}</small></div>"


def _chip(verdict: str) -> str:
    return f'<span class="verdict {verdict}">{VERDICT_WORDS[verdict]}</span>'


def _power(value: float) -> str:
    """Write a number with three digits times a power of ten, as people read it."""
    mantissa, exponent = f"{value:.2e}".split("e")
    raised = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa} × 10{raised}" if value else "0"  # noqa: RUF001


def _seen(shown: Page) -> str:
    """Show pictures and histograms: side by side where there is one picture, else one above the other."""
    pictures, histograms = _pictures(shown), _histograms(shown)
    if len(shown.pictures) != 1 or not histograms:
        return pictures + histograms
    return f'<div class="beside"><div>{pictures}</div><div>{histograms}</div></div>'


def _pictures(shown: Page) -> str:
    if not shown.pictures:
        return ""
    names = _short_names([one.name for one in shown.pictures])
    figures = "".join(
        f'<figure><img src="{one.address}" alt="{escape(name)}, cells marked">'
        f"<figcaption>{escape(name)}{_why(one.verdict, one.words)}</figcaption></figure>"
        for name, one in zip(names, shown.pictures, strict=True)
    )
    left = shown.fields - len(shown.pictures)
    more = f'<p class="quiet">{left} more pictures are not shown.</p>' if left > 0 else ""
    return f'<h2>Cells as found</h2><p>{_keys(shown)}</p><div class="pictures">{figures}</div>{more}'


def _keys(shown: Page) -> str:
    """Say what each mark means."""
    marks = [(kind, CLASS_WORDS[kind]) for kind in shown.classes]
    out = ", ".join(
        f"{EXCLUDED_WORDS.get(why, why)} {count}" for why, count in sorted(shown.left_out.items())
    )
    return "".join(
        f'<span class="key">{report_plots.mark(kind)}{words}</span>'
        for kind, words in [*marks, ("left out", f"left out: {out}" if out else "left out")]
    )


def _short_names(paths: Sequence[str]) -> list[str]:
    """Return names without the folders that all have in common."""
    folders = {os.path.split(path)[0] for path in paths}
    return [os.path.split(path)[1] for path in paths] if len(folders) == 1 else list(paths)


def _why(verdict: str, words: str) -> str:
    return "" if verdict == "counted" and not words else f": <b>{verdict}</b>. {escape(words)}"


def _histograms(shown: Page) -> str:
    sizes = shown.sizes
    drawn = "".join(
        [
            report_plots.histogram(sizes.diameters, "Cell diameter", shown.unit),
            report_plots.histogram(sizes.brightness, "Brightness against the field", "grey levels of 255"),
            report_plots.histogram(sizes.confidences, "Confidence that it is a cell", "0 to 1"),
        ]
    )
    if not drawn:
        return ""
    keys = "".join(
        f'<span class="key"><svg width="14" height="10"><rect width="14" height="10" '
        f'fill="{report_plots.fill_of(kind)}"/></svg>{CLASS_WORDS[kind]}</span>'
        for kind in shown.classes
        if sizes.diameters.get(kind)
    )
    return f'<h2>Cells as measured</h2><p>{keys}</p><div class="plots">{drawn}</div>'


def _components(shown: Page) -> str:
    """Show what the intervals are made of, each part beside its share of the variance."""
    result = shown.pooled if shown.is_pooled else shown.rows[0] if len(shown.rows) == 1 else None
    if result is None or not result.numbers.uncertainty:
        return ""
    components = result.numbers.uncertainty.get("components") or ()
    parts = []
    for of, words in COMPONENTS_OF.items():
        own = [part for part in components if part["of"] == of]
        given = result.concentration_cells_ml if of == "concentration" else result.viability_percent
        if not own or given is None:
            continue
        variance = sum(part["relative_standard_uncertainty"] ** 2 for part in own)
        rows = "".join(
            _row(
                (part["name"], ""),
                (f"{100 * part['relative_standard_uncertainty']:.2f} %", "n"),
                part["relative_standard_uncertainty"] ** 2 / max(1e-30, variance),
                (str(part.get("rests_on", "")), ""),
                (f"{part.get('kind', '')}", ""),
            )
            for part in own
        )
        parts.append(
            f"<tr><th>{words}</th><th class=n>standard uncertainty</th><th class=n>share</th>"
            f"<th>rests on</th><th>kind</th></tr>{rows}"
        )
    if not parts:
        return ""
    return f"<h2>What the interval is made of</h2><table>{''.join(parts)}</table>"


def _row(*cells: tuple[str, str] | float) -> str:
    return "<tr>" + "".join(_cell(cell) for cell in cells) + "</tr>"


def _cell(cell: tuple[str, str] | float) -> str:
    if isinstance(cell, float):
        return f"<td class=n>{report_plots.share_bar(cell)} {100 * cell:.0f} %</td>"
    text, kind = cell
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def _rows(shown: Page) -> str:
    if shown.fields < 2:
        return ""
    told_apart = "live" in shown.classes
    heads = [
        "picture",
        "verdict",
        "cells",
        *(("live", "dead", "not sure", "viability, %") if told_apart else ()),
    ]
    head = "".join(f'<th class="{"n" if n > 1 else ""}">{word}</th>' for n, word in enumerate(heads))
    names = _short_names([image.image for image in shown.rows])
    body = "".join(_image_row(n, image, told_apart) for n, image in zip(names, shown.rows, strict=True))
    left = shown.fields - len(shown.rows)
    more = f'<p class="quiet">{left} more pictures: see the lines of the command.</p>' if left > 0 else ""
    return f"<h2>Each picture</h2><table class=rows><tr>{head}<th>what to do</th></tr>{body}</table>{more}"


def _image_row(name: str, image: ImageResult, told_apart: bool) -> str:
    cells = [(name, ""), (image.verdict, ""), (str(image.total), "n")]
    if told_apart:
        shown = NONE
        if image.viability_percent is not None and image.viability_interval_percent is not None:
            low, high = image.viability_interval_percent
            shown = f"{image.viability_percent:.1f} ({low:.0f} to {high:.0f})"
        cells += [(str(n), "n") for n in (image.live, image.dead, image.unclassified)]
        cells.append((shown, "n"))
    return _row(*cells, (image.words, ""))


def _quality(shown: Page) -> str:
    rows = "".join(
        _row(
            (QUALITY_WORDS.get(name, name.replace("_", " ")), ""),
            (f"{median(values):.3g}", "n"),
            (f"{min(values):.3g} to {max(values):.3g}" if len(values) > 1 else NONE, "n"),
        )
        for name, values in shown.quality.items()
    )
    if not rows:
        return "<div></div>"
    head = "<tr><th>figure</th><th class=n>median</th><th class=n>range</th></tr>"
    return f"<div><h2>Quality of the pictures</h2><table>{head}{rows}</table></div>"


def _method(shown: Page) -> str:
    """Show of the method's card what a reader of a result needs; the whole of it is a page of its own."""
    card = shown.card
    parts = [f"<dt>Method</dt><dd>{escape(shown.method['id'])} {escape(shown.method['version'])}</dd>"]
    for key, words in CARD_TEXTS.items():
        value = card.get(key)
        text = value.get("how", "") if isinstance(value, Mapping) else value
        if text and isinstance(text, str | list):
            parts.append(f"<dt>{words}</dt><dd>{_text(text)}</dd>")
    figures = card.get("figures")
    if isinstance(figures, Mapping):
        shown_figures = [f"{_figure_words(name)} {_figure(value)}" for name, value in figures.items()]
        parts.append(f"<dt>Figures</dt><dd>{_text(shown_figures)}</dd>")
    parts.append(f"<dt>Hash</dt><dd><code>{escape(shown.method['hash'])}</code></dd>")
    return f"<div><h2>Method card</h2><dl>{''.join(parts)}</dl></div>"


def _text(value: str | Sequence[Any]) -> str:
    """Write a text, or short lines one below the other; rows of tables stay in the card."""
    if isinstance(value, str):
        return escape(value)
    return "<br>".join(escape(str(item)) for item in value if isinstance(item, str))


def _figure_words(name: str) -> str:
    for ending, sign in ((" percent", ", %:"), (" pp", ", percentage points:")):
        if (words := name.replace("_", " ")).endswith(ending):
            return words.removesuffix(ending) + sign
    return name.replace("_", " ") + ":"


def _figure(value: Any) -> str:
    """Write a figure, with its interval where the card gives one."""
    if isinstance(value, list) and len(value) == 3:
        return f"{value[0]:.3g} [{value[1]:.3g}, {value[2]:.3g}]"
    return f"{value:.3g}" if isinstance(value, int | float) else str(value)
