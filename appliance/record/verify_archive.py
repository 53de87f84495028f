"""Verify an exported archive: every byte of the file, then what the bytes say."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from appliance.record import archive
from appliance.record.canonical import canonical_json, decode_payload, read_json, split_record
from appliance.record.checks import Finding, Origin, Run, Trust, check_anchors, check_files
from appliance.record.document_checks import check_documents
from appliance.record.errors import RecordRefused, RecordUnusable
from appliance.record.segments import signed_by
from appliance.record.verify import Verdict, judge_unit, segments_from_json
from appliance.record.withheld import Withheld, add_all, read_withheld

LOGS = ("gxp", "telemetry")


def verify_archive(path: Path, trust: Trust | None = None) -> Verdict:
    """Verify one archive.

    Raises
    ------
    RecordUnusable
        The file is not there or is no archive at all.
    """
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise RecordUnusable(f"{path} cannot be read: {problem.strerror}.") from None
    if not archive.looks_like_one(raw):
        raise RecordUnusable(f"{path} is not an archive of a batch.")
    verdict = Verdict(str(path))
    opened = archive.take_apart(raw)
    entries = opened.entries
    try:
        manifest = _manifest(entries)
        origin, runs = _open_runs(entries, manifest)
        withheld = read_withheld(entries)
    except RecordRefused as problem:
        verdict.findings += [Finding(words) for words in opened.problems] or [Finding(str(problem))]
        verdict.trusted = None if trust is None else False
        return verdict
    verdict.unit, verdict.simulated, verdict.batches = origin.unit, origin.simulated, [manifest["batch"]]
    verdict.withheld = (len(withheld.records), len(withheld.files))
    for run in runs:
        _check_run(entries, manifest, run, verdict, withheld)
    verdict.batches = [manifest["batch"]]
    verdict.findings += check_anchors(*runs)
    _check_files(entries, runs, verdict, withheld.file_names)
    findings, distrusted = check_documents(runs[0], lambda name: entries.get(f"blobs/{name}"), trust)
    verdict.findings += findings
    verdict.findings += _check_manifest(entries, manifest, origin)
    verdict.findings += [Finding(words) for words in opened.problems]
    judge_unit(origin.public_key, trust, distrusted, verdict)
    return verdict


class _Range(msgspec.Struct, forbid_unknown_fields=True):
    first: int
    last: int
    prev_hash: str
    last_hash: str


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    sha256: str
    size: int


class _Manifest(msgspec.Struct, forbid_unknown_fields=True):
    v: int
    format: str
    unit: str
    batch: str
    epoch: str
    public_key: str
    key: str
    simulated: bool
    software_version: str
    gxp: _Range
    telemetry: _Range
    entries: dict[str, _Entry]


def _manifest(entries: dict[str, bytes]) -> dict[str, Any]:
    raw = entries.get(archive.MANIFEST)
    if raw is None:
        raise RecordRefused("The archive has no manifest.")
    try:
        manifest = msgspec.to_builtins(msgspec.convert(read_json(raw), _Manifest))
        canonical = canonical_json(manifest)
    except (RecordRefused, msgspec.ValidationError):
        raise RecordRefused("The manifest is not of the known form.") from None
    if canonical != raw or manifest["v"] != 1 or manifest["format"] != archive.FORMAT:
        raise RecordRefused("The manifest is not of the known form.")
    assert isinstance(manifest, dict)
    return manifest


def _open_runs(entries: dict[str, bytes], manifest: dict[str, Any]) -> tuple[Origin, list[Run]]:
    try:
        origin = Origin(
            manifest["unit"],
            bytes.fromhex(manifest["epoch"]),
            bytes.fromhex(manifest["public_key"]),
            manifest["simulated"],
        )
        runs = [
            Run(log, manifest[log]["first"], bytes.fromhex(manifest[log]["prev_hash"]), origin)
            for log in LOGS
        ]
    except ValueError:
        raise RecordRefused("The manifest is not of the known form.") from None
    written = [origin.epoch.hex(), origin.public_key.hex(), *(run.before.hex() for run in runs)]
    said = [manifest["epoch"], manifest["public_key"], *(manifest[log]["prev_hash"] for log in LOGS)]
    if written != said or len(origin.epoch) != 16:
        raise RecordRefused("The manifest is not of the known form.")
    if len(origin.public_key) != 32 or any(len(run.before) != 32 or run.first < 1 for run in runs):
        raise RecordRefused("The manifest is not of the known form.")
    for log in LOGS:
        for part in (f"records/{log}.bin", f"records/{log}.hashes", f"records/{log}-segments.json"):
            if part not in entries:
                raise RecordRefused(f"The archive has no {part}.")
    return origin, runs


def _check_run(
    entries: dict[str, bytes], manifest: dict[str, Any], run: Run, verdict: Verdict, withheld: Withheld
) -> None:
    hashes = entries[f"records/{run.log}.hashes"]
    stored = [hashes[start : start + 32] for start in range(0, len(hashes), 32)]
    try:
        records = archive.unframe(entries[f"records/{run.log}.bin"])
        run.signed_in(segments_from_json(entries[f"records/{run.log}-segments.json"]))
    except RecordRefused:
        run.findings.append(Finding(f"The {run.log} log cannot be read."))
        verdict.findings += run.findings
        return
    add_all(run, records, stored, withheld)
    verdict.count(run, 0)
    said = manifest[run.log]
    verdict.findings += run.findings
    verdict.findings += run.end(whole_run=True)
    newest = run.hash_at(run.last)
    if not run.findings and (run.last != said["last"] or newest is None or newest.hex() != said["last_hash"]):
        words = f"the {run.log} log does not end where the manifest says."
        verdict.findings.append(Finding(words, run.log, run.last + 1, "missing"))
    if len(stored) != len(records):
        verdict.findings.append(Finding(f"The list of hashes of {run.log} has another length than its log."))
    verdict.findings += _check_genesis(entries, run)


def _check_genesis(entries: dict[str, bytes], run: Run) -> list[Finding]:
    data = entries.get(f"records/{run.log}-genesis.bin", b"")
    try:
        header, payload = split_record(data)
        body = decode_payload(payload).body
    except RecordRefused:
        return [Finding("the beginning of the log cannot be read.", run.log, 1, "Genesis")]
    origin = run.origin
    same = (header.unit, header.log, header.epoch, header.seq, header.kind) == (
        origin.unit, run.log, origin.epoch, 1, "Genesis",
    )  # fmt: skip
    said = (body.get("public_key"), body.get("simulated")) == (origin.public_key.hex(), origin.simulated)
    if not same or not said or (run.first == 1 and run.first_record != data):
        return [Finding("the beginning of the log is not this record's.", run.log, 1, "Genesis")]
    return []


def _check_files(entries: dict[str, bytes], runs: list[Run], verdict: Verdict, withheld: set[str]) -> None:
    def whole(sha256: str) -> bool:
        data = entries.get(f"blobs/{sha256}")
        if sha256 in withheld:
            return data is None
        return data is not None and hashlib.sha256(data).hexdigest() == sha256

    named: set[str] = set()
    for run in runs:
        verdict.findings += check_files(run, whole)
        named |= run.named.keys()
    for name, data in entries.items():
        unnamed = name.startswith("blobs/") and name[6:] not in named
        if unnamed and hashlib.sha256(data).hexdigest() != name[6:]:
            verdict.findings.append(Finding(f"The entry {name!r} of the archive was changed."))


def _check_manifest(entries: dict[str, bytes], manifest: dict[str, Any], origin: Origin) -> list[Finding]:
    findings = []
    message = archive.MANIFEST_DOMAIN + entries[archive.MANIFEST]
    if not signed_by(origin.public_key, message, entries.get(archive.MANIFEST_SIGNATURE, b"")):
        findings.append(Finding("The signature of the manifest does not hold."))
    if hashlib.sha256(origin.public_key).hexdigest() != manifest["key"]:
        findings.append(Finding("The manifest names another key than it carries."))
    listed = manifest["entries"]
    for name in sorted(listed.keys() | entries.keys() - archive.NOT_IN_MANIFEST):
        if name not in entries:
            findings.append(Finding(f"The entry {name!r} is missing from the archive."))
        elif name not in listed or name in archive.NOT_IN_MANIFEST:
            findings.append(Finding(f"The entry {name!r} of the archive is not in the manifest."))
        else:
            data = entries[name]
            if (len(data), hashlib.sha256(data).hexdigest()) != (
                listed[name]["size"],
                listed[name]["sha256"],
            ):
                findings.append(Finding(f"The entry {name!r} of the archive was changed."))
    return findings
