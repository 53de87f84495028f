"""Twin of a Masterflex L/S drive: numbering, frames of several commands, bounded runs, counters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from drivers.framing import STX
from drivers.simulated.fluids import Motion
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

ENQ, ACK, NAK, CAN = 0x05, 0x06, 0x15, 0x18
CR = 0x0D
CHANNEL = 1
TYPE_DIGIT = "0"
EVERY_PUMP = 99
NUMBER_MAX = 89
REVOLUTIONS_MAX = 99999.99
DONE, REFUSED = bytes((ACK,)), bytes((NAK,))

_FRAME = re.compile(r"P(\d\d)(.*)")
_COMMAND = re.compile(r"([A-Z])([+-]?\d*\.?\d*)")
_SPEED = re.compile(r"[+-](\d{1,4}(?:\.\d)?|\d{1,3}\.\d{1,2})")
_REVOLUTIONS = re.compile(r"\d{1,5}(?:\.\d{1,2})?")


class MasterflexTwin(Twin):
    """Answers as the sheet says, G0 with the NAK that users report; turns the rollers of its world."""

    TYPE = "masterflex-ls"
    BITS_PER_BYTE = 10  # 7O1: start, seven bits, parity, stop

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.ml_per_rev = float(self.settings.get("ml_per_rev", "0.80"))
        self.rpm_max = float(self.settings.get("rpm_max", "600"))
        self.number: int | None = None
        self.remote = False
        self.rpm = 10.0
        self.clockwise = True
        self.endless_runs = 0
        self.nak_on_start = False  # some drives answer G so, and start all the same
        self.deaf_to_start = False
        self._to_go_rev = 0.0
        self._counted_from_ml = 0.0
        self._run_rev: float | None = None  # of the run that goes on, while there is a bounded one
        self._run_from_ml = 0.0
        self._buffer = bytearray()
        self._handlers: dict[str, Callable[[str], bytes]] = {
            "R": self._control, "L": lambda _: self._control("L"), "S": self._speed, "V": self._volume,
            "G": self._go, "H": self._halt, "Z": self._zero, "C": self._total, "E": self._to_go,
            "I": lambda _: self._status(), "K": lambda _: _data("K0"), "U": self._renumber,
            "A": lambda _: _data("A0"), "B": lambda _: DONE, "O": lambda _: DONE,
        }  # fmt: skip

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer ENQ and each whole frame; CAN drops what is half typed."""
        self.world.advance()
        self._follow_run()
        answers: list[bytes] = []
        for byte in data:
            byte &= 0x7F
            if byte == ENQ:
                self._buffer.clear()
                answers.append(_data(f"P?{TYPE_DIGIT}") if self.number is None else self._status())
            elif byte in (CAN, STX):
                self._buffer.clear()
            elif byte == CR:
                answers += self._answer(self._buffer.decode("ascii", errors="replace").upper())
                self._buffer.clear()
            elif byte >= 0x20 and len(self._buffer) < 256:
                self._buffer.append(byte)
        return [answer for answer in answers if answer]

    def tick(self, now_s: float) -> list[bytes]:
        """Follow the run; this drive speaks only when asked."""
        self.world.advance()
        self._follow_run()
        return []

    def restart(self, now_s: float) -> list[bytes]:
        """Stand, forget number, settings and counters; the host has to ask before it hears of it."""
        self._buffer.clear()
        self.world.stop_rollers(CHANNEL)
        self.number, self.remote, self.rpm, self.clockwise = None, False, 10.0, True
        self._to_go_rev, self._run_rev, self._counted_from_ml = 0.0, None, self._dispensed_ml()
        return []

    def _answer(self, text: str) -> list[bytes]:
        match = _FRAME.fullmatch(text.strip())
        if match is None:
            return []
        number, commands = int(match[1]), match[2]
        if self.number is None:
            if commands or not 1 <= number <= NUMBER_MAX:
                return []
            self.number = number
            return [DONE]
        if number not in (self.number, EVERY_PUMP):
            return []
        answer = self._carry_out(commands)
        return [] if number == EVERY_PUMP else [answer]

    def _carry_out(self, commands: str) -> bytes:
        """Carry out the commands of one frame in their order; the last one's answer is the answer."""
        answer, at = DONE, 0
        while at < len(commands):
            match = _COMMAND.match(commands, at)
            if match is None or match[1] not in self._handlers:
                return REFUSED
            answer = self._handlers[match[1]](match[2])
            if answer == REFUSED:
                return REFUSED
            at = match.end()
        return answer

    def _control(self, letter: str) -> bytes:
        self.remote = letter != "L"
        return DONE

    def _speed(self, value: str) -> bytes:
        if not value:
            return _data(f"S{'+' if self.clockwise else '-'}{self.rpm:05.1f}")
        if _SPEED.fullmatch(value) is None or float(value[1:]) > self.rpm_max:
            return REFUSED
        self.clockwise, self.rpm = value[0] == "+", round(float(value[1:]), 1)
        return DONE

    def _volume(self, value: str) -> bytes:
        if _REVOLUTIONS.fullmatch(value) is None or self._motion.moving:
            return REFUSED
        self._to_go_rev = float(value)
        return DONE

    def _go(self, value: str) -> bytes:
        self.remote = True
        endless = value == "0"
        if self.rpm <= 0 or not (endless or (self._to_go_rev > 0 and not self._motion.moving)):
            return REFUSED
        if self.deaf_to_start:
            return DONE
        self.endless_runs += endless
        self._run_rev, self._run_from_ml = None if endless else self._to_go_rev, self._dispensed_ml()
        self.world.start_rollers(
            CHANNEL,
            rate_ml_min=self.rpm * self.ml_per_rev,
            volume_ml=None if endless else self._to_go_rev * self.ml_per_rev,
            infusing=self.clockwise,
        )
        return REFUSED if endless or self.nak_on_start else DONE

    def _halt(self, _value: str) -> bytes:
        self.world.stop_rollers(CHANNEL)
        self._follow_run()
        return DONE

    def _zero(self, value: str) -> bytes:
        if value == "0":
            self._counted_from_ml = self._dispensed_ml()
        elif self._motion.moving:
            return REFUSED
        else:
            self._to_go_rev = 0.0
        return DONE

    def _total(self, _value: str) -> bytes:
        counted_ml = self._dispensed_ml() - self._counted_from_ml
        shown = self.senses.shown("turned", lambda: counted_ml / self.ml_per_rev)
        return _data(f"C{shown % 1e7:010.2f}")

    def _to_go(self, _value: str) -> bytes:
        return _data(f"E{self._to_go_rev:08.2f}")

    def _status(self) -> bytes:
        running = 3 if self._motion.moving else 2 if self._to_go_rev > 0 else 1
        return _data(f"P{self.number or 0:02d}I{int(self.remote)}00{running}0")

    def _renumber(self, value: str) -> bytes:
        if not value.isdigit() or not 1 <= int(value) <= NUMBER_MAX:
            return REFUSED
        self.number = int(value)
        return DONE

    @property
    def _motion(self) -> Motion:
        return self.world.tubing[CHANNEL].motion

    def _follow_run(self) -> None:
        """Bring the revolutions to go up to what the rollers have turned."""
        if self._run_rev is None:
            return
        turned_rev = (self._dispensed_ml() - self._run_from_ml) / self.ml_per_rev
        self._to_go_rev = max(0.0, round(self._run_rev - turned_rev, 6))
        if not self._motion.moving:
            self._run_rev = None

    def _dispensed_ml(self) -> float:
        return sum(self._motion.dispensed_ml.values())


def _data(text: str) -> bytes:
    return bytes((STX,)) + text.encode("ascii") + bytes((CR,))
