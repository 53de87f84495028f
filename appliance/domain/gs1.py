"""GS1 labels of materials: element strings and Digital Links, read by biip, with what it lets through closed.

A symbol is GS1 because its symbology identifier says so, never because its text looks like it. Facts: GS1
General Specifications by way of biip; years of two digits are read as 1976 to 2075.
"""

import calendar
import re
from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING

from appliance.domain.isbt128 import LabelRefused

if TYPE_CHECKING:
    from biip.gs1_element_strings import GS1ElementString

TEXT_CHARACTERS_MAX = 1000
SYMBOLOGIES = frozenset({"]C1", "]d2", "]Q3", "]e0"})
SEPARATOR = "\x1d"
_FIELDS = {
    "01": "gtin",
    "10": "lot",
    "11": "produced_local",
    "17": "expires_local",
    "21": "serial",
    "240": "additional_id",
    "30": "quantity",
    "00": "sscc",
    "02": "contained_gtin",
    "37": "contained_count",
    "8008": "produced_local",
    "7003": "expires_local",
}
# What a lot may have swallowed where the separator behind it was forgotten: elements of known length.
_SWALLOWED = re.compile(r"(?P<ai>01|02|11|13|15|17)(?P<value>[0-9]+)$")
_SWALLOWED_DIGITS = {"01": 14, "02": 14}
_MISREAD = "This GS1 label was misread, or its print is damaged. Scan again, closer and flat."


def parse(text: str, symbology_identifier: str = "]d2") -> dict[str, str]:
    """Return the fields of one GS1 symbol by name, and every element by its identifier as `ai_NN`.

    `doubt` is "lot" where the lot may hold elements that its missing separator let run in.

    Raises
    ------
    LabelRefused
        Not GS1, an unknown or broken element, a wrong check digit, or two values for one element.
    """
    if not text or len(text) > TEXT_CHARACTERS_MAX:
        raise LabelRefused("This symbol is empty or far too long for a GS1 label. Show the maker's label.")
    elements = list(_elements(text, symbology_identifier))
    facts: dict[str, str] = {}
    for element in elements:
        for key, value in _facts(element).items():
            known = facts.setdefault(key, value)
            if known == value:
                continue
            if not key.endswith("_local") or known[:10] != value[:10]:
                raise LabelRefused(
                    f"This GS1 label contradicts itself ({key.replace('_', ' ')}: {known} and {value}). "
                    "Put the material aside."
                )
            # A date and a date with its time agree on the day: the earlier moment counts.
            facts[key] = min(known, value)
    if _may_hold_more(facts):
        facts["doubt"] = "lot"
    return facts


def meaning(text: str, symbology_identifier: str = "") -> dict[str, object] | None:
    """Say what a symbol means as plain JSON values, or why it is refused; None when it is not GS1."""
    if symbology_identifier not in SYMBOLOGIES and not _is_link(text):
        return None
    try:
        facts = parse(text, symbology_identifier)
    except LabelRefused as refusal:
        return {"standard": "GS1", "refused": str(refusal)}
    readable = " ".join(
        f"{word} {facts[key].replace('T', ' ')}".strip()
        for key, word in (("gtin", ""), ("lot", "lot"), ("serial", "serial"), ("expires_local", "expires"))
        if key in facts
    )
    return {"standard": "GS1", **facts, "readable": readable}


def _is_link(text: str) -> bool:
    return re.match(r"https?://[^/]+/(.*/)?01/[0-9]{8,14}(/|\?|$)", text) is not None


def _elements(text: str, symbology_identifier: str) -> "Iterator[GS1ElementString]":
    # Only here: it reads its tables of identifiers through modules that the domain does not load.
    import biip

    is_link = symbology_identifier not in SYMBOLOGIES
    if not is_link and (text.startswith(SEPARATOR) or not text.isascii()):
        raise LabelRefused(_MISREAD)
    try:
        read = biip.parse(text if is_link else symbology_identifier + text)
    except biip.ParseError:
        raise LabelRefused(_MISREAD) from None
    found = read.gs1_digital_link_uri if is_link else read.gs1_message
    if found is None:
        raise LabelRefused(_MISREAD)
    for element in found.element_strings:
        # biip keeps a number whose check digit is wrong and complains beside it.
        if element.gtin_error or element.sscc_error or element.gln_error:
            raise LabelRefused(
                f"The number {element.value} does not fit its own check digit: it was misread. Scan again."
            )
        yield element


def _facts(element: "GS1ElementString") -> dict[str, str]:
    ai, value = element.ai.ai, element.value
    facts = {f"ai_{ai}": value}
    name = _FIELDS.get(ai)
    if name is None:
        return facts
    if name.endswith("_local"):
        value = _moment(value)
    return facts | {name: value}


def _moment(digits: str) -> str:
    """Turn YYMMDD[hhmm[ss]] into ISO 8601 without zone; day 00 is the last of its month."""
    short = int(digits[:2])
    year, month, day = short + (2000 if short <= 75 else 1900), int(digits[2:4]), int(digits[4:6])
    try:
        on = date(year, month, day or calendar.monthrange(year, month)[1])
    except (ValueError, calendar.IllegalMonthError):
        raise LabelRefused(f"A date on this GS1 label does not exist ({digits}). Scan again.") from None
    clock = digits[6:10].ljust(4, "0") if len(digits) > 6 else "2359"
    if int(clock[:2]) > 23 or int(clock[2:]) > 59:
        raise LabelRefused(f"A time on this GS1 label does not exist ({digits}). Scan again.")
    return f"{on.isoformat()}T{clock[:2]}:{clock[2:]}"


def _may_hold_more(facts: dict[str, str]) -> bool:
    lot = facts.get("lot", "")
    return any(_is_element(lot[start:], facts) for start in range(1, len(lot)))


def _is_element(rest: str, facts: dict[str, str]) -> bool:
    match = _SWALLOWED.match(rest)
    if match is None or f"ai_{match['ai']}" in facts:
        return False
    digits = match["value"]
    if len(digits) != _SWALLOWED_DIGITS.get(match["ai"], 6):
        return False
    try:
        list(_elements(rest, "]d2"))
        if match["ai"] not in _SWALLOWED_DIGITS:
            _moment(digits)
    except LabelRefused:
        return False
    return True


def joined(labels: Iterable[dict[str, str]]) -> dict[str, str]:
    """Join the symbols of one label: many makers print the number and the lot apart.

    Raises
    ------
    LabelRefused
        Two symbols give one field two values: they are of two materials.
    """
    facts: dict[str, str] = {}
    for label in labels:
        for key, value in label.items():
            if facts.setdefault(key, value) != value:
                raise LabelRefused("These symbols are not of one label. Show one material at a time.")
    return facts
