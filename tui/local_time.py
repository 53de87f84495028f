"""Times and durations as people read them; the only place where local time is made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


@lru_cache(maxsize=8)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def utc_words(moment: datetime) -> str:
    """`13:03:11` of an aware time, in UTC."""
    return f"{moment.astimezone(UTC):%H:%M:%S}"


def readable(text: str) -> str:
    """`17 Sep 2027 02:08 UTC` where the whole text is a moment as a record writes it; else the text."""
    try:
        moment = datetime.fromisoformat(text) if len(text) > len("2027-09-17") else None
    except ValueError:
        moment = None
    return f"{moment.astimezone(UTC):%d %b %Y %H:%M} UTC" if moment and moment.tzinfo else text


def local_words(moment: datetime, time_zone: str) -> str:
    """`14:03 CET` in the unit's zone; empty when the zone is unknown here, rather than a wrong time."""
    zone = _zone(time_zone)
    return f"{moment.astimezone(zone):%H:%M %Z}" if zone else ""


def day_words(moment: datetime) -> str:
    """`21 Nov 2026` of an aware time, in UTC."""
    return f"{moment.astimezone(UTC):%d %b %Y}"


def moment_words(moment: datetime, time_zone: str) -> dict[str, str]:
    """Day, UTC and local time of one moment, as a signature shows them."""
    local = local_words(moment, time_zone) or "unknown"
    return {"day": day_words(moment), "utc": utc_words(moment), "local": local}


def duration_words(seconds: float) -> str:
    """A duration in its two largest units: `12 s`, `4 min 10 s`, `3 h 2 min`, `3 d 4 h`."""
    whole = max(0, int(seconds))
    for size, unit, smaller_size, smaller in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def clock_words(seconds: float) -> str:
    """A timer's reading: `4:05`, or `1:02:03` from an hour up."""
    whole = max(0, int(seconds))
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"


def age_words(seconds: float) -> str:
    """Age of a value, at most six characters: tenths below ten seconds, then its largest unit."""
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else largest_unit_words(seconds)


def largest_unit_words(seconds: float) -> str:
    """A duration in its largest unit alone: `12 s`, `4 min`, `99 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{min(99, int(seconds // size))} {unit}"
    return f"{max(0, int(seconds))} s"


def later(moment: datetime, seconds: float) -> datetime:
    """The moment `seconds` after another."""
    return moment + timedelta(seconds=seconds)
