"""ISBT 128 label strings: cut into data structures, checked, and written.

Identifiers, lengths and fields are the facts of ST-001 (structures 001 to 040). No ICCBBA table is held
here: product descriptions, facilities and makers stay codes, and their meaning comes from files of the
registered user. Whoever reads or prints these labels must be registered with ICCBBA (`docs/labels.md`).
"""

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from types import MappingProxyType

from appliance.domain.isbt128_table import (
    BY_IDENTIFIER,
    COLLECTION_TYPES,
    DATES,
    DIN_PATTERN,
    FLEXIBLE_TYPES,
    RETIRED,
)

TEXT_CHARACTERS_MAX = 1000
_CHECK_VALUES = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"
# A DataMatrix or Code 128 with FNC1 in front ("]d2", "]C1") is GS1, whatever its text looks like.
_SYMBOLOGIES = frozenset({"", "]C0", "]d1", "]Q1"})
_NATIONAL = "national"


class LabelRefused(ValueError):
    """The label cannot be used; `str(error)` is what the operator reads."""


@dataclass(frozen=True, slots=True)
class Structure:
    """One data structure: its number in ST-001, its exact characters, its fields."""

    number: str
    name: str
    text: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells one bag from every other. Flags and collection type are not identity."""

    din: str
    description_code: str
    division: str
    facility: str  # FIN(P): who gave the product code; empty when the label does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What all symbols of one label say together; a field the label lacks is empty."""

    structures: tuple[Structure, ...]
    din: str = ""
    flags: str = ""
    product_code: str = ""
    description_code: str = ""
    collection_type: str = ""
    division: str = ""
    facility: str = ""
    coi: str = ""
    staff: str = ""
    patient: str = ""
    maker: str = ""
    catalogue_number: str = ""
    lot: str = ""
    expires_local: str = ""  # ISO 8601 without zone: the label's own, local time
    expires_at: datetime | None = None  # only where the label itself says UTC

    @property
    def identity(self) -> Identity:
        """The key of this bag; refused when the label does not carry all of it."""
        for value, words in (
            (self.din, "donation number"),
            (self.description_code, "product code"),
            (self.division, "division"),
        ):
            if not value:
                raise LabelRefused(f"This label carries no {words}. Show the whole label of the bag.")
        return Identity(self.din, self.description_code, self.division, self.facility)


def check_character(text: str) -> str:
    """Compute the ISO/IEC 7064 mod 37-2 check character of capital letters and digits."""
    return _CHECK_VALUES[check_value(text)]


def check_value(text: str) -> int:
    """Compute the mod 37-2 check value, 0 to 36; type 3 flags are 60 plus this value."""
    total = 0
    for character in text:
        value = _CHECK_VALUES.find(character)
        if value < 0:
            raise LabelRefused(f"A check character is defined for capitals and digits, not for {text!r}.")
        total = (total + value) * 2 % 37
    return (38 - total) % 37


def readable_din(din: str) -> str:
    """Group the 13 characters as they are printed: facility, year, number."""
    return f"{din[:5]} {din[5:7]} {din[7:13]}"


def check_typed_din(din: str, check_char: str) -> str:
    """Check a donation number typed by hand against its boxed check character; return the 13 characters."""
    typed = re.sub(r"[\s-]", "", din).upper()
    if not re.fullmatch(DIN_PATTERN, typed):
        raise LabelRefused(
            f"{din.strip() or 'Nothing'} is not a donation number. "
            "Type the 13 characters beside the boxed check character, without the small flag digits."
        )
    if check_char.strip().upper() != check_character(typed):
        raise LabelRefused(
            f"The check character does not fit {readable_din(typed)}. "
            "Compare each character with the label and type both again."
        )
    return typed


def parse(text: str) -> tuple[Structure, ...]:
    """Cut a label text into its structures, left to right, and check each of them.

    Raises
    ------
    LabelRefused
        The text breaks the grammar, a check or the count of its compound message. Nothing of it may be used.
    """
    if not text or len(text) > TEXT_CHARACTERS_MAX:
        raise LabelRefused(
            "This symbol is empty or far too long for an ISBT 128 label. Show the bag's label."
        )
    structures: list[Structure] = []
    position = 0
    while position < len(text):
        structure = _structure_at(text, position)
        if structure.number == "023" and structures:
            raise LabelRefused(
                "This label holds a message inside a message. Put it aside and call the supervisor."
            )
        structures.append(structure)
        position += len(structure.text)
    _check_compound(structures)
    return tuple(structures)


