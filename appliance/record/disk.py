"""How much room the record has left, and the reserve that lets a running batch be closed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from appliance.record.attachments import disk_faults_in_words, sync_folder

RESERVE_BYTES = 64 * 1024 * 1024
RESERVE_NAME = "reserve.bin"
BATCH_FORECAST_BYTES = (260 + 30) * 1024 * 1024
WARN_PERCENT = 20
NO_START_PERCENT = 10
CRITICAL_PERCENT = 3
_CHUNK = bytes(range(256)) * 4096


@dataclass(frozen=True, slots=True)
class DiskLevel:
    """What the free space allows: `good`, `warn`, `no_start` (start no batch), `critical`."""

    level: str
    free_bytes: int
    total_bytes: int
    words: str

    @property
    def may_start(self) -> bool:
        """Whether a new batch may begin."""
        return self.level in ("good", "warn")


def disk_level(folder: Path, *, forecast_bytes: int = BATCH_FORECAST_BYTES) -> DiskLevel:
    """Judge the free space of the disk that holds `folder`."""
    status = os.statvfs(folder)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return judge(free, total, forecast_bytes)


def judge(free: int, total: int, forecast_bytes: int = BATCH_FORECAST_BYTES) -> DiskLevel:
    """The level for `free` of `total` bytes, and what a person is told."""
    percent = 100 * free // max(total, 1)
    left = f"{percent} % of the disk is free"
    if percent < CRITICAL_PERCENT:
        words = f"{left}. Finish the running batch and start no other; call service."
        return DiskLevel("critical", free, total, words)
    if percent < NO_START_PERCENT or free < forecast_bytes:
        words = f"{left}, less than one more batch needs. Start no batch; call service."
        return DiskLevel("no_start", free, total, words)
    if percent < WARN_PERCENT:
        return DiskLevel("warn", free, total, f"{left}. Tell service soon.")
    return DiskLevel("good", free, total, f"{left}.")


def make_reserve(folder: Path, *, size_bytes: int = RESERVE_BYTES) -> Path:
    """Write the reserve file: real bytes, so that the room is truly taken. Harmless when it is there.

    Raises
    ------
    RecordFull
        There is no room for it; nothing is left behind.
    """
    path = folder / RESERVE_NAME
    if path.is_file() and path.stat().st_size == size_bytes:
        return path
    with disk_faults_in_words(folder):
        try:
            with path.open("wb") as file:
                for start in range(0, size_bytes, len(_CHUNK)):
                    file.write(_CHUNK[: size_bytes - start])
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            path.unlink(missing_ok=True)
            raise
        sync_folder(folder)
    return path


def release_reserve(folder: Path) -> int:
    """Give the reserve's room to the running batch; returns the bytes gained, 0 when none was left."""
    path = folder / RESERVE_NAME
    if not path.is_file():
        return 0
    size = path.stat().st_size
    path.unlink()
    sync_folder(folder)
    return size
