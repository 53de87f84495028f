"""One whole batch at a real terminal: a finger, the words on the screen, and no key typed.

`cellwright demo` runs in a terminal of 100 by 30 cells. What a finger does there arrives as the bytes of a
touch; what the person knows is read off the screen, as characters. In the middle the screen is killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
    pytest.mark.soak,  # four minutes of real taps
    pytest.mark.timeout(420),
]


class Bedside:
    """One pane of 100 by 30 cells, and a finger."""

    def __init__(self, folder: Path, pane: str = "%0") -> None:
        self._folder, self._pane = folder, pane

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._folder / "tmux.sock"), "-f", "/dev/null", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def open(self, command: list[str], environment: dict[str, str]) -> None:
        given = [f"{name}={value}" for name, value in environment.items()]
        self.tmux("new-session", "-d", "-x", "100", "-y", "30", "env", *given, *command)
        self.tmux("set-option", "-g", "remain-on-exit", "on")

    def close(self) -> None:
        # With its last window closed the server has ended by itself.
        with contextlib.suppress(subprocess.CalledProcessError):
            self.tmux("kill-server")

    def text(self) -> str:
        return self.tmux("capture-pane", "-p", "-t", self._pane)

    def card(self) -> str:
        """The instruction alone, without what the devices say beside it."""
        return " ".join(" ".join(line[:44].split()) for line in self.text().splitlines()[2:-2]).strip()

    def beside(self, command: list[str]) -> Bedside:
        """Another screen in a window of its own."""
        return Bedside(
            self._folder, self.tmux("new-window", "-d", "-P", "-F", "#{pane_id}", *command).strip()
        )

    def again(self, command: list[str]) -> None:
        self.tmux("send-keys", "-R", "-t", self._pane)
        self.tmux("respawn-pane", "-k", "-t", self._pane, *command)

    def until_dead(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.tmux("display-message", "-p", "-t", self._pane, "#{pane_dead}").strip() != "1":
            assert time.monotonic() < deadline, "the screen lives on"
            time.sleep(0.05)

    def pid(self) -> int:
        return int(self.tmux("display-message", "-p", "-t", self._pane, "#{pane_pid}"))

    def shows(self, *words: str) -> bool:
        """Whether all of these words stand on the screen, be they wrapped."""
        text = self.text()
        card = " ".join(" ".join(line[:44].split()) for line in text.splitlines() if line[:44].strip())
        return all(word in text or word in card for word in words)

    def see(self, *words: str, within_s: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + within_s
        while not self.shows(*words):
            assert time.monotonic() < deadline, f"never saw {words}:\n{self.text()}"
            time.sleep(0.05)

    def touch(self, column: int, row: int) -> None:
        for end in "Mm":
            report = f"\x1b[<0;{column + 1};{row + 1}{end}".encode()
            self.tmux("send-keys", "-t", self._pane, "-H", *(f"{byte:02x}" for byte in report))

    def tap(self, words: str) -> None:
        """Finger down and up on these words, if they are there; the lowest place is the button.

        A button may break its words into two lines: then its first line is as good a place.
        """
        lines = self.text().splitlines()
        said = words.split()
        for first_words in (" ".join(said[:count]) for count in range(len(said), 0, -1)):
            row = max((place for place, line in enumerate(lines) if first_words in line), default=None)
            if row is not None:
                self.touch(lines[row].index(first_words) + len(first_words) // 2, row)
                return

    def key_in(self, characters: str, *, secret: str = "") -> None:
        """Tap keys where they stand; with `secret`, look after each that one more dot is there."""
        for number, character in enumerate(characters, 1):
            self.touch(*self._key(character))
            if secret:
                self.see(secret.join("●" * number))

    def _key(self, character: str) -> tuple[int, int]:
        """Column and row of a key; a keypad has words at its left, a keyboard only above."""
        spot = re.compile(rf"(?<!\S){re.escape(character)}(?!\S)")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            text = self.text()
            left, top = (0, 8) if "␣" in text else (46, 3)
            for row, line in enumerate(text.splitlines()):
                if row >= top and (found := spot.search(line, left)):
                    return found.start(), row
            assert time.monotonic() < deadline, f"there is no key {character}:\n{text}"
            time.sleep(0.05)

    # ── What a person does ─────────────────────────────────────────────────────────────

    def do(self, button: str, *card: str) -> None:
        """Tap the button of an instruction, once it has stood for as long as it needs to open."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.shows(button, *card):
            assert time.monotonic() < deadline, f"never asked for {button}, {card}:\n{self.text()}"
            if self.shows("Next of"):
                self.tap("Next of")
                time.sleep(0.5)
            time.sleep(0.1)
        time.sleep(SETTLE_S + 0.4)
        self.press(button, *card)

    def press(self, button: str, *card: str) -> None:
        """Tap until the screen answers, as somebody does whose finger was not felt."""
        self.see(button, *card)
        deadline = time.monotonic() + PATIENCE_S
        while self.shows(button, *card):
            assert time.monotonic() < deadline, f"'{button}' does nothing:\n{self.text()}"
            self.tap(button)
            tapped_s = time.monotonic()
            while self.shows(button, *card) and time.monotonic() - tapped_s < TRY_AGAIN_S:
                time.sleep(0.05)

    def give_pin(self, person: DemoPerson, button: str) -> None:
        self.see(f"PIN of {person.name}")
        self.key_in(person.pin, secret=" ")
        self.press(button, f"PIN of {person.name}")

    def second_person(self, person: DemoPerson, *card: str) -> None:
        """Hand over to somebody else, who looks for themselves."""
        self.do("I have checked", *card)
        self.press(person.name, "Who is the second person?")
        if "Receive the bag" in card:
            self.press("I have checked", "Touch the picture")
        self.give_pin(person, "Confirm as")

    def sign(self, person: DemoPerson, what: str, *, first: bool = False) -> None:
        """Read what is signed; then the id, where it is the first signature, and the password, by letters."""
        self.see("You sign", what, person.name)
        self.press("password…", "You sign")
        if first:
            self.see(f"Id or badge of {person.name}", "␣")
            for _ in range(3):  # on a busy machine the tap before came twice, and typed a letter here
                self.tap("⌫")
            self.key_in(person.id[0])
            self.tap(" 123 ")
            self.see("#+=")
            self.key_in(person.id[1:])
            self.see(f"{person.id}▏")
            self.press("Enter", f"Id or badge of {person.name}")
        self.see(f"Password of {person.name}", "␣")
        self.tap(" 123 ")
        self.see("#+=")
        self.key_in(person.password, secret="")
        self.press("Sign", f"Password of {person.name}")

    def enter(self, label: str, digits: str, *, below_zero: bool = False) -> None:
        self.see(label, "Allowed:")
        self.key_in(digits)
        if below_zero:
            self.tap("±")
            self.see("within the range")
        self.press("Enter", label, "Allowed:")

    def type_in(self, label: str, letter: str) -> None:
        """One letter on the keyboard: the words are the person's own."""
        self.see(label, "␣")
        self.key_in(letter)
        self.press("Enter", label, "␣")


