"""Run every test: what waits for devices beside what computes, then what needs the machine for itself.

    python -m tests.lanes [--proofs FILE]

Stories of devices spend most of their time waiting for lines that are slow on purpose; the tests of the
unit and of central keep one core busy. Side by side they take as long as the longer of the two. Whole
batches run after both, for they have processes enough of their own; beside them the screens.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
NOTHING_COLLECTED = 5


@dataclass(frozen=True, slots=True)
class Lane:
    """Folders of tests that one process runs in turn; without any: all that no other lane has."""

    name: str
    folders: tuple[str, ...] = ()


# One stage after the other; the rows of a stage side by side, the lanes of a row in turn.
STAGES = (
    (
        (Lane("devices", ("tests/drivers", "tests/soak", "tests/vision")),),
        (Lane("unit", ("tests/appliance", "tests/house")), Lane("central", ("tests/sync",))),
    ),
    (
        (Lane("screens", ("tests/tui",)),),
        (Lane("whole"),),
    ),
)


def main() -> int:
    """Run the lanes; 1 when a test of any failed."""
    parser = argparse.ArgumentParser("python -m tests.lanes", description=__doc__, allow_abbrev=False)
    parser.add_argument("--proofs", type=Path, metavar="FILE", help="as pytest's own option, over all lanes")
    options = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        folder = Path(place)
        results: dict[str, int] = {}
        for stage in STAGES:
            with ThreadPoolExecutor(len(stage)) as rows:
                played = [rows.submit(_in_turn, row, folder) for row in stage]
                results |= {name: result for one in played for name, result in one.result().items()}
        if options.proofs is not None:
            options.proofs.parent.mkdir(parents=True, exist_ok=True)
            noted = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.jsonl"))]
            options.proofs.write_text("".join(noted), encoding="utf-8")
    failed = [name for name, result in results.items() if result not in (0, NOTHING_COLLECTED)]
    said = f"failed: {', '.join(failed)}" if failed else "all lanes passed"
    print(f"{said} ({time.monotonic() - began_s:.0f} s)", flush=True)
    return 1 if failed else 0


def _in_turn(row: Sequence[Lane], folder: Path) -> dict[str, int]:
    return {lane.name: _run(lane, folder) for lane in row}


def _run(lane: Lane, folder: Path) -> int:
    """Play one lane to its end, its lines as they come."""
    command = [sys.executable, "-m", "pytest", "-q", f"--proofs={folder / lane.name}.jsonl", *_chosen(lane)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(f"{lane.name:8}| {line}", end="", flush=True)
        return process.wait()


def _chosen(lane: Lane) -> list[str]:
    if lane.folders:
        return list(lane.folders)
    others = [folder for stage in STAGES for row in stage for other in row for folder in other.folders]
    return ["tests", *(f"--ignore={folder}" for folder in others)]


if __name__ == "__main__":
    sys.exit(main())
