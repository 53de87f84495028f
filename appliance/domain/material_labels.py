"""What the symbols of one picture say of a material: ISBT 128, GS1 or HIBC, in one form.

Which standard a symbol follows is the front door's word (`label_grammars`). A symbol of no known standard is
a shelf mark of the house and says nothing here; one that its own standard refuses voids the whole label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from appliance.domain import gs1, hibc, isbt128, label_grammars
from appliance.domain.identity import NOT_READ, LabelNotUsable

FORMATS = ("code128", "datamatrix", "qr", "code39")  # what the camera looks for; never retail formats
ISBT, GS1, HIBC = "ISBT 128", "GS1", "HIBC"
SCANNED_LENGTH_MAX = 200
NO_MATERIAL = "This is not the label of a material. Show the maker's label, with lot and expiry."


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialLabel:
    """One material's label; what its symbols do not tell is empty.

    `doubt` is "lot" where the lot may hold what a missing separator let run in: a person compares it with
    the print.
    """

    standard: str
    catalogue: str
    lot: str = ""
    serial: str = ""
    expires_at: datetime | None = None
    doubt: str = ""


def read_material(
    texts: Sequence[str],
    identifiers: Sequence[str],
    reasons: Sequence[str],
    time_zone: str,
    *,
    printed_lot: str = "",
) -> MaterialLabel:
    """What the confirmed symbols of one picture say together.

    Parameters
    ----------
    identifiers
        Symbology identifiers, parallel to `texts`; fewer of them where a record did not keep them.
    printed_lot
        The lot as a person read it from the print, where the symbols' own is in doubt.

    Raises
    ------
    LabelNotUsable
        Reasons `not_read`, `label_refused`, `wrong_material`; `lot_in_doubt` for a printed lot that does
        not fit.
    """
    if not texts:
        words = [NOT_READ.get(reason, reason) for reason in reasons] or [NOT_READ["no_symbol"]]
        raise LabelNotUsable("not_read", " ".join(words))
    symbols = [(text, identifiers[n] if n < len(identifiers) else "") for n, text in enumerate(texts)]
    scanned = " ".join(texts)[:SCANNED_LENGTH_MAX]
    zone = ZoneInfo(time_zone)
    try:
        found = [label for label in _by_standard(symbols, zone, printed_lot) if label.catalogue]
    except isbt128.LabelRefused as refusal:
        raise LabelNotUsable("label_refused", str(refusal), scanned) from refusal
    if not found:
        raise LabelNotUsable("wrong_material", NO_MATERIAL, scanned)
    return _one_of(found, scanned)


def _by_standard(
    symbols: Sequence[tuple[str, str]], zone: ZoneInfo, printed_lot: str
) -> Iterator[MaterialLabel]:
    said: dict[str, list[tuple[str, str]]] = {}
    for text, identifier in symbols:
        meaning = label_grammars.meaning(text, identifier)
        if meaning is None:
            continue
        if "refused" in meaning:
            raise isbt128.LabelRefused(str(meaning["refused"]))
        said.setdefault(str(meaning["standard"]), []).append((text, identifier))
    if GS1 in said:
        yield _gs1(said[GS1], zone, printed_lot)
    if HIBC in said:
        yield _hibc([text for text, _ in said[HIBC]], zone)
    if ISBT in said:
        yield _isbt([text for text, _ in said[ISBT]], zone)


def _one_of(found: list[MaterialLabel], scanned: str) -> MaterialLabel:
    """Many makers print two standards side by side: they must tell one lot and one day."""
    first = found[0]
    for other in found[1:]:
        lots = {label.lot for label in (first, other) if label.lot}
        days = {label.expires_at.date() for label in (first, other) if label.expires_at}
        if (len(lots) > 1 and not first.doubt) or len(days) > 1:
            words = "The symbols on this label contradict each other. Put the material aside."
            raise LabelNotUsable("label_refused", words, scanned)
    return first


def _gs1(symbols: Sequence[tuple[str, str]], zone: ZoneInfo, printed_lot: str) -> MaterialLabel:
    facts = _gs1_facts(symbols)
    doubt = facts.get("doubt", "")
    if doubt and printed_lot:
        facts, doubt = _without_doubt(symbols, facts["lot"], printed_lot), ""
    return MaterialLabel(
        standard=GS1,
        catalogue=facts.get("gtin", ""),
        lot=facts.get("lot", "") or facts.get("serial", ""),
        serial=facts.get("serial", ""),
        expires_at=_utc(facts.get("expires_local", ""), zone),
        doubt=doubt,
    )


def _gs1_facts(symbols: Sequence[tuple[str, str]]) -> dict[str, str]:
    return gs1.joined(gs1.parse(text, identifier) for text, identifier in symbols)


def _without_doubt(symbols: Sequence[tuple[str, str]], read: str, printed: str) -> dict[str, str]:
    """The same label, cut where the print says that the lot ends."""
    if printed == read:
        return _gs1_facts(symbols)
    if not read.startswith(printed):
        raise _lot_differs(read)
    apart = f"10{printed}{gs1.SEPARATOR}{read[len(printed) :]}"
    facts = _gs1_facts([(text.replace(f"10{read}", apart, 1), id) for text, id in symbols])
    if facts.get("lot") != printed or facts.get("doubt"):
        raise _lot_differs(read)
    return facts


def _lot_differs(read: str) -> LabelNotUsable:
    return LabelNotUsable(
        "lot_in_doubt",
        f"The lot that was entered does not begin the one that was read ({read}). Read the print again.",
        read,
    )


def _hibc(texts: Sequence[str], zone: ZoneInfo) -> MaterialLabel:
    labels = [hibc.parse(text) for text in texts]
    named = [label for label in labels if label.maker]
    if not named:
        return MaterialLabel(standard=HIBC, catalogue="")
    one = named[0]
    for other in labels:
        if other is not one:
            one = one if other == one else _hibc_joined(one, other)
    return MaterialLabel(
        standard=HIBC,
        catalogue=one.maker + one.catalogue_number,
        lot=one.lot or one.serial,
        serial=one.serial,
        expires_at=_utc(one.expires_local, zone),
    )


def _hibc_joined(one: hibc.Hibc, other: hibc.Hibc) -> hibc.Hibc:
    joined = hibc.joined(one, other)
    # The joined label keeps its primary's check character, so that a third symbol can be held against it.
    return replace(joined, check_character=one.check_character)


def _isbt(texts: Sequence[str], zone: ZoneInfo) -> MaterialLabel:
    label = isbt128.label_of(texts)
    return MaterialLabel(
        standard=ISBT,
        catalogue=label.maker + label.catalogue_number,
        lot=label.lot,
        expires_at=isbt128.expires_at(label, zone),
    )


def _utc(local: str, zone: ZoneInfo) -> datetime | None:
    """A maker's date by the clock of the site; in the hour that comes twice the earlier one counts."""
    return datetime.fromisoformat(local).replace(tzinfo=zone, fold=0).astimezone(UTC) if local else None


def end_of_day(day: str, time_zone: str) -> datetime | None:
    """The end of a printed day at the site, in UTC; None when it is no day such as 2027-06-30."""
    try:
        on = date.fromisoformat(day)
    except ValueError:
        return None
    return datetime.combine(on, time(23, 59), tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def as_json(label: MaterialLabel) -> dict[str, Any]:
    """The label for a screen."""
    return {
        "standard": label.standard,
        "catalogue": label.catalogue,
        "lot": label.lot,
        "serial": label.serial,
        "expires_at": label.expires_at.isoformat() if label.expires_at else "",
        "doubt": label.doubt,
    }
