"""What to send next, and when to try again: pure state, no I/O, no clock, no randomness of its own.

gxp goes first, telemetry next, files last: a slow line must never keep an event from QA.
One segment of a log is in flight at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

LOGS = ("gxp", "telemetry")
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class SendSegment:
    """Send the signed run that holds record `first_seq` of `log`."""

    log: str
    first_seq: int


@dataclass(frozen=True, slots=True)
class SendBlob:
    """Send a file that an event named."""

    sha256: str


Action = SendSegment | SendBlob


@dataclass(slots=True)
class Outbox:
    """The agent's view of what central holds; can be made again from central's heads and the record."""

    sent: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOGS, 0))
    blocked: dict[str, str] = field(default_factory=dict)  # log → why nothing more of it is sent
    blobs: deque[str] = field(default_factory=deque)
    blobs_seen_seq: int = 0  # files named up to this gxp record were queued

    def next(self, signed: Mapping[str, int]) -> Action | None:
        """The most urgent thing to send; `signed` names the last record under a signature, by log."""
        for log in LOGS:
            if log not in self.blocked and signed.get(log, 0) > self.sent[log]:
                return SendSegment(log, self.sent[log] + 1)
        # A file has a place at central only after the event that names it.
        return SendBlob(self.blobs[0]) if self.blobs else None

    def start_from(self, log: str, *, acked: int, held: int) -> None:
        """Go on after what both sides agree on.

        `acked` is what the unit has an acknowledgement for, `held` what central says now. A
        central that went back is sent everything again; one that is ahead is asked to say so again.
        """
        self.sent[log] = min(acked, held)

    def acknowledged(self, log: str, seq: int) -> bool:
        """Take in an acknowledgement; false when it brings nothing new, so that nobody loops on it."""
        progress = seq > self.sent[log]
        self.sent[log] = seq
        return progress

    def gap(self, log: str, wanted_seq: int) -> bool:
        """Central wants earlier records; false when it asks for what it was just sent."""
        moved = 1 <= wanted_seq <= self.sent[log]
        self.sent[log] = max(0, wanted_seq - 1)
        return moved

    def block(self, log: str, words: str) -> None:
        """Send nothing more of this log until the agent is started again."""
        self.blocked[log] = words

    def name_blobs(self, names: Iterable[str], *, up_to_seq: int) -> None:
        """Queue files named by events that central holds now."""
        for name in names:
            if name not in self.blobs:
                self.blobs.append(name)
        self.blobs_seen_seq = max(self.blobs_seen_seq, up_to_seq)

    def blob_done(self, sha256: str) -> None:
        """A file is at central, or cannot be sent at all."""
        if self.blobs and self.blobs[0] == sha256:
            self.blobs.popleft()

    def blobs_done_seq(self) -> int:
        """Up to here no file waits: where to look for files after a restart."""
        return 0 if self.blobs else self.blobs_seen_seq


@dataclass(slots=True)
class Backoff:
    """How long to wait after a failure: doubling, with full jitter, so that units do not come as one."""

    random: Callable[[], float]  # uniform in [0, 1)
    first_s: float = BACKOFF_FIRST_S
    max_s: float = BACKOFF_MAX_S
    failures: int = 0

    def failed(self) -> float:
        """Seconds to wait before the next try."""
        ceiling = min(self.max_s, self.first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return self.random() * ceiling

    def succeeded(self) -> None:
        self.failures = 0
