"""New Era NE-1000 family syringe pumps in Safe mode. Wire facts: docs/devices/new_era_ne1000.md."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation

from drivers.agreement import Confirmation
from drivers.faults import (
    DeviceAlarm,
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    StrayBytes,
    WrongDevice,
)
from drivers.framing import BrokenFrame, safe_packet, take_basic_reply, take_safe_packet
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import PUMP, SafeState
from drivers.wear import Wear

NAME = "Pump"
ALARMS = {
    "R": "reset",
    "S": "stalled",
    "T": "time_out",
    "E": "program",
    "O": "out_of_range",
}
STATES = {
    "I": "infusing",
    "W": "withdrawing",
    "X": "infusing",  # purging moves fluid
    "S": "stopped",
    "P": "paused",
    "T": "paused",  # a pause phase of a program
    "U": "paused",  # waits for a trigger
}
MOVING = frozenset("IWX")
NO_SAFE_MODE = (
    "answers in Basic mode and does not take Safe mode: nothing would stop it when its host dies. "
    "Use a pump with Safe mode."
)
POWER_LOST = "lost its power; its volume counter is void. Check what was delivered."

_REPLY = re.compile(r"(\d\d)(?:([IWSPTUX])|A\?([RSTEO]))(.*)")
_VERSION = re.compile(r"(NE\d{3,5}X?)V(\d+\.\d+)")
_DISPENSED = re.compile(r"I(\d*\.?\d+|\d+\.)W(\d*\.?\d+|\d+\.)(ML|UL)")
_BASIC_ALARM = re.compile(rb"\x02\d\dA\?([RSTEO])\x03")
_NUMBER = re.compile(r"(\d*\.?\d+|\d+\.)([A-Z]{0,2})")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a packet from the pump says: a state letter, and the data behind it."""

    state: str
    data: str


@dataclass(frozen=True, slots=True)
class Counter:
    """State letter and volume infused, as one reply tells both."""

    state: str
    delivered_ml: Decimal


