"""Each driver against its twin, over a real pseudo-terminal."""

from __future__ import annotations

import statistics
import time
from decimal import Decimal

import pytest
from served_devices import BenchProcess, wait_until

from drivers.balances.mt_sics import MtSicsBalance
from drivers.faults import DeviceAlarm, DeviceRefused, DeviceRestarted, DeviceSilent, LineLost, WrongDevice
from drivers.line import settings_enforceable
from drivers.pumps.new_era_ne1000 import NewEraPump, pump_number
from drivers.reading import Reading
from drivers.simulated.bench import Bench
from drivers.simulated.julabo import JulaboTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.temperature.julabo import JulaboCirculator


def by_name(readings: list[Reading]) -> dict[str, Reading]:
    return {reading.name: reading for reading in readings}


def opened_pump(bench: Bench) -> NewEraPump:
    pump = NewEraPump(str(bench.devices["pump"].link))
    pump.open()
    return pump


def opened_balance(bench: Bench) -> MtSicsBalance:
    balance = MtSicsBalance(str(bench.devices["balance"].link))
    balance.open()
    return balance


def opened_bath(bench: Bench) -> JulaboCirculator:
    bath = JulaboCirculator(str(bench.devices["thawer"].link))
    bath.open()
    return bath


def test_a_balance_says_who_it_is_and_weighs_with_two_looks(bench: Bench) -> None:
    bench.hands.do({"do": "bag_onto_balance", "bag": "patient"})
    balance = opened_balance(bench)
    time.sleep(1.1)

    (weight,) = balance.read()

    assert balance.identify().serial_number == "B123456789"
    assert balance.identify().model == "XS603S Excellence"
    assert (weight.quality, weight.detail) == ("good", "stable")
    assert weight.value == pytest.approx(Decimal(62), abs=Decimal("0.03"))
    balance.close()


def test_a_tared_balance_shows_nothing_until_something_is_added(bench: Bench) -> None:
    bench.hands.do({"do": "bag_onto_balance", "bag": "dose"})
    balance = opened_balance(bench)

    tared = balance.order("tare", {})

    assert abs(Decimal(tared["tare_g"]) - 12) < Decimal("0.05")
    (weight,) = balance.read()
    assert isinstance(weight.value, Decimal)
    assert abs(weight.value) <= Decimal("0.05")
    balance.close()


def test_a_balance_that_restarted_says_that_its_tare_is_void(bench: Bench) -> None:
    bench.hands.do({"do": "bag_onto_balance", "bag": "dose"})
    balance = opened_balance(bench)
    balance.order("tare", {})
    bench.devices["balance"].restart()
    time.sleep(0.05)

    with pytest.raises(DeviceRestarted, match="tare"):
        balance.read()

    (weight,) = balance.read()
    assert weight.value == pytest.approx(Decimal(12), abs=Decimal("0.05"))
    balance.close()


def test_an_unknown_order_is_refused_with_the_known_ones(bench: Bench) -> None:
    balance = opened_balance(bench)

    with pytest.raises(DeviceRefused, match="zero and tare"):
        balance.order("infuse", {})
    balance.close()


def test_a_pump_delivers_what_was_ordered_and_not_more(bench: Bench) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 30})
    bench.hands.do({"do": "connect", "bag": "dose"})
    pump = opened_pump(bench)

    confirmed = pump.order("infuse", {"volume_ml": "0.4", "rate_ml_min": "24", "diameter_mm": "26.7"})
    running = by_name(pump.read())
    wait_until(lambda: by_name(pump.read())["state"].value == "stopped", 5.0, "the run did not end")
    time.sleep(0.3)

    assert confirmed == {"volume_ml": "0.400", "rate_ml_min": "24.00"}
    assert running["state"].value == "infusing"
    assert by_name(pump.read())["delivered_ml"].value == Decimal("0.400")
    assert bench.world.bag("dose").volume_ml == pytest.approx(0.4)
    pump.close()


def test_a_volume_is_never_rounded_up() -> None:
    assert pump_number(Decimal("12.349")) == "12.34"
    assert pump_number(Decimal("9.9999")) == "9.999"
    assert pump_number(Decimal("1234.9")) == "1234"
    with pytest.raises(DeviceRefused):
        pump_number(Decimal("0.0004"))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"volume_ml": "5", "rate_ml_min": "80"}, "out of its range"),
        ({"volume_ml": "5"}, "knows infuse"),
        ({"volume_ml": "-5", "rate_ml_min": "5"}, "above 0"),
        ({"volume_ml": "much", "rate_ml_min": "5"}, "above 0"),
    ],
)
def test_an_impossible_infusion_is_refused_and_nothing_moves(
    bench: Bench, parameters: dict[str, str], words: str
) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 30})
    pump = opened_pump(bench)

    with pytest.raises(DeviceRefused, match=words):
        pump.order("infuse", parameters)

    assert bench.world.syringe.infused_ml == 0
    pump.close()


