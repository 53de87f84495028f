"""Thaw, pump, wash: readings that decide, readings that must not, and what happens when it goes wrong."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from bedside import ADA, BEN, CLEO, GUS, RECIPE_B, Bedside, with_proof

from appliance.domain import decisions, device_news
from appliance.domain import events as ev


def pumping(bedside: Bedside, phase: str = "dilute", *, for_s: float = 120) -> None:
    """The pump has run for a while."""
    bedside.begin_batch()
    bedside.works_until(f"{phase}/setup")
    if phase == "fill":
        bedside.answer("fill/setup")
    while not any(order.phase == phase for order in bedside.pump_orders()):
        bedside.do_next()
    bedside.waits(for_s)


# ── Bath and thaw ──────────────────────────────────────────────────────────────────────


def test_the_bag_goes_into_the_bath_only_when_the_bath_is_warm(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("receive_bag")
    bedside.world.bath_c, bedside.world.running = Decimal("34.5"), "stopped"

    bedside.waits(10)

    assert bedside.state_of("thaw") == "running"
    assert bedside.asks() == []


@pytest.mark.parametrize("quality", ["uncertain", "stale", "bad"])
def test_a_bath_whose_readings_are_not_good_is_not_taken_for_warm(bedside: Bedside, quality: str) -> None:
    bedside.begin_batch()
    bedside.world.quality["thermostat"] = quality
    bedside.works_until("scan_materials")

    bedside.waits(20 * 60)

    assert bedside.state_of("warm_bath") == "running"
    assert not bedside.has(ev.DeviceOrdered)


def test_a_bath_that_never_gets_warm_is_held_with_words(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.world.quality["thermostat"] = "uncertain"
    bedside.works_until("scan_materials")

    bedside.waits(31 * 60, step_s=30)

    assert bedside.state_of("warm_bath") == "held"
    assert "Look at its level and lid" in bedside.alarm_words()


def test_a_bath_that_takes_the_order_and_stays_as_it_is_is_held_too(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.world.obeys = lambda order: ev.DeviceReported(  # type: ignore[method-assign]
        phase=order.phase, order_id=order.order_id, device=order.device, result={}
    )
    bedside.works_until("scan_materials")

    bedside.waits(31 * 60, step_s=30)

    assert bedside.state_of("warm_bath") == "held"
    assert len(bedside.all(ev.DeviceOrdered)) == 1


def test_a_bath_that_refuses_its_order_is_held_and_asked_anew_only_after_a_restart(bedside: Bedside) -> None:
    bedside.world.refuses_orders = "No."
    bedside.begin_batch()
    bedside.answer("clear_line/clear")
    bedside.answer("clear_line/clear.verify")
    bedside.waits(5)
    held = (bedside.state_of("warm_bath"), len(bedside.all(ev.DeviceOrdered)))
    bedside.world.refuses_orders = ""

    bedside.restart()
    bedside.works_through("warm_bath")

    assert held == ("held", 1)


def test_a_thaw_over_eight_minutes_opens_one_deviation_and_the_bag_can_come_out(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_in")
    bedside.answer("thaw/bag_in")  # the probe stays cold: nobody is told of slush

    bedside.waits(7 * 60)
    before = bedside.asks()
    bedside.waits(2 * 60)

    assert before == []
    assert bedside.asks() == ["thaw/bag_out"]
    assert [words[:9] for words in bedside.deviations()] == ["Thaw time"]
    assert "8 min" in bedside.deviations()[0]


def test_a_core_above_four_degrees_opens_a_deviation(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    bedside.world.bag_in_bath_s = 286.0  # 79 K in 270 s, and on
    bedside.world.probe_at = Decimal("5.20")
    bedside.waits(1)

    bedside.answer("thaw/bag_out")

    assert bedside.deviations() == ["Core temperature: 5.2 degC, limit <= 4 degC."]


def test_a_core_between_two_and_four_degrees_is_an_alert_and_no_deviation(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    bedside.world.probe_at = Decimal("3.00")
    bedside.waits(1)

    bedside.answer("thaw/bag_out")
    bedside.waits(1)

    assert (bedside.last(ev.LimitCrossed).level, bedside.deviations()) == ("alert", [])


def test_a_core_that_nobody_knows_is_a_deviation_of_its_own(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    bedside.world.quality["thermostat"] = "uncertain"
    bedside.waits(1)

    bedside.answer("thaw/bag_out")

    assert bedside.deviations() == ["The core temperature was not known when the bag was taken out."]
    assert bedside.state_of("thaw") == "complete"


# ── Transfer ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("role", ["balance", "pump"])
@pytest.mark.parametrize("quality", ["uncertain", "stale", "bad"])
def test_nothing_is_pumped_on_a_reading_that_is_not_good(bedside: Bedside, role: str, quality: str) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.quality[role] = quality

    bedside.answer("dilute/setup")
    bedside.waits(120)

    assert bedside.pump_orders() == []


def test_nothing_is_pumped_while_the_balance_moves_or_is_empty(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.stable = False
    bedside.answer("dilute/setup")
    bedside.waits(60)

    bedside.world.stable, bedside.world.weight_g = True, Decimal("3.00")
    bedside.waits(60)

    assert bedside.pump_orders() == []


def test_a_roller_pump_is_not_told_of_a_syringe_that_the_recipe_does_not_name() -> None:
    text = re.sub(r"^syringe_diameter = .*\n", "", RECIPE_B, flags=re.MULTILINE)
    for recipe, told in ((RECIPE_B, True), (text, False)):
        bedside = Bedside(recipe)
        pumping(bedside)

        assert ("diameter_mm" in bedside.pump_orders()[0].parameters) == told


def test_a_weight_from_before_the_set_up_decides_nothing(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")

    bedside.answer("dilute/setup")

    assert bedside.batch.runs["dilute"].value("weight_start_g") is None
    bedside.waits(1)
    assert bedside.batch.runs["dilute"].value("weight_start_g") is not None


@pytest.mark.parametrize("quality", ["uncertain", "stale", "bad"])
def test_the_end_of_pumping_is_never_taken_from_a_doubtful_reading(bedside: Bedside, quality: str) -> None:
    pumping(bedside)
    bedside.world.quality["pump"] = quality

    bedside.waits(400)

    assert bedside.state_of("dilute") == "running"
    assert bedside.batch.runs["dilute"].value("weight_end_g") is None


def leaks_unseen(bedside: Bedside) -> None:
    """A leak while the balance tells nothing that could be held against the pump."""
    pumping(bedside)
    bedside.world.quality["balance"] = "uncertain"
    bedside.world.weight_g -= Decimal("2.50")
    bedside.waits(300)
    bedside.world.quality["balance"] = "good"
    bedside.waits(100)


def test_a_mass_balance_that_is_off_holds_the_phase_with_a_deviation(bedside: Bedside) -> None:
    leaks_unseen(bedside)

    assert bedside.state_of("dilute") == "held"
    assert bedside.deviations() == ["Dilute 1:1: mass balance: 2.5 g, limit <= 2 g."]
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"


def test_after_a_supervisor_has_looked_at_the_mass_balance_nothing_is_pumped_again(bedside: Bedside) -> None:
    leaks_unseen(bedside)

    bedside.restart(CLEO)
    bedside.works_through("dilute")

    assert len(bedside.pump_orders()) == 1
    assert len(bedside.deviations()) == 1


def test_a_pump_that_alarms_is_held_and_goes_on_by_weight_once_a_person_has_looked(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.world.pump_state, bedside.world.pump_alarm = "alarm", "stalled"
    bedside.waits(5)
    held, words = bedside.state_of("dilute"), bedside.alarm_words()

    bedside.restart()
    bedside.works_through("dilute")

    assert (held, "stalled" in words) == ("held", True)
    first, rest = bedside.world.infused
    assert first == 50 and 25 < rest < 35
    assert bedside.batch.runs["dilute"].value("moved_g") == 50


def test_a_pump_that_alarms_again_after_the_restart_is_held_again(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.world.pump_state, bedside.world.pump_alarm = "alarm", "stalled"
    bedside.waits(5)
    bedside.restart()
    bedside.waits(30)

    bedside.world.pump_state, bedside.world.pump_alarm = "alarm", "stalled"
    bedside.waits(5)

    assert bedside.state_of("dilute") == "held"


def test_a_pump_that_shows_an_alarm_before_its_first_order_is_not_ordered(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.pump_state, bedside.world.pump_alarm = "alarm", "stalled"

    bedside.answer("dilute/setup")
    bedside.waits(30)

    assert (bedside.state_of("dilute"), bedside.pump_orders()) == ("held", [])


def test_a_pump_that_stops_early_is_held_and_then_ordered_the_rest_only(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.world.pump_state = "stopped"
    bedside.waits(30)
    held, words = bedside.state_of("dilute"), bedside.alarm_words()

    bedside.restart()
    bedside.works_through("dilute")

    assert held == "held"
    assert "mL short of its order" in words
    assert sum(bedside.world.infused) > 50
    assert abs(bedside.world.moved_ml - 50) < Decimal("0.1")


def test_a_pump_that_refuses_is_held_with_its_own_words(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.refuses_orders = "The pump did not start. Nothing was moved."

    bedside.works_until("dilute")
    bedside.answer("dilute/setup")
    bedside.waits(30)

    assert bedside.state_of("dilute") == "held"
    assert "did not start" in bedside.alarm_words()
    assert len(bedside.pump_orders()) == 1


def test_a_pump_that_runs_for_ever_is_held(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.world.rate_ml_min = Decimal(0)

    bedside.waits(20 * 60)

    assert bedside.state_of("dilute") == "held"
    assert bedside.world.pump_state == "stopped"


def test_an_order_of_which_nobody_knows_is_never_repeated_blindly(bedside: Bedside) -> None:
    bedside.world.answers_orders = True
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.answers_orders = False
    bedside.answer("dilute/setup")

    bedside.waits(30 * 60, step_s=30)

    assert len(bedside.pump_orders()) == 1


def test_after_a_crash_the_rest_is_ordered_by_weight_and_never_more(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.crash()
    held = bedside.state_of("dilute")
    bedside.waits(60)
    quiet = len(bedside.pump_orders())

    bedside.restart()
    bedside.works_through("dilute")

    assert (held, quiet) == ("held", 1)
    first, rest = bedside.world.infused
    assert first == 50 and rest < 31
    assert abs(bedside.world.moved_ml - 50) < Decimal("0.1")


def test_a_crash_between_an_order_and_its_outcome_leaves_it_unknown_and_decides_by_weight(
    bedside: Bedside,
) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.world.answers_orders = False
    bedside.answer("dilute/setup")
    bedside.waits(30)
    bedside.world.weight_g += Decimal("20.00")  # it did run, for a while
    bedside.world.answers_orders = True

    bedside.crash()
    unknown = bedside.last(ev.DeviceRefusedOrder)
    bedside.restart()
    bedside.works_through("dilute")

    assert unknown.fault == "unknown"
    assert [str(volume) for volume in bedside.world.infused] == ["30.00"]


def test_a_transfer_that_was_whole_before_the_crash_orders_nothing_more(bedside: Bedside) -> None:
    pumping(bedside, for_s=295)
    bedside.world.passes(60)  # the pump ends while nobody looks
    bedside.crash()

    bedside.restart()
    bedside.works_through("dilute")

    assert len(bedside.world.infused) == 1


def test_with_the_bag_off_the_balance_nothing_more_is_pumped_after_a_crash(bedside: Bedside) -> None:
    pumping(bedside)
    weight_g = bedside.world.weight_g
    bedside.crash()
    bedside.world.weight_g = Decimal("0.00")

    bedside.restart()
    bedside.waits(60)
    held, words = bedside.state_of("dilute"), bedside.alarm_words()
    bedside.world.weight_g = weight_g
    bedside.restart()
    bedside.works_through("dilute")

    assert held == "held"
    assert "Put the bag back" in words
    assert abs(bedside.world.moved_ml - 50) < Decimal("0.1")


def test_something_laid_on_the_balance_before_the_first_order_does_not_shorten_it(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    bedside.answer("dilute/setup")
    bedside.waits(1, step_s=1)
    bedside.world.weight_g += Decimal("60.00")

    bedside.waits(5, step_s=1)

    assert [str(volume) for volume in bedside.world.infused] == ["50.00"]


def test_stop_holds_the_batch_and_no_answer_starts_anything_until_it_is_ended(bedside: Bedside) -> None:
    pumping(bedside)

    bedside.stop()
    bedside.waits(60)
    refused = bedside.refusal(bedside.restart)
    orders = len(bedside.pump_orders())
    bedside.commit(decisions.release_stop(bedside.unit, ADA, "Station is safe"), ADA.id)
    bedside.waits(60)

    assert bedside.state_of("dilute") == "held"
    assert refused.reason == "stop_latched"
    assert len(bedside.pump_orders()) == orders


def test_stop_twice_raises_one_alarm(bedside: Bedside) -> None:
    pumping(bedside)

    bedside.stop()
    bedside.stop()

    assert len(bedside.all(ev.DeviceStopped)) == 2
    assert sum(alarm.title == "STOP" for alarm in bedside.all(ev.AlarmRaised)) == 1


@pytest.mark.parametrize("device", ["pump-1", "balance-1"])
def test_a_device_that_falls_silent_holds_the_phases_that_use_it(bedside: Bedside, device: str) -> None:
    pumping(bedside)

    bedside.commit(device_news.silent(bedside.unit, device, "It does not answer."))
    bedside.waits(5)

    assert bedside.state_of("dilute") == "held"
    assert "Look at its cable and power" in bedside.alarm_words()


def test_another_device_than_the_qualified_one_holds_its_phase_and_opens_no_batch(bedside: Bedside) -> None:
    pumping(bedside)

    bedside.identify("pump-1", serial_number="other", qualified="S-1")
    bedside.waits(5)
    held = bedside.state_of("dilute")
    bedside.abort_batch()

    assert held == "held"
    assert bedside.refusal(lambda: bedside.begin_batch(id="ORD-2")).reason == "device_not_qualified"


def test_no_batch_opens_without_its_devices(bedside: Bedside) -> None:
    bedside.commit(device_news.silent(bedside.unit, "balance-1", "It does not answer."))

    refused = bedside.refusal(bedside.begin_batch)

    assert refused.reason == "device_silent"
    assert "cable and power" in str(refused)


# ── Wash and results: what people enter ────────────────────────────────────────────────


def test_the_washers_result_is_entered_by_one_and_verified_by_another(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")
    bedside.answer("wash/result")

    seen = {fact.label: fact.value for fact in bedside.prompt("wash/result.verify").facts}
    refused = bedside.refusal(lambda: bedside.answer("wash/result.verify", by=with_proof(ADA, "pin")))
    bedside.answer("wash/result.verify", by=with_proof(BEN, "pin"))
    bedside.works_through("wash")

    assert seen["Recovery"] == "82 %"
    assert refused.reason == "same_person"
    assert bedside.batch.runs["wash"].value("recovery") == 82


def test_the_result_is_not_asked_for_before_the_programme_can_be_over(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/setup")
    bedside.answer("wash/setup")

    bedside.waits(11 * 60)
    before = bedside.asks()
    bedside.waits(2 * 60)

    assert "wash/result" not in before
    assert "wash/result" in bedside.asks()


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("recovery", "111", "outside 0 to 110 %"),
        ("recovery", "-1", "outside 0 to 110 %"),
        ("recovery", "82.5", "no decimals"),
        ("recovery", "", "is not a number"),
        ("recovery", "8 2", "is not a number"),
        ("recovery", "1e1", "is not a number"),
        ("recovery", "\u0668\u0662", "is not a number"),
        ("recovery", "NaN", "is not a number"),
        ("volume_out", "0.9", "Read the display again"),
        ("volume_out", "33.05", "1 decimals"),
        ("colour", "red", "is not asked for here"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_range(
    bedside: Bedside, field: str, value: str, words: str
) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")

    refused = bedside.refusal(lambda: bedside.answer("wash/result", None, **{field: value}))

    assert refused.reason == "not_plausible"
    assert words in str(refused)
    assert "wash/result" in bedside.asks()


@pytest.mark.parametrize(("recovery", "level"), [("74", "alert"), ("59", "action")])
def test_a_low_recovery_is_told_and_below_the_limit_a_deviation(
    bedside: Bedside, recovery: str, level: str
) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")

    bedside.answer("wash/result", recovery=recovery)
    bedside.answer("wash/result.verify")
    bedside.works_through("wash")

    assert bedside.last(ev.LimitCrossed).level == level
    assert len(bedside.deviations()) == (1 if level == "action" else 0)


def test_results_that_fail_open_a_deviation_each_with_its_own_number(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("safety_tests/result")

    bedside.answer("safety_tests/result", endotoxin="0.8", gram="seen")
    bedside.answer("safety_tests/result.verify")
    bedside.works_through("safety_tests")

    assert (bedside.result("endotoxin").verdict, bedside.result("gram").verdict) == ("fail", "fail")
    numbers = [deviation.deviation for deviation in bedside.all(ev.DeviationOpened)]
    assert len(numbers) == len(set(numbers)) == 2
    assert bedside.last(ev.DeviationOpened).classification == "critical"


def test_an_administrator_opens_no_batch_and_aborts_none(bedside: Bedside) -> None:
    assert bedside.refusal(lambda: bedside.begin_batch(by=GUS)).reason == "not_permitted"
    bedside.begin_batch()

    assert bedside.refusal(lambda: bedside.abort_batch(GUS)).reason == "not_permitted"
    assert bedside.refusal(lambda: bedside.abort_batch(ADA)).reason == "not_permitted"


def test_an_abort_needs_the_password_and_ends_every_phase(bedside: Bedside) -> None:
    pumping(bedside)

    refused = bedside.refusal(
        lambda: bedside.commit(decisions.abort_batch(bedside.unit, CLEO, "Not to be used"), CLEO.id)
    )
    bedside.abort_batch(CLEO)

    assert refused.reason == "proof_missing"
    assert bedside.batch.state == "aborted"
    assert {run.state for run in bedside.batch.runs.values()} <= {"aborted", "complete"}
    assert bedside.asks() == []


@pytest.mark.parametrize("what", ["restarts", "is another one", "falls silent"])
def test_whatever_a_device_does_to_a_phase_is_told_by_an_alarm(bedside: Bedside, what: str) -> None:
    pumping(bedside)

    if what == "restarts":
        bedside.commit(device_news.restarted(bedside.unit, "pump-1", "its counter is void"))
    elif what == "falls silent":
        bedside.commit(device_news.silent(bedside.unit, "pump-1", "It does not answer."))
    else:
        bedside.identify("pump-1", serial_number="other", qualified="S-1")
    bedside.waits(1)

    assert bedside.state_of("dilute") == "held"
    assert bedside.last(ev.AlarmRaised).priority == "high"
    assert "Pump" in bedside.alarm_words()


def test_a_pump_that_lost_its_power_is_ordered_the_rest_by_weight(bedside: Bedside) -> None:
    pumping(bedside)
    bedside.world.pump_state, bedside.world.delivered_ml = "stopped", Decimal(0)
    bedside.commit(device_news.restarted(bedside.unit, "pump-1", "its counter is void"))
    bedside.waits(1)

    bedside.restart()
    bedside.works_through("dilute")

    assert abs(bedside.world.moved_ml - 50) < Decimal("0.1")
    assert not [key for key in bedside.unit.alarms if ":hold-" in key]


def test_a_stop_after_a_stop_that_was_ended_is_an_alarm_of_its_own(bedside: Bedside) -> None:
    pumping(bedside)

    for _ in range(2):
        bedside.stop()
        bedside.waits(1)
        bedside.commit(decisions.release_stop(bedside.unit, ADA, "Station is safe"), ADA.id)

    ids = [alarm.alarm for alarm in bedside.all(ev.AlarmRaised) if alarm.title == "STOP"]
    assert len(ids) == len(set(ids)) == 2
    assert not [key for key in bedside.unit.alarms if key.startswith("STOP:")]
