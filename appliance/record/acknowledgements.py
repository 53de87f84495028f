"""Central's signed acknowledgements: all kept in the record, the last one also in a second place.

An acknowledgement is canonical JSON with at least `acked_seq`, `acked_hash` (hex) and `server_time`.
The second place outlives a record whose end was cut off or that came from a backup.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from pathlib import Path

from appliance.record.attachments import disk_faults_in_words, write_durably
from appliance.record.canonical import wall_us
from appliance.record.errors import RecordUnusable

LARGEST_BYTES = 64 * 1024


def second_place_path(folder: Path, log: str) -> Path:
    """Where the last acknowledgement of a log is kept again."""
    return folder / f"last-ack-{log}.json"


def keep_second(folder: Path, log: str, acked_seq: int, ack: bytes, signature: bytes) -> None:
    """Write the last acknowledgement beside the database."""
    note = {
        "log": log,
        "acked_seq": acked_seq,
        "ack": base64.b64encode(ack).decode(),
        "signature": base64.b64encode(signature).decode(),
    }
    with disk_faults_in_words(folder):
        write_durably(second_place_path(folder, log), json.dumps(note, sort_keys=True).encode() + b"\n")


def second_place(folder: Path, log: str) -> tuple[int, bytes] | None:
    """The last acknowledgement as the second place has it: number and exact bytes; None when none is kept."""
    path = second_place_path(folder, log)
    try:
        note = json.loads(path.read_bytes())
        return int(note["acked_seq"]), base64.b64decode(note["ack"], validate=True)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as problem:
        raise RecordUnusable(f"{path} cannot be read ({problem}). Call QA.") from None


def acked_hash(ack: bytes) -> str:
    """The chain hash (hex) that central says it holds; empty when the acknowledgement does not say."""
    return str(_field(ack, "acked_hash") or "")


def epoch_of(ack: bytes) -> str:
    """The log epoch (hex) that an acknowledgement is of; empty when it does not say."""
    return str(_field(ack, "epoch") or "")


def server_time_us(ack: bytes) -> int | None:
    """Central's time of the acknowledgement in microseconds since 1970, when it says one."""
    try:
        moment = datetime.fromisoformat(str(_field(ack, "server_time")))
    except ValueError:
        return None
    return wall_us(moment) if moment.utcoffset() is not None else None


def cut_off_words(log: str, acked_seq: int, head: int) -> str:
    """What people are told when central holds more than the record."""
    return (
        f"Central holds events of {log} up to {acked_seq}, this record ends at {head}: it is an old copy, "
        "or its end was cut off. Start no batch; call QA."
    )


def _field(ack: bytes, name: str) -> object:
    try:
        facts = json.loads(ack)
    except ValueError:
        return None
    return facts.get(name) if isinstance(facts, dict) else None
