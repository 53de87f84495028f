"""Only one engine writes a record: an exclusive lock beside the file, freed by the kernel on any death."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from appliance.record.errors import RecordUnusable

NAME = "writer.lock"


def take(folder: Path) -> IO[str]:
    """Hold the record in `folder` for writing until the returned file is closed.

    Raises
    ------
    RecordUnusable
        Another process holds it.
    """
    lock = (folder / NAME).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        lock.close()
        raise RecordUnusable(
            f"Another engine (process {holder}) is writing the record in {folder}. "
            "Only one may: stop it first."
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock
