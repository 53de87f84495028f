"""One device, one process: what befalls one touches no other. Each reading can be followed to its bytes."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from served_twins import ServedTwins

from appliance.config import Device
from appliance.domain.batch import ReadingNow
from appliance.domain.turns import _named, _reading
from appliance.engine.device_pool import DevicePool
from drivers.trace import Trace
from drivers.trace_file import FILE_BYTES_MAX, TraceKeeper, noted_in

POLL_MS = 100
GAP_S_MAX = 0.3  # and what the machine itself stood still meanwhile
STRUCK_S = 0.6
CELLWRIGHT = Path(sys.executable).parent / "cellwright"


class Ward:
    """An engine reduced to what this needs: it renews leases and keeps what hosts say, and when."""

    def __init__(self, folder: Path) -> None:
        self.said: list[tuple[str, dict[str, Any], int]] = []
        self.machine_stood_s = 0.0
        self.pool = DevicePool(
            [
                device(folder, "balance", "balance", "mt-sics"),
                device(folder, "pump", "pump", "new-era-ne1000"),
            ],
            on_message=lambda name, message: self.said.append((name, message, time.monotonic_ns())),
            term=1,
            trace=folder / "traces",
        )

    def readings(self, name: str, after_ns: int = 0) -> list[dict[str, Any]]:
        return [
            reading
            for told, message, at_ns in self.said
            if told == name and at_ns > after_ns
            for reading in message.get("readings", [])
        ]

    def faults(self, name: str) -> list[str]:
        return [
            message["fault"]["words"] for told, message, _ in self.said if told == name and "fault" in message
        ]

    def widest_gap_s(self, name: str, since_ns: int) -> float:
        times = sorted({reading["received_ns"] for reading in self.readings(name, since_ns)})
        ends = [*times, time.monotonic_ns()]
        return max((later - earlier) / 1e9 for earlier, later in itertools.pairwise(ends))

    async def heard(self, name: str, after_ns: int = 0) -> None:
        async with asyncio.timeout(15):
            while not self.readings(name, after_ns):
                await asyncio.sleep(0.01)


def device(folder: Path, name: str, role: str, type_name: str) -> Device:
    return Device(
        id=name,
        title=name.title(),
        role=role,
        type=type_name,
        port=str(folder / name),
        serial_number="",
        safe_state="stop" if role == "pump" else "keep",
        poll_ms=POLL_MS,
    )


def story(folder: Path, tell: Callable[[Ward, ServedTwins], Awaitable[None]]) -> Ward:
    ward: list[Ward] = []

    async def renew(pool: DevicePool) -> None:
        while True:
            pool.renew_leases(1)
            began_s = time.monotonic()
            await asyncio.sleep(0.1)
            late_s = time.monotonic() - began_s - 0.1
            ward[0].machine_stood_s = max(ward[0].machine_stood_s, late_s)

    async def run(twins: ServedTwins) -> None:
        ward.append(Ward(folder))
        await ward[0].pool.start()
        renewing = asyncio.create_task(renew(ward[0].pool))
        try:
            await ward[0].heard("balance")
            await ward[0].heard("pump")
            await tell(ward[0], twins)
        finally:
            await ward[0].pool.close()
            renewing.cancel()

    with ServedTwins(folder) as twins:
        asyncio.run(run(twins))
    return ward[0]


def flood(ward: Ward, twins: ServedTwins) -> None:
    twins.lines["pump"].fault("flood")


def kill_host(ward: Ward, twins: ServedTwins) -> None:
    os.kill(ward.pool.pids()["pump"], signal.SIGKILL)


def stop_host(ward: Ward, twins: ServedTwins) -> None:
    os.kill(ward.pool.pids()["pump"], signal.SIGSTOP)


def hang_up(ward: Ward, twins: ServedTwins) -> None:
    twins.lines["pump"].fault("unplug")


def freeze_device(ward: Ward, twins: ServedTwins) -> None:
    twins.lines["pump"].fault("freeze")


@pytest.mark.requirement("F-026")
@pytest.mark.parametrize("strike", [flood, kill_host, stop_host, hang_up, freeze_device])
def test_what_befalls_one_device_leaves_no_gap_in_the_readings_of_another(tmp_path, strike):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await asyncio.sleep(0.2)
        ward.machine_stood_s = 0.0
        struck_ns = time.monotonic_ns()

        strike(ward, twins)
        await asyncio.sleep(STRUCK_S)

        assert ward.widest_gap_s("balance", struck_ns) <= GAP_S_MAX + ward.machine_stood_s
        async with asyncio.timeout(5):
            while strike in (flood, hang_up, freeze_device) and not ward.faults("pump"):
                await asyncio.sleep(0.01)
        twins.lines["pump"].fault("none")
        if strike is stop_host:
            os.kill(
                ward.pool.pids()["pump"], signal.SIGKILL
            )  # a stopped process would only be missed after 10 s
        await ward.heard("pump", time.monotonic_ns())

    story(tmp_path, tell)


@pytest.mark.requirement("F-026")
def test_a_port_that_comes_back_as_another_device_is_opened_again_by_its_lasting_name(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        link = twins.lines["balance"].link
        before = link.readlink()
        twins.lines["balance"].fault("unplug", 0.3)
        async with asyncio.timeout(5):
            while not ward.faults("balance"):
                await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            while not link.exists():
                await asyncio.sleep(0.01)

        await ward.heard("balance", time.monotonic_ns())

        assert link.readlink() != before

    ward = story(tmp_path, tell)
    assert "Check the cable" in ward.faults("balance")[0]


@pytest.mark.requirement("F-033")
def test_a_reading_names_its_exchange_and_the_kept_trace_holds_its_bytes(tmp_path):
    async def tell(ward: Ward, twins: ServedTwins) -> None:
        twins.lines["balance"].fault("silent")
        async with asyncio.timeout(5):
            while not ward.faults("balance"):
                await asyncio.sleep(0.01)

    ward = story(tmp_path, tell)
    reading = ward.readings("balance")[-1]
    run, numbers, reply = reading["trace"].split(" ")
    last = numbers.split("-")[-1]

    kept = tmp_path / "traces" / "balance.trace"
    told = subprocess.run(
        [CELLWRIGHT, "device", "trace", "--file", kept, "--run", run, "--exchange", last, "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert reading["value"].encode() in bytes.fromhex(reply)
    assert f'"received": "{reply}"' in told.stdout
    noted = list(noted_in(kept))
    assert noted[0].run is not None and noted[0].run["run"] == run
    assert any(one.fault and one.fault["kind"] == "silent" for one in noted)


@pytest.mark.requirement("F-033")
def test_the_bytes_before_a_fault_are_kept_apart_and_outlive_the_ring(tmp_path):
    trace = Trace()
    keeper = TraceKeeper(trace, tmp_path, "balance")
    trace.note("out", b"SI\r\n")
    trace.note("in", b"S S  1\xb40.00 g\r\n")
    keeper.fault("garbled", "a damaged reply")
    for _ in range(20_000):
        trace.note("in", b"x" * 200)
    keeper.finish(10.0)

    noted = list(noted_in(tmp_path / "balance.faults.trace"))
    assert [one.entry.data for one in noted if one.entry] == [b"SI\r\n", b"S S  1\xb40.00 g\r\n"]
    assert noted[-1].fault is not None and noted[-1].fault["words"] == "a damaged reply"


def test_a_trace_is_kept_in_two_files_that_never_grow_beyond_their_bound(tmp_path):
    trace = Trace()
    keeper = TraceKeeper(trace, tmp_path, "balance")
    for _ in range(4):
        for _ in range(2000):
            trace.note("out", b"SI\r\n")
            trace.note("in", b"x" * 400)
        keeper.fault("garbled", "unusable bytes")
        time.sleep(0.15)
    keeper.finish(5.0)

    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["balance.faults.trace", "balance.trace", "balance.trace.1"]
    assert all(file.stat().st_size <= FILE_BYTES_MAX for file in files)
    assert trace.exchange == 8000
    assert [one for file in files for one in noted_in(file) if one.entry]


def test_a_disk_that_takes_no_trace_costs_no_reading(tmp_path):
    (tmp_path / "traces").write_text("a file where the folder should be")

    async def tell(ward: Ward, twins: ServedTwins) -> None:
        await ward.heard("balance", time.monotonic_ns())

    story(tmp_path, tell)


@pytest.mark.requirement("F-033")
def test_the_record_names_the_bytes_of_a_reading_and_a_record_from_before_reads_without_them():
    reading = ReadingNow(
        value="100.00",
        unit="g",
        quality="good",
        detail="stable",
        source_at="2026-01-01T00:00:00Z",
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
        trace="1767225600-12 17-18 53205320",
    )
    named = _named(("balance", "weight_g"), reading)

    assert _reading(named) == reading
    del named["trace"]
    assert _reading(named).trace == ""
    assert "trace" not in _named(("balance", "weight_g"), _reading(named))
