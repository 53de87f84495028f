"""Put one element of a label on a sheet of its own box's size, in whole dots; what does not fit is refused.

Nothing here knows where the sheet goes, so nothing here can draw into its neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

from vision.labels import label_template as lt

CAPITAL_SHARE = 0.70  # height of a capital letter of the font that Pillow ships, in its size
ABOVE_CAPITAL = 0.42  # white above a capital in its line, in its height; what hangs below has the rest
PAD = 0.6  # white beside words that stand in a frame, in heights of a capital
FRAME_MM = 0.25
SIMULATED_WORDS = "SIMULATED - NOT FOR USE"
RULER_STEP_MM, RULER_NUMBER_MM = 5, 10
RULER_SHARE = 0.34  # of a head pattern's height, for the ruler below it

Sheet = Image.Image


class LabelNotDrawn(ValueError):
    """The label was not made; `str(error)` says what to change. Nothing was written."""


def draw(element: lt.Element, size: tuple[int, int], fields: Mapping[str, str], dpi: int) -> Sheet:
    """Return the element's sheet: (width, height) dots, 1 white and 0 black."""
    sheet = Image.new("1", size, 1)
    match element:
        case lt.Text():
            _text(sheet, element, fields, dpi)
        case lt.Rows():
            _rows(sheet, element, fields, dpi)
        case lt.Statements():
            _statements(sheet, element, fields, dpi)
        case lt.Linear():
            _linear(sheet, element, fields, dpi)
        case lt.Matrix():
            _matrix(sheet, element, fields, dpi)
        case lt.Band():
            if fields.get(lt.SIMULATED_FIELD) == "true":
                _band(sheet, element, dpi)
        case lt.Rule():
            sheet.paste(0, (0, 0, *size))
        case lt.HeadPattern():
            _head_pattern(sheet, dpi)
    return sheet


