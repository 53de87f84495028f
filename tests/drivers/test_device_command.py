"""The `cellwright device` command, as others call it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from served_devices import CELLWRIGHT, START_S, BenchProcess, wait_until

from drivers.catalog import device_type, device_types, driver_for, twin_for
from drivers.roles import ROLES
from drivers.simulated.faults import DEFAULT_RATES, LineFaults, parse_faults
from drivers.simulated.world import World

Run = Callable[..., "subprocess.CompletedProcess[str]"]
READINGS = {
    "mt-sics": {"weight_g"},
    "new-era-ne1000": {"state", "delivered_ml", "alarm"},
    "julabo": {"bath_c", "probe_c", "setpoint_c", "running", "alarm"},
    "hamilton-arc": {"ph", "temperature_c", "alarm"},
}


@pytest.mark.parametrize("type_name", sorted(READINGS))
def test_a_simulated_device_reads_good_and_leaves_no_link_behind(
    cellwright: Run, tmp_path: Path, type_name: str
) -> None:
    link = tmp_path / "twin"
    twin = subprocess.Popen([CELLWRIGHT, "device", "simulate", type_name, "--link", link, "--pace", "19200"])
    wait_until(link.exists, START_S, "the twin did not start")

    read = cellwright("device", "read", type_name, "--port", link, "--json")
    who = cellwright("device", "identify", type_name, "--port", link, "--json")
    twin.send_signal(signal.SIGTERM)

    lines = [json.loads(line) for line in read.stdout.splitlines()]
    assert read.returncode == 0, read.stderr
    assert {line["reading"] for line in lines} == READINGS[type_name]
    assert {line["quality"] for line in lines} == {"good"}
    assert json.loads(who.stdout)["model"]
    assert twin.wait(10) == 0
    assert not os.path.lexists(link)


def test_every_type_has_driver_twin_and_role() -> None:
    for entry in device_types():
        driver = driver_for(entry.name)("/dev/null")
        assert (entry.name, entry.role) == (driver.TYPE, driver.ROLE)
        assert entry.role in ROLES
        twin = twin_for(entry.name)(World())
        assert entry.name == twin.TYPE


def test_an_unknown_type_is_answered_with_the_known_ones(cellwright: Run) -> None:
    with pytest.raises(KeyError, match="julabo"):
        device_type("kettle")
    assert cellwright("device", "read", "kettle", "--port", "/dev/null").returncode == 2


def test_a_missing_port_is_bad_and_says_what_to_do(cellwright: Run, tmp_path: Path) -> None:
    said = cellwright("device", "read", "mt-sics", "--port", tmp_path / "nothing", "--json")

    assert said.returncode == 1
    assert json.loads(said.stdout)["fault"] == "line_lost"
    assert "Check the cable" in said.stderr


def test_orders_reach_the_bench_and_the_mass_balance_holds(
    cellwright: Run, bench_process: BenchProcess
) -> None:
    bench_process.do("bag_onto_balance", bag="dose")
    bench_process.do("connect", bag="dose")
    bench_process.do("load_syringe", volume_ml=10)
    order = ["device", "order", "new-era-ne1000", "--port", bench_process.port("pump"), "infuse"]

    said = cellwright(*order, "volume_ml=0.5", "rate_ml_min=25", "--json")

    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["result"] == {"volume_ml": "0.500", "rate_ml_min": "25.00"}
    wait_until(lambda: not bench_process.pump()["moving"], 5.0, "the run did not end")
    state = bench_process.do("state")
    assert state["bags"]["dose"]["volume_ml"] == pytest.approx(0.5)
    assert state["balance"]["gross_g"] == pytest.approx(12.5)
    assert state["pump"]["syringe_ml"] == pytest.approx(9.5)


@pytest.mark.parametrize("words", [["volume_ml"], ["volume_ml=1", "volume_ml=2"]])
def test_parameters_in_a_wrong_form_are_wrong_usage(cellwright: Run, words: list[str]) -> None:
    said = cellwright("device", "order", "new-era-ne1000", "--port", "/dev/null", "infuse", *words)

    assert said.returncode == 2


def test_hands_do_what_a_person_does_and_say_why_not(bench_process: BenchProcess) -> None:
    bench_process.do("bag_into_bath")
    bench_process.do("bag_out_of_bath")
    bench_process.do("bag_onto_balance", bag="patient")
    refused = bench_process.ask("bag_onto_balance", bag="dose")
    bench_process.do("take_sample", volume_ml=0.5)
    bench_process.do("wash", volume_ml=40)

    assert "take it away first" in refused["words"]
    assert bench_process.do("state")["bags"]["patient"]["volume_ml"] == 40
    bench_process.do("bag_off_balance")
    assert bench_process.do("state")["balance"]["gross_g"] == 0
    assert not bench_process.ask("dance")["ok"]
    assert not bench_process.ask("wash")["ok"]
    assert not bench_process.ask("fault", device="pump", fault="gremlins")["ok"]


def test_faults_are_the_same_for_the_same_seed() -> None:
    def bytes_of(seed: int) -> list[list[tuple[float, bytes]]]:
        faults = LineFaults(seed, parse_faults(["flip:0.5", "split", "duplicate"]))
        return [faults.reply(b"S S     100.00 g\r\n") for _ in range(50)]

    assert bytes_of(4) == bytes_of(4)
    assert bytes_of(4) != bytes_of(5)


@pytest.mark.parametrize("words", ["gremlins", "flip:2"])
def test_an_unknown_fault_is_refused_with_the_known_ones(words: str) -> None:
    with pytest.raises(ValueError, match=r"drop|between 0 and 1"):
        parse_faults([words])
    assert parse_faults(DEFAULT_RATES) == DEFAULT_RATES
