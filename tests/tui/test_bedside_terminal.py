"""The real thing: `cellwright bedside` in a real terminal, tapped with the bytes that a touch makes."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_engine import PIN, ScriptedEngine
from walked_bedside import Bedside

from tui.app import BedsideApp
from tui.screens.run import SETTLE_S

WAIT_S = 15.0
SCRIPT = Path(__file__).with_name("scripted_engine.py")
BEDSIDE = "from tui.__main__ import bedside; import sys; sys.exit(bedside(sys.argv[1:]))"

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is the terminal of these tests")


class Terminal:
    """One tmux pane of 100 by 30 cells."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "tmux.sock"
        self.home = folder

    def tmux(self, *arguments: str) -> str:
        return subprocess.run(
            ["tmux", "-S", str(self._socket), *arguments], check=True, capture_output=True, text=True
        ).stdout

    def open(self, command: list[str]) -> None:
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "30", *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def again(self, command: list[str]) -> None:
        # A reset wipes what the last program left, so that old words are not taken for new ones.
        self.tmux("send-keys", "-R")
        self.tmux("respawn-pane", "-k", *command)

    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    def pid(self) -> int:
        return int(self.tmux("display-message", "-p", "#{pane_pid}"))

    def see(self, words: str) -> str:
        deadline = time.monotonic() + WAIT_S
        while words not in (text := self.text()):
            assert time.monotonic() < deadline, f"never saw '{words}':\n{text}"
            time.sleep(0.05)
        return text

    def tap(self, words: str) -> None:
        """Finger down and up on these words, as SGR mouse reports."""
        lines = self.see(words).splitlines()
        row = max(place for place, line in enumerate(lines) if words in line)
        self.touch(lines[row].index(words) + len(words) // 2, row)

    def touch(self, column: int, row: int) -> None:
        for end in "Mm":
            report = f"\x1b[<0;{column + 1};{row + 1}{end}"
            self.tmux("send-keys", "-H", *(f"{byte:02x}" for byte in report.encode()))

    def key_in(self, digits: str) -> None:
        """Tap digits where the keypad shows them."""
        for digit in digits:
            self.touch(*self._key(digit))

    def _key(self, digit: str) -> tuple[int, int]:
        """Column and row of a key; the keypad begins at column 46, below the strip."""
        spot = re.compile(rf"(?<!\S){digit}(?!\S)")
        deadline = time.monotonic() + WAIT_S
        while True:
            for row, line in enumerate(self.see(" Clear ").splitlines()):
                if row > 2 and (found := spot.search(line, 46)) is not None:
                    return found.start(), row
            assert time.monotonic() < deadline, f"never saw the key {digit}:\n{self.text()}"

    def command(self) -> list[str]:
        return [sys.executable, "-c", BEDSIDE, "--home", str(self.home), "--station", "ward-7"]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "run").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path / "run" / "engine.sock"), str(tmp_path / "asked")]
    )
    until(lambda: (tmp_path / "run" / "engine.sock").exists(), "the engine's socket")
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def terminal(tmp_path: Path, engine: subprocess.Popen[bytes]) -> Iterator[Terminal]:
    shown = Terminal(tmp_path)
    shown.open(shown.command())
    yield shown
    shown.tmux("kill-server")


def until(claim: Callable[[], object], words: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not claim():
        assert time.monotonic() < deadline, f"never came true: {words}"
        time.sleep(0.05)


def sign_in(terminal: Terminal) -> None:
    terminal.see("Nobody is signed in.")
    terminal.tap("Sign in")
    terminal.tap("Amara Okafor")
    terminal.key_in(PIN)
    terminal.see("● ● ● ● ● ●")
    terminal.tap("Sign in")
    terminal.see("Remove everything of any earlier")


def test_signing_in_and_confirming_works_by_taps_and_a_killed_screen_returns_to_its_prompt(terminal):
    sign_in(terminal)

    killed = terminal.pid()
    os.kill(killed, signal.SIGKILL)
    terminal.again(terminal.command())
    assert terminal.pid() != killed
    terminal.see("Remove everything of any earlier")
    time.sleep(SETTLE_S + 0.5)
    terminal.tap("The line is clear")
    terminal.see("Nothing to do")

    asked = terminal.home / "asked"
    until(lambda: asked.read_text().split() == ["sign_in", "answer"], "both commands, and no other")


def test_sigterm_ends_with_status_0_and_gives_the_terminal_back(terminal):
    # A shell stays behind in the same terminal and tells the status.
    terminal.again(["sh", "-c", f"{shlex.join(terminal.command())}; echo status $?; sleep 600"])
    terminal.see("Nobody is signed in.")
    assert terminal.tmux("display-message", "-p", "#{alternate_on} #{mouse_any_flag}").strip() == "1 1"
    children = Path(f"/proc/{terminal.pid()}/task/{terminal.pid()}/children").read_text().split()

    os.kill(int(children[0]), signal.SIGTERM)

    terminal.see("status 0")
    assert terminal.tmux("display-message", "-p", "#{alternate_on} #{mouse_any_flag}").strip() == "0 0"


def test_logs_go_to_a_file_and_never_to_the_screen(terminal):
    terminal.see("Nobody is signed in.")
    engine_socket = terminal.home / "run" / "engine.sock"
    assert engine_socket.exists()

    log = terminal.home / "run" / "bedside-ward-7.log"
    until(log.exists, "the log file")
    assert "engine away" not in terminal.text()


def test_without_a_terminal_it_says_what_to_do_and_ends_with_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BEDSIDE, "--home", str(tmp_path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "needs a real terminal" in done.stderr


def test_a_frozen_engine_with_an_open_socket_counts_as_away(tmp_path, engine, monkeypatch):
    monkeypatch.setattr("tui.engine_link.SILENCE_S", 0.3)
    monkeypatch.setattr("tui.engine_link.PROBE_TIMEOUT_S", 0.5)
    path = tmp_path / "run" / "engine.sock"

    async def story() -> None:
        app = BedsideApp(path, station="test")
        async with app.run_test(size=(100, 30)) as pilot:
            bedside = Bedside(app, pilot, ScriptedEngine(path))
            await bedside.see("Nobody is signed in.")

            engine.send_signal(signal.SIGSTOP)
            await bedside.see("The engine is away", "has been silent")
            engine.send_signal(signal.SIGCONT)

            await bedside.see("Nobody is signed in.")

    asyncio.run(story())