def _structure_at(text: str, position: int) -> Structure:
    identifier = _identifier_at(text, position)
    if identifier == _NATIONAL:
        # Defined by a country or a site, length unknown: kept whole, never interpreted.
        return Structure(_NATIONAL, "national or local structure", text[position:], MappingProxyType({}))
    number, name, length, pattern = BY_IDENTIFIER[identifier]
    start = position + len(identifier)
    content = text[start : start + (length or _length_told(number, text[start:]))]
    match = pattern.fullmatch(content)
    if match is None:
        raise LabelRefused(
            f"The {name} on this label cannot be right ({content!r}). Scan again, closer and flat."
        )
    fields = {key: value for key, value in match.groupdict().items() if value is not None}
    fields |= _derived(number, fields)
    return Structure(number, name, text[position : start + len(content)], MappingProxyType(fields))


def _identifier_at(text: str, position: int) -> str:
    pair = text[position : position + 2]
    if re.fullmatch(r"=[A-NP-Z1-9]", pair):
        return "="
    if re.fullmatch(r"&[a-z;!]", pair):
        if position:
            raise LabelRefused(
                "A national code follows another code in one symbol. Show the symbols one by one."
            )
        return _NATIONAL
    identifier = text[position : position + 3] if pair == "&," else pair
    if identifier not in BY_IDENTIFIER:
        raise LabelRefused("This is not an ISBT 128 label, or it was misread. Show the label of the bag.")
    return identifier


def _length_told(number: str, rest: str) -> int:
    """Length of the content where the content itself tells it (025, 029, 030)."""
    start, digits, unit, head = {"025": (2, 2, 1, 4), "029": (0, 2, 14, 2), "030": (0, 3, 10, 3)}[number]
    told = rest[start : start + digits]
    if not re.fullmatch(f"[0-9]{{{digits}}}", told):
        raise LabelRefused("A length on this label is not a number. Scan again, closer and flat.")
    length = head + int(told) * unit
    if len(rest) < length:
        raise LabelRefused("This label ends too early. Scan again with the whole symbol in view.")
    return length


def _derived(number: str, fields: Mapping[str, str]) -> dict[str, str]:
    """Fields that follow from others; refuses what passes the pattern and still cannot be."""
    if number == "001":
        din = fields["facility"] + fields["year"] + fields["sequence"]
        flags = int(fields["flags"])
        if 60 <= flags <= 96 and flags - 60 != check_value(din):
            raise LabelRefused(
                f"The donation number {readable_din(din)} does not fit its own check digits: it was misread, "
                "or the print is damaged. Scan again; if it stays so, call the supervisor."
            )
        return {"din": din}
    if number in DATES:
        return {"local": _day_and_time(fields)}
    if number == "031":
        moment = _moment(fields["stamp"])
        words = {"zone": "utc" if fields["zone"] == "2" else "local", "type": FLEXIBLE_TYPES[fields["type"]]}
        return words | {"moment": moment.isoformat(timespec="minutes")}
    if number == "039" and int(fields["value"][17:]) != check_value(fields["value"][:17]):
        raise LabelRefused("The donor registry number does not fit its check digits. Scan again.")
    if number == "024":
        _moment(fields["born"] + "0000")
    if number in RETIRED:
        return {"retired": "yes"}
    return {}


def _day_and_time(fields: Mapping[str, str]) -> str:
    """Turn cyyjjj[hhmm] into ISO 8601 without zone; a date alone stays a date."""
    short_year, day = int(fields["year"]), int(fields["day"])
    year = short_year + (1000 if short_year >= 900 else 2000)
    days = 366 if calendar.isleap(year) else 365
    if not 1 <= day <= days:
        raise LabelRefused(f"Day {day} of the year {year} does not exist: the label was misread. Scan again.")
    on = date(year, 1, 1) + timedelta(days=day - 1)
    if "hour" not in fields:
        return on.isoformat()
    if int(fields["hour"]) > 23 or int(fields["minute"]) > 59:
        raise LabelRefused(f"The time {fields['hour']}:{fields['minute']} does not exist. Scan again.")
    return f"{on.isoformat()}T{fields['hour']}:{fields['minute']}"


