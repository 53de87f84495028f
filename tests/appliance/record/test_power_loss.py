"""After a power cut at any moment nothing acknowledged is lost, and the record goes on by itself.

The record's own code plays a workload and each call of the disk is written down (`recorded_disk.py`);
from that tape come images of what a disk may hold after a cut (`power_loss_images.py`, which states
the model). A third of the images comes from a second workload, which begins on what a first cut
left, so that the power also goes while the record recovers. Each image is opened as a unit opens it,
judged, written to, and verified as a whole. The images lie in memory (`/dev/shm`) where there is one;
a disk only makes this slower.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_tape import Step
from power_loss_images import Disk, fast_place, play_image, play_round, record_tape

pytestmark = pytest.mark.requirement("R-02", "R-38", "F-015", "F-053")

SEEDS = range(1, 6)
IMAGES = 200  # of each seed
CONTROLS = 40


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=fast_place(), prefix="cw-power-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def steps(place: Path) -> list[Step]:
    return record_tape(place, 11)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_power_cut_loses_what_was_acknowledged_or_leaves_work_for_people(seed: int) -> None:
    play_round(seed, IMAGES)


def test_the_tape_tells_of_every_byte_on_the_disk(steps: list[Step], place: Path) -> None:
    workload, again = place / "workload-11", place / "again"
    Disk(steps).lay_down(again, random.Random(0), kept=1.0)

    assert _files(again) == _files(workload)
    kinds = {step.kind for step in steps}
    assert kinds >= {"write", "truncate", "sync", "sync_folder", "create", "rename", "unlink", "promise"}
    assert {step.name for step in steps if step.kind == "promise"} == {"record", "segment", "blob", "ack"}


def test_a_power_cut_at_each_step_of_its_creation_leaves_no_record_or_a_whole_one(
    steps: list[Step], place: Path
) -> None:
    first_promise = next(at for at, step in enumerate(steps) if step.kind == "promise")

    outcomes = [play_image(steps, place, cut, cut=cut) for cut in range(first_promise + 1)]

    assert [outcome for outcome in outcomes if not outcome.good] == []
    assert len(outcomes) > CONTROLS


def test_a_disk_that_forgets_what_it_said_it_synced_is_found_out(steps: list[Step], place: Path) -> None:
    outcomes = [play_image(steps, place, seed, cut=len(steps), lying=True) for seed in range(CONTROLS)]

    assert sum(bool(outcome.lost) for outcome in outcomes) >= 3
    assert sum(bool(outcome.refused) for outcome in outcomes) >= 3
    assert sum(not outcome.good for outcome in outcomes) >= CONTROLS / 2


def test_a_record_that_does_not_sync_each_commit_loses_acknowledged_events(place: Path) -> None:
    loose = record_tape(place, 12, "NORMAL")

    outcomes = [play_image(loose, place, seed) for seed in range(CONTROLS)]

    losses = [outcome for outcome in outcomes if any(words.startswith("record ") for words in outcome.lost)]
    assert len(losses) >= 5


def _files(root: Path) -> dict[str, bytes]:
    """Each file that somebody synced; the lock's content is of no use after a power cut."""
    return {
        str(path.relative_to(root)): b"" if path.name == "writer.lock" else path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
