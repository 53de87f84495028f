"""What a person sees while holding a label before the camera: one small picture and what to change.

It is one file that is always whole (written beside, then renamed) and gone when the scan ends. It is a PGM
picture; its comment line is a JSON object with what hinders reading and where symbols were seen. No record
keeps it.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from vision.labels.agreement import Symbol
from vision.labels.locate import Gray

EVERY_S = 0.2
WIDTH_PX = 192
# What a reading said is old after this long: then only the newest frame itself, or the camera, speaks.
SAID_FOR_S = 1.0
OUTLINES_MAX = 12

Outline = list[list[float]]


class AimingPicture:
    """Publishes the newest frame of a scan at a steady pace, from a thread of its own.

    The reading thread only leaves its newest frame here, so that looking at a picture never slows a scan.

    Parameters
    ----------
    path : Path
        The file; its folder is there.
    pixels : bool
        False where a picture could name a patient: then only outlines and words are written.
    """

    def __init__(self, path: Path, *, pixels: bool = True) -> None:
        self._path, self._pixels = path, pixels
        self._trouble: Callable[[], str] = lambda: ""
        self._newest: Gray | None = None
        self._hints: tuple[str, ...] = ()
        self._outlines: list[Outline] = []
        self._said_s = 0.0
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self._thread: threading.Thread | None = None

    def begin(self, trouble: Callable[[], str]) -> None:
        """Begin to publish; `trouble` names what is wrong with the camera, or `no_picture`."""
        self._trouble = trouble
        self._thread = threading.Thread(target=self._publish_on, name="aiming picture", daemon=True)
        self._thread.start()

    def look(self, gray: Gray) -> None:
        """Take the newest frame, before it is read."""
        with self._lock:
            self._newest = gray

    def say(self, hints: Sequence[str], symbols: Sequence[Symbol]) -> None:
        """Take what the newest reading said, and where it saw symbols (frame pixels)."""
        shape = self._newest.shape if self._newest is not None else (1, 1)
        seen = [_outline(each.corners, shape) for each in symbols[:OUTLINES_MAX]]
        with self._lock:
            self._hints, self._outlines, self._said_s = tuple(hints), seen, time.monotonic()

    def end(self) -> None:
        """Stop, and leave no file behind."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(2.0)
        for path in (self._path, self._beside):
            with suppress(OSError):
                path.unlink()

    @property
    def _beside(self) -> Path:
        return self._path.with_name(f".{self._path.name}.part")

    def _publish_on(self) -> None:
        while not self._ended.is_set():
            began = time.monotonic()
            # A full disk or a folder that went: the scan itself goes on.
            with suppress(OSError, cv2.error):
                self._publish(began)
            self._ended.wait(max(0.02, EVERY_S - (time.monotonic() - began)))

    def _publish(self, now: float) -> None:
        with self._lock:
            newest, hints, outlines = self._newest, self._hints, self._outlines
            fresh = now - self._said_s <= SAID_FOR_S
            self._number += 1
        trouble = self._trouble()
        if trouble not in ("", "no_picture"):
            newest, hints, outlines = None, (trouble,), []
        elif not fresh:
            hints, outlines = (), []
        shown = _small(newest) if newest is not None and self._pixels else np.zeros((1, 1), np.uint8)
        said = {
            "number": self._number,
            "hints": list(hints),
            "outlines": outlines,
            "pixels": newest is not None and self._pixels,
            "aspect": round(newest.shape[1] / newest.shape[0], 3) if newest is not None else 0,
        }
        head = f"P5\n# {json.dumps(said, separators=(',', ':'))}\n{shown.shape[1]} {shown.shape[0]}\n255\n"
        self._beside.write_bytes(head.encode("ascii") + shown.tobytes())
        self._beside.replace(self._path)


def _small(gray: Gray) -> Gray:
    # Every second or third pixel first: a person aims by it, nothing is read from it.
    step = max(1, gray.shape[1] // (2 * WIDTH_PX))
    gray = gray[::step, ::step]
    scale = min(1.0, WIDTH_PX / gray.shape[1])
    size = (max(1, round(gray.shape[1] * scale)), max(1, round(gray.shape[0] * scale)))
    return np.ascontiguousarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _outline(corners: np.ndarray, shape: tuple[int, ...]) -> Outline:
    """The corners as shares of the frame's width and height, 0 to 1."""
    return [[round(float(x) / shape[1], 4), round(float(y) / shape[0], 4)] for x, y in corners]
