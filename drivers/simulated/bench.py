"""A bench of twins on pseudo-terminals that share one world, or one twin alone.

A balance, a syringe pump and a thawer stand on every bench; more twins of any type can stand beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from drivers.catalog import device_type, driver_for, twin_for
from drivers.simulated.faults import LineFaults
from drivers.simulated.fluids import SYRINGE_ML, TUBES
from drivers.simulated.hands import Hands, HandsSocket
from drivers.simulated.julabo import JulaboTwin
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.stand import Stand
from drivers.simulated.tcp_device import TcpDevice
from drivers.simulated.twin import Twin
from drivers.simulated.world import PAN, World

BALANCE_LINK, PUMP_LINK, THAWER_LINK = "balance", "pump", "thawer"
OWN_PACE = -1  # each line at the rate of its device
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_EXTRA = re.compile(rf"(?P<type>{NAME})(?:=(?P<link>{NAME}))?(?::(?P<settings>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """One more twin on a bench.

    `pan` is what it weighs if it is a balance, `first_channel` the tube that is its channel 1 if it is a
    pump; `settings` are those of its type.
    """

    type_name: str
    link: str
    pan: str = PAN
    first_channel: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)


def parse_extra(words: str) -> Extra:
    """Return what TYPE[=LINK][:key=value,...] asks for. A balance has a pan of its own, named as its link.

    Raises
    ------
    ValueError
        Words in another form, an unknown type, or a setting that the type does not have.
    """
    match = _EXTRA.fullmatch(words)
    if match is None:
        raise ValueError(f"One more device is written TYPE[=LINK][:key=value,...], not {words!r}.")
    type_name = match["type"]
    try:
        role = device_type(type_name).role
    except KeyError as error:
        raise ValueError(str(error.args[0])) from error
    link = match["link"] or type_name
    given: dict[str, str] = {}
    for pair in filter(None, (match["settings"] or "").split(",")):
        key, sign, value = pair.partition("=")
        if not sign or not key or key in given:
            raise ValueError(f"Settings are written key=value, each once, not {pair!r}.")
        given[key] = value
    pan = given.pop("pan", link if role == "balance" else PAN)
    channel = given.pop("first_channel", "1")
    if not channel.isdecimal() or not 1 <= int(channel) <= TUBES:
        raise ValueError(f"first_channel is a whole number from 1 to {TUBES}, not {channel!r}.")
    driver_for(type_name, given)  # refuses settings that the type does not have
    return Extra(type_name=type_name, link=link, pan=pan, first_channel=int(channel), settings=given)


@dataclass
class Bench:
    """Twins, their lines, and the hands that work with them."""

    world: World
    devices: dict[str, PtyDevice]
    hands: Hands


def make_bench(
    links: Path, *, seed: int = 0, speed: float = 1.0, extras: Sequence[Extra] = (), pace_baud: int = 0
) -> Bench:
    """Return a bench; its links are made once `serve` runs.

    Parameters
    ----------
    pace_baud
        0 sends at once, `OWN_PACE` at the rate of each device, else all lines at that rate.

    Raises
    ------
    ValueError
        Two devices with one link.
    """
    world = World(seed=seed, speed=speed)
    balance, pump, thawer = MtSicsTwin(world), NewEraTwin(world), JulaboTwin(world)
    twins: dict[str, Twin] = {BALANCE_LINK: balance, PUMP_LINK: pump, THAWER_LINK: thawer}
    for extra in extras:
        if extra.link in twins:
            raise ValueError(f"Two devices cannot both be {extra.link!r}; write TYPE=LINK with another name.")
        stand = Stand(world, pan=extra.pan, first_channel=extra.first_channel)
        twins[extra.link] = twin_for(extra.type_name, extra.settings)(stand)
        _set_up_tray(twins[extra.link], links / extra.link)
    devices = {
        name: PtyDevice(twin, links / name, faults=LineFaults(seed + index), pace_baud=_pace(twin, pace_baud))
        for index, (name, twin) in enumerate(twins.items())
    }
    return Bench(world, devices, Hands(world, devices, pump, balance))


def _pace(twin: Twin, pace_baud: int) -> int:
    if pace_baud != OWN_PACE:
        return pace_baud
    return driver_for(twin.TYPE, cast(dict[str, str], twin.settings))("").line.settings.baud_rate


def run_bench(
    links: Path,
    *,
    seed: int,
    speed: float,
    hands: Path | None,
    stop_asked: Callable[[], bool],
    extras: Sequence[Extra] = (),
    pace_baud: int = 0,
) -> None:
    """Serve a bench until asked to stop."""
    links.mkdir(parents=True, exist_ok=True)
    bench = make_bench(links, seed=seed, speed=speed, extras=extras, pace_baud=pace_baud)
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
    tcp_port: int | None = None,
) -> PtyDevice:
    """Return one twin in a world of its own: a bag on the pan, a full syringe, a bag in the bath.

    With `tcp_port` it stands behind that raw TCP port of this machine (0: any that is free).
    """
    world = World(seed=seed, speed=speed)
    world.syringe.volume_ml = SYRINGE_ML
    world.put("dose", "balance")
    world.put("patient", "bath")
    twin = twin_for(type_name, settings)(world)
    _set_up_tray(twin, link)
    faults = LineFaults(seed, rates)
    if tcp_port is not None:
        return TcpDevice(twin, link, faults=faults, number=tcp_port)
    return PtyDevice(twin, link, faults=faults, pace_baud=pace_baud)


def _set_up_tray(twin: Twin, link: Path) -> None:
    """What a printer puts out lies beside its line, in the folder LINK-tray."""
    if hasattr(twin, "tray"):
        twin.tray = link.with_name(f"{link.name}-tray")
