"""The bedside terminal in a real terminal: started, read as characters, killed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

from story_ward import until

from appliance.demo.processes import cellwright

COLUMNS, ROWS = 128, 40


class Terminal:
    """One `cellwright bedside` inside a tmux server of its own."""

    def __init__(self, folder: Path, home: Path, station: str) -> None:
        self._socket = folder / "tmux.sock"
        self._command = cellwright("bedside", "--home", str(home), "--station", station)
        self.first_screen_s: list[float] = []

    def start(self, words: str) -> str:
        """Start it and return the screen once these words are on it."""
        began = time.monotonic()
        size = ("-x", str(COLUMNS), "-y", str(ROWS))
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, f"exec {shlex.join(self._command)}")
        until(f"'{words}' on the terminal", lambda: words in self.screen())
        self.first_screen_s.append(time.monotonic() - began)
        return self.screen()

    def screen(self) -> str:
        done = self._tmux("capture-pane", "-p", check=False)
        return done.stdout

    def kill(self) -> None:
        """`kill -9` of the terminal program; its tmux window closes with it."""
        pid = int(self._tmux("display-message", "-p", "#{pane_pid}").stdout)
        os.kill(pid, signal.SIGKILL)
        until("the terminal to be gone", lambda: not self.screen().strip())

    def close(self) -> None:
        self._tmux("kill-server", check=False)

    def _tmux(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = ["tmux", "-S", str(self._socket), *arguments]
        environment = {**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        return subprocess.run(command, capture_output=True, text=True, check=check, env=environment)
