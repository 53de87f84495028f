"""HIBC labels of materials: cut into maker, catalogue number, lot, serial number and dates, and checked.

Facts: ANSI/HIBC 2.5. A label is one combined symbol, or a primary and a secondary one; the check character
covers everything before it, and a separate secondary symbol also names the check character of its primary.
"""

import calendar
import re
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from appliance.domain.isbt128 import LabelRefused

TEXT_CHARACTERS_MAX = 200
_CHECK_VALUES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-. $/+%"
_PRIMARY = re.compile(r"(?P<maker>[A-Z][A-Z0-9]{3})(?P<catalogue>[A-Z0-9]{1,18})(?P<unit>[0-9])")
_LOT = re.compile(r"[A-Z0-9.\- ]{0,18}")
# After "$$": the first digit says how the date that follows is written; 0 and 1 begin a month.
_DATE_FORMS = {
    "2": ("%m%d%y", 6),
    "3": ("%y%m%d", 6),
    "4": ("%y%m%d%H", 8),
    "5": ("%y%j", 5),
    "6": ("%y%j%H", 7),
}
_SUPPLEMENTS = (
    ("serial", re.compile(r"S([A-Z0-9.\- ]{1,18})")),
    ("produced_local", re.compile(r"16D([0-9]{8})")),
    ("expires_local", re.compile(r"14D([0-9]{8})")),
    ("quantity", re.compile(r"Q([0-9]{1,5})")),
)
_MISREAD = "This HIBC label was misread, or its print is damaged. Scan again, closer and flat."


@dataclass(frozen=True, slots=True, kw_only=True)
class Hibc:
    """What one HIBC symbol says; a field that it lacks is empty.

    `link` is what a separate secondary symbol names as its primary's check character. Dates are ISO 8601 as
    the maker wrote them, without zone; one without a day is the last of its month, one without an hour ends
    with the day.
    """

    maker: str = ""
    catalogue_number: str = ""
    unit_of_measure: str = ""
    lot: str = ""
    serial: str = ""
    expires_local: str = ""
    produced_local: str = ""
    quantity: str = ""
    link: str = ""
    check_character: str = ""


def check_character(text: str) -> str:
    """Compute the mod 43 check character of all that stands before it, the leading "+" included."""
    values = [_CHECK_VALUES.find(character) for character in text]
    if min(values, default=-1) < 0:
        raise LabelRefused(_MISREAD)
    return _CHECK_VALUES[sum(values) % 43]


def parse(text: str) -> Hibc:
    """Cut one HIBC symbol into its fields.

    Raises
    ------
    LabelRefused
        The text breaks the grammar or its check character does not fit. Nothing of it may be used.
    """
    if not 4 <= len(text) <= TEXT_CHARACTERS_MAX or not text.startswith("+"):
        raise LabelRefused("This symbol is no HIBC label. Show the maker's label of the material.")
    body, check = text[:-1], text[-1]
    if check_character(body) != check:
        raise LabelRefused(_MISREAD)
    if body[1].isalpha():
        return _combined(body[1:], check)
    # In a symbol of its own the last character before the check names the primary's.
    parts = body[1:-1].split("/")
    return replace(_with_supplements(_secondary(parts[0]), parts[1:]), link=body[-1], check_character=check)


def joined(primary: Hibc, secondary: Hibc) -> Hibc:
    """Join the two symbols of one label.

    Raises
    ------
    LabelRefused
        The secondary symbol belongs to another primary one.
    """
    if not primary.maker or not secondary.link or secondary.link != primary.check_character:
        raise LabelRefused("These two symbols are not of one label. Show one material at a time.")
    return replace(
        secondary,
        maker=primary.maker,
        catalogue_number=primary.catalogue_number,
        unit_of_measure=primary.unit_of_measure,
        link="",
    )


def meaning(text: str, symbology_identifier: str = "") -> dict[str, object] | None:
    """Say what a symbol means as plain JSON values, or why it is refused; None when it is not HIBC."""
    if not text.startswith("+"):
        return None
    try:
        label = parse(text)
    except LabelRefused as refusal:
        return {"standard": "HIBC", "refused": str(refusal)}
    fields = {key: getattr(label, key) for key in Hibc.__slots__}
    readable = " ".join(
        f"{word} {value}"
        for word, value in (
            ("", f"{label.maker} {label.catalogue_number}".strip()),
            ("lot", label.lot),
            ("serial", label.serial),
            ("expires", label.expires_local.replace("T", " ")),
        )
        if value
    )
    return {
        "standard": "HIBC",
        **{key: value for key, value in fields.items() if value},
        "readable": readable.strip(),
    }


