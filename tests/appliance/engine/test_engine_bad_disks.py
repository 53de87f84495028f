"""A disk that fails, turns read-only or takes no larger file under a running batch."""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_process import EngineProcess, write_unit_toml
from engine_room import ADA, Room, make_room
from served_twins import ServedTwins

from appliance.domain import events as ev
from appliance.link.client import LinkClient
from appliance.link.messages import Accepted, Refused, Snapshot, Telemetry
from appliance.record.replay_target import replay_folder
from appliance.record.verify import verify_record

pytestmark = [pytest.mark.requirement("R-02", "R-41", "F-015", "F-053"), pytest.mark.timeout(120)]

SOURCE = Path(__file__).with_name("failing_disk.c")
SAID_WITHIN_S = 2.0
STANDS_WITHIN_S = 0.5 + 0.4  # the lease, and one look of the host
GIVEN_UP_WITHIN_S = 20.0
PUMP = """
[[device]]
id = "pump-1"
title = "Syringe pump"
role = "pump"
type = "new-era-ne1000"
port = "{port}"
safe_state = "stop"
poll_ms = 100
"""


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The failing disk as a library; the C compiler of this machine makes it."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here, so no disk can be made to fail")
    made = tmp_path_factory.mktemp("shim") / "failing_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, SOURCE, "-ldl"], check=True)
    return made


@dataclass(slots=True)
class Bench:
    """A unit with a running batch and a moving pump, on a disk that fails when it is told to."""

    room: Room
    twins: ServedTwins
    engine: EngineProcess
    client: LinkClient
    disk: Path
    accepted: int = 0

    def disk_is(self, fault: str) -> None:
        self.disk.write_text(fault)

    def disk_is_well(self) -> None:
        self.disk.unlink()

    async def comments(self) -> Accepted | Refused:
        answer = await self.client.command("comment", {"text": f"number {self.accepted}"})
        self.accepted += isinstance(answer, Accepted)
        return answer

    async def shows(self, holds: Callable[[Snapshot], bool], within_s: float) -> float:
        """How long it takes until a screen shows this."""
        began_s = time.monotonic()
        async with asyncio.timeout(within_s):
            async for message in self.client.messages():
                if isinstance(message, Snapshot) and holds(message):
                    break
        return time.monotonic() - began_s

    async def pump_is_ready(self) -> None:
        async with asyncio.timeout(15):
            async for message in self.client.messages():
                if isinstance(message, Telemetry) and all(one.state == "ready" for one in message.devices):
                    return

    async def stands(self) -> float:
        """How long it takes until the pump stands."""
        began_s = time.monotonic()
        while self.twins.pump_moves:
            assert time.monotonic() - began_s < 5, "the pump moves on"
            await asyncio.sleep(0.01)
        return time.monotonic() - began_s

    def pump_runs(self) -> None:
        self.twins.world.start_motion(rate_ml_min=1.0, volume_ml=20.0, infusing=True)


def played(tmp_path: Path, shim: Path | None, story: Callable[[Bench], Awaitable[None]]) -> Bench:
    """Play a story with a real engine; what it acknowledged is then looked for on its record."""

    async def whole() -> Bench:
        room = make_room(tmp_path / "unit")
        await room.starts()
        await room.begins_batch()
        await room.crashes()
        port = twins.lines["pump"].link
        write_unit_toml(room.home, PUMP.format(port=port))
        fault = tmp_path / "fault"
        environment = {"DISK_FAULT_FILE": str(fault), "DISK_FAULT_UNDER": str(room.home.record.resolve())}
        if shim is not None:
            environment["LD_PRELOAD"] = str(shim)
        engine = EngineProcess(room.home, **environment)
        client, _ = await engine.starts()
        bench = Bench(room, twins, engine, client, fault)
        try:
            await client.command("sign_in", {"person": ADA.id}, ADA.by_pin)
            await bench.pump_is_ready()
            await client.command("restart", {"reason": "Looked at everything"})
            bench.pump_runs()
            await asyncio.sleep(0.8)
            assert twins.pump_moves, "the pump was stopped although all is well"
            assert isinstance(await bench.comments(), Accepted)
            await story(bench)
            await client.close()
        finally:
            engine.is_killed()
        return bench

    with ServedTwins(tmp_path) as twins:
        bench = asyncio.run(whole())
    verdict = verify_record(bench.room.home.record, None)
    assert verdict.whole, verdict.words
    outcome = replay_folder(bench.room.home.record)
    assert outcome.difference is None, outcome.difference.words
    kept = [e.text for e in bench.room.events(ev.CommentAdded) if isinstance(e, ev.CommentAdded)]
    assert [f"number {number}" for number in range(bench.accepted)] == [
        text for text in kept if text in {f"number {number}" for number in range(bench.accepted)}
    ]
    return bench


