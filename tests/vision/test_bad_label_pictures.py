"""Bad pictures on the way to the label reader: refused or read as nothing, in bounded time and memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bad_pictures import write_all
from label_scenes import DIN, bars, on_paper
from PIL import Image

from vision.labels.scan_result import scan_file

ROOT = Path(__file__).parents[2]
ADDRESS_SPACE_BYTES = 2_500_000_000
SCAN_ALL_IN_BOUNDS = """
import json, resource, sys, time
from vision.labels.scan_result import scan_file
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in json.load(sys.stdin):
    began = time.process_time()
    line = scan_file(path, budget_ms=1000)
    grown_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb
    print(json.dumps([path, line["reasons"], len(line["symbols"]), time.process_time() - began, grown_kb]))
"""


@pytest.mark.requirement("F-004")
def test_bad_files_give_no_symbol_in_bounded_time_and_memory(tmp_path: Path) -> None:
    paths = [str(path) for path in write_all(tmp_path)]

    done = subprocess.run(
        [sys.executable, "-c", SCAN_ALL_IN_BOUNDS, str(ADDRESS_SPACE_BYTES)],
        input=json.dumps(paths),
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [path for path, *_ in told] == paths
    assert all(symbols == 0 and reasons for _, reasons, symbols, _, _ in told)
    assert max(seconds for *_, seconds, _ in told) < 5
    assert max(grown_kb for *_, grown_kb in told) < 400_000
    unreadable = {Path(path).name for path, reasons, *_ in told if reasons == ["unreadable_file"]}
    for name in (
        "pipe.png",
        "to_zeros.png",
        "zero",
        "huge.png",
        "short.png",
        "empty.png",
        "script.png",
        "loop.png",
    ):
        assert name in unreadable


def label(kind: str, path: Path) -> Path:
    """Write one label's picture in another packing."""
    gray = on_paper(bars(DIN), 640, 300)
    grey = Image.fromarray(gray)
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = np.zeros((*gray.shape, 4), np.uint8)
    clear[..., 3] = np.where(gray < 100, 255, 0)
    pictures: dict[str, tuple[Image.Image, dict[str, object]]] = {
        "16 bit.png": (Image.fromarray(gray.astype(np.uint16) * 257), {}),
        "12 of 16 bit.tif": (Image.fromarray(gray.astype(np.uint16) * 16), {}),
        "cmyk.jpg": (grey.convert("CMYK"), {}),
        "palette.png": (grey.convert("P"), {}),
        "two levels.png": (grey.convert("1"), {}),
        "moving.gif": (grey, {"save_all": True, "append_images": [Image.new("L", grey.size, 90)]}),
        "turned.jpg": (Image.fromarray(np.ascontiguousarray(np.rot90(gray))), {"exif": turned}),
        "clear.png": (Image.fromarray(clear), {}),
    }
    picture, options = pictures[kind]
    picture.save(path / kind, **options)
    return path / kind


@pytest.mark.parametrize(
    "kind",
    [
        "16 bit.png", "12 of 16 bit.tif", "cmyk.jpg", "palette.png", "two levels.png", "moving.gif",
        "turned.jpg", "clear.png",
    ],
)  # fmt: skip
def test_a_label_reads_whatever_its_picture_is_packed_as(kind: str, tmp_path: Path) -> None:
    line = scan_file(str(label(kind, tmp_path)), ("code128",), budget_ms=60_000)

    (symbol,) = line["symbols"]  # type: ignore[misc]
    assert (symbol["text"], symbol["confirmed"]) == (DIN, True)
    left, right = symbol["position"][0][0], symbol["position"][1][0]
    assert left < right, "the picture stands as it was held"
