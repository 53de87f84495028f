"""A Eurotherm 3200 as its registers show it: the control loop of the world's incubator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from drivers.simulated.eurotherm_bisynch import BisynchSlave
from drivers.simulated.modbus_slave import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusException, ModbusSlave
from drivers.simulated.thermal import BathHeat
from drivers.simulated.twin import Twin
from drivers.simulated.world import TEMPERATURE_NOISE_C, World

PV, TARGET, MANUAL_OUTPUT, WORKING_OUTPUT, WORKING_SETPOINT = 1, 2, 3, 4, 5
BAND, INTEGRAL, DERIVATIVE = 6, 8, 9
RANGE_LOW, RANGE_HIGH, ALARM_1, ALARM_2 = 11, 12, 13, 14
SETPOINT_1, SETPOINT_2, REMOTE = 24, 25, 26
STATUS, SENSOR_BREAK, MANUAL, REMOTE_SELECT = 75, 258, 273, 276
LISTED = frozenset((*range(1, 27), STATUS, SENSOR_BREAK, MANUAL, REMOTE_SELECT))
READ_ONLY = frozenset((PV, WORKING_OUTPUT, WORKING_SETPOINT, RANGE_LOW, RANGE_HIGH, STATUS, SENSOR_BREAK))
TEMPERATURES = frozenset((TARGET, SETPOINT_1, SETPOINT_2, REMOTE))
STATUS_MANUAL, STATUS_SENSOR_BREAK = 4, 5  # bits
RANGE_LOW_C, RANGE_HIGH_C = 0, 100
SETPOINT_C = 37
OUTPUT_SCALE = 10
OUTPUT_PERCENT_PER_K = 50.0
OUTPUT_PERCENT_AT_SETPOINT = 17.5


class EurothermTwin(Twin):
    """Registers 1 to 26 and the four behind them; what is temperature is scaled by the display's decimals.

    With the setting `protocol` bisynch it tells three of them by name, over EI-Bisynch.
    """

    TYPE = "eurotherm-3200"
    FUNCTIONS = frozenset((3, 4, 6, 16))

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.bath: BathHeat = world.incubator
        self.sensor_broken = False
        self.alarms: set[int] = set()  # 1 to 4
        self.eeprom_writes = 0
        address, decimals = int(self.settings.get("address", "1")), int(self.settings.get("decimals", "1"))
        self._scale: int = 10**decimals
        self._slave: ModbusSlave | BisynchSlave = ModbusSlave(address, self)
        if self.settings.get("protocol") == "bisynch":
            self._slave = BisynchSlave(address, decimals, self)
        self._held = dict.fromkeys(range(1, 27), 0) | {REMOTE_SELECT: 0}
        for register, value_c in (
            (TARGET, SETPOINT_C),
            (SETPOINT_1, SETPOINT_C),
            (SETPOINT_2, SETPOINT_C),
            (RANGE_LOW, RANGE_LOW_C),
            (RANGE_HIGH, RANGE_HIGH_C),
            (ALARM_1, RANGE_HIGH_C),
            (ALARM_2, RANGE_LOW_C),
        ):
            self._held[register] = value_c * self._scale
        self._held |= {BAND: 20 * self._scale, INTEGRAL: 360, DERIVATIVE: 60}
        self._live: dict[int, Callable[[], int]] = {
            PV: self._process_value,
            WORKING_OUTPUT: lambda: round(self._output_percent() * OUTPUT_SCALE),
            WORKING_SETPOINT: lambda: round(self.bath.setpoint_c * self._scale),
            STATUS: self._status,
            SENSOR_BREAK: lambda: int(self.sensor_broken),
            MANUAL: lambda: int(not self.bath.running),
        }

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole request."""
        return self._slave.receive(data, now_s)

    def restart(self, now_s: float) -> list[bytes]:
        """Come back with the target set-point: the remote one was volatile. It tells nobody."""
        self._slave.forget()
        self.world.advance()
        self._held[REMOTE] = self._held[REMOTE_SELECT] = 0
        self._control()
        return []

    def read_bits(self, function: int, start: int, count: int) -> Sequence[bool]:
        """This unit has no coils."""
        raise ModbusException(ILLEGAL_ADDRESS)

    def write_bits(self, start: int, states: Sequence[bool]) -> None:
        """This unit has no coils."""
        raise ModbusException(ILLEGAL_ADDRESS)

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        """Return registers; input registers are the same ones."""
        self.world.advance()
        registers = range(start, start + count)
        if not LISTED.issuperset(registers):
            raise ModbusException(ILLEGAL_ADDRESS)
        return [self._shown(register) & 0xFFFF for register in registers]

    def write_words(self, start: int, words: Sequence[int]) -> None:
        """Take values, all or none."""
        values = {start + at: word - 0x10000 if word & 0x8000 else word for at, word in enumerate(words)}
        if not LISTED.issuperset(values):
            raise ModbusException(ILLEGAL_ADDRESS)
        if not all(self._allowed(register, value) for register, value in values.items()):
            raise ModbusException(ILLEGAL_VALUE)
        self.world.advance()
        self.eeprom_writes += TARGET in values
        for register, value in values.items():
            if register == MANUAL:
                self.bath.running = value == 0
            else:
                self._held[register] = value
        self._control()

    def _allowed(self, register: int, value: int) -> bool:
        if register in READ_ONLY:
            return False
        if register in TEMPERATURES:
            return self._held[RANGE_LOW] <= value <= self._held[RANGE_HIGH]
        if register in (MANUAL, REMOTE_SELECT):
            return value in (0, 1)
        if register == MANUAL_OUTPUT:
            return 0 <= value <= 100 * OUTPUT_SCALE
        return True

    def _control(self) -> None:
        """Let the loop work to the set-point that is selected; in manual this world's heater stands."""
        remote = self._held[REMOTE_SELECT] == 1
        self.bath.setpoint_c = self._held[REMOTE if remote else TARGET] / self._scale

    def _shown(self, register: int) -> int:
        live = self._live.get(register)
        return self._held[register] if live is None else live()

    def _process_value(self) -> int:
        if self.sensor_broken:
            return self._held[RANGE_HIGH]
        return round(self.senses.shown("bath", self._look_c) * self._scale)

    def _look_c(self) -> float:
        return self.bath.temperature_c + self.world.noise(TEMPERATURE_NOISE_C)

    def _output_percent(self) -> float:
        if not self.bath.running:
            return self._held[MANUAL_OUTPUT] / OUTPUT_SCALE
        off_c = self.bath.setpoint_c - self.bath.temperature_c
        return min(100.0, max(0.0, OUTPUT_PERCENT_AT_SETPOINT + OUTPUT_PERCENT_PER_K * off_c))

    def _status(self) -> int:
        bits = sum(1 << alarm - 1 for alarm in self.alarms)
        bits |= (not self.bath.running) << STATUS_MANUAL
        return bits | self.sensor_broken << STATUS_SENSOR_BREAK
