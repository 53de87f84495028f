"""Open the record again after the disk failed: with the reserve when it was full, with a test write else."""

from __future__ import annotations

import os

from appliance.access.keys import load_key
from appliance.config import Home
from appliance.record.disk import release_reserve
from appliance.record.errors import RecordUnusable
from appliance.record.log import Head, Record

PROBE_NAME = "write-test.bin"
PROBE_BYTES = 65_536


def reopened_with_reserve(record: Record, home: Home, software_version: str) -> Record:
    """Close the record, give the reserve free, and open it again with its start-up check.

    Raises
    ------
    RecordUnusable
        It does not open: nothing more can be recorded, and the leases stay lapsed.
    """
    record.close()
    release_reserve(home.record)
    return Record.open(home.record, key=load_key(home.unit_key), software_version=software_version)


def reopened_after_fault(record: Record, home: Home, software_version: str, head: Head) -> Record:
    """Close the record, see that the disk takes a durable write, open and check it, and move its log.

    Parameters
    ----------
    head
        The newest event that was acknowledged; it must still be there.

    Raises
    ------
    RecordUnusable
        The disk still refuses, or what it holds is not what was acknowledged.
    """
    record.close()
    _probe(home)
    again = Record.open(home.record, key=load_key(home.unit_key), software_version=software_version)
    try:
        kept = next(again.read(head.seq, head.seq), None)
        if kept is None or kept.hash != head.hash:
            raise RecordUnusable(
                f"The disk failed and event {head.seq}, which was recorded, is not on it any more. "
                "Go on on paper, call QA, and use the backup."
            )
        # A failed sync may have left pages that count as written and are not: all are written anew.
        again.checkpoint()
    except BaseException:
        again.close()
        raise
    return again


def refuse_read_only(home: Home) -> None:
    """A disk that the system has turned read-only is told at once, not with the next event.

    Raises
    ------
    RecordUnusable
        The disk takes no writes.
    """
    if os.statvfs(home.record).f_flag & os.ST_RDONLY:
        raise RecordUnusable(
            "The disk that holds the batch record has become read-only. What was recorded before is kept, "
            "the devices go to their safe states and STOP works. Call service."
        )


def _probe(home: Home) -> None:
    path = home.record / PROBE_NAME
    try:
        with path.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
    except OSError as problem:
        raise RecordUnusable(
            f"The disk that holds the batch record cannot be written ({problem.strerror}). What was "
            "recorded before is kept, the devices are in their safe states and STOP works. "
            "Go on on paper; call service."
        ) from problem
