"""Twin of a Sartorius balance in SBI. Requests end with CR LF, with one of them, or with nothing."""

from __future__ import annotations

from collections.abc import Mapping

from drivers.balances.sbi_lines import GRAMS
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

MODEL = "QUINTIX3102-1S"
SERIAL_NUMBER = "34309393"
CAPACITY_G = 3100.0
UNDERLOAD_G = -50.0
ZERO_RANGE_G = 62.0  # 2 % of the capacity
ERROR_SHOWN_S = 2.0
ORDER_WAITS_S = 10.0
REQUEST_BYTES_MAX = 20
ESC = 0x1B
KEYS = {"kp_": "P", "kt_": "T"}  # keys pressed from afar


class SartoriusSbiTwin(Twin):
    """Answers as the sheet says; weighs what stands on the pan of its world.

    Parameters that a person sets at the balance are attributes: `identified` (22-character lines),
    `decimals`, `print_every_s` (auto-print), `prints_when_stable`, `unit`, `xbpi`, `knows_names`
    (`x1_` and the like), `knows_new_keys` (`U` and `V`), `zeroes_at_power_on`, `boot_s`.
    """

    TYPE = "sartorius-sbi"
    BITS_PER_BYTE = 11
    FIRMWARE = "01-62-07"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.tare_g = 0.0
        self.zero_g = 0.0
        told = self.settings.get("unit", "told")
        self.unit = "g" if told == "told" else told
        self.decimals = 2
        self.identified = True
        self.print_every_s = 0.0
        self.prints_when_stable = False
        self.xbpi = False
        self.knows_names = self.knows_new_keys = True
        self.zeroes_at_power_on = False
        self.boot_s = 0.0
        self.keys_locked = False
        self.adjusting_until_s = 0.0
        self._buffer = bytearray()
        self._prints = False  # a print waits for a steady pan
        self._waiting: tuple[str, float] | None = None
        self._error = ("", 0.0)
        self._asleep_until_s = 0.0
        self._printed_s = 0.0

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Carry out each request as soon as it can be told from a longer one."""
        if now_s < self._asleep_until_s:
            return []
        self._buffer += data
        answers: list[str] = []
        while (request := self._taken()) is not None:
            answers += self._answer(request, now_s)
        return [answer.encode("ascii") + b"\r\n" for answer in answers]

    def tick(self, now_s: float) -> list[bytes]:
        """Carry out what waited for a steady pan, and print unasked where that is set."""
        if now_s < self._asleep_until_s:
            return []
        answers: list[str] = []
        if self._waiting is not None:
            self._carry_out(now_s)
        if self._prints and self.world.pan_steady():
            self._prints = False
            answers.append(self._line(now_s))
        if self.print_every_s and now_s - self._printed_s >= self.print_every_s:
            self._printed_s = now_s
            answers.append(self._line(now_s))
        return [answer.encode("ascii") + b"\r\n" for answer in answers]

    def restart(self, now_s: float) -> list[bytes]:
        """Lose the tare without a word; some set their zero anew to what is on the pan."""
        self._buffer.clear()
        self.tare_g = 0.0
        gross = self.world.gross_g()
        self.zero_g = gross if self.zeroes_at_power_on else 0.0
        self.keys_locked = self._prints = False
        self._waiting, self._error, self.adjusting_until_s = None, ("", 0.0), 0.0
        self._asleep_until_s = now_s + self.boot_s
        return []

    def shown_g(self) -> float:
        """Return the net weight, as one look gives it."""
        return self.senses.shown("weight", self.world.gross_g) - self.zero_g - self.tare_g

    def _taken(self) -> str | None:
        """Take one request out of the buffer, without ESC; what is none is dropped."""
        start = self._buffer.find(ESC)
        if start < 0:
            self._buffer.clear()
            return None
        del self._buffer[:start]
        if len(self._buffer) < 2:
            return None
        letter = chr(self._buffer[1])
        if letter in "PTUVKLMNOQRSZptuvoqrz":  # small k, s and x begin longer requests
            del self._buffer[:2]
            return letter.upper()
        end = self._buffer.find(b"_")
        if 0 < end <= REQUEST_BYTES_MAX:
            request = self._buffer[1:end].decode("ascii", errors="replace")
            del self._buffer[: end + 1]
            return KEYS.get(f"{request}_".lower(), f"{request}_".lower())
        if len(self._buffer) > REQUEST_BYTES_MAX or b"\n" in self._buffer or self._buffer.find(ESC, 1) > 0:
            del self._buffer[:1]
            return ""
        return None

    def _answer(self, request: str, now_s: float) -> list[str]:
        if self.xbpi:
            return [self._framed("PRT.ERR", "")] if request == "P" else []
        if request == "P":
            if self.prints_when_stable and not self.world.pan_steady():
                self._prints = True
                return []
            return [self._line(now_s)]
        if request in ("x1_", "x2_", "x3_"):
            texts = {"x1_": MODEL, "x2_": SERIAL_NUMBER, "x3_": self.firmware}
            return [texts[request]] if self.knows_names else []
        if request in ("T", "U", "V") and (self.knows_new_keys or request == "T"):
            self._waiting = (request, now_s + ORDER_WAITS_S)
            self._carry_out(now_s)
        elif request == "Z":
            self.adjusting_until_s = now_s + 5.0
        elif request == "S":
            self.restart(now_s)
        elif request in ("O", "R"):
            self.keys_locked = request == "O"
        return []

    def _carry_out(self, now_s: float) -> None:
        """Tare or zero as soon as the pan is steady; give up with an error after a while."""
        assert self._waiting is not None, "something waits"
        key, until_s = self._waiting
        if not self.world.pan_steady():
            if now_s >= until_s:
                self._waiting, self._error = None, ("11", now_s + ERROR_SHOWN_S)
            return
        self._waiting = None
        load = self.world.gross_g() - self.zero_g
        if key == "V" or (key == "T" and abs(self.world.gross_g()) <= 0.02 * ZERO_RANGE_G):
            if abs(self.world.gross_g()) > ZERO_RANGE_G:
                self._error = ("11", now_s + ERROR_SHOWN_S)
                return
            self.zero_g, self.tare_g = self.world.gross_g(), 0.0
        elif UNDERLOAD_G <= load <= CAPACITY_G:
            self.tare_g = load
        else:
            self._error = ("10", now_s + ERROR_SHOWN_S)

    def _line(self, now_s: float) -> str:
        if now_s < self.adjusting_until_s:
            return self._framed("Cal.Int.", "")
        if now_s < self._error[1]:
            return self._framed(f"Err {self._error[0]}", "")
        shown = self.shown_g()
        if shown + self.tare_g > CAPACITY_G:
            return self._framed("High", "")
        if shown + self.tare_g < UNDERLOAD_G:
            return self._framed("Low", "")
        value = shown / float(GRAMS[self.unit.lower()])
        number = f"{abs(value):9.{self.decimals}f}"
        sign = "-" if value < 0 and float(number) else "+"
        unit = self.unit if self.world.pan_steady() else ""
        return self._framed("", f"{sign}{number} {unit:<3}")

    def _framed(self, status: str, weight: str) -> str:
        """Return a line of 14 characters, or of 20 with what it is about in front."""
        if weight:
            return f"{'N':<6}{weight}" if self.identified else weight
        places = {"High": 5, "Low": 5, "Cal.Int.": 2, "PRT.ERR": 3}
        column = places.get(status, 3)
        body = f"{'':{column}}{status}".ljust(14)
        return f"{'Stat':<6}{body}" if self.identified else body
