"""What the catalogue of device types says of the devices that an appliance file names.

The file is held against it once, when it is read: role, settings, and what brings a device to a stand
when its host is dead (SAFETY 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from drivers.catalog import DeviceType, device_type
from drivers.roles import ROLES
from drivers.settings import SettingRefused, settled

if TYPE_CHECKING:
    from appliance.config import Device

RELAY_ROLE = "valve"


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
