"""One reading of one quantity: a value is never passed on without its quality and its times."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

Quality = Literal["good", "uncertain", "bad", "stale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a device said about one quantity.

    `good`: protected by a checksum, or confirmed by a second reading. `uncertain`: one reading alone.
    `bad`: nothing usable came, `value` is None. `stale`: set by a reader, never by a driver.
    `exchanges` are the numbers of its bytes in the trace of the line; `drivers.trace` fills them in.
    """

    name: str
    value: Decimal | str | None
    unit: str
    quality: Quality
    source_time: datetime  # aware, UTC
    received_ns: int  # monotonic
    detail: str = ""
    exchanges: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        assert self.source_time.utcoffset() == timedelta(0), self.source_time
        assert (self.value is None) <= (self.quality != "good"), "a good reading has a value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a device says it is; an empty string where it has no way to say so."""

    maker: str
    model: str
    serial_number: str
    firmware: str


def reading_now(
    name: str, value: Decimal | str | None, unit: str, quality: Quality, detail: str = ""
) -> Reading:
    """Return a reading that was received at this moment."""
    return Reading(
        name=name,
        value=value,
        unit=unit,
        quality=quality,
        source_time=datetime.now(UTC),
        received_ns=time.monotonic_ns(),
        detail=detail,
    )
