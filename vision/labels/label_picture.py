"""Draw label pictures from templates: symbols by whole dots, text beside them, and nothing leaves unread.

Payloads and texts come from the caller, the layout from the template; this module puts each element's own
sheet at its place. The same template, fields and dots an inch give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vision.labels import label_template as lt
from vision.labels.label_ink import SIMULATED_WORDS, LabelNotDrawn, draw
from vision.labels.locate import Gray
from vision.labels.symbols import read_symbols

__all__ = [
    "DOTS_PER_INCH",
    "SIMULATED_WORDS",
    "LabelNotDrawn",
    "LabelPicture",
    "draw_label",
    "render_label",
]

DOTS_PER_INCH = 300  # where nobody says otherwise
MODULE_DOTS = 3  # of a linear symbol at 300 dots an inch: 0.254 mm
MARGIN_DOTS = 36
READ_BACK_MS = 20_000.0  # no busy machine may make a good label look bad
READ_BACK_MODULE_DOTS = 3  # a raster with fewer dots a module is read enlarged, dot for dot
TEXT_CHARACTERS_MAX = 120
# What the font that Pillow ships can draw beyond ASCII.
EXTRA_CHARACTERS = "°±·"


@dataclass(frozen=True, slots=True)
class LabelPicture:
    """A drawn label.

    Attributes
    ----------
    png, sha256
        The picture's bytes and their hash.
    symbols
        The payloads that were read back from it.
    template, version, template_sha256
        What it was drawn by.
    places
        Where each payload's symbol stands, with its white: left, top, right, bottom in dots.
    """

    png: bytes
    sha256: str
    symbols: tuple[str, ...]
    template: str
    version: int
    dpi: int
    template_sha256: str
    places: Mapping[str, tuple[int, int, int, int]]


def draw_label(
    template: str | lt.LabelTemplate, fields: Mapping[str, str], *, dpi: int = DOTS_PER_INCH
) -> LabelPicture:
    """Draw a label and read it back.

    Parameters
    ----------
    template : str or LabelTemplate
        The id of a shipped template, or one that was read.
    fields : mapping of str to str
        All fields of the template that are not optional. ``simulated`` set to ``"true"`` prints
        `SIMULATED_WORDS` across the label. A field the template does not know is refused: what the
        caller thinks is on the label must be on it.
    dpi : int
        Of the print head, out of `label_template.DOTS_PER_INCH`.

    Raises
    ------
    LabelNotDrawn
        A field is missing, unknown or cannot be printed, or the raster does not read back.
    """
    plan = _template(template)
    if dpi not in lt.DOTS_PER_INCH:
        raise LabelNotDrawn(f"Labels are drawn at {' or '.join(map(str, lt.DOTS_PER_INCH))} dots an inch.")
    _check_fields(plan, fields)
    canvas, places = _draw(plan, fields, dpi)
    payloads = tuple(fields[name] for name in plan.payloads if name in fields)
    _read_back(np.asarray(canvas.convert("L"), dtype=np.uint8), payloads, dpi)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", dpi=(dpi, dpi), compress_level=9)
    png = buffer.getvalue()
    found = {fields[name]: place for name, place in places.items()}
    sha256 = hashlib.sha256(png).hexdigest()
    return LabelPicture(png, sha256, payloads, plan.id, plan.version, dpi, plan.sha256, found)


def render_label(
    template: str | lt.LabelTemplate, fields: Mapping[str, str], out: Path, *, dpi: int = DOTS_PER_INCH
) -> LabelPicture:
    """Draw a label and put the PNG at `out`, whole or not at all."""
    picture = draw_label(template, fields, dpi=dpi)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    part.write_bytes(picture.png)
    part.replace(out)
    return picture


def _template(template: str | lt.LabelTemplate) -> lt.LabelTemplate:
    if isinstance(template, lt.LabelTemplate):
        return template
    shipped = lt.shipped_templates()
    if template not in shipped:
        raise LabelNotDrawn(f"There is no label template {template!r}; there are {', '.join(shipped)}.")
    return shipped[template]


def _check_fields(plan: lt.LabelTemplate, fields: Mapping[str, str]) -> None:
    known, payloads = plan.fields, plan.payloads
    missing = sorted(name for name, needed in known.items() if needed and name not in fields)
    unknown = sorted(set(fields) - set(known) - {lt.SIMULATED_FIELD})
    if missing or unknown:
        told = [f"without {', '.join(missing)}"] if missing else []
        told += [f"with {', '.join(unknown)}, which it does not print"] if unknown else []
        raise LabelNotDrawn(f"The {plan.id} label cannot be drawn {' and '.join(told)}.")
    if fields.get(lt.SIMULATED_FIELD, "false") not in ("true", "false"):
        raise LabelNotDrawn('The field simulated is "true" or "false".')
    for name, value in fields.items():
        printable = all(" " <= character <= "~" or character in EXTRA_CHARACTERS for character in value)
        too_long = len(value) > TEXT_CHARACTERS_MAX and name not in payloads
        if not value or not printable or too_long:
            raise LabelNotDrawn(
                f"The field {name} of the {plan.id} label cannot be printed: {value[:40]!r}. "
                f"Use 1 to {TEXT_CHARACTERS_MAX} plain characters."
            )


def _draw(
    plan: lt.LabelTemplate, fields: Mapping[str, str], dpi: int
) -> tuple[Image.Image, dict[str, tuple[int, int, int, int]]]:
    canvas = Image.new("1", (lt.dots(plan.head.width_mm, dpi), lt.dots(plan.head.height_mm, dpi)), 1)
    places = {}
    for element in plan.elements:
        left, top = lt.dots(element.x_mm, dpi), lt.dots(element.y_mm, dpi)
        right = lt.dots(element.x_mm + element.width_mm, dpi)
        bottom = lt.dots(element.y_mm + element.height_mm, dpi)
        canvas.paste(draw(element, (right - left, bottom - top), fields, dpi), (left, top))
        if isinstance(element, lt.Linear):
            bottom = top + lt.dots(element.bar_height_mm, dpi)
        if isinstance(element, lt.Linear | lt.Matrix) and element.field in fields:
            places[element.field] = (left, top, right, bottom)
    return canvas, places


def _read_back(gray: Gray, payloads: tuple[str, ...], dpi: int) -> None:
    if lt.dots(0.25, dpi) < READ_BACK_MODULE_DOTS:
        gray = np.repeat(np.repeat(gray, 2, axis=0), 2, axis=1)
    found = read_symbols(gray, ("code128", "datamatrix"), READ_BACK_MS)
    told = sorted(symbol.text for symbol in found.symbols)
    plain = all(symbol.symbology_identifier in ("]C0", "]d1") for symbol in found.symbols)
    if told != sorted(payloads) or "conflict" in found.reasons or not plain:
        raise LabelNotDrawn("The drawn label does not read back as it was ordered; it was thrown away.")
