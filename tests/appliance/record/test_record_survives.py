"""Kills and full disks: nothing acknowledged is lost, and the record goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from record_bench import BATCH, UNIT_KEY, new_record, stamp, write

from appliance.record import disk
from appliance.record.canonical import encode_payload
from appliance.record.errors import RecordFull, RecordUnusable
from appliance.record.log import Record
from appliance.record.verify import verify_folder

WRITER = Path(__file__).with_name("writer_process.py")
ROUNDS = 10


def killed_writer(folder: Path, after_s: float) -> list[str]:
    """Start a writer, kill it `after_s` after its first word; returns the whole lines it said."""
    writer = subprocess.Popen([sys.executable, str(WRITER), str(folder)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    time.sleep(after_s)
    os.kill(writer.pid, signal.SIGKILL)
    said = writer.stdout.read()
    writer.stdout.close()
    writer.wait()
    return said[: said.rfind("\n") + 1].splitlines()


def test_kill_9_of_the_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    chance = random.Random(20261121)
    acknowledged: dict[int, str] = {}
    blobs: list[str] = []
    for _ in range(ROUNDS):
        for line in killed_writer(folder, chance.uniform(0.0, 0.25)):
            name, value = line.split()
            if name == "blob":
                blobs.append(value)
            else:
                assert int(name) not in acknowledged, "a number was given twice"
                acknowledged[int(name)] = value
        assert verify_folder(folder).whole, verify_folder(folder).words
    with Record.open(folder, key=UNIT_KEY) as record:
        held = {stored.seq: stored.hash.hex() for stored in record.read()}
        assert {seq: held.get(seq) for seq in acknowledged} == acknowledged
        assert all(record.blob(name) for name in blobs)
    assert len(acknowledged) > ROUNDS


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(record: Record) -> tuple[int, RecordFull]:
    """Append until the disk is full; returns the last acknowledged number and what was said."""
    payload = encode_payload(BATCH, None, {"text": "x" * 20_000})
    last = record.head().seq
    try:
        for _ in range(1000):
            last = record.append("CommentAdded", payload, actor="unit", stamp=stamp()).seq
    except RecordFull as full:
        return last, full
    raise AssertionError("2 MiB never became full")


def test_a_full_disk_is_said_in_words_and_loses_nothing(small_disk: Path) -> None:
    record = new_record(small_disk / "record")
    disk.make_reserve(small_disk, size_bytes=512 * 1024)
    last, full = fill(record)
    assert "full" in str(full) and "reserve" in str(full) and full.reason == "disk_full"
    with pytest.raises(RecordUnusable, match="full"):
        write(record, "CommentAdded", {"text": "not before it is opened again"})
    record.close()
    assert disk.release_reserve(small_disk) == 512 * 1024
    with Record.open(small_disk / "record", key=UNIT_KEY) as reopened:
        assert reopened.head().seq == last
        assert write(reopened, "BatchAborted", {"reason": "disk full"}).seq == last + 1
    verdict = verify_folder(small_disk / "record")
    assert verdict.whole, verdict.words


def test_a_picture_that_does_not_fit_leaves_no_part_behind(small_disk: Path) -> None:
    with new_record(small_disk / "record") as record:
        with pytest.raises(RecordFull):
            record.put_blob(bytes(3 * 1024 * 1024), "image/png")
        assert not [path for path in record.blobs_folder.rglob("*") if path.is_file()]
        assert write(record, "CommentAdded", {"text": "on it goes"}).seq == 2


def test_a_reserve_that_does_not_fit_is_refused_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(RecordFull):
        disk.make_reserve(small_disk, size_bytes=4 * 1024 * 1024)
    assert list(small_disk.iterdir()) == []


def test_the_reserve_takes_real_room_and_gives_it_back_once(tmp_path: Path) -> None:
    path = disk.make_reserve(tmp_path, size_bytes=1_500_000)
    assert path.stat().st_blocks * 512 >= 1_500_000
    written = path.stat().st_mtime_ns
    assert disk.make_reserve(tmp_path, size_bytes=1_500_000).stat().st_mtime_ns == written
    assert disk.release_reserve(tmp_path) == 1_500_000
    assert disk.release_reserve(tmp_path) == 0


@pytest.mark.parametrize(
    ("free_percent", "total_gib", "level", "may_start"),
    [
        (50, 100, "good", True),
        (15, 100, "warn", True),
        (9, 100, "no_start", False),
        (2, 100, "critical", False),
    ],
)
def test_the_disk_level_says_what_is_still_allowed(
    free_percent: int, total_gib: int, level: str, may_start: bool
) -> None:
    total = total_gib * 1024**3
    judged = disk.judge(total * free_percent // 100, total)
    assert (judged.level, judged.may_start) == (level, may_start)


def test_half_a_small_disk_is_still_too_little_for_one_batch() -> None:
    assert disk.judge(200 * 1024**2, 400 * 1024**2).level == "no_start"


def test_what_a_crash_during_its_creation_left_is_in_no_records_way(tmp_path: Path) -> None:
    folder = tmp_path / "record"
    folder.mkdir()
    for name in ("record.db.begun", "record.db.begun-wal", "record.db.begun-journal"):
        (folder / name).write_bytes(b"half of it")
    with new_record(folder) as record:
        assert record.head().seq == 1
    assert not list(folder.glob("*.begun*"))


@pytest.mark.parametrize("name", ["record.db", "record.db-wal"])
def test_no_record_is_begun_over_what_is_left_of_another(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "record"
    folder.mkdir()
    (folder / name).touch()
    with pytest.raises(RecordUnusable, match="already"):
        new_record(folder)
    assert (folder / name).exists()


def test_a_record_on_a_read_only_medium_can_be_verified(small_disk: Path) -> None:
    new_record(small_disk / "record").close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert verify_folder(small_disk / "record").whole
    with pytest.raises((RecordUnusable, OSError)):
        Record.open(small_disk / "record", key=UNIT_KEY)
