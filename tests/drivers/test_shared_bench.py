"""Devices of one bench feel each other: valve, pump and balance; gas and probe; heater and probe."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from served_devices import CELLWRIGHT, BenchProcess, served

from drivers.catalog import driver_for
from drivers.roles import Driver
from drivers.simulated.bench import Bench, make_bench, parse_extra

Value = Decimal | str | None


@contextmanager
def bench_of(
    folder: Path, extras: Sequence[str], *, speed: float
) -> Iterator[tuple[Bench, dict[str, Driver]]]:
    """A bench in this process, with an open driver at each of its added devices."""
    wanted = [parse_extra(words) for words in extras]
    bench = make_bench(folder, seed=2, speed=speed, extras=wanted)
    with served(*bench.devices.values()), ExitStack() as closing:
        drivers = {}
        for one in wanted:
            driver = driver_for(one.type_name, one.settings)(str(folder / one.link))
            driver.open()
            closing.callback(driver.close)
            drivers[one.link] = driver
        yield bench, drivers


def value(driver: Driver, name: str) -> Value:
    return next(reading.value for reading in driver.read() if reading.name == name)


def number(driver: Driver, name: str) -> float:
    read = value(driver, name)
    assert isinstance(read, Decimal), (name, read)
    return float(read)


def wait_for(holds: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)


def test_a_pump_fills_the_bag_on_the_other_balance_only_while_its_valve_is_open(tmp_path: Path) -> None:
    extras = ["sartorius-sbi=scale", "ismatec-reglo-icc=feed:channel=2", "modbus-relay=valves"]
    with bench_of(tmp_path, extras, speed=4.0) as (bench, drivers):
        scale, feed, valves = drivers["scale"], drivers["feed"], drivers["valves"]
        tube = {"do": "connect_tubing", "channel": 2, "from": "medium", "to": "dose", "valve": 5}
        assert bench.hands.do(tube)["ok"]
        assert bench.hands.do({"do": "bag_onto_balance", "bag": "dose", "pan": "scale"})["ok"]
        before = bench.world.fluids.books()

        def run_and_weigh() -> float:
            feed.order("infuse", {"volume_ml": "2", "rate_ml_min": "24"})
            wait_for(lambda: value(feed, "state") == "stopped", 20.0)
            time.sleep(0.5)
            return number(scale, "weight_g")

        shut_g = run_and_weigh()
        valves.order("set", {"coil": "5", "state": "on"})
        open_g = run_and_weigh()
        valves.order("all_off", {})

        assert shut_g == pytest.approx(12.0, abs=0.05)
        assert open_g == pytest.approx(14.0, abs=0.05)
        assert bench.world.tubing[2].motion.dispensed_ml[True] == pytest.approx(4.0, abs=0.05)
        assert bench.world.fluids.books() == pytest.approx(before, abs=1e-9)


def test_a_probe_feels_the_gas_and_the_heater(tmp_path: Path) -> None:
    extras = ["hamilton-arc=ph", "hamilton-arc=do:kind=oxygen", "eurotherm-3200=incubator"]
    with bench_of(tmp_path, extras, speed=800.0) as (bench, drivers):
        drivers["incubator"].order("set", {"setpoint_c": "35"})
        bench.hands.do({"do": "set_incubator_air", "co2_percent": 10, "oxygen_percent": 10})

        wait_for(lambda: number(drivers["ph"], "temperature_c") < 35.2, 20.0)
        wait_for(lambda: number(drivers["do"], "oxygen_percent") < 60, 30.0)

        assert number(drivers["ph"], "ph") < 7.15
        assert number(drivers["ph"], "ph") == pytest.approx(bench.world.medium.ph, abs=0.1)


def test_the_command_sets_more_devices_on_the_bench(tmp_path: Path) -> None:
    bench = BenchProcess(tmp_path, "--with=hamilton-arc=ph", "--with=sartorius-sbi=scale", "--pace")
    try:
        read = [str(CELLWRIGHT), "device", "read", "hamilton-arc", "--port", bench.port("ph"), "--json"]
        said = subprocess.run(read, capture_output=True, text=True, timeout=30, check=True)

        shown = [json.loads(line) for line in said.stdout.splitlines()]
        assert {(one["reading"], one["value"]) for one in shown} >= {("ph", 7.2), ("temperature_c", 37.0)}
        bench.do("bag_onto_balance", bag="culture", pan="scale")
        assert bench.do("state")["pans"]["scale"]["gross_g"] == 85.0
    finally:
        bench.end()
    assert not (tmp_path / "ph").exists()


@pytest.mark.parametrize("words", ["--with=kettle", "--with=mt-sics=balance", "--pace=-2"])
def test_a_bench_that_cannot_be_is_wrong_usage(
    cellwright: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, words: str
) -> None:
    said = cellwright("device", "bench", "--links", tmp_path, words)

    assert said.returncode == 2
    assert said.stderr
