"""Masterflex L/S digital drives on RS-232. Wire facts: docs/devices/masterflex_ls.md."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import partial

from drivers.agreement import Confirmation
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceRestarted,
    DeviceSilent,
    LineLost,
)
from drivers.framing import LINE_BYTES_MAX, STX, BrokenFrame
from drivers.line import LineSettings, SerialLine
from drivers.pumps.roller_pump import MILLILITRES, NAME, RollerPump
from drivers.pumps.unchecked_line import UncheckedLine
from drivers.reading import Identity, Quality, Reading, reading_now

ENQ, ACK, NAK, CAN = 0x05, 0x06, 0x15, 0x18
SINGLE_BYTES = bytes((ENQ, ACK, NAK, CAN))
REVOLUTIONS_MAX = Decimal("99999.99")
REVOLUTIONS_STEP, RPM_STEP = Decimal("0.01"), Decimal("0.1")
RUNNING = b"3"  # the fourth character of the status, where the drive uses it so
STANDING = (b"1", b"2")
LOOK_AGAIN_S = 0.02
COUNTER_STOOD_S = 0.5  # at least; longer for slow rollers, whose counter moves seldom

_ACKED = re.compile(rb"[\x06\x15]")
_SPEED = re.compile(rb"(?:P\d\d)?S([+-])(\d{1,4}(?:\.\d{1,2})?)")
_TO_GO = re.compile(rb"(?:P\d\d)?E *([+-]?\d{1,5}(?:\.\d{1,2})?)")
_TOTAL = re.compile(rb"(?:P\d\d)?C *(\d{1,7}(?:\.\d{1,2})?)")
_ENQUIRED = re.compile(rb"P\?\d{1,2}|P(\d\d)I[0-9A-Z]{5}")


@dataclass(frozen=True, slots=True)
class Turns:
    """The drive's status word, and the revolutions it counted since its own last reset."""

    status: bytes
    total_rev: Decimal

    @property
    def says_running(self) -> bool:
        """Whether the status reads as a run, in drives that use it so."""
        return self.status[3:4] == RUNNING

    @property
    def says_rest(self) -> bool:
        """Whether the status reads as a rest, in drives that use it so."""
        return self.status[3:4] in STANDING

    def same_rest(self, other: Turns) -> bool:
        """Tell whether both read as one and the same rest."""
        return self.says_rest and self.status == other.status


def take_masterflex(buffer: bytearray) -> bytes | None:
    """Take one answer: ACK or NAK alone, or what stands between STX and CR."""
    while buffer and buffer[0] in b"\r\n":
        del buffer[0]
    if not buffer:
        return None
    if buffer[0] in SINGLE_BYTES:
        return bytes((buffer.pop(0),))
    starts = [index for index, byte in enumerate(buffer) if byte == STX]
    end = buffer.find(b"\r")
    cut_short = len(starts) > 1 and not 0 <= end < starts[1]
    if buffer[0] != STX or cut_short or len(buffer) > LINE_BYTES_MAX:
        later = [start for start in starts if start > 0]
        del buffer[: later[0] if later else len(buffer)]
        raise BrokenFrame("bytes outside an answer")
    if end < 0:
        return None
    frame = bytes(buffer[1:end])
    del buffer[: end + 1]
    return frame


def frame_of(address: str, command: str) -> bytes:
    """Return a request; a run without a bound is never asked for."""
    if "G0" in command:
        raise DeviceRefused(NAME, "is never given G0: nothing would end that run when this computer dies.")
    return bytes((STX,)) + f"P{address}{command}\r".encode("ascii")


