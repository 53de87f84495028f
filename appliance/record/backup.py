"""A copy of a unit's home on a second medium, taken while the engine writes, and verified there.

The database is copied by SQLite's own backup from one snapshot, in steps, never as a file. Private
keys are not copied: a copy that is stolen opens nothing and signs nothing. The table of identities is
copied as it is, sealed with such a key, so the newest copy holds only who is in it now.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from appliance.config import Home
from appliance.record import attachments, schema, sqlite
from appliance.record.attachments import sync_folder, write_durably
from appliance.record.disk import RESERVE_NAME
from appliance.record.epochs import earlier_epochs
from appliance.record.errors import RecordFull, RecordRefused, RecordUnusable
from appliance.record.log import BLOBS, DATABASE, EARLIER, Record

MANIFEST = "backup.json"
PAGES_A_STEP = 512
REST_S = 0.002
ROOM_MARGIN_BYTES = 16 * 1024 * 1024
# What lies beside the record in a home folder and belongs to it; `keys` is left out on purpose.
BESIDE = ("documents", "identities", "unit.toml", "trust.json")
_NAME = re.compile(r"(?P<unit>.+)-(?P<epoch>[0-9a-f]{8})-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `backup.json` says of a copy."""

    v: int
    unit: str
    epoch: str
    simulated: bool
    gxp: dict[str, Any]  # seq hash
    telemetry: dict[str, Any]
    earlier: list[str]  # folders of earlier logs
    files: int
    bytes: int
    made_at: str
    verified: bool


def take_backup(home: Home, to: Path, *, keep: int = 0) -> tuple[Path, Manifest]:
    """Copy the unit's home into a new folder under `to`, verify it there, and drop old copies beyond `keep`.

    Raises
    ------
    RecordUnusable, RecordRefused
        There is no record, no room, or what was copied is not whole; no part of it is left behind.
    """
    sqlite.require_sound()
    with Record.open_readonly(home.record) as record:
        unit, epoch = record.unit_id, record.head().epoch
    if to.absolute().resolve().is_relative_to(home.record.resolve()):
        raise RecordRefused(f"{to} lies in the record's own folder. Name a folder on a second medium.")
    made_at = datetime.now(UTC)
    temporary = to / f".{unit}-{secrets.token_hex(4)}.part"
    try:
        to.mkdir(parents=True, exist_ok=True)
        _refuse_without_room(home, to)
        temporary.mkdir()
        _copy_home(home, temporary)
        manifest = _verified(temporary, made_at)
        write_durably(temporary / MANIFEST, json.dumps(asdict(manifest), indent=1).encode() + b"\n")
        _sync_all(temporary)
        path = _put(temporary, to / f"{unit}-{epoch.hex()[:8]}-{made_at:%Y%m%dT%H%M%SZ}")
        sync_folder(to)
    except (OSError, RecordFull) as problem:
        shutil.rmtree(temporary, ignore_errors=True)
        said = problem.strerror if isinstance(problem, OSError) else "it is full"
        raise RecordUnusable(f"No copy could be made in {to}: {said}. Look at the medium.") from problem
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if keep:
        _drop_old(to, unit, keep)
    return path, manifest


def read_manifest(path: Path) -> Manifest:
    """What a copy says of itself; raises `RecordRefused` when it is no whole copy."""
    try:
        facts = json.loads((path / MANIFEST).read_bytes())
        return Manifest(**facts)
    except (OSError, ValueError, TypeError) as problem:
        raise RecordRefused(
            f"{path} is no whole copy of a unit: {MANIFEST} cannot be read ({problem})."
        ) from None


def copies_in(to: Path, unit: str = "") -> list[Path]:
    """The finished copies under `to`, oldest first; of one unit where it is named."""
    found = []
    for path in to.glob("*"):
        match = _NAME.fullmatch(path.name)
        if match and (path / MANIFEST).is_file() and unit in ("", match["unit"]):
            found.append((path.name.removeprefix(f"{match['unit']}-")[9:], path))
    return [path for _, path in sorted(found)]


def copy_database(source: Path, target: Path) -> None:
    """Copy a database that may be written meanwhile: one snapshot, a few pages at a time."""
    reader = sqlite.connect(source, read_only=True)
    try:
        writer = sqlite.connect(target, read_only=False)
        try:
            # A read transaction keeps the snapshot: a commit of the engine would begin the copy anew.
            reader.execute("BEGIN")
            reader.execute("SELECT 1 FROM gxp_record LIMIT 1").fetchone()
            reader.backup(writer, pages=PAGES_A_STEP, progress=_rest)
            reader.execute("ROLLBACK")
            # A copy is read from media where nobody may write beside it.
            writer.execute("PRAGMA journal_mode=DELETE")
        finally:
            writer.close()
    except sqlite.Error as problem:
        raise sqlite.unusable(target.parent, problem) from problem
    finally:
        reader.close()
    _sync_file(target)


