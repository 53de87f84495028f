"""The twins' world keeps its books: fluid, heat, gas, cells and time."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.catalog import driver_for
from drivers.simulated.bench import OWN_PACE, Bench, make_bench, parse_extra
from drivers.simulated.clock import HandMovedClock
from drivers.simulated.culture import (
    BICARBONATE_MMOL_L,
    BUFFER_MMOL_L_PH,
    CO2_AT_PH_7_2_PERCENT,
    LACTATE_YIELD,
    PATIENTS,
    PH_SET,
    GasMix,
)
from drivers.simulated.fluids import SYRINGE_ML
from drivers.simulated.stand import Stand
from drivers.simulated.thermal import BagHeat, BathHeat
from drivers.simulated.world import ActImpossible, World

HOUR = 3600.0
AIR = GasMix(0.04, 20.9)


@dataclass
class Room:
    """A world and the clock that a story moves."""

    clock: HandMovedClock
    world: World

    def pass_time(self, seconds: float) -> World:
        self.clock.move(seconds)
        self.world.advance()
        return self.world


def room(step_s: float | None = None) -> Room:
    clock = HandMovedClock()
    return Room(clock, World(now=clock, step_s=step_s))


@pytest.fixture
def here() -> Room:
    return room()


# Mass ----------------------------------------------------------------------------------------------

BAGS = st.sampled_from(["patient", "dose", "culture"])
ENDS = st.sampled_from(["patient", "dose", "culture", "reservoir", "medium", "waste"])
SMALL = st.floats(0.0, 40.0)
ACTS = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.001, 500.0)),
    st.tuples(st.just("rollers"), st.integers(1, 8), st.floats(0.0, 200.0), st.none() | SMALL, st.booleans()),
    st.tuples(st.just("stop"), st.integers(1, 8)),
    st.tuples(st.just("tube"), st.integers(1, 8), ENDS, ENDS, st.none() | st.integers(0, 7)),
    st.tuples(st.just("valve"), st.integers(0, 7), st.booleans()),
    st.tuples(st.just("syringe"), st.floats(0.0, 100.0), st.none() | SMALL, st.booleans()),
    st.tuples(st.just("load"), st.floats(0.0, SYRINGE_ML), st.just("") | BAGS),
    st.tuples(st.just("outlet"), st.just("") | BAGS),
    st.tuples(st.just("put"), BAGS, st.sampled_from(["bench", "balance", "bath", "incubator", "shipper"])),
    st.tuples(st.just("sample"), BAGS, SMALL),
    st.tuples(st.just("wash"), BAGS, SMALL),
    st.tuples(st.just("feed"), BAGS, SMALL),
    st.tuples(st.just("exchange"), SMALL),
    st.tuples(st.just("seed"), st.floats(0.0, 1e9), st.floats(0.0, 100.0)),
)


def carry_out(here: Room, act: tuple[Any, ...]) -> None:
    world = here.world
    verbs: dict[str, Callable[..., object]] = {
        "wait": here.pass_time,
        "rollers": lambda channel, rate, volume, forwards: world.start_rollers(
            channel, rate_ml_min=rate, volume_ml=volume, infusing=forwards
        ),
        "stop": world.stop_rollers,
        "tube": lambda channel, source, outlet, valve: (
            setattr(world.tubing[channel], "source", source),
            setattr(world.tubing[channel], "outlet", outlet),
            setattr(world.tubing[channel], "valve", valve),
        ),
        "valve": world.set_valve,
        "syringe": lambda rate, volume, infusing: world.start_motion(
            rate_ml_min=rate, volume_ml=volume, infusing=infusing
        ),
        "load": world.load_syringe,
        "outlet": lambda bag: setattr(world.syringe, "outlet", bag),
        "put": world.put,
        "sample": world.remove,
        "wash": world.wash,
        "feed": lambda bag, volume: world.add(bag, volume, "medium"),
        "exchange": world.exchange_medium,
        "seed": lambda cells, viability: world.seed_cells(cells, viability, PATIENTS["typical"]),
    }
    try:
        verbs[act[0]](*act[1:])
    except ActImpossible as refusal:
        assert str(refusal)


def books(world: World) -> dict[str, float]:
    """What nothing may change; what lives is counted against what it was made of."""
    kept = world.fluids.books()
    medium = world.medium
    return kept | {
        "glucose_mmol": kept["glucose_mmol"] + medium.glucose_used_mmol,
        "lactate_mmol": kept["lactate_mmol"] - medium.lactate_made_mmol,
        "cells": kept["cells"] - medium.cells_born + medium.cells_cleared,
    }


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(ACTS, max_size=25))
def test_whatever_hands_and_pumps_do_nothing_appears_and_nothing_is_lost(acts: list[tuple[Any, ...]]) -> None:
    here = room(step_s=1.0)
    before = books(here.world)

    for act in [*acts, ("wait", 30.0)]:
        carry_out(here, act)

    after = books(here.world)
    for name in ("volume_ml", "mass_g", "glucose_mmol", "lactate_mmol"):
        assert after[name] == pytest.approx(before[name], abs=1e-9), name
    assert after["cells"] == pytest.approx(before["cells"], abs=1.0), "of up to 10^10"
    for vessel in [*here.world.bags.values(), here.world.syringe]:
        assert vessel.volume_ml >= 0, vessel
        assert min(vars(vessel.solutes).values()) >= -1e-6, vessel
        assert math.isfinite(vessel.heat.temperature_c)


def test_what_four_pumps_move_arrives_exactly(here: Room) -> None:
    world = here.world
    chain = ["reservoir", "patient", "dose", "culture", "waste"]
    for channel, (source, outlet) in enumerate(itertools.pairwise(chain), start=1):
        world.tubing[channel].source, world.tubing[channel].outlet = source, outlet
        world.start_rollers(channel, rate_ml_min=5.0 * channel, volume_ml=10.0 * channel, infusing=True)

    here.pass_time(121.0)

    moved = [world.tubing[channel].moved_ml for channel in (1, 2, 3, 4)]
    assert moved == pytest.approx([10.0, 20.0, 20.0, 40.0]), "the dose bag gives only what came"
    volumes = {name: bag.volume_ml for name, bag in world.bags.items()}
    assert volumes == pytest.approx({"patient": 40.0, "dose": 0.0, "culture": 50.0}, abs=1e-9)
    assert world.tubing[3].motion.dispensed_ml[True] == pytest.approx(30.0), "rollers turn all the same"


def test_a_pinched_tube_lets_nothing_through_and_stalls_a_plunger(here: Room) -> None:
    world = here.world
    world.tubing[1].valve = world.syringe.valve = 3
    world.load_syringe(10.0)
    world.syringe.outlet = "dose"

    world.start_rollers(1, rate_ml_min=60.0, volume_ml=None, infusing=True)
    world.start_motion(rate_ml_min=6.0, volume_ml=5.0, infusing=True)
    here.pass_time(2.0)
    shut = world.bag("dose").volume_ml
    world.set_valve(3, True)
    here.pass_time(2.0)

    assert shut == 0
    assert world.motion.ended == "stall"
    assert world.bag("dose").volume_ml == pytest.approx(2.0)
    assert world.tubing[1].motion.dispensed_ml[True] == pytest.approx(4.0)


def test_what_flows_carries_its_warmth_its_cells_and_its_sugar(here: Room) -> None:
    world = here.world
    world.put("culture", "shipper")  # nothing warms or cools there
    world.put("dose", "shipper")
    world.seed_cells(7e7, 100.0, PATIENTS["typical"])
    world.add("dose", 35.0, "reservoir")
    world.tubing[1].source, world.tubing[1].outlet = "culture", "dose"

    world.start_rollers(1, rate_ml_min=35.0, volume_ml=35.0, infusing=True)
    here.pass_time(61.0)

    dose = world.bag("dose")
    assert dose.heat.temperature_c == pytest.approx((22 + 37) / 2, abs=1e-6)
    assert dose.solutes.viable_cells == pytest.approx(3.5e7, rel=1e-4)
    assert dose.solutes.glucose_mmol == pytest.approx(0.7, rel=1e-4)


def test_a_syringe_filled_from_a_bag_takes_what_the_bag_holds(here: Room) -> None:
    world = here.world
    world.seed_cells(7e7, 100.0, PATIENTS["typical"])
    world.load_syringe(20.0, "culture")

    assert world.syringe.solutes.viable_cells == pytest.approx(2e7)
    assert world.bag("culture").volume_ml == pytest.approx(50.0)
    with pytest.raises(ActImpossible, match="holds 50"):
        world.load_syringe(51.0, "culture")


# Heat ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.01, 0.25, 4.0, 50.0])
@pytest.mark.parametrize("around_c", [37.0, 4.0, -30.0])
def test_a_bag_comes_to_the_same_warmth_in_steps_of_any_size(seconds: float, around_c: float) -> None:
    at_once, in_steps = BagHeat.at(-150.0), BagHeat.at(-150.0)

    at_once.warm(around_c=around_c, watt_per_k=0.95, mass_g=50.0, seconds=400.0)
    for _ in range(round(400.0 / seconds)):
        in_steps.warm(around_c=around_c, watt_per_k=0.95, mass_g=50.0, seconds=seconds)

    assert in_steps.temperature_c == pytest.approx(at_once.temperature_c, abs=1e-6)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.floats(-190, 60), st.floats(-190, 60), st.floats(0.0, 1e6), st.floats(0.2, 500))
def test_heat_never_overshoots_its_surroundings(
    start_c: float, around_c: float, seconds: float, mass_g: float
) -> None:
    bag = BagHeat.at(start_c)

    bag.warm(around_c=around_c, watt_per_k=0.95, mass_g=mass_g, seconds=seconds)

    low, high = sorted((start_c, around_c))
    assert low - 1e-6 <= bag.temperature_c <= high + 1e-6


def test_a_bath_heats_at_full_power_then_settles_whatever_the_step() -> None:
    at_once = BathHeat(temperature_c=22.0, setpoint_c=37.0, running=True)
    in_steps = BathHeat(temperature_c=22.0, setpoint_c=37.0, running=True)

    at_once.step(160.0)
    for _ in range(640):
        in_steps.step(0.25)

    assert in_steps.temperature_c == pytest.approx(at_once.temperature_c, abs=1e-6)
    assert 36.0 < at_once.temperature_c < 37.0


# Gas -----------------------------------------------------------------------------------------------


def test_metered_gas_makes_the_climate_that_flow_and_leak_make(here: Room) -> None:
    world = here.world
    world.headspace.around = AIR
    world.gas.setpoint_ml_min = 5.0

    here.pass_time(2 * HOUR)

    share = 5.0 / (5.0 + world.headspace.leak_ml_min)
    assert world.co2_percent == pytest.approx(0.04 + share * 99.96, abs=0.01)
    assert world.headspace.oxygen_percent == pytest.approx(20.9 * (1 - share), abs=0.01)
    assert world.gas.metered_ml == pytest.approx(5.0 * 120, abs=0.1)


def test_more_carbon_dioxide_is_more_acid_and_nitrogen_takes_the_oxygen(here: Room) -> None:
    world = here.world
    world.gas.setpoint_ml_min = 10.0
    acid = here.pass_time(2 * HOUR).medium.ph
    world.gas.supplied = "N2"
    world.gas.setpoint_ml_min = 100.0
    here.pass_time(2 * HOUR)

    assert acid < 7.0
    assert world.medium.ph > acid
    assert world.medium.oxygen_percent == pytest.approx(47.5, abs=0.5), "half of it is nitrogen"


@pytest.mark.parametrize(
    ("co2", "lactate"), [(5.0, 0.0), (0.04, 0.0), (10.0, 0.0), (5.0, 10.0), (5.0, 25.0), (20.0, 30.0)]
)
def test_ph_balances_carbon_dioxide_lactic_acid_and_buffer(co2: float, lactate: float) -> None:
    here = room()
    world = here.world
    world.headspace.around = GasMix(co2, 20.0)
    world.headspace.co2_percent = world.medium.co2_percent = co2
    world.bag("culture").solutes.lactate_mmol = lactate * 0.07

    medium = here.pass_time(1.0).medium

    off = medium.ph - PH_SET
    bicarbonate = BICARBONATE_MMOL_L * co2 / CO2_AT_PH_7_2_PERCENT * 10**off
    assert bicarbonate + BUFFER_MMOL_L_PH * off + lactate == pytest.approx(BICARBONATE_MMOL_L, abs=1e-3)


@pytest.mark.parametrize("why", ["held", "empty"])
def test_a_closed_valve_or_an_empty_cylinder_gives_no_gas(here: Room, why: str) -> None:
    world = here.world
    world.gas.setpoint_ml_min = 50.0
    here.pass_time(10.0)
    world.gas.held_closed, world.gas.supply_kpa = why == "held", 200.0 if why == "held" else 101.0

    here.pass_time(10.0)

    assert world.gas.flow_ml_min < 1e-6


# Cells ---------------------------------------------------------------------------------------------

# The reference trajectories: viable cells after days in culture.
TRAJECTORIES = {
    "typical": (1.0e8, 95, {1: 8.2e7, 2: 1.3e8, 4: 5.3e8, 5: 9.9e8, 6: 1.7e9, 8: 3.0e9}),
    "slow": (1.0e8, 90, {1: 7.4e7, 2: 6.1e7, 4: 1.3e8, 5: 2.0e8, 6: 3.1e8, 8: 6.6e8}),
    "failing": (6.0e7, 82, {1: 3.7e7, 2: 2.8e7, 4: 2.6e7, 5: 3.0e7, 6: 3.5e7, 8: 4.6e7}),
}


@pytest.mark.parametrize("patient", TRAJECTORIES)
def test_well_fed_cells_grow_as_the_reference_says(patient: str) -> None:
    here = room(step_s=60.0)
    cells, viability, expected = TRAJECTORIES[patient]
    here.world.seed_cells(cells, viability, PATIENTS[patient])
    here.world.add("culture", 180.0, "medium")
    found = {}

    for quarter in range(1, 8 * 4 + 1):
        world = here.pass_time(6 * HOUR)
        if quarter % 4 == 0:
            found[quarter // 4] = world.bag("culture").solutes.viable_cells
        world.exchange_medium(250.0)

    assert {day: found[day] for day in expected} == pytest.approx(expected, rel=0.08)


def test_a_dense_culture_eats_breathes_and_sours(here: Room) -> None:
    world = here.world
    world.seed_cells(5e8, 95.0, PATIENTS["typical"])
    glucose = world.bag("culture").solutes.glucose_mmol

    here.pass_time(10 * HOUR)

    medium = world.medium
    used = glucose - world.bag("culture").solutes.glucose_mmol
    assert used == pytest.approx(0.10 * 0.47 * 10, rel=0.05), "mmol in 10 h of 0.47 x 10^9 cells"
    assert world.bag("culture").solutes.lactate_mmol == pytest.approx(LACTATE_YIELD * used)
    assert medium.ph < 7.0
    assert 60 < medium.oxygen_percent < 90


def test_cells_without_sugar_die_and_cold_cells_wait(here: Room) -> None:
    hungry, cold = room(step_s=10.0), room(step_s=10.0)
    for one in (hungry, cold):
        one.world.seed_cells(1e8, 95.0, PATIENTS["typical"])
    hungry.world.bag("culture").solutes.glucose_mmol = 0.0
    cold.world.incubator.setpoint_c = 4.0

    for one in (hungry, cold):
        one.pass_time(48 * HOUR)

    assert hungry.world.bag("culture").solutes.viable_cells < 5e6
    assert cold.world.bag("culture").solutes.viable_cells > 9e7
    assert cold.world.medium.age_h < 6


def test_a_fever_kills(here: Room) -> None:
    world = here.world
    world.seed_cells(1e8, 95.0, PATIENTS["typical"])
    world.incubator.setpoint_c = 43.0

    here.pass_time(12 * HOUR)

    assert world.bag("culture").solutes.viable_cells < 6e7


# Time ----------------------------------------------------------------------------------------------


def busy() -> Room:
    """A world in which everything goes on at once."""
    here = room()
    world = here.world
    world.bath.running = True
    world.put("patient", "bath")
    world.seed_cells(5e8, 95.0, PATIENTS["typical"])
    world.headspace.around = AIR
    world.gas.setpoint_ml_min = 5.0
    world.tubing[1].source, world.tubing[1].outlet = "medium", "culture"
    world.start_rollers(1, rate_ml_min=0.5, volume_ml=50.0, infusing=True)
    return here


def everything(world: World) -> dict[str, float]:
    bags = {f"{name} {what}": value for name, bag in world.bags.items() for what, value in _bag(bag)}
    return bags | {
        "co2": world.co2_percent,
        "o2": world.headspace.oxygen_percent,
        "metered": world.gas.metered_ml,
        "ph": world.medium.ph,
        "do": world.medium.oxygen_percent,
    }


def _bag(bag: Any) -> Iterator[tuple[str, float]]:
    yield "volume", bag.volume_ml
    yield "temperature", bag.heat.temperature_c
    yield from vars(bag.solutes).items()


def test_it_does_not_matter_how_often_somebody_looks() -> None:
    watched, unwatched = busy(), busy()

    for _ in range(6000):
        watched.pass_time(0.0999)
    unwatched.pass_time(599.4)

    assert everything(watched.world) == pytest.approx(everything(unwatched.world), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("step_s", [5.0, 60.0])
def test_coarse_steps_stay_within_one_percent_of_fine_ones(step_s: float) -> None:
    fine, coarse = room(step_s=2.0), room(step_s=step_s)
    for one in (fine, coarse):
        one.world.seed_cells(2e8, 95.0, PATIENTS["typical"])
        one.world.headspace.around = AIR
        one.world.gas.setpoint_ml_min = 5.0
        one.world.start_rollers(1, rate_ml_min=0.01, volume_ml=None, infusing=True)
        one.world.tubing[1].source, one.world.tubing[1].outlet = "medium", "culture"
        for _ in range(24):
            one.pass_time(HOUR)

    known = everything(fine.world)
    assert everything(coarse.world) == pytest.approx(known, rel=0.01, abs=1e-6)


def test_a_long_absence_costs_a_bounded_look_and_hardly_any_truth() -> None:
    steady, away = room(step_s=60.0), room()
    for one in (steady, away):
        one.world.seed_cells(1e8, 95.0, PATIENTS["typical"])

    for _ in range(48):
        steady.pass_time(HOUR)
    began = time.process_time()
    away.pass_time(48 * HOUR)

    assert time.process_time() - began < 2.0
    assert everything(away.world) == pytest.approx(everything(steady.world), rel=0.01, abs=1e-6)


def test_after_a_long_absence_the_world_goes_on_in_small_steps(here: Room) -> None:
    here.pass_time(48 * HOUR)
    here.world.put("patient", "bath")

    here.pass_time(1.0)

    assert here.world.bag("patient").heat.temperature_c > -150.0


def test_a_fast_clock_lets_the_same_things_happen_sooner() -> None:
    clock = HandMovedClock()
    world = World(now=clock, speed=60.0)
    world.put("patient", "bath")
    world.bath.running = True

    clock.move(4.0)
    world.advance()

    assert world.virtual_s == pytest.approx(240.0)
    slow = room()
    slow.world.put("patient", "bath")
    slow.world.bath.running = True
    slow.pass_time(240.0)
    assert everything(world) == pytest.approx(everything(slow.world))


def test_a_look_costs_next_to_nothing() -> None:
    """Ten twins look each 10 ms; the share of a processor that takes is ten looks of one such step."""
    here = busy()
    costs = []
    for _ in range(10):
        began = time.process_time()
        for _ in range(200):
            here.pass_time(0.001)
        costs.append((time.process_time() - began) / 200)

    assert min(costs) < 50e-6


# The bench -----------------------------------------------------------------------------------------


def bench_with(folder: Path, *extras: str) -> Bench:
    return make_bench(folder, extras=[parse_extra(words) for words in extras])


def test_two_balances_weigh_their_own_pans(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "sartorius-sbi=scale")
    do = bench.hands.do

    assert do({"do": "bag_onto_balance", "bag": "culture"})["ok"]
    assert do({"do": "bag_onto_balance", "bag": "patient", "pan": "scale"})["ok"]
    pans = do({"do": "state"})["pans"]

    assert pans["balance"]["gross_g"] == pytest.approx(85.0)
    assert pans["scale"]["gross_g"] == pytest.approx(62.0)
    assert bench.devices["scale"].twin.world.gross_g_true() == pytest.approx(62.0)
    assert not do({"do": "put", "bag": "patient", "place": "moon"})["ok"]
    assert do({"do": "bag_off_balance", "pan": "scale"})["ok"]
    assert bench.world.bag("patient").place == "bench"
    assert bench.world.bag("culture").place == "balance"


def test_two_pumps_have_tubes_of_their_own() -> None:
    here = room()
    second = Stand(here.world, first_channel=5)

    second.start_rollers(1, rate_ml_min=6.0, volume_ml=1.0, infusing=True)
    second.tubing[1].outlet = "patient"
    here.pass_time(20.0)

    assert here.world.tubing[5].moved_ml == pytest.approx(1.0)
    assert here.world.bag("patient").volume_ml == pytest.approx(51.0)
    assert sorted(second.tubing) == [1, 2, 3, 4]


def test_hands_lead_tubes_feed_cells_and_change_the_gas(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, "hamilton-arc=ph", "modbus-relay=valves")
    do = bench.hands.do

    acts: list[dict[str, Any]] = [
        {"do": "connect_tubing", "channel": 1, "from": "medium", "to": "culture", "valve": 2},
        {"do": "seed_cells", "cells": 1e8, "viability_percent": 90, "patient": "slow"},
        {"do": "feed_medium", "volume_ml": 30},
        {"do": "exchange_medium", "volume_ml": 50},
        {"do": "set_gas_supply", "gas": "N2", "pressure_kpa": 150},
        {"do": "set_incubator_air", "co2_percent": 0.04, "oxygen_percent": 20.9},
        {"do": "show_status", "device": "ph", "bits": 8},
    ]
    assert [do(act) for act in acts] == [{"ok": True}] * len(acts)

    state = do({"do": "state"})
    assert state["tubing"]["1"] | {"moving": False} == state["tubing"]["1"]
    assert (state["tubing"]["1"]["from"], state["tubing"]["1"]["valve"]) == ("medium", 2)
    assert state["culture"]["volume_ml"] == pytest.approx(100.0)
    assert state["culture"]["viability_percent"] == pytest.approx(90.0)
    assert state["gas"]["supplied"] == "N2"
    assert state["devices"]["ph"]["type"] == "hamilton-arc"
    assert bench.world.headspace.around == AIR


@pytest.mark.parametrize(
    "act",
    [
        {"do": "connect_tubing", "channel": 9},
        {"do": "connect_tubing", "channel": 1, "from": "dose", "to": "dose"},
        {"do": "connect_tubing", "channel": 1, "valve": 8},
        {"do": "seed_cells", "cells": -1},
        {"do": "seed_cells", "cells": 1, "patient": "nobody"},
        {"do": "seed_cells"},
        {"do": "feed_medium", "volume_ml": float("nan")},
        {"do": "exchange_medium", "volume_ml": 71},
        {"do": "set_gas_supply", "gas": "phlogiston"},
        {"do": "set_incubator_air", "co2_percent": 90, "oxygen_percent": 20},
        {"do": "show_status", "device": "balance", "bits": 1},
        {"do": "show_status", "device": "nothing", "bits": 1},
    ],
)
def test_hands_say_why_an_act_cannot_be_done(tmp_path: Path, act: dict[str, Any]) -> None:
    answer = make_bench(tmp_path).hands.do(act)

    assert not answer["ok"]
    assert answer["words"]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "kettle",
        "mt-sics=../up",
        "mt-sics=x:colour=red",
        "mt-sics=x:pan",
        "ismatec-reglo-icc:first_channel=9",
    ],
)
def test_one_more_device_in_a_wrong_form_is_refused(words: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_extra(words)


def test_two_devices_cannot_have_one_link(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="balance"):
        bench_with(tmp_path, "mt-sics=balance")


def test_settings_reach_the_twin_and_its_place_the_world() -> None:
    extra = parse_extra("hamilton-arc=do:kind=oxygen,address=2")
    second = parse_extra("ismatec-reglo-icc=feed:first_channel=5,address=3")

    assert (extra.link, dict(extra.settings)) == ("do", {"kind": "oxygen", "address": "2"})
    assert (second.first_channel, dict(second.settings)) == (5, {"address": "3"})
    assert parse_extra("sartorius-sbi").pan == "sartorius-sbi"
    assert parse_extra("sartorius-sbi:pan=balance").pan == "balance"


def test_a_paced_bench_sends_each_line_at_the_rate_of_its_device(tmp_path: Path) -> None:
    bench = make_bench(tmp_path, pace_baud=OWN_PACE, extras=[parse_extra("hamilton-arc=ph")])

    for name, bits in (("balance", 10), ("thawer", 10), ("ph", 11)):
        twin = bench.devices[name].twin
        baud = driver_for(twin.TYPE)("").line.settings.baud_rate
        assert bench.devices[name]._byte_s == pytest.approx(bits / baud)
