"""The command's contract: one line a path, in order, with verdict and exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vision.counting.count_command import count

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
GOOD = [str(path) for path in sorted(PATCHES.glob("*.png"))[:3]]
SCALED = ["--object-diameter-px", "20"]


def _lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_each_path_gets_exactly_one_line_in_the_order_given(capsys, tmp_path):
    (tmp_path / "no picture.png").write_text("no picture")
    paths = [GOOD[1], str(tmp_path / "no picture.png"), GOOD[0], str(tmp_path / "missing.png"), GOOD[1]]

    status = count([*paths, "--method", "trypan-blue", "--json", *SCALED])

    lines = _lines(capsys)
    assert [line["image"] for line in lines] == paths
    assert [line["verdict"] for line in lines] == ["counted", "refused", "counted", "refused", "counted"]
    assert lines[1]["reasons"] == ["unreadable"]
    assert lines[0]["cells"] == lines[4]["cells"]
    assert status == 2


def test_a_line_holds_all_that_was_promised(capsys):
    assert count([GOOD[0], "--method", "trypan-blue", "--json", *SCALED]) == 0

    (line,) = _lines(capsys)
    assert {
        "image",
        "verdict",
        "reasons",
        "live",
        "dead",
        "viability_percent",
        "viability_interval_percent",
        "cells",
        "elapsed_ms",
    } <= set(line)
    low, high = line["viability_interval_percent"]
    assert low <= line["viability_percent"] <= high
    assert line["elapsed_ms"] > 0
    for cell in line["cells"]:
        assert set(cell) == {"x", "y", "radius", "class", "included"}
        assert cell["class"] in ("live", "dead", "unclassified")
    assert line["live"] == sum(c["class"] == "live" and c["included"] for c in line["cells"])


def test_a_path_is_written_as_it_was_given(capsys, monkeypatch):
    monkeypatch.chdir(PATCHES)

    count(["./" + Path(GOOD[0]).name, "--json", *SCALED])

    assert _lines(capsys)[0]["image"] == "./" + Path(GOOD[0]).name


def test_without_a_scale_the_status_is_1_and_the_cells_are_listed(capsys):
    status = count([GOOD[0], "--json"])

    (line,) = _lines(capsys)
    assert (status, line["verdict"], line["reasons"]) == (1, "repeat", ["unknown_scale"])
    assert line["cells"]


def test_allow_unscaled_counts_and_ends_well(capsys):
    assert count([*GOOD, "--json", "--allow-unscaled"]) == 0

    assert all(line["verdict"] == "counted" for line in _lines(capsys))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        ["--json"],
        [GOOD[0], "--method", "guess"],
        [GOOD[0], "--object-diameter-px", "-3"],
        [GOOD[0], "--um-per-px", "9"],
    ],
)
def test_wrong_use_ends_with_2_and_says_nothing_on_stdout(capsys, wrong):
    assert count(wrong) == 2

    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err


def test_people_get_a_table_with_words_for_what_to_do(capsys):
    count([GOOD[0], "missing.png"])

    text = capsys.readouterr().out
    assert "viability, 95 % interval" in text
    assert "The scale is not known." in text
    assert "Take it again." in text


def test_overlays_show_every_kind_of_mark_and_keep_same_names_apart(capsys, tmp_path):
    assert count([GOOD[0], GOOD[0], "--overlay", str(tmp_path / "marked"), "--json", *SCALED]) == 0

    written = sorted((tmp_path / "marked").iterdir())
    assert len(written) == 2
    with Image.open(written[0]) as picture:
        assert picture.mode == "RGB"


def test_the_command_runs_as_its_own_process_and_keeps_stdout_clean():
    code = "import sys; import vision.counting.count_command; "
    code += "print([m for m in ('cv2', 'numba', 'numpy') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("further", [["qualify", "--help"], ["cards", "nuclei"]])
def test_qualify_and_cards_are_commands_of_their_own(capsys, further):
    assert count(further) == 0

    assert capsys.readouterr().out
