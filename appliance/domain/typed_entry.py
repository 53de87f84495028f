"""What people type where a label cannot be read: checked character by character, and as a whole at once.

Donation numbers and chain-of-identity identifiers are typed with their boxed check character, which catches
every single wrong character and every pair that changed places (ISO/IEC 7064 mod 37-2). What has none is
typed twice by two people all the same. An entry becomes the texts that the label's symbols would carry, so
that what follows is decided as after a scan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType

from appliance.domain import isbt128
from appliance.domain.errors import NotPlausible

BAG, DOSE, MATERIAL, COI, ORDER = "bag", "dose", "material", "coi", "order"
DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SMALL = CAPITALS.lower()
_NO_O = CAPITALS.replace("O", "")
_CHECK = DIGITS + CAPITALS + "*"
_COI_PATTERN = r"CH[A-NP-Z1-9][A-NP-Z0-9]{2}[0-9]{4}[0-9A-Z]{6}"
# A hash in the place of another patient's identifier: the shell checked it before it was taken away.
_KEYED = re.compile(r"keyed:[0-9a-f]{8,64}")
_GAPS = re.compile(r"[\s./:\-\[\]]+")
LOT_CHARACTERS_MAX = 20
CATALOGUE_CHARACTERS_MAX = 14


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether an entry is whole and right so far as it can be told by itself, and what to say of it."""

    good: bool
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a label says, as the texts of its symbols with their symbology identifiers."""

    texts: tuple[str, ...]
    identifiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing to type: how long it is, which characters may follow, how it is shown and judged."""

    label: str
    hint: str
    most: int
    follows: Callable[[str], str]
    shown: Callable[[str], str]
    judge: Callable[[str], Judged]


# ── Which characters may follow ────────────────────────────────────────────────────────────


def _din_follows(text: str) -> str:
    """No O and no 0 begin a facility number, and it holds no O: then O and 0 cannot be confused."""
    place = len(text)
    if place == 0:
        return _NO_O + DIGITS[1:]
    if place < 3:
        return _NO_O + DIGITS
    return DIGITS if place < 13 else _CHECK


def _coi_follows(text: str) -> str:
    place = len(text)
    if place < 2:
        return "CH"[place]
    if place < 9:
        return _din_follows(text[2:])
    return DIGITS + CAPITALS if place < 15 else _CHECK


def _product_follows(text: str) -> str:
    place = len(text)
    if place == 0:
        return CAPITALS
    if place < 5:
        return DIGITS + CAPITALS + SMALL
    if place == 6:
        return DIGITS + CAPITALS
    if place == 7:
        return DIGITS + SMALL
    if place >= 8 and text[6:8] != "99":
        return ""
    return DIGITS + CAPITALS + SMALL


def _digits_follow(_text: str) -> str:
    return DIGITS


def _word_follows(_text: str) -> str:
    return DIGITS + CAPITALS + SMALL + "-./"


# ── How it is shown while it is typed ──────────────────────────────────────────────────────


def _grouped(*ends: int) -> Callable[[str], str]:
    def shown(text: str) -> str:
        starts = (0, *ends)
        return " ".join(filter(None, (text[a:b] for a, b in zip(starts, (*ends, None), strict=True))))

    return shown


def _boxed(groups: Callable[[str], str], length: int) -> Callable[[str], str]:
    """The check character stands in a box, as on the label."""

    def shown(text: str) -> str:
        box = f" [{text[length:]}]" if len(text) > length else ""
        return groups(text[:length]) + box

    return shown


def _as_day(text: str) -> str:
    day = "-".join(filter(None, (text[:4], text[4:6], text[6:8])))
    clock = ":".join(filter(None, (text[8:10], text[10:12])))
    return f"{day} {clock}".strip()


# ── Whether it is right ────────────────────────────────────────────────────────────────────


def _judge_din(text: str) -> Judged:
    if len(text) < 14:
        return Judged(False, f"{len(text)} of 13 characters, then the boxed one")
    try:
        isbt128.check_typed_din(text[:13], text[13:])
    except isbt128.LabelRefused:
        return Judged(False, "The check character does not fit. Compare each character.")
    return Judged(True, "The check character fits.")


