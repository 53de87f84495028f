"""Where frames come from: a folder of pictures, a video file, or a camera that is plugged in."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from vision.labels.frames import Frame, FrameSource, SourceGone, never
from vision.labels.live_camera import camera_at
from vision.labels.live_reading import WINDOW_FRAMES
from vision.labels.symbols import UnreadableImage, load_gray
from vision.labels.torch import Torch

PICTURE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
POLL_S = 0.05
# `shown_after` comes as seconds with six decimals; a picture of that very moment is not after it.
ROUNDING_NS = 1000


class PictureFolder:
    """A folder into which pictures are put; only those that appeared after `shown_after` are seen.

    A picture was shown at its modification time; whoever hands in that of the picture used last uses no
    picture twice. Put pictures there by a rename, so that nobody sees half of one; a half-written one is
    asked for again until the deadline.
    """

    def __init__(self, folder: Path, shown_after: float | None) -> None:
        self._folder = folder
        self._shown_after = shown_after

    def frames(self, deadline: float, ended: Callable[[], bool] = never) -> Iterator[Frame]:
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
            if time.monotonic() >= deadline or ended():
                return
            time.sleep(POLL_S)

    def trouble(self) -> str:
        return "no_picture"

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

    def frames(self, deadline: float, ended: Callable[[], bool] = never) -> Iterator[Frame]:
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

    def trouble(self) -> str:
        return "no_picture"


def open_source(source: str, shown_after: float | None, torch: Torch | None = None) -> FrameSource:
    """Choose by what stands there: a camera, a folder of pictures, or a video file."""
    path = Path(source)
    if "://" in source or path.is_char_device() or source.startswith("/dev/"):
        return camera_at(source, torch)
    if path.is_dir():
        return PictureFolder(path, shown_after)
    if path.exists():
        return VideoFile(path)
    raise SourceGone(
        f"The label source {source} is not there. Check the camera and its cable, then try again."
    )
