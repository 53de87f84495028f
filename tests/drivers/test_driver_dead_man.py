"""Safe when nobody is listening: SAFETY 1 to 4 for the one device here that moves product."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from served_devices import BenchProcess, wait_until

from drivers.faults import DeviceFault
from drivers.pumps.new_era_ne1000 import NewEraPump

WATCHDOG_S = NewEraPump.WATCHDOG_S
HOST = """
import sys, time
from drivers.pumps.new_era_ne1000 import NewEraPump
pump = NewEraPump(sys.argv[1])
pump.open()
pump.order("infuse", {"volume_ml": "20", "rate_ml_min": "5"})
print("running", flush=True)
while True:
    pump.read()
    time.sleep(0.1)
"""


def test_a_killed_driver_leaves_a_pump_that_stops_itself(bench_process: BenchProcess) -> None:
    bench_process.do("load_syringe", volume_ml=50)
    host = subprocess.Popen(
        [sys.executable, "-c", HOST, bench_process.port("pump")], stdout=subprocess.PIPE, text=True
    )
    assert host.stdout is not None
    assert host.stdout.readline() == "running\n"
    time.sleep(WATCHDOG_S + 0.2)
    assert bench_process.pump()["moving"], "a heard pump goes on"

    killed_ns = time.monotonic_ns()
    host.kill()
    host.wait()
    host.stdout.close()
    wait_until(lambda: not bench_process.pump()["moving"], WATCHDOG_S + 2.0, "the pump runs on")

    state = bench_process.pump()
    assert state["motion_stopped_ns"] - killed_ns <= (WATCHDOG_S + 0.5) * 1e9
    assert state["watchdog_fired_ns"] > killed_ns


@pytest.mark.parametrize("fault", ["silent", "one_way"])
def test_a_line_that_lost_one_or_both_ways_ends_in_a_stop(bench_process: BenchProcess, fault: str) -> None:
    bench_process.do("load_syringe", volume_ml=50)
    pump = NewEraPump(bench_process.port("pump"))
    pump.open()
    pump.order("infuse", {"volume_ml": "20", "rate_ml_min": "5"})
    cut_ns = time.monotonic_ns()
    bench_process.do("fault", device="pump", fault=fault)

    while time.monotonic_ns() - cut_ns < (WATCHDOG_S + 0.5) * 1e9:
        try:
            pump.read()
        except DeviceFault:
            time.sleep(0.1)

    state = bench_process.pump()
    assert not state["moving"]
    assert state["motion_stopped_ns"] - cut_ns <= (WATCHDOG_S + 0.5) * 1e9
    pump.close()


def test_a_bounded_run_never_passes_its_volume_though_all_its_hosts_die(bench_process: BenchProcess) -> None:
    bench_process.do("load_syringe", volume_ml=50)
    for _ in range(2):
        pump = NewEraPump(bench_process.port("pump"))
        pump.open()
        pump.stop()
        before = bench_process.pump()["infused_ml_ever"]
        pump.order("infuse", {"volume_ml": "0.3", "rate_ml_min": "24"})
        pump.close()
        time.sleep(0.9)

        assert bench_process.pump()["infused_ml_ever"] - before <= 0.3 + 1e-6
        assert bench_process.pump()["infused_ml_ever"] - before > 0.29
