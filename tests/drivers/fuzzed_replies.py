"""What a driver makes of any bytes: a run of calls, with each reply changed as a string of bytes says."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages

from memory_line import VirtualTime, joined, on_virtual_time
from type_variants import LABELS, type_and_settings

import drivers
from drivers.catalog import Trial, device_type
from drivers.faults import DeviceFault
from drivers.framing import BrokenFrame, Take
from drivers.modbus import read_coils, read_registers, take_reply, write_register
from drivers.roles import Driver

# Virtual seconds; the clock stands still while a driver computes, so these are bounds of waiting.
BOUNDS_S = {"open": 6.5, "identify": 3.0, "read": 1.01, "order": 40.0, "stop": 2.0, "close": 1.0}
BUFFER_BYTES = 2048


class Script:
    """Says by its bytes what becomes of each reply; when it is used up, replies pass as they are."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def damage(self, reply: bytes) -> list[bytes]:
        """Return the pieces that arrive of a reply."""
        if self._at >= len(self._data):
            return [reply]
        match self._next() % 9:
            case 3:
                place = self._next() % max(1, len(reply))
                changed = bytearray(reply)
                changed[place : place + 1] = (
                    bytes((changed[place] ^ (1 << self._next() % 8),)) if changed else b""
                )
                return [bytes(changed)]
            case 4:
                return [reply[: self._next() % (len(reply) + 1)]]
            case 5:
                place = self._next() % (len(reply) + 1)
                return [reply[:place], self._raw(), reply[place:]]
            case 6:
                return [self._raw()]
            case 7:
                return [reply, reply]
            case 8:
                return []
            case _:
                return [reply]

    def _next(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def _raw(self) -> bytes:
        size = self._next() % 48
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


def driven(label: str, data: bytes) -> None:
    """Open, ask, order and stop with replies changed by `data`.

    Raises
    ------
    AssertionError
        A call took longer than its bound.
    Exception
        Whatever a driver raises that is no device fault.
    """
    with on_virtual_time() as clock:
        driver, _ = joined(label, clock, Script(data).damage)
        name, settings = type_and_settings(label)
        trials = device_type(name).trials_with(settings)
        acts: list[tuple[str, Callable[[], object]]] = [
            ("open", driver.open),
            ("read", driver.read),
            ("identify", driver.identify),
            *(
                (("order", partial(_order, driver, trials[data[0] % len(trials)])),)
                if data and trials
                else ()
            ),
            ("read", driver.read),
            ("stop", driver.stop),
            ("read", driver.read),
            ("close", driver.close),
        ]
        for name, act in acts:
            _bounded(clock, name, act)


def _order(driver: Driver, trial: Trial) -> object:
    return driver.order(trial.order, dict(trial.parameters))


def _bounded(clock: VirtualTime, name: str, act: Callable[[], object]) -> None:
    began_s = clock.now_s
    with suppress(DeviceFault):  # told in words: what a bad line must end in
        act()
    took_s = clock.now_s - began_s
    assert took_s <= BOUNDS_S[name], f"{name} took {took_s:.2f} s"


def takes() -> dict[str, Take]:
    """Return every function of the drivers that cuts frames out of a buffer, by its name."""
    found: dict[str, Take] = {
        f"modbus.take_reply of {request}": partial(take_reply, address=1, request=request)
        for request in (read_registers(0, 10), read_coils(0, 8), write_register(2, 370))
    }
    folder = str(Path(str(drivers.__file__)).parent)
    for info in walk_packages([folder], "drivers."):
        if info.name.startswith("drivers.simulated") or info.ispkg:
            continue
        module = import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if name.startswith("take_") and function.__module__ == info.name and _is_take(function):
                found[f"{info.name.rpartition('.')[2]}.{name}"] = function
    return found


def _is_take(function: Callable[..., object]) -> bool:
    parameters = list(inspect.signature(function).parameters.values())
    required = [one for one in parameters if one.default is inspect.Parameter.empty]
    return len(required) == 1 and required[0].name == "buffer"


def targets() -> dict[str, Callable[[bytes], object]]:
    """Return all that takes bytes from a device, by name: every frame cutter, every driver."""
    found: dict[str, Callable[[bytes], object]] = {
        name: partial(taken, take) for name, take in takes().items()
    }
    return found | {label: partial(driven, label) for label in LABELS}


def taken(take: Take, data: bytes) -> list[bytes]:
    """Cut all frames out of bytes."""
    return rest_of(take, bytearray(data))


def rest_of(take: Take, buffer: bytearray) -> list[bytes]:
    """Cut until nothing more comes; each step waits, returns a frame, or tells a broken one and goes on.

    Raises
    ------
    AssertionError
        A step that neither waits nor shortens the buffer: a hang.
    """
    frames: list[bytes] = []
    while True:
        before = len(buffer)
        try:
            frame = take(buffer)
        except BrokenFrame:
            assert len(buffer) < before, "a broken frame must leave the buffer shorter"
            continue
        if frame is None:
            assert len(buffer) <= before, "waiting must not make the buffer longer"
            assert len(buffer) <= BUFFER_BYTES, "what never becomes a frame must be given up some day"
            return frames
        assert len(buffer) < before, "a frame must leave the buffer shorter"
        frames.append(frame)
