"""Julabo circulators. Wire facts: docs/devices/julabo.md."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import TypeVar

from drivers.agreement import Confirmation, same
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineFlooded,
    LineLost,
    WrongDevice,
)
from drivers.framing import BrokenFrame, ascii_text, take_line_without_flow_control
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import THERMOSTAT, SafeState
from drivers.wear import Wear

NAME = "Thermostat"
COMMANDS = {"bath_c": "in_pv_00", "probe_c": "in_pv_02", "setpoint_c": "in_sp_00"}
NO_PROBE = "none"
MODES = {0: "MANUAL STOP", 1: "MANUAL START", 2: "REMOTE STOP", 3: "REMOTE START"}
REMOTE_STOP, REMOTE_START = 2, 3
UNKNOWN_COMMAND = -8
COMMAND_ERRORS = frozenset(range(-13, -7))  # about the last command, not about the bath
STOP_TRIES = 3
SET_TRIES = 2  # a set-point may be sent again after it was read back: twice the same is the same
_NUMBER = re.compile(r" {0,4}[+-]?\d{1,4}(?:\.\d{1,3})?")
_STATUS = re.compile(r"(-?\d{2,4}) ([A-Z][A-Z0-9 .:/_-]*)")
_VERSION = re.compile(r"JULABO (.+?)(?: VERSION (.+))?", re.IGNORECASE)
_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to `status`: modes are 0 and above, alarms and errors below."""

    code: int
    words: str


