"""Is this record whole and unchanged, and signed by keys that someone outside it vouches for?

Chain, gaps, headers, segments, signatures, files, acknowledgements. The stand-alone verifier in each
archive (`stand_alone_verify.py`) says the same without Cellwright; the two share no code on purpose.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from appliance.record import acknowledgements, attachments, schema, sqlite
from appliance.record.acknowledgement_checks import check_acks, check_second_place
from appliance.record.canonical import NO_HASH, read_json
from appliance.record.checks import Finding, Origin, Run, Trust, check_anchors, check_files
from appliance.record.document_checks import check_documents
from appliance.record.epochs import earlier_epochs, links_misfit
from appliance.record.errors import BlobMissing, RecordError, RecordRefused
from appliance.record.log import DATABASE, Record
from appliance.record.segments import Segment, fingerprint

WHOLE = "whole and unchanged"
BROKEN = "NOT whole and unchanged"


@dataclass(slots=True)
class Verdict:
    """What a verification found."""

    target: str
    unit: str = ""
    batches: list[str] = field(default_factory=list)
    simulated: bool = False
    events: int = 0
    unsigned_events: int = 0
    trusted: bool | None = None
    distrusted: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    withheld: tuple[int, int] = (0, 0)  # records and files that a redacted archive withholds
    signatures: int = 0
    signatures_ns: int = 0  # the time that checking the segments' signatures took

    def count(self, run: Run, unsigned: int) -> None:
        """Add what was checked of one log."""
        self.events += run.count
        self.unsigned_events += max(0, unsigned)
        self.batches += run.batches
        self.signatures += run.walk.signatures
        self.signatures_ns += run.walk.signatures_ns

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, added or changed."""
        return not self.findings

    @property
    def good(self) -> bool:
        """Whether it is whole and, when trust was asked for, signed by trusted keys."""
        return self.whole and self.trusted is not False

    @property
    def first_bad(self) -> Finding | None:
        """The first event that is not right; without one, the first other thing that is not."""
        named = [finding for finding in self.findings if finding.log] or self.findings
        return named[0] if named else None

    @property
    def words(self) -> str:
        """The verdict in one or two sentences."""
        if self.first_bad is not None:
            return f"{BROKEN}. First bad: {self.first_bad}"
        said = f"{WHOLE}: {self.events} events of unit {self.unit}"
        if any(self.withheld):
            records, files = self.withheld
            said += f"; {records} records and {files} files withheld, named in withheld.json with reasons"
        if self.unsigned_events:
            said += f" ({self.unsigned_events} of them not yet signed)"
        if self.trusted is None:
            said += ". Whether the keys are the right ones was not asked; give --trust FILE."
        elif self.trusted:
            said += "; signed by trusted keys."
        else:
            said += f"; but NOT signed by trusted keys: {'; '.join(self.distrusted)}."
        return said + (" SIMULATED: never for a patient." if self.simulated else "")

    def as_json(self) -> dict[str, Any]:
        """The verdict as one JSON object."""
        bad = self.first_bad
        return {
            "target": self.target,
            "whole": self.whole,
            "trusted": self.trusted,
            "first_bad": None
            if bad is None
            else {"log": bad.log, "seq": bad.seq, "kind": bad.kind, "words": bad.words},
            "findings": [str(finding) for finding in self.findings],
            "unit": self.unit,
            "batches": self.batches,
            "simulated": self.simulated,
            "events": self.events,
            "unsigned_events": self.unsigned_events,
            "withheld": {"records": self.withheld[0], "files": self.withheld[1]},
            "words": self.words,
        }


def load_trust(path: Path) -> Trust:
    """Read a list of trusted fingerprints by role.

    Raises
    ------
    RecordRefused
        The file cannot be read or is not such a list.
    """
    try:
        lists = msgspec.convert(read_json(path.read_bytes()), dict[str, list[str]])
    except (OSError, RecordRefused, msgspec.ValidationError) as problem:
        raise RecordRefused(f"The list of trusted keys {path} cannot be read: {problem}.") from None
    return Trust({role: frozenset(keys) for role, keys in lists.items()})


def verify_record(target: Path, trust: Trust | None = None) -> Verdict:
    """Verify an archive or a record folder.

    Raises
    ------
    RecordError
        There is nothing there that can be read as a record or an archive.
    """
    if target.is_dir():
        return verify_folder(target, trust)
    from appliance.record.verify_archive import verify_archive

    return verify_archive(target, trust)