class NewEraPump:
    """A syringe pump that stops by itself when it hears nothing for `WATCHDOG_S` seconds.

    `read` is the heartbeat. A link that carries requests but no replies ends in a stop too: when the
    pump may be moving and was not heard for `UNHEARD_STOP_S`, the next thing it is told is to stop.
    Each packet carries a CRC, so one reading is good by itself. A request met by an alarm was not
    carried out; queries are asked again, orders are not: the caller reads the alarm and decides.

    A pump that knows Basic mode alone is read and stopped, and given no order. Nothing protects its
    bytes, so its readings are good when others agree with them.
    """

    TYPE = "new-era-ne1000"
    ROLE = "pump"
    WATCHDOG_S = 2
    UNHEARD_STOP_S = 0.75
    EXCHANGE_S = 0.35
    READ_S = 0.3
    ENDED_S = 0.95  # a read ends by then, whatever happens
    STOP_TRIES = 3
    OPEN_TRIES = 6

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        values = {"address": "0", "line": "19200-8N1"} | dict(settings or {})
        self._address = int(values["address"])
        self._line = SerialLine(NAME, port, LineSettings.told(values["line"]), self._take)
        self._in_doubt = True
        self._basic = False
        self._counters = Confirmation(self._counter_once, _counters_agree)
        self._ends_s = math.inf
        self._new = True
        self._may_move = False
        self._heard_s = 0.0
        self._alarm = ""
        self._alarm_told = True
        self._alarm_announced = ""
        self._alarm_before = ""
        self._restart_untold = False
        self._program_checked = False
        self._delivered_ml = Decimal(0)
        self._just_started = False  # a run was seen to begin, and nothing was counted yet

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and bring the pump into Safe mode with its watchdog on."""
        self._line.open()
        self._in_doubt = self._new = self._may_move = True
        self._basic = False
        self._counters.forget()
        self._heard_s = time.monotonic()
        self._alarm = self._alarm_before = self._alarm_announced = ""
        self._alarm_told = True
        self._program_checked = self._restart_untold = self._just_started = False
        self._delivered_ml = Decimal(0)
        try:
            self._enter_safe_mode()
        except DeviceFault:
            self._line.close()
            raise
        self._new = False

    def identify(self) -> Identity:
        """Ask model and firmware; the pump has no serial number to tell."""
        match = _VERSION.fullmatch(self._query("VER").data)
        if match is None:
            raise WrongDevice(NAME, "what answers is no New Era pump. Check the port.")
        return Identity(maker="New Era", model=match[1], serial_number="", firmware=match[2])

    def read(self) -> list[Reading]:
        """Read state, volume delivered since the last `infuse` or `clear`, and the alarm."""
        self._tell_restart()
        self._ends_s = time.monotonic() + self.ENDED_S
        try:
            counter, quality = self._counter()
        finally:
            self._ends_s = math.inf
        if counter.delivered_ml < self._delivered_ml or self._lost_its_run(counter):
            raise self._brown_out()
        self._just_started = self._just_started and counter.delivered_ml == 0
        self._delivered_ml = counter.delivered_ml if quality == "good" else self._delivered_ml
        state = "alarm" if self._alarm else STATES[counter.state]
        self._alarm_told = True
        detail = "Basic mode: no watchdog, no orders" if self._basic else ""
        return [
            reading_now("state", state, "", quality, detail),
            reading_now("delivered_ml", counter.delivered_ml, "mL", quality),
            reading_now("alarm", self._alarm, "", quality, "" if self._alarm else self._alarm_before),
        ]

    def _counter(self) -> tuple[Counter, Quality]:
        """Read state and volume: once where a checksum protects them, else until answers agree."""
        if not self._basic:
            return self._counter_once(), "good"
        answer = self._counters.read(self._ends_s - self.EXCHANGE_S)
        return answer.value, "good" if answer.confirmed else "uncertain"

    def _counter_once(self) -> Counter:
        reply = self._query("DIS")
        match = _DISPENSED.fullmatch(reply.data)
        if match is None:
            self._in_doubt = True
            raise DeviceGarbled(NAME, "did not tell the volume. Read it again.", reply.data)
        return Counter(reply.state, _millilitres(match[1], match[3]))

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Infuse a volume at a rate, or clear the counters and the alarm that was shown."""
        order = PUMP.order_named(name)
        if order is None or not set(order.required) <= set(parameters) <= {*order.required, *order.optional}:
            words = (
                "knows infuse with volume_ml, rate_ml_min and perhaps diameter_mm, and clear without values"
            )
            raise DeviceRefused(NAME, f"{words}, not {name} {dict(parameters)}.")
        if self._basic:
            raise DeviceRefused(NAME, NO_SAFE_MODE)
        self._tell_restart()
        numbers = {key: _positive(key, value) for key, value in parameters.items()}
        if name == "clear":
            return self._clear()
        return self._infuse(numbers["volume_ml"], numbers["rate_ml_min"], numbers.get("diameter_mm"))

    def stop(self) -> None:
        """Stop the motion and end the program; confirmed by the pump's state.

        Nothing is asked first, and nothing has to be in order before: STOP goes out at once.

        Raises
        ------
        DeviceSilent
            No confirmation. Without a further request the pump's own watchdog stops it.
        """
        fault: DeviceFault | None = None
        self._just_started = False
        for _ in range(self.STOP_TRIES):
            try:
                if self._stopped_after_stop():
                    return
            except LineLost:
                raise
            except DeviceRestarted as error:
                self._restart_untold, fault = True, error
            except DeviceFault as error:
                fault = error
        words = f"did not confirm the stop. Its watchdog stops it within {self.WATCHDOG_S} s: look at it."
        raise DeviceSilent(NAME, words) from fault

    def apply_safe_state(self, state: SafeState) -> None:
        """Stop, whatever was declared: a pump that nobody watches moves nothing."""
        self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Nothing that the sheet bounds: the program is written only where it differs."""
        return ()

    def close(self) -> None:
        """Let go of the line. A standing pump leaves Safe mode; a moving one keeps its watchdog."""
        try:
            if not self._may_move and not self._in_doubt:
                self._exchange("SAF0", self.EXCHANGE_S)
        except DeviceFault:
            pass  # The watchdog stays on: the safe side.
        finally:
            self._line.close()

    def _infuse(
        self, volume_ml: Decimal, rate_ml_min: Decimal, diameter_mm: Decimal | None
    ) -> dict[str, str]:
        volume, rate = pump_number(volume_ml), pump_number(rate_ml_min)
        self._refuse_while_moving()
        self._alarm = self._alarm_before = ""
        self._check_program()
        if diameter_mm is not None and self._number("DIA", "") != Decimal(pump_number(diameter_mm)):
            self._set("DIA", pump_number(diameter_mm))
        self._delivered_ml, self._just_started = Decimal(0), False
        self._exchange_accepted("CLDINF")
        if self._query("VOL").data[-2:] != "ML":
            self._exchange_accepted("VOLML")
        self._set("RAT", rate, unit="MM", shown_unit="MM")
        self._set("VOL", volume, shown_unit="ML")
        self._exchange_accepted("DIRINF")
        if self._query("DIR").data != "INF":
            raise DeviceRefused(NAME, "did not take the direction. Nothing was moved; order it again.")
        self._run()
        return {"volume_ml": volume, "rate_ml_min": rate}

    def _run(self) -> None:
        """Start, and find out what happened when the answer is lost: RUN is never sent twice."""
        self._may_move = True
        lost: DeviceFault | None = None
        try:
            reply = self._exchange("RUN", self.EXCHANGE_S)
            if reply.data.startswith("?"):
                raise DeviceRefused(NAME, "did not start. Nothing was moved.", reply.data)
        except (DeviceSilent, DeviceGarbled) as fault:
            lost = fault
        status = self._query("DIS")
        match = _DISPENSED.fullmatch(status.data)
        moved = match is not None and Decimal(match[1]) > 0
        if status.state in MOVING or moved:
            self._just_started = not moved
            return
        if lost is None and reply.state in MOVING:
            raise self._brown_out()
        if lost is None:
            raise DeviceRefused(NAME, "accepted the start and does not move. Look at the pump.")
        raise DeviceRefused(NAME, "did not get the start; nothing was moved. Order it again.") from lost

    def _clear(self) -> dict[str, str]:
        self._refuse_while_moving()
        self._delivered_ml, self._just_started = Decimal(0), False
        self._exchange_accepted("CLDINF")
        self._exchange_accepted("CLDWDR")
        match = _DISPENSED.fullmatch(self._query("DIS").data)
        if match is None or Decimal(match[1]) != 0:
            raise DeviceRefused(NAME, "did not clear its counter. Order it again.")
        self._alarm = self._alarm_before = ""
        return {"delivered_ml": "0"}

    def _tell_restart(self) -> None:
        if self._restart_untold:
            self._restart_untold = False
            raise DeviceRestarted(NAME, POWER_LOST)

    def _lost_its_run(self, counter: Counter) -> bool:
        """Tell whether a run that was seen to begin stands with nothing delivered, and nobody stopped it."""
        return self._just_started and not self._alarm and counter.state == "S" and counter.delivered_ml == 0

    def _brown_out(self) -> DeviceRestarted:
        """The counter fell though nobody cleared it: the power was gone too shortly for an alarm."""
        self._delivered_ml, self._program_checked, self._just_started = Decimal(0), False, False
        self._alarm, self._alarm_told = "", True
        return DeviceRestarted(NAME, POWER_LOST)

    def _refuse_while_moving(self) -> None:
        """Make sure that the pump stands, and that no alarm is one the caller has not seen."""
        reply = self._query("")
        if not self._alarm_told:
            self._alarm_told = True
            raise DeviceAlarm(NAME, f"shows the alarm {self._alarm}. Look at the pump, then order again.")
        if reply.state in MOVING:
            raise DeviceRefused(NAME, "is moving. Stop it or wait for its end, then order again.")
        if reply.state != "S":
            self.stop()

    def _check_program(self) -> None:
        """Let the program end after its one volume: from the factory, phase 2 pumps on."""
        if self._program_checked:
            return
        for phase, function in (("2", "STP"), ("1", "RAT")):
            self._exchange_accepted(f"PHN{phase}")
            # Program memory wears out: it is written only where it differs.
            if self._query("FUN").data != function:
                self._exchange_accepted(f"FUN{function}")
                if self._query("FUN").data != function:
                    raise DeviceRefused(NAME, "did not take its program. Nothing was moved.")
        self._program_checked = True

    def _set(self, command: str, number: str, *, unit: str = "", shown_unit: str = "") -> None:
        """Set a number and read it back; the pump shows a unit with some that it takes without."""
        self._exchange_accepted(f"{command}{number}{unit}")
        held = self._number(command, shown_unit)
        if held != Decimal(number):
            words = f"holds {command} {held} in place of {number}. Nothing was moved; order it again."
            raise DeviceRefused(NAME, words)

    def _number(self, command: str, unit: str) -> Decimal:
        data = self._query(command).data
        match = _NUMBER.fullmatch(data)
        if match is None or match[2] != unit:
            self._in_doubt = True
            raise DeviceGarbled(NAME, f"did not tell its {command}. Order it again.", data)
        return Decimal(match[1])

    def _exchange_accepted(self, command: str) -> None:
        """Give a command that moves nothing, and so may be given again when its reply is lost."""
        reply = self._answered(command)
        if reply.data.startswith("?"):
            words = "is out of its range" if reply.data == "?OOR" else "was not accepted"
            raise DeviceRefused(NAME, f"{command} {words}. Nothing was moved.", reply.data)

    def _answered(self, command: str) -> Reply:
        deadline = time.monotonic() + self.READ_S
        while True:
            try:
                reply = self._exchange(command, self.EXCHANGE_S)
                if reply.data == "?COM":
                    raise DeviceGarbled(NAME, "got a damaged request and did nothing. Order it again.")
                return reply
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if time.monotonic() >= deadline:
                    raise

    def _query(self, command: str) -> Reply:
        """Ask what changes nothing, again where a reply was lost or met an alarm, within `READ_S`."""
        deadline = time.monotonic() + self.READ_S
        while True:
            try:
                reply = self._exchange(command, self.EXCHANGE_S)
                if reply.data.startswith("?"):
                    raise DeviceGarbled(NAME, "did not understand a question.", reply.data)
                return reply
            except LineLost:
                raise
            except (DeviceAlarm, DeviceSilent, DeviceGarbled):
                if time.monotonic() >= deadline:
                    raise

    def _exchange(self, command: str, timeout_s: float) -> Reply:
        """Send one request and return the one packet that answers it."""
        if self._in_doubt:
            self._resynchronise()
        self._in_doubt = True
        try:
            payload = self._line.ask(self._request(command), timeout_s=self._at_most(timeout_s))
        except StrayBytes as stray:
            self._look_for_alarms(stray.data)
            raise
        reply = self._understood(payload)
        self._in_doubt = False
        return reply

    def _resynchronise(self) -> None:
        """Ask for the version and drop all that comes before it: no other answer looks like it."""
        self._look_for_alarms(self._line.drain())
        if self._may_move and time.monotonic() - self._heard_s > self.UNHEARD_STOP_S:
            self._line.send(self._request("STP"))
        self._line.send(self._request("VER"))
        deadline = time.monotonic() + self._at_most(self.EXCHANGE_S)
        while True:
            payload = self._line.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            reply = self._understood(payload)
            if _VERSION.fullmatch(reply.data):
                break
        self._look_for_alarms(self._line.drain())
        self._in_doubt = False

    def _request(self, command: str) -> bytes:
        text = f"{self._address}{command}".encode("ascii")
        return text + b"\r" if self._basic else safe_packet(text)

    def _take(self, buffer: bytearray) -> bytes | None:
        return take_basic_reply(buffer) if self._basic else take_safe_packet(buffer)

    def _at_most(self, wait_s: float) -> float:
        """Return how long to wait, so that a read ends in time."""
        return max(0.0, min(wait_s, self._ends_s - time.monotonic()))

    def _stopped_after_stop(self) -> bool:
        """Send STOP as often as it takes from moving over paused to stopped; True when confirmed."""
        self._look_for_alarms(self._line.drain())
        for _ in range(2):
            self._line.send_at_once(self._request("STP"))
            try:
                reply = self._understood(self._line.receive(timeout_s=self.EXCHANGE_S))
            except DeviceAlarm:
                break  # An alarm has stopped the motion already; the query below makes sure.
            if reply.state == "S":
                break
        # A late or doubled answer may have passed for the confirmation: resynchronise and ask.
        self._in_doubt = True
        return self._query("").state == "S"

    def _understood(self, payload: bytes) -> Reply:
        match = _REPLY.fullmatch(payload.decode("ascii", errors="replace"))
        if match is None:
            raise DeviceGarbled(NAME, "an answer that fits no question.", repr(payload))
        self._heard_s = time.monotonic()
        address, state, alarm, data = match.groups()
        if int(address) != self._address:
            raise DeviceGarbled(NAME, "an answer of another pump on the line.", repr(payload))
        if alarm:
            raise self._alarmed(alarm)
        self._may_move = state in MOVING
        return Reply(state, data)

    def _alarmed(self, letter: str) -> DeviceFault:
        self._may_move = False
        if self._new:
            # What happened before this connection is no event of it: power-up, or a host that died.
            self._alarm_before = f"{ALARMS[letter]} before this connection"
            return DeviceAlarm(NAME, "told an alarm from before this connection.", ALARMS[letter])
        if letter == self._alarm_announced:
            # It came unasked before; this is the same one, which has to be answered once.
            self._alarm_announced = ""
            return DeviceAlarm(NAME, "repeats an alarm that was read already.", ALARMS[letter])
        self._alarm, self._alarm_told = ALARMS[letter], False
        if letter == "R":
            self._alarm, self._alarm_told, self._program_checked = "", True, False
            self._in_doubt, self._just_started = True, False
            return DeviceRestarted(
                NAME, "lost its power; its volume counter is void. Check what was delivered."
            )
        return DeviceAlarm(NAME, f"shows the alarm {self._alarm}. Look at the pump, then order again.")

    def _look_for_alarms(self, data: bytes) -> None:
        """Keep the alarms that the pump sent unasked; only the loss of its power is raised."""
        buffer = bytearray(data)
        while buffer:
            try:
                payload = self._take(buffer)
            except BrokenFrame:
                continue
            if payload is None:
                return
            with contextlib.suppress(DeviceAlarm, DeviceGarbled):
                self._announced(payload)

    def _announced(self, payload: bytes) -> None:
        """Take note of a packet nobody asked for; an alarm in it still waits to be answered."""
        match = _REPLY.fullmatch(payload.decode("ascii", errors="replace"))
        try:
            self._understood(payload)
        finally:
            if match is not None and match[3]:
                self._alarm_announced = match[3]

    def _enter_safe_mode(self) -> None:
        saf = f"SAF{self.WATCHDOG_S}"
        fault: DeviceFault | None = None
        for _ in range(self.OPEN_TRIES):
            try:
                self._look_for_basic_alarm(self._line.drain())
                self._line.send(self._request(saf))
                self._understood(self._line.receive(timeout_s=self.EXCHANGE_S))
                self._resynchronise()
                return
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled) as error:
                fault = error
                # Basic mode reads text up to CR: the first CR ends what it made of the packet.
                self._line.send(b"\r")
                time.sleep(self.EXCHANGE_S / 4)
                self._line.send(f"{self._address}{saf}\r".encode("ascii"))
                time.sleep(self.EXCHANGE_S / 4)
            except DeviceFault as error:
                fault = error
        assert fault is not None, "at least one try"
        if self._answers_in_basic_mode():
            return
        if isinstance(fault, DeviceGarbled):
            raise WrongDevice(NAME, "what answers is no New Era pump. Check the port.") from fault
        raise fault

    def _answers_in_basic_mode(self) -> bool:
        """Tell whether this pump knows Basic mode alone; from then on it is spoken to in it."""
        self._basic = True
        for _ in range(2):
            with contextlib.suppress(DeviceSilent, DeviceGarbled, DeviceAlarm):
                self._resynchronise()
                return True
        self._basic = False
        return False

    def _look_for_basic_alarm(self, data: bytes) -> None:
        """Take note of an alarm that a pump in Basic mode told when it was first spoken to."""
        match = _BASIC_ALARM.search(data)
        if match is not None:
            self._alarm_before = f"{ALARMS[match[1].decode('ascii')]} before this connection"


def _counters_agree(first: Counter, second: Counter, apart_s: float) -> bool:
    agreement = PUMP.quantity("delivered_ml").agreement
    assert agreement is not None, "the role says how far two volumes may lie apart"
    return first.state == second.state and agreement.holds(first.delivered_ml, second.delivered_ml, apart_s)


def pump_number(value: Decimal) -> str:
    """Return a number as the pump takes it: four digits, one point, three decimals at most.

    Rounded down, so that no order becomes larger than what was asked for.

    Raises
    ------
    DeviceRefused
        Nothing is left of the number in this form, or it is too large for it.
    """
    decimals = 3
    while decimals and value >= Decimal(10) ** (4 - decimals):
        decimals -= 1
    number = value.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_DOWN)
    if not 0 < number < 10000:
        raise DeviceRefused(NAME, f"takes numbers from 0.001 to 9999, not {value}.")
    return str(number)


def _positive(key: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value < 10000:
        raise DeviceRefused(NAME, f"{key} must be a number above 0, not {text!r}.")
    return value


def _millilitres(number: str, unit: str) -> Decimal:
    return Decimal(number) / 1000 if unit == "UL" else Decimal(number)
