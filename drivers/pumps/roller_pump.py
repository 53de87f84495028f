"""What roller pumps have in common: bounded runs, no syringe, no watchdog, no checksum."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import ClassVar

from drivers.agreement import IN_A_ROW, IN_A_ROW_AFTER_A_JUMP, Confirmation, T
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
    WrongDevice,
)
from drivers.line import SerialLine
from drivers.pumps.unchecked_line import UncheckedLine
from drivers.roles import PUMP, SafeState
from drivers.wear import Wear

NAME = "Pump"
MILLILITRES = PUMP.quantity("delivered_ml").agreement
assert MILLILITRES is not None, "the role says how far two volumes may lie apart"


class RanUnasked(DeviceSilent):
    """The rollers turned before they were told to; they were stopped, and what moved is unknown."""


class RollerPump(ABC):
    """A tubing pump that is only ever given runs that end by themselves.

    Nothing stops it when its host dies but the end of its run. A start is sent once: after a lost answer
    state and counter tell what happened.
    """

    TYPE: ClassVar[str]
    ROLE = "pump"
    MODEL: ClassVar[str]
    OPEN_S = 3.0
    OPEN_S_MAX = 5.5  # for a slow device that answers
    READ_S = 0.95
    READ_ASKS_S = 0.9  # looks end by then; the rest is for the mode
    ORDER_S = 11.0
    SURELY_S = 4.0
    START_RESERVE_S = 5.0
    STOP_S = 1.9
    STOP_TRIES = 6

    def __init__(self, line: SerialLine, talk: UncheckedLine) -> None:
        self._line, self._talk = line, talk
        self._restart_untold = False

    @property
    def line(self) -> SerialLine:
        """The line, for its byte trace."""
        return self._line

    def open(self) -> None:
        """Open the line and make sure that the expected pump answers."""
        self._line.open()
        self._talk.forget()
        self._look_anew()
        deadline_s, heard = time.monotonic() + self.OPEN_S, False
        try:
            while True:
                self._talk.within(self.OPEN_S_MAX)
                try:
                    self._introduce()
                    return
                except LineLost:
                    raise
                except (DeviceSilent, DeviceGarbled) as fault:
                    heard = heard or isinstance(fault, DeviceGarbled)
                    if time.monotonic() < deadline_s:
                        continue
                    if heard:
                        raise WrongDevice(
                            NAME, f"what answers is no {self.MODEL}. Check the port."
                        ) from fault
                    raise
        except DeviceFault:
            self._line.close()
            raise

    def order(self, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
        """Run for a volume at a rate, or set the delivered volume to zero."""
        order = PUMP.order_named(name)
        if order is None or not set(order.required) <= set(parameters) <= {*order.required, *order.optional}:
            words = "knows infuse with volume_ml and rate_ml_min, and clear without values"
            raise DeviceRefused(NAME, f"{words}, not {name} {dict(parameters)}.")
        if "diameter_mm" in parameters:
            words = "moves tubing and has no syringe. Leave diameter_mm (syringe_diameter in a recipe) out."
            raise DeviceRefused(NAME, words)
        self._tell_restart()
        numbers = {key: _positive(key, value) for key, value in parameters.items()}
        self._talk.within(self.ORDER_S)
        if name == "clear":
            return self._clear()
        return self._prepared(numbers["volume_ml"], numbers["rate_ml_min"])()

    def _prepared(self, volume_ml: Decimal, rate_ml_min: Decimal) -> Callable[[], dict[str, str]]:
        """Set up a run until it is seen to hold; where it is not, nothing was moved.

        A damaged command may be another one, and even start the rollers: after every failure they are
        looked at, and stopped where they turn.
        """
        try:
            counted = self._stands()
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled) as error:
            words = "could not be looked at, and nothing was ordered. Check the cable, then order again."
            raise DeviceRefused(NAME, words) from error
        if counted is None:
            raise DeviceRefused(NAME, "is running. Stop it or wait for its end, then order again.")
        while True:
            fault: DeviceFault | None = None
            try:
                return self._prepare(volume_ml, rate_ml_min, counted)
            except (LineLost, DeviceRestarted):
                raise
            except DeviceFault as error:
                fault = error
            if self._stands() != counted:
                self.stop()
                words = "turned before it was told to, and was stopped. Weigh before ordering again."
                raise RanUnasked(NAME, words) from fault
            if isinstance(fault, DeviceRefused):
                raise fault
            if self._talk.left_s() < self.START_RESERVE_S:
                words = "could not be set up and was not started; nothing was moved. Order it again."
                raise DeviceRefused(NAME, words) from fault

    def stop(self) -> None:
        """Bring the rollers to a stand; nothing is asked before STOP goes out.

        Raises
        ------
        DeviceSilent
            No confirmation. The pump runs on to the end of its run: look at it.
        """
        fault: DeviceFault | None = None
        self._talk.within(self.STOP_S)
        for tries in range(self.STOP_TRIES):
            if tries and not self._talk.left_s():
                break
            try:
                if self._stands_after_stop():
                    return
            except LineLost:
                raise
            except DeviceRestarted as error:
                self._restart_untold, fault = True, error
            except DeviceFault as error:
                fault = error
        words = (
            "did not confirm the stop. Stop it at its panel or cut its power: it runs its volume to the end."
        )
        raise DeviceSilent(NAME, words) from fault

    def apply_safe_state(self, state: SafeState) -> None:
        """Stop, whatever was declared: a pump that nobody watches moves nothing."""
        self.stop()

    def wear(self) -> tuple[Wear, ...]:
        """Nothing: no order is stored in a memory that wears out."""
        return ()

    def close(self) -> None:
        """Let go of the line; a run goes on to its end."""
        self._line.close()

    def _tell_restart(self) -> None:
        if self._restart_untold:
            self._restart_untold = False
            raise self._restarted()

    def _restarted(self) -> DeviceRestarted:
        self._forget()
        return DeviceRestarted(
            NAME, "lost its power; its run and its volume counter are void. Check what was delivered."
        )

    def _surely(self, quantity: Confirmation[T], what: str) -> T:
        """Return an answer that others confirmed, within the time that is left for the order."""
        until_s = time.monotonic() + min(self.SURELY_S, self._talk.left_s())
        while True:
            try:
                answer = quantity.read(until_s)
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if time.monotonic() >= until_s:
                    raise
                continue
            if answer.confirmed:
                return answer.value
            if time.monotonic() >= until_s:
                raise DeviceGarbled(NAME, f"gave no equal answers about its {what}. Check the cable.")

    def _held(self, ask: Callable[[], T], wanted: T, what: str) -> T:
        """Return what the pump holds: what was wanted, said by two answers in a row, or else by four."""
        until_s = time.monotonic() + min(self.SURELY_S, self._talk.left_s())
        row, newest = 0, None
        while True:
            try:
                value = ask()
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                row = 0
            else:
                row, newest = (row + 1 if row and value == newest else 1), value
                if row >= (IN_A_ROW if value == wanted else IN_A_ROW_AFTER_A_JUMP):
                    return value
            if time.monotonic() >= until_s:
                raise DeviceGarbled(NAME, f"gave no equal answers about its {what}. Check the cable.")

    @abstractmethod
    def _introduce(self) -> None:
        """Bring a pump into the state that orders need, and look at it once."""

    @abstractmethod
    def _look_anew(self) -> None:
        """Trust no earlier answer: the line was opened again. What was ordered and counted stands."""

    @abstractmethod
    def _forget(self) -> None:
        """Forget what was ordered and counted: the pump lost its power."""

    @abstractmethod
    def _stands(self) -> Decimal | None:
        """Return the pump's own count while its rollers stand, else None."""

    def _cleanly(self, look: Callable[[], bool]) -> None:
        """Look until all holds in one go, without one unfit answer: a damaged question may be a command."""
        while True:
            try:
                if look():
                    return
                break
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled):
                if self._talk.left_s() < self.START_RESERVE_S:
                    raise
        raise DeviceGarbled(NAME, "does not hold what it was told. Order it again.")

    @abstractmethod
    def _prepare(
        self, volume_ml: Decimal, rate_ml_min: Decimal, counted: Decimal
    ) -> Callable[[], dict[str, str]]:
        """Set up a bounded run and read it back; return what starts it, once."""

    @abstractmethod
    def _clear(self) -> dict[str, str]:
        """Let the delivered volume be zero."""

    @abstractmethod
    def _stands_after_stop(self) -> bool:
        """Send STOP at once, then ask; True when the rollers stand."""


def _positive(key: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value < 100000:
        raise DeviceRefused(NAME, f"{key} must be a number above 0, not {text!r}.")
    return value
