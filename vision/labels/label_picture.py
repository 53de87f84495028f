"""Draw label pictures: symbols by whole dots, text beside them, and nothing leaves that was not read back.

Payloads and texts come from the caller; this module knows layouts only. The same fields give the same bytes.
"""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zxingcpp
from PIL import Image, ImageDraw, ImageFont

from vision.labels.locate import Gray
from vision.labels.symbols import read_symbols

DOTS_PER_INCH = 300
MODULE_DOTS = 3  # 0.254 mm, the module width aimed at for linear symbols
BAR_HEIGHT_DOTS = 110  # 9.3 mm
MATRIX_MODULE_DOTS = 6  # 0.51 mm
MARGIN_DOTS = 36
TEXT_CHARACTERS_MAX = 120
# What the font that Pillow ships can draw beyond ASCII.
EXTRA_CHARACTERS = "°±·"
SIMULATED_WORDS = "SIMULATED - NOT FOR USE"


class LabelNotDrawn(ValueError):
    """The label was not made; `str(error)` says what to change. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Template:
    """A label's layout: which field goes where. `version` changes with any change of it."""

    version: int
    heading: str
    size_dots: tuple[int, int]
    lines: tuple[tuple[str, str], ...]  # words, field
    linear: tuple[tuple[str, str], ...]  # field of the payload, field of the text below it
    matrix: str  # field of the payload
    statement: str = ""
    optional: frozenset[str] = frozenset()


TEMPLATES: Mapping[str, Template] = {
    "bag": Template(
        1,
        "Cells, apheresis",
        (1200, 900),
        (
            ("Product", "product_readable"),
            ("Expires", "expiry_readable"),
            ("Volume", "volume_readable"),
            ("Patient", "patient_readable"),
            ("Storage", "storage_readable"),
        ),
        (("din_text", "din_readable"), ("product_text", "product_readable")),
        "compound_text",
        optional=frozenset({"volume_readable", "patient_readable", "storage_readable"}),
    ),
    "dose": Template(
        1,
        "Final product",
        (1200, 1000),
        (
            ("Patient", "patient_readable"),
            ("Product", "product_readable"),
            ("Division", "division_readable"),
            ("Expires", "expiry_readable"),
            ("Volume", "volume_readable"),
            ("Storage", "storage_readable"),
            ("Batch", "batch_readable"),
            ("Contents", "contents_readable"),
        ),
        (("din_text", "din_readable"), ("product_text", "product_readable")),
        "compound_text",
        statement="FOR AUTOLOGOUS USE ONLY",
        optional=frozenset({"batch_readable", "contents_readable"}),
    ),
    "wristband": Template(
        1,
        "Patient",
        (1000, 420),
        (("Order", "order_readable"), ("Patient", "patient_readable"), ("Chain of identity", "coi_readable")),
        (),
        "coi_text",
    ),
    "order": Template(
        1,
        "Order",
        (1200, 560),
        (
            ("Order", "order_readable"),
            ("Patient", "patient_readable"),
            ("Chain of identity", "coi_readable"),
            ("Recipe", "recipe_readable"),
            ("Starting material", "din_readable"),
            ("Dose", "dose_readable"),
        ),
        (),
        "coi_text",
        optional=frozenset({"recipe_readable", "din_readable", "dose_readable"}),
    ),
    "material": Template(
        1,
        "Material",
        (1000, 420),
        (
            ("Name", "name_readable"),
            ("Catalogue", "catalogue_readable"),
            ("Lot", "lot_readable"),
            ("Expires", "expiry_readable"),
        ),
        (),
        "compound_text",
        optional=frozenset({"name_readable"}),
    ),
    "badge": Template(
        1,
        "Staff",
        (800, 420),
        (("Name", "name_readable"), ("Number", "staff_readable")),
        (),
        "staff_text",
    ),
}


@dataclass(frozen=True, slots=True)
class LabelPicture:
    """A drawn label: the PNG bytes, their hash, and the payloads that were read back from it."""

    png: bytes
    sha256: str
    symbols: tuple[str, ...]
    template: str
    version: int


def draw_label(template: str, fields: Mapping[str, str]) -> LabelPicture:
    """Draw a label and read it back.

    Parameters
    ----------
    template : str
        A name in `TEMPLATES`.
    fields : mapping of str to str
        All fields of the template that are not optional. ``simulated`` set to ``"true"`` prints
        `SIMULATED_WORDS` across the label. A field the template does not know is refused: what the
        caller thinks is on the label must be on it.

    Raises
    ------
    LabelNotDrawn
        A field is missing, unknown or cannot be printed, or the raster does not read back.
    """
    plan = TEMPLATES.get(template)
    if plan is None:
        raise LabelNotDrawn(f"There is no label template {template!r}; there are {', '.join(TEMPLATES)}.")
    _check_fields(template, plan, fields)
    canvas = _draw(plan, fields)
    payloads = (*(fields[name] for name, _ in plan.linear), fields[plan.matrix])
    _read_back(np.asarray(canvas.convert("L"), dtype=np.uint8), payloads)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", dpi=(DOTS_PER_INCH, DOTS_PER_INCH), compress_level=9)
    png = buffer.getvalue()
    return LabelPicture(png, hashlib.sha256(png).hexdigest(), payloads, template, plan.version)


