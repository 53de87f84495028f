"""Checks that a run of the log is whole: each says what is wrong, where, in words."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from appliance.record.canonical import (
    QUALITY_SIMULATED,
    Header,
    Payload,
    canonical_json,
    check_payload,
    decode_payload,
    read_json,
    record_hash,
    split_record,
)
from appliance.record.errors import RecordRefused
from appliance.record.segments import SIGNING_DOMAIN, Segment, fingerprint, merkle_root, signed_by

DOCUMENT_DOMAIN = b"cellwright/doc/1\x00"
# Which documents a batch stands on, and whose signature each must carry.
DOCUMENT_ROLES = {
    ("BatchOpened", "people_blob"): "root",
    ("BatchOpened", "order_blob"): "central",
    ("BatchOpened", "recipe_blob"): "recipe",
    ("DispositionRecorded", "decision_blob"): "qp",
}
SIGNED_IS_MISSING = "events that were signed are missing or unreadable."
SEGMENT_FIELDS: dict[str, type] = {
    "v": int,
    "unit": str,
    "log": str,
    "epoch": str,
    "first": int,
    "last": int,
    "prev_hash": str,
    "last_hash": str,
    "root": str,
    "count": int,
    "wall_us": int,
    "boot_id": str,
    "software_version": str,
    "simulated": bool,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something is not as it was recorded; `seq` is 0 when no event can be named."""

    words: str
    log: str = ""
    seq: int = 0
    kind: str = ""

    def __str__(self) -> str:
        if not self.log:
            return self.words
        return f"{self.log} event {self.seq} ({self.kind or 'unreadable'}): {self.words}"


@dataclass(frozen=True, slots=True)
class Origin:
    """What every record and segment of one epoch has in common."""

    unit: str
    epoch: bytes
    public_key: bytes
    simulated: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A checked record: where it stands, what it says."""

    header: Header
    hash: bytes
    payload: Payload


@dataclass(slots=True)
class Run:
    """The checked records of one log, and what was found wrong with it."""

    log: str
    first: int
    before: bytes
    origin: Origin
    events: list[Event] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The number of the last good record; one less than `first` when there is none."""
        return self.first + len(self.events) - 1

    def hash_at(self, seq: int) -> bytes | None:
        """The chain hash of a record, or of the one before the run."""
        if seq == self.first - 1:
            return self.before
        if self.first <= seq <= self.last:
            return self.events[seq - self.first].hash
        return None

    def add(self, data: bytes, stored_hash: bytes) -> bool:
        """Check the next record; False ends the run, because nothing after a break can be judged."""
        seq = self.last + 1
        previous = self.events[-1].hash if self.events else self.before
        computed = record_hash(previous, data)
        if computed != stored_hash:
            words = "its bytes do not fit the chain of hashes."
        else:
            words = self._take(data, seq, computed)
        if words:
            self.findings.append(Finding(words, self.log, seq, _kind_of(data)))
        return not words

    def _take(self, data: bytes, seq: int, computed: bytes) -> str:
        try:
            header, payload = split_record(data)
            check_payload(payload)
        except RecordRefused:
            return "it is not a record of the known form."
        if header.seq != seq:
            return f"it carries the number {header.seq}; events are missing, doubled or out of order."
        origin = self.origin
        if (header.log, header.unit, header.epoch) != (self.log, origin.unit, origin.epoch):
            return "it belongs to another unit, log or epoch."
        if header.clock_quality == QUALITY_SIMULATED and not origin.simulated:
            return "it carries a simulated time in the record of a real unit."
        event = Event(header, computed, decode_payload(payload))
        words = _signature_misfit(event) or _seal_misfit(self, event)
        if not words:
            self.events.append(event)
            self.leaves.append(data)
        return words


def check_segments(run: Run, segments: Sequence[Segment], *, whole_run: bool) -> list[Finding]:
    """Check signatures, borders and roots of a run's segments; `whole_run`: nothing may be unsigned."""
    findings: list[Finding] = []
    expected = run.first
    for segment in segments:
        words = _segment_misfit(run, segment, expected)
        if words == SIGNED_IS_MISSING:
            return [Finding(words, run.log, run.last + 1, "missing")]
        if words:
            return [Finding(words, run.log, expected, "segment")]
        expected = int(segment.facts()["last"]) + 1
    if whole_run and expected != run.last + 1 and not run.findings:
        findings.append(Finding("the events from here on are not signed.", run.log, expected, "segment"))
    return findings