def verify_folder(folder: Path, trust: Trust | None = None) -> Verdict:
    """Verify a whole record folder, also while the engine writes it, and each log before a restore."""
    verdict = Verdict(str(folder))
    distrusted: list[str] = []
    for one in earlier_epochs(folder):
        told = len(verdict.findings)
        _verify_one(one, trust, verdict, distrusted)
        verdict.findings[told:] = [
            replace(found, words=f"in the earlier log {one.name}: {found.words}")
            for found in verdict.findings[told:]
        ]
    _verify_one(folder, trust, verdict, distrusted)
    if verdict.findings:
        return verdict
    # Which log follows which is asked last: a log that is damaged cannot say where it ends.
    verdict.findings += [Finding(words) for words in links_misfit(folder)]
    return verdict


def _verify_one(folder: Path, trust: Trust | None, verdict: Verdict, distrusted: list[str]) -> None:
    with Record.open_readonly(folder) as record:
        verdict.unit, verdict.simulated = record.unit_id, record.simulated
        _check_database(record, verdict)
        runs = {log: _check_log(record, log, trust, verdict, distrusted) for log in schema.LOGS}
        verdict.findings += check_anchors(runs["gxp"], runs["telemetry"])
        _check_blobs(record, runs.values(), verdict)
        findings, unknown = check_documents(runs["gxp"], _blob_of(record), trust)
        verdict.findings += findings
        distrusted += unknown
        judge_unit(record.public_key, trust, distrusted, verdict)


def _check_database(record: Record, verdict: Verdict) -> None:
    connection = sqlite.connect(record.folder / DATABASE, read_only=True)
    try:
        damage = [str(row[0]) for row in connection.execute("PRAGMA quick_check")]
        if damage != ["ok"]:
            verdict.findings.append(Finding(f"The record file is damaged: {damage[0]}."))
        missing = schema.missing_triggers(connection)
        if missing:
            verdict.findings.append(Finding(f"The guard {missing[0]} was taken off the record."))
    except sqlite.Error as problem:
        verdict.findings.append(Finding(f"The record file is damaged: {problem}."))
    finally:
        connection.close()


def _check_log(record: Record, log: str, trust: Trust | None, verdict: Verdict, distrusted: list[str]) -> Run:
    head = record.head(log)
    # What is signed and acknowledged is asked first: what comes in meanwhile only makes the run longer.
    kept = acknowledgements.second_place(record.folder, log)
    signed, acks = record.signed(log), record.acks(log)
    origin = Origin(record.unit_id, head.epoch, record.public_key, record.simulated)
    segments = itertools.takewhile(lambda one: one.last <= signed, record.segments(log=log))
    run = Run(log, 1, NO_HASH, origin)
    run.signed_in(segments)
    try:
        _pass_all(record, run)
    except RecordError as problem:
        run.findings.append(Finding(str(problem), log, run.last + 1))
    if run.last < head.seq and not run.findings:
        run.findings.append(Finding("the event is missing.", log, run.last + 1, "gap"))
    verdict.findings += run.findings
    verdict.findings += run.end(whole_run=False)
    findings, unknown = check_acks(
        run, acks, trust, lambda seq: next(record.read(seq, seq, log=log)).header.kind
    )
    verdict.findings += findings or check_second_place(run, acks, kept)
    distrusted += unknown
    verdict.count(run, run.last - signed)
    return run


def _pass_all(record: Record, run: Run) -> None:
    for page in record.pages(log=run.log):
        if not run.add_all(page):
            return


def _check_blobs(record: Record, runs: Iterable[Run], verdict: Verdict) -> None:
    seen: set[str] = set()
    for run in runs:
        verdict.findings += check_files(run, lambda sha256: _blob_of(record)(sha256) is not None)
        seen |= run.named.keys()
    for reference in record.blob_refs():
        if reference.sha256 in seen:
            continue
        try:
            record.blob(reference.sha256)
        except BlobMissing as problem:
            verdict.findings.append(Finding(str(problem)))


def _blob_of(record: Record) -> Callable[[str], bytes | None]:
    def blob(sha256: str) -> bytes | None:
        try:
            return attachments.load(record.blobs_folder, sha256)
        except RecordError:
            return None  # said by the check of the files

    return blob


def judge_unit(public_key: bytes, trust: Trust | None, distrusted: list[str], verdict: Verdict) -> None:
    """Put on the verdict whether the unit's key and the documents' keys are trusted."""
    if trust is None:
        return
    if not trust.knows("unit", fingerprint(public_key)):
        distrusted = [f"the unit's key {fingerprint(public_key)}", *distrusted]
    verdict.distrusted = distrusted
    verdict.trusted = not distrusted


def segments_from_json(raw: bytes) -> list[Segment]:
    """The segments of an archive's `…-segments.json`.

    Raises
    ------
    RecordRefused
        The file is not of that form.
    """
    try:
        rows = read_json(raw)["segments"]
        return [
            Segment(row["header"].encode(), bytes.fromhex(row["signature"]), row["first"], row["last"])
            for row in rows
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise RecordRefused(f"The list of segments cannot be read: {problem}.") from None