@lru_cache(maxsize=64)
def _font(capital_dots: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(round(capital_dots / CAPITAL_SHARE))
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


class _Pen:
    """Words of one size and weight on a sheet."""

    def __init__(self, sheet: Sheet, capital_mm: float, dpi: int, *, bold: bool = False) -> None:
        self.capital = lt.dots(capital_mm, dpi)
        self.pitch = capital_mm * lt.LINE_PITCH * dpi / lt.MM_PER_INCH
        self._draw = ImageDraw.Draw(sheet)
        self._draw.fontmode = "1"
        self._font = _font(self.capital)
        # The font has one weight: a bold letter is its own, printed again a dot further, and so on.
        self._smear = max(1, round(self.capital / 22)) if bold else 0

    def length(self, words: str) -> float:
        """How wide the words are, in dots."""
        if self._smear:
            return sum(self._step(letter) for letter in words)
        return self._draw.textlength(words, font=self._font)

    def _step(self, letter: str) -> int:
        """From a bold letter to the next."""
        return round(self._draw.textlength(letter, font=self._font)) + self._smear

    def wrapped(self, words: str, room: float, lines: int) -> list[str]:
        """Break the words into lines; refused where they take more than they may."""
        said = [""]
        for word in words.split(" "):
            longer = f"{said[-1]} {word}" if said[-1] else word
            if said[-1] and self.length(longer) > room:
                said.append(word)
            else:
                said[-1] = longer
        if len(said) > lines or any(self.length(line) > room for line in said):
            raise LabelNotDrawn(f"{words!r} is too long for its place on the label. Shorten it.")
        return said

    def write(self, words: str, left: float, line_top: float, *, white: bool = False) -> None:
        baseline = round(line_top + ABOVE_CAPITAL * self.capital) + self.capital
        fill = 1 if white else 0
        if not self._smear:
            self._draw.text((round(left), baseline), words, font=self._font, fill=fill, anchor="ls")
            return
        at = round(left)
        for letter in words:
            for further in range(self._smear + 1):
                self._draw.text((at + further, baseline), letter, font=self._font, fill=fill, anchor="ls")
            at += self._step(letter)


def _styled(
    sheet: Sheet,
    capital_mm: float,
    dpi: int,
    style: lt.Style,
    lines: list[str],
    *,
    centred: bool,
    at_top: bool = False,
) -> None:
    """Write lines in a style, in the middle of the sheet's height or from its top on."""
    width, height = sheet.size
    pen = _Pen(sheet, capital_mm, dpi, bold=style != "plain")
    pad, top = 0.0, 0.0 if at_top else (height - len(lines) * pen.pitch) / 2
    if style in ("inverse", "framed"):
        edge = max(1, lt.dots(FRAME_MM, dpi))
        sheet.paste(0, (0, 0, width, height))
        if style == "framed":
            sheet.paste(1, (edge, edge, width - edge, height - edge))
        pad = PAD * pen.capital
    for number, words in enumerate(lines):
        left = (width - pen.length(words)) / 2 if centred else pad
        pen.write(words, left, top + number * pen.pitch, white=style == "inverse")


def _broken(sheet: Sheet, capital_mm: float, dpi: int, style: lt.Style, words: str, lines: int) -> list[str]:
    pen = _Pen(sheet, capital_mm, dpi, bold=style != "plain")
    pad = PAD * pen.capital if style in ("inverse", "framed") else 0.0
    return pen.wrapped(words, sheet.width - 2 * pad, lines)


def _text(sheet: Sheet, element: lt.Text, fields: Mapping[str, str], dpi: int) -> None:
    if element.field and element.field not in fields:
        return  # optional, and there is none
    words = " ".join(each for each in (element.words, fields.get(element.field, "")) if each)
    lines = _broken(sheet, element.capital_mm, dpi, element.style, words, element.lines)
    _styled(sheet, element.capital_mm, dpi, element.style, lines, centred=element.centred)


def _rows(sheet: Sheet, element: lt.Rows, fields: Mapping[str, str], dpi: int) -> None:
    column, top = lt.dots(element.column_mm, dpi), 0.0
    names = _Pen(sheet, element.capital_mm, dpi)
    for row in element.row:
        if row.field not in fields:
            continue
        pen = _Pen(sheet, element.capital_mm, dpi, bold=row.bold)
        (words,) = names.wrapped(row.words, column, 1)
        names.write(words, 0, top)
        for line in pen.wrapped(fields[row.field], sheet.width - column, row.lines):
            pen.write(line, column, top)
            top += pen.pitch


def _statements(sheet: Sheet, element: lt.Statements, fields: Mapping[str, str], dpi: int) -> None:
    said: list[str] = []
    for name in element.fields:
        if name in fields:
            said += _broken(sheet, element.capital_mm, dpi, element.style, fields[name], element.lines)
    if said:
        _styled(sheet, element.capital_mm, dpi, element.style, said, centred=False, at_top=True)


def _linear(sheet: Sheet, element: lt.Linear, fields: Mapping[str, str], dpi: int) -> None:
    if element.field not in fields:
        return  # optional, and there is none
    module = lt.dots(element.module_mm, dpi)
    row = _modules(fields[element.field], zxingcpp.BarcodeFormat.Code128)[:1]
    if row.shape[1] > element.modules_max:
        raise LabelNotDrawn(
            f"{fields[element.field][:40]!r} needs {row.shape[1]} modules; "
            f"its place has {element.modules_max}."
        )
    bars = np.repeat(row, module, axis=1)
    height = lt.dots(element.bar_height_mm, dpi)
    left = lt.LINEAR_QUIET * module
    sheet.paste(Image.fromarray(np.repeat(bars, height, axis=0)), (left, 0))
    pen = _Pen(sheet, element.capital_mm, dpi)
    check = fields.get(element.check, "") if element.check else ""
    frame = pen.length(check) + pen.capital if check else 0.0
    said = fields.get(element.caption, fields[element.field])
    (caption,) = pen.wrapped(said, sheet.width - left - frame - pen.capital, 1)
    top = height + max(0.0, (sheet.height - height - pen.pitch) / 2)
    pen.write(caption, left, top)
    if check:
        _boxed(sheet, pen, check, left + pen.length(caption) + pen.capital, top, dpi)


def _boxed(sheet: Sheet, pen: _Pen, check: str, left: float, top: float, dpi: int) -> None:
    """The check character in its frame: for typing, and no part of the number itself."""
    if len(check) != 1:
        raise LabelNotDrawn(f"{check!r} is no check character.")
    edge, width = max(1, lt.dots(0.12, dpi)), pen.length(check) + pen.capital
    box = (round(left), round(top), round(left + width), min(sheet.height, round(top + pen.pitch)))
    sheet.paste(0, box)
    sheet.paste(1, (box[0] + edge, box[1] + edge, box[2] - edge, box[3] - edge))
    pen.write(check, left + (width - pen.length(check)) / 2, top)


def _matrix(sheet: Sheet, element: lt.Matrix, fields: Mapping[str, str], dpi: int) -> None:
    module = lt.dots(element.module_mm, dpi)
    cells = _modules(fields[element.field], zxingcpp.BarcodeFormat.DataMatrix)
    if max(cells.shape) > element.modules_max:
        raise LabelNotDrawn(
            f"{fields[element.field][:40]!r} needs {max(cells.shape)} modules; "
            f"its place has {element.modules_max}."
        )
    grown = np.repeat(np.repeat(cells, module, axis=0), module, axis=1)
    # To the right and the top: the white that a smaller symbol leaves lies towards the text.
    quiet = lt.MATRIX_QUIET * module
    sheet.paste(Image.fromarray(grown), (sheet.width - quiet - grown.shape[1], quiet))


def _modules(text: str, kind: zxingcpp.BarcodeFormat) -> np.ndarray:
    """The symbol with one dot a module and no white around: (h, w) uint8, 0 or 255."""
    more = {"force_square": True} if kind == zxingcpp.BarcodeFormat.DataMatrix else {}
    try:
        image = zxingcpp.create_barcode(text, kind, **more).to_image(scale=1, add_quiet_zones=False)
    except (ValueError, RuntimeError) as error:
        raise LabelNotDrawn(f"{text[:40]!r} cannot be written as a symbol: {error}.") from error
    cells = np.asarray(image, dtype=np.uint8)
    black = np.argwhere(cells < 128)
    (top, left), (bottom, right) = black.min(axis=0), black.max(axis=0)
    return np.where(cells[top : bottom + 1, left : right + 1] < 128, 0, 255).astype(np.uint8)


def modules_of(text: str) -> int:
    """How many modules a side of the square DataMatrix of this text has."""
    return int(_modules(text, zxingcpp.BarcodeFormat.DataMatrix).shape[0])


def _band(sheet: Sheet, element: lt.Band, dpi: int) -> None:
    lines = _broken(sheet, element.capital_mm, dpi, "inverse", SIMULATED_WORDS, 1)
    _styled(sheet, element.capital_mm, dpi, "inverse", lines, centred=True)


def _head_pattern(sheet: Sheet, dpi: int) -> None:
    """Black over every dot, and below it a ruler, so that a person finds the place on the head."""
    field = round(sheet.height * (1 - RULER_SHARE))
    sheet.paste(0, (0, 0, sheet.width, field))
    pen = _Pen(sheet, lt.CAPITAL_MM_MIN, dpi)
    tick, wide = lt.dots(0.7, dpi), max(1, lt.dots(0.12, dpi))
    for mm in range(RULER_STEP_MM, int(sheet.width * lt.MM_PER_INCH / dpi), RULER_STEP_MM):
        at = lt.dots(mm, dpi)
        sheet.paste(0, (at, field + tick // 2, at + wide, field + 2 * tick))
        words = str(mm)
        if mm % RULER_NUMBER_MM == 0 and at + pen.length(words) / 2 < sheet.width:
            pen.write(words, at - pen.length(words) / 2, field + 2 * tick)
