"""Older Eurotherm controllers that speak EI-Bisynch. Wire facts: docs/devices/eurotherm_3200.md."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from decimal import Decimal

from drivers.bisynch import ADDRESS_MAX, BisynchUnit
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    WrongDevice,
)
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Reading, reading_now
from drivers.roles import SafeState
from drivers.wear import Wear, WearCounter

NAME = "Thermostat"
PROCESS_VALUE, SETPOINT, OUTPUT, REASON = "PV", "SL", "OP", "EE"
WORN = "target set-point"
EEPROM_WRITES = 100_000
SET_TRIES = 2  # a set-point may be written again after it was read back: twice the same is the same
CYCLES_S = 0.6  # the loop works in cycles of a quarter of a second
_NUMBER = re.compile(r" *([-+]?(?:[0-9]{1,5}(?:\.[0-9]{0,17})?|\.[0-9]{1,17})) *")
_SETPOINT = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,4})?")


class BisynchController:
    """A heater loop that tells its process value, set-point and output, and takes a set-point.

    Each answer carries a check and the name of what was asked, so one reading is good by itself. The unit
    tells neither whether its loop runs nor an alarm, and cannot be started or stopped over this line.
    """

    TYPE = "eurotherm-3200"
    ROLE = "thermostat"
    READ_S = 0.9
    ORDER_S = 1.5
    OPEN_S = 2.0

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        line_settings = LineSettings.told(given.get("line") or "9600-7E1")
        address = int(given.get("address") or "1")
        probes = (SETPOINT, PROCESS_VALUE, REASON)
        self._unit = BisynchUnit(NAME, port, line_settings, address=address, probes=probes)
        self._step = Decimal(1).scaleb(-int(given.get("decimals") or "1"))
        self._range_high_c = Decimal(given["range_high_c"]) if given.get("range_high_c") else None
        self._wear = WearCounter({WORN: EEPROM_WRITES})
        self._has_output = False
        self._ordered_c: Decimal | None = None

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._unit.line

    def open(self) -> None:
        """Open the line, make sure that such a unit answers, and find out whether it tells its output."""
        if self._unit.address > ADDRESS_MAX:
            raise WrongDevice(NAME, f"addresses of EI-Bisynch end at {ADDRESS_MAX}. Correct `address`.")
        self._unit.line.open()
        try:
            self._tell_apart()
            self._has_output = self._knows_output()
        except DeviceFault:
            self._unit.line.close()
            raise

    def identify(self) -> Identity:
        """Make sure that it answers; what is known of this protocol tells neither number nor firmware."""
        self._unit.query(PROCESS_VALUE, self._soon())
        return Identity(maker="Eurotherm", model="EI-Bisynch", serial_number="", firmware="")

    def read(self) -> list[Reading]:
        """Read process value, set-point, and output where the unit tells it."""
        deadline = time.monotonic() + self.READ_S
        readings = [self._bath(_number(self._unit.query(PROCESS_VALUE, deadline)))]
        setpoint_c = self._setpoint_c(deadline)
        readings.append(reading_now("setpoint_c", setpoint_c, "°C", "good"))
        if self._has_output:
            output = _number(self._unit.query(OUTPUT, deadline))
            readings.append(reading_now("output_percent", output, "%", "bad" if output is None else "good"))
        if self._ordered_c is not None and setpoint_c != self._ordered_c:
            words = f"holds the set-point {setpoint_c} °C in place of {self._ordered_c} °C: it lost its power"
            self._ordered_c = None
            raise DeviceRestarted(NAME, f"{words} or somebody changed it. Look at it, then set it again.")
        return readings

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Set the set-point; confirmed by read-back. Start and stop are refused."""
        if name in ("start", "stop"):
            raise DeviceRefused(NAME, "cannot be started or stopped over EI-Bisynch. Use its keys.")
        if name != "set" or set(parameters) != {"setpoint_c"}:
            raise DeviceRefused(NAME, f"knows set with setpoint_c, not {name} {dict(parameters)}.")
        return self._set(self._in_steps(parameters["setpoint_c"]))

    def stop(self) -> None:
        """Tell that nothing known of this protocol stops the loop.

        Raises
        ------
        DeviceRefused
            Always.
        """
        raise DeviceRefused(NAME, "cannot be stopped over EI-Bisynch. Switch the heater off at the unit.")

    def apply_safe_state(self, state: SafeState) -> None:
        """Keep the set-point; a phase that declared a stop is told that there is none."""
        if state == "stop":
            self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Return the writes into the set-point."""
        return self._wear.so_far()

    def close(self) -> None:
        """Let go of the line; the loop goes on as it is."""
        self._unit.line.close()

    def _tell_apart(self) -> None:
        deadline = time.monotonic() + self.OPEN_S
        try:
            for name in (PROCESS_VALUE, SETPOINT):
                self._unit.query(name, deadline)
        except DeviceGarbled as fault:
            words = f"what answers is no unit {self._unit.address} of EI-Bisynch. Check port and address."
            raise WrongDevice(NAME, words) from fault

    def _knows_output(self) -> bool:
        """Tell whether this unit tells its output: others are silent to the question, or answer EOT."""
        for _ in range(2):  # one answer may be lost
            try:
                return _number(self._unit.ask(OUTPUT, self._soon())) is not None
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                self._unit.query(PROCESS_VALUE, self._soon())
        return False

    def _bath(self, value_c: Decimal | None) -> Reading:
        """A broken sensor may read as the end of the range, or as no number."""
        fault = "" if value_c is not None else "the unit tells no number"
        if value_c is not None and self._range_high_c is not None and value_c >= self._range_high_c:
            fault = f"process value out of range ({value_c} °C)"
        return reading_now("bath_c", None if fault else value_c, "°C", "bad" if fault else "good", fault)

    def _setpoint_c(self, deadline: float) -> Decimal:
        text = self._unit.query(SETPOINT, deadline)
        if (value := _number(text)) is None:
            raise DeviceGarbled(NAME, "tells no number for its set-point. Look at its display.", text)
        return value

    def _in_steps(self, text: str) -> Decimal:
        """Return a set-point with the decimals of the unit's display; never rounded."""
        if _SETPOINT.fullmatch(text) is None:
            raise DeviceRefused(NAME, f"setpoint_c must be a temperature in °C, not {text!r}.")
        value = Decimal(text)
        if value % self._step:
            raise DeviceRefused(NAME, f"takes set-points in steps of {self._step} °C, not {text}.")
        if self._range_high_c is not None and value > self._range_high_c:
            raise DeviceRefused(NAME, f"takes set-points up to {self._range_high_c} °C, not {text}.")
        return value.quantize(self._step) + 0  # no -0.0

    def _set(self, setpoint_c: Decimal) -> dict[str, str]:
        """Write a set-point where it differs: its memory wears out. What is read back counts."""
        self._ordered_c = None
        held_c, refusal = self._setpoint_c(self._soon()), ""
        for _ in range(SET_TRIES):
            if held_c == setpoint_c:
                break
            refusal = self._written(setpoint_c)
            held_c = self._held_after(setpoint_c, 0.0 if refusal else CYCLES_S)
        if held_c != setpoint_c:
            words = f"holds the set-point {held_c} °C in place of {setpoint_c} °C."
            raise DeviceRefused(NAME, f"{words} {refusal} Look at its range and its keys, then order again.")
        self._ordered_c = held_c
        return {"setpoint_c": str(setpoint_c)}

    def _held_after(self, setpoint_c: Decimal, wait_s: float) -> Decimal:
        until = time.monotonic() + wait_s
        while True:
            held_c = self._setpoint_c(self._soon())
            if held_c == setpoint_c or time.monotonic() >= until:
                return held_c

    def _written(self, setpoint_c: Decimal) -> str:
        """Write the set-point; return why it was refused. A lost answer is none: the set-point tells."""
        self._wear.note(WORN)
        try:
            taken = self._unit.write(SETPOINT, str(setpoint_c), self._soon())
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return ""
        return "" if taken else f"It refused it, reason {self._reason()}."

    def _reason(self) -> str:
        try:
            return self._unit.ask(REASON, self._soon()) or "unknown"
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return "not told"

    def _soon(self) -> float:
        return time.monotonic() + self.ORDER_S


def _number(text: str) -> Decimal | None:
    match = _NUMBER.fullmatch(text)
    return None if match is None else Decimal(match[1])
