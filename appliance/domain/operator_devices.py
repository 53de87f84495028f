"""Devices that no line leads to: people run them, and the unit knows them by their label (F-036).

A sealer, a welder or a cell processor without a public protocol stands in the appliance file with
its qualified serial number. No program speaks to it; its label is read, or typed by two people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from appliance.domain import isbt128

TYPE = "operator-confirmed"
CELL_PROCESSOR, SEALER, WELDER, OTHER = "cell_processor", "sealer", "welder", "other"
KINDS = (CELL_PROCESSOR, SEALER, WELDER, OTHER)
DECLARED = "As the appliance file names it; its label is read at each use where the recipe asks for it."

# GS1 element strings that a device's label carries (UDI), with the length of their values; 0 ends at FNC1.
_GS1_LENGTHS = {"01": 14, "11": 6, "12": 6, "13": 6, "15": 6, "17": 6, "10": 0, "21": 0}
# The owner's own number of one piece of equipment (GIAI): an element of four digits, up to 30 characters.
_ASSET = "8004"
EQUIPMENT_FROM = 4  # the first `BatchOpened.rules` by which equipment labels beyond a UDI are understood
# Maker and catalogue number of equipment, as ISBT 128 says them: which type it is, and no serial number.
_OF_THE_TYPE = frozenset({"017", "021"})
_FNC1 = "\x1d"
_DIGITS = re.compile(r"[0-9]+")


def run_by_people(role: str) -> bool:
    """Whether a device of this role has no line: nothing can be asked of it, and nothing stops it."""
    return role in KINDS


def serial_numbers(texts: Sequence[str], rules: int = EQUIPMENT_FROM) -> list[str]:
    """The serial numbers that a label's symbols may mean, each once.

    A UDI names its serial number, and what else it carries is none. Without one an asset number (GS1 8004)
    names the device. Any other text may be one, but a maker's catalogue number.
    """
    named = [found for text in texts if (found := _named_by_udi(text))]
    if not named and rules >= EQUIPMENT_FROM:
        named = [found for text in texts if (found := _asset(text))]
    plain = [text.strip() for text in texts if not _is_udi(text) and not _only_type(text, rules)]
    return list(dict.fromkeys(named or plain))


def matches(texts: Sequence[str], qualified: str, rules: int = EQUIPMENT_FROM) -> bool:
    """Whether a label is that of the qualified device: some symbol says so and no UDI says otherwise."""
    named = {found for text in texts if (found := _named_by_udi(text))}
    if not named and rules >= EQUIPMENT_FROM:
        named = {found for text in texts if (found := _asset(text))}
    plain = {text.strip() for text in texts}
    return named == {qualified} if named else qualified in plain


def _is_udi(text: str) -> bool:
    return "01" in _elements(text)


def _named_by_udi(text: str) -> str:
    elements = _elements(text)
    return elements.get("21", "") if "01" in elements else ""


def _asset(text: str) -> str:
    """The asset number of a symbol that says it alone or before a separator; empty for any other."""
    rest = text.strip().removeprefix(_FNC1)
    value = rest.removeprefix(_ASSET).partition(_FNC1)[0] if rest.startswith(_ASSET) else ""
    return value if 4 <= len(value) <= 30 and value[:4].isdigit() else ""


def _only_type(text: str, rules: int) -> bool:
    """Whether it says which type of equipment this is, and not which one."""
    if rules < EQUIPMENT_FROM:
        return False
    try:
        return {one.number for one in isbt128.parse(text.strip())} <= _OF_THE_TYPE
    except isbt128.LabelRefused:
        return False


def _elements(text: str) -> dict[str, str]:
    """The GS1 elements of a text; empty when it is not made of them whole."""
    found: dict[str, str] = {}
    rest = text.strip().removeprefix(_FNC1)
    while rest:
        key, rest = rest[:2], rest[2:]
        length = _GS1_LENGTHS.get(key)
        if length is None:
            return {}
        value = rest[:length] if length else rest.partition(_FNC1)[0]
        if not value or (length and (len(value) != length or _DIGITS.fullmatch(value) is None)):
            return {}
        found[key], rest = value, rest[len(value) :].removeprefix(_FNC1)
    return found
