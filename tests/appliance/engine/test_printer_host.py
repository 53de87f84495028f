"""The label printer behind its host: long orders, their leases, STOP beside them, and who may stand where."""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.config import Device
from appliance.engine.device_pool import DevicePool
from drivers.simulated.bench import lone_device
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.tcp_device import TcpDevice

ROWS = [bytes((row * 7 + column) % 251 for column in range(50)) for row in range(60)]


def label(copies: int) -> bytes:
    data = b"".join(ROWS)
    head = f"^XA^PW400^LL{len(ROWS)}^LH0,0^FO0,0^GFA,{len(data)},{len(data)},50,"
    return f"{head}{data.hex().upper()}^FS^PQ{copies},0,0,N^XZ\n".encode("ascii")


class Ward:
    """An engine reduced to what a pool needs of it."""

    def __init__(self, printer: Device, bench: Any) -> None:
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.pool = DevicePool(
            [printer],
            on_message=lambda _, message: self.said.append((time.monotonic(), message)),
            term=3,
            bench=bench,
        )

    async def renew(self) -> None:
        while True:
            self.pool.renew_leases(3)
            await asyncio.sleep(0.1)

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [message[kind] for _, message in self.said if kind in message]

    def print(self, folder: Path, copies: int) -> None:
        file = folder / "label.zpl"
        file.write_bytes(label(copies))
        sha256 = hashlib.sha256(label(copies)).hexdigest()
        parameters = {"job": "j1", "zpl_file": str(file), "copies": str(copies), "sha256": sha256}
        self.pool.order("printer", "o1", "print", parameters, 5000)

    async def until(self, look: Callable[[], Any], timeout_s: float = 15.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not look():
                await asyncio.sleep(0.005)


def story(
    folder: Path,
    tell: Callable[[Ward, Any], Awaitable[None]],
    *,
    tcp: bool = False,
    bench: str = "simulated",
    **line: Any,
) -> None:
    twin = lone_device("zebra-zpl", folder / "printer", tcp_port=0 if tcp else None, **line)
    port = twin.url if isinstance(twin, TcpDevice) else str(twin.link)

    async def run(served: PtyDevice) -> None:
        printer = Device(
            id="printer",
            title="Printer",
            role="printer",
            type="zebra-zpl",
            port=port,
            serial_number="",
            safe_state="keep",
            poll_ms=100,
            settings=line.get("settings", {}),
        )
        ward = Ward(printer, bench)
        await ward.pool.start()
        renewing = asyncio.create_task(ward.renew())
        try:
            async with asyncio.timeout(40):
                await tell(ward, served.twin)
        finally:
            await ward.pool.close()
            renewing.cancel()

    stop = threading.Event()
    thread = threading.Thread(target=serve, args=([twin], tuple, stop.is_set))
    thread.start()
    try:
        while not twin.link.exists():
            time.sleep(0.005)
        asyncio.run(run(twin))
    finally:
        stop.set()
        thread.join(5)


@pytest.mark.requirement("F-091")
def test_a_long_print_keeps_its_lease_tells_that_it_lives_and_is_not_broken_by_stop(tmp_path: Path) -> None:
    """6 kB at 38400 baud are 1.6 s: four times as long as a lease."""

    async def tell(ward: Ward, twin: Any) -> None:
        await ward.until(lambda: ward.told("readings"))
        ward.print(tmp_path, 1)
        began_s = time.monotonic()
        await asyncio.sleep(0.5)
        ward.pool.stop_all()
        await ward.until(lambda: ward.told("outcome"))

        assert time.monotonic() - began_s > 1.2
        (outcome,) = ward.told("outcome")
        assert (outcome["ok"], outcome["result"]["printed"]) == (True, "1")
        assert [b"".join(ROWS)] == twin.came_out
        heard = [at_s for at_s, message in ward.said if "readings" in message and at_s > began_s]
        gaps = [after - before for before, after in zip([began_s, *heard], heard, strict=False)]
        assert max(gaps) < 1.5, "a reading that is 2 s old is stale"
        assert ward.told("stopped") == []
        assert [one["state"] for one in ward.told("host")] == ["started"]

    line = {"pace_baud": 38400, "settings": {"line": "19200-8N1"}}
    story(tmp_path, tell, **line)


@pytest.mark.requirement("F-091")
def test_an_order_cut_short_tells_the_engine_its_word_and_how_far_it_came(tmp_path: Path) -> None:
    async def tell(ward: Ward, twin: Any) -> None:
        await ward.until(lambda: ward.told("readings"))
        twin.leave(1)
        twin.label_s = 0.1
        ward.print(tmp_path, 3)
        await ward.until(lambda: ward.told("outcome"))

        (outcome,) = ward.told("outcome")
        assert (outcome["ok"], outcome["fault"]) == (False, "paper_out")
        assert outcome["result"]["printed"] == "1"

    story(tmp_path, tell, tcp=True)


@pytest.mark.requirement("F-091")
def test_a_real_unit_prints_on_no_printer_of_its_own_machine(tmp_path: Path) -> None:
    async def tell(ward: Ward, twin: Any) -> None:
        await ward.until(lambda: ward.told("fault"))

        assert "is a simulated device, the unit is real" in ward.told("fault")[0]["words"]
        assert ward.told("ready") == []

    story(tmp_path, tell, tcp=True, bench="real")
