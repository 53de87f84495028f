"""Which program made a record: one hash over the program's own files (R-01)."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

import appliance

PACKAGES = ("appliance", "drivers", "sync", "tui", "vision")
_MADE_HERE = frozenset({"__pycache__"})  # caches that Python and Numba write while the program runs


@cache
def build_hash() -> str:
    """SHA-256 over name and content of every file of the installed program; read once a process."""
    return hash_of(Path(appliance.__file__).parents[1])


def hash_of(root: Path) -> str:
    """The hash of the program whose packages lie in `root`; the same files give the same hash anywhere."""
    total = hashlib.sha256()
    for path in sorted(one for package in PACKAGES for one in (root / package).rglob("*") if one.is_file()):
        name = path.relative_to(root)
        if not _MADE_HERE.intersection(name.parts):
            total.update(hashlib.sha256(path.read_bytes()).hexdigest().encode())
            total.update(b"  " + name.as_posix().encode() + b"\n")
    return total.hexdigest()
