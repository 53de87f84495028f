"""The audit trail as one can use it: who, when, what from and to, why; filtered and put in order.

It streams: what is kept in memory is the row at hand, and with another order than the record's own
eight bytes for each row found.
"""

from __future__ import annotations

import csv
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TextIO

from appliance.record.audit_words import change, reason, sentence
from appliance.record.canonical import LAYOUT, StoredRecord, wall_us
from appliance.record.report.entries import Entry
from appliance.record.report.exceptions import exception_in
from appliance.record.report.text import Times

ONLY = ("critical", "changes", "refusals", "signatures", "access", "time", "exceptions")
JUDGED = ("critical", "exceptions")  # by what an event says, not by its name alone
SORTS = ("time", "who", "kind")
COLUMNS = (
    "seq",
    "utc",
    "local",
    "clock",
    "who",
    "kind",
    "batch",
    "phase",
    "what",
    "old",
    "new",
    "why",
    "hash",
)
PEOPLE_FIELDS = (
    "person", "name", "by", "giver", "receiver", "performed_by", "verified_by", "first_person",
    "second_person", "first_name", "second_name",
)  # fmt: skip
CLOCKS = ("untrusted", "trusted", "simulated")
# Places of the fields in a record's header (docs/record-format.md).
_WALL_AT, _ACTOR, _KIND = 80, slice(124, 156), slice(156, 204)

_ACCESS = (
    "Session",
    "SignIn",
    "Account",
    "Roles",
    "Secret",
    "Badge",
    "Emergency",
    "Identit",
    "SecurityNotice",
)
_SIGNED = ("Signature", "SecondPerson", "HandOverSigned", "Disposition")
_TIME = ("Clock", "TimeConfirmed", "EngineSt", "RecoveredFromCrash")
# What changes a value, a state or a document by a person's will, after it was first so.
_CHANGES = (
    "Corrected", "Voided", "CorrectionProposed", "AccountSet", "AccountRemoved", "AccountDisabled",
    "AccountEnabled", "AccountUnlocked", "RolesApplied", "SecretChanged", "Badge", "DocumentActivated",
    "Aborted", "PhaseHolding", "PhaseRestarting", "CountRepeated", "DispositionRecorded", "ClockAdjusted",
    "IdentityErased", "LabelVoided", "LabelMissing", "LabelLossAccepted", "StopReleased", "Restored",
)  # fmt: skip
# What a reviewer of the audit trail must have seen before a release, besides every exception.
CRITICAL = ("changes", "refusals")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One event as a reviewer reads it."""

    seq: int
    at: datetime
    clock: str
    who: str
    kind: str
    batch: str
    phase: str
    what: str
    old: str
    new: str
    why: str
    hash: str

    def facts(self, times: Times) -> dict[str, str | int]:
        """The row as plain values, in the order of `COLUMNS`."""
        return {
            "seq": self.seq,
            "utc": self.at.isoformat(),
            "local": times.local(self.at),
            **{name: getattr(self, name) for name in COLUMNS[3:]},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is wanted; an empty field wants everything."""

    batch: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    who: str = ""
    kind: str = ""
    what: str = ""
    only: str = ""

    def __post_init__(self) -> None:
        assert self.only in ("", *ONLY), self.only

    def raw(self) -> Callable[[bytes], bool]:
        """Whether a record's bytes can be wanted at all, without decoding them."""
        low = wall_us(self.begin) if self.begin else None
        high = wall_us(self.end) if self.end else None
        who, kind, batch = self.who.encode(), self.kind.lower(), self.batch.encode()

        def wanted(data: bytes) -> bool:
            if low is not None or high is not None:
                wall = int.from_bytes(data[_WALL_AT : _WALL_AT + 8], "big", signed=True)
                if (low is not None and wall < low) or (high is not None and wall >= high):
                    return False
            if kind or self.only:
                name = data[_KIND].rstrip(b"\x00").decode("utf-8", "replace")
                if kind and kind not in name.lower():
                    return False
                if self.only and self.only not in JUDGED and not is_of(self.only, name):
                    return False
            return (not who or who in data) and (not batch or batch in data)

        return wanted

    def takes(self, entry: Entry) -> bool:
        """The rest, on what the event says."""
        if self.batch and entry.payload.batch != self.batch:
            return False
        if self.who and self.who not in _people(entry):
            return False
        if self.only == "critical" and any(is_of(group, entry.kind) for group in CRITICAL):
            return True
        return self.only not in JUDGED or exception_in(entry) is not None

    @property
    def covers_critical(self) -> bool:
        """Whether nothing critical is left out, so that a review can be signed over what it shows."""
        narrowed = (self.begin, self.end, self.who, self.kind, self.what)
        return not any(narrowed) and self.only in ("", "critical")


