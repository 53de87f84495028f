"""Device types: which driver, which role, how it stops when left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from drivers.roles import Driver


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceType:
    """One line of the catalogue. Driver and twin are named as "module:class" and loaded when asked for."""

    name: str
    role: str
    device: str
    driver: str
    twin: str
    dead_man: str
    verified_on_hardware: str = "none yet"


DEVICE_TYPES: tuple[DeviceType, ...] = (
    DeviceType(
        name="mt-sics",
        role="balance",
        device="Mettler-Toledo balances with MT-SICS",
        driver="drivers.balances.mt_sics:MtSicsBalance",
        twin="drivers.simulated.mt_sics:MtSicsTwin",
        dead_man="none needed: nothing moves",
    ),
    DeviceType(
        name="new-era-ne1000",
        role="pump",
        device="New Era NE-1000 family syringe pumps",
        driver="drivers.pumps.new_era_ne1000:NewEraPump",
        twin="drivers.simulated.new_era_ne1000:NewEraTwin",
        dead_man="Safe-mode watchdog, 2 s; each run is bounded by its volume",
    ),
    DeviceType(
        name="julabo",
        role="thermostat",
        device="Julabo circulators",
        driver="drivers.temperature.julabo:JulaboCirculator",
        twin="drivers.simulated.julabo:JulaboTwin",
        dead_man="keeps its set-point: stopping a bath is a hazard too",
    ),
)


def device_type(name: str) -> DeviceType:
    """Return the catalogue's line for a type.

    Raises
    ------
    KeyError
        No such type; the message lists the types there are.
    """
    for entry in DEVICE_TYPES:
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in DEVICE_TYPES)
    raise KeyError(f"There is no device type {name!r}. Known types: {known}.")


def driver_for(type_name: str) -> Callable[[str], Driver]:
    """Return what makes a driver of that type from the path of a port."""
    module_name, _, class_name = device_type(type_name).driver.partition(":")
    return cast(Callable[[str], Driver], getattr(import_module(module_name), class_name))