async def fails_safely(bench: Bench, fault: str) -> None:
    """The disk fails: a screen says so in time, the pump stands, and STOP works."""
    bench.disk_is(fault)
    refused, said_s, stood_s = await asyncio.gather(
        bench.comments(), bench.shows(lambda s: bool(s.record.words), SAID_WITHIN_S), bench.stands()
    )
    assert isinstance(refused, Refused) and refused.reason == "record", refused
    assert said_s <= SAID_WITHIN_S
    assert stood_s <= STANDS_WITHIN_S
    stop = await bench.client.command("stop")
    assert isinstance(stop, Accepted), stop


@pytest.mark.parametrize("fault", ["sync", "read-only"])
def test_a_disk_that_fails_for_a_while_is_said_stops_the_pump_and_is_taken_up_again(
    tmp_path: Path, shim: Path, fault: str
) -> None:
    async def story(bench: Bench) -> None:
        await fails_safely(bench, fault)
        bench.disk_is_well()
        await bench.shows(
            lambda s: not s.record.words and s.batch is not None and s.batch.state == "held",
            GIVEN_UP_WITHIN_S,
        )
        await bench.client.command("release_stop", {"reason": "All is safe"})
        restarted = await bench.client.command("restart", {"reason": "Looked at everything"})

        assert isinstance(restarted, Accepted), restarted
        assert isinstance(await bench.comments(), Accepted)

    bench = played(tmp_path, shim, story)

    faults = [e.words for e in bench.room.events(ev.RecordFaultSeen) if isinstance(e, ev.RecordFaultSeen)]
    assert len(faults) == 1 and "opened again" in faults[0], faults
    assert len(bench.room.events(ev.DeviceStopped)) == 1


@pytest.mark.parametrize("fault", ["sync", "read-only"])
def test_a_disk_that_does_not_come_back_leaves_the_words_on_the_screen_and_stop_working(
    tmp_path: Path, shim: Path, fault: str
) -> None:
    async def story(bench: Bench) -> None:
        await fails_safely(bench, fault)
        await bench.shows(lambda s: "Go on on paper" in s.record.words, GIVEN_UP_WITHIN_S)
        bench.pump_runs()

        assert isinstance(await bench.comments(), Refused)
        assert isinstance(await bench.client.command("stop"), Accepted)
        assert await bench.stands() <= STANDS_WITHIN_S

    played(tmp_path, shim, story)


def test_a_disk_that_turns_read_only_is_said_although_nothing_is_to_be_recorded(
    tmp_path: Path, shim: Path
) -> None:
    async def story(bench: Bench) -> None:
        bench.disk_is("read-only")

        assert await bench.shows(lambda s: "read-only" in s.record.words, SAID_WITHIN_S) <= SAID_WITHIN_S
        assert await bench.stands() <= STANDS_WITHIN_S

    played(tmp_path, shim, story)


def test_a_file_that_may_not_grow_is_said_and_stops_the_pump_on_any_machine(tmp_path: Path) -> None:
    async def story(bench: Bench) -> None:
        sizes = [path.stat().st_size for path in bench.room.home.record.glob("record.db*")]
        resource.prlimit(bench.engine.pid, resource.RLIMIT_FSIZE, (max(sizes), resource.RLIM_INFINITY))
        answer: Accepted | Refused = await bench.comments()
        while isinstance(answer, Accepted) and bench.accepted < 2_000:
            answer = await bench.comments()
        said_s = await bench.shows(lambda s: bool(s.record.words), SAID_WITHIN_S)

        assert isinstance(answer, Refused) and answer.reason == "record"
        assert said_s <= SAID_WITHIN_S
        assert await bench.stands() <= STANDS_WITHIN_S
        assert isinstance(await bench.client.command("stop"), Accepted)

    played(tmp_path, None, story)
