"""What a label looks like, as data: a TOML file of boxes in millimetres, checked whole before it is used.

Each element has a box of its own, no two boxes touch, and each is drawn on a sheet of its box's size: text
that runs into a symbol is no matter of luck or of the field's length. It either fits its box or is refused.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import msgspec

DOTS_PER_INCH = (203, 300)  # of the print heads that labels are made for
MM_PER_INCH = 25.4
TEMPLATE_BYTES_MAX = 64 * 1024
ELEMENTS_MAX = 40
EDGE_MM = 1.5  # no print nearer to the label's edge: rolls wander
WIDTH_MM_MAX, HEIGHT_MM_MAX = 108.0, 160.0
MEASURE_MAX = 1000.0
CAPITAL_MM_MIN = 1.8  # of a capital letter, about 7 points
BAR_HEIGHT_MM_MIN = 5.0
BAR_HEIGHT_SHARE_MIN = 0.15  # of the symbol's length (ISBT 128)
LINEAR_MODULE_MM = (0.17, 0.51)
MATRIX_MODULE_MM = (0.25, 1.0)
MODULE_OFF_MAX = 0.12  # whole dots may miss the module asked for by this share
LINEAR_QUIET = 10  # modules of white beside the bars
MATRIX_QUIET = 2  # modules of white around
MATRIX_SIZES = (10, 12, 14, 16, 18, 20, 22, 24, 26, 32, 36, 40, 44, 48, 52)
LINE_PITCH = 1.75  # line to line, in heights of a capital letter
SIMULATED_FIELD = "simulated"

Kind = Literal[
    "bag", "final_product", "in_process", "sample", "wristband", "order", "material", "badge", "print_test"
]
KINDS: tuple[str, ...] = get_args(Kind)
Style = Literal["plain", "bold", "inverse", "framed"]
_ID = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PLACE = re.compile(r"\$\.element\[(\d+)\]")


class TemplateRefused(ValueError):
    """This is no template that may be drawn; `faults` says everything that is wrong with it."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__(" ".join(faults))


