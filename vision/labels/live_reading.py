"""When a live reading counts: by agreement over the last frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from vision.labels.agreement import Symbol, one_place
from vision.labels.locate import Gray
from vision.labels.one_label import TWO_LABELS, two_labels
from vision.labels.symbols import FrameRead

WINDOW_FRAMES = 5
AGREEING_FRAMES = 2


class LiveReading:
    """Agreement over the last frames: what the newest frame shows counts when another frame says the same.

    A payload is accepted when at least `AGREEING_FRAMES` of the last `WINDOW_FRAMES` different frames carry
    it and none differs. Vision does not know what a payload means, so "differs" is: another payload of the
    same symbology that stood alone in one of these frames and never beside this one. A frame that is equal to
    one before it, byte for byte, is no second look (a frozen camera).
    """

    def __init__(self) -> None:
        self._window: deque[FrameRead] = deque(maxlen=WINDOW_FRAMES)
        self._seen: deque[bytes] = deque(maxlen=WINDOW_FRAMES)

    def add(self, gray: Gray, read: FrameRead) -> FrameRead:
        """Take the newest frame in; return its reading as it counts now."""
        content = gray.tobytes()
        if content in self._seen:
            return self._judged(read)
        self._seen.append(content)
        self._window.append(read)
        return self._judged(read)

    def _judged(self, newest: FrameRead) -> FrameRead:
        symbols: list[Symbol] = []
        # Of two labels, or of one that reads in two ways, no number of frames tells which is meant.
        votes_count = not two_labels(newest.symbols)
        contradicted = "conflict" in newest.reasons
        for symbol in newest.symbols:
            differs = self._differs(symbol)
            contradicted |= differs
            votes = sum(any(_same(symbol, each) for each in frame.symbols) for frame in self._window)
            confirmed = not differs and not _clashes(symbol, newest.symbols)
            confirmed = confirmed and (symbol.confirmed or (votes_count and votes >= AGREEING_FRAMES))
            symbols.append(replace(symbol, confirmed=confirmed))
        if contradicted:
            reasons: tuple[str, ...] = ("conflict",)
        elif any(each.confirmed for each in symbols):
            reasons = () if all(each.confirmed for each in symbols) else ("not_confirmed",)
        else:
            reasons = newest.reasons
        if not contradicted and two_labels(symbols):
            reasons = (TWO_LABELS, *(each for each in reasons if each != TWO_LABELS))
        return FrameRead(tuple(symbols), reasons, newest.elapsed_ms)

    def _differs(self, symbol: Symbol) -> bool:
        beside = {symbol.data}
        for frame in self._window:
            if any(_same(symbol, each) for each in frame.symbols):
                beside |= {each.data for each in frame.symbols if not _overlapping(symbol, each, frame)}
        others = {
            each.data
            for frame in self._window
            for each in frame.symbols
            if each.symbology == symbol.symbology
        }
        return bool(others - beside)


def _same(one: Symbol, other: Symbol) -> bool:
    return one.symbology == other.symbology and one.data == other.data


def _overlapping(symbol: Symbol, other: Symbol, frame: FrameRead) -> bool:
    """In this frame the two payloads stood on one place."""
    return any(
        each.data != other.data and one_place(each, other) for each in frame.symbols if _same(symbol, each)
    )


def _clashes(symbol: Symbol, symbols: Sequence[Symbol]) -> bool:
    return any(each.data != symbol.data and one_place(each, symbol) for each in symbols if each is not symbol)
