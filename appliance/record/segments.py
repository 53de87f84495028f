"""Runs of the log under one signature of the unit.

A segment's header is canonical JSON; it binds the run's borders, its chain hashes and the RFC 9162
Merkle root over the exact record bytes. The signature is Ed25519 by the unit's key.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from appliance.record.canonical import Stamp, StoredRecord, canonical_json, read_json, wall_us
from appliance.record.errors import RecordRefused

SIGNING_DOMAIN = b"cellwright/seg/1\x00"
LARGEST_SEGMENT_RECORDS = 1000
LARGEST_SEGMENT_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Segment:
    """A signed run of one log."""

    header: bytes
    signature: bytes
    first: int
    last: int

    def facts(self) -> dict[str, Any]:
        """The header as its fields."""
        facts = read_json(self.header)
        if not isinstance(facts, dict):
            raise RecordRefused("A segment's header is not a JSON object.")
        return facts


def merkle_root(leaves: Sequence[bytes]) -> bytes:
    """The RFC 9162 tree head over `leaves` (section 2.1.1)."""
    return tree_head([hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves])


def tree_head(level: list[bytes]) -> bytes:
    """The tree head over leaves that are hashed already."""
    if not level:
        return hashlib.sha256(b"").digest()
    sha256 = hashlib.sha256
    while len(level) > 1:
        # Pairing neighbours and carrying an odd last one up gives the RFC's left-full tree.
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = [level[-1]] if len(level) % 2 else []
        level = [sha256(b"\x01" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def public_bytes(key: Ed25519PrivateKey | Ed25519PublicKey) -> bytes:
    """The raw 32 bytes of a public key."""
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    return public.public_bytes(Encoding.Raw, PublicFormat.Raw)


def fingerprint(public_key: bytes) -> str:
    """How a public key is named everywhere: SHA-256 of its raw 32 bytes, in hex."""
    return hashlib.sha256(public_key).hexdigest()


@functools.lru_cache(maxsize=64)
def _public_key(raw: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(raw)


def signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` over `message` was made with the private half of `public_key`."""
    try:
        _public_key(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def make_segment(
    records: Sequence[StoredRecord],
    previous_hash: bytes,
    key: Ed25519PrivateKey,
    stamp: Stamp,
    *,
    software_version: str,
    simulated: bool,
) -> Segment:
    """Sign a run of records that follows the record with hash `previous_hash`."""
    assert records
    head, first, last = records[0].header, records[0], records[-1]
    assert last.seq - first.seq + 1 == len(records)
    header = canonical_json(
        {
            "v": 1,
            "unit": head.unit,
            "log": head.log,
            "epoch": head.epoch.hex(),
            "first": first.seq,
            "last": last.seq,
            "prev_hash": previous_hash.hex(),
            "last_hash": last.hash.hex(),
            "root": merkle_root([record.data for record in records]).hex(),
            "count": len(records),
            "wall_us": wall_us(stamp.wall),
            "boot_id": stamp.boot_id.hex(),
            "software_version": software_version,
            "simulated": simulated,
        }
    )
    return Segment(header, key.sign(SIGNING_DOMAIN + header), first.seq, last.seq)


def runs_of(records: Iterable[StoredRecord]) -> Iterator[list[StoredRecord]]:
    """Part a run of the log into pieces of the size that one segment may have."""
    run: list[StoredRecord] = []
    size = 0
    for record in records:
        if run and (len(run) == LARGEST_SEGMENT_RECORDS or size + len(record.data) > LARGEST_SEGMENT_BYTES):
            yield run
            run, size = [], 0
        run.append(record)
        size += len(record.data)
    if run:
        yield run
