"""Gas and culture in the twins' world: a gas line, a headspace, and the medium that a probe stands in.

Where each constant comes from stands in docs/devices/bench.md; those marked as a choice there are
plausible, not measured. All steps are closed solutions or clamped, so that no step overshoots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from drivers.simulated.fluids import Bag, Solutes
from drivers.simulated.thermal import approach

GAS_SETTLING_S = 0.3
LINE_KPA = 200.0
ROOM_KPA = 101.3
HEADSPACE_ML = 1000.0
LEAK_ML_MIN = 100.0
GAS_EXCHANGE_S = 120.0  # between headspace and medium: 30 /h
CO2_AT_PH_7_2_PERCENT = 5.0
OXYGEN_IN_AIR_PERCENT = 20.9
CO2_IN_AIR_PERCENT = 0.04

PH_SET = 7.2  # at 5 % CO2 and without lactate
BICARBONATE_MMOL_L = 13.8  # in balance with 5 % CO2 at pH 7.2 and 37 °C (pK 6.1)
BUFFER_MMOL_L_PH = 25.0  # serum and HEPES beside it
PH_MIN, PH_MAX = 4.0, 9.5

GLUCOSE_USE_MMOL_E9_H = 0.10
LACTATE_YIELD = 1.7
OXYGEN_USE_MMOL_E9_H = 0.20
OXYGEN_AT_AIR_MMOL_L = 0.20
HALF_GLUCOSE_MMOL_L = 0.2
HALF_OXYGEN_PERCENT = 2.0
STARVING_DEATH_H = 0.083
DEBRIS_CLEARED_H = 0.01
BODY_C, COLD_SPAN_C, WARM_SPAN_C = 37.0, 7.0, 3.0  # no growth beyond these spans
HEAT_DEATH_ABOVE_C, HEAT_DEATH_H = 39.0, 0.02  # doubles with each degree
PH_FULL_GROWTH, PH_NO_GROWTH = 6.8, 6.4


@dataclass(frozen=True)
class GasMix:
    """What a gas consists of; the rest is nitrogen."""

    co2_percent: float
    oxygen_percent: float


AIR = GasMix(CO2_IN_AIR_PERCENT, OXYGEN_IN_AIR_PERCENT)
CABINET = GasMix(CO2_AT_PH_7_2_PERCENT, OXYGEN_IN_AIR_PERCENT * (1 - CO2_AT_PH_7_2_PERCENT / 100))
INERT = GasMix(0.0, 0.0)
GASES: Mapping[str, GasMix] = {
    "co2": GasMix(100.0, 0.0),
    "air": AIR,
    "o2": GasMix(0.0, 100.0),
    "n2": INERT,
}


@dataclass
class GasLine:
    """One metered gas into the incubator.

    `gas` is what the meter takes it for, `supplied` what the cylinder holds.
    """

    gas: str = "CO2"
    supplied: str = "CO2"
    setpoint_ml_min: float = 0.0
    flow_ml_min: float = 0.0
    full_scale_ml_min: float = 100.0
    held_closed: bool = False
    supply_kpa: float = LINE_KPA
    metered_ml: float = 0.0  # since the world began

    @property
    def pressure_kpa(self) -> float:
        """The pressure at the meter: the supply's, less what the flow takes off."""
        return self.supply_kpa - 20.0 * self.flow_ml_min / self.full_scale_ml_min

    @property
    def mix(self) -> GasMix:
        """What flows, in truth."""
        return GASES.get(self.supplied.lower(), INERT)

    def step(self, seconds: float) -> None:
        """Let the valve follow its set-point, and count what passes meanwhile."""
        open_valve = not self.held_closed and self.supply_kpa > ROOM_KPA
        target = self.setpoint_ml_min if open_valve else 0.0
        before, self.flow_ml_min = (
            self.flow_ml_min,
            approach(self.flow_ml_min, target, seconds, GAS_SETTLING_S),
        )
        # The integral of the closed solution: exact however often somebody looks.
        settled = (before - self.flow_ml_min) * GAS_SETTLING_S
        self.metered_ml += (target * seconds + settled) / 60


