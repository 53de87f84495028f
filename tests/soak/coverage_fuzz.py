"""Fuzzing that is led by coverage: an input that reaches lines in a new order is kept and changed further.

A tracer notes each step from one line to the next in the files that are watched; what one input reaches
is compared with all that was reached before. Everything is drawn by seed.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

Target = Callable[[bytes], object]
INPUT_BYTES_MAX = 512
CORPUS_MAX = 4000
STEPS_MAX = 400_000  # lines of one input; more is a loop without an end


class Endless(AssertionError):
    """One input took more lines than any honest one: a hang."""


class Tracer:
    """Notes the steps between lines of the watched files while an input is played."""

    def __init__(self, watched: Callable[[str], bool]) -> None:
        self._watched = watched
        self._known: dict[CodeType, bool] = {}
        self.steps: set[int] = set()
        self._count = 0
        self._line = 0

    def play(self, target: Target, data: bytes) -> set[int]:
        """Return the steps of one input; what the target raises comes through."""
        self.steps, self._count, self._line = set(), 0, 0
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            target(data)
        finally:
            sys.settrace(before)
        return self.steps

    def _called(self, frame: FrameType, event: str, _argument: Any) -> Any:
        code = frame.f_code
        if code not in self._known:
            self._known[code] = self._watched(code.co_filename)
        return self._stepped if self._known[code] else None

    def _stepped(self, frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            here = hash((frame.f_code, frame.f_lineno))
            self.steps.add(self._line ^ (here << 1))
            self._line = here
            self._count += 1
            if self._count > STEPS_MAX:
                raise Endless(f"more than {STEPS_MAX} lines for one input")
        return self._stepped


@dataclass
class Found:
    """An input that the target did not take as it should, and what came of it."""

    data: bytes
    error: str


@dataclass
class Fuzzer:
    """One target with its corpus.

    Parameters
    ----------
    target
        Takes any bytes; whatever it raises is a defect.
    watched
        Which files lead the search, by name.
    led
        Without it new steps count for nothing: the control that shows what the lead is worth.
    tokens
        What inputs are made of; without them, what the devices' protocols are made of.
    """

    target: Target
    watched: Callable[[str], bool]
    seed: int = 0
    led: bool = True
    corpus: list[bytes] = field(default_factory=lambda: [b""])
    tokens: tuple[bytes, ...] = ()
    inputs: int = 0
    found: list[Found] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._tracer = Tracer(self.watched)
        self._reached: set[int] = set()

    @property
    def steps(self) -> int:
        """How many different steps were reached."""
        return len(self._reached)

    def load(self, kept: Iterable[bytes]) -> None:
        """Take up what earlier runs kept."""
        for data in kept:
            self.try_one(data)

    def run(self, inputs: int, *, until_found: bool = False) -> None:
        """Try so many inputs."""
        for _ in range(inputs):
            # What was reached last leads on: half of the tries begin there.
            newest = self._chance.random() < 0.5
            self.try_one(self._changed(self._chance.choice(self.corpus[-8:] if newest else self.corpus)))
            if until_found and self.found:
                return

    def try_one(self, data: bytes) -> None:
        """Try one input; keep it when it reached something new."""
        self.inputs += 1
        try:
            steps = self._tracer.play(self.target, data)
        except Exception as error:
            # Whatever comes out of the target is what is looked for.
            steps = self._tracer.steps
            if steps - self._reached:
                self.found.append(Found(data, f"{type(error).__name__}: {error}"))
        if steps - self._reached:
            self._reached |= steps
            if self.led and len(self.corpus) < CORPUS_MAX:
                self.corpus.append(data)

    def _changed(self, data: bytes) -> bytes:
        changed = bytearray(data)
        for _ in range(self._chance.choice((1, 1, 2, 4, 8))):
            self._change(changed)
        return bytes(changed[:INPUT_BYTES_MAX])

    def _change(self, data: bytearray) -> None:
        chance = self._chance
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if data:
                data[at % len(data)] ^= 1 << chance.randrange(8)
            case 1 if data:
                data[at % len(data)] = chance.randrange(256)
            case 2 if data:
                del data[at : at + chance.randint(1, 4)]
            case 3:
                data[at:at] = chance.randbytes(chance.randint(1, 6))
            case 4:
                data[at:at] = chance.choice(self.tokens or TOKENS)
            case 5:
                data[at:at] = chance.choice(self.corpus)[: chance.randint(1, 32)]
            case _:
                data += bytes((chance.randrange(256),))


# What the protocols here are made of; a search that had to find them byte by byte would take days.
TOKENS = (
    b"\r\n", b"\r", b"\n", b"\x02", b"\x03", b"\x05", b"\x06", b"\x15", b"\x01\x03", b"\x01\x83\x02",
    b"S S ", b"S D ", b"  12.00 g", b"I4 A", b"T S ", b"ES", b"00S", b"A?R", b"I1.000W0.000ML", b"P01",
    b"-08 ", b"03 REMOTE START", b"37.00", b"A +000.00", b"N     +", b"*", b"#", b"+", b"-", b"e-3", b".",
    b"P?0", b"nan", b"\xff\xff",
)  # fmt: skip


def in_drivers(filename: str) -> bool:
    """Whether a file is a driver's, which leads the search, and no twin's."""
    return "/drivers/" in filename and "/simulated/" not in filename and "/tests/" not in filename


def load_corpus(folder: Path) -> list[bytes]:
    """Return the inputs that earlier runs kept, in a fixed order."""
    return [path.read_bytes() for path in sorted(folder.glob("*.bin"))] if folder.is_dir() else []


def keep_corpus(folder: Path, corpus: Iterable[bytes]) -> None:
    """Keep inputs under their own hash: many runs may add to one folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in corpus:
        path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
        if not path.exists():
            path.write_bytes(data)
