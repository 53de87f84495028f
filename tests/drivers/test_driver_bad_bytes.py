"""Bad bytes never become a reading that decides anything (SAFETY 6).

Every driver reads its twin through every fault of the line, by seed. All of them run side by side,
because nearly all of their time is waiting; each test then looks at one of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest
from served_devices import served

from drivers.catalog import device_types, driver_for, twin_for
from drivers.faults import DeviceFault, DeviceRestarted
from drivers.roles import BALANCE, THERMOSTAT, Driver
from drivers.simulated.faults import LineFaults, parse_faults
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World

# Reads by fault; those that wait for time-outs get fewer.
READS = {
    "drop": 120,
    "flip": 100,
    "split": 80,
    "merge": 40,
    "late": 40,
    "duplicate": 200,
    "echo": 120,
    "stuck": 50,
    "silent": 50,
    "restart": 100,
    "one_way": 20,
}
SHARPER = {"one_way": "one_way:0.3", "restart": "restart:0.05"}
READ_S_MAX = 1.0
SCHEDULING_S = 1.0  # what a loaded test machine may add to a wait
TRUE_SETPOINT_C = Decimal("37.00")
RATE_ML_MIN = 2.0


@dataclass
class Outcome:
    """What came of many reads of one device through one fault."""

    good: int = 0
    false: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    struck: int = 0


def make_world() -> World:
    world = World(seed=5)
    world.load_syringe(60.0)
    world.put("dose", "balance")
    world.bag("dose").volume_ml = 35.3
    return world


def truth(world: World, name: str) -> tuple[Decimal, Decimal] | None:
    """What a quantity is in truth, and how far a good reading may be off."""
    weight, bath, probe = (
        quantity.agreement
        for quantity in (
            BALANCE.quantity("weight_g"),
            THERMOSTAT.quantity("bath_c"),
            THERMOSTAT.quantity("probe_c"),
        )
    )
    assert weight is not None
    assert bath is not None
    assert probe is not None
    world.advance()
    known = {
        "weight_g": (world.gross_g_true(), weight.limit(0.05)),
        "bath_c": (world.bath.temperature_c, bath.limit(0.05)),
        "probe_c": (world.bag("patient").heat.temperature_c, probe.limit(0.05)),
        "setpoint_c": (float(TRUE_SETPOINT_C), Decimal(0)),
        # Delivered volume grows: a reading may be as old as the slowest read.
        "delivered_ml": (
            world.motion.dispensed_ml[True],
            Decimal(str(RATE_ML_MIN / 60 * (READ_S_MAX + SCHEDULING_S))) + Decimal("0.002"),
        ),
    }
    if name not in known:
        return None
    value, allowed = known[name]
    return Decimal(str(round(value, 4))), allowed


def read_many(type_name: str, fault: str, folder: Path) -> Outcome:
    world, outcome = make_world(), Outcome()
    twin = PtyDevice(twin_for(type_name)(world), folder / f"{type_name}-{fault}", faults=LineFaults(11))
    driver = driver_for(type_name)(str(twin.link))
    with served(twin):
        driver.open()
        if type_name == "new-era-ne1000":
            driver.order("infuse", {"volume_ml": "50", "rate_ml_min": str(RATE_ML_MIN)})
        twin.faults.rates = parse_faults([SHARPER.get(fault, fault)])
        reads = READS[fault] // 5 if type_name == "julabo" else READS[fault]
        for _ in range(reads):
            read_once(driver, world, outcome)
        outcome.struck = twin.faults.struck
        twin.faults.set("none")
        driver.close()
    return outcome


def read_once(driver: Driver, world: World, outcome: Outcome) -> None:
    began = time.monotonic()
    try:
        readings = driver.read()
    except DeviceRestarted as restarted:
        outcome.faults.append(restarted.kind)
        return
    except DeviceFault as fault:
        outcome.faults.append(fault.kind)
        return
    finally:
        outcome.slowest_s = max(outcome.slowest_s, time.monotonic() - began)
    for reading in readings:
        if reading.quality != "good":
            continue
        outcome.good += 1
        known = truth(world, reading.name)
        if known and isinstance(reading.value, Decimal) and abs(reading.value - known[0]) > known[1]:
            outcome.false.append(f"{reading.name} {reading.value} in place of {known[0]}")


Outcomes = dict[tuple[str, str], "Future[Outcome]"]
CASES = [(type_name, fault) for type_name in [one.name for one in device_types()] for fault in READS]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    folder = tmp_path_factory.mktemp("lines")
    with ThreadPoolExecutor(max_workers=len(CASES)) as pool:
        yield {case: pool.submit(read_many, *case, folder) for case in CASES}


@pytest.mark.parametrize(("type_name", "fault"), CASES)
def test_bad_bytes_never_become_a_good_reading(outcomes: Outcomes, type_name: str, fault: str) -> None:
    outcome = outcomes[type_name, fault].result()

    if fault != "stuck":  # A stuck value agrees with itself: only a cross-check finds it (SAFETY 6).
        assert outcome.struck > 0, "the fault must have struck"
        if (type_name, fault) != ("julabo", "restart"):  # Its set-point is in truth another afterwards.
            assert outcome.false == []
    assert outcome.slowest_s <= READ_S_MAX + SCHEDULING_S
    if fault not in ("one_way", "silent"):
        assert outcome.good > 0, outcome.faults


@pytest.mark.parametrize("type_name", ["mt-sics", "new-era-ne1000"])
def test_a_restart_among_many_reads_is_told(outcomes: Outcomes, type_name: str) -> None:
    assert "restarted" in outcomes[type_name, "restart"].result().faults
