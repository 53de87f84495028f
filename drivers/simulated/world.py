"""One physical world that the twins share: what the pump delivers, the balance weighs.

The world runs on a virtual clock: real monotonic time times `speed`. Only physics follows it; the
twins' watchdogs and the pacing of bytes stay on real time. It moves only when somebody looks.

Fluid and metered gas are exact at each look. Heat, headspace and cells move on a grid of `step_s`, so
that what they come to does not depend on who looked how often; an act takes effect within one step.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from drivers.simulated.culture import AIR, GasLine, Headspace, Kinetics, Medium
from drivers.simulated.fluids import SYRINGE_ML, Bag, Fluids, Vessel, supplied
from drivers.simulated.thermal import (
    AIR_W_PER_K,
    BATH_W_PER_K,
    INCUBATOR_W_PER_K,
    ROOM_C,
    BagHeat,
    BathHeat,
)

STEP_S = 0.25  # of virtual time, up to a speed of 100
STEPS_PER_REAL_S = 400  # at most, at greater speeds
STEPS_A_LOOK = 4000  # more are made longer instead: no look costs more than about 0.1 s
SETTLING_S = 1.0  # of virtual time, after the pan was touched
WEIGHT_NOISE_G = 0.006
WEIGHT_NOISE_G_MAX = 0.02
TEMPERATURE_NOISE_C = 0.008
PAN = "balance"
CULTURE = "culture"
CULTURE_ML = 70.0
ROOMY = frozenset({"bench", "shipper", "incubator"})  # places for more than one bag


class ActImpossible(Exception):
    """A hand asked for what cannot be done in this world."""


class World:
    """Bags, syringe, tubing, pans, bath, incubator and culture, moved to the present before each look.

    Parameters
    ----------
    seed : int
        Seed of the noise.
    speed : float
        Virtual seconds in a real one.
    now : callable
        Real monotonic time in seconds; a test may hand in a clock that it moves itself.
    step_s : float, optional
        Virtual seconds between two steps of heat, gas and cells.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        speed: float = 1.0,
        now: Callable[[], float] = time.monotonic,
        step_s: float | None = None,
    ) -> None:
        assert speed > 0, speed
        self.speed = speed
        self.step_s = step_s or max(STEP_S, speed / STEPS_PER_REAL_S)
        self._now = now
        self._started_s = now()
        self._virtual_s = 0.0
        self._stepped_s, self._next_step_s = 0.0, self.step_s
        self._noise = random.Random(seed)
        self._moving_on = threading.Lock()  # a story may look from another thread than the twins'
        self.bags = {
            "patient": Bag("patient", volume_ml=50.0, tare_g=12.0, heat=BagHeat.at(-150.0), place="shipper"),
            "dose": Bag("dose", volume_ml=0.0, tare_g=12.0),
            CULTURE: Bag(
                CULTURE,
                volume_ml=CULTURE_ML,
                tare_g=15.0,
                heat=BagHeat.at(37.0),
                solutes=supplied("medium", CULTURE_ML).solutes,
                place="incubator",
            ),
        }
        self.fluids = Fluids(self.bags)
        self.syringe, self.motion = self.fluids.syringe, self.fluids.motion
        self.tubing, self.valves = self.fluids.tubing, self.fluids.valves
        self.bath = BathHeat()
        self.incubator = BathHeat(running=True)
        self.gas = GasLine()
        self.headspace = Headspace()
        self.medium = Medium(self.bags[CULTURE])
        self._metered_ml = 0.0
        self.probe_in = "patient"
        self._touched_s = {PAN: -SETTLING_S}

    @property
    def virtual_s(self) -> float:
        """Virtual seconds since the world began, at the last look."""
        return self._virtual_s

    @property
    def co2_percent(self) -> float:
        """The carbon dioxide in the incubator's headspace."""
        return self.headspace.co2_percent

    @property
    def places(self) -> tuple[str, ...]:
        """Where a bag can be: roomy places, the bath, and the pan of each balance."""
        return (*sorted(ROOMY), "bath", *self._touched_s)

    @property
    def pans(self) -> tuple[str, ...]:
        """The pans of all balances."""
        return tuple(self._touched_s)

    def advance(self) -> None:
        """Bring everything forward to the present."""
        with self._moving_on:
            target_s = (self._now() - self._started_s) * self.speed
            behind_s = target_s - self._virtual_s
            if behind_s > 0:
                self._move_on(target_s, max(self.step_s, behind_s / STEPS_A_LOOK))

    def start_motion(self, *, rate_ml_min: float, volume_ml: float | None, infusing: bool) -> None:
        """Let the syringe pump's motor run."""
        self.advance()
        self.motion.start(rate_ml_min=rate_ml_min, volume_ml=volume_ml, infusing=infusing)

    def stop_motion(self) -> None:
        """Bring the syringe pump's motor to a stand."""
        self.advance()
        self.motion.stand()

    def start_rollers(
        self, channel: int, *, rate_ml_min: float, volume_ml: float | None, infusing: bool
    ) -> None:
        """Let the rollers of one channel turn."""
        self.advance()
        self.tubing[channel].motion.start(rate_ml_min=rate_ml_min, volume_ml=volume_ml, infusing=infusing)

    def stop_rollers(self, channel: int) -> None:
        """Bring the rollers of one channel to a stand."""
        self.advance()
        self.tubing[channel].motion.stand()

    def set_valve(self, coil: int, on: bool) -> None:
        """Switch a coil: on opens its pinch valve."""
        self.advance()
        self.valves[coil] = on

    def noise(self, sigma: float) -> float:
        """Return the noise of one look."""
        return self._noise.gauss(0.0, sigma)

    def gross_g(self, pan: str = PAN) -> float:
        """Return what stands on a pan, with the noise of one look."""
        self.advance()
        noise = self._noise.gauss(0.0, WEIGHT_NOISE_G)
        noise = max(-WEIGHT_NOISE_G_MAX, min(WEIGHT_NOISE_G_MAX, noise))
        return self.gross_g_true(pan) + noise

    def gross_g_true(self, pan: str = PAN) -> float:
        """Return what stands on a pan."""
        return sum(bag.weight_g for bag in self.bags.values() if bag.place == pan)

    def pan_steady(self, pan: str = PAN) -> bool:
        """Tell whether a weight is stable: no flow onto the pan, and nobody touched it just now."""
        self.advance()
        on_pan = {bag.name for bag in self.bags.values() if bag.place == pan}
        touched_s = self._touched_s.get(pan, -SETTLING_S)
        return self._virtual_s - touched_s >= SETTLING_S and not self.fluids.flows_at(on_pan)

    def add_pan(self, pan: str) -> None:
        """Set up one more balance; harmless when it stands there already."""
        self._touched_s.setdefault(pan, -SETTLING_S)

    def bath_c(self) -> float:
        """Return the bath's temperature, with the noise of one look."""
        self.advance()
        return self.bath.temperature_c + self._noise.gauss(0.0, TEMPERATURE_NOISE_C)

    def probe_c(self) -> float:
        """Return the temperature at the probe, which stays with the bag that is to be thawed."""
        self.advance()
        heat = self.bags[self.probe_in].heat
        return heat.temperature_c + self._noise.gauss(0.0, TEMPERATURE_NOISE_C)

    def put(self, bag_name: str, place: str) -> None:
        """Move a bag to the bench, onto a balance, into the bath, the incubator or the shipper."""
        self.advance()
        bag = self.bag(bag_name)
        if place not in self.places:
            raise ActImpossible(f"there is no place {place!r}; there are {', '.join(self.places)}")
        others = (other for other in self.bags.values() if other is not bag)
        if place not in ROOMY and any(other.place == place for other in others):
            raise ActImpossible(f"another bag is in the way ({place}); take it away first")
        self._touch(bag.place)
        self._touch(place)
        if place == "bath":
            self.probe_in = bag_name
        bag.place = place

    def bag(self, name: str) -> Bag:
        """Return a bag by its name."""
        if name not in self.bags:
            raise ActImpossible(f"there is no bag {name!r}; there are {', '.join(self.bags)}")
        return self.bags[name]

    def load_syringe(self, volume_ml: float, from_bag: str = "") -> None:
        """Put in a syringe with fresh fluid, or one filled out of a bag."""
        self.advance()
        if self.motion.moving:
            raise ActImpossible("the pump is moving; stop it first")
        if not 0 <= volume_ml <= SYRINGE_ML:
            raise ActImpossible(f"the syringe holds 0 to {SYRINGE_ML:.0f} mL")
        portion = self._take(from_bag, volume_ml) if from_bag else self.fluids.draw("", volume_ml)
        self._give_away(self.syringe)
        self.syringe.density_g_ml = portion.density_g_ml
        self.syringe.fill(portion)

    def remove(self, bag_name: str, volume_ml: float) -> None:
        """Take fluid out of a bag and away."""
        self.advance()
        self.fluids.taken.fill(self._take(bag_name, volume_ml))

    def add(self, bag_name: str, volume_ml: float, supply: str) -> None:
        """Pour fluid from a supply without end into a bag."""
        self.advance()
        bag = self.bag(bag_name)
        if volume_ml < 0:
            raise ActImpossible("a volume is 0 mL or more")
        self._touch(bag.place)
        bag.fill(self.fluids.draw(supply, volume_ml))

    def wash(self, bag_name: str, volume_ml: float) -> None:
        """Give a bag back from the wash device with that volume, at room temperature, its cells in it."""
        self.advance()
        bag = self.bag(bag_name)
        if volume_ml < 0:
            raise ActImpossible("a volume is 0 mL or more")
        self._touch(bag.place)
        viable, dead = bag.solutes.viable_cells, bag.solutes.dead_cells
        bag.solutes.viable_cells = bag.solutes.dead_cells = 0.0
        self._give_away(bag)
        bag.heat, bag.density_g_ml = BagHeat.at(ROOM_C), 1.0
        bag.fill(self.fluids.draw("", volume_ml))
        bag.solutes.viable_cells, bag.solutes.dead_cells = viable, dead

    def exchange_medium(self, volume_ml: float) -> None:
        """Draw off medium without its cells, as a settling chamber does, and give as much fresh medium."""
        self.advance()
        bag = self.bags[CULTURE]
        if not 0 <= volume_ml <= bag.volume_ml + 1e-9:
            raise ActImpossible(f"bag {CULTURE} holds {bag.volume_ml:.2f} mL only")
        viable, dead = bag.solutes.viable_cells, bag.solutes.dead_cells
        bag.solutes.viable_cells = bag.solutes.dead_cells = 0.0
        self.remove(CULTURE, volume_ml)
        self.add(CULTURE, volume_ml, "medium")
        bag.solutes.viable_cells, bag.solutes.dead_cells = viable, dead

    def seed_cells(self, cells: float, viability_percent: float, kinetics: Kinetics) -> None:
        """Put cells of a patient into the culture; they are booked as come from outside."""
        self.advance()
        if cells < 0 or not 0 <= viability_percent <= 100:
            raise ActImpossible("cells are 0 or more, a viability is 0 to 100 %")
        viable = cells * viability_percent / 100
        self.fluids.given.solutes.viable_cells += viable
        self.fluids.given.solutes.dead_cells += cells - viable
        self.medium.seed(viable, cells - viable, kinetics)

    def _take(self, bag_name: str, volume_ml: float) -> Vessel:
        bag = self.bag(bag_name)
        if not 0 <= volume_ml <= bag.volume_ml + 1e-9:
            raise ActImpossible(f"bag {bag_name} holds {bag.volume_ml:.2f} mL only")
        self._touch(bag.place)
        return bag.draw(volume_ml)

    def _give_away(self, vessel: Vessel) -> None:
        self.fluids.taken.fill(vessel.draw(vessel.volume_ml))

    def _touch(self, place: str) -> None:
        if place in self._touched_s:
            self._touched_s[place] = self._virtual_s

    def _move_on(self, target_s: float, step_s: float) -> None:
        """Let fluid and metered gas flow until then, and all else take the steps that fall due meanwhile."""
        while self._virtual_s < target_s:
            until_s = min(target_s, self._next_step_s)
            seconds = until_s - self._virtual_s
            if self.fluids.moving:
                self.fluids.step(seconds)
            self.gas.step(seconds)
            self._virtual_s = until_s
            if until_s >= self._next_step_s:
                self._step_to(until_s, step_s)
        if step_s > self.step_s:  # the long steps of a long absence end with it
            self._step_to(target_s, self.step_s)

    def _step_to(self, until_s: float, next_in_s: float) -> None:
        if until_s > self._stepped_s:
            self._step(until_s - self._stepped_s)
        self._stepped_s, self._next_step_s = until_s, until_s + next_in_s

    def _step(self, seconds: float) -> None:
        """Move heat, headspace and culture."""
        self.bath.step(seconds)
        self.incubator.step(seconds)
        for bag in self.bags.values():
            around_c, watt_per_k = self._surroundings(bag.place)
            if watt_per_k:
                bag.heat.warm(around_c=around_c, watt_per_k=watt_per_k, mass_g=bag.content_g, seconds=seconds)
        inflow_ml, self._metered_ml = self.gas.metered_ml - self._metered_ml, self.gas.metered_ml
        self.headspace.step(seconds, inflow_ml=inflow_ml, inflow=self.gas.mix)
        at_home = self.bags[CULTURE].place == "incubator"
        self.medium.step(seconds, self.headspace.mix if at_home else AIR)

    def _surroundings(self, place: str) -> tuple[float, float]:
        """Return temperature and heat flow of a place; the shipper is dry and cold, nothing warms there."""
        match place:
            case "bath":
                return self.bath.temperature_c, BATH_W_PER_K
            case "incubator":
                return self.incubator.temperature_c, INCUBATOR_W_PER_K
            case "shipper":
                return ROOM_C, 0.0
            case _:
                return ROOM_C, AIR_W_PER_K
