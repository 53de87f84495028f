"""What a redacted archive says of the records and files that it withholds."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from appliance.record.canonical import canonical_json, read_json
from appliance.record.checks import Finding, Run
from appliance.record.errors import RecordRefused
from appliance.record.redact import LOG, WITHHELD

_HASH = re.compile(r"[0-9a-f]{64}")
OTHERWISE = "what is withheld is not what withheld.json names."


class WithheldRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In place of a record: its leaf in the signed tree, and the files it names, which its seal counts."""

    seq: int
    kind: str
    batch: str | None
    reason: str
    leaf: str
    files: list[str]


class WithheldFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sha256: str
    reason: str


class Withheld(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it, in order."""

    v: int = 1
    records: list[WithheldRecord] = []
    files: list[WithheldFile] = []

    @property
    def file_names(self) -> set[str]:
        return {one.sha256 for one in self.files}


def read_withheld(entries: Mapping[str, bytes]) -> Withheld:
    """The archive's list; an archive without one withholds nothing.

    Raises
    ------
    RecordRefused
        It is not of its form.
    """
    raw = entries.get(WITHHELD)
    if raw is None:
        return Withheld()
    try:
        found = msgspec.convert(read_json(raw), Withheld)
    except (RecordRefused, msgspec.ValidationError):
        raise RecordRefused("The list of what is withheld is not of the known form.") from None
    names = [*(one.leaf for one in found.records), *(name for one in found.records for name in one.files)]
    good = all(_HASH.fullmatch(name) for name in (*names, *found.file_names))
    good = good and found.v == 1 and canonical_json(msgspec.to_builtins(found)) + b"\n" == raw
    reasons = [one.reason for one in found.records] + [one.reason for one in found.files]
    if not good or not all(reasons):
        raise RecordRefused("The list of what is withheld is not of the known form.")
    return found


def add_all(run: Run, records: list[bytes], hashes: list[bytes], withheld: Withheld) -> None:
    """Check a run in which some records are withheld: each of these by its place, leaf and hash."""
    rows = iter(withheld.records if run.log == LOG else [])
    for number, data in enumerate(records):
        stored = hashes[number] if number < len(hashes) else b""
        if data:
            if not run.add(data, stored):
                return
            continue
        row = next(rows, None)
        if row is None or row.seq != run.last + 1 or len(stored) != 32:
            run.findings.append(Finding(OTHERWISE, run.log, run.last + 1))
            return
        run.add_withheld(bytes.fromhex(row.leaf), stored, row.batch, row.files)
    if next(rows, None) is not None:
        run.findings.append(Finding("The list of what is withheld names more than is withheld."))
