"""One raster for preview, print and test: dot for dot in a page, for a printer, and back."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_scenes import ALL_TEMPLATES, BAG, OTHER_DIN

from vision.labels.label_command import label
from vision.labels.label_outputs import NotZpl, _packed_row, as_pdf, as_zpl, dots_of, dots_of_zpl
from vision.labels.label_picture import draw_label


@pytest.mark.requirement("F-007")
@pytest.mark.parametrize("template", sorted(ALL_TEMPLATES))
def test_a_printer_gets_the_very_dots_that_were_read_back(template: str) -> None:
    drawn = draw_label(template, ALL_TEMPLATES[template])
    dots = dots_of(drawn)

    printed = dots_of_zpl(as_zpl(drawn))

    assert np.array_equal(printed[:, : dots.shape[1]], dots)
    assert not printed[:, dots.shape[1] :].any()


def test_a_label_for_a_printer_is_small_enough_for_a_serial_line() -> None:
    data = as_zpl(draw_label("bag", BAG))

    assert len(data) < 30_000
    assert data.startswith(b"^XA^PW1200^LL900")
    assert b"^PQ3," in as_zpl(draw_label("bag", BAG), copies=3)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0F137", min_size=2, max_size=900).filter(lambda text: len(text) % 2 == 0))
def test_any_row_of_dots_comes_back_as_it_was(digits: str) -> None:
    row = len(digits) // 2
    graphic = f"^XA^GFA,{2 * row},{2 * row},{row},{_packed_row(digits)}:^FS^XZ"

    rows = np.packbits(dots_of_zpl(graphic.encode()), axis=1)

    assert [each.tobytes().hex().upper() for each in rows] == [digits, digits]


@pytest.mark.parametrize(
    "data",
    [b"", b"^XA^XZ", b"^GFA,4,4,2,FF^FS", b"^GFA,4,4,2,FFFFFF^FS", b"^GFA,2,2,2,ZZZZ^FS", b"^GFA,2,2,2,:^FS"],
)
def test_bytes_that_are_no_whole_graphic_are_refused(data: bytes) -> None:
    with pytest.raises(NotZpl):
        dots_of_zpl(data)


def test_the_same_label_is_the_same_page_whenever_it_is_made() -> None:
    first, again = (as_pdf(draw_label("bag", BAG)) for _ in range(2))

    assert first == again
    assert first.startswith(b"%PDF-")
    assert b"/MediaBox [ 0 0 288.0 216.0 ]" in first, "1200 x 900 dots at 300 an inch are 4 x 3 inches"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "bag.json"
    path.write_text(json.dumps(BAG), encoding="utf-8")
    return path


@pytest.mark.requirement("F-007")
def test_a_label_is_drawn_from_its_data_and_a_picture_of_it_verified(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = {kind: tmp_path / f"bag.{kind}" for kind in ("png", "pdf", "zpl")}
    asked = [part for kind, path in outs.items() for part in (f"--{kind}", str(path))]

    assert label(["render", "bag", "--data", str(data), *asked]) == 0
    assert all(path.stat().st_size > 1000 for path in outs.values())
    capsys.readouterr()

    assert label(["verify", str(outs["png"]), "--expect", str(data), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["agrees"] is True


def test_the_label_of_another_bag_does_not_verify(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = BAG | {
        "din_text": OTHER_DIN,
        "compound_text": BAG["compound_text"].replace(BAG["din_text"], OTHER_DIN),
    }
    picture = tmp_path / "other.png"
    picture.write_bytes(draw_label("bag", other).png)

    assert label(["verify", str(picture), "--expect", str(data)]) == 1
    said = capsys.readouterr().out
    assert "not confirmed: din_text" in said
    assert OTHER_DIN in said


def test_a_label_whose_print_is_damaged_does_not_verify(tmp_path: Path, data: Path) -> None:
    drawn = cv2.imdecode(np.frombuffer(draw_label("bag", BAG).png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert drawn is not None
    drawn[:, 200:230] = 255
    cv2.imwrite(str(tmp_path / "damaged.png"), drawn)

    assert label(["verify", str(tmp_path / "damaged.png"), "--expect", str(data)]) == 1


@pytest.mark.parametrize("content", ["", "[]", '{"din_text": 7}', '{"heading": "x"}'])
def test_data_that_cannot_be_used_is_told_and_nothing_is_written(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "data.json", tmp_path / "out.png"
    path.write_text(content, encoding="utf-8")

    assert label(["render", "bag", "--data", str(path), "--png", str(out)]) == 2
    assert capsys.readouterr().err.startswith("cellwright label: ")
    assert not out.exists()


def test_the_templates_are_told_with_their_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert label(["templates"]) == 0
    assert (
        "dose (version 2, 101.6 x 101.6 mm): din_text product_text compound_text" in capsys.readouterr().out
    )