def _moment(stamp: str) -> datetime:
    try:
        return datetime(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]), int(stamp[8:10]), int(stamp[10:12]))  # noqa: DTZ001 - the zone of a label is told apart, or is the site's
    except ValueError:
        raise LabelRefused(f"The date {stamp} on this label does not exist. Scan again.") from None


def _check_compound(structures: Sequence[Structure]) -> None:
    head = structures[0]
    if head.number != "023":
        return
    if int(head.fields["count"]) != len(structures) - 1:
        raise LabelRefused(
            "Part of this label is missing or was misread. Scan again with the whole symbol in view."
        )
    if head.fields["order"] != "000":
        # The tables of fixed orders are ICCBBA's; without them the order cannot be checked.
        raise LabelRefused(
            "This label follows an order table that this unit does not hold. Call the supervisor."
        )


def label_of(texts: Iterable[str]) -> Label:
    """Join all symbols of one label into one statement; refused when two of them disagree.

    Raises
    ------
    LabelRefused
        A text breaks the grammar, or two symbols name different donations, products, divisions or dates.
    """
    structures = tuple(structure for text in texts for structure in parse(text))
    if not structures:
        raise LabelRefused("No ISBT 128 symbol was read. Show the label of the bag.")
    facts: dict[str, str] = {}
    for structure in structures:
        for key, value in _facts(structure).items():
            if facts.setdefault(key, value) != value:
                raise LabelRefused(
                    f"This label contradicts itself ({key.replace('_', ' ')}: {facts[key]} and {value}). "
                    "Put the bag aside and call the supervisor."
                )
    division = _division(facts.pop("division_code", ""), facts.pop("long_division", ""))
    stamp = facts.pop("expires_utc", "")
    moment = datetime.fromisoformat(stamp).replace(tzinfo=UTC) if stamp else None
    return Label(structures=structures, division=division, expires_at=moment, **facts)


def _facts(structure: Structure) -> dict[str, str]:
    fields = structure.fields
    match structure.number:
        case "001":
            return {"din": fields["din"], "flags": fields["flags"]}
        case "003":
            return {
                "product_code": structure.text[2:],
                "description_code": fields["description_code"],
                "collection_type": fields["collection_type"],
                "division_code": fields["division"],
            }
        case "004":
            return {"expires_local": fields["local"] + "T23:59"}
        case "005":
            return {"expires_local": fields["local"]}
        case "020":
            return {"staff": fields["facility"] + fields["staff"]}
        case "021":
            return {"maker": fields["maker"], "catalogue_number": fields["catalogue_number"].lstrip("0")}
        case "022":
            return {"lot": fields["lot"].lstrip("0")}
        case "025":
            return {"patient": fields["patient"]}
        case "031" if fields["type"] == "expiry":
            return {"expires_utc" if fields["zone"] == "utc" else "expires_local": fields["moment"]}
        case "032":
            return {"long_division": fields["division"]}
        case "033":
            return {"facility": fields["facility"]}
        case "034":
            return {"facility": fields["facility"], "description_code": fields["description_code"]}
        case "040":
            return {"coi": fields["coi"]}
    return {}


def _division(short: str, long: str) -> str:
    if short == "99" and not long:
        raise LabelRefused("The division of this product stands in a second symbol. Show the whole label.")
    if long and short not in ("", "99"):
        raise LabelRefused("This label names two divisions. Put the bag aside and call the supervisor.")
    return long or short


def expires_at(label: Label, zone: tzinfo) -> datetime | None:
    """The expiry as aware UTC; `zone` is the site's, for ISBT 128 dates are local unless they say UTC.

    In the hour that a clock change repeats, the earlier moment counts: a product is never used too late.
    When a label gives both a local time and UTC, the earlier of them counts.
    """
    moments = [label.expires_at] if label.expires_at else []
    if label.expires_local:
        local = datetime.fromisoformat(label.expires_local).replace(tzinfo=zone, fold=0)
        moments.append(local.astimezone(UTC))
    return min(moments, default=None)


