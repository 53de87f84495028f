"""Fluids in the twins' world: bags, a syringe, and tubing pumped by rollers."""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.simulated.thermal import ROOM_C, BagHeat


@dataclass
class Bag:
    """A bag somewhere on the bench."""

    name: str
    volume_ml: float
    tare_g: float
    heat: BagHeat
    density_g_ml: float = 1.0
    place: str = "bench"  # bench, balance, bath, shipper (dry, cold: nothing warms there)

    @property
    def content_g(self) -> float:
        """The mass of the content."""
        return self.volume_ml * self.density_g_ml

    @property
    def weight_g(self) -> float:
        """What the bag adds to a pan."""
        return self.tare_g + self.content_g

    def add(self, volume_ml: float) -> None:
        """Take up fluid of room temperature."""
        self.heat.mix(own_g=self.content_g, added_g=volume_ml * self.density_g_ml, added=BagHeat.at(ROOM_C))
        self.volume_ml += volume_ml


@dataclass
class Syringe:
    """The syringe in the pump, and where its outlet leads."""

    volume_ml: float = 0.0
    diameter_mm: float = 26.7
    outlet: str = ""
    infused_ml: float = 0.0  # since the world began; no order clears it


@dataclass
class Motion:
    """What a pump's motor does. `left_ml` is None for a run without a volume."""

    rate_ml_min: float = 0.0
    left_ml: float | None = None
    infusing: bool = True
    moving: bool = False
    ended: str = ""  # "volume" or "stall", until the pump has looked
    dispensed_ml: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    stopped_ns: int = 0  # real monotonic time at which it last came to a stand


@dataclass
class Tubing:
    """A tube in a roller head, from one bag to another, perhaps through a pinch valve.

    The rollers turn whether fluid comes or not: what they dispense is what the head believes,
    `moved_ml` is what went through.
    """

    source: str = "reservoir"  # a name that is no bag: a reservoir without end
    outlet: str = "dose"
    valve: int | None = None  # the coil that must be on for anything to pass
    motion: Motion = field(default_factory=Motion)
    moved_ml: float = 0.0  # since the world began, forwards less backwards