class MasterflexPump(RollerPump):
    """A drive that is given a number of revolutions and ends by itself.

    No answer is believed alone: ACK and NAK are noted, what was set is read back, and whether the rollers
    turn is told by status and counter. Volume is revolutions times the calibration of the tubing.
    """

    TYPE = "masterflex-ls"
    MODEL = "Masterflex L/S drive"
    EXCHANGE_S = 0.35
    START_S_MAX = 4.0

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        values = dict(settings or {})
        self._address = values.get("address", "01")
        self._ml_per_rev = Decimal(values.get("ml_per_rev", "0.80"))
        self._rpm_max = Decimal(values.get("rpm_max", "600"))
        self._status_shape = re.compile(b"P%sI([0-9A-Z]{5})" % self._address.encode("ascii"))
        line_settings = LineSettings(baud_rate=4800, byte_bits=7, parity="O")
        line = SerialLine(NAME, port, line_settings, take_masterflex)
        harmless = {"I": self._status_shape, "S": _SPEED, "E": _TO_GO, "C": _TOTAL}
        talk = UncheckedLine(
            line,
            harmless={frame_of(self._address, name): shape for name, shape in harmless.items()},
            exchange_s=self.EXCHANGE_S,
        )
        super().__init__(line, talk)
        self._turns = Confirmation(self._turns_once, self._turns_agree)
        self._base_rev = Decimal(0)  # what the drive's counter showed when this count began
        self._ordered_rev: Decimal | None = None
        self._last_rev: Decimal | None = None
        self._seen: Turns | None = None
        self._rpm = Decimal(0)
        self._moved_s = 0.0
        self._status_lies = self._known = False

    def identify(self) -> Identity:
        """Tell the family: a drive says neither model nor serial number."""
        self._talk.within(self.ORDER_S)
        self._surely(self._turns, "status")
        return Identity(maker="Masterflex", model="L/S", serial_number="", firmware="")

    def read(self) -> list[Reading]:
        """Read state and delivered volume, from the status and the counter of revolutions."""
        self._tell_restart()
        self._talk.within(self.READ_S)
        answer = self._turns.read(time.monotonic() + self.READ_ASKS_S)
        if answer.confirmed:
            self._look_at_counter(answer.value)
        moving, sure = self._motion(answer.value)
        quality: Quality = "good" if answer.confirmed else "uncertain"
        turned_rev = answer.value.total_rev - self._base_rev
        return [
            reading_now("state", "infusing" if moving else "stopped", "", quality if sure else "uncertain"),
            reading_now(
                "delivered_ml", self._millilitres(turned_rev), "mL", quality, self._detail(turned_rev)
            ),
            reading_now("alarm", "", "", quality),
        ]

    # Orders

    def _prepare(
        self, volume_ml: Decimal, rate_ml_min: Decimal, counted: Decimal
    ) -> Callable[[], dict[str, str]]:
        rpm = (rate_ml_min / self._ml_per_rev).quantize(RPM_STEP, rounding=ROUND_DOWN)
        turns_rev = (volume_ml / self._ml_per_rev).quantize(REVOLUTIONS_STEP, rounding=ROUND_DOWN)
        self._check_range(rpm, turns_rev)
        self._ordered_rev = None
        self._acknowledged("R")
        self._set("Z", "E", _TO_GO, Decimal(0), "revolutions to go")
        self._set(f"S+{rpm:05.1f}", "S", _SPEED, rpm, "rpm")
        self._set(f"V{turns_rev:08.2f}", "E", _TO_GO, turns_rev, "revolutions to go")

        def holds() -> bool:
            turns = self._turns_once()
            return (
                self._number("S", _SPEED) == rpm
                and self._number("E", _TO_GO) == turns_rev
                and not turns.says_running
                and turns.total_rev == counted
            )

        self._cleanly(holds)
        return partial(self._start, counted, turns_rev, rpm)

    def _stands(self) -> Decimal | None:
        turns = self._surely(self._turns, "state")
        return None if self._moves(turns) else turns.total_rev

    def _start(self, before_rev: Decimal, turns_rev: Decimal, rpm: Decimal) -> dict[str, str]:
        """Start, and look whether the rollers turn: G is sent once, and no answer to it is believed."""
        self._base_rev = self._last_rev = before_rev
        self._ordered_rev, self._rpm = turns_rev, rpm
        lost: DeviceFault | None = None
        try:
            self._talk.ask(frame_of(self._address, "G"), _ACKED)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled) as fault:
            lost = fault
        until_s = time.monotonic() + min(3 * self._tick_s() + 0.3, self.START_S_MAX)
        while True:
            now = self._surely(self._turns, "status")
            if now.says_running or now.total_rev > before_rev:
                self._moves(now)
                return {
                    "volume_ml": str(self._millilitres(turns_rev)),
                    "rate_ml_min": str(self._millilitres(rpm)),
                }
            if time.monotonic() >= until_s:
                break
            time.sleep(LOOK_AGAIN_S)
        # It may yet start: what was ordered is taken back before it is called undone.
        stands = self._stands_after_stop()
        if not stands or self._surely(self._turns, "counter").total_rev > before_rev:
            words = "started late and was stopped. Look how much was delivered before ordering again."
            raise DeviceSilent(NAME, words) from lost
        self._ordered_rev = None
        raise DeviceRefused(NAME, "did not start; nothing was moved. Order it again.") from lost

    def _clear(self) -> dict[str, str]:
        turns = self._surely(self._turns, "state")
        if self._moves(turns):
            raise DeviceRefused(NAME, "is running. Stop it or wait for its end, then order again.")
        self._base_rev, self._ordered_rev = turns.total_rev, None
        return {"delivered_ml": "0"}

    def _stands_after_stop(self) -> bool:
        self._talk.shout(frame_of(self._address, "H"), _ACKED)
        self._turns.forget()
        status = self._ask("I", self._status_shape)
        if self._ask("I", self._status_shape) != status or status[-2:-1] == RUNNING:
            return False
        if self._status_lies or status[-2:-1] not in STANDING:
            # This drive's status is not known to tell: its counter must stand for a while.
            total = self._ask("C", _TOTAL)
            time.sleep(min(max(0.05, 2 * self._tick_s()), COUNTER_STOOD_S, self._talk.left_s()))
            if self._ask("C", _TOTAL) != total:
                return False
        self._moved_s = 0.0
        self._acknowledged("Z")  # so that a damaged question which reads as G finds nothing to run
        return True

    # What is known of the drive

    def _forget(self) -> None:
        self._base_rev = Decimal(0)
        self._ordered_rev = self._last_rev = None
        self._rpm, self._known = Decimal(0), False
        self._look_anew()

    def _look_anew(self) -> None:
        self._seen, self._moved_s = None, 0.0
        self._turns.forget()

    def _introduce(self) -> None:
        """Give a drive that was just switched on its number, then look at its counter."""
        if self._talk.in_doubt:
            try:
                self._talk.resynchronise()
            except LineLost:
                raise
            except DeviceSilent:
                self._enquire()
        turns = self._surely(self._turns, "counter")
        try:
            self._look_at_counter(turns)
        except DeviceRestarted:
            self._restart_untold = True
            self._look_at_counter(turns)

    def _enquire(self) -> None:
        """Ask who wants a number, and give it; a drive that had one has lost its power."""
        self._talk.forget()
        self._line.drain()
        self._talk.in_doubt = False
        answer = self._talk.ask(bytes((ENQ,)), _ENQUIRED)
        match = _ENQUIRED.fullmatch(answer)
        assert match is not None, "the line lets no other shape pass"
        if match[1] is None:
            self._restart_untold = self._known
            self._talk.ask(frame_of(self._address, ""), _ACKED)
            return
        if match[1] != self._address.encode("ascii"):
            if self._talk.ask(bytes((ENQ,)), _ENQUIRED) != answer:
                raise DeviceGarbled(NAME, "gave no equal answers about its number. Check the cable.")
            has, wanted = match[1].decode("ascii"), self._address
            words = f"has the number {has}, not {wanted}. Switch it off and on, or set its address to {has}."
            raise DeviceRefused(NAME, words)

    def _look_at_counter(self, turns: Turns) -> None:
        """Find a loss of power that nobody told of: the counter went back."""
        if self._last_rev is not None and turns.total_rev < self._last_rev:
            raise self._restarted()
        self._last_rev, self._known = turns.total_rev, True

    def _moves(self, turns: Turns) -> bool:
        return self._motion(turns)[0]

    def _motion(self, turns: Turns) -> tuple[bool, bool]:
        """Tell whether the rollers turn, and whether that is sure.

        The status tells, unless it was seen to read the same rest while the counter moved: then, and
        where it reads as nothing known, the counter does, which needs a while to show that it stands.
        """
        seen, self._seen = self._seen, turns
        grown = seen is not None and turns.total_rev > seen.total_rev
        self._status_lies = self._status_lies or (grown and seen is not None and turns.same_rest(seen))
        now_s = time.monotonic()
        if grown:
            self._moved_s = now_s
        if turns.says_running:
            return True, True
        if turns.says_rest and not self._status_lies:
            return False, True
        ordered_rev = self._ordered_rev
        if ordered_rev is not None and turns.total_rev >= self._base_rev + ordered_rev:
            return False, True
        lately = self._moved_s > 0 and now_s - self._moved_s < max(COUNTER_STOOD_S, 3 * self._tick_s())
        return lately, grown or not lately

    def _tick_s(self) -> float:
        """Return the time in which the counter moves by its last digit."""
        return 60 * float(REVOLUTIONS_STEP) / max(float(self._rpm), 1.0)

    def _millilitres(self, turns_rev: Decimal) -> Decimal:
        return (turns_rev * self._ml_per_rev).quantize(Decimal("0.001"), rounding=ROUND_DOWN)

    def _detail(self, turns_rev: Decimal) -> str:
        return f"{turns_rev} turns of {self._ml_per_rev} mL: the tubing's calibration, no measurement"

    def _check_range(self, rpm: Decimal, turns_rev: Decimal) -> None:
        if not RPM_STEP <= rpm <= self._rpm_max:
            low, high = (self._millilitres(limit) for limit in (RPM_STEP, self._rpm_max))
            raise DeviceRefused(NAME, f"pumps {low} to {high} mL/min with this tubing. Nothing was moved.")
        if not REVOLUTIONS_STEP <= turns_rev <= REVOLUTIONS_MAX:
            low, high = (self._millilitres(limit) for limit in (REVOLUTIONS_STEP, REVOLUTIONS_MAX))
            raise DeviceRefused(NAME, f"runs {low} to {high} mL at a time. Nothing was moved.")

    # Questions

    def _quiet(self) -> None:
        """End a doubt; a drive that asks for its number again has lost its power."""
        if not self._talk.in_doubt:
            return
        try:
            self._talk.resynchronise()
        except LineLost:
            raise
        except DeviceSilent:
            self._enquire()
            self._tell_restart()

    def _ask(self, command: str, shape: re.Pattern[bytes]) -> bytes:
        self._quiet()
        return self._talk.ask(frame_of(self._address, command), shape)

    def _turns_once(self) -> Turns:
        status = self._status_shape.fullmatch(self._ask("I", self._status_shape))
        total = _TOTAL.fullmatch(self._ask("C", _TOTAL))
        assert status is not None, "the line lets no other shape pass"
        assert total is not None, "the line lets no other shape pass"
        return Turns(status[1], Decimal(total[1].decode("ascii")))

    def _turns_agree(self, first: Turns, second: Turns, apart_s: float) -> bool:
        assert MILLILITRES is not None, "the role says how far two volumes may lie apart"
        if first.status != second.status:
            return False
        rate_ml_s = max(MILLILITRES.rate_per_s, self._rpm * self._ml_per_rev / 40)
        limit_ml = max(MILLILITRES.noise, self._ml_per_rev * REVOLUTIONS_STEP)
        limit_ml += rate_ml_s * Decimal(str(round(apart_s, 6)))
        return 0 <= (second.total_rev - first.total_rev) * self._ml_per_rev <= limit_ml

    def _number(self, question: str, shape: re.Pattern[bytes]) -> Decimal:
        match = shape.fullmatch(self._ask(question, shape))
        assert match is not None, "the line lets no other shape pass"
        return Decimal(b"".join(match.groups()).decode("ascii"))

    def _acknowledged(self, command: str) -> bool:
        """Give a command that moves nothing; a lost answer is no matter, what was set is read back."""
        try:
            return self._ask(command, _ACKED) == bytes((ACK,))
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return False

    def _set(self, command: str, question: str, shape: re.Pattern[bytes], wanted: Decimal, what: str) -> None:
        """Set a number until it is seen to hold; setting it twice is the same as once."""

        def once() -> Decimal:
            held = self._number(question, shape)
            if held != wanted:
                self._acknowledged(command)
            return held

        held = self._held(once, wanted, what)
        if held != wanted:
            words = f"holds {held} {what} in place of {wanted}. Nothing was moved; look at its panel."
            raise DeviceRefused(NAME, words)
