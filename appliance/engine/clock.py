"""UTC, monotonic time, boot id and trust of time; a scaled clock and a hand-moved one.

Three kinds of time, never mixed. `monotonic_ns` is real and runs leases, watchdogs,
serial time-outs and log-in timers (SAFETY 5). `process_s` runs process timers, and `utc`
dates the record; on a simulated unit both may run faster, together.
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from appliance.record.canonical import QUALITY_SIMULATED, QUALITY_TRUSTED, QUALITY_UNTRUSTED, Stamp

Trust = Literal["trusted", "untrusted"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NS = 1_000_000_000


class Clock(Protocol):
    """What the engine asks instead of the system."""

    @property
    def simulated(self) -> bool:
        """Whether this clock may run at another speed than the world."""

    def utc(self) -> datetime:
        """Aware UTC for the record; scaled where the unit is simulated."""

    def monotonic_ns(self) -> int:
        """Real monotonic time, for leases and watchdogs; never scaled."""

    def process_s(self) -> float:
        """Process time in seconds from an arbitrary start; only differences mean something."""

    def boot_id(self) -> bytes:
        """16 bytes that change with every boot: `monotonic_ns` compares only within one."""

    def trust(self) -> Trust:
        """Whether `utc` may decide an expiry by itself (SAFETY 17)."""

    def wall_difference_s(self) -> float:
        """How far the system's wall clock has stepped away from `utc`, in seconds."""

    def follow_wall(self) -> None:
        """Take the wall clock over again; only while no process timer runs."""


def stamp(clock: Clock) -> Stamp:
    """Both times, the boot and the quality of time, as a record header carries them."""
    if clock.simulated:
        quality = QUALITY_SIMULATED
    else:
        quality = QUALITY_TRUSTED if clock.trust() == "trusted" else QUALITY_UNTRUSTED
    return Stamp(
        wall=clock.utc(), monotonic_ns=clock.monotonic_ns(), boot_id=clock.boot_id(), quality=quality
    )


class TurnClock:
    """The clock of the engine: it stands still while a decision is made.

    What is decided, what the decision writes down and the header of its records carry one time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: Stamp | None = None

    @contextlib.contextmanager
    def held(self, moment: Stamp) -> Iterator[None]:
        """Let `utc` and `monotonic_ns` say `moment`; nothing may be awaited meanwhile."""
        assert self._held is None, "a decision inside a decision"
        self._held = moment
        try:
            yield
        finally:
            self._held = None

    @property
    def simulated(self) -> bool:
        return self._clock.simulated

    def utc(self) -> datetime:
        return self._clock.utc() if self._held is None else self._held.wall

    def monotonic_ns(self) -> int:
        return self._clock.monotonic_ns() if self._held is None else self._held.monotonic_ns

    def process_s(self) -> float:
        return self._clock.process_s()

    def boot_id(self) -> bytes:
        return self._clock.boot_id()

    def trust(self) -> Trust:
        return self._clock.trust()

    def wall_difference_s(self) -> float:
        return self._clock.wall_difference_s()

    def follow_wall(self) -> None:
        self._clock.follow_wall()


def trusted_at(clock: Clock, moment: Stamp) -> bool:
    """Whether time was trusted at a stamp: as its record says, and of a simulated clock as it says itself."""
    if moment.quality == QUALITY_SIMULATED:
        return clock.trust() == "trusted"
    return moment.quality == QUALITY_TRUSTED


def this_boot_id() -> bytes:
    """The kernel's boot id."""
    return bytes.fromhex(_BOOT_ID.read_text(encoding="ascii").strip().replace("-", ""))