@dataclass
class Headspace:
    """The gas over the culture: flushed by the metered gas, leaking to what is around it."""

    volume_ml: float = HEADSPACE_ML
    leak_ml_min: float = LEAK_ML_MIN
    around: GasMix = CABINET
    co2_percent: float = CABINET.co2_percent
    oxygen_percent: float = CABINET.oxygen_percent

    def step(self, seconds: float, *, inflow_ml: float, inflow: GasMix) -> None:
        """Mix what came in during a while, and lose as much."""
        flow = inflow_ml / seconds * 60
        total = flow + self.leak_ml_min
        if total <= 0:
            return
        settling_s = self.volume_ml / total * 60
        share = flow / total
        co2 = self.around.co2_percent + share * (inflow.co2_percent - self.around.co2_percent)
        oxygen = self.around.oxygen_percent + share * (inflow.oxygen_percent - self.around.oxygen_percent)
        self.co2_percent = approach(self.co2_percent, co2, seconds, settling_s)
        self.oxygen_percent = approach(self.oxygen_percent, oxygen, seconds, settling_s)

    @property
    def mix(self) -> GasMix:
        """What the headspace holds."""
        return GasMix(self.co2_percent, self.oxygen_percent)


@dataclass(frozen=True)
class Kinetics:
    """How the cells of one patient grow: logistic, after a lag, with more death at first."""

    growth_h: float
    capacity_cells: float
    lag_h: float
    death_early_h: float
    death_late_h: float
    early_h: float = 24.0  # after the lag

    def death_h(self, age_h: float) -> float:
        """Return the death rate at an age."""
        return self.death_early_h if age_h < self.lag_h + self.early_h else self.death_late_h


PATIENTS: Mapping[str, Kinetics] = {
    "typical": Kinetics(0.034, 4.0e9, 30.0, 0.006, 0.0015),
    "slow": Kinetics(0.022, 3.5e9, 48.0, 0.008, 0.003),
    "failing": Kinetics(0.013, 3.0e9, 60.0, 0.012, 0.007),
}


