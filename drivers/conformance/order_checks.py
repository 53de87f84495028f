"""Checks of what is ordered: refusals, read-back, repeats, motion, STOP, safe states."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation

from drivers.catalog import Trial
from drivers.conformance.subject import (
    Broken,
    Check,
    NotTried,
    Subject,
    agree,
    milliseconds,
    moving,
    refused_by,
    shown,
)
from drivers.faults import DeviceRefused
from drivers.reading import Reading
from drivers.roles import Order

STOP_S = 0.5
ORDER_S = 5.0
RUN_SLACK_S = 3.0
POLL_S = 0.05
ABSURD = ("", "x", "nan", "inf", "-inf", "1e99", "-1e99", "0x10", "1 2", "\n", "\u0663\u0667x")


def refuses_nonsense(subject: Subject) -> str:
    """An order that no role knows, or without sense in its values, changes nothing."""
    subject.good()
    tried = 0
    for name, parameters in _nonsense(subject):
        tried += 1
        began_ns = time.monotonic_ns()
        fault = refused_by(lambda name=name, parameters=parameters: subject.driver.order(name, parameters))  # type: ignore[misc]
        said = f"the order {name!r} with {parameters}"
        if not isinstance(fault, DeviceRefused):
            raise Broken(f"{said} was not refused but ended with {fault!r}")
        if sent := subject.sent_besides_questions(began_ns):
            raise Broken(f"{said} was refused after {sent[0]!r} had gone out")
    return f"{tried} orders without sense refused, nothing sent"


def _nonsense(subject: Subject) -> Iterator[tuple[str, dict[str, str]]]:
    yield "no such order", {}
    yield "", {}
    for order in subject.role.orders:
        absurd = dict.fromkeys(order.required, "x")
        if order.required:
            yield order.name, {}
        yield order.name, absurd | {"no_such_value": "1"}
        yield from ((order.name, parameters) for parameters in _absurd(order))


def _absurd(order: Order) -> Iterator[dict[str, str]]:
    """All values absurd: a driver that overlooks one of them must still refuse for the others."""
    for value in ABSURD:
        if order.required:
            yield dict.fromkeys(order.required, value)
        for name in order.optional:
            yield dict.fromkeys((*order.required, name), value)


def trials(subject: Subject) -> str:
    """Each order of the catalogue's trials is confirmed by reading back, and can be repeated."""
    tried = [trial for trial in subject.trials if not trial.moves]
    if not tried:
        raise NotTried("the catalogue lists no trial that moves nothing")
    return "; ".join(_confirmed_twice(subject, trial) for trial in tried)


def _confirmed_twice(subject: Subject, trial: Trial) -> str:
    first = confirmed(subject, trial)
    worn = subject.driver.wear()
    second = confirmed(subject, trial)
    if subject.driver.wear() != worn:
        raise Broken(f"{trial.order} given twice wrote twice to a memory that wears out")
    if set(first) != set(second):
        raise Broken(f"{trial.order} returned {first}, and {second} when repeated")
    return f"{trial.order} {', '.join(f'{name} {value}' for name, value in second.items())}".strip()


def confirmed(subject: Subject, trial: Trial) -> dict[str, str]:
    """Give an order; what it returns must be what the device then reads."""
    began_ns = time.monotonic_ns()
    result = subject.driver.order(trial.order, dict(trial.parameters))
    took_s = (time.monotonic_ns() - began_ns) / 1e9
    if took_s > ORDER_S:
        raise Broken(
            f"{trial.order} took {milliseconds(took_s)}, at most {milliseconds(ORDER_S)} are allowed"
        )
    trace = subject.trace_since(began_ns)
    if not trace or trace[-1].direction != "in":
        raise Broken(f"{trial.order} was called done with nothing read back")
    if not trial.moves:
        _as_read(subject, result, time.monotonic() - took_s)
    return result


def _as_read(subject: Subject, result: Mapping[str, str], began_s: float) -> None:
    readings = subject.good()
    for name, value in result.items():
        reading = readings.get(name)
        if reading is None:
            continue
        expected = _as_value(value, reading)
        if not agree(subject.role, name, expected, reading.value, time.monotonic() - began_s):
            raise Broken(f"the order returned {name} {value}, the device reads {reading.value}")


def _as_value(text: str, reading: Reading) -> Decimal | str:
    if not isinstance(reading.value, Decimal):
        return text
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Broken(f"the order returned {reading.name} {text!r}, which is no number") from None


def bounded_run(subject: Subject) -> str:
    """A run that was ordered ends by itself, within its volume."""
    told = []
    for trial in _motions(subject):
        began_s = time.monotonic()
        confirmed(subject, trial)
        if "volume_ml" not in trial.parameters:
            told.append(_opened_and_shut(subject, trial))
            continue
        bound_s = _run_s(trial) + RUN_SLACK_S
        readings = subject.good()
        while moving(readings):
            if time.monotonic() - began_s > bound_s:
                subject.driver.stop()
                raise Broken(f"{trial.order} was still moving after {bound_s:.1f} s: {shown(readings)}")
            time.sleep(POLL_S)
            readings = subject.good()
        told.append(f"{trial.order}: {_within_volume(subject, trial, readings)}")
    return "; ".join(told)


