"""A board of relay outputs: its coils hold the world's pinch valves open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivers.simulated.modbus_slave import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusException, ModbusSlave
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

WATCHDOG_UNIT_S = 0.1  # boards differ; this one counts in tenths of a second


class RelayTwin(Twin):
    """Coils from 0, as many inputs, and one register where the settings name a watchdog."""

    TYPE = "modbus-relay"
    FUNCTIONS = frozenset((1, 2, 3, 5, 6, 15, 16))

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.coils = [False] * int(self.settings.get("coils", "8"))
        self.inputs = [False] * len(self.coils)
        self.watchdog_fired = False
        register = self.settings.get("watchdog_register", "")
        self._registers = {int(register): 0} if register else {}
        self._slave = ModbusSlave(int(self.settings.get("address", "1")), self)
        self._heard_s = 0.0

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole request; each feeds the watchdog."""
        replies = self._slave.receive(data, now_s)
        if replies:
            self._heard_s = now_s
        return replies

    def tick(self, now_s: float) -> list[bytes]:
        """Drop all outputs when nothing was heard for as long as the watchdog waits."""
        waits_s = max(self._registers.values(), default=0) * WATCHDOG_UNIT_S
        if waits_s and any(self.coils) and now_s - self._heard_s > waits_s:
            self.watchdog_fired = True
            self._drop()
        return []

    def restart(self, now_s: float) -> list[bytes]:
        """Lose the power: all outputs drop, and nobody is told."""
        self._slave.forget()
        self._drop()
        return []

    def read_bits(self, function: int, start: int, count: int) -> Sequence[bool]:
        """Return coils, or inputs."""
        bits = self.coils if function == 1 else self.inputs
        if start + count > len(bits):
            raise ModbusException(ILLEGAL_ADDRESS)
        return bits[start : start + count]

    def write_bits(self, start: int, states: Sequence[bool]) -> None:
        """Switch coils."""
        if start + len(states) > len(self.coils):
            raise ModbusException(ILLEGAL_ADDRESS)
        for coil, on in enumerate(states, start):
            self._switch(coil, on)

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        """Return the watchdog's register, where there is one."""
        if count != 1 or start not in self._registers:
            raise ModbusException(ILLEGAL_ADDRESS)
        return [self._registers[start]]

    def write_words(self, start: int, words: Sequence[int]) -> None:
        """Set the watchdog's time; 0 switches it off."""
        if len(words) != 1 or start not in self._registers:
            raise ModbusException(ILLEGAL_ADDRESS)
        if words[0] > 10_000:
            raise ModbusException(ILLEGAL_VALUE)
        self._registers[start] = words[0]

    def _drop(self) -> None:
        for coil in range(len(self.coils)):
            self._switch(coil, False)

    def _switch(self, coil: int, on: bool) -> None:
        self.coils[coil] = on
        if coil < len(self.world.valves):
            self.world.set_valve(coil, on)
