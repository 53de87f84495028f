"""Devices on a busy unit: what polling costs, how old readings are, how soon a pump stands when a part dies.

`python tests/bench/bench_devices.py [polling|round_trip|safe_state …]` prints one JSON line a part.

- `polling`: sixteen devices of all types that answer within 50 ms, each behind a real host process, asked
  ten times a second. CPU is that of the hosts and of the pool's process; the twins live in another.
- `unit`: the same sixteen under a whole engine, which turns every poll over in its mind.
- `round_trip`: one exchange through a `SerialLine` beside the same bytes over a bare file descriptor.
- `safe_state`: pumps run; the engine is killed or frozen, the hosts are killed, the lines are unplugged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from appliance.config import Device
from appliance.demo.processes import Processes, start_engine
from appliance.demo.site import RECIPES, Site, make_unit
from appliance.engine.device_pool import DevicePool
from drivers.catalog import DeviceType, device_types
from drivers.framing import take_line
from drivers.line import LineSettings, SerialLine
from drivers.simulated.bench import lone_device
from drivers.simulated.pty_device import Stop, serve

DEVICES = 16
POLL_MS = 100
ANSWERS_MS_MAX = 50
POLLING_S = 20.0
SETTLING_S = 6.0
AGE_SAMPLES = 20  # between two readings
EXCHANGES = 2_000
PUMPS = 10
ROUNDS = 20  # with so many pumps at once: 200 of each kind
STRIKE_AFTER_S = 0.6
STANDS_WITHIN_S = 6.0
UNPLUGGED_S = 3.5  # longer than the pumps' own watchdog
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run the parts that were named, or all."""
    parts: dict[str, Callable[[Path], dict[str, Any]]] = {
        "polling": polling,
        "unit": unit,
        "round_trip": round_trip,
        "safe_state": safe_state,
    }
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--farm", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.farm:
        return farm(options.farm)
    if options.engine:
        return asyncio.run(engine(options.engine))
    for name in options.parts or parts:
        with tempfile.TemporaryDirectory(prefix="cw-") as place:
            print(json.dumps({"bench": f"devices {name}", **parts[name](Path(place))}), flush=True)
    return 0


# Polling


def on_bench() -> list[tuple[str, DeviceType]]:
    """Sixteen devices, all quick types in turn."""
    quick = [one for one in device_types() if one.twin and one.answers_within_ms <= ANSWERS_MS_MAX]
    return [(f"d{place:02d}", quick[place % len(quick)]) for place in range(DEVICES)]


def farm(folder: Path) -> int:
    """Serve the twins until SIGTERM (a process of its own)."""
    stop = Stop()
    twins = [
        lone_device(kind.name, folder / name, seed=place) for place, (name, kind) in enumerate(on_bench())
    ]
    serve(twins, list, lambda: stop.asked)
    return 0


@dataclass(slots=True)
class Ages:
    """When each reading of a device was taken and when it came to the pool, in monotonic seconds."""

    taken_s: list[float] = field(default_factory=list)
    came_s: list[float] = field(default_factory=list)

    def of_newest(self) -> Iterator[float]:
        """Yield how old the newest reading was, at moments spread evenly over each interval."""
        for taken_s, came_s, next_s in zip(self.taken_s, self.came_s, self.came_s[1:], strict=False):
            step_s = (next_s - came_s) / AGE_SAMPLES
            yield from (came_s - taken_s + step_s * place for place in range(AGE_SAMPLES + 1))


def polling(folder: Path) -> dict[str, Any]:
    """Ask sixteen devices ten times a second."""
    twins = subprocess.Popen([sys.executable, __file__, "--farm", str(folder)])
    try:
        wait_for(lambda: all((folder / name).exists() for name, _ in on_bench()), 20.0)
        return asyncio.run(_polled(folder))
    finally:
        twins.send_signal(signal.SIGTERM)
        twins.wait(10)


