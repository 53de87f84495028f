"""ACME DP-1: text, `*`, its CRC-16 in four hex digits, CR LF; the pump does each run's number once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from drivers.faults import DeviceFault, DeviceGarbled, DeviceRefused, DeviceRestarted, DeviceSilent
from drivers.framing import BrokenFrame, crc16_ccitt, take_line
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Reading, reading_now
from drivers.roles import PUMP, SafeState
from drivers.wear import Wear

NAME = "Pump"
_STATE = re.compile(r"R ([SI]) (\d+) (\d+) (\d+)")  # state, µL of this run, its number, starts of the pump
_SELF = re.compile(r"ID (\S+) (\S+) (\S+)")
_DONE = re.compile(r"[DCX] OK")


def frame(text: str) -> bytes:
    """Return a text as it goes over the line, without its end."""
    return f"{text}*{crc16_ccitt(text.encode()):04X}".encode()


def take_acme(buffer: bytearray) -> bytes | None:
    """Take the text of one frame whose checksum fits."""
    line = take_line(buffer)
    if line is not None and line != frame(line.rpartition(b"*")[0].decode("ascii", "replace")):
        raise BrokenFrame("a frame with a wrong checksum")
    return None if line is None else line.rpartition(b"*")[0]


class AcmePump:
    """Stops by itself when it hears nothing for `WATCHDOG_S`; `read` is what it hears."""

    TYPE, ROLE = "acme-dp1", "pump"
    WATCHDOG_S, EXCHANGE_S, TRIES = 2.0, 0.2, 4

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        self.line = SerialLine(NAME, port, LineSettings(baud_rate=9600), take_acme)
        self._starts, self._in_doubt = "", True

    def open(self) -> None:
        self.line.open()
        self._starts, self._in_doubt = "", True
        try:
            self._state()
        except DeviceFault:
            self.line.close()
            raise

    def identify(self) -> Identity:
        model, serial_number, firmware = self._ask("ID", _SELF).groups()
        return Identity(maker="ACME", model=model, serial_number=serial_number, firmware=firmware)

    def read(self) -> list[Reading]:
        state, delivered_ml, _ = self._state()
        return [
            reading_now("state", "infusing" if state == "I" else "stopped", "", "good"),
            reading_now("delivered_ml", delivered_ml, "mL", "good"),
            reading_now("alarm", "", "", "good"),
        ]

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        order = PUMP.order_named(name)
        if order is None or set(parameters) != set(order.required):
            raise DeviceRefused(NAME, "knows infuse with volume_ml and rate_ml_min, and clear.")
        microlitres = {key: _microlitres(key, value) for key, value in parameters.items()}
        state, _, number = self._state()
        if state == "I":
            raise DeviceRefused(NAME, "is moving. Stop it or wait for its end, then order again.")
        if name == "clear":
            self._ask("C", _DONE)
            return {"delivered_ml": str(self._state()[1])}
        self._run(number + 1, microlitres["volume_ml"], microlitres["rate_ml_min"])
        return {"volume_ml": parameters["volume_ml"], "rate_ml_min": parameters["rate_ml_min"]}

    def stop(self) -> None:
        for _ in range(self.TRIES):
            self.line.send_at_once(frame("X") + b"\r\n")
            self._in_doubt = True
            try:
                if self._state(tries=1)[0] == "S":
                    return
            except (DeviceSilent, DeviceGarbled):
                continue
        raise DeviceSilent(NAME, f"did not confirm the stop. Its watchdog acts within {self.WATCHDOG_S} s.")

    def apply_safe_state(self, state: SafeState) -> None:
        self.stop()

    def wear(self) -> tuple[Wear, ...]:
        return ()

    def close(self) -> None:
        self.line.close()

    def _run(self, number: int, volume: int, rate: int) -> None:
        """The pump does each number once, so that a lost answer is no riddle: ask which run it knows."""
        try:
            self._ask(f"D {number} {volume} {rate}", _DONE, tries=1)
        except (DeviceSilent, DeviceGarbled):
            self._in_doubt = True
        if self._state()[2] != number:
            raise DeviceRefused(NAME, "did not get the run; nothing was moved. Order it again.")

    def _state(self, tries: int = TRIES) -> tuple[str, Decimal, int]:
        state, microlitres, number, starts = self._ask("R", _STATE, tries).groups()
        known, self._starts = self._starts, starts
        if known not in ("", starts):
            raise DeviceRestarted(NAME, "lost its power; its volume is void. Check what was delivered.")
        return state, Decimal(microlitres).scaleb(-3), int(number)

    def _ask(self, text: str, shape: re.Pattern[str], tries: int = TRIES) -> re.Match[str]:
        for left in reversed(range(tries)):
            try:
                if self._in_doubt:
                    self.line.resynchronise(
                        frame("ID") + b"\r\n", lambda one: one.startswith(b"ID "), timeout_s=self.EXCHANGE_S
                    )
                self._in_doubt = True
                answer = self.line.ask(frame(text) + b"\r\n", timeout_s=self.EXCHANGE_S).decode("ascii")
                if match := shape.fullmatch(answer):
                    self._in_doubt = False
                    return match
                raise DeviceGarbled(NAME, "gave an answer that fits no question. Check the cable.", answer)
            except (DeviceSilent, DeviceGarbled):
                if not left:
                    raise
        raise AssertionError("at least one try")


def _microlitres(key: str, text: str) -> int:
    try:
        value = Decimal(text) * 1000
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or not 1 <= value <= 10_000_000:
        raise DeviceRefused(NAME, f"{key} must be a number from 0.001 to 10000, not {text!r}.")
    return int(value)
