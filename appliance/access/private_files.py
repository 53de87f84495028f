"""Files that hold a secret, and files that must be whole or absent."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from appliance.access.errors import KeyRefused

KEY_FILE_BYTES_MAX = 64 * 1024


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a secret readable by its owner alone; an existing secret is never overwritten unasked.

    Raises
    ------
    KeyRefused
        The file is there already.
    """
    if path.exists() and not replace:
        raise KeyRefused(
            "key_exists", f"{path} is there already. Move it away first; a key is never overwritten."
        )
    write_whole(path, data, mode=0o600)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write so that after a power cut the file is the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    # O_EXCL with the final mode: the secret is at no moment readable by others.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(path: Path) -> bytes:
    """Read a secret, unless others could have read it too.

    Raises
    ------
    KeyRefused
        The file is missing, too large, or readable by group or world.
    """
    try:
        with path.open("rb") as file:
            # The opened file is asked, not the path: a link swapped in between changes nothing.
            facts = os.fstat(file.fileno())
            data = file.read(KEY_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise KeyRefused("key_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_IMODE(facts.st_mode) & 0o077:
        raise KeyRefused(
            "key_exposed",
            f"{path} can be read by others on this machine. Run `chmod 600 {path}`, and make a new key "
            "if anybody else may have seen it.",
        )
    if len(data) > KEY_FILE_BYTES_MAX:
        raise KeyRefused("key_garbled", f"{path} is too large to be a key.")
    return data


@contextlib.contextmanager
def overwritten_after(path: Path) -> Iterator[None]:
    """Overwrite the present bytes of a file once the block has put another in its place or removed it.

    What a disk keeps of its own accord (worn cells, snapshots) is out of reach of any program.
    """
    with path.open("r+b") as old:
        yield
        size = os.fstat(old.fileno()).st_size
        old.write(os.urandom(size))
        old.flush()
        os.fsync(old.fileno())
