"""How long the vision worker takes to be ready, what its first count costs, and what memory it needs.

    python tests/bench/bench_count_start.py [--rounds N]

For each set of methods that a station may ask for: the start from an empty folder of kernels, the start
from a filled one, the first count of a 4 MP field beside the later ones, and the memory that a pixel needs,
picture included: peak of a 9 MP field less peak of a 4 MP one, by the pixels between them. Times are wall
clock and the least of the rounds; processor time stands beside them, for a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PATCHES = Path(__file__).parents[1] / "data" / "vision" / "ldc_trypan"
# What is loaded before the worker says ready, and what counts.
SETS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("trypan-blue",), "trypan-blue"),
    (("nuclei",), "nuclei"),
    (("trypan-blue", "nuclei", "live-dead", "ruling"), "trypan-blue"),
)
SIDE_PX, WIDE_PX = 2000, 3000
LATER_COUNTS = 4
TICKS_S = 1 / os.sysconf("SC_CLK_TCK")


class Worker:
    """A worker with its kernels in a folder of its own; `ready_s` is its start in wall clock."""

    def __init__(self, methods: tuple[str, ...], kernels: Path) -> None:
        began = time.perf_counter()
        self.child = subprocess.Popen(
            [sys.executable, "-m", "vision.worker", *methods],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "NUMBA_CACHE_DIR": str(kernels)},
        )
        assert self.child.stdout is not None
        assert json.loads(self.child.stdout.readline())["ready"] is True
        self.ready_s = time.perf_counter() - began

    def processor_s(self) -> float:
        """Return the processor time that the worker has used."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICKS_S

    def peak_bytes(self) -> int:
        """Return the most memory that the worker held since the last `forget_peak`."""
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024

    def forget_peak(self) -> None:
        """Let the peak begin anew at what is held now."""
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")

    def count(self, fields: list[Any], method: str) -> tuple[float, float]:
        """Count and return wall clock and processor time, in seconds."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        request = {"id": 1, "op": "count", "images": fields, "method": method, "um_per_px": "0.6"}
        began, used = time.perf_counter(), self.processor_s()
        self.child.stdin.write(json.dumps(request | {"field_depth_um": "100"}).encode() + b"\n")
        self.child.stdin.flush()
        answer = {"progress": 0}
        while "progress" in answer:
            answer = json.loads(self.child.stdout.readline())
        assert answer["ok"], answer
        return time.perf_counter() - began, self.processor_s() - used

    def end(self) -> None:
        """Let the worker go."""
        self.child.kill()
        self.child.wait()


def large_field(folder: Path, side_px: int) -> str:
    """Lay the committed patches side by side to one square field, each on one brightness."""
    greys = [np.asarray(Image.open(path).convert("L"), np.float32) for path in sorted(PATCHES.glob("*.png"))]
    whole = [grey[:200, :200] * (100 / np.median(grey)) for grey in greys if min(grey.shape) >= 200]
    across = side_px // 200
    rows = [
        np.hstack([whole[(row * across + column) % len(whole)] for column in range(across)])
        for row in range(across)
    ]
    path = folder / f"field-{side_px}.png"
    Image.fromarray(np.clip(np.vstack(rows), 0, 255).astype(np.uint8)).save(path)
    return str(path)


def measured(methods: tuple[str, ...], counting: str, rounds: int, folder: Path) -> dict[str, float]:
    """Measure one set of methods loaded, and one of them counting."""
    kernels = folder / "-".join((*methods, counting))
    first_ever = Worker(methods, kernels)
    cold = {"cold_s": first_ever.ready_s, "cold_processor_s": first_ever.processor_s()}
    first_ever.end()
    field, wide = [large_field(folder, SIDE_PX)], [large_field(folder, WIDE_PX)]
    rows: list[dict[str, float]] = []
    for _ in range(rounds):
        worker = Worker(methods, kernels)
        row = {"warm_s": worker.ready_s, "warm_processor_s": worker.processor_s()}
        row["first_s"], row["first_processor_s"] = worker.count(field, counting)
        later = [worker.count(field, counting) for _ in range(LATER_COUNTS)]
        row["later_s"], row["later_processor_s"] = (min(each) for each in zip(*later, strict=True))
        worker.forget_peak()
        worker.count(field, counting)
        peak = worker.peak_bytes()
        worker.count(wide, counting)
        row["bytes_a_pixel"] = (worker.peak_bytes() - peak) / (WIDE_PX**2 - SIDE_PX**2)
        rows.append(row)
        worker.end()
    least = {name: min(row[name] for row in rows) for name in rows[0]}
    least["bytes_a_pixel"] = max(row["bytes_a_pixel"] for row in rows)
    least["first_over_later"] = min(row["first_processor_s"] / row["later_processor_s"] for row in rows)
    return {name: round(value, 2) for name, value in (cold | least).items()}


def main() -> int:
    """Measure each set of methods and print a JSON line for it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        for methods, counting in SETS:
            row = measured(methods, counting, rounds, Path(folder))
            print(json.dumps({"loaded": " ".join(methods), "counted_by": counting, **row}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
