"""One picture of a source of labels, whatever the source is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from vision.labels.locate import Gray


def never() -> bool:
    """Nobody ends it before its time."""
    return False


class SourceGone(Exception):
    """The source is not there: unplugged, renamed, or never set up. The end of a video is not this."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source; `path` is empty when it has no file of its own."""

    gray: Gray
    path: str
    name: str


class FrameSource(Protocol):
    """Gives frames, oldest first, until it has no more or the deadline (monotonic seconds) has passed.

    While it waits for one it asks `ended` now and then, and gives no more once that is so.
    """

    def frames(self, deadline: float, ended: Callable[[], bool] = ...) -> Iterator[Frame]: ...

    def trouble(self) -> str:
        """Name why no frame came, as a reason key; asked only when none did."""
