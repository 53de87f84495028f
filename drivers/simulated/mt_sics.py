"""Twin of a Mettler-Toledo balance. It takes commands in any case, ended by CR, LF or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from drivers.simulated.twin import Twin
from drivers.simulated.world import World

SERIAL_NUMBER = "B123456789"
MODEL = "XS603S Excellence 610.0000 g"
CAPACITY_G = 610.0
UNDERLOAD_G = -20.0
ZERO_RANGE_G = 12.0
STREAM_S = 0.1
STABLE_TIMEOUT_S = 10.0
ADJUSTMENT_S = 60.0  # of virtual time
CHANGE_SHARE, CHANGE_G_MIN = 0.125, 1.0  # what `SR` takes for a change when nothing is said
XON, XOFF = 0x11, 0x13
COMMANDS = (
    ("0", "I0"), ("0", "I1"), ("0", "I2"), ("0", "I3"), ("0", "I4"), ("0", "I5"), ("0", "S"), ("0", "SI"),
    ("0", "SIR"), ("0", "Z"), ("0", "ZI"), ("0", "@"), ("1", "D"), ("1", "DW"), ("1", "K"),
    ("1", "SR"), ("1", "T"), ("1", "TA"), ("1", "TAC"), ("1", "TI"), ("2", "C3"), ("2", "M21"),
    ("2", "SC"), ("2", "TC"), ("2", "ZC"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HostUnit:
    """A unit in which the balance can tell its weight; `code` is that of `M21`."""

    name: str
    code: str
    grams: float
    decimals: int


HOST_UNITS = (
    HostUnit("g", "0", 1.0, 2),
    HostUnit("kg", "1", 1000.0, 5),
    HostUnit("mg", "3", 0.001, 0),
    HostUnit("ct", "5", 0.2, 1),
    HostUnit("lb", "7", 453.59237, 5),
    HostUnit("oz", "8", 28.349523125, 4),
    HostUnit("ozt", "9", 31.1034768, 4),
    HostUnit("GN", "10", 0.06479891, 1),
    HostUnit("dwt", "11", 1.55517384, 3),
)


class MtSicsTwin(Twin):
    """Answers as the sheet says; weighs what stands on the pan of its world.

    `error` ("10b") stands in the place of every weight while it is set; `brackets` marks the last digit
    as not certified, as approved balances do.
    """

    TYPE = "mt-sics"
    FIRMWARE = "1.10 18.6.4.1361.772"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.zero_g = 0.0
        self.tare_g = 0.0
        self.error = ""
        self.brackets = False
        self.host_unit = HOST_UNITS[0]
        self._buffer = bytearray()
        self._waiting: list[tuple[str, float]] = []
        self._stream_at_s: float | None = None
        self._change_g: float | None = None  # `SR`: how much is a change
        self._told_g: float | None = None  # `SR`: the last weight told
        self._adjusted_at_s: float | None = None
        self._handlers: dict[str, Callable[[str, float], list[str]]] = {
            "@": self._reset, "S": self._stable, "T": self._stable, "Z": self._stable,
            "SI": self._at_once, "SIR": self._stream, "SR": self._on_change, "ZI": self._zero_now,
            "TI": self._tare_now, "TA": self._tare_value, "TAC": self._clear_tare, "I0": self._list,
            "SC": self._within, "TC": self._within, "ZC": self._within, "C3": self._adjust,
            "M21": self._unit, "I3": lambda _text, _now: [f'I3 A "{self.firmware}"'],
        }  # fmt: skip
        self._texts = {
            "I1": ["I1 A \"01\" \"2.30\" \"2.22\" \"\" \"\""],
            "I2": [f'I2 A "{MODEL}"'],
            "I4": [f'I4 A "{SERIAL_NUMBER}"'],
            "I5": ['I5 A "11671158C"'],
            "D": ["D A"], "DW": ["DW A"], "K": ["K A"],
        }  # fmt: skip

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole command; a byte with its top bit set was damaged on the way."""
        self._buffer += data.translate(None, bytes((XON, XOFF)))
        if len(self._buffer) > 256:
            self._buffer.clear()
            return _lines(["ET"])
        answers: list[str] = []
        while (end := _end_of_line(self._buffer)) >= 0:
            line = bytes(self._buffer[:end]).strip()
            del self._buffer[: end + 1]
            if line:
                answers += self._answer(line.decode("ascii"), now_s) if line.isascii() else ["ET"]
        return _lines(answers)

    def tick(self, now_s: float) -> list[bytes]:
        """Answer what waited for a steady pan, stream after SIR and SR, end an adjustment."""
        answers: list[str] = []
        waiting, self._waiting = self._waiting, []
        for name, deadline_s in waiting:
            if self.world.pan_steady():
                answers += self._when_stable(name)
            elif now_s >= deadline_s:
                answers += self._too_late(name)
            else:
                self._waiting.append((name, deadline_s))
        if self._stream_at_s is not None and now_s >= self._stream_at_s:
            self._stream_at_s = now_s + STREAM_S
            answers += self._weight("S") if self._change_g is None else self._changed()
        if self._adjusted_at_s is not None and self.world.virtual_s >= self._adjusted_at_s:
            self._adjusted_at_s = None
            answers.append("C3 A")
        return _lines(answers)

    def restart(self, now_s: float) -> list[bytes]:
        """Lose tare and zero, and tell the serial number unasked."""
        self._buffer.clear()
        return _lines(self._reset("", now_s))

    def shown_g(self) -> float:
        """Return the net weight, as one look gives it."""
        return self.senses.shown("weight", self.world.gross_g) - self.zero_g - self.tare_g

    def _answer(self, text: str, now_s: float) -> list[str]:
        name, _, parameters = text.partition(" ")
        name = name.upper()
        if name in ("S", "SI", "SIR", "SR", "@"):
            self._stream_at_s = self._change_g = self._told_g = None
        if name in self._texts:
            return self._texts[name]
        handler = self._handlers.get(name)
        return ["ES"] if handler is None else handler(f"{name} {parameters}".strip(), now_s)

    def _reset(self, _text: str, _now_s: float) -> list[str]:
        self.tare_g = self.zero_g = 0.0
        self._waiting.clear()
        self._stream_at_s = self._change_g = self._told_g = self._adjusted_at_s = None
        return [f'I4 A "{SERIAL_NUMBER}"']

    def _stable(self, text: str, now_s: float) -> list[str]:
        return self._awaited(text[:1], now_s + STABLE_TIMEOUT_S)

    def _within(self, text: str, now_s: float) -> list[str]:
        """`SC`, `TC`, `ZC`: stable within so many milliseconds, else as it is then."""
        name, _, milliseconds = text.partition(" ")
        if not milliseconds.isdigit():
            return [f"{name} L"]
        return self._awaited(name, now_s + int(milliseconds) / 1000)

    def _awaited(self, name: str, deadline_s: float) -> list[str]:
        if self.world.pan_steady():
            return self._when_stable(name)
        self._waiting.append((name, deadline_s))
        return []

    def _when_stable(self, name: str) -> list[str]:
        if name[0] == "S":
            return self._weight("S")
        return self._tare(name) if name[0] == "T" else self._zero(name)

    def _too_late(self, name: str) -> list[str]:
        return [f"{name} I"] if len(name) == 1 else self._when_stable(name)

    def _at_once(self, _text: str, _now_s: float) -> list[str]:
        return self._weight("S")

    def _stream(self, _text: str, now_s: float) -> list[str]:
        self._stream_at_s = now_s + STREAM_S
        return self._weight("S")

    def _on_change(self, text: str, now_s: float) -> list[str]:
        """`SR`: the next stable weight, then each change of so much, and where it comes to rest."""
        words = text.split()[1:]
        change_g = self._grams(words) if words else 0.0
        if change_g is None:
            return ["S L"]
        self._change_g, self._stream_at_s = change_g, now_s
        return []

    def _changed(self) -> list[str]:
        shown, told = self.shown_g(), self._told_g
        steady = self.world.pan_steady()
        least_g = self._change_g or max(CHANGE_G_MIN, CHANGE_SHARE * abs(told or 0.0))
        if (told is None and not steady) or (told is not None and abs(shown - told) < least_g):
            return []
        self._told_g = shown if steady else None
        return self._weight("S")

    def _weight(self, name: str) -> list[str]:
        if self.error:
            return [f"{name} S Error {self.error}"]
        if self._adjusted_at_s is not None:
            return [f"{name} I"]
        shown = self.shown_g()
        if shown + self.tare_g > CAPACITY_G:
            return [f"{name} +"]
        if shown + self.tare_g < UNDERLOAD_G:
            return [f"{name} -"]
        return [f"{name} {self._letter()} {self._shown(shown)}"]

    def _shown(self, grams: float) -> str:
        """Return a weight in the host unit, right-aligned in ten characters."""
        unit = self.host_unit
        number = f"{grams / unit.grams:.{unit.decimals}f}"
        if not number.strip("-0."):
            number = number.lstrip("-")
        if self.brackets and "." in number:
            number = f"{number[:-1]}[{number[-1]}]"
        return f"{number:>10} {unit.name}"

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
        return [f"{name} {letter} {self._shown(self.tare_g)}"]

    def _tare_value(self, text: str, _now_s: float) -> list[str]:
        words = text.split()[1:]
        if words:
            tare_g = self._grams(words)
            if tare_g is None or not 0 <= tare_g <= CAPACITY_G:
                return ["TA L"]
            self.tare_g = tare_g
        return [f"TA A {self._shown(self.tare_g)}"]

    def _clear_tare(self, _text: str, _now_s: float) -> list[str]:
        self.tare_g = 0.0
        return ["TAC A"]

    def _grams(self, words: list[str]) -> float | None:
        """Return a weight written as value and unit; without one the unit is that of the host."""
        units = {unit.name.upper(): unit.grams for unit in HOST_UNITS}
        name = words[1].upper() if len(words) == 2 else self.host_unit.name.upper()
        try:
            value = float(words[0])
        except ValueError:
            return None
        return value * units[name] if len(words) <= 2 and name in units else None

    def _adjust(self, _text: str, _now_s: float) -> list[str]:
        self._adjusted_at_s = self.world.virtual_s + ADJUSTMENT_S
        return ["C3 B"]

    def _unit(self, text: str, _now_s: float) -> list[str]:
        """`M21`: tell the units, or set that of the host (0); display and info (1, 2) are taken and kept."""
        words = text.split()[1:]
        if not words:
            return [f"M21 B 0 {self.host_unit.code}", "M21 B 1 0", "M21 A 2 0"]
        unit = next((unit for unit in HOST_UNITS if words[1:] == [unit.code]), None)
        if unit is None or words[0] not in ("0", "1", "2"):
            return ["M21 L"]
        if words[0] == "0":
            self.host_unit = unit
        return ["M21 A"]

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
