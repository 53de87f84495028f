"""Twin of an Ismatec Reglo ICC: four channels, both addressing modes, event messages, modes that end."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from drivers.simulated.fluids import CHANNELS
from drivers.simulated.twin import Twin
from drivers.simulated.world import World

MODEL, HEAD, SERIAL_NUMBER = "REGLO ICC", "408", "A123456789"
PROTOCOL = "2"
RPM_MAX = 100.0
ML_PER_REV_MM2 = 0.0428  # of the square of the inner diameter: 43 mL/min at 100 rpm through 3.17 mm
VOLUME_ML_MAX = 9999.0
DONE, NOT_DONE, NO, YES = b"*", b"#", b"-", b"+"
CALIBRATION = {"xR": "J", "xU": "0000E+0", "xV": "0000E+0", "xW": "600", "xX": "0"}
MEMORY = {"xN": MODEL, "xS": SERIAL_NUMBER, "xL": "0", "xA": str(CHANNELS), "xB": "8", ")": "0408"}
# What is stored and told, and changes nothing here: times, back steps, display, roller steps.
STORED = {"V": "0", "T": "0", "xP": "0", '"': "0", "%": "0", "U": "0", "u": "0", "r": "7700E-5"}
TAKEN = ("VM", "VH", "TM", "TH", "DA", "D", "A", "B", "*", "W", "xt", "xs", "xu", "xY", "xZ", "-")

_REQUEST = re.compile(r"([0-8])(x.|VM|VH|TM|TH|DA|000000|[ -~])(.*)")
_VOLUME = re.compile(r"(\d{4})([+-]?\d)")


@dataclass
class Channel:
    """What one channel was told; its rollers turn in the world."""

    mode: str = "L"
    rpm: float = 10.0
    rate_ml_min: float = 4.3
    volume_ml: float = 1.0
    time_s: float = 60.0
    diameter_mm: float = 3.17
    by_rate: bool = False
    infusing: bool = True
    was_moving: bool = False
    cause: str = "C 0000E+0"
    counted_from_ml: float = 0.0
    stored: dict[str, str] = field(default_factory=lambda: {**STORED, **CALIBRATION})

    @property
    def ml_per_rev(self) -> float:
        """The volume of one turn through this tubing."""
        return ML_PER_REV_MM2 * self.diameter_mm**2

    @property
    def rate_ml_min_max(self) -> float:
        """The fastest flow through this tubing."""
        return self.ml_per_rev * RPM_MAX


class RegloTwin(Twin):
    """Answers as the sheet says; commands mean upper and lower case apart, as in the device."""

    TYPE = "ismatec-reglo-icc"
    FIRMWARE = "0208"

    def __init__(self, world: World, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(world, settings)
        self.address = int(self.settings.get("address", "1"))
        self.channels = {number: Channel() for number in range(1, CHANNELS + 1)}
        self.by_channel = False
        self.events = True
        self.panel = True
        self.calibrated = True
        self.factory_resets = 0
        self.memory = dict(MEMORY)
        self._buffer = bytearray()
        self._per_pump: dict[str, Callable[[str], bytes]] = {
            "~": self._addressing, "xE": self._event_messages, "000000": self._discard_calibration,
            "#": lambda _: _line(f"{MODEL} {self.firmware} {HEAD}"), "(": lambda _: _line(self.firmware),
            "x!": lambda _: _line(PROTOCOL), "C": lambda _: NO,
        }  # fmt: skip
        self._per_channel: dict[str, Callable[[int, str], bytes]] = {
            "H": self._start, "I": self._stop, "xI": self._stop, "E": self._is_running,
            "J": self._turn, "K": self._turn, "xD": self._turning, "xM": self._mode, "S": self._speed,
            "f": self._rate, "v": self._volume, "xT": self._time, "+": self._diameter, "xe": self._cause,
            "xG": self._counted, ":": self._counted_finely, "xf": self._by_rate, "xJ": self._zero,
            "xC": self._zero, "?": self._rate_max, "!": self._rate_max, "0": self._factory_reset,
            "xv": self._time, "xw": self._time,
        }  # fmt: skip

    def receive(self, data: bytes, now_s: float) -> list[bytes]:
        """Answer each whole request."""
        self._buffer += data
        self.world.advance()
        answers = self._ended_runs()
        while (end := next((i for i, byte in enumerate(self._buffer) if byte in b"\r\n"), -1)) >= 0:
            text = self._buffer[:end].decode("ascii", errors="replace").strip()
            del self._buffer[: end + 1]
            if text:
                answers += [answer for answer in self._answer(text) if answer]
        if len(self._buffer) > 256:
            self._buffer.clear()
        return answers

    def tick(self, now_s: float) -> list[bytes]:
        """Tell of runs that ended, while event messages are on."""
        self.world.advance()
        return self._ended_runs()

    def restart(self, now_s: float) -> list[bytes]:
        """Stand, forget what was not stored, count from zero; events are on and channels are not."""
        self._buffer.clear()
        for number in self.channels:
            self.world.stop_rollers(number)
            self.channels[number] = Channel(counted_from_ml=self._dispensed_ml(number))
        self.by_channel, self.events = False, True
        return []

    def _answer(self, text: str) -> list[bytes]:
        if text.startswith("@"):
            self.address = int(text[1]) if text[1:].isdigit() and 1 <= int(text[1:]) <= 8 else self.address
            return [DONE]
        match = _REQUEST.fullmatch(text)
        if match is None:
            return [NOT_DONE]
        address, command, value = int(match[1]), match[2], match[3]
        if command in self._per_pump:
            return [self._per_pump[command](value)]
        if not self.by_channel and address not in (0, self.address):
            return []
        numbers = [1] if not self.by_channel else [address] if address else list(self.channels)
        if numbers[0] not in self.channels:
            return [NOT_DONE]
        answers = [self._to_channel(number, command, value) for number in numbers]
        return [answers[-1], *self._started_runs()] if command == "H" else [answers[-1]]

    def _to_channel(self, number: int, command: str, value: str) -> bytes:
        channel = self.channels[number]
        if command in self._per_channel:
            return self._per_channel[command](number, value if command not in "JK" else command)
        if command in tuple("LMOGQNP") and not value:
            channel.mode = command
            return DONE
        for store in (self.memory, channel.stored):
            if command in store:
                if value:
                    store[command] = _as_told(value.lstrip("|"))
                return DONE if value else _line(store[command])
        if command in TAKEN:
            self.panel = {"A": True, "B": False}.get(command, self.panel)
            return DONE
        return NOT_DONE

    # Runs

    def _start(self, number: int, _value: str) -> bytes:
        channel, tubing = self.channels[number], self.world.tubing[number]
        if tubing.motion.moving:
            return DONE
        rate = channel.rpm * channel.ml_per_rev if channel.mode == "L" else channel.rate_ml_min
        volume: float | None = channel.volume_ml if channel.mode in "OGQ" else None
        if channel.mode == "G":
            rate = channel.volume_ml / channel.time_s * 60
        if channel.mode in "NP":
            volume = rate * channel.time_s / 60
        if channel.mode in "QP" and channel.stored['"'].strip("0") == "":
            channel.cause = "C 0000E+0"
            return NO
        if not 0 < rate <= channel.rate_ml_min_max * 1.001:
            channel.cause = f"R {channel.rate_ml_min_max:.2f}"
            return NO
        if volume is not None and not 0 < volume <= VOLUME_ML_MAX:
            channel.cause = f"V {VOLUME_ML_MAX:.2f}"
            return NO
        self.world.start_rollers(number, rate_ml_min=rate, volume_ml=volume, infusing=channel.infusing)
        return DONE

    def _stop(self, number: int, _value: str) -> bytes:
        self.world.stop_rollers(number)
        return DONE

    def _started_runs(self) -> list[bytes]:
        started = [
            number
            for number, channel in self.channels.items()
            if self.world.tubing[number].motion.moving and not channel.was_moving
        ]
        for number in started:
            self.channels[number].was_moving = True
        return [_line(f"^U{number}") for number in started] if self.events else []

    def _ended_runs(self) -> list[bytes]:
        ended = [
            number
            for number, channel in self.channels.items()
            if channel.was_moving and not self.world.tubing[number].motion.moving
        ]
        for number in ended:
            self.channels[number].was_moving = False
        return [_line(f"^X{number}") for number in ended] if self.events else []

    def _is_running(self, number: int, _value: str) -> bytes:
        return YES if self.world.tubing[number].motion.moving else NO

    def _dispensed_ml(self, number: int) -> float:
        return sum(self.world.tubing[number].motion.dispensed_ml.values())

    def _counted_ml(self, number: int) -> float:
        counted = self._dispensed_ml(number) - self.channels[number].counted_from_ml
        return self.senses.shown(f"counted {number}", lambda: counted)

    def _counted(self, number: int, _value: str) -> bytes:
        return _line(f"{int(self._counted_ml(number) + 1e-6):010d}")

    def _counted_finely(self, number: int, _value: str) -> bytes:
        return _line(f"{self._counted_ml(number):.3f} ml")

    # Settings of a channel

    def _turn(self, number: int, command: str) -> bytes:
        self.channels[number].infusing = command == "J"
        return DONE

    def _turning(self, number: int, _value: str) -> bytes:
        return _line("J" if self.channels[number].infusing else "K")

    def _mode(self, number: int, _value: str) -> bytes:
        return _line(self.channels[number].mode)

    def _speed(self, number: int, value: str) -> bytes:
        if not value:
            return _line(f"{self.channels[number].rpm:.2f}")
        if not value.isdigit() or int(value) / 100 > RPM_MAX:
            return NOT_DONE
        self.channels[number].rpm = int(value) / 100
        return DONE

    def _rate(self, number: int, value: str) -> bytes:
        channel = self.channels[number]
        if value:
            rate = _volume(value)
            if rate is None:
                return NOT_DONE
            channel.rate_ml_min = min(rate, channel.rate_ml_min_max)
        return _line(_volume_type_1(channel.rate_ml_min))

    def _volume(self, number: int, value: str) -> bytes:
        channel = self.channels[number]
        if value:
            volume = _volume(value)
            if volume is None:
                return NOT_DONE
            channel.volume_ml = min(volume, VOLUME_ML_MAX)
        return _line(_volume_type_1(channel.volume_ml))

    def _time(self, number: int, value: str) -> bytes:
        channel = self.channels[number]
        if not value:
            return _line(f"{round(channel.time_s * 10)}")
        if not value.isdigit() or int(value) > 35964000:
            return NOT_DONE
        channel.time_s = int(value) / 10
        return DONE

    def _diameter(self, number: int, value: str) -> bytes:
        channel = self.channels[number]
        if not value:
            return _line(f"{channel.diameter_mm:.2f} mm")
        if not value.isdigit() or not 13 <= int(value) <= 317:
            return NOT_DONE
        channel.diameter_mm = int(value) / 100
        return DONE

    def _by_rate(self, number: int, value: str) -> bytes:
        channel = self.channels[number]
        if not value:
            return _line(str(int(channel.by_rate)))
        channel.by_rate = value == "1"
        return DONE

    def _rate_max(self, number: int, _value: str) -> bytes:
        return _line(f"{self.channels[number].rate_ml_min_max:.3f} ml/min")

    def _cause(self, number: int, _value: str) -> bytes:
        return _line(self.channels[number].cause)

    def _zero(self, _number: int, _value: str) -> bytes:
        return _line("0")

    def _factory_reset(self, number: int, _value: str) -> bytes:
        self.factory_resets += 1
        self.world.stop_rollers(number)
        self.channels[number] = Channel(counted_from_ml=self.channels[number].counted_from_ml)
        return DONE

    # Settings of the pump

    def _addressing(self, value: str) -> bytes:
        if not value:
            return _line(str(int(self.by_channel)))
        if value not in ("0", "1"):
            return NOT_DONE
        self.by_channel = value == "1"
        return DONE

    def _event_messages(self, value: str) -> bytes:
        if not value:
            return _line(str(int(self.events)))
        if value not in ("0", "1"):
            return NOT_DONE
        self.events = value == "1"
        return DONE

    def _discard_calibration(self, _value: str) -> bytes:
        self.calibrated = False
        return DONE


def _line(text: str) -> bytes:
    return text.encode("ascii") + b"\r\n"


def _volume(text: str) -> float | None:
    """Return what `mmmmse` stands for."""
    match = _VOLUME.fullmatch(text)
    return None if match is None else int(match[1]) / 1000 * 10.0 ** int(match[2])


def _as_told(value: str) -> str:
    """Return a stored value as it is told: a volume set as `mmmmse` is told as `mmmmEse`."""
    volume = _volume(value)
    return value if volume is None or value.isdigit() else _volume_type_1(volume)


def _volume_type_1(value: float) -> str:
    """Return a number as `mmmmEse`, with the decimal point behind the first digit."""
    mantissa, exponent = f"{value:.3e}".split("e")
    return f"{mantissa.replace('.', '')}E{int(exponent):+d}"
