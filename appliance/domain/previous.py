"""Whose label this was: each label of an earlier batch is known again, so that it stops the new one (F-010).

The engine looks it up when a label is read and puts the answer into the reading on record: so a
batch's own record can be decided again without naming any other patient's labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from appliance.domain import events as ev
from appliance.domain import isbt128

if TYPE_CHECKING:
    from appliance.domain.batch import Order, Unit


def keys_of_order(order: Order) -> tuple[str, ...]:
    """What tells of an order's patient on any label: chain of identity, donation, the bag itself."""
    return order.coi, order.din, _bag(order.din, order.description_code, order.division)


def keys_of_event(event: ev.Event) -> tuple[str, ...]:
    """The labels that an event of a batch makes known."""
    match event:
        case ev.BagAccepted():
            return event.din, _bag(event.din, event.description_code, event.division)
        case ev.ProductLabelled():
            dose = _bag(event.din, event.product_code[:5], event.division)
            return event.din, dose, event.label_id
        case ev.SampleTaken():
            return (event.sample_id,)
        case _:
            return ()


def batch_of(labels_of: Mapping[str, str], texts: Sequence[str], open_batch: str) -> str:
    """The earlier batch to which a label belongs; empty where it is this batch's, or nobody's."""
    for key in _keys_of_label(texts):
        batch = labels_of.get(key, "")
        if batch == open_batch:
            return ""
        if batch:
            return batch
    return ""


def belongs_to(unit: Unit, texts: Sequence[str]) -> str:
    """The same for the batch that is open on this unit."""
    return batch_of(unit.labels_of, texts, unit.batch.id) if unit.batch is not None else ""


def _keys_of_label(texts: Sequence[str]) -> Iterator[str]:
    """The narrowest key first: another bag of the same donation may be another batch's."""
    yield from texts
    said: dict[str, str] = {}
    for text in texts:
        try:
            structures = isbt128.parse(text)
        except isbt128.LabelRefused:
            continue
        for one in structures:
            said |= {
                name: one.fields[name] for name in ("din", "description_code", "coi") if name in one.fields
            }
            division = one.fields.get("division", "")
            said |= {"division": division} if division else {}
    if {"din", "description_code", "division"} <= said.keys():
        yield _bag(said["din"], said["description_code"], said["division"])
    yield from (said[name] for name in ("din", "coi") if name in said)


def _bag(din: str, description_code: str, division: str) -> str:
    return f"{din}|{description_code}|{division}"
