"""Stories of label templates: data that is checked whole, and on which nothing can hide anything."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_scenes import ALL_TEMPLATES, BAG, DIN
from PIL import Image

from vision.labels import label_picture
from vision.labels import label_template as lt
from vision.labels.label_picture import LabelNotDrawn, draw_label
from vision.labels.label_template import TemplateRefused, read_template, shipped_templates

GOOD = """
[template]
id = "plain"
version = 3
kind = "bag"
title = "Plain"
width_mm = 80
height_mm = 50

[[element]]
type = "simulated_band"
x_mm = 0
y_mm = 1
width_mm = 80
height_mm = 5.3

[[element]]
type = "text"
words = "Cells"
x_mm = 3
y_mm = 8
width_mm = 40
height_mm = 3.6

[[element]]
type = "linear"
field = "din_text"
caption = "din_readable"
x_mm = 3
y_mm = 14
width_mm = 44
height_mm = 13

[[element]]
type = "matrix"
field = "compound_text"
modules_max = 32
x_mm = 55
y_mm = 8
width_mm = 19
height_mm = 19
"""


def faults_of(text: str) -> str:
    with pytest.raises(TemplateRefused) as refused:
        read_template(text.encode())
    return "\n".join(refused.value.faults)


def test_a_template_is_read_with_the_hash_of_its_very_bytes() -> None:
    read = read_template(GOOD.encode())

    assert (read.id, read.version, read.head.kind) == ("plain", 3, "bag")
    assert read.sha256 == hashlib.sha256(GOOD.encode()).hexdigest()
    assert read.payloads == ("din_text", "compound_text")
    assert read.fields == {"din_text": True, "din_readable": True, "compound_text": True}


@pytest.mark.requirement("F-007", "T18")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('words = "Cells"', 'words = "Cells"\ncolour = "red"'), "Element 2: Object contains unknown field"),
        (('type = "matrix"', 'type = "picture"'), "Element 4: Invalid value 'picture'"),
        (("version = 3", ""), "missing required field `version`"),
        (("version = 3", 'version = "3"'), "Expected `int`, got `str`"),
        (("width_mm = 40\nheight_mm = 3.6", "width_mm = 78\nheight_mm = 3.6"), "stands off the label"),
        (("x_mm = 3\ny_mm = 8", "x_mm = 1\ny_mm = 8"), "nearer than 1.5 mm to the edge"),
        (("x_mm = 3\ny_mm = 8", "x_mm = 3\ny_mm = 11"), "Element 3 (linear) stand on one another"),
        (("x_mm = 55", "x_mm = 46"), "Element 4 (matrix) stand on one another"),
        (("width_mm = 44", "width_mm = 41"), "145 modules with 10 of white on each side need 41.3 mm"),
        (("height_mm = 13", "height_mm = 13\nbar_height_mm = 4.9"), "bars are 4.9 mm high; 5.4 mm"),
        (("height_mm = 13", "height_mm = 10"), "Bars and the text below do not fit"),
        (("height_mm = 13", "height_mm = 13\nmodule_mm = 0.16"), "module is 0.16 mm; 0.17 to 0.51 mm"),
        (("height_mm = 13", "height_mm = 13\nmodule_mm = 0.30"), "At 203 dots an inch no whole number"),
        (("width_mm = 19", "width_mm = 18.1"), "32 modules with 2 of white around need 18.3 mm"),
        (("modules_max = 32", "modules_max = 33"), "A square DataMatrix has 10, 12"),
        (("height_mm = 3.6", "height_mm = 3.6\ncapital_mm = 1.7"), "capitals are 1.7 mm high"),
        (("height_mm = 3.6", "height_mm = 3.6\nlines = 2"), "2 lines need 7.0 mm of height"),
        (('words = "Cells"', 'field = "din_text"'), "The field din_text is printed twice"),
        (('words = "Cells"', 'field = "simulated"'), "is no name of a field"),
        (('words = "Cells"', ""), "It has neither words nor a field"),
        (('type = "simulated_band"', 'type = "rule"'), "There is no simulated_band"),
        (('field = "compound_text"', 'field = "compound"'), "The field of a symbol ends in _text"),
        (('id = "plain"', 'id = "../plain"'), "is not small letters"),
        (("width_mm = 80\nheight_mm = 50", "width_mm = 300\nheight_mm = 50"), "A label is 10 to 108 mm wide"),
        (("y_mm = 14", "y_mm = nan"), "A measure is no number"),
    ],
)  # fmt: skip
def test_a_template_with_a_fault_is_refused_and_the_fault_named(change: tuple[str, str], words: str) -> None:
    assert change[0] in GOOD

    assert words in faults_of(GOOD.replace(*change, 1))


def test_every_fault_is_told_at_once() -> None:
    said = faults_of(GOOD.replace("height_mm = 3.6", "height_mm = 1").replace("x_mm = 55", "x_mm = 70"))

    assert "lines need" in said and "stands off the label" in said


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"[template", b"x" * 70_000, b"a = 1"])
def test_what_is_no_template_is_refused(data: bytes) -> None:
    with pytest.raises(TemplateRefused):
        read_template(data)


ODD = [
    "0",
    "-1",
    "1e308",
    "-1e300",
    "nan",
    "inf",
    "99999999999999999999",
    '"x"',
    "[]",
    "true",
    "1e-320",
    "{}",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(shipped_templates())), st.integers(0, 400), st.sampled_from(ODD))
def test_any_value_in_any_place_is_taken_or_refused_in_words(name: str, place: int, odd: str) -> None:
    lines = shipped_templates()[name].text.splitlines()
    told = [number for number, line in enumerate(lines) if " = " in line]
    changed = told[place % len(told)]
    lines[changed] = f"{lines[changed].partition(' = ')[0]} = {odd}"

    try:
        plan = read_template("\n".join(lines).encode())
    except TemplateRefused as refused:
        assert all(refused.faults)
    else:
        assert plan.payloads


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="WiM0gj ", min_size=1, max_size=60), st.sampled_from(lt.DOTS_PER_INCH))
def test_no_text_reaches_into_a_symbol_or_the_white_around_it(words: str, dpi: int) -> None:
    """Each element is drawn on a sheet of its own, so a text either fits or there is no label."""
    plan = read_template(GOOD.replace('words = "Cells"', 'field = "name"').encode())
    fields = {name: BAG[name] for name in ("din_text", "din_readable", "compound_text")}

    try:
        drawn, _ = label_picture._draw(plan, fields | {"name": words}, dpi)
    except LabelNotDrawn:
        return
    other, _ = label_picture._draw(plan, fields | {"name": "i"}, dpi)
    left, top, right, bottom = (lt.dots(each, dpi) for each in (3, 8, 43, 11.6))
    one, two = np.asarray(drawn), np.asarray(other)
    outside = np.ones(one.shape, bool)
    outside[top:bottom, left:right] = False
    assert np.array_equal(one[outside], two[outside])


@pytest.mark.requirement("F-007", "T20")
@pytest.mark.parametrize("dpi", lt.DOTS_PER_INCH)
@pytest.mark.parametrize("name", sorted(ALL_TEMPLATES))
def test_every_bar_and_every_module_is_a_whole_number_of_dots(name: str, dpi: int) -> None:
    plan, fields = shipped_templates()[name], ALL_TEMPLATES[name]
    drawn = draw_label(plan, fields, dpi=dpi)
    dots = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("L")) < 128

    for element in plan.elements:
        if not isinstance(element, lt.Linear | lt.Matrix) or element.field not in fields:
            continue
        left, top, right, bottom = drawn.places[fields[element.field]]
        module = lt.dots(element.module_mm, dpi)
        for row in dots[top:bottom, left:right][:: max(1, module)]:
            edges = np.flatnonzero(np.diff(row.astype(int)))
            assert not (np.diff(edges) % module).any(), (name, element.field)


def test_a_linear_symbol_has_ten_modules_of_white_on_both_sides() -> None:
    drawn = draw_label("bag", BAG)
    left, top, right, bottom = drawn.places[DIN]
    bars = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("L"))[top:bottom, left - 3 : right] < 128

    inked = np.flatnonzero(bars.any(axis=0))
    assert inked.min() >= 30
    assert bars.shape[1] - inked.max() > 30
    assert bars.shape[0] * 25.4 / 300 >= 5.0


# What each label looked like when a person looked at it last; a change of a picture needs a look again.
GOLDEN = {
    "badge": {
        203: (541, 285, "d448269d545d2b99"),
        300: (800, 420, "7bb4885272be9249"),
    },
    "bag": {
        203: (812, 609, "5ba43e3b4e6b57f2"),
        300: (1200, 900, "52e75c570b1d2801"),
    },
    "dose": {
        203: (812, 812, "8d5c9d17f09f4c49"),
        300: (1200, 1200, "f2781c006a33e834"),
    },
    "in_process": {
        203: (812, 609, "86d7f8a733ac9f10"),
        300: (1200, 900, "d5b74ebaffae1c46"),
    },
    "material": {
        203: (677, 285, "96ccb85d71628ebd"),
        300: (1000, 420, "da15bb8374d08984"),
    },
    "order": {
        203: (812, 406, "16be01538e3f6745"),
        300: (1200, 600, "25f57edf0df6d903"),
    },
    "print_test": {
        203: (812, 508, "319e411f91f9b70b"),
        300: (1200, 750, "3af79511ba8cc498"),
    },
    "sample": {
        203: (457, 254, "fe2f72871431e39e"),
        300: (676, 376, "e47313b85167873a"),
    },
    "wristband": {
        203: (677, 285, "40fa8dbaa84df1e8"),
        300: (1000, 420, "fefacfca7e22c602"),
    },
}


@pytest.mark.requirement("F-007")
@pytest.mark.parametrize("name", sorted(ALL_TEMPLATES))
def test_a_label_looks_as_it_did_when_it_was_looked_at(name: str) -> None:
    seen = {}
    for dpi in lt.DOTS_PER_INCH:
        drawn = draw_label(name, ALL_TEMPLATES[name], dpi=dpi)
        with Image.open(io.BytesIO(drawn.png)) as picture:
            # Of the dots, not of the file: another zlib packs the same picture otherwise.
            seen[dpi] = (*picture.size, hashlib.sha256(picture.convert("1").tobytes()).hexdigest()[:16])

    assert seen == GOLDEN[name]
