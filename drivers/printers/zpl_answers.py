"""What a Zebra printer answers, strictly read: host status, identity, variables."""

from __future__ import annotations

import re
from dataclasses import dataclass

from drivers.framing import ETX, STX, XOFF, XON, BrokenFrame

ANSWER_BYTES_MAX = 256
STATUS_FRAMES = 3
# What a batch can be at most; a printer whose counter stands above it counts something else there.
BATCH_MAX = 9999
DOTS_PER_MM = {6: 152, 8: 203, 12: 300, 24: 600}

_ENDS = b"\r\n"
_IDENTITY = re.compile(
    r"\x02(?P<model>[^,\x02\x03]{1,48}),(?P<version>[^,]{1,24}),(?P<dots_mm>\d{1,2}),"
    r"(?P<memory>\d{1,7} ?KB)(?:,[^\x03]{0,64})?"
)
_FIRST = re.compile(
    r"\x02\d{3},(?P<paper_out>[01]),(?P<paused>[01]),\d{4,5},(?P<formats>\d{3}),(?P<full>[01]),[01],"
    r"(?P<partial>[01]),\d{3},(?P<corrupt>[01]),(?P<cold>[01]),(?P<hot>[01])"
)
_SECOND = re.compile(
    r"\x02\d{3},\d,(?P<head_open>[01]),(?P<ribbon_out>[01]),[01],[0-9A-Z],\d,(?P<taken>[01]),"
    r"(?P<remaining>\d{8}),\d,\d{3}"
)
_THIRD = re.compile(r"\x02[0-9A-Za-z]{4},[01]")
_VALUE = re.compile(r'"(?P<value>[ !#-~]{0,96})"')


@dataclass(frozen=True, slots=True)
class HostStatus:
    """What `~HS` says: the flags that stop a printer, and what it still holds."""

    paper_out: bool
    ribbon_out: bool
    head_open: bool
    paused: bool
    cold: bool
    hot: bool
    corrupt: bool
    buffer_full: bool
    partial: bool  # a format has begun to come in, and its end has not
    formats: int  # in the receive buffer
    label_waits: bool  # at the peeler, to be taken
    remaining: int  # of the batch that prints

    @property
    def state(self) -> str:
        """The state in the words of the role. What needs a hand comes before the pause that it brings."""
        if self.head_open:
            return "head_open"
        if self.paper_out:
            return "paper_out"
        if self.ribbon_out:
            return "ribbon_out"
        if self.corrupt or self.cold or self.hot:
            return "error"
        if self.paused:
            return "paused"
        return "printing" if self.busy else "ready"

    @property
    def busy(self) -> bool:
        """Whether anything is in the printer that is not out yet."""
        return bool(self.partial or self.formats or self.label_waits or self.batch)

    @property
    def batch(self) -> int:
        """The labels remaining in the batch; 0 where the field cannot be that."""
        return self.remaining if self.remaining <= BATCH_MAX else 0

    @property
    def waiting(self) -> int:
        """How many labels and formats the printer holds, as well as it can be told from here."""
        return self.batch + self.formats + int(self.partial)

    @property
    def trouble(self) -> str:
        """What an `error` is, in words."""
        told = ((self.corrupt, "its configuration is lost"), (self.cold, "its head is too cold"))
        return ", ".join(words for so, words in (*told, (self.hot, "its head is too hot")) if so)


@dataclass(frozen=True, slots=True)
class HostIdentity:
    """What `~HI` says."""

    model: str
    version: str
    dots_mm: int
    memory: str

    @property
    def dpi(self) -> int:
        """Dots an inch, as printers are sold; 0 for a resolution that none of them has."""
        return DOTS_PER_MM.get(self.dots_mm, 0)


def take_zpl_answer(buffer: bytearray) -> bytes | None:
    """Take one answer: STX and the text before ETX CR LF, or a variable's value with its quotes.

    Flow control and the line ends between answers are dropped.
    """
    if XON in buffer or XOFF in buffer:
        buffer[:] = buffer.translate(None, bytes((XON, XOFF)))
    while buffer and buffer[0] in _ENDS:
        del buffer[0]
    if not buffer:
        return None
    if buffer[0] not in (STX, ord('"')):
        _discard(buffer, "bytes outside an answer")
    end = b"\x03\r\n" if buffer[0] == STX else b'"'
    at = buffer.find(end, 1)
    if buffer[0] == STX and -1 < buffer.find(STX, 1) < (at if at >= 0 else len(buffer)):
        _discard(buffer, "an answer without an end")
    if at < 0:
        if len(buffer) > ANSWER_BYTES_MAX:
            _discard(buffer, "no end of an answer in sight")
        return None
    frame = bytes(buffer[: at + (0 if buffer[0] == STX else 1)])
    del buffer[: at + len(end)]
    if any(byte < 0x20 or byte > 0x7E for byte in frame[1:]) or ETX in frame:
        raise BrokenFrame("a byte that is not printable ASCII")
    return frame


def status_of(frames: tuple[bytes, bytes, bytes]) -> HostStatus:
    """Read the three answers to `~HS`.

    Raises
    ------
    BrokenFrame
        They are no status.
    """
    first, second = _FIRST.fullmatch(_text(frames[0])), _SECOND.fullmatch(_text(frames[1]))
    if first is None or second is None or _THIRD.fullmatch(_text(frames[2])) is None:
        raise BrokenFrame("an answer that is no status")
    return HostStatus(
        paper_out=first["paper_out"] == "1",
        ribbon_out=second["ribbon_out"] == "1",
        head_open=second["head_open"] == "1",
        paused=first["paused"] == "1",
        cold=first["cold"] == "1",
        hot=first["hot"] == "1",
        corrupt=first["corrupt"] == "1",
        buffer_full=first["full"] == "1",
        partial=first["partial"] == "1",
        formats=int(first["formats"]),
        label_waits=second["taken"] == "1",
        remaining=int(second["remaining"]),
    )


def identity_of(frame: bytes) -> HostIdentity:
    """Read the answer to `~HI`.

    Raises
    ------
    BrokenFrame
        It is no identity.
    """
    match = _IDENTITY.fullmatch(_text(frame))
    if match is None:
        raise BrokenFrame("an answer that is no identity")
    return HostIdentity(match["model"], match["version"], int(match["dots_mm"]), match["memory"])


def value_of(frame: bytes) -> str:
    """Read the answer to `getvar`; a variable that the printer does not have is empty.

    Raises
    ------
    BrokenFrame
        It is no value.
    """
    match = _VALUE.fullmatch(_text(frame))
    if match is None:
        raise BrokenFrame("an answer that is no value")
    return "" if match["value"] == "?" else match["value"]


def is_identity(frame: bytes) -> bool:
    """Tell whether an answer is that to `~HI`: no other answer looks like it."""
    return _IDENTITY.fullmatch(_text(frame)) is not None


def _text(frame: bytes) -> str:
    return frame.decode("latin-1")


def _discard(buffer: bytearray, words: str) -> None:
    """Drop everything up to the next answer that may begin, and say so."""
    starts = [at for at in (buffer.find(STX, 1), buffer.find(b'"', 1)) if at > 0]
    del buffer[: min(starts, default=len(buffer))]
    raise BrokenFrame(words)
