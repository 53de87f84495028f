"""What a run leaves behind: labels, tables, a page, a pooled line; and what happens when it cannot."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vision.counting import count_command, count_run, output_files, report_page
from vision.counting.count_command import count
from vision.counting.count_images import CountedField
from vision.counting.frame_quality import Quality
from vision.counting.method import Cell

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
SOME = [str(path) for path in sorted(PATCHES.glob("*.png"))]
SCALED = ["--um-per-px", "0.6"]
MANY = 30


def _lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(scope="module")
def field(tmp_path_factory) -> Path:
    """One field of 3 x 3 patches, each on one brightness: a field has one lamp."""
    greys = [np.asarray(Image.open(path).convert("L"), np.float32) for path in SOME[:40]]
    whole = [grey[:200, :200] * (100 / np.median(grey)) for grey in greys if min(grey.shape) >= 200][:9]
    path = tmp_path_factory.mktemp("field") / "field.png"
    rows = [np.hstack(whole[3 * row : 3 * row + 3]) for row in range(3)]
    Image.fromarray(np.clip(np.vstack(rows), 0, 255).astype(np.uint8)).save(path)
    return path


@pytest.mark.requirement("F-040", "F-042")
def test_a_line_names_scale_method_total_and_what_its_interval_is_made_of(capsys, field):
    assert count([str(field), "--json", *SCALED, "--chamber", "neubauer-improved", "--dilution", "2"]) == 0

    (line,) = _lines(capsys)
    assert line["um_per_px"] == 0.6
    assert set(line["method"]) == {"id", "version", "hash"}
    assert line["total"] == sum(cell["included"] for cell in line["cells"])
    low, high = line["concentration_interval_cells_ml"]
    assert low < line["concentration_cells_ml"] < high
    assert {part["of"] for part in line["uncertainty"]["components"]} == {"concentration", "viability"}
    assert line["quality"]


def test_dilution_multiplies_the_concentration_and_no_chamber_means_none(capsys, field):
    chamber = ["--chamber", "Improved Neubauer"]
    count([str(field), "--json", *SCALED, *chamber])
    count([str(field), "--json", *SCALED, *chamber, "--dilution", "2.5"])
    count([str(field), "--json", *SCALED])

    plain, diluted, no_chamber = _lines(capsys)
    assert diluted["concentration_cells_ml"] == pytest.approx(2.5 * plain["concentration_cells_ml"], rel=1e-4)
    assert no_chamber["concentration_cells_ml"] is None


def test_label_pictures_are_16_bit_numbered_as_the_cells_and_of_the_pictures_size(capsys, tmp_path, field):
    assert count([str(field), "--json", *SCALED, "--labels", str(tmp_path / "new" / "labels")]) == 0

    (line,) = _lines(capsys)
    labels = cv2.imread(str(tmp_path / "new" / "labels" / "field.png"), cv2.IMREAD_UNCHANGED)
    assert (labels.dtype, labels.shape) == (np.uint16, (600, 600))
    assert set(np.unique(labels)) == set(range(len(line["cells"]) + 1))
    for number, cell in enumerate(line["cells"], start=1):
        ys, xs = np.nonzero(labels == number)
        assert np.hypot(xs - cell["x"], ys - cell["y"]).max() <= cell["radius"] + 1


def test_where_two_cells_overlap_each_pixel_goes_to_the_nearer_one():
    cells = [Cell(20, 20, 10, "live", 1, 1), Cell(30, 20, 10, "live", 1, 1), Cell(3, 59, 8, "dead", 1, 1)]

    labels = output_files.discs(cells, (60, 60))

    assert (labels[20, 22], labels[20, 28]) == (1, 2)
    assert labels[59, 3] == 3
    assert labels[40, 40] == 0


def test_more_objects_than_16_bits_number_are_told_and_not_wrapped():
    with pytest.raises(output_files.TooManyObjects, match="65536 objects"):
        output_files.label_png(np.arange(65_537, dtype=np.int32).reshape(1, -1))


def test_the_table_has_a_row_a_cell_with_micrometres_where_the_scale_is_known(capsys, tmp_path):
    count([SOME[0], "--json", *SCALED, "--csv", str(tmp_path / "scaled")])
    count([SOME[0], "--json", "--allow-unscaled", "--csv", str(tmp_path / "unscaled")])

    lines = _lines(capsys)
    tables = []
    for folder in ("scaled", "unscaled"):
        with (tmp_path / folder / f"{Path(SOME[0]).stem}.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert [len(table) for table in tables] == [len(line["cells"]) for line in lines]
    for row, cell in zip(tables[0], lines[0]["cells"], strict=True):
        assert float(row["x_px"]) == cell["x"]
        assert float(row["radius_um"]) == pytest.approx(0.6 * cell["radius"], abs=1e-3)
        assert (row["class"], row["included"]) == (cell["class"], str(cell["included"]).lower())
    assert {row["x_um"] for row in tables[1]} == {""}


def test_pooling_ends_with_one_line_for_the_specimen(capsys):
    assert count([*SOME[:MANY], "--json", *SCALED, "--chamber", "neubauer-improved", "--pool"]) in (0, 1)

    *images, pooled = _lines(capsys)
    counted = [image for image in images if image["verdict"] == "counted"]
    assert (pooled["image"], pooled["pooled"]) == (None, True)
    assert len(images) == MANY
    for key in ("total", "live", "dead", "unclassified"):
        assert pooled[key] == sum(image[key] for image in counted)
    assert pooled["fields"] == len(counted)
    assert pooled["viability_interval_percent"][0] < pooled["viability_percent"]


def test_a_thin_specimen_says_how_many_more_fields_it_needs(capsys):
    assert count([*SOME[:3], *SCALED, "--pool"]) == 1

    assert re.search(r"Take \d+ more fields", capsys.readouterr().out)


def test_two_pictures_of_one_name_never_write_over_each_other(capsys, tmp_path):
    for folder in ("monday", "tuesday"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "field.png").write_bytes(Path(SOME[0]).read_bytes())
    both = [str(tmp_path / folder / "field.png") for folder in ("monday", "tuesday")]

    assert count([*both, *SCALED, "--labels", str(tmp_path / "out")]) == 2

    printed = capsys.readouterr()
    assert "would both be written" in printed.err
    assert printed.out == ""


@pytest.mark.parametrize("wrong", [["--labels", "."], ["--report", "field.png"]])
def test_a_picture_to_count_is_never_written_over(capsys, tmp_path, monkeypatch, wrong):
    monkeypatch.chdir(tmp_path)
    original = Path(SOME[0]).read_bytes()
    Path("field.png").write_bytes(original)

    assert count(["field.png", *SCALED, *wrong]) == 2

    assert "one of the pictures to count" in capsys.readouterr().err
    assert Path("field.png").read_bytes() == original


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--chamber", "bathtub"], "neubauer-improved"),
        (["--dilution", "0.5"], "is no dilution"),
        (["--channels", SOME[0], SOME[1]], "--channels is for live-dead"),
        (["--method", "live-dead"], "two channels"),
        (["--labels", "/proc/nowhere"], "cannot be written"),
    ],
)
def test_wrong_use_is_told_in_words_before_anything_is_counted(capsys, wrong, words):
    assert count([SOME[0], *SCALED, *wrong]) == 2

    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


def test_a_disk_that_fills_up_is_told_once_and_the_counting_goes_on(capsys, tmp_path, monkeypatch):
    def full(path: Path, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(count_run.output_files, "check_folder", lambda folder: None)
    monkeypatch.setattr(Path, "write_bytes", full)

    assert count([*SOME[:3], "--json", *SCALED, "--csv", str(tmp_path / "out")]) == 2

    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert printed.err.count("No space left on device") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_results_that_cannot_be_written_end_the_run_in_words():
    code = "import sys; from vision.counting.count_command import count; "
    code += f"sys.exit(count({[*SOME[:3], *SCALED]!r}))"
    with open("/dev/full", "w") as full:  # noqa: PTH123
        run = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, timeout=60)

    assert run.returncode == 2
    assert b"No space left on device. Stopped." in run.stderr
    assert b"Traceback" not in run.stderr


def test_ctrl_c_ends_within_a_picture_and_keeps_what_was_counted(tmp_path):
    code = (
        "import sys; from vision.counting.count_command import count; "
        f"sys.exit(count([*({SOME[:20]!r} * 50), '--json', '--um-per-px', '0.6', '--pool', "
        f"'--report', {str(tmp_path / 'page.html')!r}]))"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert run.stdout is not None
    first = run.stdout.readline()

    os.kill(run.pid, signal.SIGINT)
    began = time.monotonic()
    rest, words = run.communicate(timeout=30)

    lines = [json.loads(line) for line in [first, *rest.splitlines()]]
    assert run.returncode == 130
    assert time.monotonic() - began < 10
    assert all(line["image"] for line in lines)
    assert f"stopped after {len(lines)} of 1000" in words.decode()
    assert f"Stopped by hand after {len(lines)} of 1000" in (tmp_path / "page.html").read_text()


def test_the_page_stands_alone_and_tells_all_that_a_signer_asks(capsys, tmp_path, field):
    page = tmp_path / "pages" / "count.html"

    count([str(field), "--json", *SCALED, "--chamber", "neubauer-improved", "--report", str(page)])

    (line,) = _lines(capsys)
    text = page.read_text()
    assert f"<b>{line['total']}</b>" in text
    assert f"{line['viability_percent']:.1f} %" in text
    assert line["method"]["hash"] in text
    assert text.count("<figure>") == 4
    assert "What the interval is made of" in text
    for part in line["uncertainty"]["components"]:
        assert part["name"] in text
    assert re.findall(r'(?:src|href)="(?!data:image/jpeg;base64,)', text) == []
    assert "<script" not in text


def test_a_page_of_many_pictures_shows_some_and_lists_all(capsys, tmp_path):
    page = tmp_path / "count.html"

    count([*SOME[:MANY], str(tmp_path / "mis<s>ing.png"), *SCALED, "--pool", "--report", str(page)])

    text = page.read_text()
    assert 10 <= text.count("data:image/jpeg;base64,") <= 15
    assert all(Path(path).name in text for path in SOME[:MANY])
    assert "mis&lt;s&gt;ing.png" in text
    assert "mis<s>" not in text


def test_a_long_run_keeps_numbers_and_neither_cells_nor_pictures(monkeypatch, tmp_path):
    options = count_command._parser().parse_args(
        [*SOME[:5], *SCALED, "--json", "--pool", "--report", "x.html"]
    )
    monkeypatch.chdir(tmp_path)
    run = count_run.prepared(options, [(Path(path),) for path in SOME[:5]])
    monkeypatch.setattr(count_run, "_print", lambda line: None)

    run.carry_out(SOME[:5])

    assert len(run._results) == 5
    assert all(
        result.total and not result.cells and not result.numbers.uncertainty for result in run._results
    )
    kept = run._report.__dict__.values()
    assert not any(isinstance(each, np.ndarray | CountedField) for each in kept)


def test_progress_says_how_many_are_done_and_how_long_the_rest_takes(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    progress = count_run.Progress(400)
    progress.tell(100)
    progress.clear()

    assert "100 of 400 pictures, " in capsys.readouterr().err
    assert [count_run.duration(s) for s in (7.4, 600, 36_000)] == ["7 s", "10 min", "10.0 h"]


def test_nobody_is_shown_progress_where_no_terminal_is(capsys):
    progress = count_run.Progress(400)
    progress.tell(100)
    progress.clear()

    assert capsys.readouterr().err == ""


def test_every_quality_figure_has_words_for_people():
    assert set(Quality.__slots__) <= set(report_page.QUALITY_WORDS)
