"""What the record's tests share: keys, stamps, and one short batch."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.record.canonical import Stamp, StoredRecord, encode_payload
from appliance.record.log import Record
from appliance.record.segments import fingerprint, public_bytes

UNIT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
QP_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
ROOT_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(2, 34)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(3, 35)))
BOOT_ID = bytes(range(16))
EPOCH = bytes(range(16, 32))
BATCH = "batch-0001"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)


def stamp(second: int = 0, quality: int = 2) -> Stamp:
    moment = datetime(2026, 11, 21, 7, 30, tzinfo=UTC) + timedelta(seconds=second)
    return Stamp(moment, second * 1_000_000_000, BOOT_ID, quality)


def new_record(folder: Path, key: Ed25519PrivateKey = UNIT_KEY) -> Record:
    return Record.create(
        folder,
        unit_id="unit-0001",
        key=key,
        software_version="0.1.0",
        simulated=True,
        stamp=stamp(),
        epoch=EPOCH,
    )


def write(record: Record, kind: str, body: dict[str, Any], *, batch: str | None = BATCH) -> StoredRecord:
    second = record.head().seq
    return record.append(kind, encode_payload(batch, None, body), actor="p-0001", stamp=stamp(second))


def signed_document(kind: str, content: bytes, role: str, key: Ed25519PrivateKey) -> bytes:
    message = b"cellwright/doc/1\x00" + kind.encode() + b"\x00" + hashlib.sha256(content).digest()
    signature = {
        "role": role,
        "key": fingerprint(public_bytes(key)),
        "public_key": base64.b64encode(public_bytes(key)).decode(),
        "algorithm": "ed25519",
        "signature": base64.b64encode(key.sign(message)).decode(),
    }
    content_text = base64.b64encode(content).decode()
    return json.dumps({"type": kind, "content": content_text, "signatures": [signature]}).encode()


def people_content(**keys: Ed25519PrivateKey) -> bytes:
    """A list of people that names who signs with which key, by role; the QP when nobody is named."""
    rows = [
        {"person": f"p-{role}", "role": role, "key": fingerprint(public_bytes(key))}
        for role, key in (keys or {"qp": QP_KEY}).items()
    ]
    return json.dumps({"version": 1, "keys": rows}).encode()


def run_batch(record: Record, *, events: int = 6) -> None:
    """One batch: opened, worked, sealed, certified; with files, a signature and telemetry."""
    write(record, "EngineStarted", {"term": 1}, batch=None)
    record.seal(stamp(1))
    people = record.put_blob(
        signed_document("people", people_content(), "root", ROOT_KEY), "application/json"
    )
    opened = {
        "order_id": "order-7",
        "recipe_id": "thaw-wash-dose-50",
        "time_zone": "Europe/Berlin",
        "people_blob": people.sha256,
    }
    write(record, "BatchOpened", opened)
    write(record, "PhaseStarted", {"phase": "thaw"})
    picture = record.put_blob(PNG, "image/png")
    write(record, "BagRefused", {"scanned": "=<b>A</b>", "expected": "=A9999", "picture": picture.sha256})
    for number in range(events):
        write(record, "ValueRecorded", {"phase": "thaw", "key": "bath_c", "value": f"37.{number}"})
    content = "I performed the thaw."
    signs = hashlib.sha256(content.encode()).hexdigest()
    signature = {"person": "p-0001", "name": "Ada", "meaning": "performed", "signs": signs}
    write(record, "SignatureGiven", {**signature, "what": "thaw", "content": content})
    sealed = write(record, "BatchCompleted", {})
    record.append(
        "MinuteChunk", encode_payload(BATCH, None, {}), actor="unit", stamp=stamp(), log="telemetry"
    )
    decision = {"batch": BATCH, "sealed_seq": sealed.seq, "sealed_hash": sealed.hash.hex()}
    envelope = signed_document("decision", json.dumps(decision).encode(), "qp", QP_KEY)
    blob = record.put_blob(envelope, "application/json")
    write(record, "DispositionRecorded", {"disposition": "released", "decision_blob": blob.sha256})
    record.seal(stamp(99))
    record.seal(stamp(99), log="telemetry")


def trust(**changed: list[str]) -> dict[str, list[str]]:
    keys = {"unit": UNIT_KEY, "qp": QP_KEY, "root": ROOT_KEY, "central": OTHER_KEY}
    return {role: [fingerprint(public_bytes(key))] for role, key in keys.items()} | changed