def render_label(template: str, fields: Mapping[str, str], out: Path) -> LabelPicture:
    """Draw a label and put the PNG at `out`, whole or not at all."""
    picture = draw_label(template, fields)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_bytes(picture.png)
    part.replace(out)
    return picture


def _check_fields(template: str, plan: Template, fields: Mapping[str, str]) -> None:
    payloads = {name for name, _ in plan.linear} | {plan.matrix}
    texts = {name for _, name in plan.linear} | {name for _, name in plan.lines}
    known = payloads | texts
    missing = sorted(known - plan.optional - set(fields))
    unknown = sorted(set(fields) - known - {"simulated"})
    if missing or unknown:
        told = [f"without {', '.join(missing)}"] if missing else []
        told += [f"with {', '.join(unknown)}, which it does not print"] if unknown else []
        raise LabelNotDrawn(f"The {template} label cannot be drawn {' and '.join(told)}.")
    if fields.get("simulated", "false") not in ("true", "false"):
        raise LabelNotDrawn('The field simulated is "true" or "false".')
    for name, value in fields.items():
        printable = all(" " <= character <= "~" or character in EXTRA_CHARACTERS for character in value)
        too_long = len(value) > TEXT_CHARACTERS_MAX and name not in payloads
        if not value or not printable or too_long:
            raise LabelNotDrawn(
                f"The field {name} of the {template} label cannot be printed: {value[:40]!r}. "
                f"Use 1 to {TEXT_CHARACTERS_MAX} plain characters."
            )


def _draw(plan: Template, fields: Mapping[str, str]) -> Image.Image:
    width, height = plan.size_dots
    canvas = Image.new("1", (width, height), 1)
    pen = ImageDraw.Draw(canvas)
    pen.fontmode = "1"
    simulated = fields.get("simulated") == "true"
    top = MARGIN_DOTS
    matrix = _symbol(fields[plan.matrix], zxingcpp.BarcodeFormat.DataMatrix)
    matrix_left = width - MARGIN_DOTS - matrix.width
    if simulated:
        top = _band(pen, width, top - 26) + 14
        _band(pen, width, height - 74)
    bottom = height - (88 if simulated else MARGIN_DOTS)
    column = matrix_left - MARGIN_DOTS - 20
    canvas.paste(matrix, (matrix_left, top))
    lowest = top + matrix.height
    top = _text(pen, (MARGIN_DOTS, top), plan.heading, 44, column)
    if plan.statement:
        top = _text(pen, (MARGIN_DOTS, top), plan.statement, 42, column)
    for words, name in plan.lines:
        if name in fields:
            top = _text(pen, (MARGIN_DOTS, top), f"{words}: {fields[name]}", 32, column)
    for name, caption in plan.linear:
        bars = _symbol(fields[name], zxingcpp.BarcodeFormat.Code128)
        if top + 14 < lowest and MARGIN_DOTS + bars.width > matrix_left - 20:
            top = lowest
        canvas.paste(bars, (MARGIN_DOTS, top + 14))
        top = _text(pen, (MARGIN_DOTS + 30, top + 14 + bars.height), fields[caption], 32, width - 100)
    if max(top, lowest) > bottom:
        raise LabelNotDrawn("The text does not fit on this label. Shorten it.")
    return canvas


def _band(pen: ImageDraw.ImageDraw, width: int, top: int) -> int:
    font = ImageFont.load_default(52)
    pen.rectangle((0, top, width, top + 64), fill=0)
    left = (width - pen.textlength(SIMULATED_WORDS, font=font)) // 2
    pen.text((left, top + 4), SIMULATED_WORDS, font=font, fill=1)
    return top + 64


def _text(pen: ImageDraw.ImageDraw, place: tuple[int, int], words: str, size: int, room: int) -> int:
    """Write one line and return where the next begins; a line too long for its room is refused, not cut."""
    font = ImageFont.load_default(size)
    if pen.textlength(words, font=font) > room:
        raise LabelNotDrawn(f"{words!r} is too long for its place on the label. Shorten it.")
    pen.text(place, words, font=font, fill=0)
    return place[1] + round(size * 1.3)


def _symbol(text: str, kind: zxingcpp.BarcodeFormat) -> Image.Image:
    try:
        if kind == zxingcpp.BarcodeFormat.Code128:
            image = zxingcpp.create_barcode(text, kind).to_image(scale=MODULE_DOTS, add_quiet_zones=True)
            row = np.asarray(image, dtype=np.uint8)[:1]
            return Image.fromarray(np.repeat(row, BAR_HEIGHT_DOTS, axis=0)).convert("1")
        barcode = zxingcpp.create_barcode(text, kind, force_square=True)
        image = barcode.to_image(scale=MATRIX_MODULE_DOTS, add_quiet_zones=True)
        return Image.fromarray(np.asarray(image, dtype=np.uint8)).convert("1")
    except (ValueError, RuntimeError) as error:
        raise LabelNotDrawn(f"{text[:40]!r} cannot be written as a symbol: {error}.") from error


def _read_back(gray: Gray, payloads: tuple[str, ...]) -> None:
    found = read_symbols(gray, ("code128", "datamatrix"))
    told = sorted(symbol.text for symbol in found.symbols)
    plain = all(symbol.symbology_identifier in ("]C0", "]d1") for symbol in found.symbols)
    if told != sorted(payloads) or "conflict" in found.reasons or not plain:
        raise LabelNotDrawn("The drawn label does not read back as it was ordered; it was thrown away.")
