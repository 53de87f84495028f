"""The worker's requests, one JSON object a line; while one is carried out, whether it is called off."""

from __future__ import annotations

import json
import os
import select
from collections import deque

REQUEST_BYTES_MAX = 1024 * 1024
WAITING_MAX = 32
_CHUNK_BYTES = 65_536
_CANCEL = "cancel"


class RequestLines:
    """Lines of a pipe; a `cancel` overtakes what waits and names the request that is under way.

    Parameters
    ----------
    pipe
        File descriptor that is read and never written.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._bytes = b""
        self._lines: deque[bytes] = deque()
        self._cancelled: deque[object] = deque(maxlen=WAITING_MAX)
        self._ended = False
        self._cut = False

    def waiting(self, seconds: float = 0.0) -> bool:
        """Whether a request, or the end of the input, has come within so many seconds."""
        if not self._lines and not self._ended:
            self._take(seconds)
        return bool(self._lines) or self._ended

    def next(self) -> bytes | None:
        """One line, or None at the end; of a line over the limit only its beginning is kept."""
        while not self._lines:
            if self._ended:
                return None
            self._take(None)
        return self._lines.popleft()

    def is_cancelled(self, number: object) -> bool:
        """Whether this request was called off since it came."""
        while len(self._lines) < WAITING_MAX and not self._ended and self._take(0.0):
            pass
        return number in self._cancelled

    def _take(self, seconds: float | None) -> bool:
        """Read what is there within `seconds`, without end for None; whether there was something."""
        if not select.select([self._pipe], [], [], seconds)[0]:
            return False
        data = os.read(self._pipe, _CHUNK_BYTES)
        if not data:
            self._ended = True
            data = b"\n" if self._bytes else b""
        *whole, rest = (self._bytes + data).split(b"\n")
        for line in whole:
            if self._cut:
                self._cut = False
            else:
                self._keep(line[:REQUEST_BYTES_MAX])
        if len(rest) >= REQUEST_BYTES_MAX and not self._cut:
            self._keep(rest[:REQUEST_BYTES_MAX])
            self._cut = True
        self._bytes = b"" if self._cut else rest
        return bool(data)

    def _keep(self, line: bytes) -> None:
        number = _cancels(line)
        if number is None:
            self._lines.append(line)
        else:
            self._cancelled.append(number)


def _cancels(line: bytes) -> object | None:
    """The request that this line calls off; None when it is a request of its own."""
    if len(line) > _CHUNK_BYTES or b"cancel" not in line:
        return None
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return asked.get("id") if isinstance(asked, dict) and asked.get("op") == _CANCEL else None
