"""What the stories of the printer share: a label, a printer that prints it, and a hand beside it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from served_devices import served

from drivers.catalog import driver_for
from drivers.faults import DeviceFault
from drivers.printers.zebra_zpl import ZebraPrinter
from drivers.reading import Reading
from drivers.simulated.bench import lone_device
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.tcp_device import TcpDevice
from drivers.simulated.zebra_zpl import ZebraTwin

ROWS = [bytes((0xFF >> row % 8, 0x0F, 0x00, row)) for row in range(24)]
DOTS = b"".join(ROWS)
LABEL_S = 0.06
LOOK_S = 0.02


def zpl(copies: int = 1, rows: list[bytes] = ROWS) -> bytes:
    """Return a label in ZPL, in plain digits."""
    width, data = len(rows[0]), b"".join(rows)
    head = f"^XA^PW{8 * width}^LL{len(rows)}^LH0,0^FO0,0^GFA,{len(data)},{len(data)},{width},"
    return f"{head}{data.hex().upper()}^FS^PQ{copies},0,0,N^XZ\n".encode("ascii")


class PrintRoom:
    """A printer at a line, the driver that prints on it, and what came out of it."""

    def __init__(self, folder: Path, device: PtyDevice, settings: dict[str, str]) -> None:
        twin = device.twin
        assert isinstance(twin, ZebraTwin)
        self.folder, self.device, self.twin = folder, device, twin
        port = device.url if isinstance(device, TcpDevice) else str(device.link)
        driver = driver_for("zebra-zpl", settings)(port)
        assert isinstance(driver, ZebraPrinter)
        driver.LOOK_S = LOOK_S  # type: ignore[misc]
        self.driver = driver
        self.told: list[list[Reading]] = []
        driver.progress = self.told.append

    def job(self, job: str = "j1", copies: int = 1, data: bytes | None = None, **more: str) -> dict[str, str]:
        """Return the parameters of an order `print`, its file written."""
        content = zpl(copies) if data is None else data
        file = self.folder / f"{job}.zpl"
        file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return {"job": job, "zpl_file": str(file), "copies": str(copies), "sha256": sha256, **more}

    def prints(self, job: str = "j1", copies: int = 1, **more: Any) -> dict[str, str]:
        """Print and wait."""
        return self.driver.order("print", self.job(job, copies, **more))

    def read(self) -> dict[str, str]:
        """Read once."""
        return {one.name: str(one.value) for one in self.driver.read()}

    def until(self, holds: Callable[[dict[str, str]], bool], timeout_s: float = 10.0) -> dict[str, str]:
        """Read until something holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            readings = self.read()
            if holds(readings):
                return readings
            assert time.monotonic() < deadline, readings
            time.sleep(0.05)

    @property
    def out(self) -> int:
        """How many labels came out, in truth."""
        return self.twin.labels_out

    @contextmanager
    def hand(self, when: Callable[[], bool], does: Callable[[], object]) -> Iterator[None]:
        """Let a hand wait for something and then do something, while the story prints."""
        given_up = threading.Event()

        def wait() -> None:
            while not given_up.wait(0.002):
                if when():
                    does()
                    return

        hand = threading.Thread(target=wait, daemon=True)
        hand.start()
        yield
        given_up.set()
        hand.join(5.0)


@contextmanager
def print_room(
    folder: Path, *, tcp: bool = False, pace_baud: int = 0, **settings: str
) -> Iterator[PrintRoom]:
    """Set up a printer and open it."""
    link = folder / "printer"
    device = lone_device(
        "zebra-zpl", link, seed=5, settings=settings, pace_baud=pace_baud, tcp_port=0 if tcp else None
    )
    room = PrintRoom(folder, device, settings)
    room.twin.label_s = LABEL_S
    with served(device):
        room.driver.open()
        yield room
        room.driver.close()


def fault_of(act: Callable[[], object]) -> DeviceFault:
    """Return the fault that an act must end in."""
    try:
        result = act()
    except DeviceFault as fault:
        return fault
    raise AssertionError(f"it ended well: {result}")
