"""One physical world that the twins share: what the pump delivers, the balance weighs.

The world runs on a virtual clock: real monotonic time times `speed`. Only physics follows it; the
twins' watchdogs and the pacing of bytes stay on real time.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from drivers.simulated.culture import GasLine, Medium
from drivers.simulated.fluids import Bag, Motion, Syringe, Tubing
from drivers.simulated.thermal import AIR_W_PER_K, BATH_W_PER_K, ROOM_C, BagHeat, BathHeat

STEP_S_MAX = 0.25  # of virtual time
SETTLING_S = 1.0  # of virtual time, after the pan was touched
SYRINGE_ML = 60.0
WEIGHT_NOISE_G = 0.006
WEIGHT_NOISE_G_MAX = 0.02
TEMPERATURE_NOISE_C = 0.008
CHANNELS = 4
VALVES = 8


class ActImpossible(Exception):
    """A hand asked for what cannot be done in this world."""


class World:
    """Bags, syringe, pan and bath, moved forward to the present before each look.

    Parameters
    ----------
    seed : int
        Seed of the noise.
    speed : float
        Virtual seconds in a real one.
    now : callable
        Real monotonic time in seconds; a test may hand in a clock that it moves itself.
    """

    def __init__(
        self, *, seed: int = 0, speed: float = 1.0, now: Callable[[], float] = time.monotonic
    ) -> None:
        assert speed > 0, speed
        self.speed = speed
        self._now = now
        self._started_s = now()
        self._virtual_s = 0.0
        self._noise = random.Random(seed)
        self.bags = {
            "patient": Bag("patient", volume_ml=50.0, tare_g=12.0, heat=BagHeat.at(-150.0), place="shipper"),
            "dose": Bag("dose", volume_ml=0.0, tare_g=12.0, heat=BagHeat.at(ROOM_C)),
        }
        self.syringe = Syringe()
        self.motion = Motion()
        self.tubing = {channel: Tubing() for channel in range(1, CHANNELS + 1)}
        self.valves = [False] * VALVES
        self.bath = BathHeat()
        self.incubator = BathHeat(running=True)
        self.gas = GasLine()
        self.co2_percent = 5.0
        self.medium = Medium()
        self.probe_in = "patient"
        self._pan_touched_s = -SETTLING_S

    @property
    def virtual_s(self) -> float:
        """Virtual seconds since the world began, at the last look."""
        return self._virtual_s

    def advance(self) -> None:
        """Bring everything forward to the present."""
        target = (self._now() - self._started_s) * self.speed
        while self._virtual_s < target:
            step = min(STEP_S_MAX, target - self._virtual_s)
            self._virtual_s += step
            self._move_fluid(step)
            for tubing in self.tubing.values():
                self._turn_rollers(tubing, step)
            self._move_heat(step)
            self.gas.step(step)
            self.medium.step(step, co2_percent=self.co2_percent, around_c=self.incubator.temperature_c)

    def start_motion(self, *, rate_ml_min: float, volume_ml: float | None, infusing: bool) -> None:
        """Let the pump's motor run."""
        self.advance()
        motion = self.motion
        motion.rate_ml_min, motion.left_ml, motion.infusing = rate_ml_min, volume_ml, infusing
        motion.moving, motion.ended = True, ""

    def stop_motion(self) -> None:
        """Bring the pump's motor to a stand."""
        self.advance()
        _stand(self.motion, "")

    def start_rollers(
        self, channel: int, *, rate_ml_min: float, volume_ml: float | None, infusing: bool
    ) -> None:
        """Let the rollers of one channel turn."""
        self.advance()
        motion = self.tubing[channel].motion
        motion.rate_ml_min, motion.left_ml, motion.infusing = rate_ml_min, volume_ml, infusing
        motion.moving, motion.ended = True, ""

    def stop_rollers(self, channel: int) -> None:
        """Bring the rollers of one channel to a stand."""
        self.advance()
        _stand(self.tubing[channel].motion, "")

    def noise(self, sigma: float) -> float:
        """Return the noise of one look."""
        return self._noise.gauss(0.0, sigma)

    def gross_g(self) -> float:
        """Return what stands on the pan, with the noise of one look."""
        self.advance()
        noise = self._noise.gauss(0.0, WEIGHT_NOISE_G)
        noise = max(-WEIGHT_NOISE_G_MAX, min(WEIGHT_NOISE_G_MAX, noise))
        return self.gross_g_true() + noise

    def gross_g_true(self) -> float:
        """Return what stands on the pan."""
        return sum(bag.weight_g for bag in self.bags.values() if bag.place == "balance")

    def pan_steady(self) -> bool:
        """Tell whether the weight is stable: no flow onto the pan, and nobody touched it just now."""
        self.advance()
        return not self._flows_onto_pan() and self._virtual_s - self._pan_touched_s >= SETTLING_S

    def _flows_onto_pan(self) -> bool:
        moving = [{self.syringe.outlet}] if self.motion.moving else []
        moving += [{one.source, one.outlet} for one in self.tubing.values() if one.motion.moving]
        on_pan = {bag.name for bag in self.bags.values() if bag.place == "balance"}
        return any(ends & on_pan for ends in moving)

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
        """Move a bag to the bench, onto the balance or into the bath."""
        self.advance()
        bag = self.bag(bag_name)
        if place != "bench" and any(
            other.place == place and other is not bag for other in self.bags.values()
        ):
            raise ActImpossible(f"another bag is in the way ({place}); take it away first")
        if "balance" in (bag.place, place):
            self._pan_touched_s = self._virtual_s
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
        if from_bag:
            self.remove(from_bag, volume_ml)
        self.syringe.volume_ml = volume_ml

    def remove(self, bag_name: str, volume_ml: float) -> None:
        """Take fluid out of a bag."""
        self.advance()
        bag = self.bag(bag_name)
        if not 0 <= volume_ml <= bag.volume_ml + 1e-9:
            raise ActImpossible(f"bag {bag_name} holds {bag.volume_ml:.2f} mL only")
        self._touch(bag)
        bag.volume_ml = max(0.0, bag.volume_ml - volume_ml)

    def wash(self, bag_name: str, volume_ml: float) -> None:
        """Give a bag back from the wash device with that volume, at room temperature."""
        self.advance()
        bag = self.bag(bag_name)
        if volume_ml < 0:
            raise ActImpossible("a volume is 0 mL or more")
        self._touch(bag)
        bag.volume_ml, bag.heat = volume_ml, BagHeat.at(ROOM_C)

    def _touch(self, bag: Bag) -> None:
        if bag.place == "balance":
            self._pan_touched_s = self._virtual_s

    def _move_fluid(self, seconds: float) -> None:
        motion, syringe = self.motion, self.syringe
        if not motion.moving:
            return
        wanted = motion.rate_ml_min * seconds / 60
        if motion.left_ml is not None:
            wanted = min(wanted, motion.left_ml)
        room = syringe.volume_ml if motion.infusing else SYRINGE_ML - syringe.volume_ml
        moved = min(wanted, room)
        syringe.volume_ml += -moved if motion.infusing else moved
        motion.dispensed_ml[motion.infusing] += moved
        if motion.infusing:
            syringe.infused_ml += moved
            if syringe.outlet in self.bags:
                self.bags[syringe.outlet].add(moved)
        if motion.left_ml is not None:
            motion.left_ml -= moved
        if motion.left_ml is not None and motion.left_ml <= 1e-9:
            _stand(motion, "volume")
        elif moved < wanted:
            _stand(motion, "stall")

    def _turn_rollers(self, tubing: Tubing, seconds: float) -> None:
        """Rollers turn whether fluid comes or not; a closed valve or an empty bag lets nothing through."""
        motion = tubing.motion
        if not motion.moving:
            return
        turned = motion.rate_ml_min * seconds / 60
        if motion.left_ml is not None:
            turned = min(turned, motion.left_ml)
            motion.left_ml -= turned
        motion.dispensed_ml[motion.infusing] += turned
        ends = (tubing.source, tubing.outlet) if motion.infusing else (tubing.outlet, tubing.source)
        open_way = tubing.valve is None or self.valves[tubing.valve]
        source, outlet = (self.bags.get(name) for name in ends)
        moved = (min(turned, source.volume_ml) if source else turned) if open_way else 0.0
        if source:
            source.volume_ml -= moved
        if outlet and moved:
            outlet.add(moved)
        tubing.moved_ml += moved if motion.infusing else -moved
        if motion.left_ml is not None and motion.left_ml <= 1e-9:
            _stand(motion, "volume")

    def _move_heat(self, seconds: float) -> None:
        self.bath.step(seconds)
        self.incubator.step(seconds)
        for bag in self.bags.values():
            if bag.place == "shipper":
                continue
            in_bath = bag.place == "bath"
            bag.heat.warm(
                around_c=self.bath.temperature_c if in_bath else ROOM_C,
                watt_per_k=BATH_W_PER_K if in_bath else AIR_W_PER_K,
                mass_g=bag.content_g,
                seconds=seconds,
            )


def _stand(motion: Motion, ended: str) -> None:
    if motion.moving:
        motion.stopped_ns = time.monotonic_ns()
    motion.moving, motion.ended = False, ended
