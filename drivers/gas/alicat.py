"""Alicat mass-flow controllers and meters. Wire facts: docs/devices/alicat.md."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation

from drivers.agreement import Confirmation, Confirmed, same
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    WrongDevice,
)
from drivers.gas.alicat_frames import (
    FLOW_ML_MIN,
    PRESSURE_KPA,
    Frame,
    Layout,
    alarm_words,
    celsius,
    frame_from,
    layout_from,
    layout_of_words,
    take_frame,
    usual_layout,
    usual_with_units,
)
from drivers.gas.alicat_line import NAME, AlicatLine
from drivers.line import LineSettings, SerialLine
from drivers.reading import Identity, Quality, Reading, reading_now
from drivers.roles import GAS_CONTROLLER, SafeState
from drivers.wear import Wear, WearCounter

GASES = {"Air": 0, "Ar": 1, "CO2": 4, "N2": 8, "O2": 11}
TOLD = "told"
SET_TRIES = 2  # a set-point may be sent again after it was read back: twice the same is the same
WRITES_MAX = {"setpoint": 100_000, "gas": 100_000}  # older firmware keeps both in its EEPROM
TABLE_TRIES = 4
SETTLED_ML_MIN = Decimal(2)  # a meter that nobody zeroed shows about so much

_REQUESTED = re.compile(r"([A-Z]) +([+-]?[\d.]+) +([+-]?[\d.]+) +\d+ +(\S+) *")
_USUAL_VERSION = re.compile(r"\dv\d|GP")  # of the family whose frames are the usual ones
_MADE = re.compile(r"[A-Z] +M(\d\d) ?(.*)")
_LABELS = {
    "model": re.compile(r"model(?: number)?:? +(\S.*)", re.IGNORECASE),
    "serial": re.compile(r"serial(?: number)?:? +(\S.*)", re.IGNORECASE),
    "firmware": re.compile(r"(?:software|firmware)(?: revision| version)?:? +(\S.*)", re.IGNORECASE),
}
_UNLABELLED = {"model": 4, "serial": 5, "firmware": 9}


class AlicatController:
    """A mass-flow controller, or a meter, which then takes no orders.

    The line has no checksum: one request is asked at least twice for each set of readings, and the frames
    must agree. The columns of a frame and their units are learnt from the device (`??D*`) at `open`.
    Its valve keeps its place when nobody listens: gas is stopped by order or by a relay, not by silence.
    """

    TYPE = "alicat"
    ROLE = "gas_controller"
    SLOW_TABLE_S = 1.6
    READ_S = 0.75
    ORDER_S = 2.0
    STOP_S = 1.2
    EMPTY_S = 3.0
    OPEN_S = 2.5

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        given = dict(settings or {})
        baud_rate = int(given.get("baud_rate", "19200"))
        self._line = SerialLine(NAME, port, LineSettings(baud_rate=baud_rate), take_frame)
        self._letter = given.get("unit", "A")
        self._set_unit = given.get("flow_unit", TOLD)
        self._set_columns = given.get("columns", TOLD)
        self._unit = AlicatLine(self._line, self._letter)
        self._wear = WearCounter(WRITES_MAX)
        self._frames = Confirmation(self._frame_once, self._frames_agree)
        self._states = Confirmation(self._frame_once, _states_agree)
        self._seen: Frame | None = None
        self._layout = Layout(())
        self._flow_unit, self._flow_unit_told = "SCCM", False
        self._start_anew()

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line, make sure that this unit answers, and learn how its frames are laid out."""
        self._line.open()
        self._start_anew()
        try:
            self._unit.end_stream()
            first = self._unit.first_answer(time.monotonic() + self.OPEN_S)
            self._unit.version = self._unit.learnt_version()
            self._learn_layout(first)
            self._look_first()
        except DeviceFault:
            self._line.close()
            raise

    def identify(self) -> Identity:
        """Ask who made it, until two answers agree."""
        for _ in range(3):
            first, second = self._unit.lines_of("??M*"), self._unit.lines_of("??M*")
            if first == second:
                break
        else:
            raise DeviceGarbled(NAME, "did not tell twice alike who made it. Check the cable.")
        self._unit.version = self._unit.learnt_version() or self._unit.version
        made = {int(row[1]): row[2].strip() for line in first if (row := _MADE.fullmatch(line))}
        return Identity(
            maker="Alicat",
            model=_made(made, "model"),
            serial_number=_made(made, "serial"),
            firmware=_first_word(self._unit.version.removeprefix(f"{self._letter} "))
            or _made(made, "firmware"),
        )

    def read(self) -> list[Reading]:
        """Read flow, set-point, pressure, temperature, gas and alarm, all out of one frame."""
        deadline = self._unit.within(self.READ_S)
        try:
            confirmed = self._frames.read(deadline - self._unit.ANSWER_S / 4)
        except DeviceGarbled as fault:
            return self._no_readings(fault.words)
        finally:
            self._unit.without_end()
        if confirmed.confirmed:
            self._note(confirmed.value)
        return self._readings(confirmed.value, "good" if confirmed.confirmed else "uncertain")

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Set a flow, stop it, or select a gas; done when the frame shows it."""
        order = GAS_CONTROLLER.order_named(name)
        if order is None or set(parameters) != set(order.required):
            words = "knows set flow_ml_min=…, select_gas gas=… and stop without values"
            raise DeviceRefused(NAME, f"{words}, not {name!r} with {dict(parameters)}.")
        if name == "select_gas":
            return self._select_gas(parameters["gas"])
        if not self._layout.has("setpoint"):
            raise DeviceRefused(NAME, "is a meter: it has no valve to set. Nothing was changed.")
        if name == "set":
            return self._set_flow(_flow(parameters["flow_ml_min"]))
        self.stop()
        self._wait_until_empty()
        return {"setpoint_ml_min": "0.00"}

    def stop(self) -> None:
        """Set the flow to nothing and hold the valve closed: sent at once, then confirmed by the frame."""
        if self._layout.columns and not self._layout.has("setpoint"):
            return  # a meter
        self._forget()
        self._unit.in_doubt = True
        if not self._known_zero:
            self._wear.note("setpoint")
            self._line.send_at_once(self._unit.request("S 0.00"))
            self._unit.let_answer()
        self._line.send_at_once(self._unit.request("HC"))
        self._unit.let_answer()
        self._confirm_stop(time.monotonic() + self.STOP_S)

    def apply_safe_state(self, state: SafeState) -> None:
        """Stop the gas, or let it flow on as it does."""
        if state == "stop":
            self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Return the writes of set-point and gas, which older firmware keeps in its EEPROM."""
        return self._wear.so_far()

    def close(self) -> None:
        """Let go of the line; the flow goes on."""
        self._line.close()

    def _start_anew(self) -> None:
        self._unit.start_anew()
        self._known_zero = False
        # What was seen on the line before is kept: the next reading tells what a loss of power took.
        self._frames.forget()
        self._states.forget()

    def _forget(self) -> None:
        """Forget what was seen: from here on the device was told something else."""
        self._seen = None
        self._frames.forget()
        self._states.forget()

    # Readings

    def _readings(self, frame: Frame, quality: Quality) -> list[Reading]:
        held = "valve held" if frame.held else ""
        readings = [self._flow("flow_ml_min", "mass", frame.mass, quality, held)]
        if self._layout.has("setpoint"):
            readings.append(self._flow("setpoint_ml_min", "setpoint", frame.setpoint, quality, held))
        pressure_unit = self._layout.unit_of("pressure") or "PSIA"
        factor = PRESSURE_KPA.get(pressure_unit.lower())
        # A gauge pressure has no absolute value without the room's; it is left out.
        if frame.pressure is not None and factor is not None:
            value = _rounded(frame.pressure * factor, "0.001")
            readings.append(reading_now("pressure_kpa", value, "kPa", quality))
        if frame.temperature is not None:
            degrees = celsius(frame.temperature, self._layout.unit_of("temperature"))
            if degrees is not None:
                readings.append(reading_now("temperature_c", _rounded(degrees, "0.001"), "°C", quality))
        if self._layout.has("gas"):
            readings.append(reading_now("gas", frame.gas, "", quality))
        alarm = alarm_words(frame.codes)
        if frame.held and frame.setpoint:
            alarm = "; ".join(filter(None, (alarm, "HLD valve held against its set-point")))
        return [*readings, reading_now("alarm", alarm, "", quality)]

    def _flow(self, name: str, what: str, value: Decimal | None, quality: Quality, detail: str) -> Reading:
        unit = self._unit_of_flow(what)
        factor = FLOW_ML_MIN.get(unit.lower())
        if value is None or factor is None:
            words = (
                f"it shows {unit}: set it to a standard unit such as SCCM" if factor is None else "no value"
            )
            return reading_now(name, None, "mL/min", "bad", words)
        if not self._flow_unit_told:
            detail = ", ".join(filter(None, (detail, f"taken for {unit}, which the device does not tell")))
        return reading_now(name, _rounded(value * factor, "0.0001"), "mL/min", quality, detail)

    def _no_readings(self, words: str) -> list[Reading]:
        names = ["flow_ml_min", *(["setpoint_ml_min"] if self._layout.has("setpoint") else []), "alarm"]
        return [reading_now(name, None, GAS_CONTROLLER.quantity(name).unit, "bad", words) for name in names]

    def _unit_of_flow(self, what: str) -> str:
        return self._layout.unit_of(what) or self._layout.unit_of("mass") or self._flow_unit

    def _note(self, frame: Frame) -> None:
        """Keep what a good frame shows, and find what a loss of power took away."""
        before, self._seen = self._seen, frame
        self._known_zero = frame.setpoint == 0
        if before is None:
            return
        lost = []
        if before.setpoint and frame.setpoint == 0:
            lost.append(f"its set-point is 0 where {before.setpoint} was")
        if before.held and not frame.held:
            lost.append("its valve is not held any more")
        if before.gas != frame.gas:
            lost.append(f"its gas is {frame.gas} where {before.gas} was")
        if lost:
            self._frames.forget()
            words = f"lost its power or was set at its front: {', '.join(lost)}. Order it again."
            raise DeviceRestarted(NAME, words)

    # Orders

    def _set_flow(self, flow_ml_min: Decimal) -> dict[str, str]:
        frame = self._confirmed_frame("set the flow")
        factor = FLOW_ML_MIN.get(self._unit_of_flow("setpoint").lower())
        if factor is None or frame.setpoint is None:
            words = (
                f"controls in {self._unit_of_flow('setpoint')}, not in a standard flow. Nothing was changed."
            )
            raise DeviceRefused(NAME, words)
        target = (flow_ml_min / factor).quantize(frame.setpoint)
        if abs(target * factor - flow_ml_min) > flow_ml_min / 100:
            raise DeviceRefused(NAME, f"cannot set {flow_ml_min} mL/min: its steps are too coarse for it.")
        if frame.setpoint != target:
            frame = self._write_setpoint(target, frame.setpoint)
        if frame.held and target > 0:
            frame = self._let_go()
        self._note(frame)
        return {"setpoint_ml_min": str(_rounded(target * factor, "0.0001"))}

    def _write_setpoint(self, target: Decimal, before: Decimal) -> Frame:
        """Write a set-point until the frame shows it; put the former one back where it was limited."""
        shown: Frame | None = None
        for _ in range(SET_TRIES):
            shown = self._told_setpoint(target)
            if shown is not None and (shown.setpoint == target or self._is_ramping_to(target)):
                return shown
        if shown is None or shown.setpoint is None:
            raise DeviceSilent(NAME, f"did not confirm the set-point {target}. Look at its display.")
        if shown.setpoint == before:
            words = f"did not take the set-point {target} and holds {before}. Is that within its range?"
            raise DeviceRefused(NAME, words)
        back = self._told_setpoint(before)
        if back is None or back.setpoint != before:
            words = f"limited the set-point {target} to {shown.setpoint}; {before} is not put back. Stop it."
            raise DeviceSilent(NAME, words)
        unit = self._unit_of_flow("setpoint")
        words = (
            f"cannot flow {target} {unit}: it goes to {shown.setpoint}. The former set-point {before} holds."
        )
        raise DeviceRefused(NAME, words)

    def _told_setpoint(self, value: Decimal) -> Frame | None:
        self._wear.note("setpoint")
        self._known_zero = False
        return self._told(f"S {value}")

    def _is_ramping_to(self, target: Decimal) -> bool:
        """Tell whether firmware that ramps has taken a set-point that its frame does not show yet."""

        def ask() -> str:
            return self._unit.ask("LS")

        try:
            answer = Confirmation(ask, same).read(time.monotonic() + self._unit.ANSWER_S * 3)
        except (DeviceSilent, DeviceGarbled):
            return False
        requested = _REQUESTED.fullmatch(answer.value)
        return answer.confirmed and requested is not None and _number(requested[3]) == target

    def _let_go(self) -> Frame:
        for _ in range(SET_TRIES):
            frame = self._told("C")
            if frame is not None and not frame.held:
                return frame
        raise DeviceSilent(NAME, "took the set-point, and its valve is still held. Look at its display.")

    def _select_gas(self, gas: str) -> dict[str, str]:
        known = next((name for name in GASES if name.lower() == gas.lower()), "")
        if not known:
            raise DeviceRefused(NAME, f"knows the gases {', '.join(GASES)}, not {gas!r}.")
        before = self._confirmed_frame("select a gas")
        if not self._layout.has("gas"):
            raise DeviceRefused(
                NAME, "shows no gas: what it meters cannot be confirmed. Nothing was changed."
            )
        if before.gas.lower() == known.lower():
            return {"gas": before.gas}
        shown: Frame | None = None
        for _ in range(SET_TRIES):
            self._wear.note("gas")
            shown = self._told(f"G {GASES[known]}")
            if shown is not None and shown.gas.lower() == known.lower():
                self._note(shown)
                return {"gas": shown.gas}
        if shown is not None and shown.gas == before.gas:
            raise DeviceRefused(NAME, f"did not take the gas {known} and goes on with {before.gas}.")
        raise DeviceSilent(NAME, f"did not confirm the gas {known}. Look at its display.")

    def _told(self, command: str) -> Frame | None:
        """Send an order; return the frame that two or more agree on afterwards, None where none do."""
        self._forget()
        try:
            self._unit.ask(command)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            pass  # whether it was carried out is looked at below
        deadline = time.monotonic() + self.ORDER_S
        while time.monotonic() < deadline:
            try:
                shown = self._states.read(deadline)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                continue
            if shown.confirmed:
                return shown.value
        return None

    def _confirmed_frame(self, what: str) -> Frame:
        shown: Confirmed[Frame] = self._states.read(time.monotonic() + self.ORDER_S)
        if not shown.confirmed:
            raise DeviceSilent(NAME, f"does not answer twice alike. Nothing was sent to {what}.")
        self._note(shown.value)
        return shown.value

    # Stop

    def _confirm_stop(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            try:
                shown = self._states.read(min(deadline, time.monotonic() + self.READ_S))
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                continue
            if not shown.confirmed:
                continue
            if shown.value.held and shown.value.setpoint == 0:
                self._note(shown.value)
                return
            if shown.value.setpoint != 0:
                self._wear.note("setpoint")
            self._told("HC" if shown.value.setpoint == 0 else "S 0.00")
        raise DeviceSilent(NAME, "did not confirm the stop. Close the gas by hand.")

    def _wait_until_empty(self) -> None:
        deadline = time.monotonic() + self.EMPTY_S
        factor = FLOW_ML_MIN.get(self._unit_of_flow("mass").lower(), Decimal(1))
        flow = none = SETTLED_ML_MIN
        while time.monotonic() < deadline:
            shown = self._frames.read(time.monotonic() + self.READ_S)
            flow = abs((shown.value.mass or Decimal(0)) * factor)
            none = max(none, flow / 50)  # of what flowed when it was stopped
            if shown.confirmed and flow <= none:
                return
            time.sleep(0.05)
        words = (
            f"holds its valve closed, and {_rounded(flow, '0.1')} mL/min still flow. Close the gas by hand."
        )
        raise DeviceFault(NAME, words)

    # Asking

    def _frame_once(self) -> Frame:
        text = self._unit.ask("")
        frame = frame_from(text, self._letter, self._layout)
        if frame is None:
            self._unit.in_doubt = True
            raise DeviceGarbled(NAME, "an answer that is no data frame of this unit. Check the cable.", text)
        return frame

    # Opening

    def _learn_layout(self, first: str) -> None:
        """Learn columns and units: from the device's table, else from the settings and a frame."""
        layout = self._chosen_layout(first)
        if layout is None or frame_from(first, self._letter, layout) is None:
            words = "measures no mass flow, or shows it in columns that nobody told. See the setting columns."
            raise WrongDevice(NAME, words, first)
        self._layout = layout
        told = layout.unit_of("mass") or self._unit_by_setpoint()
        if told and self._set_unit not in (TOLD, told):
            words = f"it measures in {told} where {self._set_unit} is set for it: change one of the two"
            raise WrongDevice(NAME, words)
        self._flow_unit_told = bool(told) or self._set_unit != TOLD
        self._flow_unit = told or (self._set_unit if self._set_unit != TOLD else "SCCM")

    def _chosen_layout(self, first: str) -> Layout | None:
        if self._set_columns != TOLD:
            return layout_of_words(self._set_columns)
        told = self._told_layout()
        if told is not None:
            fits = frame_from(first, self._letter, told) is not None
            return told if fits else usual_with_units(first, told)
        if self._unit.version and not _USUAL_VERSION.search(self._unit.version):
            words = "does not tell its columns and is of another family. Name them in the setting columns."
            raise WrongDevice(NAME, words, self._unit.version)
        return usual_layout(first)

    def _told_layout(self) -> Layout | None:
        before: Sequence[str] | None = None
        for _ in range(TABLE_TRIES):
            began_s = time.monotonic()
            table = self._unit.lines_of("??D*")
            # Its rows are numbered and its words known: a table that comes slowly is read once only.
            if table == before or (table and time.monotonic() - began_s > self.SLOW_TABLE_S):
                return layout_from(table, self._letter)
            before = table
        raise DeviceGarbled(NAME, "did not tell its columns twice alike. Check the cable.")

    def _unit_by_setpoint(self) -> str:
        """Ask a controller of newer firmware for the unit of its set-point."""
        if not self._layout.has("setpoint"):
            return ""
        try:
            first = _REQUESTED.fullmatch(self._unit.ask("LS"))
            second = _REQUESTED.fullmatch(self._unit.ask("LS"))
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return ""
        return first[4] if first and second and first[4] == second[4] else ""

    def _look_first(self) -> None:
        """Confirm a frame, so that the first reading needs two lines only."""
        try:
            self._frames.read(time.monotonic() + self._unit.ANSWER_S * 5)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return

    def _frames_agree(self, first: Frame, second: Frame, apart_s: float) -> bool:
        if (first.gas, first.codes, first.length, first.setpoint) != (
            second.gas,
            second.codes,
            second.length,
            second.setpoint,
        ):
            return False
        flow = FLOW_ML_MIN.get(self._unit_of_flow("mass").lower(), Decimal(1))
        pressure = PRESSURE_KPA.get((self._layout.unit_of("pressure") or "PSIA").lower(), Decimal(1))
        return (
            _near("flow_ml_min", first.mass, second.mass, flow, apart_s)
            and _near("pressure_kpa", first.pressure, second.pressure, pressure, apart_s)
            and _near("temperature_c", first.temperature, second.temperature, Decimal(1), apart_s)
        )


def _states_agree(first: Frame, second: Frame, apart_s: float) -> bool:
    """Agree on what orders change, however fast the flow does."""
    shown = (first.setpoint, first.held, first.gas, first.length)
    return shown == (second.setpoint, second.held, second.gas, second.length)


def _first_word(text: str) -> str:
    return (text.split() or [""])[0]


def _near(name: str, first: Decimal | None, second: Decimal | None, factor: Decimal, apart_s: float) -> bool:
    """Tell whether two values of a column confirm each other; one last digit more is no difference."""
    if first is None or second is None:
        return first is second
    agreement = GAS_CONTROLLER.quantity(name).agreement
    assert agreement is not None, "the role says how far two values may lie apart"
    digit = Decimal(1).scaleb(int(first.as_tuple().exponent))
    return abs(first - second) * factor <= agreement.limit(apart_s) + digit * factor


def _flow(text: str) -> Decimal:
    value = _number(text)
    if value is None or value < 0 or not re.fullmatch(r"[0-9]{1,9}(?:\.[0-9]{1,6})?", text):
        raise DeviceRefused(NAME, f"cannot set a flow of {text!r} mL/min. Nothing was sent.")
    return value


def _number(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def _rounded(value: Decimal, step: str) -> Decimal:
    return value.quantize(Decimal(step)).normalize() + Decimal("0.00")


def _made(made: Mapping[int, str], what: str) -> str:
    """Return what a `??M*` table tells under a label, else in the row where it usually stands."""
    for text in made.values():
        labelled = _LABELS[what].fullmatch(text)
        if labelled:
            return labelled[1].strip()
    plain = made.get(_UNLABELLED[what], "")
    return "" if re.match(r"(?:date|calibrated)", plain, re.IGNORECASE) else plain
