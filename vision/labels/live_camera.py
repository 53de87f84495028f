"""A camera that is plugged in: one thread keeps its newest frame, and what is wrong with it has a name.

A camera may stop without a word: its driver repeats the last frame, gives black ones, or never comes back
from a read. So frames are judged by content and age, and a camera at fault is opened again, after growing
waits.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import cv2
import numpy as np

from vision.labels.frames import Frame, SourceGone, never
from vision.labels.locate import Gray
from vision.labels.torch import Torch

State = Literal["opening", "live", "frozen", "dark", "stale", "unplugged"]

FRAME_SIZE_PX = (1280, 720)
# A sensor's noise changes every frame: equal bytes for so long are one frame shown again.
FROZEN_S = 1.5
FROZEN_FRAMES = 10
STALE_S = 2.0
# A driver may take a second to start its stream.
OPENING_S = 8.0
DARK_S = 1.5
DARK_LEVEL, BURNT_LEVEL, FLAT_SPREAD = 10.0, 245.0, 1.5
WAITS_S = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
WATCH_S = 0.1
GONE: tuple[State, ...] = ("stale", "unplugged")
LEAVE_S = 1.0
# A scan whose camera gives nothing for so long ends with words: nobody waits before a dead picture.
GONE_S = 1.2
IDLE_S = 120.0
# Between two labels the light stays on; an operator who went away needs none.
LIGHT_S = 5.0
# A read that never returns keeps its thread; more of them than this and only a new process helps.
STUCK_THREADS_MAX = 4


class Capture(Protocol):
    """What OpenCV's `VideoCapture` can do, as far as it is used here."""

    def read(self) -> tuple[bool, Any]: ...

    def release(self) -> None: ...


@dataclass(slots=True)
class _Reader:
    """One opening of the camera, with the thread that reads it."""

    opened_s: float
    thread: threading.Thread | None = None
    ended: bool = False
    told_to_end: bool = False
    frames: int = 0


@dataclass(slots=True)
class _Seen:
    """What the newest frames looked like; moments are monotonic seconds."""

    number: int = 0
    gray: Gray | None = None
    at_s: float = 0.0
    print: int = 0
    changed_s: float = 0.0
    equal_frames: int = 0
    bright_s: float = 0.0


def open_device(device: str) -> Capture:
    """Open a V4L2 device or a camera in the network.

    Raises
    ------
    SourceGone
        Nothing opens there.
    """
    if "://" in device:
        capture = cv2.VideoCapture(device)
    else:
        capture = cv2.VideoCapture(str(Path(device).resolve()), cv2.CAP_V4L2)
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, FRAME_SIZE_PX[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, FRAME_SIZE_PX[1])
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    if not capture.isOpened():
        capture.release()
        raise SourceGone(f"The camera {device} does not open. Check its cable.")
    return capture


