"""A device is used while it is the qualified one and its days are not over; two persons say so anew."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, Bedside

from appliance.domain import decisions, device_news, fitness
from appliance.domain import events as ev
from appliance.domain.before import unit_before
from appliance.domain.roles import Actor

MIA = Actor("p-0009", "Mia", ("maintenance",))
PUMP, BATH = "pump-1", "thawer-1"


def asked(**changes: str) -> fitness.Asked:
    body = {"device": PUMP, "serial_number": "4711", "firmware": "1", "reason": "Pump was exchanged"}
    return fitness.Asked.of(body | changes)


def qualifies(bedside: Bedside, first: Actor = MIA, second: Actor = BEN, **changes: str) -> None:
    events = fitness.qualify(bedside.unit, first, second, asked(**changes), bedside.now)
    bedside.commit(events, first.id)


def is_valid_until(bedside: Bedside, device: str = PUMP, **days: str) -> None:
    """The device says who it is again, and the appliance file says up to which days it holds."""
    bedside.commit(device_news.identified(bedside.unit, device, bedside.unit.identities[device], **days))


# ── Another device than the qualified one (F-029) ──────────────────────────────────────


@pytest.mark.requirement("F-029", "R-16")
def test_a_device_of_another_firmware_than_the_qualified_one_is_told_and_opens_no_batch(
    bedside: Bedside,
) -> None:
    bedside.unit.devices[PUMP] = dataclasses.replace(bedside.unit.devices[PUMP], firmware="2.01")
    bedside.identify(PUMP)

    refused = bedside.refusal(bedside.begin_batch)

    seen = bedside.last(ev.DeviceIdentified)
    assert not seen.qualified
    assert "Its firmware is 1, qualified is 2.01." in seen.words
    assert refused.reason == "device_not_qualified"
    assert "Pump is not the qualified device" in bedside.last(ev.DeviceNoticeRaised).title
    assert fitness.shown(bedside.unit, PUMP, bedside.now).startswith("NOT QUALIFIED")


@pytest.mark.requirement("F-029")
def test_of_a_device_that_tells_no_serial_number_nobody_pretends_to_know_it(bedside: Bedside) -> None:
    bedside.identify(PUMP, serial_number="", qualified="288954")

    seen = bedside.last(ev.DeviceIdentified)

    assert not seen.qualified
    assert "It tells no serial number, so nobody can see whether it is the qualified 288954." in seen.words


@pytest.mark.requirement("F-029", "R-16")
def test_a_device_that_was_exchanged_under_way_holds_what_uses_it_and_cannot_go_on(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute")
    bedside.answer("dilute/setup")
    bedside.waits(30)
    orders = len(bedside.pump_orders())

    bedside.identify(PUMP, serial_number="4711", qualified="1")
    bedside.waits(30)
    refused = bedside.refusal(bedside.restart)

    assert bedside.state_of("dilute") == "held"
    assert "Its serial number is 4711, qualified is 1." in bedside.alarm_words()
    assert refused.reason == "device_not_qualified"
    assert len(bedside.pump_orders()) == orders


@pytest.mark.requirement("F-029")
def test_the_right_device_coming_back_ends_the_alarm_and_the_batch_goes_on(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute")
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    assert fitness.unqualified_alarm(PUMP) in bedside.unit.alarms

    bedside.identify(PUMP, serial_number="1", qualified="1")
    bedside.restart()
    bedside.works_through("dilute")

    assert fitness.unqualified_alarm(PUMP) not in bedside.unit.alarms


def test_the_alarm_of_another_device_stays_when_it_is_acknowledged(bedside: Bedside) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")

    key = fitness.unqualified_alarm(PUMP)
    bedside.commit(decisions.acknowledge_alarm(bedside.unit, MIA, key), MIA.id)

    assert bedside.unit.alarms[key][1] == "acknowledged"


@pytest.mark.requirement("R-16")
def test_what_another_device_reads_decides_nothing(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_in")
    bedside.unit.qualified[BATH] = False

    assert "thaw/bag_in" not in bedside.asks()


@pytest.mark.requirement("F-029")
def test_another_device_after_the_seal_changes_nothing_that_was_certified(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")
    bedside.seal()

    bedside.identify(PUMP, serial_number="4711", qualified="1")
    qualifies(bedside)
    bedside.commit(fitness.wear_counted(bedside.unit, PUMP, "TG.SP", 3, 100))

    assert bedside.batch.changed_after_seal is None


# ── Two persons qualify the device that is there ───────────────────────────────────────


@pytest.mark.requirement("F-029")
def test_two_persons_qualify_the_exchanged_device_and_it_works_from_then_on(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute")
    bedside.identify(PUMP, serial_number="4711", qualified="1")

    qualifies(bedside, calibrated_until="2026-09-30", qualified_until="2027-03-01")
    bedside.restart()
    bedside.works_through("dilute")

    said = bedside.last(ev.DeviceQualified)
    assert (said.first_person, said.second_person) == (MIA.id, BEN.id)
    assert (said.serial_number, said.firmware, said.calibrated_until) == ("4711", "1", "2026-09-30")
    assert fitness.unqualified_alarm(PUMP) not in bedside.unit.alarms


@pytest.mark.requirement("F-029")
def test_what_two_persons_qualified_stands_in_place_of_the_file_also_after_a_restart(
    bedside: Bedside,
) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    qualifies(bedside, calibrated_until="2026-09-30")

    bedside.unit = bedside.refolded()
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    new_is_right = bedside.last(ev.DeviceIdentified)
    bedside.identify(PUMP, serial_number="1", qualified="1")
    old_is_wrong = bedside.last(ev.DeviceIdentified)

    assert new_is_right.qualified
    assert new_is_right.calibrated_until == "2026-09-30"
    assert "unit.toml names another one; what two persons qualified on record holds." in new_is_right.words
    assert not old_is_wrong.qualified


@pytest.mark.requirement("F-029")
def test_a_device_without_a_serial_number_is_qualified_as_such_and_that_is_told(bedside: Bedside) -> None:
    bedside.identify(PUMP, serial_number="", qualified="288954")

    qualifies(bedside, serial_number="", reason="Type plate says 288954")
    bedside.identify(PUMP, serial_number="", qualified="288954")

    seen = bedside.last(ev.DeviceIdentified)
    assert seen.qualified
    assert "only people can see" in seen.words


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (ADA, BEN, "not_permitted"),
        (CLEO, BEN, "not_permitted"),
        (MIA, ADA, "not_permitted"),
        (MIA, MIA, "same_person"),
    ],
)
@pytest.mark.requirement("F-029", "R-15")
def test_maintenance_qualifies_and_somebody_else_who_may_confirms(
    bedside: Bedside, first: Actor, second: Actor, reason: str
) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")

    refused = bedside.refusal(lambda: qualifies(bedside, first, second))

    assert refused.reason == reason
    assert not bedside.has(ev.DeviceQualified)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"serial_number": "4712"}, "tells serial number 4711 and firmware 1. Look at the device again"),
        ({"firmware": ""}, "Look at the device again"),
        ({"device": "pump-9"}, "no device 'pump-9'"),
        ({"reason": " "}, "reason"),
        ({"calibrated_until": "2026-03-01"}, "write a day that is not over"),
        ({"qualified_until": "30.06.2027"}, "write a day that is not over"),
    ],
)
def test_what_was_not_seen_and_a_day_that_is_over_are_refused(
    bedside: Bedside, changes: dict[str, str], words: str
) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")

    assert words in str(bedside.refusal(lambda: qualifies(bedside, **changes)))


def test_a_device_that_does_not_answer_is_not_qualified(bedside: Bedside) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    bedside.commit(device_news.silent(bedside.unit, PUMP, "It does not answer."))

    assert "Connect it first" in str(bedside.refusal(lambda: qualifies(bedside)))


@pytest.mark.requirement("F-030")
def test_another_device_does_not_inherit_the_days_of_the_one_before(bedside: Bedside) -> None:
    is_valid_until(bedside, calibrated_until="2026-09-30")
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    is_valid_until(bedside, calibrated_until="2026-09-30")

    refused = bedside.refusal(lambda: qualifies(bedside))

    assert "say up to which day its own calibration holds" in str(refused)


@pytest.mark.requirement("F-030")
def test_the_same_device_keeps_a_day_that_nobody_names(bedside: Bedside) -> None:
    is_valid_until(bedside, calibrated_until="2026-09-30")

    qualifies(bedside, serial_number="1", qualified_until="2027-03-01", reason="Yearly service")

    said = bedside.last(ev.DeviceQualified)
    assert (said.calibrated_until, said.qualified_until) == ("2026-09-30", "2027-03-01")


@pytest.mark.requirement("F-030")
def test_where_time_is_not_trusted_no_new_day_is_judged(bedside: Bedside) -> None:
    bedside.unit.clock_trusted = False

    refused = bedside.refusal(lambda: qualifies(bedside, serial_number="1", calibrated_until="2027-03-01"))

    assert refused.reason == "time_untrusted"


# ── Days that are over, or soon will be (F-030) ────────────────────────────────────────


@pytest.mark.requirement("F-030")
def test_no_batch_opens_with_a_device_whose_qualification_is_over(bedside: Bedside) -> None:
    is_valid_until(bedside, qualified_until="2026-03-01")

    refused = bedside.refusal(bedside.begin_batch)

    assert "The qualification of Pump ended on 2026-03-01. Call maintenance." in str(refused)


@pytest.mark.requirement("F-030", "R-16")
def test_a_day_that_ends_in_mid_phase_stops_the_next_order_and_nothing_else(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    is_valid_until(bedside, calibrated_until="2026-03-01")

    bedside.answer("dilute/setup")
    bedside.waits(30)

    assert bedside.state_of("dilute") == "held"
    assert not bedside.pump_orders()
    assert "The calibration of Pump ended on 2026-03-01" in bedside.alarm_words()
    qualifies(bedside, serial_number="1", calibrated_until="2027-03-01", reason="Calibrated today")
    bedside.restart()
    bedside.works_through("dilute")


@pytest.mark.requirement("F-030")
def test_who_watches_a_bag_that_thaws_goes_on_though_the_baths_day_is_over(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    is_valid_until(bedside, BATH, calibrated_until="2026-03-01")
    bedside.commit(decisions.hold(bedside.unit, ADA, "thaw", "Looked at the lid"), ADA.id)

    bedside.restart()

    assert "thaw/bag_out" in bedside.asks()


@pytest.mark.requirement("F-030")
def test_a_day_that_is_near_is_told_once_a_day_from_two_weeks_before(bedside: Bedside) -> None:
    is_valid_until(bedside, calibrated_until="2026-03-17")  # 15 days after the first of the story

    told = []
    for _ in range(17):
        for _ in range(3):
            events = fitness.warnings(bedside.unit, bedside.now)
            bedside.commit(events)
            told += [event for event in events if isinstance(event, ev.DeviceNoticeRaised)]
        bedside.now += timedelta(days=1)

    titles = [one.title for one in told]
    assert len(told) == 16  # from the day that is 14 days before it to the day after it
    assert titles[0] == "Pump: calibration ends in 14 days"
    assert titles[-2:] == ["Pump: calibration ends today", "Pump: calibration ENDED on 2026-03-17"]
    assert [one.priority for one in told] == ["low"] * 15 + ["medium"]
    assert [key for key in bedside.unit.alarms if key.startswith("due:")] == [told[-1].alarm]


@pytest.mark.requirement("F-030")
def test_a_new_calibration_ends_the_warning(bedside: Bedside) -> None:
    is_valid_until(bedside, calibrated_until="2026-03-05")
    bedside.commit(fitness.warnings(bedside.unit, bedside.now))

    qualifies(bedside, serial_number="1", calibrated_until="2027-03-01", reason="Calibrated today")

    assert not [key for key in bedside.unit.alarms if key.startswith("due:")]
    assert not fitness.warnings(bedside.unit, bedside.now)
    assert fitness.shown(bedside.unit, PUMP, bedside.now) == ""


@pytest.mark.requirement("F-030")
def test_where_time_is_not_trusted_no_day_is_told_and_no_order_goes_out(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    is_valid_until(bedside, calibrated_until="2027-03-01")
    bedside.answer("dilute/setup")
    bedside.unit.clock_trusted = False

    bedside.waits(30)

    assert bedside.state_of("dilute") == "held"
    assert not bedside.pump_orders()
    assert not fitness.warnings(bedside.unit, bedside.now)
    assert fitness.shown(bedside.unit, PUMP, bedside.now) == "calibration not judged: time is not trusted"


# ── Memories that wear out ─────────────────────────────────────────────────────────────


def wears(bedside: Bedside, writes: int) -> list[str]:
    """The alarms of wear that stand after that many more writes of a memory that may take 100."""
    bedside.commit(fitness.wear_counted(bedside.unit, BATH, "TG.SP", writes, 100))
    return [key.rpartition(":")[2] for key in bedside.unit.alarms if key.startswith("wear:")]


@pytest.mark.requirement("F-030")
def test_wear_is_told_at_eighty_percent_and_at_the_end(bedside: Bedside) -> None:
    standing = [wears(bedside, writes) for writes in (79, 1, 19, 1, 1)]

    assert standing == [[], ["near"], ["near"], ["over"], ["over"]]

    notices = [one.title for one in bedside.all(ev.DeviceNoticeRaised)]
    assert notices == ["Thermostat: memory TG.SP is 80 % worn", "Thermostat: memory TG.SP is worn out"]
    assert bedside.last(ev.WearCounted).total == 101


def test_totals_survive_a_restart_and_begin_anew_with_another_device(bedside: Bedside) -> None:
    wears(bedside, 40)
    bedside.unit = bedside.refolded()
    assert bedside.unit.wear == {(BATH, "TG.SP"): 40}

    bedside.identify(BATH, serial_number="4711", qualified="1")
    qualifies(bedside, device=BATH)

    assert bedside.unit.wear == {}


# ── A batch's record alone ─────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-029", "F-030")
def test_a_batchs_record_says_what_was_known_of_its_devices_before(bedside: Bedside) -> None:
    bedside.identify(PUMP, serial_number="4711", qualified="1")
    qualifies(bedside, calibrated_until="2026-03-12")
    wears(bedside, 40)
    bedside.commit(fitness.warnings(bedside.unit, bedside.now))

    bedside.begin_batch()
    again, unit = unit_before("UNIT-1", bedside.last(ev.BatchOpened)), bedside.unit

    assert again.devices == unit.devices
    assert again.identities == unit.identities
    assert again.qualifications == unit.qualifications
    assert {device: day for device, day in unit.calibrated_until.items() if day} == again.calibrated_until
    assert (again.wear, again.warned_on) == (unit.wear, unit.warned_on)
