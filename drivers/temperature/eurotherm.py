"""The two languages of Eurotherm controllers: Modbus RTU, and EI-Bisynch on older units."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.roles import Driver
from drivers.temperature.eurotherm_3200 import EurothermController
from drivers.temperature.eurotherm_bisynch import BisynchController


def eurotherm(port: str, settings: Mapping[str, str] | None = None) -> Driver:
    """Return the driver that speaks what the setting `protocol` says."""
    if (settings or {}).get("protocol") == "bisynch":
        return BisynchController(port, settings)
    return EurothermController(port, settings)
