"""Ismatec Reglo ICC roller pumps, one channel. Wire facts: docs/devices/ismatec_reglo_icc.md."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import partial

from drivers.agreement import Confirmation, same
from drivers.faults import (
    DeviceFault,
    DeviceGarbled,
    DeviceRefused,
    DeviceSilent,
    LineLost,
)
from drivers.framing import LINE_BYTES_MAX, BrokenFrame
from drivers.line import LineSettings, SerialLine
from drivers.pumps.roller_pump import MILLILITRES, NAME, RollerPump
from drivers.pumps.unchecked_line import UncheckedLine
from drivers.reading import Identity, Quality, Reading, reading_now

STATUS_BYTES = b"*#+-"
LOOK_SPARE_S = 0.05
VOLUME_AT_RATE, CLOCKWISE = "O", "J"
# `0` is a factory reset, `000000` throws the calibration away, `@` is heard by every pump of a chain,
# and `*` writes the settings into memory that wears out.
NEVER = re.compile(r"0|000000|@.*|\*")

_DONE = re.compile(rb"[*#+-]")
_RUNNING = re.compile(rb"[+-]")
_ADDRESSING = re.compile(rb"[012]")
_MODE = re.compile(rb"[LMOGQNP]")
_DIRECTION = re.compile(rb"[JK]")
_SPEED = re.compile(rb"\d{1,4}\.\d{1,2}")
_VERSION = re.compile(rb"\d{1,4}|#")
_VOLUME = re.compile(rb"(\d{4})E([+-]?\d{1,2})|[*#]")
_COUNT = re.compile(rb"(\d{5,10}|\d{1,9}\.\d{1,4}|\d{4}E[+-]?\d{1,2})(?: ?m[lL])?")
_CAUSE = re.compile(rb"([CRV])(?: (\S{1,10}))?|#")
_ABOUT = re.compile(rb"(.{1,40}) (\d{3,4}) \d{3,4}|#")
_TEXT = re.compile(rb"[ -~]{1,40}")
_CAUSES = {"C": "its cycle count is 0", "R": "the rate is out of its range", "V": "the volume is too large"}


@dataclass(frozen=True, slots=True)
class Count:
    """Whether the rollers turn, and the volume counted since the pump's own last reset."""

    running: bool
    total_ml: Decimal
    step_ml: Decimal


def take_reglo(buffer: bytearray) -> bytes | None:
    """Take one answer: a status character alone, or a line that ends CR LF; an echo ends with its CR."""
    while buffer and buffer[0] in b"\r\n":
        del buffer[0]
    if buffer[:1] and buffer[0] in STATUS_BYTES:
        return bytes((buffer.pop(0),))
    end = buffer.find(b"\r")
    if end < 0:
        if len(buffer) > LINE_BYTES_MAX:
            del buffer[:]
            raise BrokenFrame("no end of line in sight")
        return None
    if end + 1 == len(buffer):
        return None  # a line feed may still come
    line = bytes(buffer[:end])
    del buffer[: end + (2 if buffer[end + 1 : end + 2] == b"\n" else 1)]
    return line


def request_of(address: str, command: str) -> bytes:
    """Return a request; what would reset the pump or throw its calibration away is refused."""
    if NEVER.fullmatch(command):
        raise DeviceRefused(NAME, f"is never sent {command!r}: it would lose its settings or its address.")
    return f"{address}{command}\r".encode("ascii")


def volume_type_2(value: Decimal) -> str:
    """Return a number as the pump takes it, `mmmmse`; rounded down, so that no order grows."""
    exponent = value.adjusted()
    if not -9 <= exponent <= 9:
        raise DeviceRefused(NAME, f"cannot take {value} mL or mL/min. Nothing was moved.")
    digits = int(value.scaleb(3 - exponent).to_integral_value(rounding=ROUND_DOWN))
    return f"{digits:04d}{exponent:+d}"


def _volume_type_1(number: str) -> bytes:
    return f"{number[:4]}E{number[4:]}".encode("ascii")


def volume_of(text: str) -> Decimal:
    """Return the number that `mmmmse` or `mmmmEse` stands for, in mL or mL/min."""
    match = re.fullmatch(r"(\d{4})E?([+-]?\d{1,2})", text)
    assert match is not None, text
    return Decimal(match[1]).scaleb(int(match[2]) - 3)


