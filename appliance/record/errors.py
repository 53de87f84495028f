"""What can go wrong with the record, in the words the screen shows.

RecordError
├── RecordRefused      the caller offered something the record does not take; nothing was written
├── RecordUnusable     the record cannot be trusted to take more until it has been opened again
│   └── RecordFull     there is no room left on the disk
└── BlobMissing        a named picture or file is not in the record folder
"""

from __future__ import annotations

from appliance.domain.errors import ApplianceError


class RecordError(ApplianceError):
    """Something about the batch record that people must be told; `str(error)` is what they read."""

    reason = "record"


class RecordRefused(RecordError, ValueError):
    """What was offered has no place in the record; nothing was written."""


class RecordUnusable(RecordError):
    """The record takes nothing more until it has been closed, opened and checked again."""

    reason = "record_unusable"


class RecordFull(RecordUnusable):
    """The disk is full; what was acknowledged before is safe."""

    reason = "disk_full"

    def __init__(self, folder: object) -> None:
        super().__init__(
            f"The disk that holds the batch record is full ({folder}). Nothing recorded so far is lost. "
            "Free space or release the reserve file, then open the record again."
        )


class BlobMissing(RecordError):
    """A picture or file that the record names is not there, or not what was stored."""
