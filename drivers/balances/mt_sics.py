"""Mettler-Toledo balances that speak MT-SICS. Wire facts: docs/devices/mt_sics.md."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from drivers.agreement import Confirmation, same
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineFlooded,
    StrayBytes,
    WrongDevice,
)
from drivers.framing import BrokenFrame, ascii_text, take_line
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import BALANCE, SafeState
from drivers.wear import Wear

NAME = "Balance"
# Grams in one unit, each exact by definition.
GRAMS = {
    "g": Decimal(1),
    "kg": Decimal(1000),
    "mg": Decimal("0.001"),
    "ct": Decimal("0.2"),
    "lb": Decimal("453.59237"),
    "oz": Decimal("28.349523125"),
    "ozt": Decimal("31.1034768"),
    "dwt": Decimal("1.55517384"),
    "GN": Decimal("0.06479891"),
}
EMPTY_G = Decimal("0.10")  # what may be shown right after tare or zero
ERRORS = {
    "1": "boot",
    "2": "brand",
    "3": "checksum",
    "9": "option",
    "10": "EEPROM",
    "11": "mismatch",
    "12": "hot-plug",
    "14": "weigh module mismatch",
    "15": "adjustment needed",
}

# Digits that are not certified may stand in square brackets.
_NUMBER = r" {1,10}(-?\d{1,7}(?:\.\d{0,6})?)(?:\[(\d{1,3})\])? ([a-zA-Z]{1,5}) {0,3}"
_WEIGHT = re.compile(r"S ([SD])" + _NUMBER)
_TARE = re.compile(r"T([A]?) ([SDA])" + _NUMBER)
_ERROR = re.compile(r"S S Error (\d{1,2})([bt])")
_TEXT = re.compile(r'(I\d) A "([^"]*)"')
_TROUBLES = {
    "S +": "overload: take weight off the pan",
    "S -": "underload: put the pan back",
    "S I": "the balance is busy",
    "S L": "the balance does not take the question",
    "EL": "the balance cannot weigh now",
}


@dataclass(frozen=True, slots=True)
class Weight:
    """One weight as it came; `trouble` in its place where the balance had none to give."""

    grams: Decimal
    stable: bool
    decimals: int
    trouble: str = ""


class MtSicsBalance:
    """A balance that is asked for its weight at once (`SI`), at least twice for each reading.

    The line has no checksum, so a weight is good only when others agree with it. The balance
    moves nothing: `stop` has nothing to do. An unasked `I4 A` means that the balance restarted and
    forgot its tare; that is raised as `DeviceRestarted` before anything else is read.
    """

    TYPE = "mt-sics"
    ROLE = "balance"
    EXCHANGE_S = 0.4
    READ_S = 0.85
    ENDED_S = 0.95  # a read ends by then, whatever happens
    STEADY_S = 30.0
    POLL_S = 0.1
    STEADY_ANSWER_S = 3.0
    OPEN_S = 3.0

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        line_settings = LineSettings.told((settings or {}).get("line", "9600-8N1"))
        self._line = SerialLine(NAME, port, line_settings, take_line)
        self._in_doubt = True
        self._ends_s = math.inf
        self._new = True
        self._tare: Decimal | None = None
        self._tare_in_doubt = False
        self._last_g: Decimal | None = None
        self._weights = Confirmation(self._weigh_once, _weights_agree)

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and make sure that a balance answers."""
        self._line.open()
        self._in_doubt = self._new = True
        self._last_g = None
        deadline = time.monotonic() + self.OPEN_S
        try:
            self._resynchronise_until(deadline)
        except DeviceFault:
            self._line.close()
            raise
        self._new = False

    def identify(self) -> Identity:
        """Ask model, serial number and software version, each until two answers agree."""
        model = self._text("I2").split()
        return Identity(
            maker="Mettler-Toledo",
            model=" ".join(model[:-2]) or " ".join(model),
            serial_number=self._text("I4"),
            firmware=self._text("I3"),
        )

    def read(self) -> list[Reading]:
        """Read the net weight; `detail` says stable or dynamic."""
        self._ends_s = time.monotonic() + self.ENDED_S
        try:
            return [self._reading()]
        except LineFlooded:
            raise
        except DeviceGarbled as fault:
            return [reading_now("weight_g", None, "g", "bad", fault.words)]
        finally:
            self._ends_s = math.inf

    def _reading(self) -> Reading:
        weight = self._weights.read(time.monotonic() + self.READ_S)
        value = weight.value
        if value.trouble:
            return reading_now("weight_g", None, "g", "bad", value.trouble)
        quality: Quality = "good" if weight.confirmed and self._tare_holds(value) else "uncertain"
        detail = "stable" if value.stable else "dynamic"
        return reading_now("weight_g", value.grams, "g", quality, detail)

    def _tare_holds(self, weight: Weight) -> bool:
        """After a jump, ask whether the tare is still held: a balance may lose its power and not tell it.

        The weight then jumps by that tare; what flows into a bag changes it by less between two reads.
        """
        least_g = max(EMPTY_G, abs(self._tare or Decimal(0)) / 2)
        jumped = self._last_g is not None and abs(weight.grams - self._last_g) > least_g
        self._last_g = weight.grams
        self._tare_in_doubt = self._tare is not None and (self._tare_in_doubt or jumped)
        if self._tare is not None and self._tare_in_doubt:
            try:
                self._look_at_tare(self._tare)
            except (DeviceSilent, DeviceGarbled):
                return False  # the next read asks again
            self._tare_in_doubt = False
        return True

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Zero or tare the balance; confirmed when it then shows nothing on the pan."""
        if BALANCE.order_named(name) is None or parameters:
            raise DeviceRefused(NAME, f"knows the orders zero and tare without values, not {name!r}.")
        self._wait_until_steady(name)
        self._tare = None
        unknown: DeviceFault | None = None
        try:
            self._accepted(name, self._exchange("T" if name == "tare" else "Z", self.STEADY_ANSWER_S))
        except (DeviceSilent, DeviceGarbled) as fault:
            unknown = fault
        # The tare is asked for before the weight: a balance that loses it in between shows its load again.
        tare = self._tare_value() if name == "tare" else None
        shown = self._weights.read(time.monotonic() + self.READ_S)
        if not shown.confirmed or shown.value.trouble or abs(shown.value.grams) > EMPTY_G:
            words = f"did not confirm the order {name}. Look at its display before ordering it again."
            raise DeviceSilent(NAME, words) from unknown
        if name == "zero":
            return {"weight_g": str(shown.value.grams)}
        self._tare = tare
        return {"tare_g": "" if tare is None else str(tare), "weight_g": str(shown.value.grams)}

    def stop(self) -> None:
        """Do nothing: a balance moves nothing."""

    def apply_safe_state(self, state: SafeState) -> None:
        """Do nothing: a balance moves nothing, whatever the phase declared."""

    def wear(self) -> tuple[Wear, ...]:
        """Nothing: tare and zero are volatile."""
        return ()

    def close(self) -> None:
        """Let go of the line."""
        self._line.close()

    def _wait_until_steady(self, name: str) -> None:
        """Wait for a steady pan by asking: `T` and `Z` would wait too, but a lost reply with them."""
        deadline = time.monotonic() + self.STEADY_S
        while time.monotonic() < deadline:
            weight = self._weights.read(time.monotonic() + self.READ_S)
            if weight.confirmed and weight.value.trouble:
                break
            if weight.confirmed and weight.value.stable:
                return
            time.sleep(self.POLL_S)
        raise DeviceRefused(NAME, f"cannot {name}: the pan does not come to rest. Nothing was changed.")

    def _weigh_once(self) -> Weight:
        text = self._exchange("SI", self.EXCHANGE_S)
        if text in _TROUBLES:
            return Weight(Decimal(0), False, 0, _TROUBLES[text])
        if error := _ERROR.fullmatch(text):
            where = "electronics" if error[2] == "b" else "terminal"
            words = (
                f"reports error {error[1]} of its {where} ({ERRORS.get(error[1], 'unknown')}): call service"
            )
            return Weight(Decimal(0), False, 0, words)
        match = _WEIGHT.fullmatch(text)
        number = _digits(match[2], match[3]) if match else None
        if match is None or number is None:
            raise self._garbled(text)
        if match[4] not in GRAMS:
            return Weight(Decimal(0), False, 0, f"shows {match[4]}: set its host unit to g")
        return Weight(_grams(number, match[4]), match[1] == "S", len(number.partition(".")[2]))

    def _accepted(self, name: str, text: str) -> None:
        if text.endswith((" I", " +", " -", " L")) and text[:1] in "TZ":
            words = f"did not {name}: the weight is not steady or out of range. Wait for the pan to rest."
            raise DeviceRefused(NAME, words, text)
        if text in ("ES", "EL"):
            raise DeviceRefused(NAME, f"cannot {name} now.", text)
        if text != "Z A" and _TARE.fullmatch(text) is None:
            raise self._garbled(text)

    def _tare_value(self) -> Decimal | None:
        """Return the tare the balance holds, or None where it cannot say (`TA` is not in every model)."""

        def ask() -> str:
            return self._exchange("TA", self.EXCHANGE_S)

        answer = Confirmation(ask, same).read(time.monotonic() + self.READ_S)
        return _tare_g(answer.value) if answer.confirmed else None

    def _text(self, request: str) -> str:
        def ask() -> str:
            text = self._exchange(request, self.EXCHANGE_S)
            match = _TEXT.fullmatch(text)
            if text in ("ES", "EL", f"{request} I", f"{request} L"):
                return ""
            if match is None or match[1] != request:
                raise self._garbled(text)
            return match[2]

        return Confirmation(ask, same).read(time.monotonic() + self.READ_S).value

    def _exchange(self, request: str, timeout_s: float) -> str:
        """Send one request and return the one line that answers it."""
        if self._in_doubt:
            self._resynchronise()
        self._in_doubt = True
        try:
            line = self._line.ask(request.encode("ascii") + b"\r\n", timeout_s=self._at_most(timeout_s))
        except StrayBytes as stray:
            self._look_for_restart(stray.data)
            raise
        text = self._printable(line)
        if request != "I4":
            self._look_for_restart(line)
        self._in_doubt = False
        return text

    def _resynchronise(self) -> None:
        """Ask for the model and drop all that comes before it: an answer no weight can be taken for."""
        stray = self._line.drain()
        self._line.send(b"I2\r\n")
        deadline = time.monotonic() + self._at_most(self.EXCHANGE_S)
        while True:
            try:
                line = self._line.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            except DeviceFault:
                self._look_for_restart(stray)
                raise
            if line.startswith(b"I2 A"):
                break
            stray += line + b"\n"
        self._look_for_restart(stray + self._line.drain())
        self._in_doubt = False
        if self._tare is not None:
            self._look_at_tare(self._tare)

    def _look_at_tare(self, expected: Decimal) -> None:
        """Find a restart whose unasked line was lost or damaged: the tare is gone."""
        self._in_doubt = True
        wait_s = self.EXCHANGE_S
        answers = [self._line.ask(b"TA\r\n", timeout_s=self._at_most(wait_s)) for _ in range(2)]
        tare_g = _tare_g(self._printable(answers[0]))
        if answers[0] != answers[1] or tare_g is None:
            raise self._garbled(self._printable(answers[1]))
        if tare_g != expected:
            raise self._restarted()
        self._in_doubt = False

    def _resynchronise_until(self, deadline: float) -> None:
        heard = False
        while True:
            try:
                self._resynchronise()
                return
            except (DeviceSilent, DeviceGarbled) as fault:
                heard = heard or isinstance(fault, DeviceGarbled)
                if time.monotonic() < deadline:
                    continue
                if heard:
                    raise WrongDevice(NAME, "what answers is no MT-SICS balance. Check the port.") from fault
                raise

    def _at_most(self, wait_s: float) -> float:
        """Return how long to wait, so that a read ends in time."""
        return max(0.0, min(wait_s, self._ends_s - time.monotonic()))

    def _look_for_restart(self, data: bytes) -> None:
        if b"I4 A" in data and not self._new:
            raise self._restarted()

    def _restarted(self) -> DeviceRestarted:
        self._tare = None
        self._in_doubt = True
        return DeviceRestarted(NAME, "restarted; its tare and zero are void. Tare it again.")

    def _printable(self, line: bytes) -> str:
        try:
            return ascii_text(line)
        except BrokenFrame as error:
            raise DeviceGarbled(NAME, "a damaged reply. Check the cable.", repr(line)) from error

    def _garbled(self, text: str) -> DeviceGarbled:
        self._in_doubt = True
        return DeviceGarbled(NAME, "an answer that fits no question asked. Check the cable.", text)


def _weights_agree(first: Weight, second: Weight, apart_s: float) -> bool:
    agreement = BALANCE.quantity("weight_g").agreement
    assert agreement is not None, "the role says how far two weights may lie apart"
    if first.trouble or second.trouble:
        return first.trouble == second.trouble
    return first.decimals == second.decimals and agreement.holds(first.grams, second.grams, apart_s)


def _digits(shown: str, bracketed: str | None) -> str | None:
    """Return a number with the digits in brackets behind it; None where that is no number."""
    number = shown + (bracketed or "")
    return number if re.fullmatch(r"-?\d{1,7}(\.\d{1,6})?", number) else None


def _tare_g(text: str) -> Decimal | None:
    match = _TARE.fullmatch(text)
    number = _digits(match[3], match[4]) if match else None
    return _grams(number, match[5]) if match and number and match[5] in GRAMS else None


def _grams(number: str, unit: str) -> Decimal:
    return (Decimal(number) * GRAMS[unit]).normalize() + Decimal("0.00")