@dataclass
class Medium:
    """The culture in a bag, as its cells live in it and as a probe sees it."""

    vessel: Bag
    co2_percent: float = CO2_AT_PH_7_2_PERCENT  # of a gas that the medium would be in balance with
    oxygen_percent: float = 95.0  # of air saturation
    ph: float = PH_SET
    age_h: float = 0.0  # since seeding, at 37 °C
    kinetics: Kinetics = PATIENTS["typical"]
    glucose_used_mmol: float = 0.0
    lactate_made_mmol: float = 0.0
    cells_born: float = 0.0
    cells_cleared: float = 0.0
    _titrated: tuple[float, float] = field(default=(CO2_AT_PH_7_2_PERCENT, 0.0), repr=False)

    @property
    def temperature_c(self) -> float:
        """The temperature of the medium."""
        return self.vessel.heat.temperature_c

    def seed(self, viable: float, dead: float, kinetics: Kinetics) -> None:
        """Take up fresh cells; their lag begins."""
        self.vessel.solutes.add(Solutes(viable_cells=viable, dead_cells=dead))
        self.age_h, self.kinetics = 0.0, kinetics

    def step(self, seconds: float, air: GasMix) -> None:
        """Follow the gas above for a while, and let the cells live."""
        self.co2_percent = approach(self.co2_percent, air.co2_percent, seconds, GAS_EXCHANGE_S)
        ceiling = air.oxygen_percent / OXYGEN_IN_AIR_PERCENT * 100
        level = max(0.0, ceiling - self._oxygen_drawn_percent())
        self.oxygen_percent = approach(self.oxygen_percent, level, seconds, GAS_EXCHANGE_S)
        if self.vessel.solutes.viable_cells > 0 or self.vessel.solutes.dead_cells > 0:
            self._live(seconds / 3600)
        self._titrate()

    def mmol_l(self, amount_mmol: float) -> float:
        """Return a concentration; an empty bag has none."""
        return amount_mmol / self.vessel.volume_ml * 1000 if self.vessel.volume_ml > 0 else 0.0

    def _pace(self) -> float:
        """How fast life goes on, against 37 °C: half for each 10 °C less, not at all when frozen."""
        below_c = BODY_C - self.temperature_c
        return 0.0 if self.temperature_c <= 0 else 2.0 ** (-below_c / 10)

    def _oxygen_drawn_percent(self) -> float:
        """By how much the cells hold the oxygen below the balance with the gas above."""
        solutes = self.vessel.solutes
        if solutes.viable_cells <= 0:
            return 0.0
        per_l_h = self.mmol_l(OXYGEN_USE_MMOL_E9_H * solutes.viable_cells / 1e9) * self._pace()
        return per_l_h * (GAS_EXCHANGE_S / 3600) / OXYGEN_AT_AIR_MMOL_L * 100

    def _live(self, hours: float) -> None:
        solutes, kinetics, pace = self.vessel.solutes, self.kinetics, self._pace()
        glucose = self.mmol_l(solutes.glucose_mmol)
        fed = _hill(glucose, HALF_GLUCOSE_MMOL_L) * _hill(self.oxygen_percent, HALF_OXYGEN_PERCENT)
        viable = solutes.viable_cells
        growth = 0.0
        if self.age_h >= kinetics.lag_h:
            growth = kinetics.growth_h * (1 - viable / kinetics.capacity_cells) * self._warmth() * fed
            growth *= min(1.0, max(0.0, (self.ph - PH_NO_GROWTH) / (PH_FULL_GROWTH - PH_NO_GROWTH)))
        death = pace * (kinetics.death_h(self.age_h) + STARVING_DEATH_H * (1 - fed)) + self._heat_death()
        change = (growth - death) * hours
        mean = viable * math.expm1(change) / change if change else viable
        solutes.viable_cells = viable * math.exp(change)
        self.cells_born += growth * mean * hours
        cleared = solutes.dead_cells * -math.expm1(-DEBRIS_CLEARED_H * pace * hours)
        solutes.dead_cells += death * mean * hours - cleared
        self.cells_cleared += cleared
        used = GLUCOSE_USE_MMOL_E9_H * mean / 1e9 * pace * hours * _hill(glucose, HALF_GLUCOSE_MMOL_L)
        used = min(used, solutes.glucose_mmol)
        solutes.glucose_mmol -= used
        solutes.lactate_mmol += LACTATE_YIELD * used
        self.glucose_used_mmol += used
        self.lactate_made_mmol += LACTATE_YIELD * used
        self.age_h += hours * pace

    def _warmth(self) -> float:
        off = self.temperature_c - BODY_C
        return max(0.0, 1 - (off / (WARM_SPAN_C if off > 0 else COLD_SPAN_C)) ** 2)

    def _heat_death(self) -> float:
        too_warm_c = self.temperature_c - HEAT_DEATH_ABOVE_C
        return HEAT_DEATH_H * (2.0 ** min(too_warm_c, 10.0) - 1) if too_warm_c > 0 else 0.0

    def _titrate(self) -> None:
        """Find the pH at which bicarbonate and buffer take up the lactic acid.

        Henderson-Hasselbalch gives the bicarbonate from CO2 and pH; each mol of lactic acid takes one
        mol of base. Both sides rise with the pH, so that Newton's steps end.
        """
        lactate = self.mmol_l(self.vessel.solutes.lactate_mmol)
        if (self.co2_percent, lactate) == self._titrated:
            return
        self._titrated = (self.co2_percent, lactate)
        at_set = BICARBONATE_MMOL_L * max(self.co2_percent, 0.01) / CO2_AT_PH_7_2_PERCENT
        base = BICARBONATE_MMOL_L - lactate
        off = self.ph - PH_SET
        for _ in range(8):
            bicarbonate = at_set * 10.0**off
            missing = base - bicarbonate - BUFFER_MMOL_L_PH * off
            off += max(-1.0, min(1.0, missing / (bicarbonate * math.log(10) + BUFFER_MMOL_L_PH)))
            if abs(missing) < 1e-9:
                break
        self.ph = min(PH_MAX, max(PH_MIN, PH_SET + off))


def _hill(level: float, half: float) -> float:
    """The share of full speed at a level of food; squared, so that plenty hardly limits."""
    return level * level / (level * level + half * half)
