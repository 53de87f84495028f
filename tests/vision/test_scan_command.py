"""Stories of `cellwright scan`: one line for each path, in order, whatever the files are."""

import json
from pathlib import Path

import pytest
from label_scenes import BAG, COI, COMPOUND, DIN, PRODUCT, WRISTBAND

from vision.labels.label_picture import render_label
from vision.labels.scan_command import scan


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    render_label("bag", BAG, tmp_path / "bag.png")
    (tmp_path / "letter.txt").write_text("Dear reader")
    render_label("wristband", WRISTBAND, tmp_path / "wrist band.png")
    return [str(tmp_path / name) for name in ("bag.png", "letter.txt", "wrist band.png")]


def test_each_path_gets_one_line_in_order_and_bad_files_a_status(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = scan([*pictures, "--json"])

    out = capsys.readouterr()
    lines = [json.loads(line) for line in out.out.splitlines()]
    assert status == 2
    assert [line["image"] for line in lines] == pictures
    assert lines[1]["symbols"] == [] and lines[1]["reasons"] == ["unreadable_file"]
    assert {each["text"] for each in lines[0]["symbols"]} == {DIN, PRODUCT, COMPOUND}
    assert [each["text"] for each in lines[2]["symbols"]] == [COI]
    assert not any(line.startswith("{") for line in out.err.splitlines())


def test_a_line_has_the_shape_that_others_call_for(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = scan([pictures[0], "--json", "--formats", "datamatrix", "--budget-ms", "2000"])

    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    (symbol,) = line["symbols"]
    assert status == 0
    assert set(line) == {"image", "symbols", "reasons", "elapsed_ms"}
    assert symbol["symbology"] == "datamatrix"
    assert symbol["symbology_identifier"] == "]d1"
    assert bytes.fromhex(symbol["hex"]).decode() == symbol["text"] == COMPOUND
    assert symbol["confirmed"] is True
    assert len(symbol["position"]) == 4 and all(len(point) == 2 for point in symbol["position"])
    assert line["elapsed_ms"] > 0


def test_the_installed_grammar_gives_the_meaning(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    scan([pictures[0], "--json"])

    symbols = json.loads(capsys.readouterr().out)["symbols"]
    meanings = {each["text"]: each["meaning"] for each in symbols}
    assert meanings[DIN]["din"] == "A999926000001"
    assert meanings[COMPOUND]["expires_at"] == "2026-11-21T14:05:00Z"
    assert meanings[PRODUCT]["division"] == "00"


def test_words_for_people_name_what_is_confirmed(
    pictures: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    status = scan(pictures[:1])

    out = capsys.readouterr().out
    assert status == 0
    assert "3 symbols" in out
    assert f"code128 confirmed: '{DIN}'" in out
    assert "A9999 26 000001 8" in out


@pytest.mark.parametrize("arguments", [["--formats", "ean13"], ["--formats", ""]])
def test_unknown_formats_are_wrong_usage(
    pictures: list[str], arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert scan([pictures[0], *arguments]) == 2
    assert "Formats are" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["x.png", "--budget-ms", "0"], ["x.png", "--jso"]])
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scan(arguments)

    assert ended.value.code == 2
