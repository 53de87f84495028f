#!/usr/bin/env python3
"""Verify an exported batch with nothing but Python 3.11 or later.

    python verify.py ARCHIVE [--trust FILE] [--json]

Says whether the archive is whole and unchanged, or names the first bad event. With --trust, says
also whether it is signed by the keys whose fingerprints FILE names: {"unit": ["<sha256 hex>"], ...}.
An archive does not vouch for itself: take this program and FILE from somewhere else than the archive.

Exit status: 0 whole (and signed by trusted keys, when asked), 1 not, 2 not readable or wrong usage.

This program stands alone on purpose and shares no code with Cellwright, so that the two check each
other. The format is described in schema/record-format.txt of each archive.
"""

import argparse
import base64
import binascii
import json
import re
import struct
import sys
import zlib
from dataclasses import dataclass, field
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
Entries = dict[str, bytes]
Trusted = dict[str, list[str]]  # role: fingerprints
Signer = tuple[str, str]  # role, fingerprint
People = dict[Signer, str]
LOGS = ("gxp", "telemetry")
FREE_ENTRIES = {"verify.py", "manifest.json", "manifest.sig"}
RECORD = struct.Struct(">4sHH32s16s16sQqQ16sBBHQ32s48sI")
LARGEST_INTEGER = 2**53
LARGEST_PAYLOAD_BYTES = 192 * 1024
LATEST_WALL_US = 253402300799999999
EARLIEST_WALL_US = -62135596800000000
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
HEX64 = re.compile(r"[0-9a-f]{64}")
BLOB_FIELDS = {"blob", "picture", "overlay", "images"}
SIGNED_IS_MISSING = "events that were signed are missing or unreadable."
SEGMENT_FIELDS = {
    "v": int, "unit": str, "log": str, "epoch": str, "first": int, "last": int, "prev_hash": str,
    "last_hash": str, "root": str, "count": int, "wall_us": int, "boot_id": str,
    "software_version": str, "simulated": bool,
}  # fmt: skip
MANIFEST_FIELDS = {
    "v": int, "format": str, "unit": str, "batch": str, "epoch": str, "public_key": str, "key": str,
    "simulated": bool, "software_version": str, "gxp": dict, "telemetry": dict, "entries": dict,
}  # fmt: skip
HIDDEN: dict[str, type] = {"seq": int, "kind": str, "batch": str, "reason": str, "leaf": str, "files": list}
RANGE_FIELDS = {"first": int, "last": int, "prev_hash": str, "last_hash": str}
APPROVAL = ("recipe_developer", "qa_reviewer")
DOCUMENTS = {
    ("BatchOpened", "people_blob"): ("root",), ("DocumentActivated", "blob"): ("root",),
    ("BatchOpened", "order_blob"): ("central",), ("BatchOpened", "recipe_blob"): APPROVAL,
    ("DispositionRecorded", "decision_blob"): ("qp",),
}  # fmt: skip
SEAL_FIELDS = ("sealed_seq", "sealed_hash", "log_epoch", "telemetry_seq", "telemetry_hash", "blobs_hash",
               "recipe_hash")  # fmt: skip


class Unreadable(Exception):
    """The file or the list of trusted keys cannot be read at all."""


class Misfit(Exception):
    """A part of the archive is not of its form."""


@dataclass
class Finding:
    """Something is not as it was recorded."""

    words: str
    log: str = ""
    seq: int = 0
    kind: str = ""

    def __str__(self) -> str:
        if not self.log:
            return self.words
        return f"{self.log} event {self.seq} ({self.kind or 'unreadable'}): {self.words}"


@dataclass
class Run:
    """The checked records of one log."""

    log: str
    first: int
    before: bytes
    events: list[Facts] = field(default_factory=list)
    leaves: list[bytes] = field(default_factory=list)
    broken: bool = False
    opened: dict[str, tuple[int, str]] = field(default_factory=dict)  # batch: number, hash of its recipe
    files: dict[str, set[str]] = field(default_factory=dict)
    anchors: list[tuple[int, str, int, str]] = field(default_factory=list)  # heads of telemetry named here

    @property
    def last(self) -> int:
        return self.first + len(self.events) - 1

    def hash_at(self, seq: int) -> bytes | None:
        if seq == self.first - 1:
            return self.before
        if self.first <= seq <= self.last:
            found: bytes = self.events[seq - self.first]["hash"]
            return found
        return None