class RegloPump(RollerPump):
    """One channel of a Reglo ICC in mode O, volume at a rate, which ends by itself.

    The counter `xG` counts whole millilitres. A run that ended by itself, and whose count fits, delivered
    its ordered volume; of any other the count is told as it is.
    """

    TYPE = "ismatec-reglo-icc"
    MODEL = "Reglo ICC"
    EXCHANGE_S = 0.35

    def __init__(self, port: str, settings: Mapping[str, str] | None = None) -> None:
        values = dict(settings or {})
        self._address, self._channel = values.get("address", "1"), values.get("channel", "1")
        line = SerialLine(NAME, port, LineSettings(baud_rate=9600), take_reglo)
        talk = UncheckedLine(
            line,
            harmless={
                request_of(self._address, "~"): _ADDRESSING,
                request_of(self._channel, "xD"): _DIRECTION,
                request_of(self._channel, "S"): _SPEED,
            },
            exchange_s=self.EXCHANGE_S,
            unasked=self._is_event,
        )
        super().__init__(line, talk)
        self._base_ml = Decimal(0)  # what the pump's counter showed when this count began
        self._ordered_ml: Decimal | None = None
        self._last_ml: Decimal | None = None
        self._ended = self._stopped = self._channelled = self._events = False
        self._counts = Confirmation(self._count_once, _counts_agree)
        self._running = Confirmation(self._running_once, same)

    def identify(self) -> Identity:
        """Ask model, software and serial number, or the protocol's version where it tells no more."""
        self._talk.within(self.ORDER_S)
        match = _ABOUT.fullmatch(self._told("#", _ABOUT))
        if match is None or match[1] is None:
            version = self._told("x!", _VERSION, address="0").strip(b"#").decode("ascii")
            firmware = f"protocol {version}" if version else ""
            return Identity(maker="Ismatec", model=self.MODEL, serial_number="", firmware=firmware)
        serial = self._told("xS", _TEXT).decode("ascii")
        return Identity(
            maker="Ismatec",
            model=match[1].decode("ascii"),
            serial_number="" if serial in STATUS_BYTES.decode("ascii") else serial,
            firmware=match[2].decode("ascii"),
        )

    def read(self) -> list[Reading]:
        """Read state and delivered volume, and look whether the pump still holds its mode."""
        self._tell_restart()
        self._talk.within(self.READ_S)
        answer = self._counts.read(time.monotonic() + self.READ_ASKS_S)
        count, surely_on = answer.value, True
        if answer.confirmed:
            self._look_at_counter(count)
            if self._talk.left_s() > 3 * self._talk.took_s + LOOK_SPARE_S:
                surely_on = self._is_surely_on()
            self._ended = self._ended or not (count.running or self._ordered_ml is None)
        quality: Quality = "good" if answer.confirmed and surely_on else "uncertain"
        delivered_ml, detail = self._delivered(count)
        return [
            reading_now("state", "infusing" if count.running else "stopped", "", quality),
            reading_now("delivered_ml", delivered_ml, "mL", quality, detail),
            reading_now("alarm", "", "", quality),
        ]

    # Orders

    def _stands(self) -> Decimal | None:
        count = self._surely(self._counts, "state")
        return None if count.running else count.total_ml

    def _prepare(
        self, volume_ml: Decimal, rate_ml_min: Decimal, counted: Decimal
    ) -> Callable[[], dict[str, str]]:
        volume, rate = volume_type_2(volume_ml), volume_type_2(rate_ml_min)
        self._ordered_ml = None
        self._switch(VOLUME_AT_RATE, "xM", _MODE, "mode")
        self._switch(CLOCKWISE, "xD", _DIRECTION, "direction")
        self._set("f", rate, "rate")
        self._set("v", volume, "volume")

        def holds() -> bool:
            # `v` and `f` are one bit apart, and so are `J` and `H`. A pump that does not tell rate and
            # volume when asked has told them when they were set.
            count = self._count_once()
            return (
                self._ask("xM", _MODE) == VOLUME_AT_RATE.encode("ascii")
                and self._ask("xD", _DIRECTION) == CLOCKWISE.encode("ascii")
                and self._ask("f", _VOLUME) in (_volume_type_1(rate), b"#")
                and self._ask("v", _VOLUME) in (_volume_type_1(volume), b"#")
                and not count.running
                and count.total_ml == counted
            )

        self._cleanly(holds)
        return partial(self._start, counted, volume_of(volume), volume_of(rate))

    def _start(self, before_ml: Decimal, volume_ml: Decimal, rate_ml_min: Decimal) -> dict[str, str]:
        """Start, and find out what happened: H is never sent twice."""
        self._base_ml = self._last_ml = before_ml
        self._ordered_ml = volume_ml
        self._ended = self._stopped = False
        began_s = time.monotonic()
        answer, lost = b"", None
        try:
            answer = self._talk.ask(request_of(self._channel, "H"), _DONE)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled) as fault:
            lost = fault
        started = {"volume_ml": str(volume_ml), "rate_ml_min": str(rate_ml_min)}
        if self._surely(self._running, "state"):
            return started
        count = self._surely(self._counts, "counter")
        if count.total_ml > before_ml:
            return started
        ended = time.monotonic() - began_s >= 60 * float(volume_ml / rate_ml_min)
        if answer == b"*" and ended:
            return started
        if answer not in (b"-", b"#") and (ended or volume_ml < count.step_ml):
            words = (
                "stands, and its counter is too coarse to tell whether it ran. Weigh before ordering again."
            )
            raise DeviceSilent(NAME, words) from lost
        self._ordered_ml = None
        if answer in (b"-", b"#"):
            raise DeviceRefused(NAME, f"did not start: {self._cause()}. Nothing was moved.") from lost
        # Less than a step of the counter may have run before its power was lost.
        self._look_at_addressing()
        if answer == b"*":
            words = "took the order and stands before its end. Weigh before ordering again."
            raise DeviceSilent(NAME, words)
        raise DeviceRefused(NAME, "did not start. Nothing was moved.") from lost

    def _clear(self) -> dict[str, str]:
        count = self._surely(self._counts, "state")
        if count.running:
            raise DeviceRefused(NAME, "is running. Stop it or wait for its end, then order again.")
        self._base_ml, self._ordered_ml = count.total_ml, None
        return {"delivered_ml": "0"}

    def _stands_after_stop(self) -> bool:
        self._talk.shout(request_of(self._channel, "I"), _DONE)
        self._stopped = not self._ended  # a run that was seen to have ended was not cut short
        self._counts.forget()
        self._running.forget()
        self._quiet()
        if self._held(self._running_once, False, "state"):
            return False
        # The other channels are nobody's here; they stand too, but their answer decides nothing.
        with contextlib.suppress(DeviceSilent, DeviceGarbled):
            self._talk.ask(request_of("0", "I"), _DONE)
        return True

    # What is known of the pump

    def _forget(self) -> None:
        self._base_ml = Decimal(0)
        self._ordered_ml = self._last_ml = None
        self._ended = self._stopped = False
        self._look_anew()

    def _look_anew(self) -> None:
        self._channelled = False
        self._counts.forget()
        self._running.forget()

    def _introduce(self) -> None:
        """Switch channel addressing on and event messages off, then look at the channel."""
        known = self._last_ml is not None
        lost = self._address_channels() and known
        count = self._surely(self._counts, "counter")
        if lost or (self._last_ml is not None and count.total_ml < self._last_ml):
            self._restart_untold = True
            self._base_ml, self._ordered_ml = Decimal(0), None
        self._last_ml = count.total_ml

    def _address_channels(self) -> bool:
        """Let requests name channels; True when the pump did not do so before."""
        if self._talk.in_doubt:
            self._talk.resynchronise()
        ask, shape = request_of(self._address, "~"), _ADDRESSING
        was_off = b"1" not in (self._talk.ask(ask, shape), self._talk.ask(ask, shape))
        if was_off:  # Perhaps kept in memory: written only on change.
            if self._talk.ask(request_of(self._address, "~1"), _DONE) == b"#":
                raise DeviceRefused(NAME, "does not switch to channel addressing. Check model and address.")
            if self._talk.ask(ask, shape) != b"1":
                raise DeviceGarbled(NAME, "did not switch to channel addressing. Check the cable.")
        self._switch_events_off()
        self._channelled = True
        return was_off

    def _switch_events_off(self) -> None:
        """Ask for silence; a pump that does not know how is listened to with care all the same."""
        for address in ("0", self._channel):  # some pumps do not know the address 0 here
            if self._talk.ask(request_of(address, "xE0"), _DONE) == b"*":
                break
        self._events = False

    def _look_at_counter(self, count: Count) -> None:
        """Find a loss of power that nobody told of: the counter went back."""
        if self._last_ml is not None and count.total_ml < self._last_ml:
            raise self._restarted()
        self._last_ml = count.total_ml

    def _delivered(self, count: Count) -> tuple[Decimal, str]:
        counted_ml = count.total_ml - self._base_ml
        detail = f"counted in steps of {count.step_ml} mL"
        ordered_ml = self._ordered_ml
        if ordered_ml is None or count.running or self._stopped:
            return counted_ml, detail
        if abs(counted_ml - ordered_ml) < count.step_ml:
            return ordered_ml, f"its run ended by itself; {counted_ml} mL {detail}"
        return counted_ml, detail

    # Questions

    def _is_event(self, frame: bytes) -> bool:
        """Tell event messages apart; that they come again means that they must be switched off again."""
        if not frame.startswith(b"^"):
            return False
        self._events = True
        return True

    def _ask(self, command: str, shape: re.Pattern[bytes]) -> bytes:
        self._quiet()
        return self._talk.ask(request_of(self._channel, command), shape)

    def _quiet(self) -> None:
        """End a doubt, and notice the loss of power that shows in what the pump answers then."""
        if not self._channelled:
            self._address_channels()
        addressing = request_of(self._address, "~")
        if self._talk.in_doubt:
            request, answer = self._talk.resynchronise()
            if request == addressing and answer != b"1":
                self._look_at_addressing()
        if self._events:
            self._look_at_addressing()
            self._switch_events_off()

    def _is_surely_on(self) -> bool:
        """Look whether it lost its power; a look that a poor line broke off tells neither."""
        try:
            self._look_at_addressing()
        except (DeviceSilent, DeviceGarbled):
            return False
        return True

    def _look_at_addressing(self) -> None:
        """Find a loss of power by the addressing it costs; one damaged answer is no such loss."""
        addressing = request_of(self._address, "~")
        if self._talk.ask(addressing, _ADDRESSING) == b"1":
            return
        if self._talk.ask(addressing, _ADDRESSING) != b"1":
            raise self._restarted()

    def _count_once(self) -> Count:
        running = self._ask("E", _RUNNING) == b"+"
        match = _COUNT.fullmatch(self._ask("xG", _COUNT))
        assert match is not None, "the line lets no other shape pass"
        text = match[1].decode("ascii")
        if "E" in text:
            total = volume_of(text)
            return Count(running, total, Decimal(1).scaleb(int(text[5:]) - 3))
        return Count(running, Decimal(text), Decimal(1).scaleb(-len(text.partition(".")[2])))

    def _running_once(self) -> bool:
        return self._ask("E", _RUNNING) == b"+"

    def _switch(self, command: str, question: str, shape: re.Pattern[bytes], what: str) -> None:
        """Give a command that moves nothing, as often as it takes until it is seen to hold."""

        def once() -> bytes:
            held = self._ask(question, shape)
            if held != wanted:
                self._ask(command, _DONE)
            return held

        wanted = command.encode("ascii")
        if self._held(once, wanted, what) != wanted:
            raise DeviceRefused(NAME, f"did not take its {what}. Nothing was moved; look at its panel.")

    def _set(self, command: str, number: str, what: str) -> None:
        """Set a number; the answer is what the pump holds, and must be what was asked for."""

        def once() -> bytes:
            answer = self._ask(f"{command}{number}", _VOLUME)
            return self._ask(command, _VOLUME) if answer == b"*" else answer

        answer = self._held(once, _volume_type_1(number), what).decode("ascii")
        if answer in ("*", "#"):
            raise DeviceRefused(NAME, f"did not take the {what}. Nothing was moved.", answer)
        if volume_of(answer) != volume_of(number):
            words = (
                f"holds the {what} {volume_of(answer)} in place of {volume_of(number)}. Nothing was moved."
            )
            raise DeviceRefused(NAME, words, answer)

    def _cause(self) -> str:
        """Ask why a start was refused; not knowing changes nothing."""
        try:
            match = _CAUSE.fullmatch(self._ask("xe", _CAUSE))
        except DeviceFault:
            return "it did not tell why"
        if match is None or match[1] is None:
            return "it did not tell why"
        limit = (match[2] or b"").decode("ascii", errors="replace")
        return _CAUSES[match[1].decode("ascii")] + (f", its limit is {limit}" if limit else "")

    def _told(self, command: str, shape: re.Pattern[bytes], *, address: str = "") -> bytes:
        """Ask what not every pump knows; an answer counts when a second one is equal."""
        request = request_of(address or self._channel, command)
        try:
            self._quiet()
            first, second = self._talk.ask(request, shape), self._talk.ask(request, shape)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return b"#"
        return first if first == second else b"#"


def _counts_agree(first: Count, second: Count, apart_s: float) -> bool:
    assert MILLILITRES is not None, "the role says how far two volumes may lie apart"
    limit_ml = max(MILLILITRES.limit(apart_s), first.step_ml)
    grown_ml = second.total_ml - first.total_ml
    return first.running == second.running and first.step_ml == second.step_ml and 0 <= grown_ml <= limit_ml
