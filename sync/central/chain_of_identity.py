"""One batch's chain of identity as a reviewer reads it: order, consent, bag, materials, labels, hands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sync.central.review import Entry

# Which link an event belongs to, in the order of the page.
LINKS: dict[str, tuple[str, ...]] = {
    "Consent": ("ConsentRecorded", "ConsentWithdrawn"),
    "Bag": ("BagAccepted", "BagRefused"),
    "Materials": ("MaterialAccepted", "MaterialRefused", "LotOfBatchRecalled"),
    "Labels": (
        "LabelPrinted",
        "LabelVerified",
        "LabelVoided",
        "LabelDestroyed",
        "LabelMissing",
        "LabelLossAccepted",
        "LabelsReconciled",
        "ProductLabelled",
        "LabelShown",
        "LabelTyped",
        "TypedEntriesDiffered",
    ),
    "Custody": ("CustodyTransferred", "TransportRecorded"),
    "Bedside": ("BedsideMatched", "HandOverSigned", "HandedOver"),
}
ACTS = (  # a reviewer looks at these
    "TypedEntriesDiffered",
    "LabelTyped",
    "BagRefused",
    "MaterialRefused",
    "LotOfBatchRecalled",
    "LabelVoided",
    "LabelMissing",
    "ConsentWithdrawn",
)
LEFT_OUT = (
    "phase",
    "picture",
    "blob",
    "document_blob",
    "certificate_blob",
    "order_text",
    "texts",
    "gaps",
    "zpl",
)
ORDER_FIELDS = (
    ("id", "Order"),
    ("unit", "For unit"),
    ("assignment", "Assignment"),
    ("expires_at", "May be begun until"),
    ("coi", "Chain of identity"),
    ("patient", "Patient code"),
    ("din", "Donation"),
    ("description_code", "Product"),
    ("division", "Division"),
    ("consent", "Consent"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One event of the chain."""

    what: str  # the kind of event
    facts: list[tuple[str, str]]
    entry: Entry
    act: bool  # something a reviewer must look at


def order_facts(order: Mapping[str, str]) -> list[tuple[str, str]]:
    """The fields of the order that tie it to one patient, one bag and one unit."""
    return [(words, order[name]) for name, words in ORDER_FIELDS if order.get(name)]


def chain_of(entries: Sequence[Entry], coi: str) -> list[tuple[str, list[Link]]]:
    """Each link of the chain with its events, in the order in which a product travels."""
    found = []
    for title, kinds in LINKS.items():
        links = [
            Link(what=entry.kind, facts=_facts(entry.body), entry=entry, act=entry.kind in ACTS)
            for entry in entries
            if entry.kind in kinds and _ours(entry, coi)
        ]
        if title == "Consent":
            links = _known_before(entries) + links
        found.append((title, links))
    return found


def _known_before(entries: Sequence[Entry]) -> list[Link]:
    """The consents that were on the unit's record before the batch, as its opening tells them."""
    opened = next((entry for entry in entries if entry.kind == "BatchOpened"), None)
    before = opened.body.get("unit_before") if opened is not None else None
    if opened is None or not isinstance(before, Mapping):
        return []
    try:
        told = json.loads(str(before.get("consents", "[]")))
    except ValueError:
        return []
    found = []
    for one in told if isinstance(told, list) else []:
        said, gone = one.get("said", {}), bool(one.get("withdrawn"))
        what = "ConsentWithdrawn" if gone else "ConsentRecorded"
        found.append(Link(what=what, facts=_facts(said), entry=opened, act=gone))
    return found


def _ours(entry: Entry, coi: str) -> bool:
    """An event of the unit itself belongs here only where it names this chain."""
    return bool(entry.batch) or entry.body.get("coi") == coi


def _facts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (name.replace("_", " "), _text(value))
        for name, value in body.items()
        if name not in LEFT_OUT and value not in ("", [], {}, None, False)
    ]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value)
