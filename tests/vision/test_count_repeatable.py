"""One picture, one result: whatever the threads, the order or the process."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import pytest

from vision.counting.count_images import count_file, count_files
from vision.counting.method import Scale
from vision.counting.methods import identity
from vision.counting.results import without_elapsed

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
SOME = sorted(PATCHES.glob("*.png"))[:12]
SCALE = Scale(um_per_px=0.6)


@pytest.mark.requirement("F-042")
def test_the_result_is_the_same_to_the_last_bit_at_any_number_of_threads():
    before = cv2.getNumThreads()
    try:
        by_threads = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            by_threads.append([without_elapsed(count_file(path, scale=SCALE)) for path in SOME])
    finally:
        cv2.setNumThreads(before)
    with ThreadPoolExecutor(4) as pool:
        at_once = [without_elapsed(r) for r in pool.map(lambda path: count_file(path, scale=SCALE), SOME)]

    assert by_threads[0] == by_threads[1] == by_threads[2] == at_once


@pytest.mark.requirement("F-042")
def test_another_process_gives_the_same_cells_and_the_same_method():
    code = (
        "import json,sys;from pathlib import Path;from vision.counting.count_images import *;"
        "from vision.counting.methods import identity;"
        "print(json.dumps([count_file(Path(sys.argv[1]),scale=Scale(um_per_px=0.6)).line()['cells'],identity('trypan-blue')]))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(SOME[0])], capture_output=True, text=True, check=True, timeout=60
    )

    cells, card = json.loads(answer.stdout)

    assert cells == count_file(SOME[0], scale=SCALE).line()["cells"]
    assert card == identity("trypan-blue")


def test_the_method_is_named_by_the_hash_of_its_code_and_weights():
    card = identity("trypan-blue")

    assert card["id"] == "trypan-blue"
    assert len(bytes.fromhex(card["hash"])) == 32


def test_progress_is_told_after_each_field_and_ends_at_one():
    told: list[float] = []

    count_files(SOME[:4], um_per_px=0.6, on_progress=told.append)

    assert told == [0.25, 0.5, 0.75, 1.0]


def test_the_record_gets_decimal_strings_and_no_floats():
    message = count_files(SOME, um_per_px=0.6, field_depth_um=100.0, dilution=2.0).message()

    def floats(value: object) -> list[float]:
        if isinstance(value, dict):
            return [f for v in value.values() for f in floats(v)]
        if isinstance(value, list):
            return [f for v in value for f in floats(v)]
        return [value] if isinstance(value, float) else []

    assert floats(message) == []
    pooled = message["pooled"]
    low, high = (float(v) for v in pooled["concentration_interval_cells_ml"])
    assert low < float(pooled["concentration_cells_ml"]) < high
    assert all("cells" not in image for image in message["images"])
