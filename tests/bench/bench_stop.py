"""STOP latency: from a tap at a screen's socket to the STOP bytes at a moving pump, 100 times.

`python tests/bench/bench_stop.py` prints one JSON line. The pump is a twin on a pseudo-terminal
in this same process, so that its moment of receipt is on the same monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "appliance" / "engine"))

from served_twins import ServedTwins

from appliance.config import Device
from appliance.engine.device_pool import DevicePool
from appliance.link.client import LinkClient
from appliance.link.messages import (
    Accepted,
    Command,
    Hello,
    RecordView,
    Refused,
    Snapshot,
    SyncView,
    UnitView,
)
from appliance.link.server import Caller, LinkServer

ROUNDS = 100
POLL_MS = 100  # the pump is asked ten times a second: a STOP often meets a request under way
PUMP = {"title": "Pump", "role": "pump", "type": "new-era-ne1000", "serial_number": ""}


class Bench:
    """A pool behind a socket, and nothing of an engine in between but the way of a STOP."""

    def __init__(self, folder: Path, twins: ServedTwins) -> None:
        self.twins = twins
        self.confirmed_ms: list[float] = []
        self._outcomes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        device = Device(id="pump", port=str(folder / "pump"), safe_state="stop", poll_ms=POLL_MS, **PUMP)
        self.pool = DevicePool([device], on_message=self._take, term=1, bench="simulated")
        self.server = LinkServer(
            folder / "engine.sock",
            on_hello=lambda hello, caller: _snapshot(hello),
            on_command=self._command,
            on_stop=lambda command, caller: self.pool.stop_all(),
        )
        self.screen = LinkClient(folder / "engine.sock", client="bedside")

    async def run(self) -> list[float]:
        """Return the latency of each round in ms."""
        await self.server.start()
        await self.pool.start()
        leases = asyncio.create_task(self._renew())
        await self.screen.connect()
        while not self.pool.fresh("pump"):
            await asyncio.sleep(0.01)
        latencies = [await self._one(round_number) for round_number in range(ROUNDS)]
        await self.screen.close()
        await self.pool.close()
        await self.server.close()
        leases.cancel()
        return latencies

    async def _one(self, round_number: int) -> float:
        order = {"volume_ml": "0.5", "rate_ml_min": "3"}
        self.pool.order("pump", f"o{round_number}", "infuse", order, 5000)
        while (outcome := await self._outcomes.get())["id"] != f"o{round_number}":
            pass
        assert outcome["ok"], outcome
        # Spread over the poll interval, so that each place within it is met.
        await asyncio.sleep(POLL_MS / 1000 * (round_number / ROUNDS))
        began_ns = time.monotonic_ns()
        await self.screen.command("stop")
        while self.twins.pump.stop_received_ns < began_ns or self.twins.pump_moves:
            await asyncio.sleep(0.001)
        return (self.twins.world.motion.stopped_ns - began_ns) / 1e6

    async def _renew(self) -> None:
        while True:
            self.pool.renew_leases(1)
            await asyncio.sleep(0.1)

    def _take(self, device_id: str, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._outcomes.put_nowait(message["outcome"])
        if message.get("stopped"):
            self.confirmed_ms.append(float(message["latency_ms"]))

    async def _command(self, command: Command, caller: Caller) -> Accepted | Refused:
        return Accepted(command_id=command.command_id, seq=0)


def _snapshot(hello: Hello) -> Snapshot:
    now = datetime.now(UTC)
    unit = UnitView(
        id="bench", site="", time_zone="UTC", simulated=True, clock_speed="1", software_version="", term=1
    )
    return Snapshot(
        **{"seq": 0, "utc": now, "time_trust": "trusted", "unit": unit, "people": [], "person": None},
        **{"locked": False, "stop_latched": False, "orders": [], "batch": None, "prompts": []},
        **{"alarms": [], "devices": [], "timers": [], "sync": SyncView(acknowledged_seq=0, behind=0)},
        record=RecordView(seq=0, hash="", committed_at=None),
    )


def main() -> int:
    """Measure, and print one line."""
    with tempfile.TemporaryDirectory() as folder, ServedTwins(Path(folder)) as twins:
        bench = Bench(Path(folder), twins)
        latencies = asyncio.run(bench.run())
    line = {
        "bench": "stop",
        "rounds": len(latencies),
        "tap_to_standing_ms_median": round(statistics.median(latencies), 1),
        "tap_to_standing_ms_worst": round(max(latencies), 1),
        "host_to_confirmed_ms_median": round(statistics.median(bench.confirmed_ms), 1),
        "host_to_confirmed_ms_worst": round(max(bench.confirmed_ms), 1),
    }
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
