"""`cellwright demo --headless` as others call it: its last line, its streams and its exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from story_ward import call


@dataclass(frozen=True, slots=True)
class Headless:
    """One run of the command."""

    status: int
    stdout: list[str]
    stderr: list[str]
    out: Path

    @property
    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.stdout[-1])
        return result


def player(*arguments: str) -> Callable[[Path], Headless]:
    """A story that runs the demonstration with these arguments."""

    def play(out: Path) -> Headless:
        done = call("demo", "--headless", "--out", str(out), *arguments)
        return Headless(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), out)

    return play
