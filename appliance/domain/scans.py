"""What a picture makes true, before its phase judges it: ended by a person, or of two labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from appliance.domain import events as ev
from appliance.domain import isbt128, label_grammars
from appliance.domain.errors import NotOpen
from appliance.domain.phase_logic import Context

RULES_FROM = 4  # the first `BatchOpened.rules` by which two labels in one picture are told apart
TWO_LABELS, CANCELLED = "two_labels", "cancelled"
# Where a label belongs, as its flags say: several of them in one picture are of several things.
OF_THE_BAG = frozenset({"00", "05", "13"})
_SPLIT = "99"  # the division stands in structure 032

Scanned = Callable[[Context, ev.ScanRead], list[ev.Event]]


def decided(c: Context, scanned: Scanned, read: ev.ScanRead) -> list[ev.Event]:
    """What follows from a picture; never a choice of one label among several."""
    if c.run.has(ev.ScanCancelled, scan_id=read.scan_id) or CANCELLED in read.reasons:
        return []
    if c.batch.opened.rules < RULES_FROM:
        return scanned(c, read)
    if TWO_LABELS not in read.reasons and not shows_two_labels(read.texts, read.identifiers):
        return scanned(c, read)
    unread = replace(read, texts=[], symbologies=[], identifiers=[], reasons=[TWO_LABELS])
    return [_as_two_labels(event) for event in scanned(c, unread)]


def _as_two_labels(event: ev.Event) -> ev.Event:
    if isinstance(event, ev.BagRefused | ev.MaterialRefused | ev.DeviceLabelRefused):
        return replace(event, reason=TWO_LABELS)
    return event


def cancelled(c: Context, scan_id: str) -> list[ev.Event]:
    """A person ends the scan that is under way; raises `NotOpen` when it is over already."""
    asked = c.run.last(ev.ScanRequested)
    over = c.run.has(ev.ScanRead, scan_id=scan_id) or c.run.has(ev.ScanCancelled, scan_id=scan_id)
    if asked is None or asked[1].scan_id != scan_id or over:
        raise NotOpen("This scan is over. Look at the screen again.")
    return [ev.ScanCancelled(phase=c.phase.id, key=asked[1].key, scan_id=scan_id)]


# ── Two labels in one picture ──────────────────────────────────────────────────────────────


def shows_two_labels(texts: Sequence[str], identifiers: Sequence[str] = ()) -> bool:
    """Whether the symbols of one picture speak of two donations, products, divisions, lots or patients.

    A symbol that no grammar takes says nothing here: the phase refuses it in its own words.
    """
    structures = [one for text in texts for one in _structures(text)]
    donations = {one.fields["din"] for one in structures if one.number == "001"}
    if len(donations) > 1 or _of_two_places(structures):
        return True
    return _several_products(structures) or _several_materials(texts, identifiers)


def _structures(text: str) -> Sequence[isbt128.Structure]:
    try:
        return isbt128.parse(text)
    except isbt128.LabelRefused:
        return ()


def _of_two_places(structures: Iterable[isbt128.Structure]) -> bool:
    """Whether the label of a bag and that of a tube or form, or of two tubes, are both there."""
    flags = {one.fields["flags"] for one in structures if one.number == "001"}
    places = {"bag" if flag in OF_THE_BAG or flag >= "60" else flag for flag in flags}
    return len(places) > 1


def _several_products(structures: Sequence[isbt128.Structure]) -> bool:
    codes = {one.fields["description_code"] for one in structures if one.number in ("003", "034")}
    short = {one.fields["division"] for one in structures if one.number == "003"}
    long = {one.fields["division"] for one in structures if one.number == "032"}
    chains = {one.fields["coi"] for one in structures if one.number == "040"}
    split = len(short) > 1 or (bool(long) and bool(short - {_SPLIT}))
    return len(codes) > 1 or split or len(long) > 1 or len(chains) > 1


def _several_materials(texts: Sequence[str], identifiers: Sequence[str]) -> bool:
    """Whether two symbols of one standard name two catalogue numbers or two lots."""
    said: dict[tuple[str, str], set[str]] = {}
    for place, text in enumerate(texts):
        meaning = label_grammars.meaning(text, identifiers[place] if place < len(identifiers) else "")
        if meaning is None or "refused" in meaning:
            continue
        for key in ("gtin", "catalogue_number", "maker", "lot", "serial"):
            if meaning.get(key):
                said.setdefault((str(meaning["standard"]), key), set()).add(str(meaning[key]))
    return any(len(values) > 1 for values in said.values())


# ── What was read, in the words of a label ─────────────────────────────────────────────────


def words_of(texts: Sequence[str], identifiers: Sequence[str] = ()) -> list[tuple[str, str]]:
    """What a label says, for the person who held it: its name and its value, each once."""
    said: dict[str, str] = {}
    for place, text in enumerate(texts):
        meaning = label_grammars.meaning(text, identifiers[place] if place < len(identifiers) else "")
        if meaning is None or "refused" in meaning:
            continue
        for key, words in _NAMES:
            value = "" if key == "readable" and "din" not in meaning else str(meaning.get(key) or "")
            if value and key in ("expires_local", "expires_at"):
                value = value[:16].replace("T", " ") + (" UTC" if value.endswith("Z") else "")
            if value:
                said.setdefault(words, value)
    return list(said.items())


_NAMES = (
    ("readable", "Donation"),
    ("product_code", "Product code"),
    ("division", "Division"),
    ("coi", "Chain of identity"),
    ("maker", "Maker"),
    ("gtin", "GTIN"),
    ("catalogue_number", "Catalogue number"),
    ("lot", "Lot"),
    ("serial", "Serial number"),
    ("staff", "Badge"),
    ("expires_local", "Expires"),
    ("expires_at", "Expires"),
)
