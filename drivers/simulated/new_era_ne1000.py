"""Twin of a New Era NE-1000 syringe pump: Basic and Safe mode, program phases, alarms, watchdog."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.framing import STX, BrokenFrame, basic_reply, safe_packet, take_safe_packet
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

MODEL = "NE1000"
PACKET_GAP_S = 0.5
PLUNGER_CM_MIN = 5.1005  # fastest; with the diameter this limits the rate
MICROLITRES_UP_TO_MM = 14.0
PHASES = 41
RATE_UNITS = {"MM": 1.0, "MH": 1 / 60, "UM": 1e-3, "UH": 1e-3 / 60}  # in mL/min
# Kept and told again, and without any effect here: what they hold from the factory, and what fits.
KEPT = {
    "BUZ": ("0", r"[01]\d{0,2}"), "LOC": ("0", r"[01]"), "AL": ("1", r"[01]"), "BP": ("1", r"[01]"),
    "PF": ("1", r"[01]"), "DIN": ("0", r"[01]"), "LN": ("0", r"[01]"), "ROM": ("0", r"[01]"),
    "TRG": ("FT", r"FT|FH|F2|LE|ST|T2|SP|P2|RL|RH|SL|SH|EL|EH|OF"), "OUT": ("0", r"[15]?[01]"),
}  # fmt: skip
PLAIN_FUNCTIONS = ("RAT", "FIL", "STP", "LPS", "CLD", "BEP")
COUNTED_FUNCTIONS = ("INC", "DEC", "PAS", "LOP", "JMP", "PRI", "PRL", "OUT", "TRG", "EVN", "EVS", "IF", "EVR")

_COMMAND = re.compile(r"(\d{0,2})(AL|BP|PF|LN|IN|[A-Z]{0,3})(.*)")
_RATE = re.compile(r"C?(\d*\.?\d+|\d+\.)(MM|MH|UM|UH)?")


@dataclass
class Phase:
    """One phase of the pump's program; from the factory each is a RATE phase without a volume."""

    function: str = "RAT"
    number: str = ""  # behind the function, as in PAS30
    rate: float = 10.0
    unit: str = "MM"
    volume: float = 0.0
    infusing: bool = True


