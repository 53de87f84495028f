"""Questions to one unit on an Alicat line, whose answers may be late, lost, damaged or streamed."""

from __future__ import annotations

import re
import time

from drivers.faults import DeviceGarbled, DeviceSilent, LineLost, WrongDevice
from drivers.framing import BrokenFrame, ascii_text
from drivers.line import SerialLine

NAME = "Gas controller"
BITS_A_CHARACTER, SILENCE_CHARACTERS = 10, 3.5

_OLD_SETPOINT = re.compile(r"[A-Z*@] *\d")  # the integer set-point of old firmware
_QUESTION_MARK = re.compile(r"(?:[A-Z] +)?\? *")


class AlicatLine:
    """Asks one unit, one question at a time, and lets no late answer pass for the next one.

    After a time-out or a damaged answer the line is `in_doubt`. The doubt ends with the answer to `VE`, which
    no data frame can be taken for; for a unit that knows no `VE`, with a while of silence.
    """

    ANSWER_S = 0.3
    LINES_FOLLOW_S = 0.25
    TABLE_S = 5.0
    QUIET_S = 0.2
    STOP_ANSWER_S = 0.12
    STREAM_S = 0.12

    def __init__(self, line: SerialLine, letter: str) -> None:
        self._line, self._letter = line, letter
        self._silence_s = SILENCE_CHARACTERS * BITS_A_CHARACTER / line.settings.baud_rate
        self._until_s = float("inf")
        self.in_doubt = True
        self.version = ""

    def start_anew(self) -> None:
        """Begin with a line that was just opened."""
        self.in_doubt, self.version = True, ""
        self.without_end()

    def within(self, seconds: float) -> float:
        """Let all waits from here on end after so many seconds; return that moment."""
        self._until_s = time.monotonic() + seconds
        return self._until_s

    def without_end(self) -> None:
        """Let each wait have its own time again."""
        self._until_s = float("inf")

    def request(self, command: str) -> bytes:
        """Return a command as it goes out.

        Letter and digits with nothing between them set the old integer set-point: never that shape.
        """
        text = f"{self._letter}{command}"
        assert not _OLD_SETPOINT.match(text), "a letter with digits is the integer set-point of old firmware"
        return text.encode("ascii") + b"\r"

    def ask(self, command: str) -> str:
        """Send one request and return the line that answers it."""
        if self.in_doubt:
            self._resynchronise()
        self.in_doubt = True
        self._line.drain()
        request = self.request(command)
        self._line.send(request)
        text = self._received(request, self._until(self.ANSWER_S))
        self.in_doubt = False
        return text

    def lines_of(self, command: str) -> list[str]:
        """Ask for a table and return its lines; empty where this unit has no such table."""
        if self.in_doubt:
            self._resynchronise()
        self.in_doubt = True
        self._line.drain()
        request = self.request(command)
        self._line.send(request)
        lines: list[str] = []
        began_s, wait_s = time.monotonic(), self.ANSWER_S
        try:
            while time.monotonic() - began_s < self.TABLE_S:
                lines.append(self._received(request, time.monotonic() + wait_s))
                wait_s = self.LINES_FOLLOW_S
        except LineLost:
            raise
        except DeviceSilent:
            # The end of a table is told by nothing else. One line alone is no table, but a refusal.
            self.in_doubt = not lines
            return lines if len(lines) > 1 else []
        raise DeviceGarbled(NAME, f"goes on answering {command} without an end. Check the line.")

    def let_answer(self) -> None:
        """Wait for the line that answers; a command that begins before its end is lost to the device."""
        try:
            self._line.receive(timeout_s=self.STOP_ANSWER_S)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return
        finally:
            self._line.rest(self._silence_s)

    def first_answer(self, deadline: float) -> str:
        """Poll until two lines of this unit look like frames of one shape."""
        heard, shape = "", ("", "")
        while True:
            try:
                text = self.ask("")
                heard = text
                fresh = shape_of(text)
                if text[:2] == f"{self._letter} " and fresh == shape and fresh[0]:
                    return text
                shape = fresh
            except LineLost:
                raise
            except (DeviceSilent, DeviceGarbled) as fault:
                if isinstance(fault, DeviceGarbled):
                    heard = fault.reply or "?"
                if time.monotonic() >= deadline and not heard:
                    raise
            if time.monotonic() >= deadline and heard:
                words = (
                    f"what answers is no Alicat flow device of unit {self._letter}. Check port and letter."
                )
                raise WrongDevice(NAME, words, heard)

    def learnt_version(self) -> str:
        """Return the answer to `VE` where it is one that no data frame can be taken for."""
        try:
            first = self.ask("VE")
            if first == self.ask("VE") and not shape_of(first)[0] and not _QUESTION_MARK.fullmatch(first):
                return first
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            pass
        return ""

    def end_stream(self) -> None:
        """End a stream that somebody began: its lines come unasked and answer nothing."""
        self._line.drain()
        try:
            line = self._line.receive(timeout_s=self.STREAM_S)
        except LineLost:
            raise
        except (DeviceSilent, DeviceGarbled):
            return
        if line[:1] in (b"@", b"+", b"-"):
            self._line.send(f"@@ {self._letter}".encode("ascii") + b"\r")
            time.sleep(self.STREAM_S)
            self._line.drain()

    def _received(self, request: bytes, deadline: float) -> str:
        """Return the next line that is not the request's own echo."""
        while True:
            line = self._line.receive(timeout_s=max(0.0, deadline - time.monotonic()))
            self._line.rest(self._silence_s)
            if line.strip() and line != request[:-1]:
                return self._printable(line)

    def _resynchronise(self) -> None:
        """Wait out answers that are still on their way: by a question no frame answers, else by silence."""
        stray = self._line.drain()
        if b"@ " in stray:
            self.end_stream()
        if self.version:
            request = self.request("VE")
            self._line.send(request)
            deadline = self._until(self.ANSWER_S)
            while self._received(request, deadline) != self.version:
                continue
        else:
            quiet_at = self._until(self.QUIET_S)
            while time.monotonic() < quiet_at:
                time.sleep(0.01)
        self._line.drain()
        self.in_doubt = False

    def _until(self, timeout_s: float) -> float:
        return min(time.monotonic() + timeout_s, self._until_s)

    def _printable(self, line: bytes) -> str:
        try:
            return ascii_text(line)
        except BrokenFrame as error:
            raise DeviceGarbled(NAME, "a damaged reply. Check the cable.", repr(line)) from error


def shape_of(text: str) -> tuple[str, str]:
    """Return a frame's letter and what kinds of words follow, empty where it is none."""
    tokens = text.split()
    kinds = "".join("n" if re.fullmatch(r"[+-]?\d+(?:\.\d+)?|--", token) else "w" for token in tokens[1:])
    if not kinds.startswith("n") or len(tokens[0]) != 1:
        return "", ""
    return tokens[0], kinds[: kinds.find("w") + 1] if "w" in kinds else kinds
