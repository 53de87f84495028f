"""Twin of a Hamilton Arc probe that stands in the world's medium. It reads and writes whole blocks only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from drivers.modbus import words_low_first
from drivers.simulated.modbus_slave import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusException, ModbusSlave
from drivers.simulated.thermal import approach
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

# The levels with the passwords that the manual prints; a real probe's are to be changed.
USER, ADMINISTRATOR, SPECIALIST = 0x03, 0x0C, 0x30
PASSWORDS = {USER: 0, ADMINISTRATOR: 18111978, SPECIALIST: 16021966}
UPDATE_S = 3.0  # of virtual time between two values
BAUD_CODE_19200 = 4
TEXT_WORDS = 8
CELSIUS, KELVIN, FAHRENHEIT = 0x04, 0x02, 0x08
OUT_OF_MEASURING, OUT_OF_OPERATING = 0x01, 0x02
MEASURING_C, OPERATING_C = (0.0, 130.0), (-20.0, 140.0)
SERIAL_NUMBER, PART_NUMBER = "0001001", "242111/01"
CONDUCTIVITY_MS_CM = 14.0  # of a culture medium
MV_PER_PH = 61.54  # at 37 °C
AIR_PERCENT_VOL = 20.95

Scale = Callable[[float], float]


@dataclass
class Channel:
    """One measured quantity: its name, its units by bit, and how slowly the probe follows."""

    name: str
    look: Callable[[], float]
    units: dict[int, Scale]
    unit: int
    span: tuple[float, float]
    lag_s: float
    status: int = 0
    _value: float | None = field(default=None, repr=False)
    _at_s: float = field(default=0.0, repr=False)

    def value(self, virtual_s: float) -> float:
        """Return the value that the probe holds; every few seconds it takes a fresh one."""
        passed_s = virtual_s - self._at_s
        if self._value is None:
            self._value, self._at_s = self.look(), virtual_s
        elif passed_s >= UPDATE_S:
            self._value, self._at_s = approach(self._value, self.look(), passed_s, self.lag_s), virtual_s
        return self._value


class HamiltonArcTwin(Twin):
    """A probe for pH, or for oxygen or conductivity where the setting `kind` says so.

    `show_status` sets what a person would see of a probe that needs calibration, or that is broken.
    """

    TYPE = "hamilton-arc"
    BITS_PER_BYTE = 11  # 8N2
    FIRMWARE = "EPHUM011"
    FUNCTIONS = frozenset((3, 4, 16))

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self._address = int(self.settings.get("address") or "1")
        self.level = USER
        self.writes = 0
        kind = self.settings.get("kind") or "auto"
        self.measured = _channel(kind, world)
        self.firmware = {"oxygen": "ODOUM043", "conductivity": "ECOUM011"}.get(kind, self.FIRMWARE)
        self.temperature = Channel(
            name="T",
            look=lambda: world.medium.temperature_c,
            units={KELVIN: lambda c: c + 273.15, CELSIUS: float, FAHRENHEIT: lambda c: c * 1.8 + 32},
            unit=CELSIUS,
            span=MEASURING_C,
            lag_s=20.0,
        )
        self._slave = ModbusSlave(self._address, self)
        self._blocks: dict[int, tuple[int, Callable[[], list[int]]]] = {
            1032: (TEXT_WORDS, lambda: _text(self.firmware)),
            1280: (TEXT_WORDS, lambda: _text(PART_NUMBER)),
            1312: (TEXT_WORDS, lambda: _text(SERIAL_NUMBER)),
            2080: (TEXT_WORDS, lambda: _text(self.measured.name)),
            2088: (2, lambda: _long(sum(self.measured.units))),
            2090: (10, lambda: self._measurement(self.measured)),
            2400: (TEXT_WORDS, lambda: _text(self.temperature.name)),
            2408: (2, lambda: _long(sum(self.temperature.units))),
            2410: (10, lambda: self._measurement(self.temperature)),
            4096: (2, lambda: _long(self._address)),
            4102: (2, lambda: _long(BAUD_CODE_19200)),
            4288: (4, lambda: [*_long(self.level), 0, 0]),
        }

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole request."""
        return self._slave.receive(data, now_s)

    def restart(self, now_s: float) -> list[bytes]:
        """Lose the power: the operator level falls back, and nobody is told."""
        self._slave.forget()
        self.level = USER
        return []

    def show_status(self, bits: int) -> None:
        """Let the measured value carry these status bits beside those that the temperature brings."""
        self.measured.status = bits

    def read_bits(self, function: int, start: int, count: int) -> Sequence[bool]:
        """A probe has no coils."""
        raise ModbusException(ILLEGAL_ADDRESS)

    def write_bits(self, start: int, states: Sequence[bool]) -> None:
        """A probe has no coils."""
        raise ModbusException(ILLEGAL_ADDRESS)

    def read_words(self, function: int, start: int, count: int) -> Sequence[int]:
        """Return one whole block; a part of one, or two at once, is refused."""
        length, look = self._blocks.get(start + 1, (0, list))
        if not length:
            raise ModbusException(ILLEGAL_ADDRESS)
        if count != length:
            raise ModbusException(ILLEGAL_VALUE)
        return look()

    def write_words(self, start: int, words: Sequence[int]) -> None:
        """Take an operator level with its password; as specialist also the unit of a measurement."""
        match start + 1, len(words):
            case 4288, 4:
                level, password = _number(words[:2]), _number(words[2:])
                if PASSWORDS.get(level) != password:
                    raise ModbusException(ILLEGAL_VALUE)
                self.level = level
            case 2090, 2:
                self._choose(self.measured, _number(words))
            case 2410, 2:
                self._choose(self.temperature, _number(words))
            case _:
                raise ModbusException(ILLEGAL_ADDRESS)

    def _choose(self, channel: Channel, unit: int) -> None:
        if self.level != SPECIALIST or unit not in channel.units:
            raise ModbusException(ILLEGAL_VALUE)
        channel.unit = unit
        self.writes += 1

    def _measurement(self, channel: Channel) -> list[int]:
        self.world.advance()
        value = self.senses.shown(channel.name, lambda: channel.value(self.world.virtual_s))
        scale = channel.units[channel.unit]
        numbers = (scale(value), *sorted(map(scale, channel.span)))
        shown, low, high = (list(words_low_first(number)) for number in numbers)
        return [*_long(channel.unit), *shown, *_long(channel.status | self._warmth()), *low, *high]

    def _warmth(self) -> int:
        celsius = self.world.medium.temperature_c
        measuring = MEASURING_C[0] <= celsius <= MEASURING_C[1]
        operating = OPERATING_C[0] <= celsius <= OPERATING_C[1]
        return (0 if measuring else OUT_OF_MEASURING) | (0 if operating else OUT_OF_OPERATING)


