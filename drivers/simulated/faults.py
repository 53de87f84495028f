"""Faults of a line and of the device behind it, drawn by seed.

A fault is named, or named with a rate from 0 to 1 ("flip:0.5"). The rate is that of replies (for
`flip` and `drop` of requests too, for the faults of the device itself of requests alone) it strikes.
Each fault draws from a source of its own: the same seed and the same requests meet the same faults,
whichever others are switched on.
"""

from __future__ import annotations

import random
from collections.abc import Iterable

DEFAULT_RATES = {
    "drop": 0.2,  # one byte is lost
    "flip": 0.2,  # one bit is turned over
    "split": 0.3,  # a reply comes in two pieces
    "merge": 0.2,  # a reply is held back and runs into the next one
    "late": 0.2,  # a reply comes after a while, perhaps after the time-out
    "duplicate": 0.2,  # a reply comes twice
    "echo": 0.2,  # the request comes back before the reply
    "stuck": 1.0,  # what is measured stands still
    "drift": 1.0,  # what is measured runs away from the truth
    "silent": 0.03,  # nothing goes in or out for a while; with rate 1: for good
    "one_way": 0.02,  # from some moment on requests arrive and no reply does; with rate 1: at once
    "flood": 0.03,  # it talks without being asked for a while; with rate 1: for good
    "freeze": 0.03,  # its firmware hangs while its motor goes on; with rate 1: for good
    "unplug": 0.03,  # the line is hung up and comes back under another name
    "restart": 0.02,  # the device loses its power for a moment, and tells it as it does
    "brown_out": 0.03,  # the same without a word: what is volatile is gone
    "firmware": 0.03,  # it restarts and comes back with another firmware
}
OF_THE_DEVICE = ("unplug", "freeze", "restart", "brown_out", "firmware", "flood")
LASTING = frozenset({"silent", "one_way", "flood", "freeze"})
SILENCE_S = 1.5
LATE_S_MAX = 0.7
SPLIT_S_MAX = 0.12
DUPLICATE_S_MAX = 0.04


def parse_faults(words: Iterable[str]) -> dict[str, float]:
    """Return fault rates by name.

    Raises
    ------
    ValueError
        An unknown fault, or a rate that is none; the message lists the faults.
    """
    rates: dict[str, float] = {}
    for word in words:
        name, _, rate = word.strip().partition(":")
        if name not in DEFAULT_RATES:
            raise ValueError(f"There is no fault {name!r}. Faults: {', '.join(DEFAULT_RATES)}.")
        rates[name] = float(rate) if rate else DEFAULT_RATES[name]
        if not 0 <= rates[name] <= 1:
            raise ValueError(f"The rate of {name} must lie between 0 and 1.")
    return rates


class LineFaults:
    """What happens to the bytes of one line."""

    def __init__(self, seed: int = 0, rates: dict[str, float] | None = None) -> None:
        self._sources = {name: random.Random(f"{name} {seed}") for name in DEFAULT_RATES}
        self.rates = dict(rates or {})
        self._held = b""
        self._silent_until_s = 0.0
        self._replies_lost = False
        self.struck = 0

    def set(self, word: str) -> None:
        """Switch one fault on from now, or all off with "none".

        Those that can last (silent, one_way, flood, freeze) last for good when no rate is given.
        """
        if word == "none":
            self.rates, self._held, self._silent_until_s = {}, b"", 0.0
            self._replies_lost = False
            return
        self.rates |= parse_faults([f"{word}:1" if word in LASTING else word])

    @property
    def stuck(self) -> bool:
        """Whether what is measured stands still."""
        return self.rates.get("stuck", 0.0) > 0

    @property
    def drifting(self) -> bool:
        """Whether what is measured runs away from the truth."""
        return self.rates.get("drift", 0.0) > 0

    def for_good(self, name: str) -> bool:
        """Tell whether a fault that can last does so until it is switched off."""
        return self.rates.get(name) == 1.0

    def of_the_device(self) -> str:
        """Return what befalls the device itself at this request, or nothing."""
        struck = [name for name in OF_THE_DEVICE if self._strikes(name)]
        return struck[0] if struck else ""

    def request(self, data: bytes, now_s: float) -> bytes:
        """Return what arrives at the device of a request."""
        if self.for_good("silent"):
            return b""
        if now_s >= self._silent_until_s and self._strikes("silent"):
            self._silent_until_s = now_s + SILENCE_S
        if now_s < self._silent_until_s:
            return b""
        return self._damaged(data, share=0.3)

    def echo(self, data: bytes) -> bytes:
        """Return what of a request comes straight back."""
        return data if self._strikes("echo") else b""

    def reply(self, data: bytes) -> list[tuple[float, bytes]]:
        """Return what leaves the device of a reply: pieces, each with the delay before it in seconds."""
        if self._replies_lost or self._strikes("one_way"):
            self._replies_lost = True
            return []
        data = self._damaged(data, share=1.0)
        if self._strikes("merge"):
            self._held += data if self._sources["merge"].random() < 0.5 else data.rstrip(b"\r\n")
            return []
        data, self._held = self._held + data, b""
        delay = self._sources["late"].uniform(0.02, LATE_S_MAX) if self._strikes("late") else 0.0
        pieces = [(delay, data)]
        if len(data) > 1 and self._strikes("split"):
            split = self._sources["split"]
            cut = split.randrange(1, len(data))
            pieces = [(delay, data[:cut]), (split.uniform(0.005, SPLIT_S_MAX), data[cut:])]
        if self._strikes("duplicate"):
            pieces.append((self._sources["duplicate"].uniform(0.0, DUPLICATE_S_MAX), data))
        return pieces

    def noise(self, size: int) -> bytes:
        """Return bytes of a device that talks without being asked."""
        return self._sources["flood"].randbytes(size)

    def _damaged(self, data: bytes, share: float) -> bytes:
        damaged = bytearray(data)
        if damaged and self._strikes("drop", share):
            del damaged[self._sources["drop"].randrange(len(damaged))]
        if damaged and self._strikes("flip", share):
            flip = self._sources["flip"]
            damaged[flip.randrange(len(damaged))] ^= 1 << flip.randrange(8)
        return bytes(damaged)

    def _strikes(self, name: str, share: float = 1.0) -> bool:
        rate = self.rates.get(name, 0.0) * share
        struck = rate > 0 and self._sources[name].random() < rate
        self.struck += struck
        return struck
