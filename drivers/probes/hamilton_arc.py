"""Hamilton Arc probes for pH, oxygen and conductivity. Wire facts: docs/devices/hamilton_arc.md."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from drivers.faults import DeviceGarbled, DeviceRefused, DeviceSilent, LineLost, WrongDevice
from drivers.line import SerialLine
from drivers.modbus import (
    ModbusRefused,
    ModbusUnit,
    float_low_word_first,
    line_settings,
    read_registers,
)
from drivers.reading import Identity, Reading, reading_now
from drivers.roles import SafeState
from drivers.wear import Wear, WearCounter

NAME = "Probe"
VALUE_BLOCK, TEMPERATURE_BLOCK, BLOCK_WORDS = 2090 - 1, 2410 - 1, 10
LEVEL_BLOCK, LEVEL_WORDS = 4288 - 1, 4
TEXT_WORDS = 8
NAME_TEXT, FIRMWARE_TEXT, SERIAL_TEXT = 2080 - 1, 1032 - 1, 1312 - 1
OXYGEN_IN_DRY_AIR_PERCENT = 20.95

READINGS = {
    "ph": ("ph", "pH"),
    "oxygen": ("oxygen_percent", "%"),
    "conductivity": ("conductivity_ms_cm", "mS/cm"),
    "temperature": ("temperature_c", "°C"),
}
STATUS = {
    0x01: "the temperature is out of the measuring range",
    0x02: "the temperature is out of the operating range",
    0x04: "the calibration is not in order",
    0x08: "the probe gives a warning: calibration may be due",
    0x10: "the probe reports an error of its own",
}
STILL_SHOWN = 0x04 | 0x08  # the probe measures; what it shows is in doubt
WEARS_OUT = {"configuration": 100_000, "user memory": 10_000}


@dataclass(frozen=True, slots=True)
class Unit:
    """What one bit of the unit means: its kind of probe, and how to come to the unit of the role.

    `factor` is 0 where no number leads there.
    """

    kind: str
    words: str
    factor: float = 1.0
    offset: float = 0.0


UNITS = {
    0x02: Unit("temperature", "K", offset=-273.15),
    0x04: Unit("temperature", "°C"),
    0x08: Unit("temperature", "°F", 5 / 9, -160 / 9),
    0x10: Unit("oxygen", "%-vol", 100 / OXYGEN_IN_DRY_AIR_PERCENT),
    0x20: Unit("oxygen", "%-sat"),
    0x40: Unit("oxygen", "µg/L", 0.0),
    0x80: Unit("oxygen", "mg/L", 0.0),
    0x200: Unit("conductivity", "µS/cm", 0.001),
    0x400: Unit("conductivity", "mS/cm"),
    0x1000: Unit("ph", "pH"),
    0x200000: Unit("ph", "mV", 0.0),
    0x800000: Unit("oxygen", "mbar", 0.0),
}


@dataclass(frozen=True, slots=True)
class Measurement:
    """One block of ten registers."""

    unit_bits: int
    value: float
    status: int
    minimum: float
    maximum: float

    @classmethod
    def out_of(cls, words: tuple[int, ...]) -> Measurement:
        """Return what the registers say; every number has its low word first."""
        return cls(
            unit_bits=words[0] | words[1] << 16,
            value=float_low_word_first(words[2:4]),
            status=words[4] | words[5] << 16,
            minimum=float_low_word_first(words[6:8]),
            maximum=float_low_word_first(words[8:10]),
        )

    @property
    def unit(self) -> Unit | None:
        """What the value means; None for a unit that nobody here knows."""
        return UNITS.get(self.unit_bits)

    @property
    def status_words(self) -> str:
        """What the status says, empty when all is well."""
        words = [STATUS[bit] for bit in STATUS if self.status & bit]
        if self.status & ~sum(STATUS):
            words.append("the probe says something that its manual does not explain")
        return f"{', '.join(words)} (status 0x{self.status:02X})" if words else ""

    @property
    def unusable(self) -> str:
        """Why there is no value, empty when there is one."""
        if self.unit is None:
            return f"the probe shows the unit 0x{self.unit_bits:X}, which nobody here knows"
        if not self.unit.factor:
            return f"the probe shows {self.unit.words}, which cannot be converted. Set its unit at the probe"
        if self.status & ~STILL_SHOWN:
            return f"{self.status_words}; it shows {self.value:.4g} {self.unit.words}"
        if not math.isfinite(self.value):
            return f"the probe shows no number but {self.value}"
        if self.minimum < self.maximum and not self.minimum <= self.value <= self.maximum:
            span = f"{self.minimum:.4g} to {self.maximum:.4g} {self.unit.words}"
            return f"the probe shows {self.value:.4g}, out of its range of {span}"
        return ""


class ArcProbe:
    """A probe that measures and is asked; nothing is ordered from it and nothing is written to it.

    Only whole blocks are read. The line has a checksum: one reading is enough. That the probe lost its
    power cannot be seen in its readings and voids none of them: it holds its calibration, only its
    operator level falls back to user, and this driver never raises it.
    """

    TYPE = "hamilton-arc"
    ROLE = "probe"
    OPEN_S = 3.0
    READ_S = 0.9
    IDENTIFY_S = 1.5

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        self._kind = given.get("kind") or "auto"
        self._found = "" if self._kind == "auto" else self._kind
        # The level's reply is shorter than any other. A probe without it is brought in step by its value.
        self._unit = ModbusUnit(
            NAME,
            port,
            line_settings(given.get("line") or "19200-8N2"),
            address=int(given.get("address") or "1"),
            probes=(
                read_registers(LEVEL_BLOCK, LEVEL_WORDS),
                read_registers(VALUE_BLOCK, BLOCK_WORDS),
            ),
        )
        self._worn = WearCounter(WEARS_OUT)

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._unit.line

    def open(self) -> None:
        """Open the line and make sure that a probe of the expected kind answers.

        Raises
        ------
        WrongDevice
            No Arc probe, or one for another quantity than the settings say.
        """
        self._unit.open(within_s=self.OPEN_S)
        try:
            shown = self._measured(VALUE_BLOCK, time.monotonic() + self.READ_S)
        except ModbusRefused as refusal:
            self._unit.close()
            raise WrongDevice(NAME, "what answers is no Arc probe. Check port and address.") from refusal
        except (DeviceSilent, DeviceGarbled):
            return  # It answered just now: the first reading says what is wrong.
        kind = shown.unit.kind if shown.unit else ""
        if kind == "temperature" or (self._kind != "auto" and kind not in ("", self._kind)):
            self._unit.close()
            words = f"measures {kind}, not {self._kind}. Check port, address and the setting `kind`."
            raise WrongDevice(NAME, words)
        self._found = kind or self._found

    def identify(self) -> Identity:
        """Ask name, firmware and serial number; what a probe does not tell stays empty."""
        deadline = time.monotonic() + self.IDENTIFY_S
        name = self._text(NAME_TEXT, deadline) or {"ph": "pH", "oxygen": "DO"}.get(self._found, self._found)
        return Identity(
            maker="Hamilton",
            model=f"Arc {name}".strip(),
            serial_number=self._text(SERIAL_TEXT, deadline),
            firmware=self._text(FIRMWARE_TEXT, deadline),
        )

    def read(self) -> list[Reading]:
        """Read the value, the temperature, and in `alarm` what their statuses say."""
        deadline = time.monotonic() + self.READ_S
        value = self._measured(VALUE_BLOCK, deadline)
        self._found = value.unit.kind if value.unit else self._found
        readings = [_reading(value, self._found)] if self._found else []
        alarms = [value.status_words or ("" if value.unit else value.unusable)]
        try:
            temperature = self._measured(TEMPERATURE_BLOCK, deadline)
        except LineLost:
            raise
        except (ModbusRefused, DeviceGarbled, DeviceSilent) as fault:
            return [
                *readings,
                reading_now("temperature_c", None, "°C", "bad", fault.words),
                reading_now("alarm", alarms[0], "", "uncertain" if readings else "good"),
            ]
        if temperature.status_words not in alarms:
            alarms.append(temperature.status_words)
        alarm = "; ".join(filter(None, alarms))
        return [*readings, _reading(temperature, "temperature"), reading_now("alarm", alarm, "", "good")]

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Refuse: a probe is calibrated by hand and takes no orders."""
        raise DeviceRefused(NAME, f"takes no orders, not {name!r} either. It only measures.")

    def stop(self) -> None:
        """Do nothing: nothing moves."""

    def apply_safe_state(self, state: SafeState) -> None:
        """Do nothing: nothing moves and nothing is heated."""

    def wear(self) -> tuple[Wear, ...]:
        """Return the writes so far: none, because this driver makes none."""
        return self._worn.so_far()

    def close(self) -> None:
        """Let go of the line."""
        self._unit.close()

    def _measured(self, block: int, deadline: float) -> Measurement:
        """Read a block; one that shows the other block's kind of unit answers another question."""
        while True:
            shown = Measurement.out_of(self._unit.registers(block, BLOCK_WORDS, deadline))
            is_temperature = shown.unit is not None and shown.unit.kind == "temperature"
            if shown.unit is None or is_temperature == (block == TEMPERATURE_BLOCK):
                return shown
            self._unit.doubt()
            if time.monotonic() >= deadline:
                words = "answers with another quantity than asked for. Check the cable."
                raise DeviceGarbled(NAME, words)

    def _text(self, block: int, deadline: float) -> str:
        try:
            words = self._unit.registers(block, TEXT_WORDS, deadline)
        except LineLost:
            raise
        except (ModbusRefused, DeviceSilent, DeviceGarbled):
            return ""
        text = b"".join(word.to_bytes(2, "big") for word in words).split(b"\0")[0]
        return "".join(chr(byte) for byte in text if 0x20 <= byte <= 0x7E).strip()


def _reading(shown: Measurement, kind: str) -> Reading:
    name, unit = READINGS[kind]
    if shown.unusable:
        return reading_now(name, None, unit, "bad", shown.unusable)
    assert shown.unit is not None, "a usable value has a unit"
    value = Decimal(f"{shown.value * shown.unit.factor + shown.unit.offset:.4f}")
    return reading_now(name, value, unit, "uncertain" if shown.status else "good", shown.status_words)
