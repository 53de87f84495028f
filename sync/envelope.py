"""A signed run of records as one HTTP body: segment header, signature, exact record bytes.

Layout, big endian: `CWS1` | u32 header bytes | header | signature (64) | u32 count |
for each record u32 bytes | record. Nothing is written again in order to be sent: the
record bytes are those that were hashed and signed. Pure: no I/O and no compression here.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.record.segments import LARGEST_SEGMENT_BYTES, LARGEST_SEGMENT_RECORDS

MAGIC = b"CWS1"
SIGNATURE_BYTES = 64
HEADER_BYTES_MAX = 4096
RECORDS_MAX = LARGEST_SEGMENT_RECORDS
BODY_BYTES_MAX = LARGEST_SEGMENT_BYTES + HEADER_BYTES_MAX + SIGNATURE_BYTES + 4 * RECORDS_MAX + 16
DIGEST_HEADER = "Cellwright-Digest"  # of the body before compression
DIGEST_PATTERN = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
ACK_DOMAIN = b"cellwright/ack/1\x00"
_U32 = struct.Struct(">I")


class EnvelopeUnreadable(ValueError):
    """The body is not a run of records of this layout; the words say where it goes wrong."""


class EnvelopeTooLarge(EnvelopeUnreadable):
    """The body passes a limit of records or bytes."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What was sent: the segment's header and signature, and the records it covers."""

    header: bytes
    signature: bytes
    records: tuple[bytes, ...]


def pack(header: bytes, signature: bytes, records: Sequence[bytes]) -> bytes:
    """One segment as bytes.

    Raises
    ------
    EnvelopeTooLarge
        More records or bytes than central takes at once.
    """
    assert len(signature) == SIGNATURE_BYTES, len(signature)
    parts = [MAGIC, _U32.pack(len(header)), header, signature, _U32.pack(len(records))]
    for record in records:
        parts += [_U32.pack(len(record)), record]
    body = b"".join(parts)
    if len(body) > BODY_BYTES_MAX or len(records) > RECORDS_MAX:
        raise EnvelopeTooLarge(
            f"The segment has {len(records)} records and {len(body)} bytes; "
            f"at most {RECORDS_MAX} and {BODY_BYTES_MAX} may be sent."
        )
    return body


def unpack(body: bytes) -> Envelope:
    """Read a body; every byte is accounted for.

    Raises
    ------
    EnvelopeUnreadable
        The bytes do not follow the layout, or pass a limit.
    """
    if len(body) > BODY_BYTES_MAX:
        raise EnvelopeTooLarge(f"The body has {len(body)} bytes; at most {BODY_BYTES_MAX} are taken.")
    reader = _Reader(body)
    if reader.take(4) != MAGIC:
        raise EnvelopeUnreadable("The body does not begin with the mark of a segment.")
    header_bytes = reader.number()
    if header_bytes > HEADER_BYTES_MAX:
        raise EnvelopeTooLarge(f"The segment's header has {header_bytes} bytes; at most {HEADER_BYTES_MAX}.")
    header = reader.take(header_bytes)
    signature = reader.take(SIGNATURE_BYTES)
    count = reader.number()
    if count > RECORDS_MAX:
        raise EnvelopeTooLarge(f"The segment has {count} records; at most {RECORDS_MAX} are taken at once.")
    records = tuple(reader.take(reader.number()) for _ in range(count))
    if reader.left():
        raise EnvelopeUnreadable(f"{reader.left()} bytes follow the last record.")
    return Envelope(header, signature, records)


def digest_of(body: bytes) -> str:
    """The value of the digest header for an uncompressed body."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def digest_matches(value: str, body: bytes) -> bool:
    """Whether a digest header names exactly this body."""
    match = DIGEST_PATTERN.fullmatch(value.strip())
    if match is None:
        return False
    try:
        return base64.b64decode(match[1], validate=True) == hashlib.sha256(body).digest()
    except binascii.Error:
        return False


class _Reader:
    """Takes bytes from the front, and refuses to read past the end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        if size > self.left():
            raise EnvelopeUnreadable(f"The body ends {size - self.left()} bytes too early.")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def left(self) -> int:
        return len(self._data) - self._at
