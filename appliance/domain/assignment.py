"""One order, one unit: may this unit make this order, now (SAFETY 9)?

An order names exactly one unit. Which unit that is can change, by a new signed order with a higher
assignment; the unit remembers the highest one it ever saw and what it handed back, so an older
paper never comes to life again.
"""

from __future__ import annotations

from datetime import datetime

from appliance.domain import events as ev
from appliance.domain.batch import Order, Unit
from appliance.domain.errors import CommandRefused, NotPermitted
from appliance.domain.order_book import SECOND_USE
from appliance.domain.people_rules import permit, permit_signature
from appliance.domain.prompts import check_reason
from appliance.domain.roles import Actor

RULES_FROM = 4  # the first `BatchOpened.rules` by which an order must name its unit


def why_not(unit: Unit, order: Order, now: datetime) -> tuple[str, str] | None:
    """Reason and words why this unit may not make the order; None when it may."""
    return _of_another(unit, order) or _superseded(unit, order) or _expired(unit, order, now)


def refuse_unfit(unit: Unit, order: Order, now: datetime) -> None:
    """No batch of an order that another unit may make.

    Raises
    ------
    CommandRefused
        Reasons `order_without_unit`, `order_other_unit`, `order_superseded`, `order_handed_back`,
        `order_expired`, `time_untrusted`.
    """
    found = why_not(unit, order, now)
    if found is not None:
        raise CommandRefused(found[1], reason=found[0])


def _of_another(unit: Unit, order: Order) -> tuple[str, str] | None:
    if not order.unit:
        return "order_without_unit", (
            f"Order {order.id} names no unit. Do not make it; ask QA for one that names this unit."
        )
    if order.unit != unit.id:
        return "order_other_unit", (
            f"Order {order.id} is for unit {order.unit}. This is unit {unit.id}. "
            "Do not make it here; ask QA which unit makes it."
        )
    return None


def _superseded(unit: Unit, order: Order) -> tuple[str, str] | None:
    known = unit.orders.assigned.get(order.id)
    if known is not None and known.assignment > order.assignment:
        return "order_superseded", (
            f"This is assignment {order.assignment} of order {order.id}. Assignment {known.assignment} came "
            f"since, for unit {known.unit}. Do not make the older one; ask QA."
        )
    if known is not None and known.assignment == order.assignment and known.unit != order.unit:
        return "order_superseded", (
            f"Assignment {order.assignment} of order {order.id} came for unit {known.unit} and for unit "
            f"{order.unit}. Do not make it; call QA."
        )
    if unit.orders.handed_back.get(order.id, 0) >= order.assignment:
        return "order_handed_back", (
            f"Order {order.id} was handed back by this unit. Do not make it here; QA gives it to a unit anew."
        )
    return None


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


# ── What becomes true ──────────────────────────────────────────────────────────────────


def assigned(unit: Unit, said: ev.OrderAssigned) -> list[ev.Event]:
    """A signed order came. Where it takes away what is being made here, people are told and it is held."""
    batch = unit.batch
    if batch is None or batch.closed or batch.order.id != said.order or said.unit == unit.id:
        return [said]
    words = (
        f"Order {said.order} is being made here in batch {batch.id}, and central has given it to unit "
        f"{said.unit}. Only one of both may use it."
    )
    notice = ev.SecondUseNoticed(
        notice=f"order:{said.order}",
        version=0,  # found here; central counts its own from 1
        subject="order",
        key=said.order,
        batches=[batch.id],
        elsewhere=[said.unit],
        words=words,
        blob=said.blob,
    )
    raised = ev.AlarmRaised(
        alarm=f"custody:{SECOND_USE}:order:{said.order}:0",
        priority="high",
        title="This order was given to another unit",
        cause=words,
        action="Touch nothing more. Call QA. A supervisor lets it go on, or aborts it.",
    )
    return [said, notice, raised]


def hand_back(unit: Unit, actor: Actor, order: str, assignment: int, reason: str) -> list[ev.Event]:
    """A supervisor gives up an order that was not begun here; it is never made here after that.

    Raises
    ------
    CommandRefused
        Not a supervisor with a password, already begun, or handed back before.
    """
    permit(unit, actor, "hand_back_order")
    if actor.proof != "password":
        words = "Handing back an order needs the supervisor's password."
        raise NotPermitted(words, reason="proof_missing")
    permit_signature(unit, actor, "")
    made = unit.made_orders.get(order)
    if made is not None:
        raise CommandRefused(
            f"Order {order} was begun in batch {made}. It cannot be handed back. Call QA.",
            reason="order_already_made",
        )
    if unit.orders.handed_back.get(order, 0) >= assignment:
        raise CommandRefused(f"Order {order} was handed back already.", reason="order_handed_back")
    return [
        ev.OrderHandedBack(
            order=order,
            assignment=assignment,
            reason=check_reason(reason),
            person=actor.id,
            name=actor.name,
        )
    ]
