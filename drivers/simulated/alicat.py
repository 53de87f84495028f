"""Twin of an Alicat mass-flow controller. Requests end with CR; letters may be small ones."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from drivers.gas.alicat_frames import FLOW_ML_MIN
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

KPA_A_PSI = 6.894757293168
STANDARD_KPA, STANDARD_K, ZERO_C_K = 101.325, 298.15, 273.15
ROOM_C = 21.9
SERIAL_NUMBER = "521641"
STREAM_MS = 50
OLD_FULL_SCALE = 64_000
# What the family calls its gases, by number.
GASES = {
    0: "Air",
    1: "Ar",
    2: "CH4",
    3: "CO",
    4: "CO2",
    5: "C2H6",
    6: "H2",
    7: "He",
    8: "N2",
    9: "N2O",
    11: "O2",
}
CODES = ("OPL", "POV", "P2O", "TOV", "VOV", "MOV", "TMF", "OVR", "COM", "HLD", "EXH", "GTA", "LCK")

_COMMAND = re.compile(r"(?:\$\$)?(\?\?[A-Z]\*|LSRC|LSS|FPF|NCS|[A-Z]{0,2}?)(?: ?([+-]?[\d.]+.*))?")


class AlicatTwin(Twin):
    """Answers as the sheet says; meters the gas of its world.

    What differs between models and firmware is an attribute: `is_meter`, `has_totalizer`, `has_humidity`,
    `tells_columns` ("new", "old", "" for none), `knows_setpoint` (`LS`), `knows_version`, `codes`, `ramps`.
    """

    TYPE = "alicat"
    FIRMWARE = "10v20.0-R24"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        told = self.settings.get("flow_unit", "told")
        self.letter = str(self.settings.get("unit", "A"))
        self.flow_unit = "SCCM" if told == "told" else str(told)
        self.is_meter = self.has_totalizer = self.has_humidity = False
        self.tells_columns = "new"
        self.knows_setpoint = self.knows_version = True
        self.ramps = False
        self.codes: list[str] = []
        self.held = ""
        self.locked = False
        self._number = next((number for number, name in GASES.items() if name == world.gas.gas), 0)
        self._tare_flow = self._tare_kpa = 0.0
        self._registers = {"122": "37"}
        self._ramp_rate, self._ramps_when = "0.0000000 7 4", "0 0 0 0"
        self._streams_at_s: float | None = None
        self._stream_ms = STREAM_MS
        self._buffer = bytearray()
        self._by_name: dict[str, Callable[[str], list[str]]] = {
            "": lambda _: [self.frame()], "S": self._set, "LS": self._loop_setpoint, "G": self._gas,
            "GS": self._gas_by_name, "V": self._tare, "P": self._frame_of, "PC": self._tare_pressure,
            "HC": self._hold_closed, "HP": self._hold_position, "C": self._let_go, "T": self._frame_of,
            "L": self._lock, "U": self._unlock, "VE": self._version, "??M*": self._made,
            "??D*": self._columns, "??G*": self._gases, "SR": self._ramp, "LSRC": self._ramp_times,
            "H": self._hold_position, "LSS": self._setpoint_source, "FPF": self._full_scale_of,
            "NCS": self._stream_every,
        }  # fmt: skip

    @property
    def full_scale(self) -> float:
        """The largest flow, in the unit that it shows."""
        return self.world.gas.full_scale_ml_min / self._factor

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole command."""
        self._buffer += data.replace(b"\n", b"")
        if len(self._buffer) > 256:
            self._buffer.clear()
        answers: list[str] = []
        while (end := self._buffer.find(b"\r")) >= 0:
            text = bytes(self._buffer[:end]).decode("ascii", errors="replace").strip()
            del self._buffer[: end + 1]
            answers += self._answer(text, now_s)
        return _lines(answers)

    def tick(self, now_s: float) -> list[bytes]:
        """Stream, where that was asked for."""
        if self._streams_at_s is None or now_s < self._streams_at_s:
            return []
        self._streams_at_s = now_s + self._stream_ms / 1000
        return _lines([self.frame("@")])

    def restart(self, now_s: float) -> list[bytes]:
        """Lose set-point and hold without a word; the gas is kept."""
        self._buffer.clear()
        self.world.advance()
        self.held, self._streams_at_s = "", None
        self.world.gas.setpoint_ml_min, self.world.gas.held_closed = 0.0, False
        return []

    def frame(self, letter: str = "") -> str:
        """Return the data frame of this moment."""
        self.world.advance()
        gas = self.world.gas
        mass = self.senses.shown("flow", lambda: gas.flow_ml_min) / self._factor - self._tare_flow
        kpa = self.senses.shown("pressure", lambda: gas.pressure_kpa) - self._tare_kpa
        degrees = self.senses.shown("gas temperature", lambda: ROOM_C + self.world.noise(0.005))
        volume = mass * (degrees + ZERO_C_K) / STANDARD_K * STANDARD_KPA / max(kpa, 1.0)
        numbers = [f"{kpa / KPA_A_PSI:+07.2f}", f"{degrees:+07.2f}", self._flow(volume), self._flow(mass)]
        numbers += [] if self.is_meter else [self._flow(gas.setpoint_ml_min / self._factor)]
        numbers += [f"{gas.metered_ml / self._factor:+010.1f}"] if self.has_totalizer else []
        numbers += ["+045.00"] if self.has_humidity else []
        codes = [*self.codes, *(["HLD"] if self.held else []), *(["LCK"] if self.locked else [])]
        codes += ["MOV"] if mass > 1.28 * self.full_scale else []
        return " ".join([letter or self.letter, *numbers, f"{gas.gas:>6}", *codes])

    @property
    def _factor(self) -> float:
        return float(FLOW_ML_MIN.get(self.flow_unit.lower(), 1))

    @property
    def _decimals(self) -> int:
        return 2 if self._factor <= 1 else 4

    def _flow(self, value: float) -> str:
        return f"{value:+0{5 + self._decimals}.{self._decimals}f}".replace("-000.00", "+000.00")

    def _answer(self, text: str, now_s: float) -> list[str]:
        if text.startswith("@@"):  # ends a stream, and names the unit anew
            if self._streams_at_s is not None and re.fullmatch(r"@@ ?[A-Za-z]", text):
                self._streams_at_s, self.letter = None, text[-1].upper()
                return [self.frame()]
            return []
        if text[:1].upper() not in (self.letter, "*") or self._streams_at_s is not None:
            return []
        body = text[1:].strip()
        if body.startswith("@"):
            return self._renamed(body[1:].strip().upper(), now_s)
        # The old integer set-point, of full scale: the shape that nobody should ever send.
        if not self.is_meter and re.fullmatch(r"\d{1,5}", text[1:]):
            return self._put(int(text[1:]) / OLD_FULL_SCALE * self.full_scale)
        register = re.fullmatch(r"(?:\$\$)?([RW])(\d+)(?: ?= ?(\S+))?", body.upper())
        if register:
            return self._register(*register.groups())
        command = _COMMAND.fullmatch(body.upper())
        if command is None or command[1] not in self._by_name:
            return ["?"]
        return self._by_name[command[1]](command[2] or "")

    def _renamed(self, letter: str, now_s: float) -> list[str]:
        if letter == "@":
            self._streams_at_s = now_s + self._stream_ms / 1000
            return []
        if re.fullmatch(r"[A-Z]", letter):
            self.letter = letter
            return [self.frame()]
        return ["?"]

    def _frame_of(self, _value: str) -> list[str]:
        return [self.frame()]

    def _set(self, value: str) -> list[str]:
        number = _number(value)
        return ["?"] if number is None or self.is_meter else self._put(number)

    def _put(self, value: float) -> list[str]:
        """Take a set-point, silently limited to the range."""
        limited = round(max(0.0, min(self.full_scale, value)), self._decimals)
        self.world.advance()
        self.world.gas.setpoint_ml_min = limited * self._factor
        return [self.frame()]

    def _loop_setpoint(self, value: str) -> list[str]:
        if not self.knows_setpoint or self.is_meter:
            return ["?"]
        number = _number(value.split()[0]) if value else None
        if number is not None:
            self._put(number)
        shown = self._flow(self.world.gas.setpoint_ml_min / self._factor)
        return [f"{self.letter} {shown} {shown} 12 {self.flow_unit}"]

    def _setpoint_source(self, _value: str) -> list[str]:
        return ["?"] if self.is_meter else [f"{self.letter} S"]  # the serial line

    def _stream_every(self, value: str) -> list[str]:
        if value.isdigit():
            self._stream_ms = max(10, int(value))
        return [f"{self.letter} {self._stream_ms}"]

    def _full_scale_of(self, value: str) -> list[str]:
        if value.strip() not in ("4", "5", "37"):
            return ["?"]
        return [f"{self.letter} {self._flow(self.full_scale)} 12 {self.flow_unit}"]

    def _gas(self, value: str) -> list[str]:
        if not value.strip().isdigit() or int(value) not in GASES:
            return ["?"]
        self.world.advance()
        self._number = int(value)
        self.world.gas.gas = GASES[self._number]
        return [self.frame()]

    def _gas_by_name(self, value: str) -> list[str]:
        if value and self._gas(value.split()[0]) == ["?"]:
            return ["?"]
        name = self.world.gas.gas
        return [f"{self.letter} {self._number} {name} {name}"]

    def _tare(self, _value: str) -> list[str]:
        self.world.advance()
        self._tare_flow = self.world.gas.flow_ml_min / self._factor
        return [self.frame()]

    def _tare_pressure(self, _value: str) -> list[str]:
        self.world.advance()
        self._tare_kpa = self.world.gas.pressure_kpa - STANDARD_KPA
        return [self.frame()]

    def _hold_closed(self, _value: str) -> list[str]:
        return self._hold("closed")

    def _hold_position(self, _value: str) -> list[str]:
        return self._hold("position")

    def _hold(self, how: str) -> list[str]:
        if self.is_meter:
            return ["?"]
        self.world.advance()
        self.held, self.world.gas.held_closed = how, how == "closed"
        return [self.frame()]

    def _let_go(self, _value: str) -> list[str]:
        if self.is_meter:
            return ["?"]
        self.world.advance()
        self.held, self.world.gas.held_closed = "", False
        return [self.frame()]

    def _lock(self, _value: str) -> list[str]:
        self.locked = True
        return [self.frame()]

    def _unlock(self, _value: str) -> list[str]:
        self.locked = False
        return [self.frame()]

    def _version(self, _value: str) -> list[str]:
        return [f"{self.letter}   {self.firmware} Jan  9 2025,15:04:07"] if self.knows_version else ["?"]

    def _ramp(self, value: str) -> list[str]:
        if value:
            rate, _, unit = value.partition(" ")
            self._ramp_rate = f"{float(rate):.7f} 7 {unit or '4'}"
        return [f"{self.letter} {self._ramp_rate} {self.flow_unit}/s"]

    def _ramp_times(self, value: str) -> list[str]:
        self._ramps_when = value or self._ramps_when
        return [f"{self.letter} {self._ramps_when}"]

    def _register(self, verb: str, number: str, value: str | None) -> list[str]:
        if number == "46":
            if verb == "W" and self._gas(value or "") == ["?"]:
                return ["?"]
            return [f"{self.letter}   046 = {self._number}"]
        if verb == "W" and value is not None:
            self._registers[number] = value
        return [f"{self.letter}   {int(number):03d} = {self._registers.get(number, '0')}"]

    def _made(self, _value: str) -> list[str]:
        model = f"{'M' if self.is_meter else 'MC'}-{self.full_scale:g}{self.flow_unit}-D"
        rows = (
            "ALICAT SCIENTIFIC", "www.alicat.com", "Ph   520-290-6060", "info@alicat.com",
            f"Model Number {model}", f"Serial Number {SERIAL_NUMBER}", "Date Manufactured 01/09/2025",
            "Date Calibrated   01/09/2025", "Calibrated By     CW", f"Software Revision {self.firmware}",
        )  # fmt: skip
        return [f"{self.letter}  M{number:02d} {text}" for number, text in enumerate(rows)]

    def _gases(self, _value: str) -> list[str]:
        return [f"{self.letter} G{number:02d} {name:>8}" for number, name in GASES.items()]

    def _columns(self, _value: str) -> list[str]:
        if not self.tells_columns:
            return ["?"]
        return self._new_table() if self.tells_columns == "new" else self._old_table()

    def _new_table(self) -> list[str]:
        volume = self.flow_unit.lstrip("SN")
        flow = f"s decimal     7/{self._decimals} 012 02"
        rows = [
            f"700 {'Unit ID':26} string          1",
            f"002 {'Abs Press':26} s decimal     7/2 010 02 PSIA",
            f"003 {'Flow Temp':26} s decimal     7/2 002 02 `C",
            f"004 {'Volu Flow':26} {flow} {volume}",
            f"005 {'Mass Flow':26} {flow} {self.flow_unit}",
        ]
        rows += [] if self.is_meter else [f"037 {'Mass Flow Setpt':26} {flow} {self.flow_unit}"]
        rows += [f"009 {'Mass Total':26} s decimal    10/1 006 02 Scm3"] if self.has_totalizer else []
        rows += [f"025 {'Rel Humidity':26} s decimal     7/2 063 02 %"] if self.has_humidity else []
        rows += [f"703 {'Gas':26} string          6", f"701 {'*Error':26} string          3 ADC"]
        rows += [f"702 {'*Status':26} string          3 {code}" for code in CODES]
        head = f"ID_ NAME{'_' * 22} TYPE_______ WIDTH NOTES{'_' * 19}"
        return [f"{self.letter} D{number:02d} {row}" for number, row in enumerate([head, *rows])]

    def _old_table(self) -> list[str]:
        most = f"{self.full_scale:+07.1f}"
        rows = [
            "NAME_______ TYPE_____ MinVal_  MaxVal_  UNITS__",
            "Unit ID     char         A         Z         na",
            "Pressure    signed    +000.00  +160.00     PSIA",
            "Temperature signed    -010.00  +050.00        C",
            f"Volumetric  signed    +0000.0  {most}      {self.flow_unit.lstrip('SN')}",
            f"Mass        signed    +0000.0  {most}     {self.flow_unit}",
        ]
        rows += [] if self.is_meter else [f"SetPoint    signed    +0000.0  {most}     {self.flow_unit}"]
        rows += [
            "Gas         string        Air       D2       na",
            "Error       string         na      ADC       na",
        ]
        rows += [f"Status      string         na      {code}       na" for code in CODES]
        return [f"{self.letter}  D{number:02d} {row}" for number, row in enumerate(rows)]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lines(answers: list[str]) -> list[bytes]:
    return [answer.encode("ascii", errors="replace") + b"\r" for answer in answers]
