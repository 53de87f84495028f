"""Words, times and values of the record as a person reads them, and as harmless text."""

from __future__ import annotations

import re
import struct
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

FONTS = Path(__file__).with_name("fonts")
NOTHING = "-"
LONGEST_INLINE = 240
HASH_SHOWN = 12
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SUBTABLE = struct.Struct(">HHI")


def shown(text: str) -> str:
    """A text that looks the same everywhere: what our fonts lack, or what hides, turns or stacks, is named.

    `[U+202E]` stands for such a sign. Line breaks and tabs become spaces; `lines` keeps them.
    """
    if text.isascii() and text.isprintable():
        return text
    if "\n" in text or "\r" in text:
        text = " ⏎ ".join(text.splitlines())
    return _odd().sub(lambda found: _sign(found[0]), text)


def lines(text: str) -> list[str]:
    """The lines of a long text, each as `shown`, leading blanks kept."""
    return [shown(line.replace("\t", "    ")) for line in text.splitlines()]


def _sign(char: str) -> str:
    return " " if char == "\t" else f"[U+{ord(char):04X}]"


@cache
def _odd() -> re.Pattern[str]:
    """Every sign but those that our fonts draw and that stand still beside others."""
    plain = "".join(re.escape(chr(code)) for code in sorted(drawable()) if _stands_still(chr(code)))
    return re.compile(f"[^{plain}]")


def _stands_still(char: str) -> bool:
    category = unicodedata.category(char)
    hides_or_stacks = category[0] in "CM" or category in ("Zl", "Zp")
    return not hides_or_stacks and unicodedata.bidirectional(char) not in ("R", "AL", "AN")


@cache
def drawable() -> frozenset[int]:
    """The signs that every font of the printed record can draw."""
    return frozenset.intersection(*(_signs_of(path.read_bytes()) for path in sorted(FONTS.glob("*.ttf"))))


def _signs_of(font: bytes) -> frozenset[int]:
    """The code points of a TrueType font's character map (format 4: the basic plane)."""
    tables = struct.unpack_from(">H", font, 4)[0]
    offsets = {
        font[12 + 16 * n : 16 + 16 * n]: struct.unpack_from(">I", font, 20 + 16 * n)[0] for n in range(tables)
    }
    cmap = offsets[b"cmap"]
    for number in range(struct.unpack_from(">H", font, cmap + 2)[0]):
        platform, encoding, offset = _SUBTABLE.unpack_from(font, cmap + 4 + 8 * number)
        if (platform, encoding) == (3, 1):
            return _segments(font, cmap + offset)
    raise AssertionError("The font has no character map for Windows and Unicode.")


def _segments(font: bytes, at: int) -> frozenset[int]:
    count = struct.unpack_from(">H", font, at + 6)[0] // 2
    ends = struct.unpack_from(f">{count}H", font, at + 14)
    starts = struct.unpack_from(f">{count}H", font, at + 16 + 2 * count)
    return frozenset(
        code for start, end in zip(starts, ends, strict=True) for code in range(start, end + 1)
    ) - {0xFFFF}


def words_of(name: str) -> str:
    """`CellCountReported` or `volume_ml` as words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ")
    return spaced[:1].upper() + spaced[1:].lower() if name[:1].isupper() else spaced


def plain(value: object) -> str:
    """A fact's value in one line; a hash by its first letters, as the list of files has it in full."""
    if isinstance(value, str):
        return f"{value[:HASH_SHOWN]}…" if len(value) == 64 and _SHA256.fullmatch(value) else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        return "(" + "; ".join(f"{key}: {plain(item)}" for key, item in value.items()) + ")"
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


def or_nothing(value: object) -> str:
    """The value in one line, or a dash where there is none."""
    return NOTHING if value in (None, "", [], {}) else plain(value)


def interval(bounds: object) -> str:
    """A 95 % interval in words; empty where the value has none."""
    if not isinstance(bounds, list) or len(bounds) != 2:
        return ""
    return f"95 % interval {plain(bounds[0])} to {plain(bounds[1])}"


def listed(body: Mapping[str, Any], *names: str) -> str:
    """Some of an event's fields as `name: value`, the empty ones left out."""
    return " · ".join(f"{words_of(name)}: {plain(body[name])}" for name in names if body.get(name))


def duration(took: timedelta) -> str:
    """How long, in hours, minutes and seconds."""
    seconds = int(took.total_seconds())
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min {seconds % 60:02} s"
    return f"{minutes} min {seconds % 60:02} s"


class Times:
    """Moments in UTC and in the zone of the batch's site."""

    def __init__(self, zone_name: str) -> None:
        self.zone = _zone(zone_name)
        self.name = zone_name if self.zone else "UTC"

    def utc(self, moment: datetime) -> str:
        """`2026-11-21 07:30:02 UTC`."""
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

    def local(self, moment: datetime) -> str:
        """`2026-11-21 08:30:02 CET (UTC+01:00)`; a dash where the site's zone is not known here."""
        if self.zone is None:
            return NOTHING
        there = moment.astimezone(self.zone)
        return f"{there:%Y-%m-%d %H:%M:%S %Z} ({offset(there)})"

    def both(self, moment: datetime) -> str:
        """UTC, then local time where it is known; its date only where it is another one."""
        if self.zone is None:
            return self.utc(moment)
        local, date = self.local(moment), f"{moment:%Y-%m-%d} "
        return f"{self.utc(moment)} · {local.removeprefix(date)}"

    def read(self, text: object) -> str:
        """A moment that an event carries as text, in both; as it stands where it is no moment."""
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            return or_nothing(text)
        return self.both(moment.astimezone(UTC)) if moment.tzinfo else str(text)


def offset(moment: datetime) -> str:
    """`UTC+01:00`."""
    shift = moment.utcoffset() or timedelta()
    minutes = abs(shift) // timedelta(minutes=1)
    return f"UTC{'-' if shift < timedelta() else '+'}{minutes // 60:02}:{minutes % 60:02}"


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None  # the site named a zone this machine does not have; UTC stands alone then
