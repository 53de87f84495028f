"""Questions on a line without checksum, whose answers may be late, doubled, echoed, damaged or lost."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping

from drivers.faults import DeviceGarbled, DeviceSilent, StrayBytes
from drivers.line import SerialLine

OWED_S = 2.0  # an answer that did not come for so long is lost
OWED_LOOK_S = 0.05


class UncheckedLine:
    """Asks one question at a time and lets no late answer pass for the next one.

    Every question knows the shape of its answer. After a time-out or an answer of another shape the line
    is in doubt. A device answers in order, so a harmless question of a shape that no answer still owed
    can have ends the doubt: all that came before its answer is old.

    Parameters
    ----------
    line : SerialLine
        The line; it is opened and closed by its owner.
    harmless : mapping
        Questions that change nothing, with the shapes of their answers; no two shapes overlap.
    exchange_s : float
        How long an answer may take.
    unasked : callable, optional
        Tells whether a frame is one that the device sends by itself; such frames are left out.
    """

    def __init__(
        self,
        line: SerialLine,
        *,
        harmless: Mapping[bytes, re.Pattern[bytes]],
        exchange_s: float,
        unasked: Callable[[bytes], bool] = lambda frame: False,
    ) -> None:
        self._line, self._harmless, self._unasked = line, dict(harmless), unasked
        self._exchange_s = exchange_s
        self._until_s = 0.0
        self._owed: list[tuple[re.Pattern[bytes], float]] = []
        self.in_doubt = True
        self.took_s = 0.0

    def within(self, seconds: float) -> None:
        """Let all waits from here on end after so many seconds."""
        self._until_s = time.monotonic() + seconds

    def left_s(self) -> float:
        """Return the seconds that are left for waiting."""
        return max(0.0, self._until_s - time.monotonic())

    def forget(self) -> None:
        """Begin anew on a line that was just opened."""
        self.in_doubt = True
        self._owed.clear()

    def ask(self, request: bytes, shape: re.Pattern[bytes]) -> bytes:
        """Send a request and return the frame that answers it.

        Raises
        ------
        StrayBytes
            Bytes nobody asked for stood before; the request was not sent.
        DeviceGarbled, DeviceSilent
            No usable answer; whether the request was carried out is unknown.
        """
        assert not self.in_doubt, "resynchronise first"
        self.in_doubt = True  # a call that is broken off anywhere below leaves doubt behind
        stray = self._leftover()
        if stray:
            raise StrayBytes(self._line.device, stray)
        began_s = time.monotonic()
        self._owed.append((shape, began_s))
        self._line.send(request)
        frame = self._answer(request, shape)
        stray = self._leftover()
        if stray:
            raise StrayBytes(self._line.device, frame + b" | " + stray)
        self.took_s = time.monotonic() - began_s
        self._owed.clear()
        self.in_doubt = False
        return frame

    def shout(self, request: bytes, shape: re.Pattern[bytes]) -> None:
        """Send without a rest and without a look at the line; its answer is dropped when it comes."""
        self.in_doubt = True
        self._owed.append((shape, time.monotonic()))
        self._line.send_at_once(request)

    def resynchronise(self) -> tuple[bytes, bytes]:
        """Ask something harmless, drop all that comes before its answer, and return both."""
        self._line.drain()
        now_s = time.monotonic()
        self._owed = [owed for owed in self._owed if now_s - owed[1] < OWED_S]
        taken = {shape for shape, _ in self._owed}
        request, shape = next(
            (one for one in self._harmless.items() if one[1] not in taken), (b"", re.compile(b""))
        )
        if not request:
            time.sleep(min(OWED_LOOK_S, self.left_s()))
            raise DeviceSilent(self._line.device, "still owes answers to earlier questions. Ask it again.")
        self._owed.append((shape, now_s))
        self._line.send(request)
        frame = self._answer(request, shape, among_others=True)
        stray = self._leftover()
        if stray:
            raise StrayBytes(self._line.device, frame + b" | " + stray)
        self._owed.clear()
        self.in_doubt = False
        return request, frame

    def _answer(self, request: bytes, shape: re.Pattern[bytes], *, among_others: bool = False) -> bytes:
        deadline_s = min(time.monotonic() + self._exchange_s, self._until_s)
        while True:
            try:
                frame = self._line.receive(timeout_s=max(0.0, deadline_s - time.monotonic()))
            except DeviceGarbled:
                if not among_others or time.monotonic() >= deadline_s:
                    raise
                continue
            if _is_echo(frame, request) or self._unasked(frame):
                continue
            if shape.fullmatch(frame):
                return frame
            if not among_others:
                words = "an answer that fits no question asked. Check the cable."
                raise DeviceGarbled(self._line.device, words, repr(frame))

    def _leftover(self) -> bytes:
        """Return the bytes that nobody asked for; what the device sends by itself is no such thing."""
        rest = self._line.drain().strip(b"\r\n")
        frames = [frame for frame in re.split(rb"[\r\n]+", rest) if frame]
        return b"" if all([self._unasked(frame) for frame in frames]) else rest


def _is_echo(frame: bytes, request: bytes) -> bool:
    return frame.strip(b"\x02\r\n") == request.strip(b"\x02\r\n")