def copy_files(source: Path, target: Path) -> None:
    """Copy the files that events name, each held against its name."""
    for sha256 in attachments.stored(source):
        attachments.store(target, attachments.load(source, sha256))


def copy_beside(source: Path, target: Path) -> None:
    """Copy what lies beside the record: lists, orders, sealed identities, the appliance file."""
    for name in BESIDE:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name, symlinks=True)
        elif path.is_file():
            shutil.copy2(path, target / name)


def copy_acknowledgements(source: Path, target: Path) -> None:
    """Copy the second place of the last acknowledgements."""
    for path in source.glob("last-ack-*.json"):
        write_durably(target / path.name, path.read_bytes())


def verify_copy(folder: Path) -> None:
    """Open a copied record, check the file and read its whole chain, and that of each log before it.

    Raises
    ------
    RecordUnusable
        It is not whole; says where.
    """
    from appliance.record.verify import verify_record

    for one in (*earlier_epochs(folder), folder):
        connection = sqlite.connect(one / DATABASE, read_only=True)
        try:
            damage = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        except sqlite.Error as problem:
            damage = [str(problem)]
        finally:
            connection.close()
        if damage != ["ok"]:
            raise RecordUnusable(
                f"The copy in {one} is damaged ({damage[0]}). Take another; check the medium."
            )
    verdict = verify_record(folder)
    if not verdict.whole:
        raise RecordUnusable(f"The copy in {folder} is {verdict.words}")


def _copy_home(home: Home, target: Path) -> None:
    record = target / home.record.name
    (record / BLOBS).mkdir(parents=True)
    # Acknowledgements first: one that comes later would name events that the snapshot has not.
    copy_acknowledgements(home.record, record)
    for one in earlier_epochs(home.record):
        folder = record / EARLIER / one.name
        folder.mkdir(parents=True)
        copy_acknowledgements(one, folder)
        copy_database(one / DATABASE, folder / DATABASE)
    copy_database(home.record / DATABASE, record / DATABASE)
    # Files after the database: a file is there before any event names it.
    copy_files(home.record / BLOBS, record / BLOBS)
    copy_beside(home.root, target)


def _verified(target: Path, made_at: datetime) -> Manifest:
    folder = target / "record"
    verify_copy(folder)
    with Record.open_readonly(folder) as record:
        heads = {log: record.head(log) for log in schema.LOGS}
        unit, simulated = record.unit_id, record.simulated
    files = [path for path in target.rglob("*") if path.is_file()]
    return Manifest(
        v=1,
        unit=unit,
        epoch=heads["gxp"].epoch.hex(),
        simulated=simulated,
        gxp={"seq": heads["gxp"].seq, "hash": heads["gxp"].hash.hex()},
        telemetry={"seq": heads["telemetry"].seq, "hash": heads["telemetry"].hash.hex()},
        earlier=[one.name for one in earlier_epochs(folder)],
        files=len(files),
        bytes=sum(path.stat().st_size for path in files),
        made_at=made_at.isoformat(timespec="seconds"),
        verified=True,
    )


def _refuse_without_room(home: Home, to: Path) -> None:
    def sized(folder: Path) -> Iterator[int]:
        for path in folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file() and path.name != RESERVE_NAME:
                    yield path.stat().st_size

    needed = sum(sized(home.record)) + ROOM_MARGIN_BYTES
    free = shutil.disk_usage(to).free
    if free < needed:
        raise RecordUnusable(
            f"{to} has {free // 2**20} MiB free and the copy needs {needed // 2**20} MiB. "
            "Free some, keep fewer copies, or name another medium."
        )


def _put(temporary: Path, path: Path) -> Path:
    """Give a finished copy its name; two within one second get a number."""
    number, wanted = 1, path
    while path.exists():
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")
    temporary.rename(path)
    return path


def _drop_old(to: Path, unit: str, keep: int) -> None:
    for old in copies_in(to, unit)[:-keep]:
        # Its manifest goes first: what is half removed is no copy any more.
        (old / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(old, ignore_errors=True)


def _rest(_status: int, _remaining: int, _total: int) -> None:
    time.sleep(REST_S)


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_all(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            _sync_file(path)
    sync_folder(folder)