class SystemClock:
    """The clock of a production unit.

    `utc` runs on monotonic time from the wall clock at the start: a step of the wall clock moves
    no process timer that runs. The step shows as `wall_difference_s`.

    Parameters
    ----------
    time_trust
        `kernel`: time is trusted while the kernel says that a time service keeps it.
        `declared`: the site answers for the clock (a radio or GPS clock that the kernel
        does not know of); a kernel that says "not synchronised" is then not heard.
    """

    simulated = False

    def __init__(
        self,
        *,
        time_trust: Literal["kernel", "declared"] = "kernel",
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._declared = time_trust == "declared"
        self._boot_id = this_boot_id()
        self._wall = wall
        self._start, self._start_ns = wall(), time.monotonic_ns()

    def utc(self) -> datetime:
        return self._start + timedelta(microseconds=(time.monotonic_ns() - self._start_ns) // 1000)

    def wall_difference_s(self) -> float:
        return (self._wall() - self.utc()).total_seconds()

    def follow_wall(self) -> None:
        self._start, self._start_ns = self._wall(), time.monotonic_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def process_s(self) -> float:
        return time.monotonic_ns() / _NS

    def boot_id(self) -> bytes:
        return self._boot_id

    def trust(self) -> Trust:
        return "trusted" if self._declared or kernel_says_synchronised() is True else "untrusted"


class ScaledClock:
    """The clock of a simulated unit: process time and the record's UTC run `speed` times as fast.

    The real date enters once, as the start; nothing else of this unit sees it.

    Parameters
    ----------
    speed
        At least 1; the physics of the twins run at the same speed.
    start, start_ns
        The UTC that held at the real monotonic time `start_ns`; without them, the date and time at
        the making of this clock.
    """

    simulated = True

    def __init__(self, speed: Decimal, *, start: datetime | None = None, start_ns: int | None = None) -> None:
        assert speed >= 1, speed
        assert start is None or start.utcoffset() == timedelta(0), start
        self.speed = speed
        self._start = datetime.now(UTC) if start is None else start
        self._start_ns = time.monotonic_ns() if start_ns is None else start_ns
        self._boot_id = this_boot_id()

    @classmethod
    def continuing(cls, speed: Decimal, last: Stamp) -> ScaledClock:
        """Go on from the last stamp of a record, so that its time never runs backwards.

        Within one boot the time that passed since is counted (scaled); after a reboot the
        clock goes on from the stamp itself.
        """
        same_boot = last.boot_id == this_boot_id()
        return cls(speed, start=last.wall, start_ns=last.monotonic_ns if same_boot else None)

    def utc(self) -> datetime:
        passed_ns = int((time.monotonic_ns() - self._start_ns) * self.speed)
        return self._start + timedelta(microseconds=passed_ns // 1000)

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def process_s(self) -> float:
        # Scaled from the boot, so that it goes on over a restart of the engine as real time would.
        return float(time.monotonic_ns() * self.speed / _NS)

    def wall_difference_s(self) -> float:
        return 0.0

    def follow_wall(self) -> None:
        pass

    def boot_id(self) -> bytes:
        return self._boot_id

    def trust(self) -> Trust:
        return "trusted"


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(
        self,
        utc: datetime = datetime(2026, 3, 2, 8, 0, tzinfo=UTC),
        *,
        simulated: bool = True,
        trust: Trust = "trusted",
    ) -> None:
        assert utc.utcoffset() == timedelta(0), utc
        self.simulated = simulated
        self._utc = utc
        self._monotonic_ns = 1_000 * _NS
        self._boot = 1
        self._trust: Trust = trust

    def advance(self, seconds: float) -> None:
        """Let time pass: UTC, monotonic and process time alike."""
        assert seconds >= 0, seconds
        self._utc += timedelta(seconds=seconds)
        self._monotonic_ns += round(seconds * _NS)

    def set_utc(self, utc: datetime) -> None:
        """Set the wall clock, forwards or backwards, as a person or a time service would."""
        assert utc.utcoffset() == timedelta(0), utc
        self._utc = utc

    def set_trust(self, trust: Trust) -> None:
        """Gain or lose trust in the wall clock."""
        self._trust = trust

    def reboot(self) -> None:
        """Begin a new boot: another boot id, and monotonic time from its start."""
        self._boot += 1
        self._monotonic_ns = 1_000 * _NS

    def utc(self) -> datetime:
        return self._utc

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def process_s(self) -> float:
        return self._monotonic_ns / _NS

    def wall_difference_s(self) -> float:
        return 0.0

    def follow_wall(self) -> None:
        pass

    def boot_id(self) -> bytes:
        return self._boot.to_bytes(16, "big")

    def trust(self) -> Trust:
        return self._trust


class _Timex(ctypes.Structure):
    """`struct timex` of adjtimex(2) as far as `status`; the rest is room for the kernel to write in."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_byte * 256),
    )


_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def kernel_says_synchronised() -> bool | None:
    """Whether a time service keeps the kernel's clock (adjtimex); None where the kernel does not tell."""
    adjtimex = getattr(_libc(), "adjtimex", None)
    if adjtimex is None:
        return None
    state = _Timex(modes=0)  # modes 0 reads and changes nothing
    answer = int(adjtimex(ctypes.byref(state)))
    if answer < 0:
        return None
    return answer != _TIME_ERROR and not state.status & _STA_UNSYNC