def test_a_second_infusion_while_one_runs_is_refused(bench: Bench) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 30})
    pump = opened_pump(bench)
    pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "5"})

    with pytest.raises(DeviceRefused, match="is moving"):
        pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "5"})
    pump.stop()
    pump.close()


def test_an_empty_syringe_is_an_alarm_that_stays_until_the_next_decision(bench: Bench) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 0.2})
    pump = opened_pump(bench)
    pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "24"})
    wait_until(lambda: by_name(pump.read())["state"].value == "alarm", 5.0, "no alarm came")

    shown = by_name(pump.read())
    assert (shown["state"].value, shown["alarm"].value) == ("alarm", "stalled")
    assert shown["delivered_ml"].value == Decimal("0.200")

    pump.order("clear", {})
    assert by_name(pump.read())["state"].value == "stopped"
    pump.close()


def test_an_alarm_the_caller_has_not_seen_stops_an_order(bench: Bench) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 0.1})
    pump = opened_pump(bench)
    pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "24"})
    time.sleep(0.5)
    bench.hands.do({"do": "load_syringe", "volume_ml": 30})

    with pytest.raises(DeviceAlarm, match="stalled"):
        pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "24"})

    assert bench.world.syringe.infused_ml == pytest.approx(0.1)
    pump.close()


def test_a_pump_that_lost_its_power_says_that_its_totals_are_void(bench: Bench) -> None:
    bench.hands.do({"do": "load_syringe", "volume_ml": 30})
    pump = opened_pump(bench)
    pump.order("infuse", {"volume_ml": "5", "rate_ml_min": "5"})
    bench.devices["pump"].restart()
    time.sleep(0.05)

    with pytest.raises(DeviceRestarted, match="void"):
        pump.read()

    assert by_name(pump.read())["state"].value == "stopped"
    assert not bench.world.motion.moving
    pump.close()


def test_a_bath_takes_its_orders_and_shows_them(bench: Bench) -> None:
    bench.hands.do({"do": "bag_into_bath"})
    bath = opened_bath(bench)

    assert bath.order("set", {"setpoint_c": "38.5"}) == {"setpoint_c": "38.50"}
    assert bath.order("start", {}) == {"running": "running"}
    shown = by_name(bath.read())

    assert [reading.quality for reading in shown.values()] == ["good"] * 5
    assert shown["setpoint_c"].value == Decimal("38.50")
    assert shown["running"].value == "running"
    assert shown["probe_c"].value == pytest.approx(Decimal(-150), abs=Decimal(12))
    assert bath.identify().model == "MAGIO MS-1000F"
    bath.close()


def test_a_set_point_out_of_range_is_refused_in_the_baths_own_words(bench: Bench) -> None:
    bath = opened_bath(bench)

    with pytest.raises(DeviceRefused, match="holds the set-point"):
        bath.order("set", {"setpoint_c": "180"})

    assert bench.world.bath.setpoint_c == 37.0
    bath.close()


def test_a_bath_keeps_its_set_point_when_nobody_listens(bench: Bench) -> None:
    bath = opened_bath(bench)
    bath.order("start", {})

    bath.apply_safe_state("keep")
    bath.close()

    assert bench.world.bath.running


def test_a_stopped_bath_stands_at_the_next_look(bench: Bench) -> None:
    bath = opened_bath(bench)
    bath.order("start", {})

    bath.stop()
    bath.stop()

    wait_until(lambda: not bench.world.bath.running, 1.0, "the bath runs on")
    assert by_name(bath.read())["running"].value == "stopped"
    bath.close()


def test_a_bath_that_lost_its_mains_is_told_of(bench: Bench) -> None:
    bath = opened_bath(bench)
    bath.order("start", {})
    bench.devices["thawer"].restart()

    with pytest.raises(DeviceRestarted, match="mains"):
        bath.read()
    bath.close()


def test_a_line_is_one_programs_alone(bench: Bench) -> None:
    first = opened_balance(bench)

    with pytest.raises(LineLost, match="another program holds"):
        opened_balance(bench)

    first.close()
    opened_balance(bench).close()


def test_the_wrong_device_is_told_apart(bench: Bench) -> None:
    wrong = MtSicsBalance(str(bench.devices["thawer"].link))
    wrong.OPEN_S = 0.5

    with pytest.raises((WrongDevice, DeviceSilent)):
        wrong.open()


