"""Sartorius balances that speak SBI. Wire facts: docs/devices/sartorius_sbi.md."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, cast

from drivers.agreement import Confirmation, same
from drivers.balances.sbi_lines import (
    GRAMS,
    GROSS,
    LINE_MAX,
    NET,
    TARE_ERRORS,
    Shown,
    grams,
    is_output_error,
    shown_by,
)
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    WrongDevice,
)
from drivers.framing import BrokenFrame, ascii_text, take_line
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import BALANCE, SafeState
from drivers.wear import Wear

NAME = "Balance"
PRINT, TARE_OR_ZERO, TARE, ZERO = "P", "T", "U", "V"
MODEL, SERIAL_NUMBER, SOFTWARE = "x1_", "x2_", "x3_"
EMPTY_G = Decimal("0.10")  # what may be shown right after tare or zero
TOLD = "told"
SMALLEST_TARE_G = Decimal(1)  # a lighter load that is shown again cannot be told from a drop
AS_BEFORE_G = Decimal("0.2")  # a tared load that is shown again comes back by this much
FAR_OFF_S = float("inf")


@dataclass(frozen=True, slots=True)
class Weight:
    """One line as it counts: its value in the unit that it has, or is known to have."""

    value: Decimal
    unit: str
    stable: bool
    decimals: int
    length: int
    identifier: str
    trouble: str = ""
    error: str = ""

    @property
    def grams(self) -> Decimal:
        """The weight in grams; in motion, with no unit told yet, the number that was shown."""
        return grams(self.value, self.unit or "g") or Decimal("0.00")

    @property
    def digit_g(self) -> Decimal:
        """One of its last digit, in grams."""
        return GRAMS.get(self.unit.lower(), Decimal(1)).scaleb(-self.decimals)


class SartoriusBalance:
    """A balance that is asked for a print (`ESC P`), at least twice for each reading.

    The line has no checksum, so a weight is good only when others agree with it. While a weight is
    moving its line has no unit: it counts in the unit of the last steady weight that was confirmed with as
    many decimals. Orders are never answered: tare and zero count as done when the pan then shows nothing.
    """

    TYPE = "sartorius-sbi"
    ROLE = "balance"
    ANSWER_S = 0.3
    FOLLOWS_S = 0.06
    QUIET_S = 0.2
    READ_S = 0.75
    LAST_LOOK_S = 0.2
    STEADY_S = 30.0
    POLL_S = 0.1
    TAKEN_S = 4.5
    NOT_TAKEN_S = 2.0
    ORDER_REST_S = 0.15
    OPEN_S = 3.0
    FIRST_S = 1.5

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        line = line_settings(given.get("line", "9600-8O1"))
        self._line = SerialLine(NAME, port, line, take_line)
        self._exchange_s = self.ANSWER_S + LINE_MAX / 2 * 11 / line.baud_rate
        self._fixed_unit = "" if given.get("unit", TOLD) == TOLD else given["unit"]
        self._weights = Confirmation(self._weigh_once, _weights_agree)
        self._model = ""
        self._unit: tuple[str, int] | None = None  # of the last steady weight, with its decimals
        self._taken_off_g: Decimal | None = None  # by the orders given; None before the first
        self._last: tuple[Decimal, float] | None = None
        self._deadline = FAR_OFF_S
        self._start_anew()

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and make sure that a balance answers."""
        self._line.open()
        self._start_anew()
        try:
            self._listen_until(time.monotonic() + self.OPEN_S)
            self._model = self._model or self._told(MODEL)
            self._look_first()
        except DeviceFault:
            self._line.close()
            raise

    def identify(self) -> Identity:
        """Ask model, serial number and software, each until two answers agree."""
        return Identity(
            maker="Sartorius",
            model=self._told(MODEL),
            serial_number=self._told(SERIAL_NUMBER),
            firmware=self._told(SOFTWARE),
        )

    def read(self) -> list[Reading]:
        """Read the net weight; `detail` says stable or dynamic."""
        self._deadline = time.monotonic() + self.READ_S
        try:
            confirmed = self._weights.read(self._deadline - self._exchange_s / 4)
        except DeviceGarbled as fault:
            return [_bad(fault.words)]
        except LineLost:
            raise
        except DeviceSilent:
            self._deadline += self.LAST_LOOK_S
            if self._is_alive():
                return [_bad("moving: it prints steady weights only, as its menu is set")]
            self._was_silent = True
            raise
        finally:
            self._deadline = FAR_OFF_S
        weight = confirmed.value
        if weight.trouble:
            return [_bad(weight.trouble)]
        quality: Quality = "good" if confirmed.confirmed else "uncertain"
        detail = "stable" if weight.stable else "dynamic"
        if not weight.unit:
            quality, detail = "uncertain", "dynamic; taken for g: it tells its unit once it is steady"
        if quality == "good":
            self._note(weight)
        return [reading_now("weight_g", weight.grams, "g", quality, detail)]

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Zero or tare the balance; confirmed when it then shows nothing on the pan."""
        if BALANCE.order_named(name) is None or parameters:
            raise DeviceRefused(NAME, f"knows the orders zero and tare without values, not {name!r}.")
        before = self._wait_until_steady(name)
        taken_off_g = (self._taken_off_g or Decimal(0)) + before.grams
        self._taken_off_g, self._last = None, None
        self._tell(TARE if name == "tare" else ZERO)
        shown = self._wait_until_empty(name, before)
        self._last = (shown.grams, time.monotonic())
        self._taken_off_g = taken_off_g
        return {"weight_g": str(shown.grams)}

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

    def _start_anew(self) -> None:
        self._in_doubt, self._model, self._unit = True, "", None
        # A line that is opened once more was away as a silent one was: what was tared is kept in mind.
        self._was_silent = True
        self._weights.forget()

    # Orders

    def _wait_until_steady(self, name: str) -> Weight:
        deadline = time.monotonic() + self.STEADY_S
        while time.monotonic() < deadline:
            weight = self._weights.read(time.monotonic() + self.READ_S)
            if weight.confirmed and weight.value.trouble:
                raise DeviceRefused(NAME, f"cannot {name}: {weight.value.trouble}. Nothing was changed.")
            if weight.confirmed and weight.value.stable:
                self._note(weight.value)
                return weight.value
            time.sleep(self.POLL_S)
        raise DeviceRefused(NAME, f"cannot {name}: the pan does not come to rest. Nothing was changed.")

    def _tell(self, order: str) -> None:
        """Send an order, which is never answered, and leave the balance time to begin with it."""
        self._line.send(_request(order))
        time.sleep(self.ORDER_REST_S)
        self._weights.forget()
        self._in_doubt = True

    def _wait_until_empty(self, name: str, before: Weight) -> Weight:
        """Wait for a steady weight near nothing; tare by the older command where the newer does nothing."""
        began, told_older = time.monotonic(), False
        newest: Weight | None = None
        while time.monotonic() - began < self.TAKEN_S:
            try:
                weight = self._weights.read(time.monotonic() + self.READ_S)
            except (DeviceSilent, DeviceGarbled):
                continue
            newest = weight.value if weight.confirmed else None
            if newest is None or not (newest.stable or newest.error):
                continue
            if newest.error in TARE_ERRORS:
                raise DeviceRefused(NAME, f"did not {name}: it shows error {newest.error}.")
            if not newest.trouble and abs(newest.grams) <= max(EMPTY_G, newest.digit_g):
                return newest
            # Twice a tare of the same load is one tare, so the older command is safe to follow with.
            if name == "tare" and not told_older and time.monotonic() - began > self.NOT_TAKEN_S:
                told_older = True
                self._tell(TARE_OR_ZERO)
        if newest is not None and newest.stable and _weights_agree(before, newest, 0.0):
            words = f"did not {name}: it still shows {newest.grams} g. Is that within its range for {name}?"
            raise DeviceRefused(NAME, words)
        raise DeviceSilent(NAME, f"did not confirm the order {name}. Look at its display, then order again.")

    # Restart

    def _note(self, weight: Weight) -> None:
        """Keep what a good weight tells: its unit, and whether the ordered tare may be gone."""
        if weight.stable:
            self._unit = (weight.unit, weight.decimals)
        now, last, was_silent = time.monotonic(), self._last, self._was_silent
        self._last, self._was_silent = (weight.grams, now), False
        if self._taken_off_g is None or last is None:
            return
        jump, at_most = weight.grams - last[0], _limit_g(weight, now - last[1])
        near = AS_BEFORE_G + weight.digit_g
        # By just the tared load, and faster than any transfer: what was taken off is shown again.
        shown_again = jump > at_most and last[0] > -near and abs(jump - self._taken_off_g) <= near
        changed_unseen = was_silent and abs(jump) > _limit_g(weight, min(1.0, now - last[1]))
        if changed_unseen or (shown_again and self._taken_off_g >= SMALLEST_TARE_G):
            self._taken_off_g = None
            words = "lost its power, or its load was changed unseen: tare and zero are void. Tare it again."
            raise DeviceRestarted(NAME, words)

    # Asking

    def _weigh_once(self) -> Weight:
        shown = self._printed()
        stable, unit, trouble = bool(shown.unit), shown.unit, shown.trouble
        if not trouble and not stable:
            unit = self._fixed_unit
            if not unit and self._unit is not None and self._unit[1] == shown.decimals:
                unit = self._unit[0]
        if stable and grams(shown.value, unit) is None:
            trouble = f"it shows {unit}: set its unit to g"
        elif stable and self._fixed_unit not in ("", unit):
            trouble = (
                f"it shows {unit} where {self._fixed_unit} is set for this device: change one of the two"
            )
        return Weight(
            shown.value, unit, stable, shown.decimals, shown.length, shown.identifier, trouble, shown.error
        )

    def _printed(self) -> Shown:
        """Ask for a print and return the weight, or the status, that it tells."""
        if self._in_doubt:
            self._resynchronise()
        self._in_doubt = True
        self._drop_what_lies_there()
        self._line.send(_request(PRINT))
        shown = self._next_weight(self._until(self._exchange_s))
        if shown.identifier.startswith(GROSS):
            # Some profiles print gross, tare and net one after the other: net is what counts.
            shown = self._net_that_follows() or shown
        self._in_doubt = False
        return shown

    def _next_weight(self, deadline: float) -> Shown:
        foreign = b""
        while True:
            until = min(deadline, time.monotonic() + self.FOLLOWS_S) if foreign else deadline
            try:
                line = self._received(PRINT, until)
            except DeviceSilent:
                if not foreign:
                    raise
                raise DeviceGarbled(
                    NAME, "an answer that is no weight. Check the cable.", repr(foreign)
                ) from None
            if is_output_error(line):
                raise WrongDevice(
                    NAME, "it is set to xBPI. Set its interface to SBI in its menu.", repr(line)
                )
            shown = self._taken_apart(line)
            if shown is not None and (shown.trouble or shown.identifier in ("", NET, GROSS, f"{GROSS}#")):
                return shown
            foreign = (
                line or foreign
            )  # a date or a tare of a printed block, or the answer to another question

    def _net_that_follows(self) -> Shown | None:
        until = time.monotonic() + self.FOLLOWS_S
        while True:
            try:
                shown = self._taken_apart(self._line.receive(timeout_s=max(0.0, until - time.monotonic())))
            except (DeviceSilent, DeviceGarbled):
                return None
            if shown is not None and shown.identifier == NET:
                return shown

    def _received(self, request: str, deadline: float) -> bytes:
        """Return the next line that is not the request's own echo."""
        while True:
            line = self._line.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            line = line.removeprefix(_request(request)[:-2])
            if line.strip():
                return line

    def _drop_what_lies_there(self) -> None:
        """Drop what came unasked; with auto-print on, the half of a line that is just coming too."""
        half = self._line.drain()
        if half and not half.endswith(b"\n"):
            try:
                self._line.receive(timeout_s=self.FOLLOWS_S)
            except (DeviceSilent, DeviceGarbled):
                self._line.drain()

    def _resynchronise(self) -> None:
        """Wait out answers that are still on their way: by a question no weight answers, else by silence."""
        self._line.drain()
        if not self._model:
            quiet_at = time.monotonic() + self.QUIET_S
            while time.monotonic() < quiet_at:
                time.sleep(0.01)
            self._line.drain()
        else:
            self._line.send(_request(MODEL))
            deadline = self._until(self._exchange_s)
            while _plain(self._received(MODEL, deadline)) != self._model:
                continue
        self._in_doubt = False

    def _is_alive(self) -> bool:
        try:
            return bool(self._model) and self._asked(MODEL) == self._model
        except (DeviceSilent, DeviceGarbled):
            return False

    def _told(self, request: str) -> str:
        """Ask for a text until two answers agree; empty where this model has none to tell."""
        deadline = time.monotonic() + 3 * self._exchange_s
        try:
            answer = Confirmation(lambda: self._asked(request), same).read(deadline)
        except LineLost:
            raise
        except DeviceSilent:
            self._weigh_once()  # raises where the balance is gone, rather than without a name
            return ""
        if not answer.confirmed:
            raise DeviceGarbled(NAME, f"did not answer ESC {request} the same way twice. Check the cable.")
        return answer.value

    def _asked(self, request: str) -> str:
        self._line.drain()
        self._in_doubt = True
        self._line.send(_request(request))
        deadline = self._until(self._exchange_s)
        while True:
            line = self._received(request, deadline)
            shown = self._taken_apart(line)
            if shown is None or not (shown.trouble or shown.unit or shown.decimals or shown.identifier):
                self._in_doubt = False
                return _plain(line)

    def _until(self, timeout_s: float) -> float:
        return min(time.monotonic() + timeout_s, self._deadline)

    def _taken_apart(self, line: bytes) -> Shown | None:
        try:
            return shown_by(line)
        except BrokenFrame as error:
            raise DeviceGarbled(NAME, "a damaged line. Check the cable.", repr(line)) from error

    # Opening

    def _listen_until(self, deadline: float) -> None:
        """Wait for a first weight, or for the name of a balance that prints steady weights only."""
        heard: DeviceGarbled | None = None
        while True:
            try:
                self._weigh_once()
                return
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled) as fault:
                heard = fault if isinstance(fault, DeviceGarbled) else heard
                if isinstance(fault, DeviceSilent) and (name := self._name_of_a_silent_one()):
                    self._model = name
                    return
                if time.monotonic() < deadline:
                    continue
                if heard is not None:
                    words = "what answers is no SBI balance. Check the port and the balance's interface menu."
                    raise WrongDevice(NAME, words, heard.reply) from fault
                raise

    def _name_of_a_silent_one(self) -> str:
        try:
            first = self._asked(MODEL)
            return first if self._asked(MODEL) == first else ""
        except (DeviceSilent, DeviceGarbled):
            return ""

    def _look_first(self) -> None:
        """Confirm a weight, so that the first reading needs two lines only; wait a moment for its unit."""
        deadline = time.monotonic() + self.FIRST_S
        while time.monotonic() < deadline:
            try:
                weight = self._weights.read(deadline)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                return
            if weight.confirmed and (weight.value.trouble or weight.value.unit):
                if weight.value.stable:
                    self._unit = (weight.value.unit, weight.value.decimals)
                return