def _judge_coi(text: str) -> Judged:
    if _KEYED.fullmatch(text):
        return Judged(True, "The check character fits.")
    if len(text) < 16:
        return Judged(False, f"{len(text)} of 15 characters, then the boxed one")
    # Without what was typed: it may be somebody's number.
    if not re.fullmatch(_COI_PATTERN, text[:15]):
        return Judged(False, "This is no chain-of-identity number. Read it again; it begins with CH.")
    if text[15:] != isbt128.check_character(text[:15]):
        return Judged(False, "The check character does not fit. Compare each character.")
    return Judged(True, "The check character fits.")


def _judge_product(text: str) -> Judged:
    wanted = 14 if text[6:8] == "99" else 8
    if len(text) < wanted:
        more = ", then the six of the division" if wanted == 14 else ""
        return Judged(False, f"{min(len(text), 8)} of 8 characters{more}")
    try:
        _product_texts(text)
    except isbt128.LabelRefused:
        return Judged(False, "This is no product code. It stands as S1295V00 on the label. Read it again.")
    return Judged(True, "Read it once more, character by character.")


def _judge_day(text: str) -> Judged:
    return _judge_moment(text, clock=False)


def _judge_expiry(text: str) -> Judged:
    return _judge_moment(text, clock=True)


def _judge_moment(text: str, *, clock: bool) -> Judged:
    if len(text) not in ((8, 12) if clock else (8,)):
        return Judged(False, "year, month, day" + (", then hour and minute" if clock else ""))
    try:
        _moment(text)
    except ValueError:
        return Judged(False, "This day does not exist. Read it again.")
    return Judged(True, "Without a time: the end of that day." if len(text) == 8 and clock else "")


def _judge_catalogue(text: str) -> Judged:
    if len(text) < 3:
        return Judged(False, "the catalogue number or GTIN as it stands on the label")
    if _is_gtin(text):
        fits = _gtin_fits(text)
        return Judged(fits, "The check digit fits." if fits else "The check digit does not fit. Read again.")
    try:
        isbt128.item_text(text[:2], text[2:])
    except isbt128.LabelRefused:
        return Judged(False, "Maker's two characters, then up to eight; or the 14 digits of a GTIN.")
    return Judged(True, "Read it once more, character by character.")


def _judge_lot(text: str) -> Judged:
    good = 1 <= len(text) <= LOT_CHARACTERS_MAX
    return Judged(good, "Read it once more, character by character." if good else "as it stands there")


def _is_gtin(text: str) -> bool:
    return len(text) == 14 and text.isdigit()


def _gtin_fits(text: str) -> bool:
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(text[:13]))
    return (10 - total % 10) % 10 == int(text[13])


def _moment(text: str) -> datetime:
    day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    clock = (int(text[8:10]), int(text[10:12])) if len(text) == 12 else (23, 59)
    return datetime(day.year, day.month, day.day, *clock)  # noqa: DTZ001 - a label's own, local time


_DIN_LABEL = "Donation number, then the boxed check character"
PARTS: Mapping[str, _Part] = MappingProxyType(
    {
        "din": _Part(
            _DIN_LABEL,
            "13 characters without the small flag digits, then the one in the box.",
            14,
            _din_follows,
            _boxed(_grouped(5, 7), 13),
            _judge_din,
        ),
        "product": _Part(
            "Product code with its division",
            "8 characters, such as S1295V00; after 99 the six of the division too.",
            14,
            _product_follows,
            _grouped(5, 8),
            _judge_product,
        ),
        "expires": _Part(
            "Expiry as it stands on the label",
            "Year, month, day, hour, minute: 12 digits; 8 where the label has no time.",
            12,
            _digits_follow,
            _as_day,
            _judge_expiry,
        ),
        "catalogue": _Part(
            "Catalogue number",
            "As it stands on the label, with the maker's characters.",
            CATALOGUE_CHARACTERS_MAX,
            _word_follows,
            lambda text: text,
            _judge_catalogue,
        ),
        "lot": _Part(
            "Lot",
            "As it stands on the label.",
            LOT_CHARACTERS_MAX,
            _word_follows,
            lambda text: text,
            _judge_lot,
        ),
        "day": _Part("Expiry date", "Year, month, day: 8 digits.", 8, _digits_follow, _as_day, _judge_day),
        "coi": _Part(
            "Chain-of-identity number, then the boxed check character",
            "15 characters that begin with CH, then the one in the box.",
            16,
            _coi_follows,
            _boxed(_grouped(2, 7, 9), 15),
            _judge_coi,
        ),
    }
)
# What is typed of each kind of label; a dose's expiry is judged from the record, not from its label.
PARTS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        BAG: ("din", "product", "expires"),
        DOSE: ("din", "product"),
        MATERIAL: ("catalogue", "lot", "day"),
        COI: ("coi",),
        # An order sheet names the donation that it asks for beside the chain of identity.
        ORDER: ("coi", "din"),
    }
)


