"""Room for the end of a running batch: the reserve file is released when the disk is full."""

from __future__ import annotations

from appliance.access.keys import load_key
from appliance.config import Home
from appliance.record.disk import release_reserve
from appliance.record.log import Record


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
