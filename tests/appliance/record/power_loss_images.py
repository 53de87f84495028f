"""From a tape of disk calls to what a disk may hold after a power cut, and to whether the record stands.

The disk of this model, which is stricter than ext4 with `data=ordered` and barriers on:

- What was written to a file before a sync of that file returned is there, whole.
- Each write and truncation since is by chance there, not there, there in some of its 512-byte
  sectors, or there in some and garbage or zeros in the others. Any subset may be there, so writes
  overtake each other; where two wrote the same sector the older never lies over the newer.
- A write never harms bytes beside it, also within its sector. SQLite assumes this of Linux
  ("powersafe overwrite"); a disk without it needs another setting of SQLite.
- The names in a folder change in order: what was done before the folder's sync returned is done,
  of the changes since a first part is. Other folders' changes do not wait for it. ext4 keeps one
  order over all folders, and a sync of any file brings the names along; neither is relied upon.

A lying disk, the opposite control, says "synced" and forgets: about each third sync is not done.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from disk_tape import Step, load_tape
from record_bench import UNIT_KEY, new_record, write

from appliance.record.acknowledgements import second_place
from appliance.record.errors import RecordError
from appliance.record.log import DATABASE, Record
from appliance.record.verify import verify_folder

RECORDER = Path(__file__).with_name("recorded_disk.py")
SECTOR = 512
FORGOTTEN = 0.3  # of the syncs of a lying disk
NEAR = 4  # steps around a promise, where half of the cuts are
FOLDER = 0  # a folder's node

Name = tuple[str, str, int]  # what happens, to which name in the folder, with which node


@dataclass(slots=True)
class File:
    """One file: what is surely on the disk, and what was asked since."""

    sure: bytearray = field(default_factory=bytearray)
    since: list[Step] = field(default_factory=list)

    def sync(self) -> None:
        for step in self.since:
            _apply(self.sure, step)
        self.since.clear()


@dataclass(slots=True)
class Folder:
    """One folder: which names are surely in it, and how they changed since."""

    sure: dict[str, int] = field(default_factory=dict)
    since: list[tuple[Name, ...]] = field(default_factory=list)

    def sync(self) -> None:
        self.sure = self.after(len(self.since))
        self.since.clear()

    def after(self, count: int) -> dict[str, int]:
        """The names when the first `count` changes are done."""
        names = dict(self.sure)
        for changes in self.since[:count]:
            for what, name, node in changes:
                if what == "put":
                    names[name] = node
                else:
                    names.pop(name, None)
        return names


def _apply(content: bytearray, step: Step) -> None:
    if step.kind == "truncate":
        if step.at < len(content):
            del content[step.at :]
        else:
            content.extend(bytes(step.at - len(content)))
        return
    _put(content, step.at, step.data)


def _put(content: bytearray, at: int, data: bytes) -> None:
    if at > len(content):
        content.extend(bytes(at - len(content)))
    content[at : at + len(data)] = data


class Disk:
    """The disk at one moment of a tape."""

    def __init__(self, steps: Iterable[Step], forgets: Callable[[], bool] = lambda: False) -> None:
        self._files: dict[int, File] = {}
        self._folders: dict[str, Folder] = {"": Folder()}
        for step in steps:
            self._take(step, forgets)

    def _take(self, step: Step, forgets: Callable[[], bool]) -> None:
        folder, _, name = step.name.rpartition("/")
        match step.kind:
            case "write" | "truncate":
                self._files[step.node].since.append(step)
            case "sync":
                if not forgets():
                    self._files[step.node].sync()
            case "sync_folder":
                if not forgets():
                    self._folders[step.name].sync()
            case "create":
                self._files[step.node] = File()
                self._folders[folder].since.append((("put", name, step.node),))
            case "mkdir":
                self._folders[step.name] = Folder()
                self._folders[folder].since.append((("put", name, FOLDER),))
            case "unlink":
                self._folders[folder].since.append((("drop", name, 0),))
            case "rename":
                known = self._folders[folder]
                node = known.after(len(known.since))[name]
                new_folder, _, new_name = step.to.rpartition("/")
                assert new_folder == folder, step
                known.since.append((("drop", name, 0), ("put", new_name, node)))

    def lay_down(self, root: Path, chance: random.Random, kept: float | None = None) -> None:
        """Make of this disk one that a power cut may leave, in `root`; it keeps all where `kept` is 1."""
        if kept is None:
            kept = chance.choice((0.0, 0.2, 0.5, 0.8, 1.0))  # of what was not synced
        self._lay_folder("", root, chance, kept)

    def _lay_folder(self, path: str, place: Path, chance: random.Random, kept: float) -> None:
        place.mkdir(exist_ok=True)
        folder = self._folders[path]
        done = sum(chance.random() < kept for _ in folder.since)
        for name, node in folder.after(done).items():
            if node == FOLDER:
                self._lay_folder(f"{path}/{name}" if path else name, place / name, chance, kept)
            else:
                (place / name).write_bytes(_content(self._files[node], chance, kept))


def _content(file: File, chance: random.Random, kept: float) -> bytearray:
    content = bytearray(file.sure)
    for step in file.since:
        if step.kind == "truncate":
            if chance.random() < kept:
                _apply(content, step)
            continue
        if chance.random() < kept:
            _apply(content, step)
            continue
        fate = chance.random()
        if fate < 0.5:
            continue
        rest = "nothing" if fate < 0.75 else chance.choice(("zeros", "garbage"))
        _tear(content, step, chance, rest)
    return content


def _tear(content: bytearray, step: Step, chance: random.Random, rest: str) -> None:
    """Keep some sectors of a write; of the others nothing, or what was never written."""
    start, end = step.at, step.at + len(step.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        piece = step.data[start - step.at : stop - step.at]
        if chance.random() < 0.5:
            _put(content, start, piece)
        elif rest != "nothing":
            _put(content, start, bytes(len(piece)) if rest == "zeros" else chance.randbytes(len(piece)))
        start = stop


def record_tape(place: Path, seed: int, synchronous: str = "FULL") -> list[Step]:
    """Let the recorder play the workload of a seed in a process of its own; returns its tape."""
    root = place / f"workload-{seed}"
    root.mkdir()
    return _recorded(root, seed, synchronous)


def record_tape_after(cut_off: list[Step], place: Path, seed: int) -> list[Step]:
    """Let the workload of a seed go on from what a power cut left; the promises before it stand."""
    root = place / f"goes-on-{seed}"
    Disk(cut_off).lay_down(root, random.Random(seed))
    steps = _recorded(root, seed, "FULL")
    begun = next(at for at, step in enumerate(steps) if step.kind == "begun")
    return steps[:begun] + [step for step in cut_off if step.kind == "promise"] + steps[begun:]


def _recorded(root: Path, seed: int, synchronous: str) -> list[Step]:
    tape = root.with_suffix(".tape")
    command = [sys.executable, str(RECORDER), str(root / "record"), str(tape), str(seed), synchronous]
    folders = [str(RECORDER.parent), str(RECORDER.parents[3])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHONPATH": ":".join(folders)}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return load_tape(tape)


def cut_of(steps: list[Step], chance: random.Random) -> int:
    """How many steps were done when the power went: anywhere, or near a word that was given."""
    begun = next((at for at, step in enumerate(steps, 1) if step.kind == "begun"), 0)
    promises = [at for at, step in enumerate(steps) if at >= begun and step.kind == "promise"]
    if chance.random() < 0.5:
        at = chance.randint(begun, len(steps))
    else:
        at = chance.choice([begun, *promises]) + chance.randint(-NEAR, NEAR)
    return max(begun, min(len(steps), at))


@dataclass(slots=True)
class Outcome:
    """What became of the record of one image."""

    lost: list[str] = field(default_factory=list)
    refused: str = ""
    corrupt: str = ""

    @property
    def good(self) -> bool:
        return not (self.lost or self.refused or self.corrupt)


def judge(root: Path, promises: list[Step]) -> Outcome:
    """Start the record of an image as an engine does, and hold it against what was promised."""
    folder, outcome = root / "record", Outcome()
    try:
        if (folder / DATABASE).exists():
            record = Record.open(folder, key=UNIT_KEY)
        else:
            outcome.lost = [f"the whole record, {len(promises)} promises"] if promises else []
            record = new_record(folder)
        with record:
            outcome.lost += [_words(one) for one in promises if not _held(record, one)]
            head = record.head().seq
            stored = write(record, "EngineStarted", {"after": "the power cut"})
            assert stored.seq == head + 1, (stored.seq, head)
    except RecordError as problem:
        outcome.refused = str(problem)
        return outcome
    verdict = verify_folder(folder)
    outcome.corrupt = "" if verdict.whole else verdict.words
    return outcome


def _words(promise: Step) -> str:
    return f"{promise.name} {promise.at} {promise.to}".replace(" 0 ", " ")


def _held(record: Record, promise: Step) -> bool:
    log = promise.to
    match promise.name:
        case "record":
            return [one.hash for one in record.read(promise.at, promise.at, log=log)] == [promise.data]
        case "segment":
            return record.signed(log) >= promise.at
        case "ack":
            second = second_place(record.folder, log)
            return min(record.acked(log)[0], second[0] if second else 0) >= promise.at
        case _:
            return promise.to in {one.sha256 for one in record.blob_refs()} and bool(record.blob(promise.to))


def play_image(
    steps: list[Step], place: Path, seed: int, *, cut: int | None = None, lying: bool = False
) -> Outcome:
    """Cut the power once, as the seed says, lay the image down in `place` for a moment and judge it."""
    chance = random.Random(seed)
    done = steps[: cut_of(steps, chance) if cut is None else cut]
    disk = Disk(done, (lambda: chance.random() < FORGOTTEN) if lying else lambda: False)
    with tempfile.TemporaryDirectory(dir=place, prefix="image-") as root:
        disk.lay_down(Path(root), chance)
        return judge(Path(root), [step for step in done if step.kind == "promise"])


def fast_place() -> Path | None:
    """A folder in memory, where an image costs a third of the time; None where the system has none."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else None


def play_round(seed: int, images: int) -> None:
    """Many cuts of one workload, and of another that goes on from one of these cuts.

    Raises `AssertionError` with seed and number when a promise was broken.
    """
    with tempfile.TemporaryDirectory(dir=fast_place(), prefix="cw-") as place:
        steps = record_tape(Path(place), seed)
        cut_off = steps[: cut_of(steps, random.Random(seed))]
        again = record_tape_after(cut_off, Path(place), seed)
        for number in range(images):
            tape = steps if number < images * 2 // 3 else again
            outcome = play_image(tape, Path(place), seed * images + number)
            assert outcome.good, (seed, number, outcome)
