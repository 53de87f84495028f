"""Our own labels on bags, harmed in ways that bags harm them: how many are read, and is any read wrong.

    python tests/bench/bench_bag_labels.py [--views N] [--frames N] [--seed N] [--harm NAME …] [--harsher]

A view is a label held up for some frames. It is read when one of its symbols is confirmed and the others
agree or are unreadable. A confirmed payload that is not on the label is a wrong accept. One JSON object a
harm on stdout, then one for all, with the upper 95 % bound of a wrong accept a frame (rule of three).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import cv2
import numpy as np

from vision.labels.bag_scenes import HARSHER, MUST_STAND, Harm, view_of
from vision.labels.live_reading import LiveReading
from vision.labels.live_scan import LIVE_BUDGET_MS
from vision.labels.symbols import read_symbols

FORMATS = ("code128", "datamatrix")


@dataclass
class Tally:
    """What came of the views of one harm."""

    views: int = 0
    read: int = 0
    frames: int = 0
    frames_with_a_read: int = 0
    wrong_reads: int = 0
    wrong_accepts: int = 0
    frames_to_read: list[int] = field(default_factory=list)
    took_ms: list[float] = field(default_factory=list)
    unread_seeds: list[int] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take the counts of other views in."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def line(self) -> dict[str, object]:
        """Return the figures for people and for other programs."""
        median, p95 = np.percentile(self.took_ms or [0.0], [50, 95])
        return {
            "views": self.views,
            "read_percent": round(100 * self.read / max(1, self.views), 2),
            "frames": self.frames,
            "frames_with_a_read": self.frames_with_a_read,
            "wrong_reads_unconfirmed": self.wrong_reads,
            "wrong_accepts": self.wrong_accepts,
            "frames_to_read_mean": round(float(np.mean(self.frames_to_read or [0])), 2),
            "frame_ms_median": round(float(median), 1),
            "frame_ms_p95": round(float(p95), 1),
            "unread_seeds": self.unread_seeds[:20],
        }


def held_up(seed: int, harm: Harm, level: float, frames: int) -> Tally:
    """Hold one label up and look at it frame by frame until it is read."""
    view = view_of(seed, harm, level)
    told, live = Tally(views=1), LiveReading()
    for number, gray in enumerate(view.frames(frames), start=1):
        began = time.perf_counter()
        judged = live.add(gray, read_symbols(gray, FORMATS, LIVE_BUDGET_MS))
        told.took_ms.append(1000 * (time.perf_counter() - began))
        told.frames += 1
        told.frames_with_a_read += bool(judged.symbols)
        wrong = [each for each in judged.symbols if each.text not in view.label.payloads]
        told.wrong_reads += sum(not each.confirmed for each in wrong)
        told.wrong_accepts += sum(each.confirmed for each in wrong)
        if not wrong and any(each.confirmed for each in judged.symbols):
            told.read = 1
            told.frames_to_read.append(number)
            break
    if not told.read:
        told.unread_seeds.append(seed)
    return told


def measured(harm: Harm, level: float, seeds: range, frames: int) -> Tally:
    """Look at all views of one harm."""
    cv2.setNumThreads(1)
    tally = Tally()
    for seed in seeds:
        tally.add(held_up(seed, harm, level, frames))
    return tally


def main() -> int:
    """Print the table; 1 when anything was accepted that no label says."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--views", type=int, default=400, help="of each harm (default: 400)")
    parser.add_argument("--frames", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--harm", nargs="*", default=[])
    parser.add_argument("--harsher", action="store_true", help="the levels without a target")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    levels = HARSHER if options.harsher else MUST_STAND
    everything = Tally()
    with ProcessPoolExecutor(options.processes) as pool:
        for harm, level in levels.items():
            if options.harm and harm not in options.harm:
                continue
            step = -(-options.views // max(1, 4 * options.processes))
            ends = options.seed + options.views
            parts = [range(start, min(start + step, ends)) for start in range(options.seed, ends, step)]
            jobs = [pool.submit(measured, harm, level, part, options.frames) for part in parts]
            tally = Tally()
            for job in jobs:
                tally.add(job.result())
            everything.add(tally)
            print(
                json.dumps({"bench": "bag labels", "harm": harm, "level": level, **tally.line()}), flush=True
            )
    bound = 3 / everything.frames_with_a_read if everything.frames_with_a_read else 1.0
    print(
        json.dumps(
            {
                "bench": "bag labels",
                "harm": "all",
                **everything.line(),
                "wrong_accept_a_read_frame_upper_95": None if everything.wrong_accepts else round(bound, 7),
            }
        )
    )
    return 1 if everything.wrong_accepts else 0


if __name__ == "__main__":
    sys.exit(main())
