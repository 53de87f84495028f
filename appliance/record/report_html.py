"""Pieces of the printed batch record: text made safe, tables, pictures, the page around them."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterable, Sequence

NOTHING = "-"
LONGEST_INLINE_TEXT = 240
PICTURE_TYPES = {"image/png", "image/jpeg", "image/webp"}
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069]")

STYLE = """
:root { color-scheme: light; }
body { font: 13px/1.45 system-ui, "DejaVu Sans", sans-serif; color: #1c1c1c; background: #fff;
  max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; font-weight: 600; margin: 0 0 .3rem; }
h2 { font-size: 1.1rem; font-weight: 600; margin: 2rem 0 .5rem; border-bottom: 1px solid #bbb; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0;
  border-bottom: 1px solid #e2e2e2; }
td, th { overflow-wrap: break-word; max-width: 26rem; }
th { font-weight: 600; color: #555; white-space: nowrap; }
time, code { white-space: nowrap; }
a { color: inherit; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
code, pre { font-family: "DejaVu Sans Mono", monospace; font-size: .92em; }
pre { white-space: pre-wrap; background: #f4f4f4; padding: .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1.2rem; margin: .6rem 0; }
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }
summary { color: #555; }
figure { display: inline-block; margin: .4rem 1rem .4rem 0; vertical-align: top; }
figure img { max-width: 18rem; max-height: 14rem; border: 1px solid #bbb; display: block; }
figcaption { color: #555; font-size: .85em; }
.banner { border: 3px double #1c1c1c; padding: .5rem 1rem; font-weight: 700; letter-spacing: .04em;
  margin: 1rem 0; text-align: center; }
.none { color: #555; }
.quiet { color: #777; font-size: .9em; }
@page { size: A4; margin: 18mm 15mm; }
@media print { body { margin: 0; max-width: none; padding: 0; font-size: 10px; }
  tr, figure { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def text(value: object) -> str:
    """Any value as text that cannot act as markup, nor reverse or hide what stands beside it."""
    return html.escape(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(value)))


def words_of(name: str) -> str:
    """`CellCountReported` or `volume_ml` as words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")
    return spaced[:1].upper() + spaced[1:].lower() if name[:1].isupper() else spaced


def value(item: object) -> str:
    """A fact's value as markup: lists and tables inside it in line, long text folded away."""
    if item is None or item == "" or item == [] or item == {}:
        return NOTHING
    if isinstance(item, bool):
        return "yes" if item else "no"
    if isinstance(item, dict):
        return "; ".join(f"{text(words_of(str(key)))}: {value(part)}" for key, part in item.items())
    if isinstance(item, list | tuple):
        return ", ".join(value(part) for part in item)
    shown = str(item)
    if len(shown) > LONGEST_INLINE_TEXT or "\n" in shown:
        return f"<details><summary>{len(shown)} characters</summary><pre>{text(shown)}</pre></details>"
    if re.fullmatch(r"[0-9a-f]{64}", shown):
        return f'<code title="{shown}">{shown[:16]}…</code>'
    return text(shown)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, none: str) -> str:
    """A table of markup cells, or the words for an empty one."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    if not body:
        return f'<p class="none">{text(none)}</p>\n'
    head = "".join(f"<th>{text(name)}</th>" for name in heads)
    return f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"


def pairs(rows: Iterable[tuple[str, str]]) -> str:
    """Names and their values (markup), one a line."""
    return "<dl>" + "".join(f"<dt>{text(name)}</dt><dd>{cell}</dd>\n" for name, cell in rows) + "</dl>\n"


def section(title: str, content: str) -> str:
    """A heading and what stands under it."""
    return f"<h2>{text(title)}</h2>\n{content}"


def figure(sha256: str, data: bytes | None, media_type: str, caption: str) -> str:
    """A picture inside the page, or a link to the file beside it when there is no small picture."""
    link = f'<a href="blobs/{sha256}"><code>{sha256[:16]}…</code></a>'
    shown = link
    if data is not None and media_type in PICTURE_TYPES:
        encoded = base64.b64encode(data).decode()
        shown = f'<img alt="{text(caption)}" src="data:{media_type};base64,{encoded}">'
        caption = f"{caption} · "
        return f"<figure>{shown}<figcaption>{text(caption)}{link}</figcaption></figure>\n"
    return f"<figure>{shown}<figcaption>{text(caption)}</figcaption></figure>\n"


def banner(words: str) -> str:
    """A line that nobody can miss."""
    return f'<p class="banner">{text(words)}</p>\n'


def page(title: str, content: str) -> bytes:
    """The whole document."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{text(title)}</title>\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n{content}</body>\n</html>\n"
    ).encode()
