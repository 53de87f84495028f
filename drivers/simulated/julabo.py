"""Twin of a Julabo circulator. It takes commands in any case, ended by CR, LF or both."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from drivers.simulated.twin import Twin
from drivers.simulated.world import World

MODEL = "JULABO MAGIO MS-1000F"
SETPOINT_C_MIN, SETPOINT_C_MAX = -20.0, 100.0
SETPOINT_C_AFTER_POWER_LOSS = 25.0
INVALID = "-08 INVALID COMMAND"
NOT_ALLOWED = "-09 COMMAND NOT ALLOWED IN CURRENT OPERATING MODE"
TOO_SMALL, TOO_LARGE = "-10 VALUE TOO SMALL", "-11 VALUE TOO LARGE"

# What each family knows; the rest is silence, and -08 at the next status.
FAMILIES = {
    "MAGIO": None,
    "CORIO CD": frozenset(
        ("version", "status", "in_pv_00", "in_pv_01", "in_pv_03", "in_pv_04", "in_sp_00", "in_mode_05")
    ),
}
XON, XOFF = 0x11, 0x13

_ADDRESS = re.compile(r"a(\d{3})_(.*)")


class JulaboTwin(Twin):
    """Answers as the sheet says; heats the bath of its world. OUT commands get no answer.

    `family` says which commands it knows; `remote` is false while somebody works at its panel; `alarm`
    ("-01 LOW LEVEL ALARM") stops the unit. With an address it answers to that one alone.
    """

    TYPE = "julabo"
    BITS_PER_BYTE = 10  # 7E1: start, seven bits, parity, stop
    FIRMWARE = "1.1.2"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.remote = True
        self.family = "MAGIO"
        self.keeps_errors = True  # some models tell nothing of a command they do not know
        self._alarm = ""
        address = str(self.settings.get("address", ""))
        self._address = f"{int(address):03d}" if address else ""
        self._error = ""
        self._buffer = bytearray()
        bath = world.bath
        self._queries: dict[str, Callable[[], str]] = {
            "version": lambda: f"{MODEL} VERSION {self.firmware}",
            "status": self._status,
            "in_pv_00": lambda: self._measured("bath", world.bath_c),
            "in_pv_01": lambda: f"{self._heater_percent():.2f}",
            "in_pv_02": lambda: self._measured("probe", world.probe_c),
            "in_pv_03": lambda: self._measured("safety", world.bath_c),
            "in_pv_04": lambda: f"{SETPOINT_C_MAX + 5:.2f}",
            "in_sp_00": lambda: f"{bath.setpoint_c:.2f}",
            "in_sp_03": lambda: f"{SETPOINT_C_MAX:.2f}",
            "in_sp_04": lambda: f"{SETPOINT_C_MIN:.2f}",
            "in_sp_01": lambda: "0.00",
            "in_sp_02": lambda: "0.00",
            "in_mode_01": lambda: "0",
            "in_mode_02": lambda: "0",
            "in_mode_04": lambda: "0",
            "in_mode_05": lambda: str(int(bath.running)),
        }

        if self.settings.get("probe") == "in_pv_01":
            swapped = self._queries["in_pv_02"], self._queries["in_pv_01"]
            self._queries["in_pv_01"], self._queries["in_pv_02"] = swapped

    @property
    def alarm(self) -> str:
        """The alarm it shows, or nothing."""
        return self._alarm

    @alarm.setter
    def alarm(self, words: str) -> None:
        self._alarm = words
        if words:
            self.world.advance()
            self.world.bath.running = False

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole command."""
        self._buffer += bytes(byte & 0x7F for byte in data if byte not in (XON, XOFF))
        answers: list[bytes] = []
        while (end := next((i for i, byte in enumerate(self._buffer) if byte in b"\r\n"), -1)) >= 0:
            text = self._buffer[:end].decode("ascii", errors="replace").strip().lower()
            del self._buffer[: end + 1]
            if text:
                answers += self._answer(text)
        if len(self._buffer) > 256:
            self._buffer.clear()
        return answers

    def tick(self, now_s: float) -> list[bytes]:
        """Send nothing: this device speaks only when asked."""
        return []

    def restart(self, now_s: float) -> list[bytes]:
        """Come back in REMOTE STOP; start and values must be sent again."""
        self._buffer.clear()
        self._error = self.alarm = ""
        self.world.advance()
        self.world.bath.running = False
        self.world.bath.setpoint_c = SETPOINT_C_AFTER_POWER_LOSS
        return []

    def _answer(self, text: str) -> list[bytes]:
        prefix = ""
        if match := _ADDRESS.fullmatch(text):
            prefix, text = f"A{match[1]}_", match[2]
        if self._address and prefix != f"A{self._address}_":
            return []  # spoken to another one on the line
        command, _, value = text.partition(" ")
        if command in self._queries and not value and self._knows(command):
            return [f"{prefix}{self._queries[command]()}\r\n".encode("ascii")]
        self.world.advance()
        error = self._out(command, value.strip())
        self._error = error if self.keeps_errors else ""
        return []

    def _knows(self, command: str) -> bool:
        known = FAMILIES[self.family]
        return known is None or command in known

    def _out(self, command: str, value: str) -> str:
        """Carry out an OUT command; return the error that the next status shows."""
        try:
            number = float(value)
        except ValueError:
            return INVALID
        if command not in ("out_sp_00", "out_mode_05"):
            return INVALID
        if not self.remote:
            return NOT_ALLOWED
        if command == "out_mode_05":
            if number not in (0, 1):
                return INVALID
            self.world.bath.running = bool(number) and not self.alarm
        elif number < SETPOINT_C_MIN:
            return TOO_SMALL
        elif number > SETPOINT_C_MAX:
            return TOO_LARGE
        else:
            self.world.bath.setpoint_c = round(number, 2)
        return ""

    def _status(self) -> str:
        error, self._error = self._error, ""
        if self.alarm or error:
            return self.alarm or error
        running = self.world.bath.running
        code = int(running) + (2 if self.remote else 0)
        return f"{code:02d} {'REMOTE' if self.remote else 'MANUAL'} {'START' if running else 'STOP'}"

    def _measured(self, name: str, look: Callable[[], float]) -> str:
        return f"{self.senses.shown(name, look):.2f}"

    def _heater_percent(self) -> float:
        bath = self.world.bath
        return max(-100.0, min(100.0, 20 * (bath.setpoint_c - bath.temperature_c))) if bath.running else 0.0