def _segment_misfit(run: Run, segment: Segment, expected: int) -> str:
    try:
        facts = segment.facts()
        canonical = canonical_json(facts) == segment.header
    except RecordRefused:
        return "the header of the segment cannot be read."
    fit = {key: type(value) for key, value in facts.items()} == SEGMENT_FIELDS
    if not canonical or not fit or facts["v"] != 1:
        return "the header of the segment is not of the known form."
    if not signed_by(run.origin.public_key, SIGNING_DOMAIN + segment.header, segment.signature):
        return "the signature of the segment does not hold."
    origin = run.origin
    if (facts["unit"], facts["log"], facts["epoch"]) != (origin.unit, run.log, origin.epoch.hex()):
        return "the segment belongs to another unit, log or epoch."
    if facts["simulated"] is not origin.simulated:
        return "the segment and the beginning of the record differ on whether this is simulated."
    first, last = facts["first"], facts["last"]
    if first != expected or last < first or facts["count"] != last - first + 1:
        return "the borders of the segment do not follow the one before."
    if last > run.last:
        return SIGNED_IS_MISSING
    leaves = run.leaves[first - run.first : last - run.first + 1]
    before, newest = run.hash_at(first - 1), run.hash_at(last)
    if before is None or newest is None or merkle_root(leaves).hex() != facts["root"]:
        return "the events are not the ones that were signed."
    if before.hex() != facts["prev_hash"] or newest.hex() != facts["last_hash"]:
        return "the chain of hashes is not the one that was signed."
    return ""


@dataclass(frozen=True, slots=True)
class Trust:
    """Fingerprints of keys, by role, that someone outside the record vouches for."""

    keys: dict[str, frozenset[str]]

    def judges(self, role: str) -> bool:
        """Whether the list says anything about this role."""
        return role in self.keys

    def knows(self, role: str, key: str) -> bool:
        """Whether `key` is a trusted key of this role."""
        return key in self.keys.get(role, frozenset())


def check_documents(
    run: Run, blob: Callable[[str], bytes | None], trust: Trust | None
) -> tuple[list[Finding], list[str]]:
    """Check the signed documents a batch stands on; returns findings and what is not trusted, in words."""
    findings: list[Finding] = []
    distrusted: list[str] = []
    for event in run.events:
        kind, seq, body = event.header.kind, event.header.seq, event.payload.body
        for (of_kind, key), role in DOCUMENT_ROLES.items():
            data = blob(str(body.get(key, ""))) if kind == of_kind and body.get(key) else None
            if data is None:
                continue
            signers, content, words = _open_envelope(data)
            if not words and role == "qp":
                words = _decision_misfit(run, event, content)
            if words:
                findings.append(Finding(words, run.log, seq, kind))
            elif trust is not None and trust.judges(role):
                known = [k for r, k in signers if r == role and trust.knows(role, k)]
                if signers and not known:
                    distrusted.append(f"the document named in {run.log} event {seq} ({kind}), {key}")
    return findings, distrusted


def _open_envelope(data: bytes) -> tuple[list[tuple[str, str]], bytes, str]:
    """Signers (role, fingerprint), content, and what is wrong; a file that is no envelope has no signers."""
    try:
        envelope = read_json(data)
        content = base64.b64decode(envelope["content"], validate=True)
        message = (
            DOCUMENT_DOMAIN + str(envelope["type"]).encode() + b"\x00" + hashlib.sha256(content).digest()
        )
        signers = []
        for signature in envelope["signatures"]:
            public_key = base64.b64decode(signature["public_key"], validate=True)
            made = base64.b64decode(signature["signature"], validate=True)
            if fingerprint(public_key) != signature["key"] or not signed_by(public_key, message, made):
                return [], content, "the signature on the document it names does not hold."
            signers.append((str(signature["role"]), str(signature["key"])))
    except (ValueError, KeyError, TypeError):
        return [], b"", ""
    return signers, content, ""


def _decision_misfit(run: Run, event: Event, content: bytes) -> str:
    try:
        decision = read_json(content)
        sealed_seq, sealed_hash, batch = decision["sealed_seq"], decision["sealed_hash"], decision["batch"]
    except (RecordRefused, KeyError, TypeError):
        return "the decision it names cannot be read."
    held = run.hash_at(sealed_seq) if isinstance(sealed_seq, int) else None
    if batch != event.payload.batch or held is None or held.hex() != sealed_hash:
        return "the decision it names was made for another record."
    return ""


def _signature_misfit(event: Event) -> str:
    """A person's signature is bound to the hash of the exact text that the event carries."""
    body = event.payload.body
    content, signs = body.get("content"), body.get("signs")
    if event.header.kind != "SignatureGiven" or not isinstance(content, str) or not content:
        return ""
    if hashlib.sha256(content.encode()).hexdigest() != signs:
        return "the signature does not cover the text it stands under."
    return ""


def _seal_misfit(run: Run, event: Event) -> str:
    """A seal names the head it was put on: an event before it, with its hash."""
    body = event.payload.body
    seq = body.get("sealed_seq")
    if event.header.kind != "BatchSealed" or not isinstance(seq, int) or seq < run.first:
        return ""
    held = run.hash_at(seq)
    return "" if held is not None and held.hex() == body.get("sealed_hash") else "it seals another record."


def _kind_of(data: bytes) -> str:
    raw = data[156:204].rstrip(b"\x00")
    text = raw.decode("ascii", "replace")
    return text if text.isalnum() else ""
