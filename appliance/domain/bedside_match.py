"""Wristband = dose = order: three looks at three things, close together (F-009).

One symbol shown three times is not three: each look is another picture, and each thing carries a
symbol of its own kind. The dose's names a product; the order sheet's names the donation it asks for
beside the chain of identity; the wristband's names the patient, and no donation.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from appliance.domain import events as ev
from appliance.domain.batch import Batch
from appliance.domain.identity import PREVIOUS, LabelNotUsable, ReadLabel
from appliance.domain.phase_logic import Context

RULES_FROM = 4
SAME_PICTURE, OTHER_THING = "same_picture", "other_thing"
WITHIN_MIN = 10  # where the recipe says nothing
WITHIN = "match_within"  # the recipe's own number of minutes
PREFIX = "match_"
OF_IDENTITY = frozenset({"wrong_bag", PREVIOUS, "label_refused"})
IS_A = {"wristband": "a wristband", "dose": "the label of a dose", "order": "an order sheet"}


def is_strict(batch: Batch) -> bool:
    """Whether the three looks are held against each other; in batches of before they were not."""
    return batch.opened.rules >= RULES_FROM


def matched(c: Context) -> dict[str, str]:
    """What was shown and agreed, by its key, as far as it still counts.

    Until all three agree, a look counts for some minutes only, and no longer once an identity was
    refused: after a wrong wristband all three are shown anew.
    """
    looks = [
        (fact, one.key.removeprefix(PREFIX), one.value)
        for fact, one in c.run.all(ev.ValueRecorded)
        if one.key.startswith(PREFIX)
    ]
    if is_strict(c.batch) and not c.run.has(ev.BedsideMatched):
        stopped = [fact.seq for fact, one in c.run.all(ev.PhaseHolding) if one.reason in OF_IDENTITY]
        after = stopped[-1] if stopped else 0
        looks = [one for one in looks if one[0].seq > after and c.now - one[0].at <= within(c)]
    return {key: value for _, key, value in looks}


def within(c: Context) -> timedelta:
    """How long a look counts, by the clock of people: a simulated unit's clock runs as much faster."""
    given = c.phase.parameters.get(WITHIN)
    minutes = given.value.in_unit("min") if given is not None else Decimal(WITHIN_MIN)
    return timedelta(minutes=float(minutes * Decimal(c.batch.opened.clock_speed)))


def refuse_same(c: Context, read: ev.ScanRead, found: ReadLabel | None) -> None:
    """The picture of another look, or another thing than was asked for, is no look at this one.

    Raises
    ------
    LabelNotUsable
        Reasons `same_picture`, `other_thing`: nothing is wrong with the patient, so it is shown again.
    """
    if not is_strict(c.batch):
        return
    thing = _thing(found)
    if thing != read.key:
        raise LabelNotUsable(
            OTHER_THING,
            f"This is {IS_A[thing]}. Show {IS_A[read.key]}: each of the three is looked at by itself.",
        )
    for _, other in c.run.all(ev.ScanRead):
        if read.shown and other.shown == read.shown and other.scan_id != read.scan_id:
            raise LabelNotUsable(
                SAME_PICTURE, "This is the same picture as before. Take away what lies there, then show it."
            )


def _thing(found: ReadLabel | None) -> str:
    if found is None or not found.label.din:
        return "wristband"
    return "dose" if found.label.product_code else "order"