class LiveCamera:
    """The newest frame of a camera, for as long as somebody asks for it.

    Parameters
    ----------
    device : str
        `/dev/v4l/by-id/…`, which names this camera at any socket, or a URL of a camera in the network.
    torch : Torch, optional
        On while frames are asked for.
    opening : callable
        Opens the device; raises `SourceGone`.
    """

    def __init__(
        self, device: str, *, torch: Torch | None = None, opening: Callable[[str], Capture] = open_device
    ) -> None:
        self.device = device
        self._torch, self._opening = torch, opening
        self._changed = threading.Condition()
        self._seen = _Seen()
        self._state: State = "opening"
        self._reader: _Reader | None = None
        self._stuck: list[_Reader] = []
        self._faults = 0
        self._hurried = False
        self._asked_s = time.monotonic()
        self._closed = False
        self._watch = threading.Thread(target=self._watch_over, name="camera watch", daemon=True)
        self._watch.start()

    @property
    def state(self) -> State:
        """What the camera is doing; anything but `live` names why no frame is to be trusted."""
        return self._state

    @property
    def ended(self) -> bool:
        """Say whether the camera was closed, by a call or because nobody asked for it."""
        return self._closed

    def frames(self, deadline: float, ended: Callable[[], bool] = never) -> Iterator[Frame]:
        """Give each newest frame once while the camera is live, until `deadline` (monotonic seconds).

        Only frames taken after the call count, and only such as differ from the one before. A camera that
        is gone, or goes, ends it within `GONE_S`; one that only opens is waited for.
        """
        number, since_s, was_live = self._seen.number, time.monotonic(), False
        with self._changed:
            # Whoever asks now shall not wait for the next of the growing waits.
            self._hurried = True
            self._changed.notify_all()
        while time.monotonic() < deadline and not ended():
            with self._changed:
                self._asked_s = time.monotonic()
                if self._torch is not None:
                    self._torch.switch(on=True)
                if self._closed:
                    raise SourceGone(f"The camera {self.device} was closed.")
                if self._state == "live":
                    since_s, was_live = self._asked_s, True
                gone = self._state in GONE or (was_live and self._state == "opening")
                if gone and self._asked_s - since_s > GONE_S:
                    return
                if self._state != "live" or self._seen.number == number or self._seen.gray is None:
                    self._changed.wait(min(WATCH_S, max(0.0, deadline - time.monotonic())))
                    continue
                number, gray = self._seen.number, self._seen.gray
            yield Frame(gray, "", f"camera-{number:09d}")

    def trouble(self) -> str:
        """Name what is wrong with the camera as a reason key; `no_picture` while nothing is."""
        return "no_picture" if self._state == "live" else f"camera_{self._state}"

    def close(self) -> None:
        """Let go of the camera; a read that never returns is left behind."""
        with self._changed:
            self._closed = True
            self._end_reader()
            self._changed.notify_all()
            left = [each.thread for each in self._stuck if each.thread is not None]
        if self._torch is not None:
            self._torch.switch(on=False)
        # A process that ends while a library is still in its read dies of it.
        for thread in left:
            thread.join(LEAVE_S)

    def _watch_over(self) -> None:
        """Open, judge and open again; ends when the camera is closed."""
        while not self._closed:
            time.sleep(WATCH_S)
            with self._changed:
                now = time.monotonic()
                if now - self._asked_s > IDLE_S:
                    break
                if self._torch is not None and now - self._asked_s > LIGHT_S:
                    self._torch.switch(on=False)
                if self._reader is None:
                    self._begin_reader(now)
                    continue
                state = self._judged(now)
                if state == "live":
                    self._faults = 0
                self._state = state
                self._changed.notify_all()
                if state in ("frozen", "stale", "unplugged"):
                    self._end_reader()
                    wait_s = WAITS_S[min(self._faults, len(WAITS_S) - 1)]
                    self._faults += 1
                    self._changed.wait_for(lambda: self._closed or self._hurried, wait_s)
        self.close()

    def _judged(self, now: float) -> State:
        reader, seen = self._reader, self._seen
        assert reader is not None
        if "://" not in self.device and not Path(self.device).exists():
            # A read may go on giving frames after the cable was pulled.
            return "unplugged"
        if reader.ended:
            return "unplugged" if not reader.frames else "stale"
        if not reader.frames:
            return "opening" if now - reader.opened_s < OPENING_S else "stale"
        if now - seen.at_s > STALE_S:
            return "stale"
        if seen.equal_frames >= FROZEN_FRAMES and now - seen.changed_s > FROZEN_S:
            return "frozen"
        return "dark" if seen.at_s - seen.bright_s > DARK_S else "live"

    def _begin_reader(self, now: float) -> None:
        self._stuck = [each for each in self._stuck if not each.ended]
        if len(self._stuck) >= STUCK_THREADS_MAX:
            self._state = "stale"
            self._closed = True
            self._changed.notify_all()
            return
        self._hurried = False
        self._reader = reader = _Reader(opened_s=now)
        self._seen = _Seen(number=self._seen.number, changed_s=now, bright_s=now, at_s=now)
        reader.thread = threading.Thread(target=self._read_on, args=(reader,), name="camera", daemon=True)
        reader.thread.start()

    def _end_reader(self) -> None:
        if self._reader is not None:
            self._reader.told_to_end = True
            self._stuck.append(self._reader)
            self._reader = None

    def _read_on(self, reader: _Reader) -> None:
        """Read until told to end; only this thread touches the capture.

        Whatever a driver raises ends this reader as a cable pulled out does: the camera is opened again.
        """
        capture: Capture | None = None
        try:
            capture = self._opening(self.device)
            while not reader.told_to_end:
                good, image = capture.read()
                if not good or image is None:
                    break
                gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.ndim == 3 else image
                self._take(reader, np.asarray(gray, np.uint8))
        except (SourceGone, cv2.error):
            pass
        finally:
            if capture is not None:
                capture.release()
            reader.ended = True

    def _take(self, reader: _Reader, gray: Gray) -> None:
        coarse = gray[::8, ::8]
        now, mark = time.monotonic(), zlib.crc32(gray[::2, ::2].tobytes())
        usable = DARK_LEVEL <= coarse.mean() <= BURNT_LEVEL and float(coarse.std()) >= FLAT_SPREAD
        with self._changed:
            if reader.told_to_end:
                return
            seen = self._seen
            reader.frames += 1
            seen.at_s = now
            if usable:
                seen.bright_s = now
            if mark == seen.print and seen.gray is not None:
                # The same bytes again are no new look, and the label on them may have gone.
                seen.equal_frames += 1
                return
            seen.print, seen.changed_s, seen.equal_frames = mark, now, 0
            seen.number, seen.gray = seen.number + 1, gray
            self._changed.notify_all()


_CAMERAS: dict[str, LiveCamera] = {}


def camera_at(device: str, torch: Torch | None = None) -> LiveCamera:
    """Return this process's one camera at a device; opening it takes a second that a scan should not pay."""
    camera = _CAMERAS.get(device)
    if camera is None or camera.ended:
        camera = _CAMERAS[device] = LiveCamera(device, torch=torch)
    return camera
