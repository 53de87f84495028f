"""What a PDF says, page by page, read through its own maps from glyphs to letters."""

from __future__ import annotations

import re
from io import BytesIO

import pikepdf

_PAIR = re.compile(r"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>\s*\n")
_RANGE = re.compile(r"<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>\s*<([0-9a-fA-F]+)>")


def page_texts(data: bytes) -> list[str]:
    """The text of each page, in the order in which it is drawn, without blanks between runs."""
    with pikepdf.open(BytesIO(data)) as opened:
        return [_text_of(page) for page in opened.pages]


def squeezed(text: str) -> str:
    """Text without blanks and breaks: how a page's text is compared with what was meant."""
    return re.sub(r"[\s\u200b]+", "", text)


def _text_of(page: pikepdf.Page) -> str:
    fonts = page.obj.get("/Resources", {}).get("/Font", {})
    maps = {name: _letters(font) for name, font in fonts.items()}
    letters: dict[int, str] = {}
    said: list[str] = []
    for operands, operator in pikepdf.parse_content_stream(page):
        if str(operator) == "Tf":
            letters = maps[str(operands[0])]
        elif str(operator) in ("Tj", "TJ"):
            parts = operands[0] if str(operator) == "TJ" else [operands[0]]
            for part in parts:
                if isinstance(part, pikepdf.String):
                    raw = bytes(part)
                    codes = (int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2))
                    said.append("".join(letters.get(code, "?") for code in codes))
    return squeezed("".join(said))


def _letters(font: pikepdf.Object) -> dict[int, str]:
    found: dict[int, str] = {}
    cmap = bytes(font["/ToUnicode"].read_bytes()).decode("latin-1")
    for block in re.findall(r"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for code, text in _PAIR.findall(block + "\n"):
            found[int(code, 16)] = bytes.fromhex(text).decode("utf-16-be")
    for block in re.findall(r"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for first, last, text in _RANGE.findall(block):
            for number, code in enumerate(range(int(first, 16), int(last, 16) + 1)):
                found[code] = chr(int(text, 16) + number)
    return found