class Box(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an element stands: from the label's upper left corner, in millimetres."""

    x_mm: float
    y_mm: float
    width_mm: float
    height_mm: float


class Text(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="text"):
    """Fixed words, or those of one field; both where a field stands behind fixed words."""

    words: str = ""
    field: str = ""
    optional: bool = False
    capital_mm: float = 2.0
    lines: int = 1
    style: Style = "plain"
    centred: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a table: what it is, and which field says it."""

    words: str
    field: str
    optional: bool = False
    bold: bool = False
    lines: int = 1


class Rows(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="rows"):
    """A table of fields; the words stand in a column of their own. Rows without their field close up."""

    row: tuple[Row, ...]
    capital_mm: float = 2.0
    column_mm: float = 20.0


class Statements(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="statements"):
    """Sentences that the law or the product asks for; the data says which, the template where."""

    fields: tuple[str, ...]
    capital_mm: float = 2.0
    lines: int = 1  # that each may take
    style: Style = "bold"


class Linear(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="linear"):
    """A Code 128 with its text below, and its check character in a frame."""

    field: str
    caption: str
    caption_optional: bool = False  # without it the payload itself stands below
    check: str = ""  # field of the check character
    modules_max: int = 145
    module_mm: float = 0.25
    bar_height_mm: float = 9.0
    capital_mm: float = 2.0
    optional: bool = False


class Matrix(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="matrix"):
    """A square DataMatrix."""

    field: str
    modules_max: int
    module_mm: float = 0.5


class Band(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="simulated_band"):
    """Stays white, or says that nothing here is real; each label has a place for it (SAFETY 16)."""

    capital_mm: float = 3.0


class Rule(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="rule"):
    """A line between parts: the box, black."""


class HeadPattern(Box, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="head_pattern"):
    """A black field over the print head's whole width: a dot that is dead leaves a white line."""


Element = Text | Rows | Statements | Linear | Matrix | Band | Rule | HeadPattern


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the template is."""

    id: str
    version: int
    kind: Kind
    title: str
    width_mm: float
    height_mm: float


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    template: Head
    element: tuple[Element, ...]


@dataclass(frozen=True, slots=True)
class LabelTemplate:
    """A template without a fault, and the SHA-256 of the very bytes that say so."""

    head: Head
    elements: tuple[Element, ...]
    sha256: str
    text: str

    @property
    def id(self) -> str:
        return self.head.id

    @property
    def version(self) -> int:
        return self.head.version

    @property
    def payloads(self) -> tuple[str, ...]:
        """The fields that become symbols, linear before matrix."""
        linear = [each.field for each in self.elements if isinstance(each, Linear)]
        return (*linear, *(each.field for each in self.elements if isinstance(each, Matrix)))

    @property
    def fields(self) -> dict[str, bool]:
        """Each field that it prints, and whether it must be given."""
        return {name: needed for each in self.elements for name, needed in _fields_of(each)}

    @property
    def fixed_words(self) -> tuple[str, ...]:
        """The sentences that stand on every label of this template."""
        return tuple(each.words for each in self.elements if isinstance(each, Text) and not each.field)


def read_template(data: bytes) -> LabelTemplate:
    """Read a template's bytes.

    Raises
    ------
    TemplateRefused
        Not the file that it should be, or one that could draw a label on which something is hidden, too
        small, or does not read.
    """
    if len(data) > TEMPLATE_BYTES_MAX:
        raise TemplateRefused([f"The file is larger than {TEMPLATE_BYTES_MAX // 1024} KiB."])
    try:
        text = data.decode("utf-8")
        file = msgspec.convert(tomllib.loads(text), _File)
    except UnicodeDecodeError as error:
        raise TemplateRefused(["The file is no text in UTF-8."]) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise TemplateRefused([f"The file is no TOML: {error}."]) from error
    except msgspec.ValidationError as error:
        raise TemplateRefused([_in_words(str(error))]) from error
    template = LabelTemplate(file.template, file.element, hashlib.sha256(data).hexdigest(), text)
    faults = list(_faults(template))
    if faults:
        raise TemplateRefused(faults)
    return template


@cache
def shipped_templates() -> dict[str, LabelTemplate]:
    """The templates that come with the program, by id."""
    paths = sorted((Path(__file__).parent / "templates").glob("*.toml"))
    return {each.id: each for each in (read_template(path.read_bytes()) for path in paths)}


def dots(length_mm: float, dpi: int) -> int:
    """The nearest whole number of dots."""
    return round(length_mm * dpi / MM_PER_INCH)


def _in_words(error: str) -> str:
    place = _PLACE.search(error)
    named = f"Element {int(place[1]) + 1}: " if place else ""
    return f"{named}{error.replace(' - at', ', at')}."


def _fields_of(element: Element) -> Iterator[tuple[str, bool]]:
    match element:
        case Text(field=name) if name:
            yield name, not element.optional
        case Rows():
            yield from ((row.field, not row.optional) for row in element.row)
        case Statements():
            yield from ((name, False) for name in element.fields)
        case Linear():
            yield element.field, not element.optional
            yield element.caption, not (element.optional or element.caption_optional)
            if element.check:
                yield element.check, False
        case Matrix():
            yield element.field, True
        case _:
            pass


def _faults(template: LabelTemplate) -> Iterator[str]:
    head, elements = template.head, template.elements
    measures = [value for each in (head, *elements) for value in msgspec.structs.astuple(each)]
    floats = [value for value in measures if isinstance(value, float)]
    if not all(math.isfinite(value) and abs(value) <= MEASURE_MAX for value in floats):
        yield f"A measure is no number, or beyond {MEASURE_MAX:g} mm."
        return
    if not _ID.fullmatch(head.id):
        yield f"The id {head.id!r} is not small letters, digits and underscores."
    if not 1 <= head.version <= 9999:
        yield "The version is a whole number from 1 to 9999."
    if not (10 <= head.width_mm <= WIDTH_MM_MAX and 10 <= head.height_mm <= HEIGHT_MM_MAX):
        yield f"A label is 10 to {WIDTH_MM_MAX:g} mm wide and 10 to {HEIGHT_MM_MAX:g} mm high."
    if not 1 <= len(elements) <= ELEMENTS_MAX:
        yield f"A label has 1 to {ELEMENTS_MAX} elements."
        return
    names = [f"Element {number} ({_kind(each)})" for number, each in enumerate(elements, 1)]
    for name, element in zip(names, elements, strict=True):
        yield from (f"{name}: {fault}" for fault in _place_faults(head, element))
        yield from (f"{name}: {fault}" for fault in _size_faults(element))
    for later, (name, one) in enumerate(zip(names, elements, strict=True), 1):
        for other_name, other in zip(names[later:], elements[later:], strict=True):
            if _overlap(one, other):
                yield f"{name} and {other_name} stand on one another. Move one of them."
    yield from _whole_faults(template)


def _whole_faults(template: LabelTemplate) -> Iterator[str]:
    used = [name for element in template.elements for name, _ in _fields_of(element)]
    for name in sorted({name for name in used if used.count(name) > 1}):
        yield f"The field {name} is printed twice; one of them could be read for another."
    for name in sorted(name for name in used if not _ID.fullmatch(name) or name == SIMULATED_FIELD):
        yield f"{name!r} is no name of a field."
    if not any(isinstance(each, Band) for each in template.elements):
        yield "There is no simulated_band: a label of a demonstration could be taken for a real one."
    if not template.payloads:
        yield "There is no symbol: nothing could be read back from this label."
    for name in template.payloads:
        if not name.endswith("_text"):
            yield f"The field of a symbol ends in _text; {name} does not."


def _kind(element: Element) -> str:
    tag = type(element).__struct_config__.tag
    return str(tag)


def _place_faults(head: Head, box: Element) -> Iterator[str]:
    if box.width_mm <= 0 or box.height_mm <= 0:
        yield "It has no size."
        return
    edge = 0.0 if isinstance(box, Band | HeadPattern) else EDGE_MM
    right, bottom = head.width_mm - box.x_mm - box.width_mm, head.height_mm - box.y_mm - box.height_mm
    if min(box.x_mm, box.y_mm, right, bottom) < -1e-6:
        yield "It stands off the label."
    elif min(box.x_mm, right) < edge - 1e-6:
        yield f"It is nearer than {EDGE_MM:g} mm to the edge of the label."


def _overlap(one: Box, other: Box) -> bool:
    return (
        one.x_mm < other.x_mm + other.width_mm - 1e-6
        and other.x_mm < one.x_mm + one.width_mm - 1e-6
        and one.y_mm < other.y_mm + other.height_mm - 1e-6
        and other.y_mm < one.y_mm + one.height_mm - 1e-6
    )


def lines_of(element: Text | Rows | Statements) -> int:
    """How many lines of text stand there at most."""
    match element:
        case Text():
            return element.lines
        case Rows():
            return sum(row.lines for row in element.row)
        case Statements():
            return element.lines * len(element.fields)


def _size_faults(element: Element) -> Iterator[str]:
    capital = getattr(element, "capital_mm", None)
    if capital is not None and capital < CAPITAL_MM_MIN:
        yield f"Its capitals are {capital:g} mm high; {CAPITAL_MM_MIN:g} mm are read in a hurry."
    match element:
        case Text() | Rows() | Statements():
            yield from _text_faults(element)
        case Linear():
            yield from _linear_faults(element)
        case Matrix():
            yield from _matrix_faults(element)
        case Band() if element.height_mm < LINE_PITCH * element.capital_mm - 1e-6:
            yield "Its words do not fit its height."
        case _:
            pass


def _text_faults(element: Text | Rows | Statements) -> Iterator[str]:
    if isinstance(element, Text) and not element.words and not element.field:
        yield "It has neither words nor a field."
    if isinstance(element, Text) and element.optional and not element.field:
        yield "Fixed words are not optional."
    if isinstance(element, Rows) and not 0 < element.column_mm < element.width_mm:
        yield "The column of its words is wider than itself."
    lines = lines_of(element)
    if not 1 <= lines <= ELEMENTS_MAX:
        yield f"It has 1 to {ELEMENTS_MAX} lines."
    needed = lines * LINE_PITCH * element.capital_mm
    if needed > element.height_mm + 1e-6:
        yield f"Its {lines} lines need {needed:.1f} mm of height; the box has {element.height_mm:g} mm."


def _module_faults(module_mm: float, least: float, most: float) -> Iterator[str]:
    if not least <= module_mm <= most:
        yield f"Its module is {module_mm:g} mm; {least:g} to {most:g} mm are read."
        return
    for dpi in DOTS_PER_INCH:
        made = max(1, dots(module_mm, dpi)) * MM_PER_INCH / dpi
        if abs(made / module_mm - 1) > MODULE_OFF_MAX or made < least - 0.005:
            yield f"At {dpi} dots an inch no whole number of dots comes near a module of {module_mm:g} mm."


def _linear_faults(element: Linear) -> Iterator[str]:
    yield from _module_faults(element.module_mm, *LINEAR_MODULE_MM)
    for dpi in DOTS_PER_INCH:
        module = max(1, dots(element.module_mm, dpi))
        needed = (element.modules_max + 2 * LINEAR_QUIET) * module
        if needed > _span(element.x_mm, element.width_mm, dpi):
            yield (
                f"At {dpi} dots an inch {element.modules_max} modules with {LINEAR_QUIET} of white on each "
                f"side need {needed * MM_PER_INCH / dpi:.1f} mm; the box is {element.width_mm:g} mm wide."
            )
            break
    least = max(BAR_HEIGHT_MM_MIN, BAR_HEIGHT_SHARE_MIN * element.modules_max * element.module_mm)
    if element.bar_height_mm < least - 1e-6:
        yield f"Its bars are {element.bar_height_mm:g} mm high; {least:.1f} mm are needed."
    if element.bar_height_mm + LINE_PITCH * element.capital_mm > element.height_mm + 1e-6:
        yield "Bars and the text below do not fit the height of the box."


def _matrix_faults(element: Matrix) -> Iterator[str]:
    yield from _module_faults(element.module_mm, *MATRIX_MODULE_MM)
    if element.modules_max not in MATRIX_SIZES:
        sizes = ", ".join(map(str, MATRIX_SIZES))
        yield f"A square DataMatrix has {sizes} modules, not {element.modules_max}."
    for dpi in DOTS_PER_INCH:
        needed = (element.modules_max + 2 * MATRIX_QUIET) * max(1, dots(element.module_mm, dpi))
        room = min(_span(element.x_mm, element.width_mm, dpi), _span(element.y_mm, element.height_mm, dpi))
        if needed > room:
            yield (
                f"At {dpi} dots an inch {element.modules_max} modules with {MATRIX_QUIET} of white around "
                f"need {needed * MM_PER_INCH / dpi:.1f} mm; the box is {element.width_mm:g} x "
                f"{element.height_mm:g} mm."
            )
            break


def _span(start_mm: float, length_mm: float, dpi: int) -> int:
    """Dots between the two edges as they are drawn."""
    return dots(start_mm + length_mm, dpi) - dots(start_mm, dpi)
