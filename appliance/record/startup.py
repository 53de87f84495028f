"""What is checked before a record takes its first event of the day."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.record import disk, schema, sqlite
from appliance.record.canonical import NO_HASH, record_hash, split_record
from appliance.record.errors import RecordRefused
from appliance.record.segments import SIGNING_DOMAIN, signed_by

if TYPE_CHECKING:
    from sqlite3 import Connection


@dataclass(slots=True)
class StartUpReport:
    """The result of the start-up check; the engine puts `as_body()` on record."""

    sqlite_version: str = ""
    threadsafe: str = ""
    schema_hash: str = ""
    free_bytes: int = 0
    disk_level: str = ""
    mount: str = ""
    checked_records: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether the record may be used."""
        return not self.problems

    def as_body(self) -> dict[str, object]:
        """The facts for an event: text, whole numbers and lists only."""
        return {
            "good": self.good,
            "sqlite_version": self.sqlite_version,
            "compile_options": self.threadsafe,
            "schema_hash": self.schema_hash,
            "free_bytes": self.free_bytes,
            "disk_level": self.disk_level,
            "mount": self.mount,
            "checked_gxp_records": self.checked_records.get("gxp", 0),
            "checked_telemetry_records": self.checked_records.get("telemetry", 0),
            "problems": list(self.problems),
            "warnings": list(self.warnings),
        }


def check(connection: Connection, folder: Path, public_key: bytes) -> StartUpReport:
    """Check library, file, guards, room, and the chain since the last signed segment."""
    report = StartUpReport(sqlite_version=".".join(map(str, sqlite.version())))
    options = sqlite.compile_options(connection)
    report.threadsafe = next((option for option in options if option.startswith("THREADSAFE")), "")
    if report.threadsafe == "THREADSAFE=0":
        report.problems.append(
            "The database library was built without thread safety. Install the locked one."
        )
    damage = [str(row[0]) for row in connection.execute("PRAGMA quick_check")]
    if damage != ["ok"]:
        report.problems.append(f"The record file is damaged ({damage[0]}). Call service; use the backup.")
        return report
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version != schema.SCHEMA_VERSION:
        report.problems.append(_other_version_words(version))
        return report
    for name in schema.missing_triggers(connection):
        report.problems.append(f"The guard {name} is missing: the record was altered. Call QA.")
    report.schema_hash = schema.schema_hash(connection)
    if report.schema_hash != schema.SCHEMA_HASH:
        report.problems.append("The tables of the record are not as this software makes them. Call service.")
        return report
    _check_room(report, folder)
    for log in schema.LOGS:
        problem = _check_chain(report, connection, log, public_key)
        if problem:
            report.problems.append(problem)
    return report


def _other_version_words(version: int) -> str:
    if version > schema.SCHEMA_VERSION:
        return schema.later_words(version)
    return (
        f"The tables of the record have version {version}, this software's have {schema.SCHEMA_VERSION}. "
        "Start the unit's engine: it brings the record to this version first."
    )


def _check_room(report: StartUpReport, folder: Path) -> None:
    level = disk.disk_level(folder)
    report.free_bytes, report.disk_level = level.free_bytes, level.level
    if not level.may_start:
        report.warnings.append(level.words)
    report.mount = mount_options(folder)
    if "data=writeback" in report.mount:
        report.warnings.append("The disk is mounted with data=writeback, which can damage the record.")


def _check_chain(report: StartUpReport, connection: Connection, log: str, public_key: bytes) -> str:
    table = schema.table_of(log)
    sealed = connection.execute(
        "SELECT last, header, signature FROM segment WHERE log = ? ORDER BY first DESC LIMIT 1", (log,)
    ).fetchone()
    previous, expected = NO_HASH, 1
    if sealed is not None:
        if not signed_by(public_key, SIGNING_DOMAIN + sealed[1], sealed[2]):
            return f"The last segment of {log} is not signed by this unit. Call QA."
        row = connection.execute(f"SELECT hash FROM {table} WHERE seq = ?", sealed[:1]).fetchone()
        if row is None or row[0].hex().encode() not in sealed[1]:
            return f"Event {sealed[0]} of {log} is not the one that was signed. Call QA."
        previous, expected = row[0], sealed[0] + 1
    for seq, stored_hash, data in connection.execute(
        f"SELECT seq, hash, data FROM {table} WHERE seq >= ? ORDER BY seq", (expected,)
    ):
        if seq != expected or stored_hash != record_hash(previous, data):
            return f"Event {seq} of {log} does not continue the chain. Call QA."
        try:
            if split_record(data)[0].seq != seq:
                return f"Event {seq} of {log} carries another number. Call QA."
        except RecordRefused as problem:
            return f"Event {seq} of {log} cannot be read: {problem} Call QA."
        previous, expected = stored_hash, seq + 1
        report.checked_records[log] = report.checked_records.get(log, 0) + 1
    return ""


def mount_options(folder: Path) -> str:
    """File system and options of the mount that holds `folder`; empty where the system does not say."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        device = folder.stat().st_dev
    except OSError:
        return ""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in lines:
        fields, _, tail = line.partition(" - ")
        if fields.split()[2] == wanted:
            kind, _source, options = [*tail.split(), "", "", ""][:3]
            return f"{kind} {fields.split()[5]} {options}"[:200]
    return ""