def meaning(text: str, symbology_identifier: str = "") -> dict[str, object] | None:
    """Say what a symbol means as plain JSON values, or why it is refused; None when it is not ISBT 128."""
    if symbology_identifier not in _SYMBOLOGIES or not text.startswith(("=", "&")):
        return None
    try:
        label = label_of([text])
    except LabelRefused as refusal:
        return {"standard": "ISBT 128", "refused": str(refusal)}
    said: dict[str, object] = {"standard": "ISBT 128"}
    for key in (
        "din",
        "flags",
        "product_code",
        "description_code",
        "collection_type",
        "division",
        "facility",
    ):
        said[key] = getattr(label, key)
    for key in ("coi", "staff", "patient", "maker", "catalogue_number", "lot", "expires_local"):
        said[key] = getattr(label, key)
    said["expires_at"] = label.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ") if label.expires_at else ""
    if label.din:
        said["readable"] = f"{readable_din(label.din)} {check_character(label.din)}"
        said["check_character"] = check_character(label.din)
    if label.collection_type:
        said["use"] = COLLECTION_TYPES.get(label.collection_type, "not known to this unit")
    said["structures"] = [
        {"number": each.number, "name": each.name, "text": each.text, "fields": dict(each.fields)}
        for each in label.structures
    ]
    return {key: value for key, value in said.items() if value != ""}


def din_text(din: str, flags: str | None = None) -> str:
    """Write structure 001; without `flags` the type 3 flags are set, which catch most misreads."""
    return _written(f"={din}{60 + check_value(din):02d}" if flags is None else f"={din}{flags}", "001")


def product_text(description_code: str, collection_type: str, division: str) -> str:
    """Write structure 003; a division of six characters is written as 99 and needs `division_text` too."""
    short = "99" if len(division) == 6 else division
    return _written(f"=<{description_code}{collection_type}{short}", "003")


def division_text(division: str) -> str:
    """Write structure 032, the division of six characters."""
    return _written(f"=,{division}", "032")


def expiry_text(local: datetime) -> str:
    """Write structure 005 from the site's local time; whole minutes."""
    return _written(f"&>{_short_day(local.date())}{local:%H%M}", "005")


def expiry_date_text(on: date) -> str:
    """Write structure 004, the expiry of a supply."""
    return _written(f"=>{_short_day(on)}", "004")


def expiry_utc_text(moment: datetime) -> str:
    """Write structure 031 as an expiry in UTC from an aware moment; seconds are cut, never rounded up."""
    assert moment.utcoffset() is not None, moment
    return _written(f"=(2001{moment.astimezone(UTC):%Y%m%d%H%M}", "031")


def processor_text(facility: str, facility_code: str, description_code: str) -> str:
    """Write structure 034: who made the product, and the product in the maker's and the common code."""
    return _written(f"=/{facility}{facility_code.rjust(6, '0')}{description_code}", "034")


def facility_text(facility: str, facility_code: str = "000000") -> str:
    """Write structure 033: the facility that gave the product code."""
    return _written(f"&+{facility}{facility_code}", "033")


def coi_text(coi: str) -> str:
    """Write structure 040 from the whole identifier, "CH" included."""
    return _written(f"&/{coi}", "040")


def staff_text(facility: str, staff: str) -> str:
    """Write structure 020, a staff member's badge."""
    return _written(f"='{facility}{staff.rjust(6, '0')}", "020")


def patient_text(patient: str, place: str = "01") -> str:
    """Write structure 025, a patient number or pseudonym of up to 99 letters and digits."""
    return _written(f"&#{place}{len(patient):02d}{patient}", "025")


def item_text(maker: str, catalogue_number: str) -> str:
    """Write structure 021: maker and catalogue number of a material."""
    return _written(f"=-{maker}{catalogue_number.rjust(8, '0')}", "021")


def item_lot_text(lot: str) -> str:
    """Write structure 022, the lot of a material."""
    return _written(f"&-{lot.rjust(10, '0')}", "022")


def compound(*texts: str) -> str:
    """Join structures into one compound message (023) in free order."""
    return _written(f"=+{len(texts):02d}000{''.join(texts)}", "023")


def _short_day(on: date) -> str:
    return f"{on.year % 1000:03d}{on.timetuple().tm_yday:03d}"


def _written(text: str, number: str) -> str:
    """Read back what was written: a label that this unit would refuse is never printed."""
    structures = parse(text)
    if structures[0].number != number or (number != "023" and len(structures) != 1):
        raise LabelRefused(f"{text!r} would not be read as structure {number}; nothing was printed.")
    return text
