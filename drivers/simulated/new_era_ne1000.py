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
IGNORED = ("BUZ", "LOC", "AL", "BP", "PF", "DIN", "ROM", "TRG", "ADR")

_COMMAND = re.compile(r"(\d{0,2})([A-Z]{0,3})(.*)")
_RATE = re.compile(r"C?(\d*\.?\d+|\d+\.)(MM|MH|UM|UH)?")


@dataclass
class Phase:
    """One phase of the pump's program; from the factory each is a RATE phase without a volume."""

    function: str = "RAT"
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
        self._at_rest = "S"  # S stopped or P paused, while the motor stands
        self.alarm = ""
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
            "FUN": self._function, "PUR": lambda _: "?NA",
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
        self._clear("INF")
        self._raise("R")
        self._clear("")
        return [self._framed(self._status(), b"")] if self.safe_mode else []

    def _next_reply(self, now_s: float) -> bytes | None:
        """Take one request out of the buffer; None when there is no whole one, b"" for no answer."""
        if self._buffer[:1] == bytes((STX,)):
            try:
                payload = take_safe_packet(self._buffer)
            except BrokenFrame:
                return self._framed(self._status(), b"?COM") if self.safe_mode else b""
            return None if payload is None else self._answer(payload, now_s)
        if self.safe_mode:
            start = self._buffer.find(STX)
            del self._buffer[: start if start >= 0 else len(self._buffer)]
            return None if start < 0 else b""
        ends = [i for i in (self._buffer.find(b"\r"), self._buffer.find(STX)) if i >= 0]
        if not ends:
            return None
        text = bytes(self._buffer[: min(ends)])
        del self._buffer[: min(ends) + (self._buffer[min(ends)] != STX)]
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
        if match[2] == "SAF":
            return self._safe(match[3])
        handler = self._handlers.get(match[2])
        if handler is None:
            data = "" if text[len(match[1]) :].startswith(IGNORED) else "?"
        else:
            data = handler(match[3])
        return self._framed(self._status(), data.encode("ascii"))

    def _framed(self, status: str, data: bytes) -> bytes:
        payload = f"{self._address:02d}{status}".encode("ascii") + data
        return safe_packet(payload) if self.safe_mode else basic_reply(payload)

    def _status(self) -> str:
        if self.alarm:
            return f"A?{self.alarm}"
        if self.world.motion.moving:
            return "I" if self.world.motion.infusing else "W"
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
        self._at_rest = "S"
        self.alarm = letter

    def _follow_program(self) -> None:
        """Go on to the next phase when a volume is done; stall when the syringe is empty."""
        ended, self.world.motion.ended = self.world.motion.ended, ""
        if ended == "stall":
            self._raise("S")
        elif ended == "volume":
            self._at_rest = "S"
            self._start_phase(self._running_phase + 1)

    def _start_phase(self, index: int) -> None:
        if index >= PHASES or self.phases[index].function == "STP":
            return
        phase = self.phases[index]
        self._running_phase = index
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
        if self._at_rest == "P" and not value:
            phase = self.phases[self._running_phase]
            self.world.start_motion(
                rate_ml_min=phase.rate * RATE_UNITS[phase.unit], volume_ml=left, infusing=phase.infusing
            )
            return ""
        index = int(value) - 1 if value.isdigit() else 0
        if not 0 <= index < PHASES:
            return "?OOR"
        if self.phases[index].rate <= 0:
            return "?NA"
        self._start_phase(index)
        return ""

    def _stop(self, _value: str) -> str:
        self.stop_received_ns = time.monotonic_ns()
        if self.world.motion.moving:
            self.world.stop_motion()
            self._at_rest = "P"
            return ""
        was, self._at_rest = self._at_rest, "S"
        return "" if was == "P" else "?NA"

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
        area_cm2 = math.pi * (self.diameter_mm / 20) ** 2
        if not _takes_digits(match[1]) or rate * RATE_UNITS[unit] > area_cm2 * PLUNGER_CM_MIN:
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
        if not value:
            return self.phases[self._selected].function
        if value not in ("RAT", "STP"):
            return "?"
        self.phases[self._selected].function = value
        return ""


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
