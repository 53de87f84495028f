"""A real engine process on a small unit's home folder, made to be killed, and a client beside it."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from engine_room import STATION

from appliance.config import Home
from appliance.link.client import EngineAway, LinkClient
from appliance.link.messages import Snapshot

STARTS_WITHIN_S = 20.0


class EngineProcess:
    """`cellwright engine`, started and killed as often as a test likes."""

    def __init__(self, home: Home, **environment: str) -> None:
        self.home, self._environment = home, os.environ | environment
        self._process: subprocess.Popen[bytes] | None = None
        self.log = home.run / "engine.log"

    @property
    def pid(self) -> int:
        assert self._process is not None, "no engine was started"
        return self._process.pid

    async def starts(self) -> tuple[LinkClient, Snapshot]:
        """Start it; returns a client that it has greeted, and its first snapshot."""
        command = [sys.executable, "-m", "appliance.cli", "engine", "--home", str(self.home.root)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        began_s = time.monotonic()
        while True:
            client = LinkClient(self.home.socket, client="bedside", station=STATION)
            try:
                return client, await client.connect()
            except EngineAway:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() - began_s < STARTS_WITHIN_S, self.log.read_text()
                await asyncio.sleep(0.02)

    def is_killed(self) -> None:
        """SIGKILL: nothing is said, nothing is written any more."""
        self._ends(signal.SIGKILL)

    def ends(self) -> None:
        """SIGTERM, as the service manager does it."""
        self._ends(signal.SIGTERM)

    def _ends(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(20)
            self._process = None


def write_unit_toml(home: Home, added: str) -> None:
    """Add tables to the unit's appliance file."""
    path: Path = home.unit_toml
    path.write_text(path.read_text(encoding="utf-8") + added, encoding="utf-8")
