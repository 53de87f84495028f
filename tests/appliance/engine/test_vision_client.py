"""The vision worker may die or hang; the engine then says so and starts another."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.engine import vision_client
from appliance.engine.vision_client import VisionAway, VisionClient, VisionRefused

# A worker with the worst habits, over the same pipe and protocol as the real one.
WORKER = """
import json, os, sys, time
asked = open(sys.argv[1], "a")
print("a library greets on standard output", flush=True)
print(json.dumps({"ready": True, "versions": {"worker": "1"}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print(request["op"], file=asked, flush=True)
    def say(**words):
        print(json.dumps({"id": request["id"], **words}), flush=True)
    if request["op"] == "die":
        os._exit(9)
    if request["op"] == "hang":
        time.sleep(60)
    if request["op"] == "refuse":
        say(ok=False, reason="blurred", words="The picture is blurred. Take it again.")
        continue
    if request["op"] == "babble":
        print("not json", flush=True)
        print(json.dumps({"id": 9999, "ok": True, "result": {}}), flush=True)
    if request["op"] == "count":
        say(progress=0.25)
        say(progress=0.75)
    if request["op"] == "slow":
        time.sleep(0.3)
    say(ok=True, result={"op": request["op"], "image": request.get("image", "")})
"""


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return tmp_path / "asked"


def story(tmp_path: Path, asked: Path, tell: Callable[[VisionClient], Awaitable[None]]) -> None:
    script = tmp_path / "worker.py"
    script.write_text(WORKER)

    async def run() -> None:
        client = VisionClient((sys.executable, str(script), str(asked)))
        await client.start()
        try:
            async with asyncio.timeout(30):
                await tell(client)
        finally:
            await client.close()

    asyncio.run(run())


async def is_gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        await asyncio.sleep(0.01)
    return False


def test_a_request_waits_for_the_worker_to_be_ready_and_gets_its_result(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        assert client.state == "starting"

        assert await client.ask("scan", image="a.png") == {"op": "scan", "image": "a.png"}
        assert client.ready
        assert client.versions == {"worker": "1"}

    story(tmp_path, asked, tell)


def test_a_refusal_comes_with_the_workers_reason_and_words(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        with pytest.raises(VisionRefused, match="Take it again") as refused:
            await client.ask("refuse")
        assert refused.value.reason == "blurred"

    story(tmp_path, asked, tell)


def test_a_request_that_kills_the_worker_is_told_and_never_sent_again(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        with pytest.raises(VisionAway, match="Take the picture again"):
            await client.ask("die")

        assert (await client.ask("scan"))["op"] == "scan"
        assert asked.read_text().split() == ["die", "scan"]

    story(tmp_path, asked, tell)


def test_a_worker_that_hangs_is_killed_at_the_deadline_and_the_next_request_is_served(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        await client.ask("ping")
        pid = client.pid
        assert pid is not None
        began = time.monotonic()

        with pytest.raises(VisionAway, match=r"in 0\.2 s"):
            await client.ask("hang", timeout_s=0.2)

        assert time.monotonic() - began < 1.5
        assert (await client.ask("ping"))["op"] == "ping"
        assert client.pid != pid
        assert await is_gone(pid)

    story(tmp_path, asked, tell)


def test_a_worker_killed_while_idle_comes_back(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        await client.ask("ping")
        assert client.pid is not None

        os.kill(client.pid, signal.SIGKILL)

        while client.ready:
            await asyncio.sleep(0.01)
        assert (await client.ask("ping"))["op"] == "ping"

    story(tmp_path, asked, tell)


def test_lines_that_answer_nothing_are_passed_over(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        assert (await client.ask("babble"))["op"] == "babble"

    story(tmp_path, asked, tell)


def test_long_work_tells_how_far_it_is(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        seen: list[float] = []

        await client.ask("count", on_progress=seen.append)

        assert seen == [0.25, 0.75]

    story(tmp_path, asked, tell)


def test_requests_take_turns_and_too_many_are_refused_at_once(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        await client.ask("ping")
        first = asyncio.create_task(client.ask("slow"))
        others = [
            asyncio.create_task(client.ask("scan", image=str(n)))
            for n in range(vision_client.WAITING_MAX - 1)
        ]
        await asyncio.sleep(0.05)

        with pytest.raises(VisionAway, match="busy"):
            await client.ask("scan")
        results: list[Any] = await asyncio.gather(first, *others)

        assert [result["image"] for result in results[1:]] == [str(n) for n in range(len(others))]

    story(tmp_path, asked, tell)


def test_a_request_nobody_waits_for_does_not_hold_up_the_next(tmp_path, asked):
    async def tell(client: VisionClient) -> None:
        await client.ask("ping")
        abandoned = asyncio.create_task(client.ask("hang"))
        await asyncio.sleep(0.1)

        abandoned.cancel()

        assert (await client.ask("ping", timeout_s=5))["op"] == "ping"

    story(tmp_path, asked, tell)


def test_the_real_worker_becomes_ready_and_refuses_what_it_does_not_know():
    async def run() -> None:
        client = VisionClient()
        await client.start()
        try:
            await client.ask("ping")
            assert client.versions
            with pytest.raises(VisionRefused):
                await client.ask("no_such_op")
        finally:
            await client.close()

    asyncio.run(run())


def test_closing_ends_the_worker(tmp_path, asked):
    pids: list[int] = []

    async def tell(client: VisionClient) -> None:
        await client.ask("ping")
        assert client.pid is not None
        pids.append(client.pid)

    story(tmp_path, asked, tell)

    assert asyncio.run(is_gone(pids[0]))