class NewEraTwin(Twin):
    """Answers as the sheet says; pushes the syringe of its world. The watchdog runs on real time."""

    TYPE = "new-era-ne1000"
    FIRMWARE = "3.923"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self._address = int(self.settings.get("address", "0"))
        self.diameter_mm = world.syringe.diameter_mm
        self.volume_unit = "ML"
        self.phases = [Phase() for _ in range(PHASES)]
        self._selected = 0
        self._running_phase = 0
        self._at_rest = "S"  # while the motor stands: S stopped, P paused, T pause phase, U awaits a trigger
        self._goes_on_at_s: float | None = None  # virtual time at which a pause phase ends
        self._purging = False
        self._kept = {name: value for name, (value, _) in KEPT.items()}
        self.alarm = ""
        self.knows_safe_mode = True  # an early or rebuilt unit may not
        self.safe_mode = False
        self.timeout_s = 0
        self._last_valid_s: float | None = None
        self.stop_received_ns = 0
        self.watchdog_fired_ns = 0
        self._buffer = bytearray()
        self._last_byte_s = 0.0
        self._handlers: dict[str, Callable[[str], str]] = {
            "": lambda _: "", "VER": lambda _: f"{MODEL}V{self.firmware}",
            "DIA": self._diameter, "RAT": self._rate,
            "VOL": self._volume, "DIR": self._direction, "RUN": self._run, "STP": self._stop,
            "DIS": lambda _: self._dispensed(), "CLD": self._clear, "PHN": self._phase_number,
            "FUN": self._function, "PUR": self._purge, "ADR": self._readdress, "IN": self._pin,
        }  # fmt: skip

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole request of the mode the pump is in."""
        if self._buffer and now_s - self._last_byte_s > PACKET_GAP_S and STX in self._buffer:
            self._buffer.clear()
        self._last_byte_s = now_s
        self._buffer += data
        self.world.advance()
        self._follow_program()
        replies: list[bytes] = []
        while (reply := self._next_reply(now_s)) is not None:
            if reply:
                replies.append(reply)
        return replies

    def tick(self, now_s: float) -> list[bytes]:
        """Follow the program, watch the silence, send alarms unasked in Safe mode."""
        self.world.advance()
        before = self.alarm
        self._follow_program()
        heard_s = self._last_valid_s
        if self.safe_mode and self.timeout_s and heard_s is not None and now_s - heard_s > self.timeout_s:
            self._last_valid_s = None
            self.watchdog_fired_ns = time.monotonic_ns()
            self._raise("T")
        return [self._framed(self._status(), b"")] if self.alarm != before and self.safe_mode else []

    def restart(self, now_s: float) -> list[bytes]:
        """Stop, lose the counters, and raise the alarm for lost power. Program and mode are kept."""
        self._buffer.clear()
        self._last_valid_s = None
        self._raise("R")
        self._clear("")
        return [self._framed(self._status(), b"")] if self.safe_mode else []

    def brown_out(self, now_s: float) -> None:
        """Stop and lose the counters, and no alarm tells it."""
        self.restart(now_s)
        self.alarm = ""

    def _next_reply(self, now_s: float) -> bytes | None:
        """Take one request out of the buffer; None when there is no whole one, b"" for no answer."""
        if self.knows_safe_mode and self._buffer[:1] == bytes((STX,)):
            try:
                payload = take_safe_packet(self._buffer)
            except BrokenFrame:
                return self._framed(self._status(), b"?COM") if self.safe_mode else b""
            return None if payload is None else self._answer(payload, now_s)
        if self.safe_mode:
            start = self._buffer.find(STX)
            del self._buffer[: start if start >= 0 else len(self._buffer)]
            return None if start < 0 else b""
        packet = self._buffer.find(STX) if self.knows_safe_mode else -1
        ends = [i for i in (self._buffer.find(b"\r"), packet) if i >= 0]
        if not ends:
            return None
        text = bytes(self._buffer[: min(ends)])
        del self._buffer[: min(ends) + (min(ends) != packet)]
        return self._answer(text, now_s)

    def _answer(self, request: bytes, now_s: float) -> bytes:
        text = "".join(chr(byte) for byte in request if 0x21 <= byte <= 0x7E).upper().lstrip("*")
        match = _COMMAND.fullmatch(text)
        assert match is not None, "the pattern fits any printable text"
        if match[1] and int(match[1]) != self._address:
            return b""
        self._last_valid_s = now_s
        if self.alarm:
            reply = self._framed(self._status(), b"")
            self.alarm = ""
            return reply
        if match[2] == "SAF" and self.knows_safe_mode:
            return self._safe(match[3])
        handler = self._handlers.get(match[2])
        if handler is not None:
            data = handler(match[3])
        else:
            data = self._keep(match[2], match[3]) if match[2] in KEPT else "?"
        return self._framed(self._status(), data.encode("ascii"))

    def _framed(self, status: str, data: bytes) -> bytes:
        payload = f"{self._address:02d}{status}".encode("ascii") + data
        return safe_packet(payload) if self.safe_mode else basic_reply(payload)

    def _status(self) -> str:
        if self.alarm:
            return f"A?{self.alarm}"
        if self.world.motion.moving:
            moving = "I" if self.world.motion.infusing else "W"
            return "X" if self._purging else moving
        return self._at_rest

    def _safe(self, value: str) -> bytes:
        if not value:
            return self._framed(self._status(), str(self.timeout_s).encode("ascii"))
        if not value.isdigit() or int(value) > 255:
            return self._framed(self._status(), b"?OOR")
        was_safe, self.timeout_s = self.safe_mode, int(value)
        self.safe_mode = self.timeout_s > 0
        payload = f"{self._address:02d}{self._status()}".encode("ascii")
        return safe_packet(payload) if self.safe_mode or was_safe else basic_reply(payload)

    def _raise(self, letter: str) -> None:
        self.world.stop_motion()
        self._at_rest, self._goes_on_at_s, self._purging = "S", None, False
        self.alarm = letter

    def _follow_program(self) -> None:
        """Go on to the next phase when a volume is done; stall when the syringe is empty."""
        ended, self.world.motion.ended = self.world.motion.ended, ""
        if ended == "stall":
            self._raise("S")
        elif ended == "volume" or (
            self._goes_on_at_s is not None and self.world.virtual_s >= self._goes_on_at_s
        ):
            self._at_rest, self._goes_on_at_s = "S", None
            self._start_phase(self._running_phase + 1)

    def _start_phase(self, index: int) -> None:
        """Run a phase: pump, pause, await a trigger, or stop; what else there is counts for nothing here."""
        while index < PHASES and self.phases[index].function not in ("RAT", "STP", "PAS"):
            index += 1
        if index >= PHASES or self.phases[index].function == "STP":
            return
        phase = self.phases[index]
        self._running_phase = index
        if phase.function == "PAS":
            seconds = int(phase.number or "0")
            self._at_rest = "T" if seconds else "U"
            self._goes_on_at_s = self.world.virtual_s + seconds if seconds else None
            return
        scale = 1.0 if self.volume_unit == "ML" else 1e-3
        self.world.start_motion(
            rate_ml_min=phase.rate * RATE_UNITS[phase.unit],
            volume_ml=phase.volume * scale if phase.volume else None,
            infusing=phase.infusing,
        )

    def _run(self, value: str) -> str:
        if self.world.motion.moving:
            return "?NA"
        left = self.world.motion.left_ml
        if self._at_rest in ("T", "U") and not value:
            self._at_rest, self._goes_on_at_s = "S", None
            self._start_phase(self._running_phase + 1)
            return ""
        if self._at_rest == "P" and not value:
            phase = self.phases[self._running_phase]
            self.world.start_motion(
                rate_ml_min=phase.rate * RATE_UNITS[phase.unit], volume_ml=left, infusing=phase.infusing
            )
            return ""
        index = int(value) - 1 if value.isdigit() else 0
        if not 0 <= index < PHASES:
            return "?OOR"
        if self.phases[index].function == "RAT" and self.phases[index].rate <= 0:
            return "?NA"
        self._start_phase(index)
        return ""

    def _stop(self, _value: str) -> str:
        self.stop_received_ns = time.monotonic_ns()
        if self.world.motion.moving:
            self.world.stop_motion()
            self._at_rest, self._purging = "S" if self._purging else "P", False
            return ""
        was, self._at_rest, self._goes_on_at_s = self._at_rest, "S", None
        return "?NA" if was == "S" else ""

    def _purge(self, _value: str) -> str:
        """Pump at full speed until told to stop."""
        if self.world.motion.moving or self._at_rest != "S":
            return "?NA"
        self._purging = True
        phase = self.phases[self._selected]
        self.world.start_motion(rate_ml_min=self._fastest_ml_min(), volume_ml=None, infusing=phase.infusing)
        return ""

    def _fastest_ml_min(self) -> float:
        return math.pi * (self.diameter_mm / 20) ** 2 * PLUNGER_CM_MIN

    def _dispensed(self) -> str:
        scale = 1.0 if self.volume_unit == "ML" else 1e3
        infused, withdrawn = (self.world.motion.dispensed_ml[way] * scale for way in (True, False))
        shown = self.senses.shown("infused", lambda: infused)
        return f"I{_four_digits(shown)}W{_four_digits(withdrawn)}{self.volume_unit}"

    def _clear(self, value: str) -> str:
        if self.world.motion.moving:
            return "?NA"
        for name, infusing in (("INF", True), ("WDR", False)):
            if value in (name, ""):
                self.world.motion.dispensed_ml[infusing] = 0.0
        return ""

    def _diameter(self, value: str) -> str:
        if not value:
            return _four_digits(self.diameter_mm)
        if self.world.motion.moving:
            return "?NA"
        number = _number(value)
        if number is None or not 0.1 <= number <= 50.0:
            return "?OOR"
        self.diameter_mm = number
        self.volume_unit = "UL" if number <= MICROLITRES_UP_TO_MM else "ML"
        return self._clear("")

    def _rate(self, value: str) -> str:
        phase = self.phases[self._selected]
        if not value:
            return f"{_four_digits(phase.rate)}{phase.unit}"
        match = _RATE.fullmatch(value)
        if match is None:
            return "?"
        unit = match[2] or phase.unit
        moving = self.world.motion.moving
        if moving and unit != phase.unit:
            return "?NA"
        rate = float(match[1])
        if not _takes_digits(match[1]) or rate * RATE_UNITS[unit] > self._fastest_ml_min():
            return "?OOR"
        phase.rate, phase.unit = rate, unit
        if moving and self._selected == self._running_phase:
            self.world.motion.rate_ml_min = rate * RATE_UNITS[unit]
        return ""

    def _volume(self, value: str) -> str:
        phase = self.phases[self._selected]
        if not value:
            return f"{_four_digits(phase.volume)}{self.volume_unit}"
        if self.world.motion.moving:
            return "?NA"
        if value in ("ML", "UL"):
            self.volume_unit = value
            return ""
        number = _number(value)
        if number is None:
            return "?OOR"
        phase.volume = number
        return ""

    def _direction(self, value: str) -> str:
        phase = self.phases[self._selected]
        if not value:
            return "INF" if phase.infusing else "WDR"
        if self.world.motion.moving:
            return "?NA"
        if value not in ("INF", "WDR", "REV"):
            return "?"
        phase.infusing = not phase.infusing if value == "REV" else value == "INF"
        return ""

    def _phase_number(self, value: str) -> str:
        if not value:
            return f"{self._selected + 1:02d}"
        if not value.isdigit() or not 1 <= int(value) <= PHASES:
            return "?OOR"
        self._selected = int(value) - 1
        return ""

    def _function(self, value: str) -> str:
        phase = self.phases[self._selected]
        if not value:
            return phase.function + phase.number
        name, number = value[:3], value[3:]
        if name not in PLAIN_FUNCTIONS + COUNTED_FUNCTIONS or (number and not number.isdigit()):
            return "?"
        if name in PLAIN_FUNCTIONS and number:
            return "?OOR"
        phase.function, phase.number = name, number
        return ""

    def _keep(self, name: str, value: str) -> str:
        if not value:
            return self._kept[name]
        if re.fullmatch(KEPT[name][1], value) is None:
            return "?OOR"
        self._kept[name] = value
        return ""

    def _readdress(self, value: str) -> str:
        if not value:
            return f"{self._address:02d}"
        if not value.isdigit() or int(value) > 99:
            return "?OOR"
        self._address = int(value)
        return ""

    def _pin(self, value: str) -> str:
        return "1" if value in ("2", "3", "4", "6") else "?OOR"


def _takes_digits(text: str) -> bool:
    whole, _, decimals = text.partition(".")
    return len(whole) + len(decimals) <= 4 and len(decimals) <= 3


def _number(text: str) -> float | None:
    """Return a number in the pump's form: four digits, one point, three decimals at most."""
    if re.fullmatch(r"\d*\.?\d+|\d+\.", text) is None or not _takes_digits(text):
        return None
    return float(text)


def _four_digits(value: float) -> str:
    """Return a number as the pump shows it, cut off and not rounded up."""
    decimals = 3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0
    scale = 10.0**decimals
    return f"{math.floor(value * scale + 1e-6) / scale:.{decimals}f}"