def _within_volume(subject: Subject, trial: Trial, readings: Mapping[str, Reading]) -> str:
    ordered_ml = Decimal(trial.parameters["volume_ml"])
    reading = readings.get("delivered_ml")
    if reading is None or not isinstance(reading.value, Decimal):
        return f"{ordered_ml} mL ordered, the device tells no volume"
    agreement = subject.role.quantity("delivered_ml").agreement
    slack_ml = agreement.noise if agreement else Decimal(0)
    if reading.value > ordered_ml + slack_ml:
        raise Broken(f"{ordered_ml} mL were ordered and {reading.value} mL delivered")
    if reading.value < ordered_ml * Decimal("0.9") - slack_ml:
        raise Broken(f"{ordered_ml} mL were ordered, the run ended after {reading.value} mL")
    return f"{reading.value} of {ordered_ml} mL"


def _opened_and_shut(subject: Subject, trial: Trial) -> str:
    """A motion without volume (a valve): it is seen, and STOP ends it."""
    before = subject.good()
    subject.driver.stop()
    after = subject.good()
    if moving(after):
        raise Broken(f"{trial.order}: STOP left it as {shown(after)}")
    return f"{trial.order}: {shown(before)}, after STOP {shown(after)}"


def stop_in_motion(subject: Subject) -> str:
    """STOP in the middle of a motion is confirmed within half a second."""
    told = []
    for trial in _motions(subject):
        confirmed(subject, trial)
        began_s = time.monotonic()
        subject.driver.stop()
        took_s = time.monotonic() - began_s
        readings = subject.good()
        if took_s > STOP_S:
            raise Broken(
                f"STOP was confirmed after {milliseconds(took_s)}, {milliseconds(STOP_S)} are allowed"
            )
        if moving(readings):
            raise Broken(f"STOP returned and the device reads {shown(readings)}")
        told.append(f"{trial.order}: confirmed after {milliseconds(took_s)}, {shown(readings)}")
    return "; ".join(told)


def stop_when_standing(subject: Subject) -> str:
    """STOP on what stands is harmless, as often as it comes."""
    _may_stop(subject)
    ran = subject.good().get("running")
    _stopped(subject, subject.driver.stop)
    before = subject.good()
    began_s = time.monotonic()
    for _ in range(2):
        subject.driver.stop()
    took_s = time.monotonic() - began_s
    after = subject.good()
    _unchanged(subject, before, after)
    if moving(after):
        raise Broken(f"after STOP the device reads {shown(after)}")
    _go_on(subject, ran)
    return f"two of them in {milliseconds(took_s)}, {shown(after)}"


def keeps(subject: Subject) -> str:
    """The safe state `keep` changes no set-point, and stops no heat or gas."""
    before = subject.good()
    subject.driver.apply_safe_state("keep")
    after = subject.good()
    if subject.role.moves_product and moving(after):
        raise Broken(f"it moves product and was left as {shown(after)}")
    if not subject.role.moves_product:
        _unchanged(subject, before, after)
    return shown(after)


def stops_as_safe_state(subject: Subject) -> str:
    """The safe state `stop` ends in a stand, within the time of a STOP."""
    _may_stop(subject)
    ran = subject.good().get("running")
    began_s = time.monotonic()
    _stopped(subject, lambda: subject.driver.apply_safe_state("stop"))
    took_s = time.monotonic() - began_s
    after = subject.good()
    if took_s > STOP_S:
        raise Broken(f"took {milliseconds(took_s)}, {milliseconds(STOP_S)} are allowed")
    if moving(after) or (after.get("running") is not None and after["running"].value == "running"):
        raise Broken(f"the device reads {shown(after)}")
    _go_on(subject, ran)
    return f"{milliseconds(took_s)}, {shown(after)}"


def _may_stop(subject: Subject) -> None:
    if not subject.role.moves_product and not subject.moves:
        raise NotTried("stopping this device cools or starves what it keeps; allow it with --moves")


def _stopped(subject: Subject, stop: Callable[[], None]) -> None:
    """Stop; what moves no product may say in words that it cannot be stopped from here."""
    try:
        stop()
    except DeviceRefused as refusal:
        if subject.role.moves_product:
            raise
        raise NotTried(f"this device cannot be stopped over its line: {refusal}") from refusal


def _go_on(subject: Subject, ran: Reading | None) -> None:
    """Let a bath that ran before go on."""
    if ran is not None and ran.value == "running" and subject.role.order_named("start"):
        subject.driver.order("start", {})


def _motions(subject: Subject) -> list[Trial]:
    found = [trial for trial in subject.trials if trial.moves]
    if not found:
        raise NotTried("the catalogue lists no trial that moves")
    if not subject.moves:
        raise NotTried("nothing may move; allow it with --moves, with water or without tubing")
    return found


def _run_s(trial: Trial) -> float:
    return float(trial.parameters["volume_ml"]) / float(trial.parameters["rate_ml_min"]) * 60


def _unchanged(subject: Subject, before: Mapping[str, Reading], after: Mapping[str, Reading]) -> None:
    """What was set and what runs is as it was; what is measured may have gone on a little."""
    for name, reading in before.items():
        now = after.get(name)
        if now is None:
            raise Broken(f"{name} is not told any more")
        if not agree(subject.role, name, reading.value, now.value, 1.0):
            raise Broken(f"{name} was {reading.value} and is {now.value}")


CHECKS = (
    Check("nonsense_refused", "orders without sense are refused, with nothing sent", refuses_nonsense),
    Check("orders_confirmed", "each trial order is read back, and can be repeated", trials),
    Check("run_bounded", "an ordered run ends by itself, within its volume", bounded_run),
    Check("stop_in_motion", f"STOP in motion is confirmed within {STOP_S} s", stop_in_motion),
    Check("stop_standing", "STOP on what stands is harmless", stop_when_standing),
    Check("safe_state_keep", "the safe state `keep` leaves what must stay as it is", keeps),
    Check("safe_state_stop", "the safe state `stop` ends in a stand", stops_as_safe_state),
)