def _channel(kind: str, world: World) -> Channel:
    medium = world.medium
    match kind:
        case "oxygen":
            return Channel(
                name="DO",
                look=lambda: medium.oxygen_percent,
                units={0x20: float, 0x10: lambda sat: sat * AIR_PERCENT_VOL / 100},
                unit=0x20,
                span=(0.0, 300.0),
                lag_s=30.0,
            )
        case "conductivity":
            return Channel(
                name="Conductivity",
                look=lambda: CONDUCTIVITY_MS_CM,
                units={0x200: lambda ms_cm: ms_cm * 1000, 0x400: float},
                unit=0x400,
                span=(0.0, 300.0),
                lag_s=10.0,
            )
        case _:
            return Channel(
                name="pH",
                look=lambda: medium.ph,
                units={0x1000: float, 0x200000: lambda ph: (7 - ph) * MV_PER_PH},
                unit=0x1000,
                span=(0.0, 14.0),
                lag_s=10.0,
            )


def _text(text: str) -> list[int]:
    data = text.encode("ascii").ljust(2 * TEXT_WORDS, b"\0")
    return [int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2)]


def _long(number: int) -> list[int]:
    return [number & 0xFFFF, number >> 16]


def _number(words: Sequence[int]) -> int:
    return words[0] | words[1] << 16
