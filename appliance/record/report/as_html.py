"""The batch record as one HTML page: no script, nothing loaded, text that cannot act."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

from appliance.record.report.model import (
    Block,
    Cell,
    Chart,
    Facts,
    Figure,
    Figures,
    LongText,
    NewPage,
    Note,
    Report,
    Row,
    Section,
    Span,
    Table,
)
from appliance.record.report.text import lines, shown

SIMULATED = "SIMULATED – never for a patient"  # noqa: RUF001  (the dash is meant)
MARKS = {"alert": "!", "struck": "~", "": ""}

STYLE = """
:root { color-scheme: light; }
body { font: 13px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1c1c1c; background: #fff;
  max-width: 74rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; font-weight: 600; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2rem 0 .5rem; border-bottom: 1px solid #bbb; }
nav { margin: .6rem 0; } nav a { margin-right: 1rem; white-space: nowrap; }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0;
  border-bottom: 1px solid #e2e2e2; }
td, dd, p, figcaption { overflow-wrap: anywhere; unicode-bidi: isolate; }
td:first-child { overflow-wrap: normal; }
th { font-weight: 600; color: #555; }
a { color: inherit; }
table.dense { font-size: .88em; } table.dense td { padding-top: .1rem; padding-bottom: .1rem; }
tr.alert td:first-child { border-left: 3px solid #b45309; padding-left: .4rem; }
tr.struck td:first-child { border-left: 3px double #777; padding-left: .4rem; }
tr:target td { background: #fdf3d7; } tr, h2 { scroll-margin-top: 4.5rem; }
code, pre { font-family: "DejaVu Sans Mono", monospace; font-size: .92em; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f4f4f4; padding: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; margin: .6rem 0; }
dt { color: #555; } dd { margin: 0; }
summary { color: #555; cursor: default; }
figure { display: inline-block; margin: .4rem 1rem .8rem 0; vertical-align: top; max-width: 22rem; }
figure img { max-width: 100%; max-height: 22rem; border: 1px solid #bbb; display: block; }
figure.chart { display: block; max-width: none; break-inside: avoid; }
figure.chart svg { width: 100%; height: auto; }
figcaption { color: #555; font-size: .88em; }
.banner { border: 3px double #1c1c1c; padding: .5rem 1rem; font-weight: 700; letter-spacing: .04em;
  margin: 1rem 0; text-align: center; position: sticky; top: 0; background: #fff; }
.none, .quiet { color: #666; }
.alert { color: #9a3412; font-weight: 600; }
tr.alert { color: inherit; font-weight: inherit; }
s { color: #666; }
@media print { body { margin: 0; max-width: none; padding: 0; font-size: 9px; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; } .banner { position: static; } }
"""


def page(report: Report) -> bytes:
    """The whole page."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    title = f"Batch record {report.batch}"
    body = "".join(
        [
            _banner() if report.simulated else "",
            f"<h1>{text(title)}</h1>\n",
            f'<p class="quiet">Code of this record: <code>{text(report.code)}</code>. This page is for '
            "reading; the signed events beside it are the record.</p>\n",
            _facts(report.facts),
            _contents(report.sections),
            *map(_section, report.sections),
            _foot(report),
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{text(title)}</title>\n'
        f"<style>{STYLE}{_page_style(report)}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    ).encode()


def text(value: object) -> str:
    """Any value as text that cannot act as markup, nor reverse or hide what stands beside it."""
    return html.escape(shown(str(value)))


def _page_style(report: Report) -> str:
    """What stands on each printed page: batch, code, page n of m, and `simulated` where it is so."""
    foot = _css_text(f"Batch record {report.batch} · code {report.code} · page ")
    top = f"@top-center {{ content: {_css_text(SIMULATED)}; font-weight: bold; }}" if report.simulated else ""
    return (
        f"@page {{ size: A4; margin: 18mm 12mm; {top} "
        f'@bottom-center {{ content: {foot} counter(page) " of " counter(pages); font-size: 8px; }} }}\n'
    )


def _css_text(words: str) -> str:
    """A string of CSS in which every sign but letters and digits is written as its number."""
    return '"' + "".join(char if char.isalnum() else f"\\{ord(char):06x}" for char in shown(words)) + '"'


def _banner() -> str:
    return f'<p class="banner">{text(SIMULATED)}</p>\n'


def _contents(sections: Iterable[Section]) -> str:
    links = "".join(f'<a href="#{section.name}">{text(section.title)}</a> ' for section in sections)
    return f"<nav>{links}</nav>\n"


def _foot(report: Report) -> str:
    banner = _banner() if report.simulated else ""
    words = f"End of the batch record {report.batch}, code {report.code}."
    return f'<p class="quiet">{text(words)}</p>\n{banner}'


def _section(section: Section) -> str:
    return (
        f'<section><h2 id="{section.name}">{text(section.title)}</h2>\n'
        f"{''.join(_block(block) for block in section.blocks)}</section>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Table():
            return _table(block)
        case Facts():
            return _facts(block)
        case Note():
            return f'<p class="{block.mark or "note"}">{_cell(block.cell)}</p>\n'
        case Figures():
            return "".join(map(_figure, block.items)) + "\n"
        case Chart():
            return _chart(block)
        case NewPage():
            return ""
        case LongText():
            inner = html.escape("\n".join(lines(block.text)))
            return f"<details><summary>{text(block.title)}</summary><pre>{inner}</pre></details>\n"


def _table(table: Table) -> str:
    if not table.rows:
        return f'<p class="none">{text(table.none)}</p>\n'
    head = "".join(f"<th>{text(name)}</th>" for name in table.heads)
    dense = ' class="dense"' if table.dense else ""
    rows = "".join(map(_row, table.rows))
    return f"<table{dense}><thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody></table>\n"


def _row(row: Row) -> str:
    name = f' id="e{row.event}"' if row.event else ""
    mark = f' class="{row.mark}"' if row.mark else ""
    cells = "".join(f"<td>{_cell(cell)}</td>" for cell in row.cells)
    return f"<tr{name}{mark}>{cells}</tr>\n"


def _facts(facts: Facts) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{text(name)}</dt><dd>{_cell(cell)}</dd>\n" for name, cell in facts.rows)
        + "</dl>\n"
    )


def _cell(cell: Cell) -> str:
    return text(cell) if isinstance(cell, str) else "".join(map(_span, cell))


def _span(span: Span) -> str:
    inner = text(span.text)
    if span.style == "strong":
        inner = f"<strong>{inner}</strong>"
    elif span.style == "code":
        inner = f"<code>{inner}</code>"
    elif span.style == "struck":
        inner = f"<s>{inner}</s>"
    elif span.style:
        inner = f'<span class="{span.style}">{inner}</span>'
    return f'<a href="#e{span.event}">{inner}</a>' if span.event else inner


def _figure(figure: Figure) -> str:
    original = f'<a href="blobs/{text(figure.sha256)}"><code>{text(figure.sha256[:16])}…</code></a>'
    if figure.picture is None:
        inner = f'<p class="alert">Picture {text(figure.missing)}.</p>'
    else:
        encoded = base64.b64encode(figure.picture.data).decode()
        inner = (
            f'<img alt="{_alt(figure.caption)}" width="{figure.picture.width_px}" '
            f'height="{figure.picture.height_px}" style="height:auto" src="data:image/jpeg;base64,{encoded}">'
        )
    return f"<figure>{inner}<figcaption>{_cell(figure.caption)} · {original}</figcaption></figure>\n"


def _alt(caption: Cell) -> str:
    return text(caption if isinstance(caption, str) else "".join(span.text for span in caption))


def _chart(chart: Chart) -> str:
    drawing = chart.svg.decode()
    notes = "; ".join(chart.notes)
    mark = ' class="alert"' if chart.alert else ""
    return (
        f'<figure class="chart"><figcaption><strong>{text(chart.title)}</strong></figcaption>\n{drawing}'
        f"<figcaption{mark}>{text(notes)}</figcaption></figure>\n"
    )
