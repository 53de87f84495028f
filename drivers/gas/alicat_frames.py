"""Data frames of Alicat devices, and the table that tells their columns. Facts: docs/devices/alicat.md."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from drivers.framing import BrokenFrame

FRAME_BYTES_MAX = 256
COLUMN_WORDS = ("pressure", "temperature", "volume", "mass", "setpoint", "gas", "other")
USUAL = ("pressure", "temperature", "volume", "mass", "setpoint")

# Millilitres a minute at the device's own standard conditions; volumetric and normal flows have no exact one.
FLOW_ML_MIN = {
    "sccm": Decimal(1),
    "sml/m": Decimal(1),
    "slpm": Decimal(1000),
    "sl/m": Decimal(1000),
    "sul/m": Decimal("0.001"),
    "sml/s": Decimal(60),
    "sccs": Decimal(60),
    "sl/s": Decimal(60_000),
    "sml/h": Decimal(1) / 60,
    "scch": Decimal(1) / 60,
    "sl/h": Decimal(1000) / 60,
    "slph": Decimal(1000) / 60,
    "sm3/m": Decimal(1_000_000),
    "sm3/h": Decimal(1_000_000) / 60,
    "scim": Decimal("16.387064"),
    "scfm": Decimal("28316.846592"),
    "scfh": Decimal("28316.846592") / 60,
}
PRESSURE_KPA = {
    "psia": Decimal("6.894757293168"),
    "bara": Decimal(100),
    "mbara": Decimal("0.1"),
    "kpaa": Decimal(1),
    "paa": Decimal("0.001"),
    "hpaa": Decimal("0.1"),
    "mpaa": Decimal(1000),
    "atm": Decimal("101.325"),
    "torra": Decimal("101.325") / 760,
    "mmhga": Decimal("0.133322387415"),
}
STATUS_WORDS = {
    "ADC": "internal fault",
    "COM": "the digital link was idle too long",
    "EXH": "exhaust valve open",
    "GTA": "gas temperature out of range",
    "HLD": "valve held",
    "LCK": "keys locked",
    "MOV": "mass flow out of range",
    "VOV": "volumetric flow out of range",
    "POV": "pressure out of range",
    "P2O": "second pressure out of range",
    "TOV": "temperature out of range",
    "OPL": "pressure beyond its limit",
    "OVR": "totalizer rolled over",
    "TMF": "totalizer missed flow",
}
NO_ALARM = ("HLD", "LCK")  # what was ordered, or a key lock

_ROW = re.compile(r"([A-Z]) +D(\d\d) +(\S.*?) *")
_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{0,6})?|--")
_GAS = re.compile(r"[A-Za-z][\w.\-]{0,11}")
_CODE = re.compile(r"[A-Z][A-Z0-9]{2}")
_TEXT_TYPE = re.compile(r"\b(?:string|char)\b")


@dataclass(frozen=True, slots=True)
class Column:
    """What stands in one place of a frame; `unit` is empty where nothing tells it."""

    what: str
    unit: str = ""
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a frame behind the letter of the unit."""

    columns: tuple[Column, ...]

    def unit_of(self, what: str) -> str:
        """Return the unit of a column, empty where it has none or is not there."""
        return next((column.unit for column in self.columns if column.what == what), "")

    def has(self, what: str) -> bool:
        """Tell whether there is such a column."""
        return any(column.what == what for column in self.columns)


@dataclass(frozen=True, slots=True)
class Frame:
    """One data frame in the device's own units; None for a column that it leaves out or shows as `--`."""

    pressure: Decimal | None
    temperature: Decimal | None
    mass: Decimal | None
    setpoint: Decimal | None
    gas: str
    codes: tuple[str, ...]
    length: int

    @property
    def held(self) -> bool:
        """Whether the valve is held, so that the set-point counts for nothing."""
        return "HLD" in self.codes


def take_frame(buffer: bytearray) -> bytes | None:
    """Take one line that ends with CR; a line feed behind it and padding of old firmware are left out."""
    while buffer and buffer[0] in b"\n\x00":
        del buffer[:1]
    end = buffer.find(b"\r")
    if end > FRAME_BYTES_MAX or (end < 0 and len(buffer) > FRAME_BYTES_MAX):
        del buffer[: end + 1 if end >= 0 else len(buffer)]
        raise BrokenFrame("no end of line in sight")
    if end < 0:
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 1]
    return line.replace(b"\x00", b"")


