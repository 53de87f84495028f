"""Whatever people, devices and time do in whatever order: what must never happen does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from typing import Any

from bedside import ADA, BEN, CLEO, GUS, OTHER_DIN, Bedside, bag_texts, coi_texts, material_texts, with_proof
from hypothesis import given, settings
from hypothesis import strategies as st
from world import DEVICES

from appliance.domain import decisions, device_news, phase_states
from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.errors import ApplianceError

BEGINNINGS = (
    "clear_line",
    "receive_bag/bag",
    "thaw/bag_in",
    "dilute/setup",
    "dilute",
    "count/load",
    "fill/setup",
    "label/applied",
    "seal/performed",
)
TEXTS: tuple[list[str], ...] = (
    bag_texts(),
    bag_texts(OTHER_DIN),
    material_texts("XXSALHSA"),
    coi_texts(),
    [],
    ["=garbage"],
)
SLACK_ML = Decimal("0.35")  # the balance's own uncertainty, which the recipe leaves


class WatchedBedside(Bedside):
    """A bedside that looks at each event before and after it becomes true."""

    def _commit(self, events: list[ev.Event], actor: str = "unit", batch: str | None = None) -> None:
        for event in events:
            self._look_at(event)
        super()._commit(events, actor, batch)

    def _look_at(self, event: ev.Event) -> None:
        match event:
            case ev.DeviceOrdered(name="infuse"):
                self._look_at_order(event)
            case ev.PhaseStarted(phase=phase):
                run = self.batch.runs[phase]
                assert all(self.state_of(before) == "complete" for before in run.phase.after), phase
                assert not self.unit.stop_latched
            case ev.BatchOpened():
                assert self.unit.batch is None or self.unit.batch.closed
            case ev.BagAccepted(din=din):
                assert din == self.batch.order.din
            case ev.HandedOver():
                self._look_at_hand_over()
            case _:
                pass

    def _look_at_order(self, order: ev.DeviceOrdered) -> None:
        run, volume_ml = self.batch.runs[order.phase], Decimal(order.parameters["volume_ml"])
        assert run.state == phase_states.RUNNING, run.state
        assert not self.unit.stop_latched
        assert self.batch.last(ev.BagAccepted) is not None
        for _, earlier in run.all(ev.DeviceOrdered, name="infuse"):
            answered = run.has(ev.DeviceReported, order_id=earlier.order_id)
            assert answered or run.has(ev.DeviceRefusedOrder, order_id=earlier.order_id), "two orders pending"
        start_g = run.value("weight_start_g")
        assert start_g is not None
        arrived_ml = (
            max(Decimal(0), self.world.weight_g - start_g) if run.has(ev.DeviceOrdered) else Decimal(0)
        )
        assert 0 < volume_ml <= run.phase.amount("volume", "mL")
        assert volume_ml + arrived_ml <= run.phase.amount("volume", "mL") + SLACK_ML

    def _look_at_hand_over(self) -> None:
        decision, expires_at = self.batch.disposition, self.batch.expires_at
        assert decision is not None and decision.disposition == "released"
        assert expires_at is not None and self.now < expires_at
        signed = [event.person for event in self.all(ev.SignatureGiven) if event.phase == "hand_over"]
        assert len(set(signed)) == 2


@cache
def _began(beginning: str) -> WatchedBedside:
    bedside = WatchedBedside()
    bedside.begin_batch()
    bedside.works_until(beginning)
    return bedside


def tried(act: Callable[[], Any]) -> None:
    """Do it; a refusal in words is a good answer, anything else that is raised is not."""
    try:
        act()
    except ApplianceError as refused:
        assert str(refused)


def happens(bedside: WatchedBedside, what: str, number: int) -> None:
    """One thing that people, devices or time do; `number` picks which and how much."""
    world, unit = bedside.world, bedside.unit
    role = list(DEVICES)[number % 3]
    actor = with_proof((ADA, BEN, CLEO, GUS)[number % 4], ("session", "pin", "password")[number // 4 % 3])
    asked = bedside.asks()
    prompt = asked[number % len(asked)] if asked else "thaw/bag_in"
    match what:
        case "goes on":
            tried(bedside.do_next)
        case "waits":
            bedside.waits(number % 100 + 1, step_s=10)
        case "answers":
            value = ("0", "1", "82", "-5", "x", "none_seen", "")[number % 7]
            fields = {field.name: value for field in bedside.prompt(prompt).fields} if asked else {}
            tried(lambda: bedside.answer(prompt, by=actor, **fields))
        case "scans":
            tried(lambda: bedside.scan(prompt, TEXTS[number % len(TEXTS)], by=actor))
        case "stop":
            bedside.stop()
        case "ends stop":
            tried(lambda: bedside.commit(decisions.release_stop(unit, actor, "It is safe"), actor.id))
        case "holds":
            tried(lambda: bedside.commit(decisions.hold(unit, actor, "", "Looks odd"), actor.id))
        case "restarts":
            tried(lambda: bedside.restart(actor))
        case "crash":
            bedside.crash()
        case "quality":
            world.quality[role] = ("good", "uncertain", "stale", "bad")[number // 3 % 4]
        case "pump":
            world.pump_state = ("stopped", "alarm", "paused")[number % 3]
        case "silent":
            device = DEVICES[role]
            bedside.commit(device_news.silent(unit, device, "It does not answer."))
            bedside.commit(device_news.recovered(bedside.unit, device) if number % 2 else [])
        case "orders":
            world.answers_orders = number % 2 == 0
            world.refuses_orders = "No." if number % 5 == 0 else ""
        case "comments":
            bedside.commit([ev.CommentAdded(text="Something")], actor.id)
        case "seals":
            tried(lambda: seals(bedside, ("released", "rejected")[number % 2], number))
        case "opens":
            tried(lambda: bedside.begin_batch(by=actor, id=f"ORD-{number}"))


def seals(bedside: WatchedBedside, disposition: str, number: int) -> None:
    if bedside.batch.state == "complete":
        bedside.seal()
    elif bedside.batch.state == "awaiting_disposition":
        bedside.qp_decides(disposition, expires_h=number % 5)


THINGS = (
    *("goes on",) * 8,
    *("restarts",) * 3,
    "waits",
    "answers",
    "scans",
    "stop",
    "ends stop",
    "ends stop",
    "holds",
    "crash",
    "quality",
    "quality",
    "pump",
    "silent",
    "orders",
    "orders",
    "comments",
    "seals",
    "seals",
    "opens",
)
steps = st.lists(st.tuples(st.sampled_from(THINGS), st.integers(0, 59)), min_size=5, max_size=40)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.sampled_from(BEGINNINGS), steps)
def test_no_order_of_events_breaks_what_must_always_hold(
    beginning: str, happenings: list[tuple[str, int]]
) -> None:
    bedside = copy.deepcopy(_began(beginning))

    for what, number in happenings:
        happens(bedside, what, number)

    volumes_ml = sum(bedside.batch.runs[phase].phase.amount("volume", "mL") for phase in ("dilute", "fill"))
    assert bedside.world.moved_ml <= volumes_ml + 2 * SLACK_ML
    assert _told_by_facts(bedside.refolded()) == _told_by_facts(bedside.unit)


def _told_by_facts(unit: Unit) -> tuple[object, ...]:
    """What is folded from events; readings and what only a live clock knows are not."""
    return (unit.term, unit.batch, unit.stop_latched, unit.alarms, unit.used_bags, unit.made_orders)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(steps)
def test_a_batch_that_was_disturbed_can_still_be_finished_or_says_why_not(
    happenings: list[tuple[str, int]],
) -> None:
    bedside = copy.deepcopy(_began("dilute"))
    for what, number in happenings:
        if what not in ("seals", "opens", "comments"):
            happens(bedside, what, number)
    bedside.world.quality.clear()
    bedside.world.answers_orders, bedside.world.refuses_orders = True, ""

    for _ in range(400):
        if bedside.batch.state == "complete":
            break
        _mends(bedside)

    assert bedside.batch.state == "complete", (bedside.batch.state, bedside.alarm_words())


def _mends(bedside: WatchedBedside) -> None:
    """A supervisor ends what holds the batch, and the crew goes on; a crash clears what nobody answers."""
    unit = bedside.unit
    if unit.stop_latched:
        bedside.commit(decisions.release_stop(unit, CLEO, "It is safe"), CLEO.id)
    for device in tuple(unit.silent):
        bedside.commit(device_news.recovered(unit, device))
    for order in bedside.batch.all(ev.DeviceOrdered):
        pending = not bedside.batch.last(ev.DeviceReported, order_id=order[1].order_id)
        if pending and not bedside.batch.last(ev.DeviceRefusedOrder, order_id=order[1].order_id):
            bedside.crash()
            return
    if any(run.state == phase_states.HELD for run in bedside.batch.runs.values()):
        bedside.restart(CLEO)
    bedside.waits(5)
    if bedside.batch.state == "running":
        bedside.do_next()
