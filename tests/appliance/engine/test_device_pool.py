"""The pool starts, leases, watches and restarts device hosts, and marks what is stale."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from served_twins import ServedTwins

from appliance.config import Device
from appliance.engine.device_pool import DevicePool

TYPES = {
    "pump": ("pump", "new-era-ne1000", "stop"),
    "balance": ("balance", "mt-sics", "keep"),
    "thawer": ("thermostat", "julabo", "keep"),
}
INFUSE = {"volume_ml": "10", "rate_ml_min": "5"}


def device(folder: Path, name: str, poll_ms: int = 100) -> Device:
    role, type_name, safe_state = TYPES[name]
    return Device(
        id=name,
        title=name.title(),
        role=role,
        type=type_name,
        port=str(folder / name),
        serial_number="",
        safe_state=safe_state,  # type: ignore[arg-type]
        poll_ms=poll_ms,
    )


class Ward:
    """An engine reduced to what a pool needs of it: it listens, and renews leases while it is fresh."""

    def __init__(self, devices: list[Device]) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.fresh = True
        self.pool = DevicePool(
            devices,
            on_message=lambda device_id, message: self.said.append((device_id, message)),
            term=3,
            bench="simulated",
        )

    async def renew(self) -> None:
        while True:
            if self.fresh:
                self.pool.renew_leases(3)
            await asyncio.sleep(0.1)

    async def until_ready(self) -> None:
        await until(lambda: all(view.state == "ready" and view.readings for view in self.pool.view()))

    def outcomes(self, order_id: str) -> list[dict[str, Any]]:
        told = [message["outcome"] for _, message in self.said if "outcome" in message]
        return [outcome for outcome in told if outcome["id"] == order_id]

    async def outcome(self, order_id: str) -> dict[str, Any]:
        await until(lambda: self.outcomes(order_id))
        return self.outcomes(order_id)[0]

    def infuse(self, order_id: str = "infuse") -> None:
        self.pool.order("pump", order_id, "infuse", INFUSE, 5000)


async def until(look: Callable[[], Any], timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not look():
            await asyncio.sleep(0.002)


def story(
    folder: Path,
    tell: Callable[[Ward, ServedTwins], Awaitable[None]],
    names: tuple[str, ...] = ("pump",),
    as_filed: Callable[[Device], Device] = lambda one: one,
) -> None:
    async def run(twins: ServedTwins) -> None:
        ward = Ward([as_filed(device(folder, name)) for name in names])
        await ward.pool.start()
        renewing = asyncio.create_task(ward.renew())
        try:
            async with asyncio.timeout(40):
                await tell(ward, twins)
        finally:
            await ward.pool.close()
            renewing.cancel()

    with ServedTwins(folder) as twins:
        asyncio.run(run(twins))


def test_every_device_is_read_and_shown_with_quality_and_age(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()

        views = {view.id: view for view in ward.pool.view()}
        weight = views["balance"].readings[0]
        assert (weight.name, weight.unit) == ("weight_g", "g")
        assert weight.quality in ("good", "uncertain")
        assert 0 <= float(weight.age_s) < 2
        assert {"bath_c", "probe_c"} <= {reading.name for reading in views["thawer"].readings}
        assert all(ward.pool.fresh(name) for name in views)

    story(tmp_path, tell, ("pump", "balance", "thawer"))


def test_an_order_reaches_its_device_once_and_has_one_outcome(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()

        ward.infuse()

        assert (await ward.outcome("infuse"))["ok"]
        assert twins.pump_moves
        await asyncio.sleep(0.3)
        assert len(ward.outcomes("infuse")) == 1

    story(tmp_path, tell)


def test_stop_reaches_every_pump_without_a_lease_or_a_turn_of_the_loop(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.infuse()
        await ward.outcome("infuse")

        ward.pool.stop_all()
        began = time.monotonic()
        while twins.pump_moves:
            assert time.monotonic() - began < 1
            time.sleep(0.001)  # the loop of the engine stands still meanwhile

        await until(lambda: [message for _, message in ward.said if message.get("stopped")])

    story(tmp_path, tell)


def test_an_engine_that_is_not_fresh_renews_nothing_and_the_pump_stops(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.infuse()
        await ward.outcome("infuse")

        ward.fresh = False
        began = time.monotonic()
        await until(lambda: not twins.pump_moves)

        assert time.monotonic() - began < 0.6

    story(tmp_path, tell)


def test_a_killed_host_comes_back_and_what_it_was_doing_is_told_as_unknown(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        pid = ward.pool.pids()["pump"]
        os.kill(pid, signal.SIGSTOP)
        ward.infuse()  # taken by the pipe, never read
        os.kill(pid, signal.SIGKILL)

        outcome = await ward.outcome("infuse")
        assert (outcome["ok"], outcome["fault"]) == (False, "silent")
        assert "unknown" in outcome["words"]
        await until(lambda: ward.pool.pids().get("pump") not in (None, pid))
        await ward.until_ready()
        assert not twins.pump_moves
        assert [message["host"]["state"] for _, message in ward.said if "host" in message] == [
            "started",
            "died",
            "started",
        ]

    story(tmp_path, tell)


def test_an_order_without_a_host_is_told_as_not_sent(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        os.kill(ward.pool.pids()["pump"], signal.SIGKILL)
        await until(lambda: not ward.pool.pids())

        ward.infuse()

        assert ward.outcomes("infuse") == []  # not from within the call: recording comes first
        outcome = await ward.outcome("infuse")
        assert (outcome["ok"], outcome["fault"]) == (False, "refused")

    story(tmp_path, tell)


def test_a_stop_while_the_host_is_away_is_carried_out_by_the_next_one(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.pool.order("thawer", "on", "start", {}, 5000)
        assert (await ward.outcome("on"))["ok"]
        os.kill(ward.pool.pids()["thawer"], signal.SIGKILL)
        await until(lambda: not ward.pool.pids())

        ward.pool.stop("thawer")

        await until(lambda: not twins.world.bath.running)

    story(tmp_path, tell, ("thawer",))


def test_stop_stands_the_pump_and_keeps_the_bath_warm(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.pool.order("thawer", "on", "start", {}, 5000)
        assert (await ward.outcome("on"))["ok"]
        ward.pool.order("pump", "go", "infuse", {"volume_ml": "20", "rate_ml_min": "10"}, 5000)
        assert (await ward.outcome("go"))["ok"]

        ward.pool.stop_all()

        await until(lambda: not twins.pump_moves)
        assert twins.world.bath.running

    story(tmp_path, tell, ("pump", "thawer"))


def test_values_of_a_device_that_fell_silent_are_marked_stale_and_never_passed_off_as_now(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()

        twins.lines["balance"].faults.set("silent")

        await until(lambda: ward.pool.view()[0].readings[0].quality == "stale")
        view = ward.pool.view()[0]
        assert view.state == "silent"
        assert float(view.readings[0].age_s) >= 2
        assert not ward.pool.fresh("balance")

    story(tmp_path, tell, ("balance",))


def test_a_reading_ages_by_the_clock_it_is_shown_by(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()

        later = ward.pool.view(time.monotonic_ns() + 60_000_000_000)[0].readings[0]

        assert later.quality == "stale"
        assert 59 <= float(later.age_s) <= 63

    story(tmp_path, tell, ("balance",))


def test_a_safe_state_holds_for_the_next_host_too(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.pool.order("thawer", "on", "start", {}, 5000)
        assert (await ward.outcome("on"))["ok"]
        ward.pool.set_safe_state("thawer", "stop")
        await asyncio.sleep(0.1)
        os.kill(ward.pool.pids()["thawer"], signal.SIGKILL)

        await until(lambda: not twins.world.bath.running)

    story(tmp_path, tell, ("thawer",))


def test_closing_the_pool_brings_the_devices_to_their_safe_states_and_leaves_no_process(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.infuse()
        await ward.outcome("infuse")
        ward.pool.order("thawer", "on", "start", {}, 5000)
        await ward.outcome("on")
        pids = list(ward.pool.pids().values())

        await ward.pool.close()

        assert not twins.pump_moves
        assert twins.world.bath.running
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)

    story(tmp_path, tell, ("pump", "thawer"))


# An engine in a process of its own, to be killed and frozen.
ENGINE = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_device_pool import Ward, device
async def main():
    ward = Ward([device(Path(sys.argv[1]), name) for name in ("pump", "thawer")])
    await ward.pool.start()
    renewing = asyncio.create_task(ward.renew())
    await ward.until_ready()
    ward.pool.order("thawer", "on", "start", {}, 5000)
    ward.infuse()
    await ward.outcome("infuse")
    await ward.outcome("on")
    print("moving", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_an_engine_killed_or_frozen_leaves_the_pump_standing_within_half_a_second_and_the_bath_warm(
    tmp_path, how
):
    here = str(Path(__file__).parent)
    with ServedTwins(tmp_path) as twins:
        engine = subprocess.Popen(
            [sys.executable, "-c", ENGINE, str(tmp_path), here], stdout=subprocess.PIPE, text=True
        )
        try:
            assert engine.stdout is not None
            assert engine.stdout.readline() == "moving\n"
            assert twins.pump_moves

            engine.send_signal(how)
            began = time.monotonic()
            while twins.pump_moves:
                assert time.monotonic() - began < 2
                time.sleep(0.001)

            assert time.monotonic() - began < 0.5
            assert twins.world.bath.running
        finally:
            engine.kill()
            engine.wait()
            assert engine.stdout is not None
            engine.stdout.close()


def test_a_pump_of_which_nobody_hears_any_more_loses_its_supply(tmp_path):
    """The relay's part is played by the bath here: what counts is that it is brought to its safe state."""

    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        stops = [message for name, message in ward.said if name == "thawer" and message.get("stopped")]
        assert not stops

        os.kill(ward.pool.pids()["pump"], signal.SIGKILL)

        await until(lambda: any(name == "thawer" and message.get("stopped") for name, message in ward.said))

    def behind_relay(one: Device) -> Device:
        return replace(one, behind_relay="thawer" if one.id == "pump" else "")

    story(tmp_path, tell, ("pump", "thawer"), behind_relay)


@pytest.mark.requirement("F-029")
def test_a_host_that_was_started_again_still_knows_which_device_is_the_qualified_one(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.until_ready()
        ward.pool.expect("pump", {"firmware": "9.99"})
        os.kill(ward.pool.pids()["pump"], signal.SIGKILL)
        told = len(ward.said)
        await until(lambda: any("ready" in message for _, message in ward.said[told:]))

        ward.infuse()

        assert "qualified is 9.99" in (await ward.outcome("infuse"))["words"]
        assert not twins.pump_moves

    story(tmp_path, tell)
