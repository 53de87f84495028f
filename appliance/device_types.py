"""What the catalogue of device types says of the devices that an appliance file names.

Role, settings, and what brings a device to a stand when its host is dead (SAFETY 3). `appliance.config`
knows no driver; the engine asks this module in a process of its own, `doctor` as it is.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.config import ConfigurationUnusable, Device, Home, UnitConfig, read_config
from drivers import ports
from drivers.catalog import DeviceType, device_type
from drivers.roles import ROLES
from drivers.settings import SettingRefused, settled
from drivers.tcp_wire import answers_at, is_tcp

RELAY_ROLE = "valve"


def read_checked(home: Home) -> UnitConfig:
    """Read `unit.toml` and hold its devices against the catalogue; raises `ConfigurationUnusable`."""
    return checked(read_config(home), home)


def checked(config: UnitConfig, home: Home) -> UnitConfig:
    """The same file, whose devices are what the catalogue knows; raises `ConfigurationUnusable`."""
    if faults := faults_of_types(config.devices):
        raise ConfigurationUnusable(home.unit_toml, faults)
    return config


def port_advice(port: str) -> str:
    """What to write in the place of a port's name that may come to mean another device; else nothing."""
    return ports.advice(port)


def is_there(port: str) -> bool:
    """Whether a port's path exists, or something takes a connection at a raw TCP port."""
    return answers_at(port) if is_tcp(port) else Path(port).exists()


def faults_of_types(devices: Sequence[Device]) -> list[str]:
    """What is wrong with the devices of a file, each with its key and what to write."""
    faults = []
    for number, device in enumerate(devices, 1):
        place = f"device[{number}]"
        if not device.has_line:
            continue  # run by people: the catalogue names it, and has no driver for it
        try:
            kind = device_type(device.type)
        except KeyError as unknown:
            faults.append(f"{place}.type: {unknown.args[0]}")
            continue
        if kind.role != device.role:
            faults.append(f"{place}.role: is {device.role!r}; a {device.type} is a {kind.role}")
        if is_tcp(device.port) and not kind.over_tcp:
            words = f"is {device.port!r}; a {device.type} stands at a serial line of this unit"
            faults.append(f"{place}.port: {words}: write its path")
        try:
            settled(kind.settings, device.settings)
        except SettingRefused as refused:
            faults.append(f"{place}.settings: {refused}")
        faults += [f"{place}.behind_relay: {words}" for words in _relay_faults(device, kind, devices)]
    return faults


def needs_relay(kind: DeviceType, settings: Mapping[str, str]) -> bool:
    """Whether nothing but a relay in its supply brings such a device to a stand."""
    return kind.stopped_by(settings) == "relay" and ROLES[kind.role].moves_product


def _relay_faults(device: Device, kind: DeviceType, devices: Sequence[Device]) -> list[str]:
    if not device.behind_relay:
        if not needs_relay(kind, device.settings):
            return []
        watchdog = f", set `{kind.watchdog_setting}`" if kind.watchdog_setting else ""
        return [
            f"is missing; a {device.type} has no watchdog and no end of a run, so when its host dies it goes "
            f"on. Name the relay that stands in its supply{watchdog}, or do not move product with it"
        ]
    relay = next((one for one in devices if one.id == device.behind_relay), None)
    if relay is None or relay is device:
        return [f"is {device.behind_relay!r}; write the id of the relay's own [[device]] in this file"]
    if relay.role != RELAY_ROLE or relay.safe_state != "stop":
        return [f"{relay.id!r} is no relay whose safe state is stop; name one of role {RELAY_ROLE}"]
    return []


def main(argv: Sequence[str]) -> int:
    """Print what is wrong with the devices of a home folder as one JSON list; 1 when anything is."""
    home = Home(Path(argv[0]))
    faults = faults_of_types(read_config(home).devices)
    print(json.dumps(faults, ensure_ascii=False))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
