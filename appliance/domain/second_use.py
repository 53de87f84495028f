"""Central says that an order, a bag or a hand-over was used twice: alarm, and the batch is held.

Central's word is enough to stop, never to allow: a supervisor at the unit lets the batch go on, and
nothing leaves it before a QP has certified it knowing of the second use.
"""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain.batch import Batch, Unit
from appliance.domain.holds import hold_with_alarm
from appliance.domain.order_book import SECOND_USE

ALARM = "custody:second_use:"
TITLES = {"order": "One order, two batches", "bag": "One bag, two batches", "hand_over": "Two hand-overs"}
ACTION = "Touch nothing more. Compare bag, label and order with QA. A supervisor lets it go on, or aborts it."


def noticed(unit: Unit, said: ev.SecondUseNoticed) -> list[ev.Event]:
    """The notice and its alarm, once; what runs is held next, by `follow`."""
    if unit.orders.notices.get(said.notice, 0) >= said.version:
        return []
    return [
        said,
        ev.AlarmRaised(
            alarm=f"{ALARM}{said.notice}:{said.version}",
            priority="high",
            title=TITLES.get(said.subject, "Used twice"),
            cause=said.words,
            action=ACTION,
        ),
    ]


def follow(unit: Unit, batch: Batch) -> list[ev.Event]:
    """Whatever phase runs of a batch that is to be held; where none runs, the next one that starts."""
    words = unit.orders.to_hold.get(batch.id)
    if words is None:
        return []
    return hold_with_alarm(batch, SECOND_USE, words, title="Used twice", action=ACTION)
