"""Writes that wear out a device's memory, counted so that they never come as a surprise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Wear:
    """How often one memory of a device was written since the driver was made, and how often it may be."""

    name: str
    writes: int
    limit: int


class WearCounter:
    """Counts the writes of one driver. `limits` names each memory with the writes its maker allows."""

    def __init__(self, limits: dict[str, int]) -> None:
        self._limits = dict(limits)
        self._writes: Counter[str] = Counter()

    def note(self, name: str) -> None:
        """Count one write, before it is sent: a lost answer wears the memory all the same."""
        assert name in self._limits, name
        self._writes[name] += 1

    def so_far(self) -> tuple[Wear, ...]:
        """Return the count of every memory, unwritten ones too."""
        return tuple(
            Wear(name=name, writes=self._writes[name], limit=limit) for name, limit in self._limits.items()
        )
