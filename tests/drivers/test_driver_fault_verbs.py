"""Fault verbs of the bench: each does what its name says, by seed and by hand."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from served_devices import served, wait_until

from drivers.balances.mt_sics import MtSicsBalance
from drivers.faults import DeviceFault
from drivers.pumps.new_era_ne1000 import NewEraPump
from drivers.simulated.faults import DEFAULT_RATES, LineFaults
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice, next_firmware
from drivers.simulated.world import World

REQUEST = b"SI\r\n"


@pytest.fixture
def balance(tmp_path: Path) -> Iterator[PtyDevice]:
    world = World(seed=1)
    world.put("dose", "balance")
    device = PtyDevice(MtSicsTwin(world), tmp_path / "balance", faults=LineFaults(3))
    with served(device):
        yield device


class Wire:
    """The bare end of a line, as a program sees it that knows no protocol."""

    def __init__(self, path: Path) -> None:
        self._end = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def ask(self, request: bytes, wait_s: float = 0.15) -> bytes:
        if request:
            os.write(self._end, request)
        got, deadline = b"", time.monotonic() + wait_s
        while (left_s := deadline - time.monotonic()) > 0 and not got.endswith(b"\r\n"):
            if select.select([self._end], [], [], left_s)[0]:
                got += os.read(self._end, 4096)
        return got

    def close(self) -> None:
        os.close(self._end)


@pytest.fixture
def wire(balance: PtyDevice) -> Iterator[Wire]:
    opened = Wire(balance.link)
    yield opened
    opened.close()


def befallen(seed: int, requests: int) -> list[str]:
    faults = LineFaults(seed, {name: 0.05 for name in DEFAULT_RATES})
    told = []
    for number in range(requests):
        told.append(faults.of_the_device())
        told.append(repr(faults.request(REQUEST, number * 10.0)))
        told.append(repr(faults.reply(b"S S     100.00 g\r\n")))
    return told


def test_the_same_seed_and_requests_meet_the_same_faults():
    assert befallen(7, 300) == befallen(7, 300)
    assert befallen(7, 300) != befallen(8, 300)


@pytest.mark.parametrize("name", sorted(DEFAULT_RATES))
def test_a_fault_strikes_within_some_tens_of_requests_at_its_own_rate(name):
    faults = LineFaults(5, {name: DEFAULT_RATES[name]})
    for number in range(150):
        faults.of_the_device()
        faults.request(REQUEST, number * 10.0)
        faults.echo(REQUEST)
        faults.reply(b"S S     100.00 g\r\n")

    assert faults.struck > 0 or (name == "stuck" and faults.stuck) or (name == "drift" and faults.drifting)


def test_an_unplugged_device_comes_back_under_another_name_and_keeps_what_it_held(balance, wire):
    assert wire.ask(b"TA 5.00 g\r\n") == b"TA A       5.00 g\r\n"
    before = balance.link.readlink()

    balance.fault("unplug", for_s=0.2)

    wait_until(lambda: not balance.link.exists(), 2.0, "the link stayed")
    wait_until(balance.link.exists, 2.0, "it did not come back")
    assert balance.link.readlink() != before
    again = Wire(balance.link)
    assert again.ask(b"TA\r\n") == b"TA A       5.00 g\r\n"
    again.close()
    with pytest.raises(OSError):
        wire.ask(REQUEST)
        wire.ask(REQUEST)


def test_a_frozen_device_answers_nothing_until_it_wakes(balance, wire):
    balance.fault("freeze")

    assert wire.ask(REQUEST) == b""
    balance.fault("none")
    assert wire.ask(b"").startswith(b"S ")


def test_a_frozen_pump_goes_on_pumping(tmp_path: Path):
    world = World()
    world.load_syringe(50)
    device = PtyDevice(NewEraTwin(world), tmp_path / "pump")
    with served(device):
        pump = NewEraPump(str(device.link))
        pump.open()
        pump.order("infuse", {"volume_ml": "10", "rate_ml_min": "5"})
        before = world.syringe.infused_ml

        device.fault("freeze")
        with pytest.raises(DeviceFault):
            pump.read()

        world.advance()
        assert world.motion.moving
        assert world.syringe.infused_ml > before
        device.fault("none")
        pump.stop()
        pump.close()
    assert not world.motion.moving


def test_a_brown_out_takes_what_is_volatile_and_says_nothing(balance, wire):
    wire.ask(b"TA 5.00 g\r\n")

    balance.fault("brown_out")

    assert wire.ask(b"", wait_s=0.05) == b""
    assert wire.ask(b"TA\r\n") == b"TA A       0.00 g\r\n"


def test_another_firmware_shows_at_the_next_restart(balance, wire):
    before = wire.ask(b"I3\r\n")

    balance.fault("firmware")
    assert wire.ask(b"I3\r\n") == before
    balance.fault("restart")
    assert wire.ask(b"").startswith(b"I4 A")

    after = wire.ask(b"I3\r\n")
    assert after != before
    assert len(after) == len(before)


@pytest.mark.parametrize(
    ("version", "following"), [("3.923", "3.924"), ("1.1.9", "1.1.0"), ("V2b", "V3b"), ("", "")]
)
def test_the_next_firmware_has_the_form_of_the_one_before(version, following):
    assert next_firmware(version) == following


def test_a_flooding_device_talks_without_being_asked_until_it_is_told_to_end(balance, wire):
    balance.fault("flood")
    first, second = wire.ask(b"", 0.05), wire.ask(b"", 0.05)
    balance.fault("none")

    assert len(first) + len(second) >= 512
    time.sleep(0.03)
    wait_until(lambda: not wire.ask(b"", 0.03), 2.0, "it goes on talking")


def test_a_drifting_balance_runs_away_from_what_stands_on_it(tmp_path: Path):
    world = World(speed=200)
    world.put("dose", "balance")
    device = PtyDevice(MtSicsTwin(world), tmp_path / "balance")
    with served(device):
        driver = MtSicsBalance(str(device.link))
        driver.open()
        first = driver.read()[0].value

        device.fault("drift")
        driver.read()
        time.sleep(0.5)
        later = driver.read()[0].value
        driver.close()

    assert float(str(later)) > float(str(first)) * 1.05


def test_hands_at_the_bench_let_each_fault_happen(bench_process):
    for fault in DEFAULT_RATES:
        assert bench_process.ask("fault", device="thawer", fault=fault, seconds=0.05)["ok"], fault
        bench_process.do("fault", device="thawer", fault="none")
    assert not bench_process.ask("fault", device="thawer", fault="gremlins")["ok"]
