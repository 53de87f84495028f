"""Eurotherm 3200 temperature controllers over Modbus RTU. Wire facts: docs/devices/eurotherm_3200.md."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle

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
from drivers.modbus import (
    ModbusRefused,
    ModbusUnit,
    Request,
    read_registers,
    signed,
    write_register,
    write_registers,
)
from drivers.reading import Identity, Reading, reading_now
from drivers.roles import THERMOSTAT, SafeState
from drivers.wear import Wear, WearCounter

NAME = "Thermostat"
PV, TARGET, MANUAL_OUTPUT, WORKING_OUTPUT, WORKING_SETPOINT = 1, 2, 3, 4, 5
RANGE_LOW, RANGE_HIGH = 11, 12
REMOTE = 26
STATUS, SENSOR_BREAK, MANUAL, REMOTE_SELECT = 75, 258, 273, 276
ALARM_BITS = {0: "alarm 1", 1: "alarm 2", 2: "alarm 3", 3: "alarm 4"}
STATUS_MANUAL, STATUS_SENSOR_BREAK = 1 << 4, 1 << 5
# Lengths that are asked for nothing else: no late reply to another question looks like these.
PROBES = (read_registers(PV, 3), read_registers(PV, 4))
NO_VALUE = frozenset((-32768, 32767))
UNKNOWN_FUNCTION, IMPOSSIBLE_VALUE = 1, 3
OUTPUT_STEP = Decimal("0.1")
EEPROM_WRITES = 100_000
SET_TRIES = 2  # a register may be written again after it was read back: twice the same is the same
CYCLES_S = 0.6  # the loop works in cycles of a quarter of a second
_SETPOINT = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,4})?")


@dataclass(frozen=True, slots=True)
class Loop:
    """What the first five registers say, in the unit's own numbers; None where it does not tell."""

    process_value: int
    target: int | None
    working_output: int | None
    working_setpoint: int


