"""Notes that the copy commands leave for the engine, which alone writes the record.

A note is the body of an event. The engine takes it at its next tick, or at its next start, and then
removes it; one that was recorded before the engine died is not recorded twice.
"""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from appliance.record.attachments import write_durably

NOTES = "notes"
KINDS = frozenset({"BackupTaken", "BackupFailed", "RestoreDrilled"})
LARGEST_BYTES = 64 * 1024
TAKEN_AT_ONCE_MAX = 100

_logger = logging.getLogger(__name__)


def leave(record_folder: Path, kind: str, body: dict[str, Any]) -> Path:
    """Leave a note beside the record in `record_folder`."""
    folder = record_folder / NOTES
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json"
    write_durably(path, json.dumps({"kind": kind, "body": body}, sort_keys=True).encode() + b"\n")
    return path


def waiting(record_folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """The notes that nobody took yet, oldest first; what cannot be read is put aside under another name."""
    for path in sorted((record_folder / NOTES).glob("*.json"))[:TAKEN_AT_ONCE_MAX]:
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise ValueError("it is too long")
            note = json.loads(path.read_bytes())
            kind, body = note["kind"], dict(note["body"])
            if kind not in KINDS:
                raise ValueError(f"it is of the kind {kind!r}")
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError) as problem:
            _logger.error("the note %s cannot be read: %s", path, problem)
            put_aside(path)
            continue
        yield path, kind, body


def put_aside(path: Path) -> None:
    """Keep a note that cannot be used under a name that is not looked at again."""
    path.rename(path.with_suffix(".unreadable"))
