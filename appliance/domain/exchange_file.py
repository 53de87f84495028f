"""The file in which a device without a public protocol hands over its results: strict, bounded, exact.

One grammar in two notations, JSON and CSV (`docs/devices/operator_confirmed.md`). Whatever the
bytes are, reading ends in values or in a refusal that a person understands. Nothing is guessed: a
field that is not there is missing, a number keeps its digits, a time is UTC or it is no time.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

FORMAT = "cellwright-exchange/1"
BYTES_MAX = 64 * 1024
RESULTS_MAX = 64
TEXT_LENGTH_MAX = 100
LINES_MAX = RESULTS_MAX + 16
TEXTS = ("serial_number", "programme")
TIMES = ("started", "ended")
# What a station offers for choosing: a plain name, so that no path hides in it.
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(?:json|csv)", re.IGNORECASE)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_NUMBER = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z")


class ExchangeFileUnusable(Exception):
    """The bytes are no exchange file; `reason` is a key, the words say what is wrong and where."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Result:
    """One number with its unit, digits as the device wrote them."""

    name: str
    value: str
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeFile:
    """What a device says of one run."""

    serial_number: str
    programme: str
    started: datetime
    ended: datetime
    results: tuple[Result, ...]


def read(data: bytes) -> ExchangeFile:
    """Read the bytes of an exchange file.

    Raises
    ------
    ExchangeFileUnusable
        Reasons `too_large`, `not_text`, `cut_off`, `malformed`. The file is taken whole or not at all.
    """
    if len(data) > BYTES_MAX:
        raise ExchangeFileUnusable("too_large", f"The file is larger than {BYTES_MAX} bytes.")
    if not data.strip():
        raise ExchangeFileUnusable("cut_off", "The file is empty. Export it again.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ExchangeFileUnusable(
            "not_text", f"Byte {fault.start + 1} of the file is not UTF-8. Export it as UTF-8."
        ) from fault
    return _of_json(text) if text.lstrip().startswith("{") else _of_csv(text)


# ── The two notations ──────────────────────────────────────────────────────────────────


def _of_json(text: str) -> ExchangeFile:
    try:
        # Digits stay as they are written: a number here never passes through binary floating point.
        tree = json.loads(
            text,
            object_pairs_hook=_once,
            parse_float=str,
            parse_int=str,
            parse_constant=_no_number,
        )
    except json.JSONDecodeError as fault:
        if not text.rstrip().endswith("}"):
            raise ExchangeFileUnusable("cut_off", "The file ends in the middle. Export it again.") from fault
        raise _malformed(f"line {fault.lineno} is no JSON") from fault
    except RecursionError as fault:
        raise _malformed("it is nested too deeply") from fault
    if not isinstance(tree, dict):
        raise _malformed("it is not one JSON object")
    listed = tree.pop("results", None)
    if not isinstance(listed, dict):
        raise _malformed("'results' is missing or no object")
    rows = []
    for name, one in listed.items():
        if not isinstance(one, dict) or set(one) != {"value", "unit"}:
            raise _malformed(f"result '{_short(name)}' must have exactly value and unit")
        rows.append((name, one["value"], one["unit"]))
    return _checked(tree, rows)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise _malformed("a name is there twice")
    return dict(pairs)


def _no_number(text: str) -> Any:
    raise _malformed(f"'{text}' is no number")


def _of_csv(text: str) -> ExchangeFile:
    if FORMAT.startswith(text):
        raise ExchangeFileUnusable("cut_off", "The file ends in its first line. Export it again.")
    lines = _lines(text)
    if lines[0] != [FORMAT]:
        raise _malformed(f"its first line is not '{FORMAT}'")
    if lines[-1] != ["end", str(len(lines) - 1)]:
        words = f"The file does not end with 'end,{len(lines) - 1}'. It was cut off. Export it again."
        raise ExchangeFileUnusable("cut_off", words)
    said: dict[str, Any] = {"format": FORMAT}
    rows = []
    for number, cells in enumerate(lines[1:-1], 2):
        if len(cells) == 4 and cells[0] == "result":
            rows.append((cells[1], cells[2], cells[3]))
        elif len(cells) == 2 and cells[0] not in said:
            said[cells[0]] = cells[1]
        else:
            raise _malformed(f"line {number} is neither 'name,value' nor 'result,name,value,unit'")
    if len({name for name, _, _ in rows}) != len(rows):
        raise _malformed("a name is there twice")
    return _checked(said, rows)


def _lines(text: str) -> list[list[str]]:
    # The reader's own idea of a line end is wider than ours: no cell may hold one.
    split = text.removesuffix("\n").removesuffix("\r").split("\n")
    if len(split) > LINES_MAX:
        raise _malformed(f"it has more than {LINES_MAX} lines")
    lines = []
    for number, line in enumerate(split, 1):
        try:
            cells = next(csv.reader([line.removesuffix("\r")], strict=True), [])
        except csv.Error as fault:
            raise _malformed(f"line {number} is no CSV") from fault
        lines.append(cells)
    return lines


# ── What both must say ─────────────────────────────────────────────────────────────────


def _checked(said: Mapping[str, Any], rows: list[tuple[str, Any, Any]]) -> ExchangeFile:
    if said.get("format") != FORMAT:
        raise _malformed(f"'format' is not '{FORMAT}'")
    foreign = sorted(set(said) - {"format", *TEXTS, *TIMES})
    if foreign:
        raise _malformed(f"'{_short(foreign[0])}' is not known")
    if not 1 <= len(rows) <= RESULTS_MAX:
        raise _malformed(f"it must have 1 to {RESULTS_MAX} results, and has {len(rows)}")
    started, ended = (_time(said, name) for name in TIMES)
    if ended < started:
        raise _malformed("the run ended before it started")
    return ExchangeFile(
        serial_number=_text(said, "serial_number"),
        programme=_text(said, "programme"),
        started=started,
        ended=ended,
        results=tuple(_result(*row) for row in rows),
    )


def _result(name: str, value: Any, unit: Any) -> Result:
    if _NAME.fullmatch(name) is None:
        raise _malformed(f"'{_short(name)}' is no name of a result")
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise _malformed(f"the value of '{name}' is not a plain decimal number")
    if not isinstance(unit, str) or (unit and not _is_text(unit)):
        raise _malformed(f"the unit of '{name}' is no text")
    return Result(name, value, unit)


def _text(said: Mapping[str, Any], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not _is_text(value):
        raise _malformed(f"'{name}' is missing or no text of 1 to {TEXT_LENGTH_MAX} printable characters")
    return value


def _is_text(value: str) -> bool:
    return 0 < len(value) <= TEXT_LENGTH_MAX and value.isprintable() and value == value.strip()


def _time(said: Mapping[str, Any], name: str) -> datetime:
    value = said.get(name)
    try:
        if isinstance(value, str) and _TIME.fullmatch(value) is not None:
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # a day or an hour that no calendar has: told below
    raise _malformed(f"'{name}' is no time in UTC such as 2026-03-02T09:15:00Z")


def _malformed(what: str) -> ExchangeFileUnusable:
    return ExchangeFileUnusable(
        "malformed", f"The file is no exchange file of this unit: {what}. Export it again, or call service."
    )


def _short(name: str) -> str:
    shown = "".join(one if one.isprintable() else "?" for one in name)
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
