"""An order over a bad line is done once or not at all; what the driver says of it is true (SAFETY 4)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served_devices import served

from drivers.catalog import driver_for, twin_for
from drivers.faults import DeviceFault, DeviceRefused
from drivers.simulated.faults import LineFaults, parse_faults
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.world import World

SEEDS = range(12)
BAD_LINE = ["drop:0.04", "flip:0.04", "late:0.04", "duplicate:0.06", "echo:0.03", "merge:0.03", "split:0.06"]
VOLUME_ML = 0.2
RUN_S = 0.6  # a run of that volume at 24 mL/min takes 0.5 s; the watchdog waits for longer

Ordered = tuple[str, World, PtyDevice]


def ordered(type_name: str, name: str, parameters: dict[str, str], seed: int, folder: Path) -> Ordered:
    """Give one order over a bad line; tell what the driver says of it, and what is so in truth."""
    world = World(seed=seed)
    world.load_syringe(60.0)
    world.put("dose", "balance")
    twin = PtyDevice(twin_for(type_name)(world), folder / f"{type_name}-{seed}", faults=LineFaults(seed))
    driver = driver_for(type_name)(str(twin.link))
    with served(twin):
        driver.open()
        twin.faults.rates = parse_faults(BAD_LINE)
        try:
            driver.order(name, parameters)
            said = "confirmed"
        except DeviceRefused:
            said = "refused"
        except DeviceFault:
            said = "unknown"
        time.sleep(RUN_S)
        twin.faults.set("none")
        driver.close()
    world.advance()
    return said, world, twin


def ordered_by_each_seed(
    type_name: str, name: str, parameters: dict[str, str], folder: Path
) -> list[Ordered]:
    with ThreadPoolExecutor(max_workers=len(SEEDS)) as pool:
        futures = [pool.submit(ordered, type_name, name, parameters, seed, folder) for seed in SEEDS]
        return [future.result() for future in futures]


def test_an_infusion_is_delivered_once_or_not_at_all(tmp_path: Path) -> None:
    parameters = {"volume_ml": str(VOLUME_ML), "rate_ml_min": "24"}

    outcomes = ordered_by_each_seed("new-era-ne1000", "infuse", parameters, tmp_path)

    allowed_ml = {"confirmed": {VOLUME_ML}, "refused": {0.0}, "unknown": {0.0, VOLUME_ML}}
    for said, world, _ in outcomes:
        assert round(world.syringe.infused_ml, 6) in allowed_ml[said], said
    assert any(said == "confirmed" for said, _, _ in outcomes)


def test_a_confirmed_tare_is_a_true_one(tmp_path: Path) -> None:
    outcomes = ordered_by_each_seed("mt-sics", "tare", {}, tmp_path)

    for said, world, device in outcomes:
        assert isinstance(device.twin, MtSicsTwin)
        if said == "confirmed":
            assert device.twin.tare_g == pytest.approx(world.gross_g_true(), abs=0.05)
    assert any(said == "confirmed" for said, _, _ in outcomes)


def test_a_confirmed_set_point_is_a_true_one(tmp_path: Path) -> None:
    outcomes = ordered_by_each_seed("julabo", "set", {"setpoint_c": "38.25"}, tmp_path)

    for said, world, _ in outcomes:
        if said == "confirmed":
            assert world.bath.setpoint_c == 38.25
    assert any(said == "confirmed" for said, _, _ in outcomes)
