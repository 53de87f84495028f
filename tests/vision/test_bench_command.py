"""Stories of `cellwright bench labels`: figures of a set of photographs, or clear words why not."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from label_scenes import COMPOUND, DIN, OTHER_DIN, bars, matrix, on_paper

from vision.labels.bench_command import bench
from vision.labels.symbols import read_symbols

HEAD = "file,symbology,set,expected_hex,expected_text,also_hex,source,licence,note\n"


def photo_set(folder: Path, rows: list[tuple[str, str, np.ndarray, str]]) -> Path:
    (folder / "img").mkdir()
    lines = [HEAD]
    for name, symbology, gray, says in rows:
        cv2.imwrite(str(folder / "img" / name), gray)
        lines.append(f"img/{name},{symbology},own,{says.encode().hex()},,,,,\n")
    (folder / "manifest.csv").write_text("".join(lines))
    return folder


@pytest.fixture
def small_set(tmp_path: Path) -> Path:
    noise = np.random.default_rng(3).integers(90, 160, (300, 400), dtype=np.uint8)
    return photo_set(
        tmp_path,
        [
            ("bars.png", "Code128", on_paper(bars(DIN), 560, 200), DIN),
            ("dots.png", "DataMatrix", on_paper(matrix(COMPOUND), 300, 300), COMPOUND),
            ("grain.png", "none", noise, ""),
        ],
    )


def told(capsys: pytest.CaptureFixture[str]) -> dict:
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.requirement("F-004")
def test_each_symbology_is_told_beside_each_engine_alone(
    small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = bench(["labels", "--data", str(small_set), "--json"])

    line = told(capsys)
    assert status == 0
    assert (line["complete"], line["photos"], line["views"]) == (True, 3, 12)
    assert line["views_with_a_confirmed_wrong_read"] == 0
    assert 0 < line["first_look_median_ms"] < 1000
    linear, dots = line["symbologies"]["Code128"], line["symbologies"]["DataMatrix"]
    assert {"cellwright", "zxing_cpp_alone", "pyzbar_alone"} <= set(linear)
    assert linear["cellwright"]["decoded_percent"] == linear["cellwright"]["confirmed_percent"] == 100
    assert linear["cellwright"]["confirmed_of_decoded_percent"] == 100
    assert dots["cellwright"]["confirmed_percent"] == 100 and "pyzbar_alone" not in dots
    assert all(linear[reader]["median_ms"] > 0 for reader in ("cellwright", "zxing_cpp_alone"))
    assert line["no_readable_symbol"]["views"] == line["no_readable_symbol"]["empty_frames"] == 4
    assert line["no_readable_symbol"]["empty_p95_ms"] >= line["no_readable_symbol"]["empty_median_ms"] > 0


def test_a_confirmed_read_that_no_photo_says_is_counted_and_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = on_paper(bars(DIN), 560, 200)
    folder = photo_set(tmp_path, [("a.png", "Code128", scene, OTHER_DIN), ("b.png", "none", scene, "")])

    status = bench(["labels", "--data", str(folder), "--json"])

    line = told(capsys)
    assert status == 1
    assert line["views_with_a_confirmed_wrong_read"] == 8
    assert line["symbologies"]["Code128"]["cellwright"]["decoded_percent"] == 0
    assert line["no_readable_symbol"]["views_with_a_confirmed_read"] == 4


def test_an_interrupted_run_tells_what_was_measured(
    small_set: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = iter(range(6))

    def read(gray: np.ndarray, budget_ms: float = 0.0) -> object:
        if next(taken) == 5:
            raise KeyboardInterrupt
        return read_symbols(gray, budget_ms=budget_ms)

    monkeypatch.setattr("vision.labels.bench_run.read_symbols", read)

    status = bench(["labels", "--data", str(small_set), "--json"])

    line = told(capsys)
    assert status == 130
    assert line["complete"] is False
    # The first of the six was to load the engines.
    assert line["symbologies"]["Code128"]["cellwright"]["views"] == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("", "no column file, symbology, expected_hex"),
        ("file,symbology\n", "no column expected_hex"),
        (HEAD, "names 0 pictures"),
        (HEAD + "img/bars.png,Code128,,3g,,,,,\n", "line 2: '3g' is no hex"),
        (HEAD + "img/bars.png,Code128,,,,,,,\n", "line 2: expected_hex is empty"),
        (HEAD + "img/bars.png,,,3d,,,,,\n", "line 2: file or symbology is empty"),
        (HEAD + "img/gone.png,Code128,,3d,,,,,\n", "gone.png is not there"),
        (HEAD + "img/bars.png\n", "file or symbology is empty"),
    ],
)
def test_a_set_that_cannot_be_measured_is_refused_in_words(
    small_set: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: str
) -> None:
    (small_set / "manifest.csv").unlink() if text is None else (small_set / "manifest.csv").write_text(text)

    assert bench(["labels", "--data", str(small_set)]) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_picture_is_named_and_the_others_are_measured(
    small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_set / "img" / "dots.png").write_text("Dear reader")

    status = bench(["labels", "--data", str(small_set)])

    out = capsys.readouterr()
    assert status == 2
    assert "dots.png cannot be read as a picture" in out.err
    assert "Code128" in out.out and "Confirmed wrong reads: 0 of 8 views." in out.out


@pytest.mark.parametrize("arguments", [[], ["bars"], ["labels", "--budget-ms", "-1"]])
def test_wrong_usage_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench(arguments)

    assert ended.value.code == 2