async def _polled(folder: Path) -> dict[str, Any]:
    ages: dict[str, Ages] = {}
    doubtful = 0

    def take(name: str, message: dict[str, Any]) -> None:
        nonlocal doubtful
        if "readings" in message:
            now_s, one = time.monotonic(), ages.setdefault(name, Ages())
            one.came_s.append(now_s)
            one.taken_s.append(min(reading["received_ns"] for reading in message["readings"]) / 1e9)
            doubtful += any(reading["quality"] != "good" for reading in message["readings"])

    pool = DevicePool([_device(folder, name, kind) for name, kind in on_bench()], on_message=take, term=1)
    await pool.start()
    leases = asyncio.create_task(_renew(pool))
    async with asyncio.timeout(60):
        while not all(pool.fresh(name) for name, _ in on_bench()):
            await asyncio.sleep(0.05)
    await asyncio.sleep(2.0)
    ages.clear()
    doubtful = 0
    pids = pool.pids()
    before, began_s = _cpu_s(pids), time.monotonic()
    await asyncio.sleep(POLLING_S)
    took_s, after = time.monotonic() - began_s, _cpu_s(pids)
    await pool.close()
    leases.cancel()
    seen = sorted(age for one in ages.values() for age in one.of_newest())
    hosts_s = sum(after[name] - before[name] for name in pids)
    pool_s = after["pool"] - before["pool"]
    return {
        "devices": len(ages),
        "types": sorted({kind.name for _, kind in on_bench()}),
        "readings_a_second": round(sum(len(one.came_s) for one in ages.values()) / took_s, 1),
        "cpu_percent_of_a_core": round(100 * (hosts_s + pool_s) / took_s, 1),
        "cpu_percent_hosts": round(100 * hosts_s / took_s, 1),
        "cpu_percent_pool": round(100 * pool_s / took_s, 1),
        "cpu_percent_by_type": {
            kind.name: round(100 * (after[name] - before[name]) / took_s, 2) for name, kind in on_bench()
        },
        "age_ms_p50": round(1000 * seen[len(seen) // 2], 1),
        "age_ms_p99": round(1000 * seen[len(seen) * 99 // 100], 1),
        "readings_not_good": doubtful,
    }


def unit(folder: Path) -> dict[str, Any]:
    """Let an engine have the sixteen; its clock is real, no batch is open."""
    site = Site(folder / "site")
    site.folder.mkdir()
    make_unit(site, speed="1", recipe=next(iter(RECIPES)), sign_recipe=True)
    links = folder / "farm"
    links.mkdir()
    _give_devices(site.home.unit_toml, links)
    twins = subprocess.Popen([sys.executable, __file__, "--farm", str(links)])
    processes = Processes(site)
    try:
        wait_for(lambda: all((links / name).exists() for name, _ in on_bench()), 20.0)
        start_engine(processes)
        time.sleep(SETTLING_S)
        own = processes.running["engine"].pid
        pids = {"engine": own} | {str(pid): pid for pid in _hosts_of(own)}
        before, began_s = _cpu_s(pids), time.monotonic()
        time.sleep(POLLING_S)
        took_s, after = time.monotonic() - began_s, _cpu_s(pids)
    finally:
        processes.end_all()
        twins.send_signal(signal.SIGTERM)
        twins.wait(10)
    spent = {name: 100 * (after[name] - before[name]) / took_s for name in pids}
    return {
        "cpu_percent_of_a_core": round(sum(spent.values()), 1),
        "cpu_percent_engine": round(spent.pop("engine"), 1),
        "cpu_percent_hosts": round(sum(spent.values()), 1),
    }


def _hosts_of(pid: int) -> list[int]:
    """The device hosts among a process's children; the vision worker warms its kernels beside them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(one) for one in children if b"device_host" in Path(f"/proc/{one}/cmdline").read_bytes()]


def _give_devices(unit_toml: Path, links: Path) -> None:
    """Put the sixteen in the place of the demonstration's three."""
    head, *tables = unit_toml.read_text(encoding="utf-8").split("\n[[device]]")
    _, sign, rest = tables[-1].partition("\n[")
    devices = "".join(
        f'\n[[device]]\nid = "{name}"\ntitle = "{name}"\nrole = "{kind.role}"\ntype = "{kind.name}"\n'
        f'port = "{links / name}"\nsafe_state = "{_safe_state(kind)}"\npoll_ms = {POLL_MS}\n'
        for name, kind in on_bench()
    )
    unit_toml.write_text(head + devices + sign + rest, encoding="utf-8")


def _safe_state(kind: DeviceType) -> Literal["stop", "keep"]:
    return "stop" if kind.role in ("pump", "valve") else "keep"


def _device(folder: Path, name: str, kind: DeviceType) -> Device:
    return Device(
        id=name,
        title=name,
        role=kind.role,
        type=kind.name,
        port=str(folder / name),
        serial_number="",
        safe_state=_safe_state(kind),
        poll_ms=POLL_MS,
    )


async def _renew(pool: DevicePool) -> None:
    while True:
        pool.renew_leases(1)
        await asyncio.sleep(0.1)


def _cpu_s(pids: dict[str, int]) -> dict[str, float]:
    return {"pool": time.process_time()} | {name: _process_cpu_s(pid) for name, pid in pids.items()}


def _process_cpu_s(pid: int) -> float:
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS_PER_S


# Round trip


def round_trip(folder: Path) -> dict[str, Any]:
    """Ask a balance for its weight, by turns through a line and over a bare descriptor."""
    twins = subprocess.Popen([sys.executable, __file__, "--farm", str(folder)])
    try:
        port = folder / next(name for name, kind in on_bench() if kind.name == "mt-sics")
        wait_for(port.exists, 20.0)
        times: dict[str, list[float]] = {"line": [], "bare": []}
        with _line(port) as through_line, _bare(port) as over_bare:
            for _ in range(EXCHANGES):
                times["line"].append(_timed(through_line))
                times["bare"].append(_timed(over_bare))
    finally:
        twins.send_signal(signal.SIGTERM)
        twins.wait(10)
    return {"exchanges": EXCHANGES} | {
        f"{name}_ms_{mark}": round(1000 * sorted(seen)[int(len(seen) * share)], 3)
        for name, seen in times.items()
        for mark, share in (("p50", 0.5), ("p99", 0.99))
    }


@contextlib.contextmanager
def _line(port: Path) -> Iterator[Callable[[], object]]:
    line = SerialLine("Balance", str(port), LineSettings(baud_rate=9600), take_line)
    line.open()
    yield lambda: line.ask(b"SI\r\n", timeout_s=1.0)
    line.close()


@contextlib.contextmanager
def _bare(port: Path) -> Iterator[Callable[[], object]]:
    descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY)

    def ask() -> bytes:
        os.write(descriptor, b"SI\r\n")
        reply = b""
        while not reply.endswith(b"\r\n"):
            reply += os.read(descriptor, 64)
        return reply

    yield ask
    os.close(descriptor)


def _timed(ask: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    ask()
    return time.perf_counter() - began_s


# Safe state


class Pumps:
    """Syringe pumps on lines of their own, answering in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines = {
            f"p{place:02d}": lone_device("new-era-ne1000", folder / f"p{place:02d}") for place in range(PUMPS)
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=serve, args=(list(self.lines.values()), list, self._stop.is_set)
        )

    def __enter__(self) -> Pumps:
        self._thread.start()
        wait_for(lambda: all(line.link.exists() for line in self.lines.values()), 20.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def standing(self) -> bool:
        """Whether every pump stands."""
        return not any(line.twin.world.motion.moving for line in self.lines.values())

    def moving(self) -> bool:
        """Whether every pump moves."""
        return all(line.twin.world.motion.moving for line in self.lines.values())

    def stood_after_ms(self, struck_ns: int) -> list[float]:
        """How long after the blow each pump came to a stand."""
        return [(line.twin.world.motion.stopped_ns - struck_ns) / 1e6 for line in self.lines.values()]

    def ready_again(self) -> None:
        """Fill the syringes, once every line is plugged in again."""
        for line in self.lines.values():
            wait_for(line.link.exists, 2 * UNPLUGGED_S)
            line.twin.world.load_syringe(60.0)


async def engine(folder: Path) -> int:
    """A pool with leases, which starts every pump when a line comes on stdin (a process of its own)."""
    started = 0
    names = sorted(path.name for path in folder.iterdir())
    kind = next(one for one in device_types() if one.name == "new-era-ne1000")
    devices = [_device(folder, name, kind) for name in names]
    pool = DevicePool(devices, on_message=lambda name, message: None, term=os.getpid())
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    await pool.start()

    async def renew() -> None:
        while True:
            pool.renew_leases(os.getpid())
            await asyncio.sleep(0.1)

    leases = asyncio.create_task(renew())
    while not all(pool.fresh(name) for name in names):
        await asyncio.sleep(0.02)
    print(json.dumps(pool.pids()), flush=True)
    while await reader.readline():
        started += 1
        for name in names:
            parameters = {"volume_ml": "50", "rate_ml_min": "5"}
            pool.order(name, f"{name}-{os.getpid()}-{started}", "infuse", parameters, 5000)
    leases.cancel()
    await pool.close()
    return 0


def safe_state(folder: Path) -> dict[str, Any]:
    """Strike running pumps in four ways, and see when they stand."""
    strikes: dict[str, Callable[[subprocess.Popen[str], dict[str, int], Pumps], None]] = {
        "engine_killed": lambda process, hosts, pumps: process.kill(),
        "engine_frozen": lambda process, hosts, pumps: process.send_signal(signal.SIGSTOP),
        "hosts_killed": lambda process, hosts, pumps: _kill_all(hosts),
        "lines_unplugged": lambda process, hosts, pumps: _unplug_all(pumps),
    }
    result: dict[str, Any] = {"pumps": PUMPS, "rounds": PUMPS * ROUNDS}
    for name, strike in strikes.items():
        with tempfile.TemporaryDirectory(prefix="cw-", dir=folder) as place, Pumps(Path(place)) as pumps:
            seen = [late for _ in range(ROUNDS) for late in _struck(Path(place), pumps, strike)]
        result[f"{name}_ms_median"] = round(statistics.median(seen), 1)
        result[f"{name}_ms_worst"] = round(max(seen), 1)
    return result


def _struck(folder: Path, pumps: Pumps, strike: Callable[..., None]) -> list[float]:
    pumps.ready_again()
    command = [sys.executable, __file__, "--engine", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    hosts: dict[str, int] = json.loads(process.stdout.readline())
    try:
        process.stdin.write("run\n")
        process.stdin.flush()
        wait_for(pumps.moving, 10.0)
        time.sleep(STRIKE_AFTER_S)
        struck_ns = time.monotonic_ns()
        strike(process, hosts, pumps)
        wait_for(pumps.standing, STANDS_WITHIN_S)
        return pumps.stood_after_ms(struck_ns)
    finally:
        process.kill()
        process.wait()


def _kill_all(hosts: dict[str, int]) -> None:
    for pid in hosts.values():
        os.kill(pid, signal.SIGKILL)


def _unplug_all(pumps: Pumps) -> None:
    for line in pumps.lines.values():
        line.fault("unplug", UNPLUGGED_S)


def wait_for(holds: Callable[[], bool], timeout_s: float) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to be so in time"
        time.sleep(0.002)


if __name__ == "__main__":
    sys.exit(main())
