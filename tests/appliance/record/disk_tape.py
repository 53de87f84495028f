"""What a process asked of its disk, step by step, as recorder and image builder both know it."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Step(msgspec.Struct, array_like=True, frozen=True):
    """One step of the tape.

    Parameters
    ----------
    kind
        `mkdir`, `create`, `rename` and `unlink` change names; `write` and `truncate` change a file;
        `sync` and `sync_folder` are calls that have returned; `promise` is what the caller was told;
        `begun` ends what was on the disk before the tape.
    name
        Path below the root of the tape; of a `promise`, what was promised.
    node
        The file, whatever its name is at the moment.
    at
        Offset of a write, new size of a truncation, number of what is promised.
    data
        The bytes written; of a promised record, its hash.
    to
        The new name of a rename; of a promise, the log or the file it is about.
    """

    kind: str
    name: str = ""
    node: int = 0
    at: int = 0
    data: bytes = b""
    to: str = ""


def save_tape(path: Path, steps: list[Step]) -> None:
    path.write_bytes(msgspec.msgpack.encode(steps))


def load_tape(path: Path) -> list[Step]:
    return msgspec.msgpack.decode(path.read_bytes(), type=list[Step])