def label_of(part: str) -> str:
    """What is to be typed, in words."""
    return PARTS[part].label


def hint_of(part: str) -> str:
    """How it looks on a label."""
    return PARTS[part].hint


def may_follow(part: str, text: str) -> str:
    """The characters that may come next; none when it is as long as it can be."""
    one = PARTS[part]
    return one.follows(text) if len(text) < one.most else ""


def shown(part: str, text: str) -> str:
    """What was typed so far, grouped as it is printed."""
    return PARTS[part].shown(text)


def judge(part: str, text: str) -> Judged:
    """Whether it is whole and right by itself; never whether it is the label that is awaited."""
    return PARTS[part].judge(text)


def entry_of(kind: str, values: Mapping[str, str]) -> Entry:
    """The label that these values tell of.

    Raises
    ------
    NotPlausible
        Something is missing, breaks its grammar or does not fit its check character. The words do not
        repeat what was typed where it could name a patient.
    """
    parts = PARTS_OF[kind]
    if set(values) - set(parts):
        raise NotPlausible("Something was entered that is not asked for here. Do it again from the screen.")
    typed = {part: _tidied(part, values.get(part, "")) for part in parts}
    for part, text in typed.items():
        judged = judge(part, text)
        if not judged.good:
            raise NotPlausible(f"{label_of(part)}: {judged.words}")
    try:
        return _entry(kind, typed)
    except isbt128.LabelRefused as refusal:
        raise NotPlausible(str(refusal)) from refusal


def _tidied(part: str, text: str) -> str:
    if _KEYED.fullmatch(text):
        return text
    if part in ("lot", "catalogue"):
        return text.strip()
    text = _GAPS.sub("", text)
    return text if part == "product" else text.upper()


def _entry(kind: str, typed: Mapping[str, str]) -> Entry:
    if kind in (COI, ORDER):
        coi = typed["coi"]
        named = Entry((coi,), ("",)) if _KEYED.fullmatch(coi) else _isbt(isbt128.coi_text(coi[:15]))
        donation = _isbt(*([isbt128.din_text(typed["din"][:13])] if kind == ORDER else []))
        return Entry(named.texts + donation.texts, named.identifiers + donation.identifiers)
    if kind == MATERIAL:
        return _material(typed)
    texts = [isbt128.din_text(typed["din"][:13]), *_product_texts(typed["product"])]
    if "expires" in typed:
        texts.append(isbt128.expiry_text(_moment(typed["expires"])))
    return _isbt(*texts)


def _material(typed: Mapping[str, str]) -> Entry:
    catalogue, lot, day = typed["catalogue"], typed["lot"], _moment(typed["day"])
    if _is_gtin(catalogue):
        return Entry((f"01{catalogue}17{day:%y%m%d}10{lot}",), ("]d2",))
    return _isbt(
        isbt128.item_text(catalogue[:2], catalogue[2:]),
        isbt128.item_lot_text(lot),
        isbt128.expiry_date_text(day.date()),
    )


def _product_texts(text: str) -> tuple[str, ...]:
    whole = isbt128.product_text(text[:5], text[5:6], text[6:8])
    return (whole, isbt128.division_text(text[8:14])) if text[6:8] == "99" else (whole,)


def _isbt(*texts: str) -> Entry:
    return Entry(texts, ("]C0",) * len(texts))
