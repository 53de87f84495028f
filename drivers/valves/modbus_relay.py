"""Relay boards with Modbus RTU coils, here for pinch valves. Wire facts: docs/devices/modbus_relay.md."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence

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
    read_coils,
    write_coil,
    write_coils,
    write_register,
)
from drivers.reading import Identity, Reading, reading_now
from drivers.roles import VALVE, SafeState
from drivers.wear import Wear

NAME = "Valves"
READ_INPUTS = 2
UNKNOWN_FUNCTION = 1
WRITE_TRIES = 2  # a coil may be switched again after it was read back: twice on is on
_NUMBER = re.compile(r"[0-9]{1,2}")


class RelayBoard:
    """Outputs that hold normally closed valves open: what is off, is shut.

    Each frame carries a checksum, so one reading is good by itself. Every write is read back, because on a
    line that echoes a reply to a write looks like its request. The board cannot say that it lost its power:
    coils that read other than they were ordered tell it.
    """

    TYPE = "modbus-relay"
    ROLE = "valve"
    READ_S = 0.9
    ORDER_S = 0.9
    OPEN_S = 2.0
    STOP_TRIES = 3

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        self._count = int(given.get("coils") or "8")
        register = given.get("watchdog_register") or ""
        self._watchdog = (int(register), int(given.get("watchdog_value") or "20")) if register else None
        self._unit = ModbusUnit(
            NAME,
            port,
            LineSettings.told(given.get("line") or "9600-8N1"),
            address=int(given.get("address") or "1"),
            # Inputs, and one byte of coils more than is ever asked for: an exception answers as well.
            probes=(read_coils(0, 1, READ_INPUTS), read_coils(0, self._count + 8)),
        )
        self._ordered: tuple[bool, ...] | None = None

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._unit.line

    def open(self) -> None:
        """Open the line, make sure that the board has the coils, and set its watchdog where there is one."""
        self._ordered = None
        self._unit.open(within_s=self.OPEN_S)
        try:
            self._ordered = self._coils(self._soon())
            self._set_watchdog()
        except ModbusRefused as refusal:
            self._unit.close()
            words = f"this board has no {self._count} coils. Check address and the setting `coils`."
            raise WrongDevice(NAME, words) from refusal
        except DeviceFault:
            self._unit.close()
            raise

    def identify(self) -> Identity:
        """Make sure that it answers; a board of this kind has no way to say who it is."""
        self._coils(self._soon())
        return Identity(
            maker="", model=f"Modbus relay board, {self._count} coils", serial_number="", firmware=""
        )

    def read(self) -> list[Reading]:
        """Read all coils: one digit each, coil 0 first, 1 is on."""
        coils = self._looked(time.monotonic() + self.READ_S)
        return [reading_now("coils", _digits(coils), "", "good")]

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Switch one coil or all of them; confirmed by reading the coils."""
        order = VALVE.order_named(name)
        if order is None or set(parameters) != set(order.required):
            words = "knows set with coil and state, set_all with coils, and all_off without values"
            raise DeviceRefused(NAME, f"{words}, not {name} {dict(parameters)}.")
        if name == "set":
            return self._set(self._coil(parameters["coil"]), _on(parameters["state"]))
        if name == "set_all":
            return self._set_all(self._states(parameters["coils"]))
        return self._set_all((False,) * self._count)

    def stop(self) -> None:
        """Switch all coils off, at once; confirmed by reading them.

        Raises
        ------
        DeviceSilent, DeviceGarbled
            Not confirmed: cut the board's supply.
        """
        fault: DeviceFault | None = None
        for _ in range(self.STOP_TRIES):
            try:
                self._tell_all_off()
                self._ordered = None
                coils = self._coils(time.monotonic() + self.READ_S / self.STOP_TRIES)
                self._ordered = coils
                if not any(coils):
                    return
            except LineLost:
                raise
            except DeviceFault as error:
                fault = error
        words = (
            "did not confirm that all coils are off. Cut the board's supply: the valves close by themselves."
        )
        raise DeviceSilent(NAME, words) from fault

    def apply_safe_state(self, state: SafeState) -> None:
        """Switch all off, or leave the coils where the phase declared that."""
        if state == "stop":
            self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Nothing: coils are no memory; the watchdog's register is written only where it differs."""
        return ()

    def close(self) -> None:
        """Let go of the line; the coils stay as they are until the board's watchdog drops them."""
        self._unit.close()

    def _set(self, coil: int, on: bool) -> dict[str, str]:
        before = self._looked(self._soon())
        wanted = (*before[:coil], on, *before[coil + 1 :])
        coils = self._switched([write_coil(coil, on)], before, wanted)
        return {"coil": str(coil), "state": "on" if on else "off", "coils": _digits(coils)}

    def _set_all(self, wanted: tuple[bool, ...]) -> dict[str, str]:
        before = self._looked(self._soon())
        try:
            coils = self._switched([write_coils(0, wanted)], before, wanted)
        except ModbusRefused as refusal:
            if refusal.code != UNKNOWN_FUNCTION:
                raise
            coils = self._switched(_one_by_one(wanted), before, wanted)
        return {"coils": _digits(coils)}

    def _switched(
        self, requests: Sequence[Request], before: tuple[bool, ...], wanted: tuple[bool, ...]
    ) -> tuple[bool, ...]:
        """Switch coils and read them back; what they read is the answer, not the reply to the write.

        Raises
        ------
        DeviceRefused
            The board refused, or the coils read other than was ordered.
        DeviceSilent, DeviceGarbled
            How the coils stand is unknown.
        """
        self._ordered = None
        for _ in range(WRITE_TRIES):
            try:
                for request in requests:
                    self._unit.ask(request)
            except ModbusRefused:
                self._ordered = before if len(requests) == 1 else None
                raise
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                pass  # Only the coils tell whether it was done.
            coils = self._coils(self._soon())
            if coils == wanted:
                self._ordered = coils
                return coils
        words = f"the coils are {_digits(coils)} in place of {_digits(wanted)}. Look at it, then order again."
        raise DeviceRefused(NAME, words)

    def _tell_all_off(self) -> None:
        off = (False,) * self._count
        try:
            self._unit.tell_at_once(write_coils(0, off))
        except ModbusRefused as refusal:
            if refusal.code != UNKNOWN_FUNCTION:
                raise
            for request in _one_by_one(off):
                self._unit.tell_at_once(request)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            pass  # Only the coils tell whether it was done.

    def _set_watchdog(self) -> None:
        if self._watchdog is None:
            return
        register, value = self._watchdog
        try:
            if self._unit.registers(register, 1, self._soon()) != (value,):
                self._unit.ask(write_register(register, value))
            held = self._unit.registers(register, 1, self._soon())
        except ModbusRefused as refusal:
            words = f"has no watchdog at register {register}. Look into its manual, correct the setting."
            raise DeviceRefused(NAME, words) from refusal
        if held != (value,):
            words = f"holds {held[0]} in its watchdog's register {register} in place of {value}."
            raise DeviceRefused(NAME, words)

    def _looked(self, deadline: float) -> tuple[bool, ...]:
        """Read the coils; other than ordered, they were dropped."""
        coils = self._coils(deadline)
        ordered, self._ordered = self._ordered, coils
        if ordered is None or coils == ordered:
            return coils
        words = (
            f"the coils are {_digits(coils)} in place of {_digits(ordered)}: the board lost its power, "
            "its watchdog dropped them or somebody switched. Check the valves, then order again."
        )
        raise DeviceRestarted(NAME, words)

    def _coils(self, deadline: float) -> tuple[bool, ...]:
        return self._unit.coils(0, self._count, deadline)

    def _coil(self, text: str) -> int:
        if _NUMBER.fullmatch(text) is None or int(text) >= self._count:
            raise DeviceRefused(NAME, f"coil must be 0 to {self._count - 1}, not {text!r}.")
        return int(text)

    def _states(self, text: str) -> tuple[bool, ...]:
        if len(text) != self._count or set(text) - {"0", "1"}:
            raise DeviceRefused(
                NAME, f"coils must be {self._count} digits 0 or 1, coil 0 first, not {text!r}."
            )
        return tuple(digit == "1" for digit in text)

    def _soon(self) -> float:
        return time.monotonic() + self.ORDER_S


def _digits(coils: Sequence[bool]) -> str:
    return "".join("1" if on else "0" for on in coils)


def _one_by_one(states: Sequence[bool]) -> list[Request]:
    return [write_coil(coil, on) for coil, on in enumerate(states)]


def _on(text: str) -> bool:
    if text not in ("on", "off"):
        raise DeviceRefused(NAME, f"state must be on or off, not {text!r}.")
    return text == "on"
