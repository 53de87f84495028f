"""Where a twin stands on a bench: which pan is its own, which tubes run through its head."""

from __future__ import annotations

from typing import Any

from drivers.simulated.fluids import Tubing
from drivers.simulated.world import PAN, World


class Stand:
    """The world as seen from one place: all of it, with a pan and tubes of one's own.

    Parameters
    ----------
    world : World
        The world that all twins of the bench share.
    pan : str
        What a balance here weighs; the pan is set up when it is not there yet.
    first_channel : int
        The tube of the world that is channel 1 of a pump here.
    """

    def __init__(self, world: World, *, pan: str = PAN, first_channel: int = 1) -> None:
        world.add_pan(pan)
        self.__dict__.update(_world=world, _pan=pan, _skipped=first_channel - 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_world"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._world, name, value)

    @property
    def tubing(self) -> dict[int, Tubing]:
        """The tubes from this pump's first channel on."""
        tubes = self._world.tubing.items()
        return {number - self._skipped: tube for number, tube in tubes if number > self._skipped}

    def gross_g(self) -> float:
        """Return what stands on this pan, with the noise of one look."""
        return float(self._world.gross_g(self._pan))

    def gross_g_true(self) -> float:
        """Return what stands on this pan."""
        return float(self._world.gross_g_true(self._pan))

    def pan_steady(self) -> bool:
        """Tell whether the weight on this pan is stable."""
        return bool(self._world.pan_steady(self._pan))

    def start_rollers(self, channel: int, **motion: Any) -> None:
        """Let the rollers of one channel of this pump turn."""
        self._world.start_rollers(channel + self._skipped, **motion)

    def stop_rollers(self, channel: int) -> None:
        """Bring the rollers of one channel of this pump to a stand."""
        self._world.stop_rollers(channel + self._skipped)
