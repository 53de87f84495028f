"""Where a record is made before it is one.

The first transaction of a database is many writes. A record gets its name only when genesis is in it and
on the disk, so a power cut leaves no record or a whole one, and never a file that nobody can open.
"""

from __future__ import annotations

from pathlib import Path

from appliance.record.attachments import sync_folder
from appliance.record.errors import RecordUnusable

_BESIDE = ("", "-journal", "-wal", "-shm")


def begun(database: Path) -> Path:
    """Where to make what will be `database`; what an earlier, cut-off beginning left there goes.

    Raises
    ------
    RecordUnusable
        There is a record, or a part of one, already.
    """
    for path in (database, database.with_name(database.name + "-wal")):
        if path.exists():
            raise RecordUnusable(
                f"There is a record in {database.parent} already ({path.name}). Open it; if that is refused, "
                "call service."
            )
    unfinished = database.with_name(database.name + ".begun")
    for ending in _BESIDE:
        unfinished.with_name(unfinished.name + ending).unlink(missing_ok=True)
    return unfinished


def finish(unfinished: Path, database: Path) -> None:
    """Give a database that was closed whole its name, so that it stays after a power cut."""
    left = [unfinished.with_name(unfinished.name + ending) for ending in _BESIDE[1:]]
    if any(path.exists() and path.stat().st_size for path in left):
        raise RecordUnusable(f"The record in {database.parent} could not be begun. Start again.")
    unfinished.rename(database)
    sync_folder(database.parent)
    sync_folder(database.parent.parent)
