"""The one ZIP form of an exported batch: every byte of the file follows from the entries' names and content.

Entries are stored, sorted by name, dated 1980-01-01, without extra fields, comments or gaps, and the
directory at the end repeats them. So nothing can be hidden between, before or after the entries.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from appliance.record.errors import RecordRefused

VERIFIER = "verify.py"
MANIFEST = "manifest.json"
MANIFEST_SIGNATURE = "manifest.sig"
NOT_IN_MANIFEST = frozenset({VERIFIER, MANIFEST, MANIFEST_SIGNATURE})
MANIFEST_DOMAIN = b"cellwright/manifest/1\x00"
FORMAT = "cellwright-archive"

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
END = struct.Struct("<4sHHHHIIH")
LOCAL_MARK, CENTRAL_MARK, END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_NEEDED, _MADE_BY, _STORED, _TIME, _DATE = 20, 0x0314, 0, 0, 0x0021
_MODE = 0o100644 << 16
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
LARGEST_ARCHIVE_BYTES = 2**32 - 1
MOST_ENTRIES = 2**16 - 2


@dataclass(slots=True)
class Opened:
    """The entries of an archive and what is wrong with its layout."""

    entries: dict[str, bytes] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def build(entries: Mapping[str, bytes]) -> bytes:
    """The archive's bytes; the same entries give the same bytes.

    Raises
    ------
    RecordRefused
        A name is not plain, or the archive grows past what this form of ZIP can hold.
    """
    for name in entries:
        if not _NAME.fullmatch(name):
            raise RecordRefused(f"{name!r} is no name for an entry of an archive.")
    size = sum(len(data) + 2 * len(name) + 128 for name, data in entries.items())
    if size > LARGEST_ARCHIVE_BYTES or len(entries) > MOST_ENTRIES:
        raise RecordRefused(f"The batch has {size} bytes in {len(entries)} files: too much for one archive.")
    parts: list[bytes] = []
    offset = 0
    described = []
    for name in sorted(entries):
        data = entries[name]
        checksum = zlib.crc32(data)
        described.append((name, checksum, len(data), offset))
        parts += [_local(name, checksum, len(data)), data]
        offset += len(parts[-2]) + len(data)
    parts.append(_directory(described, offset))
    return b"".join(parts)


def looks_like_one(raw: bytes) -> bool:
    """Whether the file is a ZIP at all; one changed byte cannot hide that."""
    return raw.startswith(LOCAL_MARK) or raw[-END.size :].startswith(END_MARK)


def take_apart(raw: bytes) -> Opened:
    """The entries, and every way in which the file is not exactly what `build` makes of them."""
    opened = Opened()
    described: list[tuple[str, int, int, int]] = []
    offset = 0
    while raw[offset : offset + 4] == LOCAL_MARK and offset + LOCAL.size <= len(raw):
        fields = LOCAL.unpack_from(raw, offset)
        size, name_size = fields[8], fields[9]
        begin = offset + LOCAL.size + name_size
        name = raw[offset + LOCAL.size : begin].decode("latin-1")
        data = raw[begin : begin + size]
        checksum = zlib.crc32(data)
        if raw[offset:begin] != _local(name, checksum, len(data)) or len(data) != size:
            opened.problems.append(f"The entry {name!r} of the archive was changed.")
        if not _NAME.fullmatch(name) or name in opened.entries or (described and name < described[-1][0]):
            opened.problems.append(f"The entry {name!r} of the archive is out of place.")
        opened.entries.setdefault(name, data)
        described.append((name, checksum, len(data), offset))
        offset = begin + size
    if raw[offset:] != _directory(described, offset):
        opened.problems.append("The directory of the archive does not agree with its entries.")
    return opened


def frame(parts: Iterable[bytes]) -> bytes:
    """Byte strings one after the other, each after its length as eight bytes, big endian."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def unframe(raw: bytes) -> list[bytes]:
    """The byte strings of `frame`.

    Raises
    ------
    RecordRefused
        The lengths do not add up.
    """
    parts: list[bytes] = []
    offset = 0
    while offset < len(raw):
        size = int.from_bytes(raw[offset : offset + 8], "big")
        offset += 8
        if size > len(raw) - offset:
            raise RecordRefused(f"The length of event number {len(parts) + 1} in the file is wrong.")
        parts.append(raw[offset : offset + size])
        offset += size
    return parts


def _local(name: str, checksum: int, size: int) -> bytes:
    raw = name.encode("latin-1")
    return LOCAL.pack(LOCAL_MARK, _NEEDED, 0, _STORED, _TIME, _DATE, checksum, size, size, len(raw), 0) + raw


def _directory(described: list[tuple[str, int, int, int]], offset: int) -> bytes:
    rows = []
    for name, checksum, size, at in described:
        raw = name.encode("latin-1")
        rows.append(
            CENTRAL.pack(
                CENTRAL_MARK, _MADE_BY, _NEEDED, 0, _STORED, _TIME, _DATE, checksum, size, size,
                len(raw), 0, 0, 0, 0, _MODE, at,
            )
            + raw
        )  # fmt: skip
    directory = b"".join(rows)
    return directory + END.pack(END_MARK, 0, 0, len(rows), len(rows), len(directory), offset, 0)
