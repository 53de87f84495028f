"""How fast the counting methods are, what they move, and what memory they need; peers on the same pixels.

    python tests/bench/bench_count_speed.py [METHOD…]

One thread, warm, a field of 4 megapixels laid together from pictures of the shared sets (or their committed
parts; drawn nuclei where there are none). Times are processor time, the least of several rounds, so that
whoever else is busy does not count. GB/s is the pictures' own bytes, read once, over the time, beside what
`numpy.copyto` moves in the same run: it says how many passes over memory a method is worth. Memory is the
peak above the picture itself, in bytes a pixel, of a process of its own. Stages are from a profile of one
round. One JSON line a method, and one for the cold start of a count.
"""

from __future__ import annotations

import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import bench_count
import count_methods
import count_peers
import cv2
import numpy as np

from vision.counting import frame_quality
from vision.counting.method import Method, Scale
from vision.counting.methods import METHODS, method_named
from vision.counting.training import two_channel_mixes
from vision.picture_file import FieldPicture, read_grey

SIDE_PX = 2048
ROUNDS = 5
STAGES_SHOWN = 14
SCALES = {
    "trypan-blue": Scale(object_diameter_px=20.0),
    "nuclei": Scale(object_diameter_px=22.0),
    "live-dead": Scale(object_diameter_px=24.0),
}