class JulaboCirculator:
    """A bath circulator in remote mode.

    The line has no checksum and answers carry no name, so each number is asked at least twice and must agree.
    OUT commands are never answered: an order counts as done when it is read back. When nobody listens
    the bath keeps its set-point: stopping a 37 °C bath is a hazard too.
    """

    TYPE = "julabo"
    ROLE = "thermostat"
    EXCHANGE_S = 0.4
    READ_S = 0.85
    ENDED_S = 0.95  # a read ends by then, whatever happens
    PROBE_TRIES = 3
    ORDER_S = 1.5
    STOP_S = 0.6
    OPEN_S = 3.0
    AFTER_IN_S = 0.01
    AFTER_OUT_S = 0.25

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        values = {"address": "", "line": "4800-7E1", "echo": "no", "handshake": "rts_cts"}
        values |= {"probe": COMMANDS["probe_c"]} | dict(settings or {})
        line_settings = LineSettings.told(values["line"], rts_cts=values["handshake"] == "rts_cts")
        # On RS-485 each request and each answer begins with the device's address.
        self._prefix = f"A{int(values['address']):03d}_" if values["address"] else ""
        echoes = values["echo"] == "yes"
        self._line = SerialLine(NAME, port, line_settings, take_line_without_flow_control, echoes=echoes)
        self._in_doubt = True
        self._ends_s = math.inf
        self._ordered_running: bool | None = None
        self._ordered_setpoint_c: Decimal | None = None
        self._shouts = False  # some units take upper case alone
        self._probe = values["probe"]
        self._has_probe = self._probe != NO_PROBE
        self._numbers = {
            name: Confirmation(partial(self._number_once, command), _agreement(name))
            for name, command in (COMMANDS | {"probe_c": self._probe}).items()
        }
        self._status = Confirmation(self._status_once, same)
        self._mode = Confirmation(self._mode_once, same)

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and make sure that a Julabo answers."""
        self._line.open()
        self._in_doubt, self._ordered_running, self._ordered_setpoint_c = True, None, None
        deadline = time.monotonic() + self.OPEN_S
        heard = False
        while True:
            try:
                self._resynchronise()
                self._has_probe = self._probe != NO_PROBE and self._knows_probe()
                return
            except (DeviceSilent, DeviceGarbled) as fault:
                heard = heard or isinstance(fault, DeviceGarbled)
                if time.monotonic() < deadline:
                    self._shouts ^= isinstance(fault, DeviceSilent)
                    continue
                self._line.close()
                if heard:
                    raise WrongDevice(NAME, "what answers is no Julabo. Check the port.") from fault
                raise

    def identify(self) -> Identity:
        """Ask model and firmware; a serial number cannot be asked for."""
        deadline = time.monotonic() + self.READ_S
        version = Confirmation(lambda: self._exchange("version"), same).read(deadline).value
        match = _VERSION.fullmatch(version)
        if match is None:
            raise WrongDevice(NAME, "what answers is no Julabo. Check the port.", version)
        return Identity(maker="Julabo", model=match[1], serial_number="", firmware=match[2] or "")

    def read(self) -> list[Reading]:
        """Read bath, probe, set-point, whether it runs, and the alarm.

        Each has its share of the time. On a device that answers slowly that is one question each, and
        the answers of several reads confirm each other.
        """
        began_s = time.monotonic()
        self._ends_s = began_s + self.ENDED_S
        names = [name for name in COMMANDS if self._has_probe or name != "probe_c"]
        readings: list[Reading] = []
        try:
            for place, name in enumerate(names):
                readings.append(self._temperature(name, self._share(began_s, len(names) + 1 - place)))
            return [*readings, *self._state(began_s + self.READ_S)]
        except (LineFlooded, LineLost):
            raise
        except DeviceGarbled as fault:
            return [*readings, reading_now("running", None, "", "bad", fault.words)]
        except DeviceSilent:
            if not readings:
                raise
            # It answered and fell behind: what was heard is told, and what there was no time for.
            missing = [(name, "°C") for name in names[len(readings) :]] + [("running", ""), ("alarm", "")]
            words = "no time was left to ask"
            return [*readings, *(reading_now(name, None, unit, "bad", words) for name, unit in missing)]
        finally:
            self._ends_s = math.inf

    def _share(self, began_s: float, left: int) -> float:
        """Return until when one of the quantities that are left may be asked."""
        now_s = time.monotonic()
        return now_s + max(0.0, began_s + self.READ_S - now_s) / left

    def _state(self, deadline: float) -> list[Reading]:
        status = self._status.read(deadline)
        code, words = status.value.code, status.value.words
        confirmed, alarm = status.confirmed, ""
        running = code in (1, REMOTE_START)
        if code < 0:
            # An alarm, or an error about the last command: the mode is asked for by itself.
            mode = self._mode.read(deadline)
            running, confirmed = mode.value == "1", confirmed and mode.confirmed
            alarm = "" if code in COMMAND_ERRORS else f"{code:03d} {words}"
        elif confirmed:
            self._look_for_restart(status.value)
        quality: Quality = "good" if confirmed else "uncertain"
        return [
            reading_now("running", "running" if running else "stopped", "", quality, words),
            reading_now("alarm", alarm, "", quality),
        ]

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Set the set-point, start or stop the bath; confirmed by read-back."""
        order = THERMOSTAT.order_named(name)
        if order is None or set(parameters) != set(order.required):
            words = "knows set with setpoint_c, start and stop without values"
            raise DeviceRefused(NAME, f"{words}, not {name} {dict(parameters)}.")
        if name == "set":
            return self._set(_setpoint(parameters["setpoint_c"]))
        return self._switch(running=name == "start")

    def stop(self) -> None:
        """Stop circulation and heating: told at once, then confirmed by the mode.

        Raises
        ------
        DeviceSilent
            No confirmation; the next `read` says it again where the bath still runs.
        """
        fault: DeviceFault | None = None
        for _ in range(STOP_TRIES):
            self._tell_stop()
            try:
                # First in step with the device: an ask that begins with this would seem too slow for another.
                self._resynchronise()
                mode = self._mode.read(time.monotonic() + self.STOP_S)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled) as error:
                fault = error
                continue
            if mode.confirmed and mode.value == "0":
                return
        raise DeviceSilent(NAME, "did not confirm the stop. Look at the bath.") from fault

    def _tell_stop(self) -> None:
        self._ordered_running = False
        self._line.send_at_once(self._request("out_mode_05 0"))
        self._line.rest(self.AFTER_OUT_S)
        self._in_doubt = True  # nothing was drained before

    def apply_safe_state(self, state: SafeState) -> None:
        """Keep the last set-point, or stop where the phase declared that."""
        if state == "stop":
            self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Nothing: the sheet names no memory that set-points wear out."""
        return ()

    def close(self) -> None:
        """Let go of the line; the bath goes on as it is."""
        self._line.close()

    def _set(self, setpoint_c: Decimal) -> dict[str, str]:
        self._ordered_setpoint_c = None
        held = self._setpoint_held()
        for _ in range(SET_TRIES):
            if held == setpoint_c:  # Set-points wear out memory: written only on change.
                break
            self._out(f"out_sp_00 {setpoint_c}")
            held = self._setpoint_held()
        if held != setpoint_c:
            raise self._not_taken(f"holds the set-point {held} °C in place of {setpoint_c} °C")
        self._ordered_setpoint_c = held
        return {"setpoint_c": str(held)}

    def _switch(self, *, running: bool) -> dict[str, str]:
        wanted = REMOTE_START if running else REMOTE_STOP
        status = self._status_confirmed()
        if status.code != wanted:
            self._out(f"out_mode_05 {int(running)}")
            status = self._status_confirmed()
        if status.code != wanted:
            raise self._not_taken(f"did not {'start' if running else 'stop'}", status)
        self._ordered_running = running
        return {"running": "running" if running else "stopped"}

    def _not_taken(self, words: str, status: Status | None = None) -> DeviceRefused:
        found = status or self._status_confirmed()
        if found.code in (0, 1):
            advice = "It is in manual mode: switch it to remote, then order again."
        else:
            advice = "Look at its display, then order again."
        return DeviceRefused(NAME, f"{words}. {advice}", f"{found.code:03d} {found.words}")

    def _out(self, command: str) -> None:
        if self._in_doubt:
            self._resynchronise()
        self._line.send(self._request(command))
        self._line.rest(self.AFTER_OUT_S)

    def _knows_probe(self) -> bool:
        """Tell whether this model has an external probe.

        An unknown command is silence, and then -08 at the next status. A model that is silent to this
        question alone, again and again, has none either, whatever its status says.
        """
        for _ in range(self.PROBE_TRIES):
            try:
                self._exchange(self._probe)
                return True
            except DeviceSilent:
                if self._status_once().code == UNKNOWN_COMMAND:
                    return False
        return False

    def _temperature(self, name: str, deadline: float) -> Reading:
        try:
            value = self._numbers[name].read(deadline)
        except LineFlooded:
            raise
        except DeviceGarbled as fault:
            return reading_now(name, None, "°C", "bad", fault.words)
        ordered_c = self._ordered_setpoint_c
        if name == "setpoint_c" and value.confirmed and ordered_c is not None and value.value != ordered_c:
            raise self._restarted(f"holds the set-point {value.value} °C in place of {ordered_c} °C")
        return reading_now(name, value.value, "°C", "good" if value.confirmed else "uncertain")

    def _restarted(self, words: str) -> DeviceRestarted:
        self._ordered_running = self._ordered_setpoint_c = None
        return DeviceRestarted(
            NAME, f"{words}: mains were lost or somebody changed it. Set and start it again."
        )

    def _setpoint_held(self) -> Decimal:
        return self._surely(self._numbers["setpoint_c"])

    def _status_confirmed(self) -> Status:
        return self._surely(self._status)

    def _surely(self, quantity: Confirmation[_T]) -> _T:
        deadline = time.monotonic() + self.ORDER_S
        while True:
            answer = quantity.read(deadline)
            if answer.confirmed:
                return answer.value
            if time.monotonic() >= deadline:
                raise DeviceGarbled(NAME, "gave no equal answers. Check the cable.")

    def _number_once(self, command: str) -> Decimal:
        text = self._exchange(command)
        if _NUMBER.fullmatch(text) is None:
            raise self._garbled(text)
        return Decimal(text.strip())

    def _status_once(self) -> Status:
        text = self._exchange("status")
        match = _STATUS.fullmatch(text)
        if match is None:
            raise self._garbled(text)
        code, words = int(match[1]), match[2].strip()
        if code < 0:
            return Status(code, words)
        # The words say it; some units count otherwise. Damage to either is outlasted by equal answers.
        modes = [mode for mode, said in MODES.items() if said == words]
        if not modes:
            raise self._garbled(text)
        return Status(modes[0], words)

    def _mode_once(self) -> str:
        text = self._exchange("in_mode_05").strip()
        if text not in ("0", "1"):
            raise self._garbled(text)
        return text

    def _look_for_restart(self, status: Status) -> None:
        """A bath that was started and stands in REMOTE STOP has lost its mains: start and values are void."""
        if self._ordered_running and status.code in (0, REMOTE_STOP):
            raise self._restarted("stopped by itself")
        if self._ordered_running is False and status.code == REMOTE_START:
            # STOP may fall into the time the device needs after another OUT command.
            self._tell_stop()

    def _exchange(self, request: str) -> str:
        if self._in_doubt:
            self._resynchronise()
        self._in_doubt = True
        try:
            wait_s = self._at_most(self.EXCHANGE_S)
            text = ascii_text(self._line.ask(self._request(request), timeout_s=wait_s))
        except BrokenFrame as error:
            raise DeviceGarbled(NAME, "a damaged reply. Check the cable.") from error
        if not text.startswith(self._prefix):
            raise self._garbled(text)
        self._line.rest(self.AFTER_IN_S)
        self._in_doubt = False
        return text.removeprefix(self._prefix)

    def _request(self, words: str) -> bytes:
        return f"{self._prefix}{words.upper() if self._shouts else words}\r".encode("ascii")

    def _at_most(self, wait_s: float) -> float:
        """Return how long to wait, so that a read ends in time."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise DeviceSilent(NAME, "does not answer in time. Check cable and power.")
        return min(wait_s, left_s)

    def _resynchronise(self) -> None:
        """Ask for the version and drop all that comes before it: no number can be taken for it."""
        answer = f"{self._prefix}JULABO".encode("ascii")
        self._line.resynchronise(
            self._request("version"),
            lambda line: line.upper().startswith(answer),
            timeout_s=self._at_most(self.EXCHANGE_S),
        )
        self._line.rest(self.AFTER_IN_S)
        self._in_doubt = False

    def _garbled(self, text: str) -> DeviceFault:
        self._in_doubt = True
        return DeviceGarbled(NAME, "an answer that fits no question asked. Check the cable.", text)


def _agreement(name: str) -> Callable[[Decimal, Decimal, float], bool]:
    agreement = THERMOSTAT.quantity(name).agreement
    assert agreement is not None, f"the role says how far two values of {name} may lie apart"
    return agreement.holds


def _setpoint(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or abs(value) >= 1000:
        raise DeviceRefused(NAME, f"setpoint_c must be a temperature in °C, not {text!r}.")
    return value.quantize(Decimal("0.01"))
