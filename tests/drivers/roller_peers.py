"""Roller pumps as strangers would write them from the sheets alone, and lines that answer slowly."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from served_devices import served

from drivers.catalog import driver_for, twin_for
from drivers.faults import DeviceFault
from drivers.reading import Reading
from drivers.roles import Driver
from drivers.simulated.faults import LineFaults
from drivers.simulated.pty_device import PtyDevice
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

SLOW_S = 0.2


class SlowDevice(PtyDevice):
    """Answers each request only after a while."""

    def _send(self, replies: Sequence[bytes], from_s: float) -> None:
        super()._send(replies, from_s + SLOW_S)


class SheetOnlyReglo(Twin):
    """Knows the rows of the sheet and nothing else; an unknown request is `#`. It never counts in parts."""

    TYPE = "ismatec-reglo-icc"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.starts = 0
        self.refuses_with = ""
        self._mode, self._direction, self._addressing = "L", "J", "0"
        self._numbers = {"v": (1000, 0), "f": (1000, 0)}
        self._text = ""

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        self.world.advance()
        self._text += data.decode("ascii", errors="replace")
        *requests, self._text = re.split(r"\r\n?", self._text)
        return [self._answer(request).encode("ascii") for request in requests if request]

    def restart(self, now_s: float) -> list[bytes]:
        return []

    def _answer(self, request: str) -> str:
        command = request[1:]
        if match := re.fullmatch(r"([vf])(\d{4})([+-]\d)", command):
            self._numbers[match[1]] = (int(match[2]), int(match[3]))
            return f"{match[2]}E{match[3]}\r\n"
        if command == "~1":
            self._addressing = "1"
            return "*"
        if command in ("H", "I"):
            return self._start() if command == "H" else self._stop()
        if command in ("O", "J"):
            self._mode, self._direction = command if command == "O" else self._mode, "J"
            return "*"
        moving, counted = self._motion().moving, int(self._motion().dispensed_ml[True] + 1e-6)
        told = {
            "~": f"{self._addressing}\r\n", "x!": "2\r\n", "xE0": "*", "xM": f"{self._mode}\r\n",
            "xD": f"{self._direction}\r\n", "E": "+" if moving else "-", "xG": f"{counted:010d}\r\n",
            "S": "12.30\r\n", "xe": f"{self.refuses_with}\r\n",
        }  # fmt: skip
        return told.get(command, "#")

    def _start(self) -> str:
        self.starts += 1
        if self.refuses_with:
            return "-"
        volume_ml, rate_ml_min = (
            number / 1000 * 10.0**exponent for number, exponent in self._numbers.values()
        )
        self.world.start_rollers(1, rate_ml_min=rate_ml_min, volume_ml=volume_ml, infusing=True)
        return "*"

    def _stop(self) -> str:
        self.world.stop_rollers(1)
        return "*"

    def _motion(self):  # type: ignore[no-untyped-def]
        return self.world.tubing[1].motion


class SheetOnlyMasterflex(Twin):
    """Knows the rows of the sheet; its status is five zeros, because the sheet does not say what they mean.

    It has its number already, and says nothing to ENQ.
    """

    TYPE = "masterflex-ls"
    ML_PER_REV = 0.8

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.starts = 0
        self.start_answer = b"\x06"
        self.starts_for_real = True
        self._speed, self._to_go_rev, self._buffer = "+010.0", 0.0, b""

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        self.world.advance()
        self._buffer += data.replace(b"\x05", b"")
        *frames, self._buffer = self._buffer.split(b"\r")
        return [self._answer(frame[4:].decode("ascii")) for frame in frames if frame[:4] == b"\x02P01"]

    def restart(self, now_s: float) -> list[bytes]:
        return []

    def _answer(self, command: str) -> bytes:
        motion = self.world.tubing[1].motion
        total_rev = motion.dispensed_ml[True] / self.ML_PER_REV
        told: dict[str, Callable[[], str]] = {
            "I": lambda: "P01I00000",
            "S": lambda: f"S{self._speed}",
            "C": lambda: f"C{total_rev:010.2f}",
            "E": lambda: f"E{self._to_go_rev:08.2f}",
        }
        if command in told:
            return b"\x02" + told[command]().encode("ascii") + b"\r"
        if command.startswith("S"):
            self._speed = command[1:]
        elif command.startswith("V"):
            self._to_go_rev = float(command[1:])
        elif command == "Z":
            self._to_go_rev = 0.0
        elif command == "H":
            self.world.stop_rollers(1)
        elif command == "G":
            return self._start()
        return b"\x06"

    def _start(self) -> bytes:
        self.starts += 1
        if self.starts_for_real:
            self.world.start_rollers(
                1,
                rate_ml_min=float(self._speed) * self.ML_PER_REV,
                volume_ml=self._to_go_rev * self.ML_PER_REV,
                infusing=True,
            )
        return self.start_answer


class Bench:
    """One pump, its world and its driver."""

    def __init__(self, driver: Driver, device: PtyDevice) -> None:
        self.driver, self.device, self.world = driver, device, device.twin.world

    def shown(self) -> dict[str, Reading]:
        return {reading.name: reading for reading in self.driver.read()}

    def sent(self) -> list[bytes]:
        return [entry.data for entry in self.driver.line.trace if entry.direction == "out"]

    def fault_of(self, call: Callable[[], object]) -> DeviceFault | None:
        try:
            call()
        except DeviceFault as fault:
            return fault
        return None


@contextlib.contextmanager
def roller_bench(
    type_name: str,
    folder: Path,
    *,
    twin: Callable[[World], Twin] | None = None,
    slow: bool = False,
    **settings: str,
) -> Iterator[Bench]:
    """A pump behind a real pseudo-terminal, its driver opened."""
    world = World(seed=1)
    made = (twin or twin_for(type_name, settings))(world)
    device = (SlowDevice if slow else PtyDevice)(made, folder / "pump", faults=LineFaults(1))
    driver = driver_for(type_name, settings)(str(device.link))
    with served(device):
        driver.open()
        yield Bench(driver, device)
        driver.close()
