"""The one SQLite library of this process, and the way to open it.

Two SQLite libraries on one file in one process break its locks, and SQLite 3.7.0 to 3.51.2 can
corrupt a write-ahead log. So every connection to a record is made here, by a library that brings
its own recent SQLite, and an older one is refused before any file is opened.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from appliance.record.errors import RecordFull, RecordUnusable

if TYPE_CHECKING:
    from sqlite3 import Connection

LITTLE_ROOM_BYTES = 1024 * 1024
OLDEST_SOUND = (3, 51, 3)
BUSY_TIMEOUT_MS = 5000
SYNCHRONOUS_FULL = 2

PRAGMAS = (
    f"busy_timeout={BUSY_TIMEOUT_MS}",
    "foreign_keys=ON",
    "recursive_triggers=ON",
    "mmap_size=0",
    "trusted_schema=OFF",
    "synchronous=FULL",
)


def _load() -> ModuleType:
    try:
        return importlib.import_module("pysqlite3.dbapi2")
    except ImportError:
        # pysqlite3 has wheels for x86-64 only. sqlcipher3 without a key is plain SQLite of the same
        # age; under pysqlite3's name sqlite-utils takes it as its own and its exceptions match.
        package = importlib.import_module("sqlcipher3")
        sys.modules["pysqlite3"] = package
        sys.modules["pysqlite3.dbapi2"] = importlib.import_module("sqlcipher3.dbapi2")
        return sys.modules["pysqlite3.dbapi2"]


dbapi2 = _load()
Error = cast("type[Exception]", dbapi2.Error)
IntegrityError = cast("type[Exception]", dbapi2.IntegrityError)
OperationalError = cast("type[Exception]", dbapi2.OperationalError)
DENY = int(dbapi2.SQLITE_DENY)
ALLOW = int(dbapi2.SQLITE_OK)

Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


def version() -> tuple[int, ...]:
    """The linked SQLite's version as numbers."""
    return tuple(int(part) for part in str(dbapi2.sqlite_version).split("."))


def require_sound(found: tuple[int, ...] | None = None) -> None:
    """Refuse an SQLite that can corrupt a write-ahead log.

    Raises
    ------
    RecordUnusable
        The linked SQLite is older than `OLDEST_SOUND`.
    """
    found = found or version()
    if found < OLDEST_SOUND:
        raise RecordUnusable(
            f"The database library is SQLite {'.'.join(map(str, found))}, which can damage the record. "
            f"Install the packages of the lock file: {'.'.join(map(str, OLDEST_SOUND))} or later is needed."
        )


def connect(path: Path, *, read_only: bool) -> Connection:
    """Open `path` with the settings every connection to a record has."""
    require_sound()
    uri = f"file:{quote(str(path.absolute()))}?mode={'ro' if read_only else 'rwc'}"
    if read_only and _lies_still(path):
        uri += "&immutable=1"
    connection = cast(
        "Connection",
        # isolation_level=None: transactions begin where the code says so and nowhere else.
        dbapi2.connect(uri, uri=True, isolation_level=None, check_same_thread=False),
    )
    try:
        _settle(connection, read_only=read_only)
    except UnicodeDecodeError as damage:
        # Damaged text in the schema comes back in SQLite's own words, which then are no text either.
        connection.close()
        raise cast("Exception", dbapi2.DatabaseError(f"its schema cannot be read: {damage}")) from None
    return connection


def _settle(connection: Connection, *, read_only: bool) -> None:
    for pragma in PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    assert synchronous == SYNCHRONOUS_FULL, synchronous


def _lies_still(path: Path) -> bool:
    """Whether nobody can be writing `path`: read-only medium, no write-ahead log left beside it.

    A reader of a live record writes the shared-memory file beside it, which such a medium refuses.
    """
    log = path.with_name(path.name + "-wal")
    read_only_medium = bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    return read_only_medium and not (log.exists() and log.stat().st_size)


def begin_wal(connection: Connection) -> None:
    """Switch the database to its write-ahead log; stays so in the file."""
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise RecordUnusable(
            f"The disk does not allow a write-ahead log (mode is {mode}). Put the record on a local disk."
        )


def compile_options(connection: Connection) -> list[str]:
    """How the linked SQLite was built."""
    return [str(row[0]) for row in connection.execute("PRAGMA compile_options")]


def unusable(folder: Path, problem: Exception) -> RecordUnusable:
    """What people are told when the database in `folder` failed with `problem`."""
    status = os.statvfs(folder)
    if "full" in str(problem) or status.f_bavail * status.f_frsize < LITTLE_ROOM_BYTES:
        return RecordFull(folder)
    return RecordUnusable(
        f"The record in {folder} could not be read or written ({problem}). What was acknowledged before is "
        "kept. Stop, check the disk, and start again."
    )
