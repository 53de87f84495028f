"""Where frames come from (a folder of pictures, a video file) and when a live reading counts."""

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vision.labels.agreement import Symbol, overlap
from vision.labels.locate import Gray
from vision.labels.symbols import FrameRead, UnreadableImage, load_gray

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
POLL_S = 0.05
WINDOW_FRAMES = 5
AGREEING_FRAMES = 2
# `shown_after` comes as seconds with six decimals; a picture of that very moment is not after it.
ROUNDING_NS = 1000


class SourceGone(Exception):
    """The source is not there: unplugged, renamed, or never set up. The end of a video is not this."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of a source; `path` is empty when it has no file of its own."""

    gray: Gray
    path: str
    name: str


class FrameSource(Protocol):
    """Gives frames, oldest first, until it has no more or the deadline (monotonic seconds) has passed."""

    def frames(self, deadline: float) -> Iterator[Frame]: ...


class PictureFolder:
    """A folder into which pictures are put; only those that appeared after `shown_after` are seen.

    A picture was shown at its modification time; whoever hands in that of the picture used last uses no
    picture twice. Put pictures there by a rename, so that nobody sees half of one; a half-written one is
    asked for again until the deadline.
    """

    def __init__(self, folder: Path, shown_after: float | None) -> None:
        self._folder = folder
        self._shown_after = shown_after

    def frames(self, deadline: float) -> Iterator[Frame]:
        while True:
            # Without a moment to count from, older pictures are other labels, not other looks.
            paths = self._newest(WINDOW_FRAMES if self._shown_after is not None else 1)
            found = []
            for path in paths:
                try:
                    found.append(Frame(load_gray(path), str(path), path.name))
                except UnreadableImage:
                    continue
            # An unreadable newest file may still be being written; an older one must not answer for it.
            if found and found[0].path == str(paths[0]):
                yield from reversed(found)
                return
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_S)

    def _newest(self, count: int) -> list[Path]:
        """The newest picture files, newest first."""
        after_ns = 0 if self._shown_after is None else round(self._shown_after * 1e9) + ROUNDING_NS
        shown = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if Path(entry.name).suffix.lower() not in PICTURE_ENDINGS:
                        continue
                    # A file may be renamed or taken away while the folder is read.
                    with suppress(FileNotFoundError):
                        at_ns = entry.stat().st_mtime_ns
                        if entry.is_file() and at_ns > after_ns:
                            shown.append((at_ns, entry.name, Path(entry.path)))
        except OSError as error:
            raise SourceGone(f"The picture folder {self._folder} cannot be read. Check its mount.") from error
        return [path for _, _, path in sorted(shown, reverse=True)[:count]]


class VideoFile:
    """A recorded video; its end is the end of the frames and not an unplugged camera."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def frames(self, deadline: float) -> Iterator[Frame]:
        if not self._path.is_file():
            raise SourceGone(f"The video {self._path} is not there.")
        capture = cv2.VideoCapture(str(self._path))
        try:
            if not capture.isOpened():
                raise SourceGone(f"The video {self._path} cannot be opened as one.")
            number = 0
            while time.monotonic() < deadline:
                good, image = capture.read()
                if not good:
                    return
                number += 1
                gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
                yield Frame(np.asarray(gray, dtype=np.uint8), "", f"{self._path.stem}-{number:06d}")
        finally:
            capture.release()


def open_source(source: Path, shown_after: float | None) -> FrameSource:
    """Choose by what stands there: a folder of pictures or a video file."""
    if source.is_dir():
        return PictureFolder(source, shown_after)
    if source.exists():
        return VideoFile(source)
    raise SourceGone(
        f"The label source {source} is not there. Check the camera and its cable, then try again."
    )


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
        symbols = []
        contradicted = "conflict" in newest.reasons
        for symbol in newest.symbols:
            differs = self._differs(symbol)
            contradicted |= differs
            votes = sum(any(_same(symbol, each) for each in frame.symbols) for frame in self._window)
            confirmed = not differs and not _clashes(symbol, newest.symbols)
            confirmed = confirmed and (symbol.confirmed or votes >= AGREEING_FRAMES)
            symbols.append(replace(symbol, confirmed=confirmed))
        if contradicted:
            reasons: tuple[str, ...] = ("conflict",)
        elif any(each.confirmed for each in symbols):
            reasons = () if all(each.confirmed for each in symbols) else ("not_confirmed",)
        else:
            reasons = newest.reasons
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
        overlap(each.corners, other.corners) > 0.2 and each.data != other.data
        for each in frame.symbols
        if _same(symbol, each)
    )


def _clashes(symbol: Symbol, symbols: Sequence[Symbol]) -> bool:
    return any(
        each.data != symbol.data and overlap(each.corners, symbol.corners) > 0.2
        for each in symbols
        if each is not symbol
    )
