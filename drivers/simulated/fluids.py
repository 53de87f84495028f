"""Fluids in the twins' world: bags, a syringe, tubing pumped by rollers, pinch valves.

What leaves one vessel enters another, with its mass, its warmth and all that is dissolved or swims in
it. What comes from a name that is no bag, or goes to one, is booked outside: nothing appears or is lost.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from drivers.simulated.thermal import ROOM_C, BagHeat

SYRINGE_ML = 60.0
CHANNELS = 4  # of a roller head
TUBES = 2 * CHANNELS  # room for two heads on one bench
VALVES = 8
DONE_ML = 1e-9  # a run with no more than this to go has ended
FRESH_MEDIUM = "medium"  # a supply of this name, or of one that begins so, holds glucose
FRESH_GLUCOSE_MMOL_L = 20.0  # a choice: rich enough for a day of a dense culture


@dataclass
class Solutes:
    """What a fluid carries, as amounts."""

    viable_cells: float = 0.0
    dead_cells: float = 0.0
    glucose_mmol: float = 0.0
    lactate_mmol: float = 0.0

    def part(self, fraction: float) -> Solutes:
        """Take a fraction out."""
        gone = Solutes(
            self.viable_cells * fraction,
            self.dead_cells * fraction,
            self.glucose_mmol * fraction,
            self.lactate_mmol * fraction,
        )
        self._change(gone, -1.0)
        return gone

    def add(self, other: Solutes) -> None:
        """Take up what another fluid carried."""
        self._change(other, 1.0)

    def _change(self, other: Solutes, sign: float) -> None:
        self.viable_cells += sign * other.viable_cells
        self.dead_cells += sign * other.dead_cells
        self.glucose_mmol += sign * other.glucose_mmol
        self.lactate_mmol += sign * other.lactate_mmol


@dataclass(kw_only=True)
class Vessel:
    """Anything that holds fluid; a portion on its way is one too."""

    volume_ml: float = 0.0
    density_g_ml: float = 1.0
    heat: BagHeat = field(default_factory=lambda: BagHeat.at(ROOM_C))
    solutes: Solutes = field(default_factory=Solutes)

    @property
    def content_g(self) -> float:
        """The mass of the content."""
        return self.volume_ml * self.density_g_ml

    def draw(self, volume_ml: float) -> Vessel:
        """Take a portion out: what was asked for, or what there is."""
        portion_ml = min(volume_ml, self.volume_ml)
        fraction = portion_ml / self.volume_ml if self.volume_ml > 0 else 0.0
        portion = Vessel(
            volume_ml=portion_ml,
            density_g_ml=self.density_g_ml,
            heat=BagHeat(self.heat.joule_per_g),
            solutes=self.solutes.part(fraction),
        )
        self.volume_ml -= portion_ml
        return portion

    def fill(self, portion: Vessel) -> None:
        """Take up a portion: masses add, warmth mixes."""
        if portion.volume_ml <= 0:
            return
        own_g, added_g = self.content_g, portion.content_g
        self.heat.mix(own_g=own_g, added_g=added_g, added=portion.heat)
        self.volume_ml += portion.volume_ml
        if portion.density_g_ml != self.density_g_ml:
            self.density_g_ml = (own_g + added_g) / self.volume_ml
        self.solutes.add(portion.solutes)


@dataclass
class Bag(Vessel):
    """A bag somewhere on the bench; `place` is one of `World.places`."""

    name: str
    tare_g: float
    place: str = "bench"

    @property
    def weight_g(self) -> float:
        """What the bag adds to a pan."""
        return self.tare_g + self.content_g

    def add(self, volume_ml: float) -> None:
        """Take up plain fluid of room temperature."""
        self.fill(Vessel(volume_ml=volume_ml))


@dataclass
class Syringe(Vessel):
    """The syringe in the pump, where its outlet leads, and the coil that must be on to let it pass."""

    diameter_mm: float = 26.7
    outlet: str = ""
    valve: int | None = None
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

    def start(self, *, rate_ml_min: float, volume_ml: float | None, infusing: bool) -> None:
        """Let the motor turn."""
        self.rate_ml_min, self.left_ml, self.infusing = rate_ml_min, volume_ml, infusing
        self.moving, self.ended = True, ""

    def stand(self, ended: str = "") -> None:
        """Bring the motor to a stand."""
        if self.moving:
            self.stopped_ns = time.monotonic_ns()
        self.moving, self.ended = False, ended

    def turn(self, seconds: float, room_ml: float = float("inf")) -> float:
        """Return the volume that the motor turns in a short time, and book it."""
        wanted = self.rate_ml_min * seconds / 60
        if self.left_ml is not None:
            wanted = min(wanted, self.left_ml)
        turned = min(wanted, room_ml)
        self.dispensed_ml[self.infusing] += turned
        if self.left_ml is not None:
            self.left_ml -= turned
        if self.left_ml is not None and self.left_ml <= DONE_ML:
            self.stand("volume")
        elif turned < wanted:
            self.stand("stall")
        return turned


@dataclass
class Tubing:
    """A tube in a roller head, from one bag to another, perhaps through a pinch valve.

    The rollers turn whether fluid comes or not: what they dispense is what the head believes,
    `moved_ml` is what went through.
    """

    source: str = "reservoir"  # a name that is no bag: a supply without end
    outlet: str = "dose"
    valve: int | None = None  # the coil that must be on for anything to pass
    motion: Motion = field(default_factory=Motion)
    moved_ml: float = 0.0  # since the world began, forwards less backwards


class Fluids:
    """All vessels of a world and what connects them."""

    def __init__(self, bags: dict[str, Bag]) -> None:
        self.bags = bags
        self.syringe = Syringe()
        self.motion = Motion()
        self.tubing = {channel: Tubing() for channel in range(1, TUBES + 1)}
        self.valves = [False] * VALVES
        self.given, self.taken = Vessel(), Vessel()  # by the outside, since the world began

    @property
    def moving(self) -> bool:
        """Whether any motor turns."""
        return self.motion.moving or any(tubing.motion.moving for tubing in self.tubing.values())

    def step(self, seconds: float) -> None:
        """Let everything flow for a short time."""
        if self.motion.moving:
            self._push_syringe(seconds)
        for tubing in self.tubing.values():
            if tubing.motion.moving:
                self._turn_rollers(tubing, seconds)

    def open_way(self, valve: int | None) -> bool:
        """Tell whether a tube is open: none is pinched by a coil that nobody tied to it."""
        return valve is None or self.valves[valve]

    def flows_at(self, names: set[str]) -> bool:
        """Tell whether fluid flows into or out of one of these bags."""
        syringe = self.syringe
        if self.motion.moving and syringe.outlet in names and self.open_way(syringe.valve):
            return True
        return any(
            tubing.motion.moving and names & {tubing.source, tubing.outlet} and self.open_way(tubing.valve)
            for tubing in self.tubing.values()
        )

    def draw(self, name: str, volume_ml: float) -> Vessel:
        """Take a portion out of a bag, or out of a supply without end."""
        if name in self.bags:
            return self.bags[name].draw(volume_ml)
        portion = supplied(name, volume_ml)
        self.given.fill(portion)
        return portion

    def fill(self, name: str, portion: Vessel) -> None:
        """Give a portion to a bag, or away."""
        self.bags.get(name, self.taken).fill(portion)

    def books(self) -> dict[str, float]:
        """Return what no flow may change: all that is here and all that left, less all that came."""
        here = [*self.bags.values(), self.syringe, self.taken]
        return {
            "volume_ml": sum(one.volume_ml for one in here) - self.given.volume_ml,
            "mass_g": sum(one.content_g for one in here) - self.given.content_g,
            "glucose_mmol": sum(one.solutes.glucose_mmol for one in here) - self.given.solutes.glucose_mmol,
            "lactate_mmol": sum(one.solutes.lactate_mmol for one in here) - self.given.solutes.lactate_mmol,
            "cells": sum(one.solutes.viable_cells + one.solutes.dead_cells for one in here)
            - self.given.solutes.viable_cells
            - self.given.solutes.dead_cells,
        }

    def _push_syringe(self, seconds: float) -> None:
        """A plunger stops at its ends and against a closed valve; from an empty bag it draws air."""
        motion, syringe = self.motion, self.syringe
        room_ml = syringe.volume_ml if motion.infusing else SYRINGE_ML - syringe.volume_ml
        turned = motion.turn(seconds, room_ml if self.open_way(syringe.valve) else 0.0)
        if motion.infusing:
            syringe.infused_ml += turned
            self.fill(syringe.outlet, syringe.draw(turned))
        else:
            syringe.fill(self.draw(syringe.outlet, turned))

    def _turn_rollers(self, tubing: Tubing, seconds: float) -> None:
        """Rollers turn whether fluid comes or not; a closed valve or an empty bag lets nothing through."""
        forwards = tubing.motion.infusing
        turned = tubing.motion.turn(seconds)
        if not self.open_way(tubing.valve):
            return
        source, outlet = (tubing.source, tubing.outlet) if forwards else (tubing.outlet, tubing.source)
        portion = self.draw(source, turned)
        tubing.moved_ml += portion.volume_ml if forwards else -portion.volume_ml
        self.fill(outlet, portion)


def supplied(name: str, volume_ml: float) -> Vessel:
    """Return fluid out of a supply without end: fresh medium where its name says so, else plain."""
    glucose = FRESH_GLUCOSE_MMOL_L * volume_ml / 1000 if name.startswith(FRESH_MEDIUM) else 0.0
    return Vessel(volume_ml=volume_ml, solutes=Solutes(glucose_mmol=glucose))
