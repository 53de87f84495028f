"""Heat in the twins' world: a bag that thaws, a bath that holds its set-point.

The bag is one lump with an enthalpy. Its constants are chosen for the timing of a 50 mL bag in a
37 °C bath (about 170 s from -150 °C to the melting plateau, about 85 s on it), not for the physics
of a cryoprotectant; the plateau is what a thaw phase must cope with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MELTING_C = -0.5
ICE_J_PER_G_K = 2.0
LIQUID_J_PER_G_K = 4.0
LATENT_J_PER_G = 64.0
BATH_W_PER_K = 0.95
AIR_W_PER_K = 0.02
ROOM_C = 22.0

BATH_RATE_C_S_MAX = 0.1
BATH_APPROACH_S = 20.0
BATH_COOLING_S = 3600.0


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
        """Let heat flow for a short time; a bag without content follows its surroundings."""
        if mass_g < 0.1:
            self.joule_per_g = BagHeat.at(around_c).joule_per_g
            return
        self.joule_per_g += watt_per_k * (around_c - self.temperature_c) * seconds / mass_g

    def mix(self, *, own_g: float, added_g: float, added: BagHeat) -> None:
        """Take up content of another temperature."""
        if own_g + added_g > 0:
            total = own_g * self.joule_per_g + added_g * added.joule_per_g
            self.joule_per_g = total / (own_g + added_g)


@dataclass
class BathHeat:
    """A stirred bath with a heater and a chiller that are stronger than any bag."""

    temperature_c: float = 37.0
    setpoint_c: float = 37.0
    running: bool = False

    def step(self, seconds: float) -> None:
        """Approach the set-point while running, the room while not."""
        if self.running:
            rate = (self.setpoint_c - self.temperature_c) / BATH_APPROACH_S
            rate = math.copysign(min(abs(rate), BATH_RATE_C_S_MAX), rate)
        else:
            rate = (ROOM_C - self.temperature_c) / BATH_COOLING_S
        self.temperature_c += rate * seconds
