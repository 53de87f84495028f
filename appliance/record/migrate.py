"""Bring a record whose tables an earlier version made up to today's: in a copy, proved, then switched.

Events are never touched. A step may only change what stands around them, such as an index. The old
file stays beside the new one. At each moment `record.db` is the old one, whole, or the new one,
whole: what a crash leaves behind is swept away by the next start, which begins anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.record import schema, sqlite, writer_lock
from appliance.record.attachments import disk_faults_in_words, sync_folder, write_durably
from appliance.record.canonical import NO_HASH, record_hash
from appliance.record.errors import RecordFull, RecordUnusable

if TYPE_CHECKING:
    from sqlite3 import Connection

DATABASE, NOTE = "record.db", "migrated.json"
ROOM_FACTOR = 1.1

# The columns that hold what was said; every version of the tables has them.
KEPT: Mapping[str, str] = {
    "gxp_record": "seq, hash, data",
    "telemetry_record": "seq, hash, data",
    "segment": "log, first, last, header, signature",
    "ack": "number, log, acked_seq, ack, signature, at_us",
    "blob": "sha256, size_bytes, media_type",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """The version of the tables to come to, and how: the step from each version to the next."""

    version: int
    schema_hash: str
    steps: Mapping[int, Callable[[Connection], None]]


TODAY = Plan(schema.SCHEMA_VERSION, schema.SCHEMA_HASH, {})


@dataclass(frozen=True, slots=True)
class Rows:
    """All that a record says: how many records, and one hash over every row in its order."""

    records: int
    hash: str


def bring_up(folder: Path, plan: Plan | None = None) -> None:
    """Migrate the record in `folder` if an earlier version made its tables; else leave it as it is.

    Raises
    ------
    RecordUnusable
        A later version made it, a step is missing, it is not whole, another program has it open, or
        the disk refuses. The record is as it was.
    """
    sqlite.require_sound()
    plan = plan or TODAY
    with writer_lock.take(folder), disk_faults_in_words(folder):
        try:
            found = version_of(folder)
            require_known(found, plan)
            sweep(folder)
            if found < plan.version:
                _migrate(folder, found, plan)
        except sqlite.Error as problem:
            raise sqlite.unusable(folder, problem) from problem


def _migrate(folder: Path, found: int, plan: Plan) -> None:
    try:
        for act in acts(folder, found, plan):
            act()
    except (RecordUnusable, OSError, sqlite.Error):
        with contextlib.suppress(sqlite.Error, RecordUnusable), _opened(folder / DATABASE) as connection:
            sqlite.begin_wal(connection)  # as the version before expects it
        raise


def acts(folder: Path, found: int, plan: Plan) -> Iterator[Callable[[], None]]:
    """What is done, one after the other; the process may die before, within and after each of them."""
    before: list[Rows] = []
    yield lambda: require_room(folder)
    yield lambda: before.append(laid_still(folder))
    yield lambda: copied(folder, _making(folder, plan))
    yield lambda: changed(_making(folder, plan), found, plan)
    yield lambda: proved(_making(folder, plan), before[0], plan)
    yield lambda: old_kept(folder, _kept(folder, plan), {"from_version": found, "to_version": plan.version,
                                                         "records": before[0].records,
                                                         "rows_hash": before[0].hash})  # fmt: skip
    yield lambda: switched(folder, _making(folder, plan))
    yield lambda: sweep(folder)


def version_of(folder: Path) -> int:
    """The version of the tables of a record."""
    with _opened(folder / DATABASE) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def require_known(found: int, plan: Plan) -> None:
    """Refuse tables of a later version, and of one from which no steps lead here."""
    if found > plan.version:
        raise RecordUnusable(schema.later_words(found, plan.version))
    if missing := [version for version in range(found, plan.version) if version not in plan.steps]:
        raise RecordUnusable(
            f"The record has tables of version {missing[0]}, from which this software knows no step on. "
            "Nothing was changed. Install a version in between first, or call service."
        )


def sweep(folder: Path) -> None:
    """Remove what an earlier try left: only copies, and only a second name of the file in use."""
    for left in folder.glob("migrating-*"):
        shutil.rmtree(left)
    for kept in folder.glob("before-*"):
        old, note = kept / DATABASE, kept / NOTE
        if not old.exists() or old.samefile(folder / DATABASE):
            shutil.rmtree(kept)
        elif note.exists() and json.loads(note.read_bytes())["to_version"] > version_of(folder):
            note.unlink()  # the old version is in use again: what the note tells of is undone
    sync_folder(folder)


def require_room(folder: Path) -> None:
    """Room for the copy, before anything is begun."""
    status = os.statvfs(folder)
    if status.f_bavail * status.f_frsize < (folder / DATABASE).stat().st_size * ROOM_FACTOR:
        raise RecordFull(folder)


def laid_still(folder: Path) -> Rows:
    """Put all of the record into its one file, which needs every other program off it; what it says."""
    with _opened(folder / DATABASE) as connection:
        try:
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except sqlite.Error as problem:
            if "locked" not in str(problem):
                raise
            raise RecordUnusable(
                f"Another program has the record in {folder} open ({problem}), so it cannot be brought to "
                "this version. Stop the agent, the screens and every reader; then start again."
            ) from problem
        assert mode == "delete", mode
        return rows_of(connection)


def copied(folder: Path, making: Path) -> None:
    """A copy by the database's own way of copying."""
    making.mkdir()
    with _opened(folder / DATABASE) as old, _opened(making / DATABASE) as new:
        old.backup(new)