# Ed25519 (RFC 8032), verification only.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
NEUTRAL: Point = (0, 1, 1, 0)


def add(a: Point, b: Point) -> Point:
    """Add two points in extended coordinates."""
    e = (a[1] - a[0]) * (b[1] - b[0]) % P
    f = (a[1] + a[0]) * (b[1] + b[0]) % P
    g = 2 * a[3] * b[3] * D % P
    h = 2 * a[2] * b[2] % P
    i, j, k, m = f - e, h - g, h + g, f + e
    return i * j % P, k * m % P, j * k % P, i * m % P


def point_of(raw: bytes) -> Point | None:
    """Decode a point; None when the bytes are none."""
    if len(raw) != 32:
        return None
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def table_of(point: Point) -> list[Point]:
    """The multiples 0 to 15 of a point."""
    table = [NEUTRAL]
    for _ in range(15):
        table.append(add(table[-1], point))
    return table


BASE = point_of((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
assert BASE is not None
BASE_TABLE = table_of(BASE)


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature holds: S·B equals R + k·A."""
    key, r = point_of(public_key), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or len(signature) != 64 or s >= ORDER:
        return False
    k = int.from_bytes(sha512(signature[:32] + public_key + message).digest(), "little") % ORDER
    minus_key = table_of((P - key[0], key[1], key[2], P - key[3]))
    total = NEUTRAL
    for shift in range(252, -1, -4):
        for _ in range(4):
            total = add(total, total)
        total = add(total, BASE_TABLE[s >> shift & 15])
        total = add(total, minus_key[k >> shift & 15])
    return (total[0] * r[2] - r[0] * total[2]) % P == 0 and (total[1] * r[2] - r[1] * total[2]) % P == 0


# The ZIP form: every byte follows from the entries' names and content.


def local_header(name: str, checksum: int, size: int) -> bytes:
    raw = name.encode("latin-1")
    return struct.pack(
        "<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 0, 0, 0x21, checksum, size, size, len(raw), 0
    ) + raw  # fmt: skip


def directory(described: list[tuple[str, int, int, int]], offset: int) -> bytes:
    rows = b""
    for name, checksum, size, at in described:
        raw = name.encode("latin-1")
        rows += struct.pack(
            "<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 0x0314, 20, 0, 0, 0, 0x21, checksum, size, size,
            len(raw), 0, 0, 0, 0, 0o100644 << 16, at,
        ) + raw  # fmt: skip
    count = len(described)
    return rows + struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, count, count, len(rows), offset, 0)


def take_apart(raw: bytes) -> tuple[Entries, list[Finding]]:
    """The entries of the archive, and every byte that is not as this form has it."""
    entries: Entries = {}
    described: list[tuple[str, int, int, int]] = []
    findings: list[Finding] = []
    offset = 0
    while raw[offset : offset + 4] == b"PK\x03\x04" and offset + 30 <= len(raw):
        size, name_size = struct.unpack_from("<IH", raw, offset + 22)
        begin = offset + 30 + name_size
        name = raw[offset + 30 : begin].decode("latin-1")
        data = raw[begin : begin + size]
        checksum = zlib.crc32(data)
        if len(data) != size or raw[offset:begin] != local_header(name, checksum, size):
            findings.append(Finding(f"The entry {name!r} of the archive was changed."))
        if not NAME.fullmatch(name) or name in entries or (described and name < described[-1][0]):
            findings.append(Finding(f"The entry {name!r} of the archive is out of place."))
        entries.setdefault(name, data)
        described.append((name, checksum, len(data), offset))
        offset = begin + size
    if raw[offset:] != directory(described, offset):
        findings.append(Finding("The directory of the archive does not agree with its entries."))
    return entries, findings


# JSON as this format has it: no floats, no huge integers.


def no_float(text: str) -> None:
    raise Misfit(f"The number {text} is not a whole number.")


def read_json(raw: bytes) -> Any:
    try:
        return json.loads(raw.decode(), parse_float=no_float, parse_constant=no_float)
    except (ValueError, RecursionError) as problem:
        raise Misfit(f"it cannot be read as JSON: {problem}.") from None


def check_value(value: object, depth: int = 0) -> None:
    if depth > 32:
        raise Misfit("its facts are nested too deep.")
    if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
        raise Misfit("it holds a number that is too large.")
    if isinstance(value, dict):
        for item in value.values():
            check_value(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            check_value(item, depth + 1)


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def has_fields(value: object, fields: dict[str, type]) -> bool:
    return isinstance(value, dict) and {key: type(item) for key, item in value.items()} == fields


# Records and segments.


def text_of(raw: bytes, what: str) -> str:
    text = raw.rstrip(b"\x00")
    if not text or b"\x00" in text:
        raise Misfit(f"the {what} in its header is not zero-padded text.")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise Misfit(f"the {what} in its header is not UTF-8.") from None


def read_record(data: bytes) -> Facts:
    """Header fields and payload of one record."""
    if len(data) < RECORD.size:
        raise Misfit("it is shorter than a header.")
    (magic, version, size, unit, log, epoch, seq, wall, _monotonic, _boot, quality, algorithm,
     _payload_version, _cursor, actor, kind, payload_bytes) = RECORD.unpack_from(data)  # fmt: skip
    if (magic, version, size) != (b"CWR1", 1, 208) or payload_bytes != len(data) - 208:
        raise Misfit("its header is not of the known form.")
    if quality > 2 or algorithm != 1 or seq < 1 or not EARLIEST_WALL_US <= wall <= LATEST_WALL_US:
        raise Misfit("its header is not of the known form.")
    if payload_bytes > LARGEST_PAYLOAD_BYTES:
        raise Misfit("its payload is too long.")
    text_of(actor, "actor")
    head = {"unit": text_of(unit, "unit"), "log": text_of(log, "log"), "epoch": epoch.hex(), "seq": seq}
    head["simulated_time"] = quality == 2
    payload = read_json(data[208:])
    fit = isinstance(payload, dict) and set(payload) == {"batch", "command", "body"}
    if not fit or not isinstance(payload["body"], dict):
        raise Misfit("its payload is not of the known form.")
    if not all(payload[key] is None or isinstance(payload[key], str) for key in ("batch", "command")):
        raise Misfit("its payload is not of the known form.")
    check_value(payload["body"])
    return {**head, "kind": text_of(kind, "kind"), "payload": payload}


def unframe(raw: bytes) -> list[bytes]:
    parts: list[bytes] = []
    offset = 0
    while offset < len(raw):
        size = int.from_bytes(raw[offset : offset + 8], "big")
        offset += 8
        if size > len(raw) - offset:
            raise Misfit(f"The length of event number {len(parts) + 1} in the file is wrong.")
        parts.append(raw[offset : offset + size])
        offset += size
    return parts


def kind_of(data: bytes) -> str:
    text = data[156:204].rstrip(b"\x00").decode("ascii", "replace")
    return text if text.isalnum() else ""


def record_misfit(run: Run, manifest: Facts, data: bytes, stored: bytes) -> str:
    """Add the next record to the run, or say what is wrong with it."""
    seq = run.last + 1
    previous = run.events[-1]["hash"] if run.events else run.before
    computed = sha256(b"cellwright/rec/1" + previous + len(data).to_bytes(8, "big") + data).digest()
    if computed != stored:
        return "its bytes do not fit the chain of hashes."
    try:
        event = read_record(data)
    except Misfit:
        return "it is not a record of the known form."
    if event["seq"] != seq:
        return f"it carries the number {event['seq']}; events are missing, doubled or out of order."
    if (event["log"], event["unit"], event["epoch"]) != (run.log, manifest["unit"], manifest["epoch"]):
        return "it belongs to another unit, log or epoch."
    if event["simulated_time"] and not manifest["simulated"]:
        return "it carries a simulated time in the record of a real unit."
    words = promise_misfit(run, event, manifest["unit"])
    if words:
        return words
    run.events.append({**event, "hash": computed})
    run.leaves.append(sha256(b"\x00" + data).digest())
    return ""


def withheld_misfit(run: Run, row: Facts | None, stored: bytes) -> str:
    """Go past a record of which the archive shows hashes alone; the next record and the tree prove them."""
    if row is None or row["seq"] != run.last + 1 or len(stored) != 32:
        return "what is withheld is not what withheld.json names."
    run.events.append({**row, "hash": stored, "payload": {"batch": row["batch"], "body": {}}})
    run.leaves.append(bytes.fromhex(row["leaf"]))
    if row["batch"] is not None:
        run.files.setdefault(row["batch"], set()).update(row["files"])
    return ""


def read_withheld(entries: Entries) -> Facts:
    """What a redacted archive withholds: records by place, leaf and files, and files by name."""
    raw = entries.get("withheld.json", b'{"files":[],"records":[],"v":1}\n')
    try:
        found: Facts = read_json(raw)
        records = [{**row, "batch": row["batch"] or ""} for row in found["records"]]
        fit = all(has_fields(row, HIDDEN) for row in records)
        fit = fit and all(has_fields(row, {"sha256": str, "reason": str}) for row in found["files"])
        names = [name for row in records for name in (row["leaf"], *row["files"])]
        names += [row["sha256"] for row in found["files"]]
        fit = fit and all(HEX64.fullmatch(name) for name in names) and canonical(found) + b"\n" == raw
        fit = fit and all(row["reason"] for row in records + found["files"]) and found["v"] == 1
    except (Misfit, KeyError, TypeError):
        fit = False
    if not fit or found.keys() != {"v", "records", "files"}:
        raise Misfit("The list of what is withheld is not of the known form.")
    return found


def promise_misfit(run: Run, event: Facts, unit: str) -> str:
    """What an event says of the record around it, held against that record."""
    kind, seq, batch, body = event["kind"], event["seq"], event["payload"]["batch"], event["payload"]["body"]
    if kind == "BatchOpened" and batch is not None:
        run.opened[batch] = (seq, str(body.get("recipe_hash", "")))
        run.files[batch] = set()
    if kind in ("SignatureGiven", "SecondPersonConfirmed"):
        words = signature_misfit(run, event, unit)
    else:
        words = seal_misfit(run, event) if kind == "BatchSealed" else ""
    if words:
        return words
    if kind in ("BatchSealed", "MeasurementsSealed") and isinstance(body.get("telemetry_seq"), int):
        run.anchors.append((seq, kind, body["telemetry_seq"], str(body.get("telemetry_hash"))))
    if batch is not None:
        run.files.setdefault(batch, set()).update(named_blobs(body))
    return ""


def signature_misfit(run: Run, event: Facts, unit: str) -> str:
    batch, body = event["payload"]["batch"], event["payload"]["body"]
    content = body.get("content")
    if not isinstance(content, str) or not content:
        return ""
    if sha256(content.encode()).hexdigest() != body.get("signs"):
        return "the signature does not cover the text it stands under."
    try:
        said = json.loads(content, parse_constant=no_float) if content.startswith("{") else None
    except (ValueError, RecursionError, Misfit):
        said = None
    if not isinstance(said, dict):
        return ""
    opened, recipe_hash = run.opened.get(batch or "", (-(2**53), said.get("recipe_hash")))
    place = {"unit": unit, "batch": batch, "phase": body.get("phase"), "recipe_hash": recipe_hash}
    up_to = said.get("recorded_up_to_seq", 0)
    earlier = up_to == 0 or (isinstance(up_to, int) and opened <= up_to < event["seq"])
    if not earlier or any(said.get(name, fact) != fact for name, fact in place.items()):
        return "the signature was given for another place of the record."
    return ""


def seal_misfit(run: Run, event: Facts) -> str:
    batch, body = event["payload"]["batch"], event["payload"]["body"]
    sealed_seq = body.get("sealed_seq")
    if isinstance(sealed_seq, int) and sealed_seq >= run.first:
        held = run.hash_at(sealed_seq)
        if held is None or held.hex() != body.get("sealed_hash"):
            return "it seals another record."
    if batch not in run.opened:
        return ""
    files = sorted(run.files[batch])
    both = (sha256("\n".join(files).encode()).hexdigest(), len(files))
    if "blobs_hash" in body and (body["blobs_hash"], body.get("blob_count")) != both:
        return "it seals other files than the batch names."
    if "recipe_hash" in body and body["recipe_hash"] != run.opened[batch][1]:
        return "it seals another recipe than the batch was opened with."
    return ""


def check_anchors(gxp: Run, telemetry: Run) -> list[Finding]:
    for seq, kind, named_seq, named_hash in gxp.anchors:
        held = telemetry.hash_at(named_seq)
        if named_seq < telemetry.first - 1 or (held is None and telemetry.broken):
            continue
        if held is None or held.hex() != named_hash:
            return [Finding("it names telemetry that is not this record's.", gxp.log, seq, kind)]
    return []


def merkle_root(leaves: list[bytes]) -> bytes:
    level = leaves
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = [level[-1]] if len(level) % 2 else []
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0] if level else sha256(b"").digest()


def segment_misfit(run: Run, manifest: Facts, row: Facts, expected: int) -> str:
    header = row["header"].encode()
    try:
        facts = read_json(header)
    except Misfit:
        return "the header of the segment cannot be read."
    if not has_fields(facts, SEGMENT_FIELDS) or canonical(facts) != header or facts["v"] != 1:
        return "the header of the segment is not of the known form."
    signature = bytes.fromhex(row["signature"])
    if not signed_by(bytes.fromhex(manifest["public_key"]), b"cellwright/seg/1\x00" + header, signature):
        return "the signature of the segment does not hold."
    if (facts["unit"], facts["log"], facts["epoch"]) != (manifest["unit"], run.log, manifest["epoch"]):
        return "the segment belongs to another unit, log or epoch."
    if facts["simulated"] is not manifest["simulated"]:
        return "the segment and the beginning of the record differ on whether this is simulated."
    first, last = facts["first"], facts["last"]
    if first != expected or last < first or facts["count"] != last - first + 1:
        return "the borders of the segment do not follow the one before."
    if last > run.last:
        return SIGNED_IS_MISSING
    before, newest = run.hash_at(first - 1), run.hash_at(last)
    leaves = run.leaves[first - run.first : last - run.first + 1]
    if before is None or newest is None or merkle_root(leaves).hex() != facts["root"]:
        return "the events are not the ones that were signed."
    if before.hex() != facts["prev_hash"] or newest.hex() != facts["last_hash"]:
        return "the chain of hashes is not the one that was signed."
    return ""


def check_run(run: Run, manifest: Facts, entries: Entries, hidden: Facts) -> list[Finding]:
    """All that can be wrong with one log."""
    hashes = entries[f"records/{run.log}.hashes"]
    try:
        records = unframe(entries[f"records/{run.log}.bin"])
        rows = read_json(entries[f"records/{run.log}-segments.json"])["segments"]
        for row in rows:
            bytes.fromhex(row["signature"]), row["header"].encode()
    except (Misfit, ValueError, KeyError, TypeError, AttributeError):
        run.broken = True
        return [Finding(f"The {run.log} log cannot be read.")]
    findings = []
    withheld = iter(hidden["records"] if run.log == "gxp" else [])
    for number, data in enumerate(records):
        stored = hashes[32 * number : 32 * number + 32]
        misfit = record_misfit(run, manifest, data, stored) if data else ""
        words = misfit if data else withheld_misfit(run, next(withheld, None), stored)
        if words:
            run.broken = True
            findings.append(Finding(words, run.log, run.last + 1, kind_of(data)))
            break
    if not run.broken and next(withheld, None) is not None:
        findings.append(Finding("The list of what is withheld names more than is withheld."))
    expected = run.first
    for row in rows:
        words = segment_misfit(run, manifest, row, expected)
        if words == SIGNED_IS_MISSING:
            return [*findings, Finding(words, run.log, run.last + 1, "missing")]
        if words:
            return [*findings, Finding(words, run.log, expected, "segment")]
        expected = read_json(row["header"].encode())["last"] + 1
    if expected != run.last + 1 and not run.broken:
        words = "the events from here on are not signed."
        findings.append(Finding(words, run.log, expected, "segment"))
    newest, said = run.hash_at(run.last), manifest[run.log]
    if not run.broken and (run.last != said["last"] or newest is None or newest.hex() != said["last_hash"]):
        words = f"the {run.log} log does not end where the manifest says."
        findings.append(Finding(words, run.log, run.last + 1, "missing"))
    if len(hashes) != 32 * len(records):
        findings.append(Finding(f"The list of hashes of {run.log} has another length than its log."))
    return findings + check_genesis(run, manifest, entries)


def check_genesis(run: Run, manifest: Facts, entries: Entries) -> list[Finding]:
    data = entries.get(f"records/{run.log}-genesis.bin", b"")
    try:
        event = read_record(data)
    except Misfit:
        return [Finding("the beginning of the log cannot be read.", run.log, 1, "Genesis")]
    body = event["payload"]["body"]
    place = (manifest["unit"], run.log, manifest["epoch"], 1, "Genesis")
    same = (event["unit"], event["log"], event["epoch"], event["seq"], event["kind"]) == place
    said = (body.get("public_key"), body.get("simulated")) == (manifest["public_key"], manifest["simulated"])
    leaf = sha256(b"\x00" + data).digest()
    if not same or not said or (run.first == 1 and run.leaves[:1] != [leaf]):
        return [Finding("the beginning of the log is not this record's.", run.log, 1, "Genesis")]
    return []


# Files, documents, manifest.


def named_blobs(body: Facts) -> list[str]:
    names = []
    for key, value in body.items():
        if key in BLOB_FIELDS or key.endswith("_blob"):
            items = value if isinstance(value, list) else [value]
            names += [item for item in items if isinstance(item, str) and HEX64.fullmatch(item)]
        elif isinstance(value, dict):
            names += named_blobs(value)
    return names


def check_files(runs: list[Run], entries: Entries, hidden: Facts) -> list[Finding]:
    findings, named = [], set()
    withheld = {row["sha256"] for row in hidden["files"]}
    for run in runs:
        for event in run.events:
            for name in named_blobs(event["payload"]["body"]):
                data = entries.get(f"blobs/{name}")
                whole = data is not None and sha256(data).hexdigest() == name
                if name not in named and not (data is None if name in withheld else whole):
                    words = f"the file {name} it names is missing or was changed."
                    findings.append(Finding(words, run.log, event["seq"], event["kind"]))
                named.add(name)
    for name, data in entries.items():
        unnamed = name.startswith("blobs/") and name[6:] not in named
        if unnamed and sha256(data).hexdigest() != name[6:]:
            findings.append(Finding(f"The entry {name!r} of the archive was changed."))
    return findings


def open_envelope(data: bytes) -> tuple[list[Signer], bytes, str]:
    """Signers (role, fingerprint), content, and what is wrong; a file that is no envelope has no signers."""
    try:
        envelope = json.loads(data.decode())
        content = base64.b64decode(envelope["content"], validate=True)
        message = b"cellwright/doc/1\x00" + envelope["type"].encode() + b"\x00"
        message += sha256(content).digest()
        signers = []
        for row in envelope["signatures"]:
            public_key = base64.b64decode(row["public_key"], validate=True)
            signature = base64.b64decode(row["signature"], validate=True)
            same = sha256(public_key).hexdigest() == row["key"]
            if not same or not signed_by(public_key, message, signature):
                return [], content, "the signature on the document it names does not hold."
            signers.append((str(row["role"]), str(row["key"])))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        return [], b"", ""
    return signers, content, ""


def decision_misfit(run: Run, event: Facts, content: bytes, seals: Facts) -> str:
    try:
        decision = json.loads(content.decode(), parse_constant=no_float)
        sealed_seq, sealed_hash, batch = decision["sealed_seq"], decision["sealed_hash"], decision["batch"]
    except (ValueError, KeyError, TypeError, Misfit):
        return "the decision it names cannot be read."
    held = run.hash_at(sealed_seq) if isinstance(sealed_seq, int) else None
    if batch != event["payload"]["batch"] or held is None or held.hex() != sealed_hash:
        return "the decision it names was made for another record."
    said = event["payload"]["body"].get("decision_hash")
    if said is not None and said != sha256(content).hexdigest():
        return "the decision it names is another one than was recorded."
    seal = seals.get(batch, {})
    if any(decision.get(name, seal[name]) != seal[name] for name in SEAL_FIELDS if name in seal):
        return "the decision it names was made for another seal."
    return ""


def people_of(content: bytes) -> People:
    """Who signs with which key, by a list of people."""
    try:
        rows = json.loads(content.decode(), parse_constant=no_float)["keys"]
        return {(str(row["role"]), str(row["key"])): str(row["person"]) for row in rows}
    except (ValueError, KeyError, TypeError, Misfit):
        return {}


def is_trusted(trust: Trusted, people: People, roles: tuple[str, ...], signers: list[Signer]) -> bool:
    """Whether in each role somebody signed whom the list of keys, and the list of people, vouch for."""
    persons: list[set[str]] = []
    for role in roles:
        mine = [signer for signer in signers if signer[0] == role]
        if role in trust:
            mine = [signer for signer in mine if signer[1] in trust[role]]
            if not mine:
                return False
        if role not in ("root", "central") and "root" in trust:
            listed = {people[signer] for signer in mine if signer in people}
            if not listed:
                return False
            persons.append(listed)
    return len(persons) < 2 or len(persons[0] | persons[1]) > 1


def check_documents(run: Run, entries: Entries, trust: Trusted | None) -> tuple[list[Finding], list[str]]:
    """The signed documents a batch stands on, and which of them no trusted key signed."""
    findings, distrusted = list[Finding](), list[str]()
    people: People = {}
    seals: Facts = {}
    for event in run.events:
        body, kind, seq = event["payload"]["body"], event["kind"], event["seq"]
        if kind == "BatchSealed" and event["payload"]["batch"] is not None:
            seals[event["payload"]["batch"]] = body
        asked = [(key, roles, body.get(key, "")) for (of, key), roles in DOCUMENTS.items() if of == kind]
        told = body.get("label_templates") if kind == "BatchOpened" else None
        templates = {k: v for k, v in (told if isinstance(told, dict) else {}).items() if isinstance(v, dict)}
        asked += [(key, APPROVAL, one.get("template_blob", "")) for key, one in templates.items()]
        frozen = {"recipe_blob": body.get("recipe_hash")} | {k: v.get("hash") for k, v in templates.items()}
        kept = [(key, roles, f"blobs/{name}") for key, roles, name in asked if f"blobs/{name}" in entries]
        for key, roles, name in kept:
            signers, content, words = open_envelope(entries[name])
            if not words and key == "decision_blob":
                words = decision_misfit(run, event, content, seals)
            if not words and signers and frozen.get(key) not in (None, sha256(content).hexdigest()):
                what = "recipe" if key == "recipe_blob" else "label template"
                words = f"the batch was opened with another {what} than the one it names."
            if words:
                findings.append(Finding(words, run.log, seq, kind))
                continue
            if roles == ("root",) and body.get("type", "people") == "people":
                people = people_of(content)
            if trust is not None and signers and not is_trusted(trust, people, roles, signers):
                distrusted.append(f"the document named in {run.log} event {seq} ({kind}), {key}")
    return findings, distrusted


def read_manifest(entries: Entries) -> Facts:
    raw = entries.get("manifest.json")
    if raw is None:
        raise Misfit("The archive has no manifest.")
    try:
        manifest: Facts = read_json(raw)
    except Misfit:
        raise Misfit("The manifest is not of the known form.") from None
    fit = has_fields(manifest, MANIFEST_FIELDS) and all(has_fields(manifest[k], RANGE_FIELDS) for k in LOGS)
    fit = fit and all(has_fields(row, {"sha256": str, "size": int}) for row in manifest["entries"].values())
    if not fit or canonical(manifest) != raw:
        raise Misfit("The manifest is not of the known form.")
    if manifest["v"] != 1 or manifest["format"] != "cellwright-archive":
        raise Misfit("The manifest is not of the known form.")
    hashes = [manifest["public_key"], *(manifest[log]["prev_hash"] for log in LOGS)]
    hashes.append(2 * manifest["epoch"])
    if not all(HEX64.fullmatch(text) for text in hashes) or min(manifest[log]["first"] for log in LOGS) < 1:
        raise Misfit("The manifest is not of the known form.")
    for log in LOGS:
        for part in (f"records/{log}.bin", f"records/{log}.hashes", f"records/{log}-segments.json"):
            if part not in entries:
                raise Misfit(f"The archive has no {part}.")
    return manifest


def check_manifest(entries: Entries, manifest: Facts) -> list[Finding]:
    findings = []
    public_key = bytes.fromhex(manifest["public_key"])
    message = b"cellwright/manifest/1\x00" + entries["manifest.json"]
    if not signed_by(public_key, message, entries.get("manifest.sig", b"")):
        findings.append(Finding("The signature of the manifest does not hold."))
    if sha256(public_key).hexdigest() != manifest["key"]:
        findings.append(Finding("The manifest names another key than it carries."))
    listed = manifest["entries"]
    for name in sorted(listed.keys() | entries.keys() - FREE_ENTRIES):
        if name not in entries:
            findings.append(Finding(f"The entry {name!r} is missing from the archive."))
        elif name not in listed or name in FREE_ENTRIES:
            findings.append(Finding(f"The entry {name!r} of the archive is not in the manifest."))
        elif listed[name] != {"sha256": sha256(entries[name]).hexdigest(), "size": len(entries[name])}:
            findings.append(Finding(f"The entry {name!r} of the archive was changed."))
    return findings


def verify(raw: bytes, trust: Trusted | None = None) -> Facts:
    """The verdict on an archive's bytes."""
    if not raw.startswith(b"PK\x03\x04") and not raw[-22:].startswith(b"PK\x05\x06"):
        raise Unreadable("It is not an archive of a batch.")
    entries, layout = take_apart(raw)
    try:
        manifest, hidden = read_manifest(entries), read_withheld(entries)
    except Misfit as problem:
        nothing, all_of_it = {"unit": "", "simulated": False}, None if trust is None else ["all of it"]
        return verdict(nothing, 0, layout or [Finding(str(problem))], all_of_it)
    runs = [Run(log, manifest[log]["first"], bytes.fromhex(manifest[log]["prev_hash"])) for log in LOGS]
    findings = [one for run in runs for one in check_run(run, manifest, entries, hidden)]
    findings += check_anchors(runs[0], runs[1]) + check_files(runs, entries, hidden)
    wrong_documents, distrusted = check_documents(runs[0], entries, trust)
    findings += wrong_documents + check_manifest(entries, manifest) + layout
    key = sha256(bytes.fromhex(manifest["public_key"])).hexdigest()
    if trust is not None and key not in trust.get("unit", []):
        distrusted = [f"the unit's key {key}", *distrusted]
    events = sum(len(run.events) for run in runs)
    manifest["withheld"] = (len(hidden["records"]), len(hidden["files"]))
    return verdict(manifest, events, findings, None if trust is None else distrusted)


def verdict(manifest: Facts, events: int, findings: list[Finding], distrusted: list[str] | None) -> Facts:
    """The findings as one object with words."""
    bad = next((finding for finding in findings if finding.log), findings[0] if findings else None)
    records, files = manifest.get("withheld", (0, 0))
    if bad is not None:
        words = f"NOT whole and unchanged. First bad: {bad}"
    else:
        words = f"whole and unchanged: {events} events of unit {manifest['unit']}"
        if records or files:
            words += f"; {records} records and {files} files withheld, named in withheld.json with reasons"
        if distrusted is None:
            words += ". Whether the keys are the right ones was not asked; give --trust FILE."
        elif distrusted:
            words += f"; but NOT signed by trusted keys: {'; '.join(distrusted)}."
        else:
            words += "; signed by trusted keys."
        words += " SIMULATED: never for a patient." if manifest["simulated"] else ""
    return {
        "whole": bad is None,
        "trusted": None if distrusted is None else not distrusted,
        "first_bad": bad and {"log": bad.log, "seq": bad.seq, "kind": bad.kind, "words": bad.words},
        "findings": [str(finding) for finding in findings],
        "unit": manifest["unit"],
        "simulated": manifest["simulated"],
        "events": events,
        "withheld": {"records": records, "files": files},
        "words": words,
    }  # fmt: skip


def read_trust(path: Path) -> Trusted:
    try:
        lists = json.loads(path.read_bytes())
        if not isinstance(lists, dict) or not all(isinstance(keys, list) for keys in lists.values()):
            raise ValueError("it is not a list of fingerprints by role")
    except (OSError, ValueError) as problem:
        raise Unreadable(f"The list of trusted keys {path} cannot be read: {problem}.") from None
    return lists


def main(arguments: list[str]) -> int:
    """Verify one archive and say so."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--trust", type=Path, metavar="FILE", help="fingerprints of trusted keys, JSON")
    parser.add_argument("--json", action="store_true", help="print the verdict as one JSON object")
    options = parser.parse_args(arguments)
    try:
        trust = read_trust(options.trust) if options.trust else None
        result = verify(options.archive.read_bytes(), trust)
    except OSError as problem:
        print(f"{options.archive} cannot be read: {problem.strerror}.", file=sys.stderr)
        return 2
    except Unreadable as problem:
        print(f"{options.archive}: {problem}", file=sys.stderr)
        return 2
    print(json.dumps({"target": str(options.archive), **result}) if options.json else result["words"])
    return 0 if result["whole"] and result["trusted"] is not False else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
