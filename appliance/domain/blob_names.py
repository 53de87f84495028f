"""Which files an event names, and one hash over all files of a batch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FIELDS = frozenset({"blob", "picture", "overlay", "images"})


def named_blobs(body: Mapping[str, Any]) -> list[str]:
    """The SHA-256 of each file that an event's body names, in order, each once."""
    return list(dict.fromkeys(_walk(body)))


def names_file(field: str) -> bool:
    """Whether a field of this name holds the SHA-256 of a file, or a list of them."""
    return field in _FIELDS or field.endswith("_blob")


def _walk(body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        if names_file(name):
            values = value if isinstance(value, list) else [value]
            yield from (one for one in values if isinstance(one, str) and _SHA256.fullmatch(one))
        elif isinstance(value, dict):
            yield from _walk(value)


def blobs_hash(names: Iterable[str]) -> str:
    """SHA-256 over the sorted names, each once, joined by line feeds: what a seal binds (SAFETY 13)."""
    return hashlib.sha256("\n".join(sorted(set(names))).encode("ascii")).hexdigest()
