"""Pictures and files, named by the SHA-256 of their content.

A file is on the disk, whole and synced, before any event names it: temporary file, fsync, rename,
fsync of the folder. A file that no event names is harmless; an event that names no file is not.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.record.errors import BlobMissing, RecordFull, RecordRefused, RecordUnusable

LARGEST_BLOB_BYTES = 256 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class BlobRef:
    """How an event names a stored file."""

    sha256: str
    size_bytes: int
    media_type: str


def blob_path(folder: Path, sha256: str) -> Path:
    """Where the file with this content lies under `folder`."""
    if not _SHA256.fullmatch(sha256):
        raise RecordRefused(f"{sha256[:80]!r} is not the SHA-256 of a file.")
    return folder / sha256[:2] / sha256


def store(folder: Path, data: bytes) -> str:
    """Keep `data` for good and return its SHA-256; storing the same bytes again changes nothing.

    Raises
    ------
    RecordRefused
        The file is larger than `LARGEST_BLOB_BYTES`.
    RecordFull
        There is no room; no part of the file is left behind.
    RecordUnusable
        The disk fails or has become read-only.
    """
    if len(data) > LARGEST_BLOB_BYTES:
        raise RecordRefused(f"The file has {len(data)} bytes; at most {LARGEST_BLOB_BYTES} are taken.")
    sha256 = hashlib.sha256(data).hexdigest()
    path = blob_path(folder, sha256)
    with disk_faults_in_words(folder):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Also where they were there: who made them may have been killed before their names were on the disk.
        sync_folder(folder)
        if path.is_file() and path.read_bytes() == data:
            sync_folder(path.parent)
        else:
            write_durably(path, data)
    return sha256


def load(folder: Path, sha256: str) -> bytes:
    """The stored bytes.

    Raises
    ------
    BlobMissing
        The file is not there, or its content is not what was stored.
    """
    path = blob_path(folder, sha256)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BlobMissing(f"The file {sha256} is not in the record folder. Call the supervisor.") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise BlobMissing(f"The file {sha256} was changed after it was stored. Call the supervisor.")
    return data


def stored(folder: Path) -> Iterator[str]:
    """The names of all files under `folder`, sorted."""
    for path in sorted(folder.glob("??/*")):
        if _SHA256.fullmatch(path.name):
            yield path.name


@contextlib.contextmanager
def disk_faults_in_words(folder: Path) -> Iterator[None]:
    """Turn what the system says of a full, failing or read-only disk into the record's own errors."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RecordFull(folder) from problem
        if problem.errno in (errno.EIO, errno.EROFS):
            raise RecordUnusable(
                f"The disk that holds the batch record takes no files ({problem.strerror}, {folder}). "
                "Nothing recorded so far is lost. Call service."
            ) from problem
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` at `path` so that after a power cut the file is either absent, old or whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
