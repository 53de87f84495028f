"""Twins on pseudo-terminals, served by a thread, for tests that drive real device hosts."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from drivers.simulated.julabo import JulaboTwin
from drivers.simulated.mt_sics import MtSicsTwin
from drivers.simulated.new_era_ne1000 import NewEraTwin
from drivers.simulated.pty_device import PtyDevice, serve
from drivers.simulated.world import World


class ServedTwins:
    """A balance, a pump with a full syringe and a thawer, answering at `folder/balance`, `pump`, `thawer`."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.world.load_syringe(50.0)
        self.pump = NewEraTwin(self.world)
        self.balance = MtSicsTwin(self.world)
        self.thawer = JulaboTwin(self.world)
        self.lines = {
            "pump": PtyDevice(self.pump, folder / "pump"),
            "balance": PtyDevice(self.balance, folder / "balance"),
            "thawer": PtyDevice(self.thawer, folder / "thawer"),
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=serve, args=(list(self.lines.values()), lambda: (), self._stop.is_set), name="twins"
        )

    def __enter__(self) -> ServedTwins:
        self._thread.start()
        while not all(line.link.exists() for line in self.lines.values()):
            pass
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)

    @property
    def pump_moves(self) -> bool:
        return self.world.motion.moving