def changed(making: Path, found: int, plan: Plan) -> None:
    """Every step in a transaction of its own, on the copy."""
    with _opened(making / DATABASE) as connection:
        for version in range(found, plan.version):
            connection.execute("BEGIN IMMEDIATE")
            plan.steps[version](connection)
            connection.execute(f"PRAGMA user_version={version + 1}")
            connection.execute("COMMIT")


def proved(making: Path, before: Rows, plan: Plan) -> None:
    """Refuse a copy that says anything else, is damaged, or lacks a guard; then make it durable."""
    with _opened(making / DATABASE) as connection:
        damage = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        wrong = [] if damage == ["ok"] else damage[:1]
        wrong += [f"the guard {name} is missing" for name in schema.missing_triggers(connection)]
        if schema.schema_hash(connection) != plan.schema_hash:
            wrong.append("its tables are not as this software makes them")
        if rows_of(connection) != before:
            wrong.append("it does not say the same")
        if wrong:
            raise RecordUnusable(
                f"The record could not be brought to version {plan.version}: {'; '.join(wrong)}. "
                "The record is as it was. Install the version before, and call service."
            )
        sqlite.begin_wal(connection)
    assert [path.name for path in making.iterdir()] == [DATABASE], "a part of the copy stands beside it"
    _sync_file(making / DATABASE)
    sync_folder(making)


def old_kept(folder: Path, kept: Path, facts: Mapping[str, Any]) -> None:
    """A second name for the old file, and beside it what was done; where no names are given, a copy."""
    kept.mkdir()
    write_durably(kept / NOTE, json.dumps(facts, sort_keys=True).encode() + b"\n")
    try:
        (kept / DATABASE).hardlink_to(folder / DATABASE)
    except OSError:
        shutil.copyfile(folder / DATABASE, kept / DATABASE)
        _sync_file(kept / DATABASE)
    sync_folder(kept)
    sync_folder(folder)


def switched(folder: Path, making: Path) -> None:
    """The one moment: the name of the record goes from the old file to the new one."""
    (making / DATABASE).replace(folder / DATABASE)
    sync_folder(folder)


def notes(folder: Path) -> list[dict[str, Any]]:
    """What each migration of this record did, oldest first: `from_version`, `to_version` and the rest."""
    found = [json.loads(note.read_bytes()) for note in folder.glob(f"before-*/{NOTE}")]
    return sorted(found, key=lambda facts: int(facts["to_version"]))


def rows_of(connection: Connection) -> Rows:
    """Read every row; raises `RecordUnusable` where a chain does not hold."""
    everything, records = hashlib.sha256(), 0
    for table, columns in KEPT.items():
        everything.update(f"{table}({columns})\n".encode())
        previous = NO_HASH
        for row in connection.execute(f"SELECT {columns} FROM {table} ORDER BY {_order(columns)}"):
            for value in row:
                raw = value if isinstance(value, bytes) else repr(value).encode()
                everything.update(b"%d:" % len(raw) + raw)
            if columns.endswith("data"):
                records += 1
                if row[1] != record_hash(previous, row[2]):
                    raise RecordUnusable(f"Record {row[0]} of {table} does not continue the chain. Call QA.")
                previous = row[1]
    return Rows(records, everything.hexdigest())


def _order(columns: str) -> str:
    return "log, first" if columns.startswith("log") else columns.partition(",")[0]


def _making(folder: Path, plan: Plan) -> Path:
    return folder / f"migrating-{plan.version:04d}"


def _kept(folder: Path, plan: Plan) -> Path:
    """A free name: nothing that was kept before is ever overwritten."""
    name, number = f"before-{plan.version:04d}", 1
    while (folder / name).exists():
        number += 1
        name = f"before-{plan.version:04d}-{number}"
    return folder / name


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Connection]:
    connection = sqlite.connect(path, read_only=False)
    try:
        yield connection
    finally:
        connection.close()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
