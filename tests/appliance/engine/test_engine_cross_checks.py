"""A whole engine with a real pump and a real balance on one small world: what arrives is what was counted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_room import RECIPE, Room, make_room, told
from served_twins import ServedTwins
from test_device_pool import until

from appliance.access.documents import add_signature, dump, sign
from appliance.domain import events as ev

SPEED = 4
DEVICES = """
[[device]]
id = "pump-1"
title = "Syringe pump"
role = "pump"
type = "new-era-ne1000"
port = "{folder}/pump"
safe_state = "stop"
poll_ms = 100
[[device]]
id = "balance-1"
title = "Balance"
role = "balance"
type = "mt-sics"
port = "{folder}/balance"
safe_state = "keep"
poll_ms = 100
"""
MOVES = """
[phase.move]
title = "Dilute"
type = "transfer"
operation = "all"
after = ["bag"]
uses = { pump = "1..30 mL/min", balance = "0..500 g" }
safe_state = { pump = "stop", balance = "keep" }
instruction = { setup = "Connect the line to the bag on the balance." }
[phase.move.parameter]
volume = "5 mL"
flow = "20 mL/min"
density = "1.0 g/mL"
syringe_diameter = "26.7 mm"
bag_weight_min = "5 g"
rest = "0 s"
[phase.move.limit]
mass_balance = { alert = "<= 1 g", action = "<= 2 g", on_action = "hold" }
"""


def moving_room(folder: Path) -> Room:
    """A unit whose recipe moves fluid from a syringe into the bag on the balance."""
    room = make_room(folder / "unit")
    toml = room.home.unit_toml.read_text().replace('clock_speed = "1"', f'clock_speed = "{SPEED}"')
    room.home.unit_toml.write_text(toml + DEVICES.format(folder=folder))
    seal = 'type = "seal"\noperation = "all"\nafter = '
    text = (RECIPE + MOVES).replace(f'{seal}["bag"]', f'{seal}["move"]')
    envelope = sign("recipe", text.encode(), room.keys["developer"], "recipe_developer")
    dump(add_signature(envelope, room.keys["reviewer"], "qa_reviewer"), room.home.recipes / "short.json")
    return room


@contextlib.contextmanager
def bench(folder: Path) -> Iterator[ServedTwins]:
    with ServedTwins(folder) as twins:
        twins.world.speed = SPEED
        twins.world.put("dose", "bench")
        twins.world.put("patient", "balance")
        yield twins


async def pumps(room: Room) -> None:
    """Hosts and loops run, process time passes, and the pump is about to be ordered."""
    engine = room.engine

    async def time_passes() -> None:
        while True:
            room.clock.advance(0.02 * SPEED)
            await asyncio.sleep(0.02)

    await engine.pool.start()
    room.loops = [asyncio.create_task(one()) for one in (engine._lease_loop, engine._tick_loop, time_passes)]  # type: ignore[attr-defined]
    await until(lambda: {"pump-1", "balance-1"} <= engine.unit.qualified.keys())
    await room.goes_to("seal/performed")
    await room.answers("move/setup")


async def rests(room: Room) -> None:
    for loop in room.loops:  # type: ignore[attr-defined]
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop
    await room.engine.pool.close()
    await asyncio.gather(*room.engine._background)


@pytest.mark.requirement("F-034")
def test_a_line_that_leads_to_another_bag_is_told_and_the_pump_stands_before_the_limit(
    tmp_path: Path,
) -> None:
    room = moving_room(tmp_path)
    with bench(tmp_path) as twins:
        twins.world.syringe.outlet = "dose"  # which lies beside the balance

        async def story() -> None:
            try:
                await pumps(room)
                await until(lambda: room.batch.runs["move"].state == "held", 20)
                await until(lambda: not twins.pump_moves)
            finally:
                await rests(room)

        told(room, story)

        lost_ml = twins.world.bag("dose").volume_ml
    held = [one for one in room.events(ev.PhaseHolding) if isinstance(one, ev.PhaseHolding)]
    levels = [one.level for one in room.events(ev.LimitCrossed) if isinstance(one, ev.LimitCrossed)]
    assert [one.reason for one in held] == ["drift"]
    assert levels[-1] == "action"
    assert lost_ml < 4, "of 5 mL"


@pytest.mark.requirement("F-034")
def test_a_healthy_pump_and_balance_are_never_told_to_drift(tmp_path: Path) -> None:
    room = moving_room(tmp_path)
    with bench(tmp_path) as twins:
        twins.world.syringe.outlet = "patient"

        async def story() -> None:
            try:
                await pumps(room)
                await until(lambda: room.batch.runs["move"].state == "complete", 30)
            finally:
                await rests(room)

        told(room, story)
    notes = [one.key for one in room.events(ev.ValueRecorded) if isinstance(one, ev.ValueRecorded)]
    assert "moved_g" in notes
    assert "apart_g" not in notes
    assert not room.events(ev.LimitCrossed)
