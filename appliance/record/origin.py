"""Genesis: what the first record of each log says about all that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.record import sqlite
from appliance.record.canonical import NewRecord, Stamp, StoredRecord, decode_payload, encode_payload
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.segments import fingerprint

if TYPE_CHECKING:
    from sqlite3 import Connection

GENESIS = "Genesis"


@dataclass(frozen=True, slots=True)
class Origin:
    """What genesis says about the whole record."""

    unit: str
    epoch: bytes
    public_key: bytes
    software_version: str
    simulated: bool


def genesis(
    origin: Origin, log: str, stamp: Stamp, hardware: str, previous: Mapping[str, Any] | None = None
) -> NewRecord:
    """The first record of a log; `previous` tells of the log that this one goes on from, after a restore."""
    body = {
        "unit": origin.unit,
        "log": log,
        "epoch": origin.epoch.hex(),
        "public_key": origin.public_key.hex(),
        "key": fingerprint(origin.public_key),
        "software_version": origin.software_version,
        "simulated": origin.simulated,
        "hardware": hardware,
        "previous_epoch": None if previous is None else dict(previous),
    }
    payload = encode_payload(None, None, body)
    return NewRecord(kind=GENESIS, payload=payload, actor="unit", stamp=stamp, log=log)


def read_origin(connection: Connection, folder: Path) -> Origin:
    """Read genesis from the gxp log.

    Raises
    ------
    RecordUnusable
        There is none, or it cannot be read.
    """
    try:
        row = connection.execute("SELECT data FROM gxp_record WHERE seq = 1").fetchone()
    except sqlite.Error as problem:
        raise sqlite.unusable(folder, problem) from problem
    if row is None:
        raise RecordUnusable(f"The record in {folder} has no beginning. Call QA.")
    first = StoredRecord(1, b"", row[0])
    try:
        body = decode_payload(first.payload).body
        return Origin(
            first.header.unit,
            first.header.epoch,
            bytes.fromhex(body["public_key"]),
            str(body["software_version"]),
            body["simulated"] is True,
        )
    except (RecordRefused, KeyError, TypeError, ValueError) as problem:
        raise RecordUnusable(f"The beginning of the record in {folder} cannot be read ({problem}).") from None
