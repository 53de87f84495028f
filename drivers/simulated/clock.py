"""A clock for worlds that a test moves by hand."""

from __future__ import annotations


class HandMovedClock:
    """Seconds that pass only when a story says so."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        """Let time pass; it never runs backwards."""
        assert seconds >= 0, seconds
        self.seconds += seconds