def is_of(group: str, kind: str) -> bool:
    """Whether a kind of event belongs to a group of `ONLY` by its name; later kinds fall in by theirs."""
    match group:
        case "refusals":
            return "Refused" in kind
        case "signatures":
            return kind.startswith(_SIGNED)
        case "access":
            return kind.startswith(_ACCESS)
        case "time":
            return kind.startswith(_TIME)
        case _:
            return any(part in kind for part in _CHANGES)


def row_of(stored: StoredRecord) -> AuditRow:
    """One stored event in words."""
    return _row(Entry(stored))


def _row(entry: Entry) -> AuditRow:
    header, body = entry.header, entry.body
    old, new = change(body)
    return AuditRow(
        seq=entry.seq,
        at=header.wall,
        clock=CLOCKS[header.clock_quality],
        who=header.actor,
        kind=header.kind,
        batch=entry.payload.batch or "",
        phase=str(body.get("phase") or ""),
        what=sentence(header.kind, body),
        old=old,
        new=new,
        why=reason(header.kind, body),
        hash=entry.stored.hash.hex(),
    )


def trail(events: Iterable[StoredRecord], wanted: Filter) -> Iterator[AuditRow]:
    """The rows that are wanted, in the order of the record."""
    raw, text = wanted.raw(), wanted.what.casefold()
    for stored in events:
        if not raw(stored.data):
            continue
        entry = Entry(stored)
        if not wanted.takes(entry):
            continue
        row = _row(entry)
        if not text or text in f"{row.what}\n{row.old}\n{row.new}\n{row.why}\n{row.phase}".casefold():
            yield row


def in_order(
    read: Callable[[int, int | None], Iterable[StoredRecord]], wanted: Filter, sort: str, *, reverse: bool
) -> Iterator[AuditRow]:
    """The same rows by time, who or kind, each in the record's order among themselves.

    Parameters
    ----------
    read
        Events from a number to a number, both included; asked a second time row by row.
    """
    assert sort in SORTS, sort
    if sort == "time" and not reverse:
        yield from trail(read(1, None), wanted)
        return
    found: dict[str, array[int]] = {}
    for row in trail(read(1, None), wanted):
        found.setdefault("" if sort == "time" else str(getattr(row, sort)), array("Q")).append(row.seq)
    for name in sorted(found, reverse=reverse):
        numbers = found[name]
        for seq in reversed(numbers) if sort == "time" else numbers:
            for stored in read(seq, seq):
                yield row_of(stored)


def write_csv(rows: Iterable[AuditRow], out: TextIO, times: Times) -> int:
    """The rows as CSV (RFC 4180); returns how many. A cell never begins a formula of a spreadsheet."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    count = 0
    for count, row in enumerate(rows, 1):  # noqa: B007  (counted while it streams)
        writer.writerow([_harmless(value) for value in row.facts(times).values()])
    return count


def _harmless(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def moment(text: str) -> datetime:
    """A day or a moment as people write it, in UTC where it names no zone; raises `ValueError`."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _people(entry: Entry) -> set[str]:
    body: dict[str, Any] = entry.body
    return {entry.header.actor, *(str(body[name]) for name in PEOPLE_FIELDS if body.get(name))}


assert LAYOUT.size == _KIND.stop + 4, "the places above are those of the header"
