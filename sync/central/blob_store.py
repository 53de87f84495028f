"""Files that units send: taken in parts, kept only once their hash is right."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from appliance.record.attachments import LARGEST_BLOB_BYTES, blob_path, sync_folder

PART_BYTES_MAX = 1024 * 1024
_READ_BYTES = 1024 * 1024


class BlobRefused(Exception):
    """A part was not taken; `reason` is a stable key and `offset` where to go on."""

    def __init__(self, reason: str, words: str, offset: int = 0) -> None:
        self.reason, self.offset = reason, offset
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class BlobStore:
    """Files by SHA-256 under `folder`; parts of each unit apart from those of others."""

    folder: Path

    def path(self, sha256: str) -> Path:
        return blob_path(self.folder, sha256)

    def offset(self, unit_id: str, sha256: str) -> int:
        """How many bytes of an unfinished file are here."""
        try:
            return self._partial(unit_id, sha256).stat().st_size
        except FileNotFoundError:
            return 0

    def add_part(self, unit_id: str, sha256: str, *, offset: int, length: int, data: bytes) -> bool:
        """Append a part; true when the file is now complete and has the right hash.

        Raises
        ------
        BlobRefused
            The part does not begin where the last one ended, or the whole has another hash.
        """
        if not 0 < length <= LARGEST_BLOB_BYTES:
            raise BlobRefused("too_large", f"A file may have 1 to {LARGEST_BLOB_BYTES} bytes, not {length}.")
        here = self.offset(unit_id, sha256)
        if offset != here and offset != 0:
            raise BlobRefused("offset", f"{here} bytes of this file are here. Go on from there.", here)
        if offset + len(data) > length:
            raise BlobRefused("too_large", "The parts are longer than the file was said to be.", here)
        partial = self._partial(unit_id, sha256)
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("ab" if offset else "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return offset + len(data) == length and self._finish(partial, sha256)

    def _finish(self, partial: Path, sha256: str) -> bool:
        if file_hash(partial) != sha256:
            partial.unlink()
            raise BlobRefused(
                "hash", "The file that arrived has another hash. It was thrown away; send again."
            )
        path = self.path(sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.replace(path)
        sync_folder(path.parent)
        sync_folder(self.folder)
        return True

    def _partial(self, unit_id: str, sha256: str) -> Path:
        # The unit id was enrolled and has no path characters; hashing it makes that not matter.
        unit = hashlib.sha256(unit_id.encode()).hexdigest()[:16]
        self.path(sha256)  # refuses what is no hash
        return self.folder / "partial" / f"{unit}-{sha256}"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hex; empty when it is not there."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_READ_BYTES):
                digest.update(part)
    except FileNotFoundError:
        return ""
    return digest.hexdigest()