@dataclass(frozen=True, slots=True)
class Played:
    """What there was when the batch had been handed over."""

    last: Snapshot
    last_screen: str
    again: tuple[str, str]  # what stood there before the screen was killed, and after
    verified: str
    left_behind: list[str]


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    # Short: a unix socket's path may have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="taps-", dir="/tmp"))
    bedside = Bedside(folder)
    bedside.open(cellwright("demo", "--speed", SPEED, "--out", str(folder / "out")), {"TMPDIR": str(folder)})
    try:
        yield _play(bedside, folder)
    finally:
        bedside.close()
        shutil.rmtree(folder, ignore_errors=True)


def _play(bedside: Bedside, folder: Path) -> Played:
    bedside.see("Nobody is signed in.")
    site = Site(next(folder.glob("cellwright-*")))
    _sign_in_and_open(bedside)
    _receive(bedside)
    _thaw_dilute_wash(bedside)
    _sample_and_test(bedside)
    again = _killed_and_back(bedside, site)
    _fill_and_label(bedside)
    _sign_and_hand_over(bedside)
    bedside.see("handed over")
    last = look(site.home.socket)
    verified = _verified(site, folder, last)
    last_screen = bedside.text()
    bedside.tmux("kill-session")
    return Played(last, last_screen, again, verified, _left_behind(folder))


def _sign_in_and_open(bedside: Bedside) -> None:
    bedside.press("Sign in", "Nobody is signed in.")
    bedside.press(OPERATOR.name, "Who are you?")
    bedside.give_pin(OPERATOR, "Sign in")
    bedside.press("Open an order…", OPERATOR.name)
    bedside.press(ORDER, "Which order")


def _receive(bedside: Bedside) -> None:
    bedside.do("The line is clear")
    bedside.second_person(VERIFIER, "Clear the line")
    for material in ("Saline with albumin", "Wash set", "Trypan blue"):
        bedside.do("Scan", f"Expected: {material}")
    bedside.do("Take the shipper", "Leave the shipper closed")
    bedside.type_in("Courier", "c")
    bedside.type_in("Number on the seal", "s")
    bedside.press("Intact", "Seal of the shipper", "3 of 5")
    bedside.enter("Temperature on arrival", "182.5", below_zero=True)
    bedside.press("file is here", "Temperature log", "5 of 5")
    bedside.do("Choose the file", "stick of the logger")
    bedside.press("transport-log.csv", "bytes")
    bedside.do("The bag is out", "dry shipper")
    bedside.do("Scan", "Scan the bag")
    bedside.do("Bag and order agree")
    bedside.second_person(VERIFIER, "Receive the bag")