def layout_from(table: Sequence[str], letter: str) -> Layout | None:
    """Return the layout that a `??D*` table tells, or None where it is no whole table of a flow device.

    Both dialects are understood, with and without numbers of statistics: a row is known by the words in it.
    """
    columns: list[Column] = []
    expected = 1
    for line in table:
        row = _ROW.fullmatch(line)
        if row is None or row[1] != letter:
            return None
        number, text = int(row[2]), row[3]
        if number == 0 or "NAME__" in text:
            continue
        if number != expected and expected > 1:
            return None
        expected = number + 1
        column = _column(text)
        if column is not None:
            columns.append(column)
    layout = Layout(tuple(columns))
    return layout if layout.has("mass") else None


def layout_of_words(words: str) -> Layout:
    """Return the layout that a setting names, such as "temperature mass other setpoint other gas"."""
    return Layout(tuple(Column(word, is_text=word == "gas") for word in words.split()))


def usual_layout(line: str) -> Layout | None:
    """Guess the layout from the number of columns, or None where it is none of a flow device.

    Four numbers are a meter's, five a controller's; more come behind these and are not understood.
    """
    tokens = line.split()[1:]
    numbers = next((n for n, token in enumerate(tokens) if not _NUMBER.fullmatch(token)), len(tokens))
    if numbers < 4 or numbers == len(tokens):
        return None
    names = (*USUAL[:numbers], *["other"] * (numbers - len(USUAL)))
    return Layout((*(Column(name) for name in names), Column("gas", is_text=True)))


def usual_with_units(line: str, told: Layout) -> Layout | None:
    """Return the usual layout with the units of a table that begins like it, but does not fit the frame."""
    usual = usual_layout(line)
    begins = tuple(column.what for column in told.columns[:4])
    if usual is None or begins != USUAL[:4]:
        return None
    return Layout(tuple(Column(one.what, told.unit_of(one.what), one.is_text) for one in usual.columns))


def frame_from(line: str, letter: str, layout: Layout) -> Frame | None:
    """Take a data frame apart; None where it is none of this unit and layout."""
    tokens = line.split()
    if len(tokens) <= len(layout.columns) or tokens[0] != letter:
        return None
    values: dict[str, Decimal | None] = {}
    gas = ""
    for column, token in zip(layout.columns, tokens[1:], strict=False):
        if column.is_text:
            if not _GAS.fullmatch(token):
                return None
            gas = token if column.what == "gas" else gas
            continue
        if not _NUMBER.fullmatch(token):
            return None
        values.setdefault(column.what, None if token == "--" else Decimal(token))
    codes = tokens[1 + len(layout.columns) :]
    if not all(_CODE.fullmatch(code) for code in codes):
        return None
    return Frame(
        pressure=values.get("pressure"),
        temperature=values.get("temperature"),
        mass=values.get("mass"),
        setpoint=values.get("setpoint"),
        gas=gas,
        codes=tuple(codes),
        length=len(line),
    )


def alarm_words(codes: Sequence[str]) -> str:
    """Return the status codes that people must know of, each with its words."""
    told = [code for code in codes if code not in NO_ALARM]
    return "; ".join(f"{code} {STATUS_WORDS.get(code, 'see its manual')}" for code in told)


def celsius(value: Decimal, unit: str) -> Decimal | None:
    """Return a temperature in °C, or None for a unit that is none of temperature."""
    scale = unit.lstrip("`°").upper().removeprefix("DEG")
    if scale in ("C", ""):
        return value
    if scale == "F":
        return (value - 32) * 5 / 9
    return value - Decimal("273.15") if scale == "K" else None


def _column(text: str) -> Column | None:
    """Tell what a row of the table names; None for the letter, and for what stands in some frames only."""
    words = text.lower()
    if "*" in words or re.search(r"\b(?:error|status)\b", words) or "unit id" in words:
        return None
    unit = text.split()[-1] if _is_unit(text.split()[-1]) else ""
    what = _what(words, unit)
    return Column(what, unit, what == "gas" or bool(_TEXT_TYPE.search(words)))


def _what(words: str, unit: str) -> str:
    if re.search(r"set ?p", words):
        return "other" if unit.lower() in PRESSURE_KPA or unit.lower().startswith("psi") else "setpoint"
    if re.search(r"total|drive|humid|batch", words):
        return "other"
    for what, key in (("mass", "mass"), ("volume", "vol"), ("pressure", "press"), ("temperature", "temp")):
        if key in words:
            return what
    return "gas" if re.search(r"\bgas\b", words) else "other"


def _is_unit(word: str) -> bool:
    """Tell whether the last word of a row is a unit: a known one, or one that is no plain word or number."""
    if word.lower() in FLOW_ML_MIN or word.lower() in PRESSURE_KPA:
        return True
    plain = re.fullmatch(r"[A-Z]?[a-z]{2,}", word)
    return plain is None and re.fullmatch(r"[`°]?[CFK]|[A-Za-z]{2,}3?(?:/[A-Za-z]+)?|%", word) is not None