def laid_together(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Fill a square field with pictures of one size, again from the first when they are used up."""
    height, width = pictures[0].shape
    rows, columns = -(-SIDE_PX // height), -(-SIDE_PX // width)
    turns = [pictures[k % len(pictures)] for k in range(rows * columns)]
    whole = np.vstack([np.hstack(turns[columns * r : columns * (r + 1)]) for r in range(rows)])
    return np.ascontiguousarray(whole[:SIDE_PX, :SIDE_PX], np.float32)


def brightfield_field() -> np.ndarray:
    """Lay trypan-blue patches together, each brought to one brightness: a field has one lamp."""
    folder = bench_count.folder_of("ldc_trypan")
    assert folder is not None, "some patches are committed"
    inside = folder / "images" if (folder / "images").is_dir() else folder
    greys = [read_grey(path).grey for path in sorted(inside.glob("*.png"))[:120]]
    patches = [cv2.resize(g * np.float32(110 / np.median(g)), (204, 204)).astype(np.float32) for g in greys]
    return np.clip(laid_together(patches), 0, 255)


def nuclei_field() -> np.ndarray:
    """Lay the largest pictures of nuclei together."""
    folder = bench_count.folder_of("dsb2018_fluo")
    if folder is None:
        return two_channel_mixes.drawn_nuclei(SIDE_PX, 2500, 12, np.random.default_rng(1)).light
    inside = folder / "images" if (folder / "images").is_dir() else folder
    greys = [read_grey(path).grey for path in sorted(inside.glob("*.png"))]
    largest = max(grey.shape for grey in greys)
    return laid_together([grey for grey in greys if grey.shape == largest])


def two_channels() -> list[np.ndarray]:
    """Mix two channels of drawn nuclei."""
    rng = np.random.default_rng(2)
    part = two_channel_mixes.drawn_nuclei(SIDE_PX // 2, 350, 12, rng)
    staining = two_channel_mixes.Staining(live_share=0.8, bleed_a_to_b=0.15, shift_px=(1.5, -1.0))
    mix = two_channel_mixes.mixed(two_channel_mixes.joined([part] * 4, 2), staining, rng)
    return [mix.a, mix.b]


def pictures_for(name: str) -> list[FieldPicture]:
    """Return the field that a method is timed on."""
    fields = {
        "trypan-blue": lambda: [brightfield_field()],
        "nuclei": lambda: [nuclei_field()],
        "live-dead": two_channels,
    }
    return [FieldPicture(grey, 8, 0.0) for grey in fields[name]()]


def least_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the least processor time of several rounds after one that warms."""
    work()
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best


def counted(method: Method, pictures: Sequence[FieldPicture]) -> None:
    """Count a field and judge it, as a result needs both."""
    count_methods.reasons_of(method, pictures, SCALES[method.id])


def stages(method: Method, pictures: Sequence[FieldPicture]) -> dict[str, float]:
    """Return where the time goes: functions of this project and of OpenCV by their own time, in ms."""
    profile = cProfile.Profile()
    profile.runcall(counted, method, pictures)
    own: dict[str, float] = {}
    for (file, _, name), (_, _, own_s, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        place = name if file == "~" else f"{Path(file).stem}.{name}"
        own[place] = own.get(place, 0.0) + 1000 * own_s
    ranked = sorted(own.items(), key=lambda item: -item[1])[:STAGES_SHOWN]
    return {place: round(ms, 1) for place, ms in ranked}


def peers_ms_mp(name: str, grey: np.ndarray) -> dict[str, float]:
    """Time the peers on a quarter of the same field, with the middle one of their knobs, once."""
    finders = count_peers.cell_finders() if name == "trypan-blue" else count_peers.nuclei_maskers()
    part = np.ascontiguousarray(grey[: SIDE_PX // 2, : SIDE_PX // 2])
    found = {}
    for peer, alternatives in finders.items():
        began = time.process_time()
        alternatives[len(alternatives) // 2](part)
        found[peer] = round(1000 * (time.process_time() - began) / (part.size / 1e6), 1)
    return found


def memory_bytes_a_pixel(name: str) -> float:
    """Measure the peak above the pictures in a process of its own, which counts the field once, warm."""
    program = f"import bench_count_speed; bench_count_speed.tell_memory({name!r})"
    return float(_in_a_process(program).split()[-1])


def _in_a_process(program: str) -> str:
    """Run a program in a fresh interpreter, here, with this project to import from; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(bench_count.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def tell_memory(name: str) -> None:
    """Print the peak above the pictures, in bytes a pixel."""
    cv2.setNumThreads(1)
    method, pictures = method_named(name), pictures_for(name)
    method.warm()
    small = [FieldPicture(p.grey[:256, :256].copy(), 8, 0.0) for p in pictures]
    counted(method, small)
    # The peak so far came from laying the field together: it is set back, so that only the count is seen.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _status_kb("VmRSS")
    counted(method, pictures)
    print((_status_kb("VmHWM") - before) * 1024 / pictures[0].grey.size)


def _status_kb(key: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def of_method(name: str) -> dict[str, Any]:
    """Time one method."""
    method, pictures = method_named(name), pictures_for(name)
    began = time.perf_counter()
    method.warm()
    warm_s = time.perf_counter() - began
    pixels = pictures[0].grey.size
    copy = np.empty_like(pictures[0].grey)
    copy_s = least_s(lambda: np.copyto(copy, pictures[0].grey), 20)
    find_s = least_s(lambda: method.find(pictures, SCALES[name]))
    whole_s = least_s(lambda: counted(method, pictures))
    finding = method.find(pictures, SCALES[name])
    judge_s = least_s(lambda: frame_quality.judge(method.id, pictures, finding, SCALES[name]))
    read = sum(picture.grey.nbytes for picture in pictures)
    return {
        "megapixels": round(pixels / 1e6, 2),
        "cells": len(finding.cells),
        "find_ms_mp": round(1000 * find_s / (pixels / 1e6), 1),
        "judge_ms_mp": round(1000 * judge_s / (pixels / 1e6), 1),
        "whole_ms_mp": round(1000 * whole_s / (pixels / 1e6), 1),
        "gb_s": round(read / whole_s / 1e9, 3),
        "copyto_gb_s": round(2 * copy.nbytes / copy_s / 1e9, 1),
        "passes_worth": round(whole_s / copy_s),
        "memory_bytes_a_pixel": round(memory_bytes_a_pixel(name), 1),
        "warm_s": round(warm_s, 2),
        "stages_ms": stages(method, pictures),
        "peers_ms_mp": peers_ms_mp(name, pictures[0].grey),
    }


def cold_start_s() -> float:
    """Time a fresh process from nothing to the first count of a small field by the usual method."""
    program = (
        "import bench_count_speed as b; m = b.method_named('trypan-blue'); "
        "b.counted(m, [b.FieldPicture(b.brightfield_field()[:512, :512].copy(), 8, 0.0)])"
    )
    began = time.perf_counter()
    _in_a_process(program)
    return round(time.perf_counter() - began, 2)


def main() -> int:
    """Time every method that was named, or all."""
    cv2.setNumThreads(1)
    if not count_peers.HAS_SKIMAGE:
        print("scikit-image is not installed: its peers are left out.", file=sys.stderr)
    for name in sys.argv[1:] or METHODS:
        print(json.dumps({"bench": "count_speed", "method": name, **of_method(name)}), flush=True)
    print(json.dumps({"bench": "count_speed", "first_count_in_a_new_process_s": cold_start_s()}), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
