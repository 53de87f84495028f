"""Our own labels on bags, harmed in ways that bags harm them: how many are read, and is any read wrong.

    python tests/bench/bench_bag_labels.py [--views N] [--seed N] [--harm NAME …] [--met | --harsher]
    python tests/bench/bench_bag_labels.py --frames 20000 [--processes N] [--state FILE]

A view is a label held up for some frames. It is read when one of its symbols is confirmed and the others
agree or are unreadable. A confirmed payload that is not on the label is a wrong accept. One JSON object a
harm on stdout, then one for all, with the upper 95 % bound of a wrong accept a frame (rule of three).

`--frames` looks at labels of distinct seeds, one harm after another, until so many were decoded. A label
counts once, however many of its frames were read: frames of one print are no independent trials. It goes on
where the state file says that an earlier one ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from vision.labels.bag_scenes import HARSHER, MAY_MEET, MUST_STAND, Harm, view_of
from vision.labels.live_reading import LiveReading
from vision.labels.live_scan import LIVE_BUDGET_MS
from vision.labels.symbols import read_symbols

FORMATS = ("code128", "datamatrix")
FRAMES_A_VIEW = 5
SEEDS_A_PART = 50


@dataclass
class Tally:
    """What came of the views of one harm."""

    views: int = 0
    read: int = 0
    decoded: int = 0  # views of which any frame gave a read
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
            "views_decoded": self.decoded,
            "frames": self.frames,
            "frames_with_a_read": self.frames_with_a_read,
            "wrong_reads_unconfirmed": self.wrong_reads,
            "wrong_accepts": self.wrong_accepts,
            "frames_to_read_mean": round(float(np.mean(self.frames_to_read or [0])), 2),
            "frame_cpu_ms_median": round(float(median), 1),
            "frame_cpu_ms_p95": round(float(p95), 1),
            "unread_seeds": self.unread_seeds[:20],
        }


def held_up(seed: int, harm: Harm, level: float, frames: int) -> Tally:
    """Hold one label up and look at it frame by frame until it is read."""
    view = view_of(seed, harm, level)
    told, live = Tally(views=1), LiveReading()
    for number, gray in enumerate(view.frames(frames), start=1):
        # Processor time, in the budget too: a busy machine changes neither the figures nor what is read.
        began = time.process_time()
        judged = live.add(gray, read_symbols(gray, FORMATS, LIVE_BUDGET_MS, clock=time.process_time))
        told.took_ms.append(1000 * (time.process_time() - began))
        told.frames += 1
        told.frames_with_a_read += bool(judged.symbols)
        wrong = [each for each in judged.symbols if each.text not in view.label.payloads]
        told.wrong_reads += sum(not each.confirmed for each in wrong)
        told.wrong_accepts += sum(each.confirmed for each in wrong)
        if not wrong and any(each.confirmed for each in judged.symbols):
            told.read = 1
            told.frames_to_read.append(number)
            break
    told.decoded = int(told.frames_with_a_read > 0)
    if not told.read:
        told.unread_seeds.append(seed)
    return told


@dataclass
class Standing:
    """How far a long run has come, over all its parts."""

    next_seed: int = 0
    views: int = 0
    decoded: int = 0
    read: int = 0
    wrong_reads: int = 0
    wrong_accepts: int = 0
    wrong_seeds: list[int] = field(default_factory=list)
    unread: dict[str, int] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def line(self) -> dict[str, object]:
        """Return the figures for people and for other programs; the bound is of one decoded label."""
        told = asdict(self) | {"bench": "bag labels, distinct seeds"}
        bound = 3 / self.decoded if self.decoded and not self.wrong_accepts else None
        return told | {"wrong_accept_upper_95": bound and round(bound, 7)}


def harm_of(seed: int) -> tuple[Harm, float]:
    """The harms in turn: half of the labels have one that must be stood."""
    levels = MUST_STAND if seed % 2 else MAY_MEET
    return list(levels.items())[(seed // 2) % len(levels)]


def part_of(seeds: range) -> list[tuple[int, Tally]]:
    """Hold up the labels of these seeds."""
    cv2.setNumThreads(1)
    return [(seed, held_up(seed, *harm_of(seed), FRAMES_A_VIEW)) for seed in seeds]


def count_in(standing: Standing, part: list[tuple[int, Tally]]) -> None:
    """Take a part's labels into the standing."""
    for seed, told in part:
        harm = harm_of(seed)[0]
        standing.next_seed = max(standing.next_seed, seed + 1)
        standing.views += 1
        standing.decoded += told.decoded
        standing.read += told.read
        standing.wrong_reads += told.wrong_reads
        standing.wrong_accepts += told.wrong_accepts
        standing.wrong_seeds += [seed] if told.wrong_accepts else []
        standing.seen[harm] = standing.seen.get(harm, 0) + 1
        standing.unread[harm] = standing.unread.get(harm, 0) + 1 - told.read


def run_long(goal: int, state: Path, processes: int) -> int:
    """Go on until so many labels were decoded, keeping the standing after each part."""
    standing = Standing(**json.loads(state.read_text())) if state.exists() else Standing()
    with ProcessPoolExecutor(processes) as pool:
        while standing.decoded < goal and not standing.wrong_accepts:
            starts = [standing.next_seed + number * SEEDS_A_PART for number in range(processes)]
            for part in pool.map(part_of, [range(start, start + SEEDS_A_PART) for start in starts]):
                count_in(standing, part)
            part_file = state.with_suffix(".part")
            part_file.write_text(json.dumps(asdict(standing)) + "\n")
            part_file.replace(state)
            print(f"{standing.decoded} of {goal} decoded, {standing.wrong_accepts} wrong", file=sys.stderr)
    print(json.dumps(standing.line()))
    return 1 if standing.wrong_accepts else 0


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
    parser.add_argument("--frames", type=int, metavar="N", help="labels of distinct seeds to be decoded")
    parser.add_argument("--state", type=Path, default=Path("build") / "bag_labels.json", metavar="FILE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--harm", nargs="*", default=[])
    parser.add_argument("--met", action="store_true", help="curve, light, angle, cover: within reason")
    parser.add_argument("--harsher", action="store_true", help="the levels without a target")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    if options.frames is not None:
        return run_long(options.frames, options.state, options.processes)
    levels = HARSHER if options.harsher else MAY_MEET if options.met else MUST_STAND
    everything = Tally()
    with ProcessPoolExecutor(options.processes) as pool:
        for harm, level in levels.items():
            if options.harm and harm not in options.harm:
                continue
            step = -(-options.views // max(1, 4 * options.processes))
            ends = options.seed + options.views
            parts = [range(start, min(start + step, ends)) for start in range(options.seed, ends, step)]
            jobs = [pool.submit(measured, harm, level, part, FRAMES_A_VIEW) for part in parts]
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
