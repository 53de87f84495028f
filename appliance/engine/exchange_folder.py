"""The station's folder into which devices' files come: a stick's mount, or a folder that is filled.

What lies there is strange until it was read: only plain files with plain names are offered, links are
not followed, and nothing is read that is larger than an exchange file can be or is still being written.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import stat
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from appliance.domain.errors import ApplianceError
from appliance.domain.exchange_file import BYTES_MAX, FILE_NAME

LISTED_MAX = 20
READ_TIMEOUT_S = 10.0  # a stick that was pulled out may let a read hang
HANGING_MAX = 2  # reads that hang at a time; more are refused at once
STICK_HANGS = "The stick does not answer. Take it out, put it in again, then choose the file."
T = TypeVar("T")
MEDIA_TYPES = {".json": "application/json", ".csv": "text/csv"}


_reading: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


class FileNotTaken(ApplianceError):
    """A file of the folder cannot be taken; `reason` is a key, the words say what to do."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


async def listed(folder: Path) -> list[dict[str, str]]:
    """The files to choose from, the newest first, at most `LISTED_MAX`: name, size in bytes, UTC."""
    return await _in_time(functools.partial(_listed, folder))


async def read(folder: Path, name: str, bytes_max: int = BYTES_MAX) -> bytes:
    """One whole file; raises `FileNotTaken`."""
    return await _in_time(functools.partial(_read, folder, name, bytes_max))


async def _in_time(work: Callable[[], T]) -> T:
    """Do it in a thread that nobody waits for at the end: a dead stick may hold it for ever."""
    if sum(thread.is_alive() for thread in _reading) >= HANGING_MAX:
        raise FileNotTaken("unreadable", STICK_HANGS)
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    thread = threading.Thread(target=_into, args=(outcome, loop, work), name="exchange folder", daemon=True)
    _reading.add(thread)
    thread.start()
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await outcome
    except TimeoutError as late:
        raise FileNotTaken("unreadable", STICK_HANGS) from late
    except OSError as gone:
        words = (
            f"The file or its folder cannot be read ({gone.strerror}). Put the stick in, then choose again."
        )
        raise FileNotTaken("unreadable", words) from gone


def _into(outcome: asyncio.Future[T], loop: asyncio.AbstractEventLoop, work: Callable[[], T]) -> None:
    def tell(set_outcome: Callable[[Any], None], said: Any) -> None:
        # The engine may have ended, or given up waiting.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if outcome.done() else set_outcome(said))

    try:
        tell(outcome.set_result, work())
    except Exception as fault:
        # The end of a thread: whatever it met belongs to whoever waits for it.
        tell(outcome.set_exception, fault)


def _listed(folder: Path) -> list[dict[str, str]]:
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if FILE_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                told = entry.stat(follow_symlinks=False)
                found.append((told.st_mtime_ns, entry.name, told.st_size))
    return [
        {"name": name, "size_bytes": str(size), "modified": _utc(at_ns)}
        for at_ns, name, size in sorted(found, reverse=True)[:LISTED_MAX]
    ]


def _utc(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="seconds")


def _read(folder: Path, name: str, bytes_max: int) -> bytes:
    assert FILE_NAME.fullmatch(name), name
    # Neither a link that leads out of the folder nor a pipe that never ends is opened.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(folder / name, flags)
    with os.fdopen(handle, "rb") as file:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            raise FileNotTaken("unreadable", "This is no plain file. Choose another one.")
        if before.st_size > bytes_max:
            raise FileNotTaken(
                "too_large", f"The file is larger than {bytes_max} bytes. It is no exchange file."
            )
        data = file.read(bytes_max + 1)
        after = os.fstat(handle)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(
        data
    ) != after.st_size:
        raise FileNotTaken(
            "unfinished", "The file is still being written. Wait a moment, then choose it again."
        )
    return data