def line_settings(words: str) -> LineSettings:
    """Return what a setting such as "9600-8O1" says of the line."""
    baud_rate, _, rest = words.partition("-")
    return LineSettings(
        baud_rate=int(baud_rate),
        byte_bits=int(rest[0]),
        parity=cast(Literal["N", "E", "O"], rest[1]),
        stop_bits=int(rest[2]),
    )


def _request(command: str) -> bytes:
    return b"\x1b" + command.encode("ascii") + b"\r\n"


def _plain(line: bytes) -> str:
    try:
        return ascii_text(line).strip()
    except BrokenFrame as error:
        raise DeviceGarbled(NAME, "a damaged line. Check the cable.", repr(line)) from error


def _bad(words: str) -> Reading:
    return reading_now("weight_g", None, "g", "bad", words)


def _limit_g(weight: Weight, apart_s: float) -> Decimal:
    agreement = BALANCE.quantity("weight_g").agreement
    assert agreement is not None, "the role says how far two weights may lie apart"
    # A balance that shows whole grams differs by one of them without anything having moved.
    return agreement.limit(apart_s) + weight.digit_g


def _weights_agree(first: Weight, second: Weight, apart_s: float) -> bool:
    if first.trouble or second.trouble:
        return first.trouble == second.trouble
    alike = (first.unit, first.decimals, first.length, first.identifier) == (
        second.unit,
        second.decimals,
        second.length,
        second.identifier,
    )
    return alike and abs(first.grams - second.grams) <= _limit_g(second, apart_s)
