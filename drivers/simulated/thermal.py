"""Heat in the twins' world: a bag that thaws, a bath that holds its set-point.

The bag is one lump with an enthalpy. Its constants are chosen for the timing of a 50 mL bag in a
37 °C bath (about 170 s from -150 °C to the melting plateau, about 85 s on it), not for the physics
of a cryoprotectant; the plateau is what a thaw phase must cope with.

Each step is the closed solution for surroundings that stand still meanwhile, so that no step, however
long, overshoots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MELTING_C = -0.5
ICE_J_PER_G_K = 2.0
LIQUID_J_PER_G_K = 4.0
LATENT_J_PER_G = 64.0
EDGE_J_PER_G = 1e-9  # nearer than this to all ice or all liquid is at it
BATH_W_PER_K = 0.95
AIR_W_PER_K = 0.02
INCUBATOR_W_PER_K = 3.0  # a bag on a warmed tray
ROOM_C = 22.0
EMPTY_G = 0.1  # a bag with less content follows its surroundings

BATH_RATE_C_S_MAX = 0.1
BATH_APPROACH_S = 20.0
BATH_COOLING_S = 3600.0


def approach(value: float, target: float, seconds: float, settling_s: float) -> float:
    """Return where a value is that nears its target to 1/e in `settling_s`."""
    return target + (value - target) * math.exp(-seconds / settling_s)


@dataclass
class BagHeat:
    """How much heat a bag's content holds, per gram, counted from solid at the melting point."""

    joule_per_g: float

    @classmethod
    def at(cls, temperature_c: float) -> BagHeat:
        """Return the heat of a content at one temperature: all ice below the melting point."""
        above = temperature_c - MELTING_C
        if above <= 0:
            return cls(above * ICE_J_PER_G_K)
        return cls(LATENT_J_PER_G + above * LIQUID_J_PER_G_K)

    @property
    def temperature_c(self) -> float:
        """The temperature; it stands at the melting point while ice and liquid are both there."""
        if self.joule_per_g <= 0:
            return MELTING_C + self.joule_per_g / ICE_J_PER_G_K
        if self.joule_per_g <= LATENT_J_PER_G:
            return MELTING_C
        return MELTING_C + (self.joule_per_g - LATENT_J_PER_G) / LIQUID_J_PER_G_K

    @property
    def frozen_fraction(self) -> float:
        """The part of the content that is ice, 0 to 1."""
        return min(1.0, max(0.0, 1.0 - self.joule_per_g / LATENT_J_PER_G))

    def warm(self, *, around_c: float, watt_per_k: float, mass_g: float, seconds: float) -> None:
        """Let heat flow for a while; a bag without content follows its surroundings."""
        if mass_g < EMPTY_G:
            self.joule_per_g = BagHeat.at(around_c).joule_per_g
            return
        while seconds > 0 and self.temperature_c != around_c:
            seconds -= self._warm_in_one_state(around_c, watt_per_k / mass_g, seconds)

    def mix(self, *, own_g: float, added_g: float, added: BagHeat) -> None:
        """Take up content of another temperature."""
        if own_g + added_g > 0 and added.joule_per_g != self.joule_per_g:
            total = own_g * self.joule_per_g + added_g * added.joule_per_g
            self.joule_per_g = total / (own_g + added_g)

    def _warm_in_one_state(self, around_c: float, watt_per_k_g: float, seconds: float) -> float:
        """Warm or cool until time is up, or to the edge of ice, plateau or liquid; return the time used."""
        warming = around_c > self.temperature_c
        if self.joule_per_g < -EDGE_J_PER_G or (self.joule_per_g <= 0 and not warming):
            return self._near(around_c, ICE_J_PER_G_K, 0.0, watt_per_k_g, seconds)
        if self.joule_per_g > LATENT_J_PER_G + EDGE_J_PER_G or (
            self.joule_per_g >= LATENT_J_PER_G and warming
        ):
            return self._near(around_c, LIQUID_J_PER_G_K, LATENT_J_PER_G, watt_per_k_g, seconds)
        flow = watt_per_k_g * (around_c - MELTING_C)
        edge = LATENT_J_PER_G if warming else 0.0
        until_edge_s = (edge - self.joule_per_g) / flow
        self.joule_per_g = edge if until_edge_s <= seconds else self.joule_per_g + flow * seconds
        return min(until_edge_s, seconds)

    def _near(
        self, around_c: float, joule_per_g_k: float, edge: float, watt_per_k_g: float, seconds: float
    ) -> float:
        """Near the surroundings within ice or within liquid, at most up to the melting point."""
        settling_s = joule_per_g_k / watt_per_k_g
        off, off_at_edge = self.temperature_c - around_c, MELTING_C - around_c
        # The edge lies between here and the surroundings, or is never reached.
        crosses = off * off_at_edge > 0 and abs(off_at_edge) < abs(off)
        until_edge_s = settling_s * math.log(off / off_at_edge) if crosses else math.inf
        if until_edge_s <= seconds:
            self.joule_per_g = edge
            return until_edge_s
        after_c = around_c + off * math.exp(-seconds / settling_s)
        self.joule_per_g = edge + (after_c - MELTING_C) * joule_per_g_k
        return seconds


@dataclass
class BathHeat:
    """A stirred bath with a heater and a chiller that are stronger than any bag."""

    temperature_c: float = 37.0
    setpoint_c: float = 37.0
    running: bool = False

    def step(self, seconds: float) -> None:
        """Approach the set-point while running, the room while not."""
        if not self.running:
            self.temperature_c = approach(self.temperature_c, ROOM_C, seconds, BATH_COOLING_S)
            return
        off = self.temperature_c - self.setpoint_c
        if off == 0:
            return
        # At full power as long as that is less than the last stretch would ask for.
        full_power_c = BATH_RATE_C_S_MAX * BATH_APPROACH_S
        at_full_power_s = min(seconds, max(0.0, abs(off) - full_power_c) / BATH_RATE_C_S_MAX)
        off -= math.copysign(at_full_power_s * BATH_RATE_C_S_MAX, off)
        self.temperature_c = self.setpoint_c + off * math.exp(-(seconds - at_full_power_s) / BATH_APPROACH_S)
