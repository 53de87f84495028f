"""Lines of a Sartorius balance in SBI, taken apart. Wire facts: docs/devices/sartorius_sbi.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from drivers.framing import ascii_text

# What each unit is by definition, in grams. Taels, bahts and the like differ from country to country.
GRAMS = {
    "g": Decimal(1),
    "kg": Decimal(1000),
    "mg": Decimal("0.001"),
    "ug": Decimal("0.000001"),
    "t": Decimal(1_000_000),
    "ct": Decimal("0.2"),
    "lb": Decimal("453.59237"),
    "oz": Decimal("28.349523125"),
    "ozt": Decimal("31.1034768"),
    "gn": Decimal("0.06479891"),
    "dwt": Decimal("1.55517384"),
    "mom": Decimal("3.75"),
}
SHORT, LONG = 14, 20  # characters of a line without and with its identifier, less CR LF
LINE_MAX = 60
NET, GROSS = "N", "G"

_VALUE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9#]{0,5}) *)?"
    r"([+\- ]) {0,9}(\d{1,8}(?:\.\d{0,7})?|\.\d{1,7}) {0,9}([A-Za-z%/:]{0,4}) *"
)
_STATUS = re.compile(r"(?:Stat)? *([A-Za-z.\-]{1,8}?) ?(\d{0,3}) *", re.IGNORECASE)
_UNDERLOAD, _OVERLOAD = "underload: put the pan back", "overload: take weight off the pan"
_TROUBLES = {
    "high": _OVERLOAD, "h": _OVERLOAD, "hh": _OVERLOAD,
    "low": _UNDERLOAD, "l": _UNDERLOAD, "ll": _UNDERLOAD,
    "c": "it adjusts itself: wait until it is done",
    "off": "it is switched off: switch it on",
}  # fmt: skip
_ERRORS = {"54": _UNDERLOAD, "55": _OVERLOAD}
TARE_ERRORS = ("10", "11")


@dataclass(frozen=True, slots=True)
class Shown:
    """One line that tells a weight, or in `trouble` why there is none.

    `unit` is empty while the weight is not stable. `error` is the number of an error line.
    """

    value: Decimal = Decimal(0)
    unit: str = ""
    identifier: str = ""
    decimals: int = 0
    length: int = 0
    trouble: str = ""
    error: str = ""


def shown_by(line: bytes) -> Shown | None:
    """Take a line apart; None where it is neither a weight nor a status.

    Raises
    ------
    BrokenFrame
        A byte that is not printable: the line was damaged.
    """
    text = ascii_text(line)
    if len(text) not in (SHORT, LONG) and not LONG < len(text) <= LINE_MAX:
        return None
    # Brackets mark digits that are not verified; their value counts all the same.
    match = _VALUE.fullmatch(text.replace("[", "").replace("]", ""))
    if match is None:
        return _status(text)
    identifier, sign, number, unit = match.groups()
    value = Decimal(number)
    return Shown(
        value=-value if sign == "-" and value else value,
        unit=unit,
        identifier=identifier or "",
        decimals=len(number.partition(".")[2]),
        length=len(text),
    )


def is_output_error(line: bytes) -> bool:
    """Tell whether a line is what a balance that is set to xBPI says to an SBI request."""
    return b"PRT.ERR" in line.upper()


def grams(value: Decimal, unit: str) -> Decimal | None:
    """Return a weight in grams, or None for a unit without one exact meaning."""
    factor = GRAMS.get(unit.lower())
    if factor is None:
        return None
    return (value * factor).quantize(Decimal("0.00001")).normalize() + Decimal("0.00")


def _status(text: str) -> Shown | None:
    match = _STATUS.fullmatch(text)
    if match is None:
        return None
    word, number = match[1].lower(), match[2]
    if word.startswith("cal"):
        word = "c"
    if word.rstrip(".") == "err" and number:
        words = _ERRORS.get(number, f"it shows error {number}: see its manual")
        return Shown(trouble=words, error=number, length=len(text))
    if word.endswith(".err"):
        return Shown(trouble=f"it shows {match[1]}: see its manual", length=len(text))
    if word not in _TROUBLES or number:
        return None
    return Shown(trouble=_TROUBLES[word], length=len(text))
