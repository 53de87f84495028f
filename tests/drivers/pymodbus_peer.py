"""pymodbus, somebody else's Modbus, at the other end of a line made of two pseudo-terminals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import threading
import tty
from collections.abc import Iterator
from typing import Any

from pymodbus.server import ModbusSerialServer
from pymodbus.simulator import DataType, SimData, SimDevice

START_S = 10.0
# pymodbus wants something in each block; nobody asks there.
NO_BITS = [SimData(60_000, values=[False] * 8, datatype=DataType.BITS)]
NO_WORDS = [SimData(60_000, values=0, datatype=DataType.REGISTERS)]


def controller(action: Any = None) -> SimDevice:
    """A unit with registers of a 3200 and nothing behind them but what a story puts there."""
    words = [365, 370, 0, 425, 370, 200, 0, 360, 60, 0, 0, 1000, 1000, *[0] * 11, 370, 0]
    holding = [
        SimData(1, values=words, datatype=DataType.REGISTERS),
        *(SimData(address, values=0, datatype=DataType.REGISTERS) for address in (75, 258, 273, 276)),
    ]
    return SimDevice(1, simdata=(NO_BITS, NO_BITS, holding, NO_WORDS), action=action)


def board(coils: int = 8) -> SimDevice:
    """A unit with coils and nothing else."""
    outputs = [SimData(0, values=[False] * coils, datatype=DataType.BITS)]
    return SimDevice(1, simdata=(outputs, NO_BITS, NO_WORDS, NO_WORDS))


@contextlib.contextmanager
def wire() -> Iterator[tuple[str, str]]:
    """Join two pseudo-terminals; what goes into the one comes out of the other."""
    ends = [os.openpty() for _ in range(2)]
    masters = [master for master, _ in ends]
    for _, slave in ends:
        tty.setraw(slave)
    ended = threading.Event()

    def carry() -> None:
        while not ended.is_set():
            for ready in select.select(masters, [], [], 0.05)[0]:
                os.write(masters[1 - masters.index(ready)], os.read(ready, 4096))

    thread = threading.Thread(target=carry, daemon=True)
    thread.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1])
    finally:
        ended.set()
        thread.join(START_S)
        for end in ends:
            for descriptor in end:
                os.close(descriptor)


@contextlib.contextmanager
def pymodbus_unit(unit: SimDevice) -> Iterator[str]:
    """Let pymodbus play a unit; give the port at which a driver finds it."""
    with wire() as (ours, theirs):
        loop = asyncio.new_event_loop()
        serving: list[ModbusSerialServer] = []
        began = threading.Event()

        async def serve() -> None:
            server = ModbusSerialServer(unit, port=theirs, baudrate=9600)
            serving.append(server)
            await server.serve_forever(background=True)
            began.set()
            await server.serving

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        assert began.wait(START_S), "pymodbus did not start"
        try:
            yield ours
        finally:
            asyncio.run_coroutine_threadsafe(serving[0].shutdown(), loop).result(START_S)
            thread.join(START_S)
            loop.close()
