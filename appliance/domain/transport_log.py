"""The file in which a shipper's temperature logger hands over its transport (ISO 21973): strict and bounded.

One grammar (`docs/integrator-guide.md`), taken whole or not at all, as with the files of devices. What
the readings say is worked out here too, from the bytes and the recipe's range alone, so that anybody
with the kept file comes to the same.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

from appliance.domain.exchange_file import ExchangeFileUnusable
from appliance.domain.quantity import plain

FORMAT = "cellwright-transport/1"
KEY = "transport_log"  # of the question that asks for such a file
BYTES_MAX = 1024 * 1024
READINGS_MAX = 30_000  # three weeks, one a minute
LISTED_MAX = 20  # gaps and excursions that are listed one by one; all are counted
TEXT_LENGTH_MAX = 60
GAP_MIN = 10  # minutes without a reading from which the record names a gap
TEXTS = ("shipper", "logger", "from", "to", "seal")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?Z")
_NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class TransportLog:
    """What a logger says of one transport."""

    shipper: str
    logger: str
    sent_from: str
    sent_to: str
    seal: str  # as the sender noted it; empty where none was
    readings: tuple[tuple[datetime, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """From when, and how many minutes; of an excursion also the reading furthest out of the range."""

    at: datetime
    minutes: Decimal
    furthest_c: Decimal | None = None

    def told(self) -> dict[str, str]:
        said = {"at": self.at.isoformat(), "minutes": plain(self.minutes)}
        return said if self.furthest_c is None else said | {"furthest_c": plain(self.furthest_c)}


@dataclass(frozen=True, slots=True)
class Assessment:
    """Readings held against a range."""

    lowest_c: Decimal
    highest_c: Decimal
    gaps: tuple[Stretch, ...]
    excursions: tuple[Stretch, ...]

    @property
    def outside_min(self) -> Decimal:
        """All minutes outside the range together."""
        return sum((one.minutes for one in self.excursions), Decimal(0))

    @property
    def longest_gap_min(self) -> Decimal:
        return max((one.minutes for one in self.gaps), default=Decimal(0))


def read(data: bytes) -> TransportLog:
    """Read the bytes of a logger's file.

    Raises
    ------
    ExchangeFileUnusable
        Reasons `too_large`, `not_text`, `cut_off`, `malformed`.
    """
    if len(data) > BYTES_MAX:
        raise ExchangeFileUnusable("too_large", f"The file is larger than {BYTES_MAX} bytes.")
    if not data.strip():
        raise ExchangeFileUnusable("cut_off", "The file is empty. Export it again.")
    try:
        lines = data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r").split("\n")
    except UnicodeDecodeError as fault:
        raise ExchangeFileUnusable(
            "not_text", f"Byte {fault.start + 1} of the file is not UTF-8. Export it as UTF-8."
        ) from fault
    if lines[0].removesuffix("\r") != FORMAT:
        raise _malformed(f"its first line is not '{FORMAT}'")
    if lines[-1].removesuffix("\r") != f"end,{len(lines) - 1}":
        words = f"The file does not end with 'end,{len(lines) - 1}'. It was cut off. Export it again."
        raise ExchangeFileUnusable("cut_off", words)
    return _of(lines[1:-1])


def _of(lines: Sequence[str]) -> TransportLog:
    said: dict[str, str] = {}
    readings: list[tuple[datetime, Decimal]] = []
    for number, line in enumerate(lines, 2):
        cells = _cells(line.removesuffix("\r"), number)
        if len(cells) == 3 and cells[0] == "reading":
            readings.append(_reading(cells[1], cells[2], number))
            if len(readings) > 1 and readings[-1][0] <= readings[-2][0]:
                raise _malformed(f"line {number} is not later than the line before it")
            if len(readings) > READINGS_MAX:
                raise _malformed(f"it has more than {READINGS_MAX} readings")
        elif len(cells) == 2 and cells[0] in TEXTS and cells[0] not in said:
            said[cells[0]] = _text(cells[1], number)
        else:
            raise _malformed(f"line {number} is neither 'name,value' nor 'reading,time,degrees'")
    missing = [name for name in TEXTS if name != "seal" and name not in said]
    if missing:
        raise _malformed(f"'{missing[0]}' is missing")
    if len(readings) < 2:
        raise _malformed("it has fewer than 2 readings")
    return TransportLog(
        said["shipper"], said["logger"], said["from"], said["to"], said.get("seal", ""), tuple(readings)
    )


def _cells(line: str, number: int) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as fault:
        raise _malformed(f"line {number} is no CSV") from fault


def _reading(time: str, degrees: str, number: int) -> tuple[datetime, Decimal]:
    try:
        if _TIME.fullmatch(time) is not None and _NUMBER.fullmatch(degrees) is not None:
            return datetime.fromisoformat(time).astimezone(UTC), Decimal(degrees)
    except (ValueError, OverflowError):
        pass  # a day or an hour that no calendar has: told below
    raise _malformed(f"line {number} is no reading such as 'reading,2026-03-02T09:15:00Z,-182.4'")


def _text(value: str, number: int) -> str:
    if 0 < len(value) <= TEXT_LENGTH_MAX and value.isprintable() and value == value.strip():
        return value
    raise _malformed(f"line {number} is no text of 1 to {TEXT_LENGTH_MAX} printable characters")


def _malformed(what: str) -> ExchangeFileUnusable:
    return ExchangeFileUnusable(
        "malformed", f"The file is no transport log of this unit: {what}. Export it again, or call service."
    )


def assess(log: TransportLog, low_c: Decimal, high_c: Decimal) -> Assessment:
    """Hold each reading against the range.

    Between two readings nobody knows the temperature: a stretch that a reading outside begins or ends
    counts as outside as a whole, which is never too little.
    """
    gaps: list[Stretch] = []
    outside: list[tuple[datetime, datetime, Decimal]] = []
    for (began, before), (ended, after) in pairwise(log.readings):
        if (ended - began).total_seconds() > GAP_MIN * 60:
            gaps.append(Stretch(began, _minutes(began, ended)))
        furthest = _further(before, after, low_c, high_c)
        if not _outside(furthest, low_c, high_c):
            continue
        if outside and outside[-1][1] == began:
            start, _, worst = outside.pop()
            outside.append((start, ended, _further(worst, furthest, low_c, high_c)))
        else:
            outside.append((began, ended, furthest))
    values = [value for _, value in log.readings]
    excursions = tuple(Stretch(start, _minutes(start, end), worst) for start, end, worst in outside)
    return Assessment(min(values), max(values), tuple(gaps), excursions)


def _further(one: Decimal, other: Decimal, low_c: Decimal, high_c: Decimal) -> Decimal:
    return max((one, other), key=lambda value: _outside(value, low_c, high_c))


def _outside(value: Decimal, low_c: Decimal, high_c: Decimal) -> Decimal:
    """How far a reading lies outside the range, in degrees; 0 inside."""
    return max(low_c - value, value - high_c, Decimal(0))


def _minutes(began: datetime, ended: datetime) -> Decimal:
    return (Decimal(int((ended - began).total_seconds())) / 60).quantize(Decimal("0.1"))


def summary(log: TransportLog, low_c: Decimal, high_c: Decimal) -> list[dict[str, str]]:
    """What the record keeps of the readings, as the results of a file: each with name, value and unit."""
    found = assess(log, low_c, high_c)
    numbers = (
        ("readings", Decimal(len(log.readings)), "count"),
        ("lowest", found.lowest_c, "degC"),
        ("highest", found.highest_c, "degC"),
        ("range_low", low_c, "degC"),
        ("range_high", high_c, "degC"),
        ("outside", found.outside_min, "min"),
        ("longest_gap", found.longest_gap_min, "min"),
        ("excursions", Decimal(len(found.excursions)), "count"),
        ("gaps", Decimal(len(found.gaps)), "count"),
    )
    told = [{"name": name, "value": plain(value), "unit": unit} for name, value, unit in numbers]
    texts = (
        ("logger", log.logger),
        ("sent_from", log.sent_from),
        ("sent_to", log.sent_to),
        ("seal", log.seal),
    )
    told += [{"name": name, "value": value, "unit": ""} for name, value in texts]
    for name, stretches in (("gap", found.gaps), ("excursion", found.excursions)):
        told += [{"name": name, "value": "", "unit": "", **one.told()} for one in stretches[:LISTED_MAX]]
    return told
