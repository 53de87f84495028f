"""One picture of a source of labels, whatever the source is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from vision.labels.locate import Gray


class SourceGone(Exception):
    """The source is not there: unplugged, renamed, or never set up. The end of a video is not this."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source; `path` is empty when it has no file of its own."""

    gray: Gray
    path: str
    name: str


class FrameSource(Protocol):
    """Gives frames, oldest first, until it has no more or the deadline (monotonic seconds) has passed."""

    def frames(self, deadline: float) -> Iterator[Frame]: ...

    def trouble(self) -> str:
        """Name why no frame came, as a reason key; asked only when none did."""