class EurothermController:
    """A heater loop whose set-point and mode are set over the line.

    Each frame carries a checksum, so one reading is good by itself. A set-point goes into the volatile
    remote register where the unit has it, else into the target, which wears out and is written on change
    only. When nobody listens the unit keeps its set-point: letting an incubation grow cold is a hazard too.
    """

    TYPE = "eurotherm-3200"
    ROLE = "thermostat"
    READ_S = 0.9
    ORDER_S = 1.5
    OPEN_S = 2.0
    SOUGHT_S = 1.0

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        self._unit = ModbusUnit(
            NAME,
            port,
            LineSettings.told(given.get("line") or "9600-8N1"),
            address=int(given.get("address") or "1"),
            probes=PROBES,
        )
        self._step = Decimal(1).scaleb(-int(given.get("decimals") or "1"))
        self._prefers_remote = (given.get("setpoint") or "remote") == "remote"
        self._range_high_c = Decimal(given["range_high_c"]) if given.get("range_high_c") else None
        self._wear = WearCounter({"target set-point": EEPROM_WRITES, "modes": EEPROM_WRITES})
        self._forget()

    def _forget(self) -> None:
        self._tells = frozenset((MANUAL, STATUS, SENSOR_BREAK))
        self._block = True
        self._range: tuple[int, int] | None = None
        self._has_remote: bool | None = None
        self._ordered: int | None = None  # into the remote register
        self._ordered_running: bool | None = None
        self._looks = cycle((REMOTE, REMOTE_SELECT))

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._unit.line

    def open(self) -> None:
        """Open the line and find out which of its registers this unit tells."""
        self._forget()
        self._unit.open(within_s=self.OPEN_S)
        try:
            self._explore()
        except DeviceFault:
            self._unit.close()
            raise

    def identify(self) -> Identity:
        """Make sure that it answers; the registers known of this family tell neither number nor firmware."""
        self._loop_now(self._soon())
        return Identity(maker="Eurotherm", model="3200", serial_number="", firmware="")

    def read(self) -> list[Reading]:
        """Read process value, working set-point, output, mode and alarms."""
        deadline = time.monotonic() + self.READ_S
        # 273 and 75 are one register long each: the long reply between them keeps them apart.
        manual = self._optional(MANUAL, deadline)
        loop = self._loop_now(deadline)
        status = self._optional(STATUS if STATUS in self._tells else SENSOR_BREAK, deadline)
        if manual is None and STATUS in self._tells and status is not None:
            manual = int(bool(status & STATUS_MANUAL))
        self._look_for_restart(loop, manual, deadline)
        return self._readings(loop, manual, status)

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Set the set-point, start or stop the loop; confirmed by read-back."""
        order = THERMOSTAT.order_named(name)
        if order is None or set(parameters) != set(order.required):
            words = "knows set with setpoint_c, start and stop without values"
            raise DeviceRefused(NAME, f"{words}, not {name} {dict(parameters)}.")
        if name == "set":
            return self._set(self._in_steps(parameters["setpoint_c"]))
        return self._start() if name == "start" else self._stop()

    def stop(self) -> None:
        """Switch to manual with no output, at once; the unit's replies confirm it, or a read-back does.

        Raises
        ------
        DeviceRefused
            This unit cannot be switched to manual over its line.
        DeviceSilent, DeviceGarbled
            Not confirmed: switch the heater off at the unit.
        """
        self._ordered_running = False
        told = [self._told_at_once(MANUAL, 1), self._told_at_once(MANUAL_OUTPUT, 0)]
        if not all(told):
            self._confirm_stopped()

    def apply_safe_state(self, state: SafeState) -> None:
        """Keep the set-point, or stop where the phase declared that."""
        if state == "stop":
            self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Return the writes into the target set-point and into modes; the remote set-point wears nothing."""
        return self._wear.so_far()

    def close(self) -> None:
        """Let go of the line; the loop goes on as it is."""
        self._unit.close()

    def _explore(self) -> None:
        """Find out what is told: an exception to a question means that this unit has no such register."""
        try:
            self._loop_now(self._soon())
        except ModbusRefused:
            self._block = False
            try:
                self._loop_now(self._soon())
            except ModbusRefused as refusal:
                raise WrongDevice(NAME, "the unit at this address is no Eurotherm 3200.") from refusal
        known = {MANUAL} if self._sought(MANUAL) is not None else set()
        words = self._sought_words(RANGE_LOW, 2)
        if words is not None and signed(words[0]) < signed(words[1]):
            self._range = signed(words[0]), signed(words[1])
        # The older list has a register for the sensor alone, of use where there is no status.
        for register in (STATUS, SENSOR_BREAK):
            if self._sought(register) is not None:
                known.add(register)
                break
        self._tells = frozenset(known)
        self._check_resolution()

    def _check_resolution(self) -> None:
        """Hold the unit's upper range against what the integrator wrote: a wrong scaling shows there."""
        if self._range_high_c is None:
            return
        shown = None if self._range is None else self._range[1] * self._step
        if shown != self._range_high_c:
            words = (
                f"its upper range reads {shown} °C in place of {self._range_high_c} °C. Set `decimals` to "
                "the digits behind the point on its display, or correct `range_high_c`."
            )
            raise WrongDevice(NAME, words)

    def _loop_now(self, deadline: float) -> Loop:
        if self._block:
            words = self._unit.registers(PV, 5, deadline)
            value, target, _, output, setpoint = (signed(word) for word in words)
            return Loop(value, target, output, setpoint)
        value, setpoint = self._word(PV, deadline), self._word(WORKING_SETPOINT, deadline)
        return Loop(value, None, None, setpoint)

    def _word(self, register: int, deadline: float) -> int:
        return signed(self._unit.registers(register, 1, deadline)[0])

    def _optional(self, register: int, deadline: float) -> int | None:
        """Return a register that not every unit has."""
        if register not in self._tells:
            return None
        try:
            return self._word(register, deadline)
        except ModbusRefused:
            return None

    def _sought(self, register: int) -> int | None:
        words = self._sought_words(register, 1)
        return None if words is None else signed(words[0])

    def _sought_words(self, start: int, count: int) -> tuple[int, ...] | None:
        """Return registers that not every unit has: some refuse them, some say nothing while alive."""
        try:
            return self._unit.registers(start, count, time.monotonic() + self.SOUGHT_S)
        except ModbusRefused:
            return None
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            self._loop_now(self._soon())
            return None

    def _readings(self, loop: Loop, manual: int | None, status: int | None) -> list[Reading]:
        broken = self._sensor_fault(loop, status)
        bath = (
            reading_now("bath_c", None, "°C", "bad", broken)
            if broken
            else reading_now("bath_c", loop.process_value * self._step, "°C", "good")
        )
        setpoint = reading_now("setpoint_c", loop.working_setpoint * self._step, "°C", "good")
        readings = [bath, setpoint]
        output = None if loop.working_output is None else loop.working_output * OUTPUT_STEP
        if output is not None:
            readings.append(reading_now("output_percent", output, "%", "good"))
        alarms = [words for bit, words in ALARM_BITS.items() if self._status_bits(status) & 1 << bit]
        if manual is not None:
            word, detail = ("stopped", "manual") if manual else ("running", "auto")
            readings.append(reading_now("running", word, "", "good", detail))
            if manual and output:
                alarms.append(f"manual with output {output} %")
        alarm = ", ".join([broken] * bool(broken) + alarms)
        return [*readings, reading_now("alarm", alarm, "", "good")]

    def _status_bits(self, status: int | None) -> int:
        return status if status is not None and STATUS in self._tells else 0

    def _sensor_fault(self, loop: Loop, status: int | None) -> str:
        """Say why the process value cannot be trusted; a broken sensor may read as the end of the range."""
        told = bool(status) if STATUS not in self._tells else self._status_bits(status) & STATUS_SENSOR_BREAK
        if told:
            return "sensor break"
        if loop.process_value in NO_VALUE:
            return "no process value"
        if self._range is not None and not self._range[0] <= loop.process_value < self._range[1]:
            return f"process value out of range ({loop.process_value * self._step} °C)"
        return ""

    def _look_for_restart(self, loop: Loop, manual: int | None, deadline: float) -> None:
        """A power loss takes the volatile set-point; what was started and stands was switched by somebody."""
        if self._ordered_running and manual:
            self._ordered_running = None
            words = "stands in manual: it lost its power or somebody switched it. Set and start it again."
            raise DeviceRestarted(NAME, words)
        if self._ordered is None or loop.working_setpoint == self._ordered:
            return
        if deadline - time.monotonic() < 0.25:
            return  # The next read looks: this one must end in time.
        register = next(self._looks)
        try:
            held = self._word(register, deadline)
        except (DeviceSilent, DeviceGarbled, ModbusRefused) as fault:
            if isinstance(fault, LineLost):
                raise
            return
        if held != (self._ordered if register == REMOTE else 1):
            self._ordered = None
            words = "lost its set-point: it lost its power or somebody changed it. Set and start it again."
            raise DeviceRestarted(NAME, words)

    def _in_steps(self, text: str) -> int:
        """Return a set-point in the unit's own numbers; never rounded, never outside its range."""
        if _SETPOINT.fullmatch(text) is None:
            raise DeviceRefused(NAME, f"setpoint_c must be a temperature in °C, not {text!r}.")
        steps = Decimal(text) / self._step
        if steps != steps.to_integral_value():
            raise DeviceRefused(NAME, f"takes set-points in steps of {self._step} °C, not {text}.")
        low, high = self._range or (-32767, 32766)
        if not low <= steps <= high:
            words = f"takes set-points from {low * self._step} to {high * self._step} °C, not {text}."
            raise DeviceRefused(NAME, words)
        return int(steps)

    def _set(self, setpoint: int) -> dict[str, str]:
        """Give a set-point; told is the one that the loop works to, and the one held where it is another."""
        if not (self._prefers_remote and self._set_remote(setpoint)):
            self._set_target(setpoint)
        working = self._works_to(setpoint)
        told = {"setpoint_c": str(working * self._step)}
        return told if working == setpoint else told | {"held_setpoint_c": str(setpoint * self._step)}

    def _set_remote(self, setpoint: int) -> bool:
        """Write the volatile set-point and select it; False where this unit has none."""
        if self._has_remote is False:
            return False
        self._ordered = None
        try:
            if self._word(REMOTE, self._soon()) != setpoint:
                self._written(REMOTE, setpoint)
        except ModbusRefused as refusal:
            if refusal.code == IMPOSSIBLE_VALUE:
                raise
            self._has_remote = False
            return False
        self._has_remote = self._remote_selected(True) or self._works_to(setpoint) == setpoint
        if self._has_remote:
            self._ordered = setpoint
        return self._has_remote

    def _remote_selected(self, remote: bool) -> bool:
        """Select the volatile set-point, or the target; False where this unit does not know register 276."""
        selected = self._sought(REMOTE_SELECT)
        if selected is None:
            return False
        if selected != int(remote):
            self._wear.note("modes")
            try:
                self._written(REMOTE_SELECT, int(remote))
            except ModbusRefused:
                return False
        return True

    def _set_target(self, setpoint: int) -> None:
        """Write the target set-point where it differs: its memory wears out."""
        self._ordered = None
        if self._word(TARGET, self._soon()) != setpoint:
            self._wear.note("target set-point")
            self._written(TARGET, setpoint)
        self._remote_selected(False)

    def _works_to(self, setpoint: int) -> int:
        """Return the set-point that the loop works to, given a few of its cycles to take up this one."""
        until = time.monotonic() + CYCLES_S
        while True:
            working = self._loop_now(self._soon()).working_setpoint
            if working == setpoint or time.monotonic() >= until:
                return working

    def _written(self, register: int, value: int) -> None:
        """Write a register and read it back; a lost reply is no answer, the register is.

        Raises
        ------
        ModbusRefused
            The unit refused, or holds another value: nothing was done.
        DeviceSilent, DeviceGarbled
            Whether it was written is unknown.
        """
        for _ in range(SET_TRIES):
            with contextlib.suppress(DeviceSilent, DeviceGarbled):
                self._write(register, value)
            held = self._word(register, self._soon())
            if held == value:
                return
        words = f"holds {held} in register {register} in place of {value}. Look at it, then order again."
        raise DeviceRefused(NAME, words)

    def _write(self, register: int, value: int) -> None:
        try:
            self._unit.ask(write_register(register, value & 0xFFFF))
        except ModbusRefused as refusal:
            if refusal.code != UNKNOWN_FUNCTION:
                raise
            self._unit.ask(write_registers(register, [value & 0xFFFF]))

    def _start(self) -> dict[str, str]:
        manual = self._mode()
        if manual != 0:
            self._wear.note("modes")
            self._written(MANUAL, 0)
        self._ordered_running = True
        return {"running": "running"}

    def _stop(self) -> dict[str, str]:
        self._mode()
        self.stop()
        self._confirm_stopped()
        return {"running": "stopped"}

    def _mode(self) -> int:
        """Return whether it is in manual; refused where this unit does not tell and take that."""
        manual = self._optional(MANUAL, self._soon())
        if manual is None:
            words = "does not tell auto or manual at register 273: start and stop it at its keys."
            raise DeviceRefused(NAME, words)
        return manual

    def _told_at_once(self, register: int, value: int) -> bool:
        """Write without any question before; True when the unit said that it did."""
        request: Request = write_register(register, value)
        if register == MANUAL:
            self._wear.note("modes")
        try:
            self._unit.tell_at_once(request)
        except LineLost:
            raise
        except DeviceFault:
            return False
        return True

    def _confirm_stopped(self) -> None:
        if self._mode() == 0:
            self._wear.note("modes")
            self._written(MANUAL, 1)
        loop = self._loop_now(self._soon())
        if loop.working_output:
            self._written(MANUAL_OUTPUT, 0)
        until = time.monotonic() + CYCLES_S
        while loop.working_output and time.monotonic() < until:
            loop = self._loop_now(self._soon())
        if loop.working_output:
            output = loop.working_output * OUTPUT_STEP
            words = f"is in manual and gives {output} %. Switch the heater off at the unit."
            raise DeviceRefused(NAME, words)

    def _soon(self) -> float:
        return time.monotonic() + self.ORDER_S
