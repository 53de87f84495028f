"""The tables of a record, and the guards that make them append-only.

Four guards stand together because each alone lets something through: triggers against UPDATE and
DELETE, a trigger that takes only the next number (REPLACE passes the first), an authorizer on the
connection (DROP passes both), and the hash chain, which tells of whatever root did to the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from appliance.record import sqlite

if TYPE_CHECKING:
    from sqlite3 import Connection

LOGS = ("gxp", "telemetry")
SCHEMA_VERSION = 1
SCHEMA_HASH = "cc8ec9a057772beabe480a336698976563649b0197eabf5d10d6ef319ce33763"

TABLES: Mapping[str, tuple[dict[str, type], str | tuple[str, ...], tuple[str, ...]]] = {
    # name: (columns, primary key, columns that may be empty)
    "gxp_record": ({"seq": int, "hash": bytes, "data": bytes}, "seq", ()),
    "telemetry_record": ({"seq": int, "hash": bytes, "data": bytes}, "seq", ()),
    "segment": (
        {"log": str, "first": int, "last": int, "header": bytes, "signature": bytes},
        ("log", "first"),
        (),
    ),
    "ack": (
        {"number": int, "log": str, "acked_seq": int, "ack": bytes, "signature": bytes, "at_us": int},
        "number",
        ("at_us",),
    ),
    "blob": ({"sha256": str, "size_bytes": int, "media_type": str}, "sha256", ()),
}

# What a row must be when it comes in: the next one, and never one that is there already.
_MISPLACED = {
    "gxp_record": "NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM gxp_record)",
    "telemetry_record": "NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM telemetry_record)",
    "segment": "NEW.last < NEW.first OR NEW.first IS NOT"
    " (SELECT coalesce(max(last), 0) + 1 FROM segment WHERE log = NEW.log)",
    "ack": "NEW.number IS NOT (SELECT coalesce(max(number), 0) + 1 FROM ack)",
    "blob": "EXISTS (SELECT 1 FROM blob WHERE sha256 = NEW.sha256)",
}

_INSERT, _PRAGMA, _READ, _SELECT, _TRANSACTION, _FUNCTION = 18, 19, 20, 21, 22, 31
_HARMLESS = frozenset({_READ, _SELECT, _TRANSACTION})
# Pragma → the arguments it may be given; these read, or move committed pages from WAL to file.
_PRAGMAS: Mapping[str, frozenset[str | None]] = {
    "quick_check": frozenset({None}),
    "integrity_check": frozenset({None}),
    "compile_options": frozenset({None}),
    "synchronous": frozenset({None}),
    "journal_mode": frozenset({None}),
    "recursive_triggers": frozenset({None, "on"}),
    "user_version": frozenset({None}),
    "wal_checkpoint": frozenset({None, "TRUNCATE", "PASSIVE"}),
    "table_list": frozenset({None}),
    "table_info": frozenset(TABLES),
}


def table_of(log: str) -> str:
    """The table that holds a log's records."""
    if log not in LOGS:
        raise ValueError(f"There is no log {log!r}; the record has {' and '.join(LOGS)}.")
    return f"{log}_record"


def later_words(version: int, known: int = SCHEMA_VERSION) -> str:
    """What people are told of a record that a later version made."""
    return (
        f"The record was made by later software: its tables have version {version}, this software knows "
        f"version {known}. Nothing is lost or changed. Install the later version again."
    )


def create(connection: Connection) -> None:
    """Make the tables and their triggers in an empty database."""
    import sqlite_utils

    database: Any = sqlite_utils.Database(connection)
    for name, (columns, key, empty) in TABLES.items():
        filled = set(columns) - set(empty)
        database[name].create(columns, pk=key, not_null=filled, strict=True)
    for name, sql in triggers().items():
        assert name in sql
        connection.execute(sql)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    assert schema_hash(connection) == SCHEMA_HASH, schema_hash(connection)


def triggers() -> dict[str, str]:
    """Each guarding trigger's name and text."""
    made = {}
    for table, misplaced in _MISPLACED.items():
        made[f"{table}_takes_only_the_next"] = (
            f"CREATE TRIGGER {table}_takes_only_the_next BEFORE INSERT ON {table} WHEN {misplaced}"
            f" BEGIN SELECT RAISE(ABORT, '{table} takes only the next row'); END"
        )
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_refuses_{verb.lower()}"
            made[name] = (
                f"CREATE TRIGGER {name} BEFORE {verb} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
    return made


def missing_triggers(connection: Connection) -> list[str]:
    """Names of guarding triggers that are gone or were changed."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    return [name for name, sql in triggers().items() if found.get(name) != sql]


def schema_hash(connection: Connection) -> str:
    """A hash over what the tables are, not over how their CREATE statements happen to be spelt."""
    facts: list[object] = []
    strict = {row[1]: row[5] for row in connection.execute("PRAGMA table_list")}
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"):
        columns = connection.execute(f"PRAGMA table_info({name})").fetchall() if name in TABLES else []
        facts.append((name, strict[name], [tuple(column) for column in columns]))
    facts.extend(
        connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_master"
            " WHERE type IN ('trigger', 'view') OR (type = 'index' AND sql IS NOT NULL) ORDER BY type, name"
        )
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _authorize(action: int, first: str | None, second: str | None, _db: str | None, _by: str | None) -> int:
    if action in _HARMLESS:
        return sqlite.ALLOW
    if action == _INSERT and first in TABLES:
        return sqlite.ALLOW
    if action == _FUNCTION and second != "load_extension":
        return sqlite.ALLOW
    if action == _PRAGMA and first is not None and second in _PRAGMAS.get(first, ()):
        return sqlite.ALLOW
    return sqlite.DENY


def guard(connection: Connection) -> None:
    """From here on this connection reads and appends, and does nothing else."""
    connection.set_authorizer(_authorize)
