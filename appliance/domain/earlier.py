"""Numbers of an earlier log, counted back from the beginning of this one.

After a restore a unit's record goes on in a new log whose numbers begin at 1 again. What lies before
it keeps its order: the last record of the log before is -1, the one before it -2. There is no 0,
which in many fields means "none".
"""

from __future__ import annotations

import dataclasses
from typing import Any

from appliance.domain.batch import Fact
from appliance.domain.event import Event

# Fields of events that name another record of the gxp log by its number.
NAMES_A_RECORD = frozenset({"first_seq", "corrected_seq", "signed_seq", "because_seq", "sealed_seq"})


def counted_back(seq: int, records: int) -> int:
    """What `seq` of an earlier log is called in the log that began `records` records later.

    Parameters
    ----------
    records
        How many records the earlier log has, and every one between it and the present log.
    """
    return seq if seq == 0 else seq - records - (1 if seq > 0 else 0)


def event_counted_back(event: Event, records: int) -> Event:
    """An event of an earlier log, naming other records as the present log calls them."""
    changed: dict[str, Any] = {
        name: counted_back(getattr(event, name), records) for name in _numbers_in(event)
    }
    return dataclasses.replace(event, **changed) if changed else event


def _numbers_in(event: Event) -> list[str]:
    return [field.name for field in dataclasses.fields(event) if field.name in NAMES_A_RECORD]


def fact_counted_back(fact: Fact, records: int) -> Fact:
    """A fact of an earlier log as the present one takes it."""
    return dataclasses.replace(
        fact, event=event_counted_back(fact.event, records), seq=counted_back(fact.seq, records)
    )