def _combined(rest: str, check: str) -> Hibc:
    first, *further = rest.split("/")
    match = _PRIMARY.fullmatch(first)
    if match is None:
        raise LabelRefused(_MISREAD)
    label = Hibc()
    if further and (further[0].startswith("$") or re.match(r"[0-9]{5}", further[0])):
        label = _secondary(further.pop(0))
    return replace(
        _with_supplements(label, further),
        maker=match["maker"],
        catalogue_number=match["catalogue"],
        unit_of_measure=match["unit"],
        check_character=check,
    )


def _secondary(text: str) -> Hibc:
    """Read what follows the catalogue number: quantity, expiry, lot or serial number."""
    for sign, field in (("$$+", "serial"), ("$$", "lot"), ("$+", "serial"), ("$", "lot")):
        if text.startswith(sign):
            rest = text.removeprefix(sign)
            quantity, expires = "", ""
            if sign.startswith("$$"):
                quantity, rest = _quantity(rest)
                expires, rest = _flagged_date(rest)
            return replace(Hibc(quantity=quantity, expires_local=expires), **{field: _lot(rest)})
    return Hibc(expires_local=_moment(text[:5], "%y%j"), lot=_lot(text[5:]))


def _quantity(rest: str) -> tuple[str, str]:
    digits = {"8": 2, "9": 5}.get(rest[:1], 0)
    told = rest[1 : 1 + digits]
    if digits and not re.fullmatch(f"[0-9]{{{digits}}}", told):
        raise LabelRefused(_MISREAD)
    return (str(int(told)), rest[1 + digits :]) if digits else ("", rest)


def _flagged_date(rest: str) -> tuple[str, str]:
    flag = rest[:1]
    if flag == "7" or not flag:
        return "", rest[1:]
    if flag in "01":
        return _end_of_month(rest[:4]), rest[4:]
    if flag not in _DATE_FORMS:
        raise LabelRefused(_MISREAD)
    form, digits = _DATE_FORMS[flag]
    return _moment(rest[1 : 1 + digits], form), rest[1 + digits :]


def _with_supplements(label: Hibc, parts: list[str]) -> Hibc:
    for part in parts:
        for field, pattern in _SUPPLEMENTS:
            match = pattern.fullmatch(part)
            if match is None:
                continue
            value = _moment(match[1], "%Y%m%d") if field.endswith("_local") else match[1]
            if getattr(label, field) not in ("", value):
                raise LabelRefused("This HIBC label contradicts itself. Put the material aside.")
            label = replace(label, **{field: value})
            break
        else:
            raise LabelRefused("This HIBC label holds a part that this unit does not know. Type its lot in.")
    return label


def _lot(text: str) -> str:
    if _LOT.fullmatch(text) is None:
        raise LabelRefused(_MISREAD)
    return text


def _end_of_month(text: str) -> str:
    if re.fullmatch(r"(0[1-9]|1[0-2])[0-9]{2}", text) is None:
        raise LabelRefused(_MISREAD)
    month, year = int(text[:2]), 2000 + int(text[2:])
    return f"{date(year, month, calendar.monthrange(year, month)[1]).isoformat()}T23:59"


def _moment(text: str, form: str) -> str:
    digits = {"%y%j": 5, "%y%j%H": 7, "%m%d%y": 6, "%y%m%d": 6, "%y%m%d%H": 8, "%Y%m%d": 8}[form]
    if re.fullmatch(f"[0-9]{{{digits}}}", text) is None:
        raise LabelRefused(_MISREAD)
    try:
        if "%j" in form:
            year, day = 2000 + int(text[:2]), int(text[2:5])
            on = date(year, 1, 1) + timedelta(days=day - 1)
            if day < 1 or on.year != year:
                raise ValueError(day)
        else:
            # Two digits are a year of this century: no maker of today's materials wrote an earlier one.
            full = {"%m%d%y": f"20{text[4:]}{text[:4]}", "%Y%m%d": text}.get(form, f"20{text[:6]}")
            on = date(int(full[:4]), int(full[4:6]), int(full[6:8]))
        hour = datetime.strptime(text[-2:], "%H").hour if form.endswith("%H") else None  # noqa: DTZ007
    except ValueError:
        raise LabelRefused(f"A date on this HIBC label does not exist ({text}). Scan again.") from None
    return f"{on.isoformat()}T23:59" if hour is None else f"{on.isoformat()}T{hour:02d}:00"
