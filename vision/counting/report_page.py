"""One page that shows a count to people: numbers, pictures, histograms, what the interval is made of.

It stands alone: pictures and drawings are in the file, nothing is loaded, nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
.pictures { display: flex; flex-wrap: wrap; gap: .6rem; }
.pictures figure { margin: 0; flex: 1 1 13rem; max-width: 100%; }
.pictures.many figure { max-width: 15rem; }
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
svg.bar { width: 5.5rem; height: .5rem; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 2.2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .3rem 0; }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .92em ui-monospace, "DejaVu Sans Mono", monospace; }
footer { margin-top: 1.2rem; border-top: 1px solid var(--line); padding-top: .4rem; font-size: .88em; }
@media (max-width: 44rem) { .numbers, .two { grid-template-columns: 1fr; } header { display: block; } }
@page { size: A4; margin: 12mm; }
@media print { body { margin: 0; max-width: none; padding: 0; font-size: 9.2px; }
  .pictures img { max-height: 88mm; } .numbers b { font-size: 1.5rem; } h2 { margin-top: .8rem; }
  .plots figure { max-width: 58mm; } figure, tr, .numbers > div { break-inside: avoid; }
  h2 { break-after: avoid; }
  svg rect, .verdict { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
CLASS_WORDS = {"live": "live", "dead": "dead", "unclassified": "not sure", "nucleus": "nuclei"}
VERDICT_WORDS = {"counted": "✓ counted", "repeat": "↻ repeat", "refused": "✕ refused"}
COMPONENTS_OF = {"concentration": "of the concentration", "viability": "of the viability"}
# A card is for machines too; what is too long for a page is left to the JSON file.
CARD_DEPTH_MOST, CARD_ENTRIES_MOST, CARD_TEXT_MOST = 2, 40, 400


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
            _pictures(shown),
            _histograms(shown),
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


def _pictures(shown: Page) -> str:
    if not shown.pictures:
        return ""
    many = " many" if len(shown.pictures) > 2 else ""
    figures = "".join(
        f'<figure><img src="{one.address}" alt="{escape(one.name)}, cells marked">'
        f"<figcaption>{escape(one.name)}{_why(one.verdict, one.words)}</figcaption></figure>"
        for one in shown.pictures
    )
    left = shown.fields - len(shown.pictures)
    more = f'<p class="quiet">{left} more pictures are not shown.</p>' if left > 0 else ""
    return f'<h2>Pictures</h2><div class="pictures{many}">{figures}</div>{more}'


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
    return f'<h2>Cells</h2><p>{keys}</p><div class="plots">{drawn}</div>'


def _components(shown: Page) -> str:
    """Show what the intervals are made of, each part beside its share of the variance."""
    result = shown.pooled if shown.is_pooled else shown.rows[0] if len(shown.rows) == 1 else None
    if result is None or not result.numbers.uncertainty:
        return ""
    components = result.numbers.uncertainty.get("components") or ()
    parts = []
    for of, words in COMPONENTS_OF.items():
        own = [part for part in components if part["of"] == of]
        if not own or (of == "concentration" and result.concentration_cells_ml is None):
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
            f"<tr><th>{words}</th><th class=n>standard uncertainty</th><th>share</th><th>rests on</th>"
            f"<th>kind</th></tr>{rows}"
        )
    if not parts:
        return ""
    return f"<h2>What the interval is made of</h2><table>{''.join(parts)}</table>"


def _row(*cells: tuple[str, str] | float) -> str:
    return "<tr>" + "".join(_cell(cell) for cell in cells) + "</tr>"


def _cell(cell: tuple[str, str] | float) -> str:
    if isinstance(cell, float):
        return f"<td>{report_plots.share_bar(cell)} {100 * cell:.0f} %</td>"
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
    body = "".join(_image_row(image, told_apart) for image in shown.rows)
    left = shown.fields - len(shown.rows)
    more = f'<p class="quiet">{left} more pictures: see the lines of the command.</p>' if left > 0 else ""
    return f"<h2>Each picture</h2><table><tr>{head}<th>what to do</th></tr>{body}</table>{more}"


def _image_row(image: ImageResult, told_apart: bool) -> str:
    cells = [(image.image, ""), (image.verdict, ""), (str(image.total), "n")]
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
            (name.replace("_", " "), ""),
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
    facts = {
        "Method": f"{shown.method['id']} {shown.method['version']}",
        **dict(_card_entries(shown.card)),
    }
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items())
    return (
        f"<div><h2>Method card</h2><dl>{entries}<dt>Hash</dt>"
        f"<dd><code>{escape(shown.method['hash'])}</code></dd></dl></div>"
    )


def _card_entries(card: Mapping[str, Any], depth: int = 0) -> Iterable[tuple[str, str]]:
    """Yield what of a card fits a page: texts and figures, and lists and tables that are short."""
    entries = 0
    for name, value in card.items():
        if entries >= CARD_ENTRIES_MOST or name in ("id", "version", "sha256", "hash"):
            continue
        words = name.replace("_", " ")
        if isinstance(value, Mapping):
            if depth + 1 < CARD_DEPTH_MOST:
                yield from ((f"{words}: {inner}", text) for inner, text in _card_entries(value, depth + 1))
        elif (text := _as_words(value)) and len(text) <= CARD_TEXT_MOST:
            entries += 1
            yield (words, text)


def _as_words(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else ("yes" if value else "no")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        flat = all(isinstance(item, str | int | float) for item in value)
        return "; ".join(_as_words(item) for item in value) if flat else ""
    return str(value)