def _thaw_dilute_wash(bedside: Bedside) -> None:
    bedside.do("The bag is in the bath")
    bedside.do("The bag is out", "slush")
    bedside.do("All is connected", "diluent syringe")
    bedside.do("The programme runs")
    bedside.do("Record the result", "The washer has finished")
    bedside.enter("Recovery", "82")
    bedside.enter("Volume", "33.0")
    bedside.enter("pressure", "320")
    bedside.second_person(VERIFIER, "Wash, two cycles")
    bedside.do("The sample is taken")


def _sample_and_test(bedside: Bedside) -> None:
    bedside.do("Start counting")
    bedside.do("The tests run")
    bedside.do("Accept and sign", "Are the marks on the cells?")
    bedside.see("Touch the picture", "Replicate 3", "Repeat the count")
    bedside.press("Accept and sign", "Touch the picture")
    bedside.sign(OPERATOR, "Look at the count", first=True)
    bedside.do("Record the results", "endotoxin result")
    bedside.enter("Endotoxin", "0.05")
    bedside.press("No organisms seen", "Gram stain", "2 of 2")
    bedside.second_person(VERIFIER, "Endotoxin and Gram stain")


def _killed_and_back(bedside: Bedside, site: Site) -> tuple[str, str]:
    """Another screen of the same bedside dies in the middle of a question, and is started again."""
    command = cellwright("bedside", "--home", str(site.home.root), "--station", "bedside-1")
    other = bedside.beside(command)
    other.see("All is connected", "second syringe")
    before = other.card()
    os.kill(other.pid(), signal.SIGKILL)
    other.until_dead()
    other.again(command)
    other.see("All is connected", "second syringe")
    after = other.card()
    other.do("All is connected", "second syringe")
    os.kill(other.pid(), signal.SIGTERM)
    return before, after


def _fill_and_label(bedside: Bedside) -> None:
    bedside.second_person(VERIFIER, "Fill the dose")
    bedside.do("The label is on", "Apply label")
    bedside.do("Scan", "Scan the applied label")
    bedside.do("Record the numbers")
    bedside.enter("pplied", "1")
    bedside.enter("oid", "0")
    bedside.enter("estroyed", "0")
    bedside.second_person(VERIFIER, "Reconcile the labels")
    bedside.do("The dose is packed")


def _sign_and_hand_over(bedside: Bedside) -> None:
    bedside.do("Sign", "Sign the batch record", "More…")
    bedside.sign(OPERATOR, "Sign the batch record")
    bedside.do("Sign", "Sign the batch record", "More…")
    bedside.press(VERIFIER.name, "Who is the second person?")
    bedside.sign(VERIFIER, "Sign the batch record", first=True)
    for what in ("wristband", "dose bag", "order sheet"):
        bedside.do("Scan", "Bedside match", what)
    bedside.do("Go on to the", "transport box")
    bedside.type_in("Place", "w")
    bedside.press("Intact", "Seal of the transport box", "2 of 3")
    bedside.enter("Temperature of the dose", "21.5")
    bedside.do("Sign", "Hand-over: giver", "More…")
    bedside.sign(OPERATOR, "Hand-over: giver")
    bedside.do("Sign", "Hand-over: receiver", "More…")
    bedside.press(VERIFIER.name, "Who is the second person?")
    bedside.sign(VERIFIER, "Hand-over: receiver", first=True)


def _verified(site: Site, folder: Path, last: Snapshot) -> str:
    assert last.batch is not None
    archive = folder / "batch.zip"
    _call("export", last.batch.id, "--home", str(site.home.root), "--out", str(archive))
    return _call("verify", str(archive), "--trust", str(site.home.trust))


def _call(*arguments: str) -> str:
    done = subprocess.run(cellwright(*arguments), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _left_behind(folder: Path) -> list[str]:
    """Command lines of processes that still know the folder, some seconds after the terminal was closed."""
    deadline = time.monotonic() + 20
    while (left := _of(folder)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


def _of(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in line and "tmux" not in line:
                found.append(line)
    return found


def test_a_batch_goes_from_sign_in_to_hand_over_by_taps_alone(played):
    assert played.last.batch is not None
    assert played.last.batch.state == "handed_over"
    assert played.last.batch.disposition == "released"
    assert played.last.record.words == ""


def test_the_released_archive_verifies(played):
    assert "signed by trusted keys" in played.verified


def test_the_last_screen_says_that_the_batch_is_handed_over_and_where_to_go(played):
    assert "This batch is handed over." in played.last_screen
    assert "Home" in played.last_screen


def test_a_screen_killed_in_the_middle_comes_back_to_the_same_question(played):
    before, after = played.again

    assert "second syringe" in before
    assert after == before


def test_closing_the_terminal_leaves_no_process_behind(played):
    assert played.left_behind == []
