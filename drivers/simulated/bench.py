"""A bench of twins on pseudo-terminals that share one world, or one twin alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from drivers.catalog import twin_for
from drivers.simulated.faults import LineFaults
from drivers.simulated.fluids import SYRINGE_ML
from drivers.simulated.hands import Hands, HandsSocket
from drivers.simulated.julabo import JulaboTwin
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

BALANCE_LINK, PUMP_LINK, THAWER_LINK = "balance", "pump", "thawer"


@dataclass
class Bench:
    """Three twins, their lines, and the hands that work with them."""

    world: World
    devices: dict[str, PtyDevice]
    hands: Hands


def make_bench(links: Path, *, seed: int = 0, speed: float = 1.0) -> Bench:
    """Return a bench; its links are made once `serve` runs."""
    world = World(seed=seed, speed=speed)
    balance, pump, thawer = MtSicsTwin(world), NewEraTwin(world), JulaboTwin(world)
    twins: dict[str, Twin] = {BALANCE_LINK: balance, PUMP_LINK: pump, THAWER_LINK: thawer}
    devices = {
        name: PtyDevice(twin, links / name, faults=LineFaults(seed + index))
        for index, (name, twin) in enumerate(twins.items())
    }
    return Bench(world, devices, Hands(world, devices, pump, balance))


def run_bench(
    links: Path, *, seed: int, speed: float, hands: Path | None, stop_asked: Callable[[], bool]
) -> None:
    """Serve a bench until asked to stop."""
    links.mkdir(parents=True, exist_ok=True)
    bench = make_bench(links, seed=seed, speed=speed)
    hands_socket = HandsSocket(hands, bench.hands) if hands else None
    try:
        services = hands_socket.services if hands_socket else list
        serve(list(bench.devices.values()), services, stop_asked)
    finally:
        if hands_socket:
            hands_socket.close()


def lone_device(
    type_name: str,
    link: Path,
    *,
    seed: int = 0,
    speed: float = 1.0,
    rates: dict[str, float] | None = None,
    pace_baud: int = 0,
    settings: Mapping[str, str] | None = None,
) -> PtyDevice:
    """Return one twin in a world of its own: a bag on the pan, a full syringe, a bag in the bath."""
    world = World(seed=seed, speed=speed)
    world.syringe.volume_ml = SYRINGE_ML
    world.put("dose", "balance")
    world.put("patient", "bath")
    twin = twin_for(type_name, settings)(world)
    return PtyDevice(twin, link, faults=LineFaults(seed, rates), pace_baud=pace_baud)