def test_a_baths_alarm_is_shown_in_its_own_words(bench: Bench) -> None:
    bath = opened_bath(bench)
    twin = bench.devices["thawer"].twin
    assert isinstance(twin, JulaboTwin)
    twin.alarm = "-01 LOW LEVEL ALARM"

    shown = by_name(bath.read())

    assert (shown["alarm"].value, shown["alarm"].quality) == ("-01 LOW LEVEL ALARM", "good")
    assert shown["running"].value == "stopped"
    bath.close()


def test_line_settings_a_pseudo_terminal_cannot_hold_do_not_keep_it_from_opening(bench: Bench) -> None:
    bath = opened_bath(bench)
    assert not settings_enforceable(bath.line.port)
    assert (bath.line.settings.byte_bits, bath.line.settings.parity) == (7, "E")
    bath.close()

    again = opened_bath(bench)

    assert settings_enforceable("/dev/ttyUSB0")
    assert len(again.read()) == 5
    again.close()


def test_a_pump_says_what_stopped_it_before_this_connection(bench: Bench) -> None:
    bench.devices["pump"].restart()

    pump = opened_pump(bench)

    alarm = by_name(pump.read())["alarm"]
    assert (alarm.value, alarm.detail) == ("", "reset before this connection")
    pump.close()


def test_the_byte_trace_holds_both_directions_in_order(bench: Bench) -> None:
    balance = opened_balance(bench)
    balance.read()

    trace = list(balance.line.trace)

    assert trace[-2].direction == "out"
    assert trace[-2].data == b"SI\r\n"
    assert trace[-1].direction == "in"
    assert trace[-1].data.endswith(b" g\r\n"), trace[-3:]
    assert [entry.monotonic_ns for entry in trace] == sorted(entry.monotonic_ns for entry in trace)
    balance.close()


def test_stop_is_fast_and_a_repeat_is_harmless(bench_process: BenchProcess) -> None:
    bench_process.do("load_syringe", volume_ml=50)
    pump = NewEraPump(bench_process.port("pump"))
    pump.open()
    latencies_s = []

    for _ in range(12):
        pump.order("infuse", {"volume_ml": "20", "rate_ml_min": "20"})
        began = time.monotonic()
        pump.stop()
        latencies_s.append(time.monotonic() - began)
        stopped_s = bench_process.pump()["motion_stopped_ns"] / 1e9
        assert stopped_s - began < 0.5
    pump.stop()

    assert statistics.median(latencies_s) <= 0.05, latencies_s
    assert by_name(pump.read())["state"].value == "stopped"
    pump.close()


def test_stop_works_right_after_an_exchange_timed_out(bench_process: BenchProcess) -> None:
    bench_process.do("load_syringe", volume_ml=50)
    pump = NewEraPump(bench_process.port("pump"))
    pump.open()
    pump.order("infuse", {"volume_ml": "20", "rate_ml_min": "5"})
    bench_process.do("fault", device="pump", fault="silent")
    with pytest.raises(DeviceSilent):
        pump.read()
    bench_process.do("fault", device="pump", fault="none")

    began = time.monotonic()
    pump.stop()

    assert time.monotonic() - began < 0.5
    assert not bench_process.pump()["moving"]
    pump.close()


def test_an_unplugged_line_is_silence_and_not_a_crash(bench_process: BenchProcess) -> None:
    balance = MtSicsBalance(bench_process.port("balance"))
    balance.open()
    bench_process.process.terminate()
    bench_process.process.wait(10)

    with pytest.raises(DeviceSilent):
        balance.read()
    balance.close()


def test_a_pump_without_safe_mode_is_read_and_stopped_and_given_no_order(bench: Bench) -> None:
    twin = bench.devices["pump"].twin
    assert isinstance(twin, NewEraTwin)
    twin.knows_safe_mode = False
    bench.world.load_syringe(20.0)
    pump = NewEraPump(str(bench.devices["pump"].link))
    pump.open()
    bench.world.start_motion(rate_ml_min=6.0, volume_ml=None, infusing=True)

    running = {reading.name: reading for reading in pump.read()}
    with pytest.raises(DeviceRefused, match="Basic mode"):
        pump.order("infuse", {"volume_ml": "1", "rate_ml_min": "6"})
    pump.stop()
    standing = {reading.name: reading for reading in pump.read()}
    pump.close()

    assert (running["state"].value, running["state"].quality) == ("infusing", "good")
    assert "no watchdog" in running["state"].detail
    assert not bench.world.motion.moving
    assert (standing["state"].value, standing["delivered_ml"].quality) == ("stopped", "good")
