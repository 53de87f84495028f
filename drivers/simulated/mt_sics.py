"""Twin of a Mettler-Toledo balance. It takes commands in any case, ended by CR, LF or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from drivers.simulated.twin import Twin
from drivers.simulated.world import World

SERIAL_NUMBER = "B123456789"
MODEL = "XS603S Excellence 610.0000 g"
CAPACITY_G = 610.0
UNDERLOAD_G = -20.0
ZERO_RANGE_G = 12.0
STREAM_S = 0.1
STABLE_TIMEOUT_S = 10.0
COMMANDS = (
    ("0", "I0"), ("0", "I1"), ("0", "I2"), ("0", "I3"), ("0", "I4"), ("0", "S"), ("0", "SI"),
    ("0", "SIR"), ("0", "Z"), ("0", "ZI"), ("0", "@"), ("1", "D"), ("1", "DW"), ("1", "K"),
    ("1", "SR"), ("1", "T"), ("1", "TA"), ("1", "TAC"), ("1", "TI"), ("2", "C3"), ("2", "M21"),
)  # fmt: skip


class MtSicsTwin(Twin):
    """Answers as the sheet says; weighs what stands on the pan of its world."""

    TYPE = "mt-sics"
    FIRMWARE = "1.10 18.6.4.1361.772"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.zero_g = 0.0
        self.tare_g = 0.0
        self._buffer = bytearray()
        self._waiting: list[tuple[str, float]] = []
        self._stream_at_s: float | None = None
        self._handlers: dict[str, Callable[[str, float], list[str]]] = {
            "@": self._reset, "S": self._stable, "T": self._stable, "Z": self._stable,
            "SI": self._at_once, "SIR": self._stream, "SR": self._stream, "ZI": self._zero_now,
            "TI": self._tare_now, "TA": self._tare_value, "TAC": self._clear_tare, "I0": self._list,
        }  # fmt: skip
        self._texts = {
            "I1": ["I1 A \"01\" \"2.30\" \"2.22\" \"\" \"\""],
            "I2": [f'I2 A "{MODEL}"'],
            "I4": [f'I4 A "{SERIAL_NUMBER}"'],
            "I5": ['I5 A "11671158C"'],
            "D": ["D A"], "DW": ["DW A"], "K": ["K A"], "M21": ["M21 A"], "C3": ["C3 B", "C3 A"],
        }  # fmt: skip

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole command."""
        self._buffer += data
        if len(self._buffer) > 256:
            self._buffer.clear()
            return _lines(["ET"])
        answers: list[str] = []
        while (end := _end_of_line(self._buffer)) >= 0:
            text = bytes(self._buffer[:end]).decode("ascii", errors="replace").strip()
            del self._buffer[: end + 1]
            if text:
                answers += self._answer(text, now_s)
        return _lines(answers)

    def tick(self, now_s: float) -> list[bytes]:
        """Answer what waited for a steady pan, and stream after SIR."""
        answers: list[str] = []
        waiting, self._waiting = self._waiting, []
        for name, deadline_s in waiting:
            if self.world.pan_steady():
                answers += self._when_stable(name)
            elif now_s >= deadline_s:
                answers.append(f"{name} I")
            else:
                self._waiting.append((name, deadline_s))
        if self._stream_at_s is not None and now_s >= self._stream_at_s:
            self._stream_at_s = now_s + STREAM_S
            answers += self._weight("S")
        return _lines(answers)

    def restart(self, now_s: float) -> list[bytes]:
        """Lose tare and zero, and tell the serial number unasked."""
        self._buffer.clear()
        return _lines(self._reset("", now_s))

    def shown_g(self) -> float:
        """Return the net weight, as one look gives it."""
        return self.senses.shown("weight", self.world.gross_g) - self.zero_g - self.tare_g

    def _answer(self, text: str, now_s: float) -> list[str]:
        name, _, parameters = text.upper().partition(" ")
        if name in ("S", "SI", "SR", "@"):
            self._stream_at_s = None
        if name == "I3":
            return [f'I3 A "{self.firmware}"']
        if name in self._texts:
            return self._texts[name]
        handler = self._handlers.get(name)
        return ["ES"] if handler is None else handler(f"{name} {parameters}".strip(), now_s)

    def _reset(self, _text: str, _now_s: float) -> list[str]:
        self.tare_g = self.zero_g = 0.0
        self._waiting.clear()
        self._stream_at_s = None
        return [f'I4 A "{SERIAL_NUMBER}"']

    def _stable(self, text: str, now_s: float) -> list[str]:
        name = text[:1]
        if self.world.pan_steady():
            return self._when_stable(name)
        self._waiting.append((name, now_s + STABLE_TIMEOUT_S))
        return []

    def _when_stable(self, name: str) -> list[str]:
        if name == "S":
            return self._weight("S")
        return self._tare("T") if name == "T" else self._zero("Z")

    def _at_once(self, _text: str, _now_s: float) -> list[str]:
        return self._weight("S")

    def _stream(self, text: str, now_s: float) -> list[str]:
        self._stream_at_s = now_s + STREAM_S
        return self._weight("S")

    def _weight(self, name: str) -> list[str]:
        shown = self.shown_g()
        if shown + self.tare_g > CAPACITY_G:
            return [f"{name} +"]
        if shown + self.tare_g < UNDERLOAD_G:
            return [f"{name} -"]
        return [f"{name} {self._letter()} {shown:10.2f} g".replace("-0.00", " 0.00")]

    def _zero_now(self, _text: str, _now_s: float) -> list[str]:
        return self._zero("ZI")

    def _zero(self, name: str) -> list[str]:
        gross = self.world.gross_g()
        if abs(gross) > ZERO_RANGE_G + 1:
            return [f"{name} {'+' if gross > 0 else '-'}"]
        letter = "A" if name == "Z" else self._letter()
        self.zero_g, self.tare_g = gross, 0.0
        return [f"{name} {letter}"]

    def _tare_now(self, _text: str, _now_s: float) -> list[str]:
        return self._tare("TI")

    def _tare(self, name: str) -> list[str]:
        load = self.world.gross_g() - self.zero_g
        if not UNDERLOAD_G <= load <= CAPACITY_G:
            return [f"{name} {'+' if load > 0 else '-'}"]
        letter = self._letter()
        self.tare_g = round(load, 2)
        return [f"{name} {letter} {self.tare_g:10.2f} g"]

    def _tare_value(self, text: str, _now_s: float) -> list[str]:
        words = text.split()[1:]
        if words:
            try:
                self.tare_g = float(words[0])
            except ValueError:
                return ["TA L"]
        return [f"TA A {self.tare_g:10.2f} g"]

    def _clear_tare(self, _text: str, _now_s: float) -> list[str]:
        self.tare_g = 0.0
        return ["TAC A"]

    def _list(self, _text: str, _now_s: float) -> list[str]:
        last = len(COMMANDS) - 1
        return [
            f'I0 {"A" if index == last else "B"} {level} "{name}"'
            for index, (level, name) in enumerate(COMMANDS)
        ]

    def _letter(self) -> str:
        return "S" if self.world.pan_steady() else "D"


def _end_of_line(buffer: bytearray) -> int:
    return next((index for index, byte in enumerate(buffer) if byte in b"\r\n"), -1)


def _lines(answers: list[str]) -> list[bytes]:
    return [answer.encode("ascii") + b"\r\n" for answer in answers]
