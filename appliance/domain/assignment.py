"""One order, one unit: may this unit make this order, now (SAFETY 9)?

An order names exactly one unit. Which unit that is can change, by a new signed order with a higher
assignment; the unit remembers the highest one it ever saw and what it handed back, so an older
paper never comes to life again.
"""

from __future__ import annotations

from datetime import datetime

from appliance.domain.batch import Order, Unit
from appliance.domain.errors import CommandRefused

RULES_FROM = 4  # the first `BatchOpened.rules` by which an order must name its unit


def why_not(unit: Unit, order: Order, now: datetime) -> tuple[str, str] | None:
    """Reason and words why this unit may not make the order; None when it may."""
    if not order.unit:
        return "order_without_unit", (
            f"Order {order.id} names no unit. Do not make it; ask QA for one that names this unit."
        )
    if order.unit != unit.id:
        return "order_other_unit", (
            f"Order {order.id} is for unit {order.unit}. This is unit {unit.id}. "
            "Do not make it here; ask QA which unit makes it."
        )
    return _expired(unit, order, now)


def refuse_unfit(unit: Unit, order: Order, now: datetime) -> None:
    """No batch of an order that another unit may make.

    Raises
    ------
    CommandRefused
        Reasons `order_without_unit`, `order_other_unit`, `order_expired`, `time_untrusted`.
    """
    found = why_not(unit, order, now)
    if found is not None:
        raise CommandRefused(found[1], reason=found[0])


def _expired(unit: Unit, order: Order, now: datetime) -> tuple[str, str] | None:
    if order.expires_at is None:
        return "order_expired", (
            f"Order {order.id} does not say until when it may be made. Ask QA for one that does."
        )
    if not unit.time_trusted:
        return "time_untrusted", (
            f"This unit's clock is not trusted, so it cannot tell whether order {order.id} has expired. "
            "Two persons compare the clock with a reference clock first."
        )
    if order.expires_at <= now:
        return "order_expired", (
            f"Order {order.id} expired on {order.expires_at:%d %b %Y %H:%M} UTC. Do not make it; ask QA."
        )
    return None
