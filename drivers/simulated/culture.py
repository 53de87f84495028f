"""Gas and culture in the twins' world: a gas line, an incubator, and the medium that a probe stands in."""

from __future__ import annotations

import math
from dataclasses import dataclass

GAS_SETTLING_S = 0.3
LINE_KPA = 200.0
ROOM_KPA = 101.3
MEDIUM_SETTLING_S = 120.0
CO2_AT_PH_7_2_PERCENT = 5.0
OXYGEN_IN_AIR_PERCENT = 20.9


def approach(value: float, target: float, seconds: float, settling_s: float) -> float:
    """Return where a value is that nears its target by 1/e in `settling_s`."""
    return target + (value - target) * math.exp(-seconds / settling_s)


@dataclass
class GasLine:
    """One metered gas into the incubator."""

    gas: str = "CO2"
    setpoint_ml_min: float = 0.0
    flow_ml_min: float = 0.0
    full_scale_ml_min: float = 100.0
    held_closed: bool = False
    supply_kpa: float = LINE_KPA

    @property
    def pressure_kpa(self) -> float:
        """The pressure at the meter: the supply's, less what the flow takes off."""
        return self.supply_kpa - 20.0 * self.flow_ml_min / self.full_scale_ml_min

    def step(self, seconds: float) -> None:
        """Let the valve follow its set-point."""
        open_valve = not self.held_closed and self.supply_kpa > ROOM_KPA
        target = self.setpoint_ml_min if open_valve else 0.0
        self.flow_ml_min = approach(self.flow_ml_min, target, seconds, GAS_SETTLING_S)


@dataclass
class Medium:
    """The culture as a probe sees it."""

    ph: float = 7.2
    oxygen_percent: float = 95.0  # of air saturation
    temperature_c: float = 37.0

    def step(self, seconds: float, *, co2_percent: float, around_c: float) -> None:
        """Follow gas and warmth: more CO2, more acid (Henderson-Hasselbalch at constant bicarbonate)."""
        ph = 7.2 - math.log10(max(co2_percent, 0.04) / CO2_AT_PH_7_2_PERCENT)
        self.ph = approach(self.ph, min(9.0, ph), seconds, MEDIUM_SETTLING_S)
        self.temperature_c = approach(self.temperature_c, around_c, seconds, MEDIUM_SETTLING_S)
