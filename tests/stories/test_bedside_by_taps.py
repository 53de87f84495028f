"""One whole batch at a real terminal: a finger, the words on the screen, and no key typed.

`cellwright demo` runs in a terminal of 100 by 30 cells. What a finger does there arrives as the bytes of a
touch; what the person knows is read off the screen, as characters. In the middle the screen is killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.demo.processes import cellwright
from appliance.demo.site import OPERATOR, ORDER, VERIFIER, DemoPerson, Site
from appliance.link.client import look
from appliance.link.messages import Snapshot
from tui.screens.run import SETTLE_S

SPEED = "20"
PATIENCE_S = 90.0
TRY_AGAIN_S = 3.0

pytestmark = [
    pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is the terminal of this story"),
    pytest.mark.timeout(420),
]


class Bedside:
    """One pane of 100 by 30 cells, and a finger."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux.sock"

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def open(self, command: list[str], environment: dict[str, str]) -> None:
        given = [f"{name}={value}" for name, value in environment.items()]
        self.tmux("new-session", "-d", "-x", "100", "-y", "30", "env", *given, *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def close(self) -> None:
        self.tmux("kill-server")

    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def shows(self, *words: str) -> bool:
        """Whether all of these words stand on the screen, be they wrapped."""
        text = self.text()
        card = " ".join(" ".join(line[:44].split()) for line in text.splitlines())
        return all(word in text or word in " ".join(card.split()) for word in words)

    def see(self, *words: str, within_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + within_s
        while not self.shows(*words):
            assert time.monotonic() < deadline, f"never saw {words}:\n{self.text()}"
            time.sleep(0.05)

    def touch(self, column: int, row: int) -> None:
        for end in "Mm":
            report = f"\x1b[<0;{column + 1};{row + 1}{end}".encode()
            self.tmux("send-keys", "-H", *(f"{byte:02x}" for byte in report))

    def tap(self, words: str) -> None:
        """Finger down and up on these words; of several places the lowest is the button."""
        self.see(words)
        lines = self.text().splitlines()
        row = max((place for place, line in enumerate(lines) if words in line), default=None)
        assert row is not None, f"'{words}' went away:\n{self.text()}"
        self.touch(lines[row].index(words) + len(words) // 2, row)

    def key_in(self, characters: str, *, secret: str = "") -> None:
        """Tap keys where they stand; with `secret`, look after each that one more dot is there."""
        for number, character in enumerate(characters, 1):
            self.touch(*self._key(character))
            if secret:
                self.see(secret.join("●" * number))

    def _key(self, character: str) -> tuple[int, int]:
        spot = re.compile(rf"(?<!\S){re.escape(character)}(?!\S)")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for row, line in enumerate(self.text().splitlines()):
                # A key stands alone among keys; a figure in a sentence has neighbours.
                if row > 4 and (found := spot.search(line)) and not re.search(r"\w \w", line[:45]):
                    return found.start(), row
            assert time.monotonic() < deadline, f"there is no key {character}:\n{self.text()}"
            time.sleep(0.05)
