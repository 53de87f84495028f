"""Scan a label source until a label is read, or say why not: the worker's `scan_source`."""

import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import cv2

from vision.labels.agreement import LINEAR
from vision.labels.aiming import AimingPicture
from vision.labels.focus import is_soft
from vision.labels.frames import Frame, FrameSource
from vision.labels.live_reading import AGREEING_FRAMES, LiveReading
from vision.labels.scan_result import scan_line
from vision.labels.sources import PictureFolder, open_source
from vision.labels.symbols import FrameRead, read_symbols
from vision.labels.torch import Torch

LIVE_BUDGET_MS = 150.0
# A still is looked at once and a person waits for it: a partly read label costs more than two seconds.
STILL_BUDGET_MS = 2000.0
CANCELLED = "cancelled"
# A label has several symbols, and they are not all read in one frame: so many frames more are looked at.
SETTLING_FRAMES = 3
SETTLING_FRAMES_MAX = 10
GONE = ("camera_unplugged", "camera_stale", "camera_opening", "camera_frozen")


def scan_source(
    source: str,
    formats: Collection[str],
    timeout_ms: float,
    shown_after: float | None,
    evidence: Path | None = None,
    *,
    torch: Torch | None = None,
    focus_baseline: float = 0.0,
    budget_ms: float | None = None,
    aiming: AimingPicture | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, object]:
    """Take frames from a folder, a video or a camera and return the reading that counts.

    A folder's newest picture is a still and may be confirmed alone; pictures shown before it in the same
    scan must not differ. A video or a camera needs two frames that agree. Without any frame in time the
    reason is `no_picture`, or what is wrong with the camera.

    Parameters
    ----------
    shown_after : float or None
        Unix seconds; pictures that were there before are not looked at.
    evidence : Path or None
        Where the frame used is kept when it has no file of its own (video, camera).
    torch : Torch, optional
        The light beside a camera.
    focus_baseline : float
        What `focus.focus_of` gave when the camera was set up; 0 when nobody measured it.
    budget_ms : float, optional
        Time a frame; without it, what a live frame or a still is given.
    aiming : AimingPicture, optional
        Shows the newest frame to the person, as long as the scan goes on.
    cancelled : callable
        Whether the person has ended the scan: then nothing is read, and the reason is `cancelled`.

    Raises
    ------
    SourceGone
        The folder or video is not there.
    """
    started = time.monotonic()
    deadline = started + timeout_ms / 1000
    frames = open_source(source, shown_after, torch)
    if aiming is None:
        used = _used(frames, formats, deadline, budget_ms, None, cancelled)
    else:
        aiming.begin(frames.trouble)
        try:
            used = _used(frames, formats, deadline, budget_ms, aiming, cancelled)
        finally:
            aiming.end()
    if cancelled():
        return scan_line("", (), (CANCELLED,), started)
    if used is None:
        return scan_line("", (), (frames.trouble(),), started)
    frame, judged = used
    if _broke_off(frames, judged):
        # What was seen before the camera went is no reading of what is in front of it.
        return scan_line("", (), (frames.trouble(),), started)
    if judged.reasons and "blur" not in judged.reasons and is_soft(frame.gray, focus_baseline):
        judged = replace(judged, reasons=("blur", *judged.reasons))
    return scan_line(frame.path or _kept(frame, evidence), judged.symbols, judged.reasons, started)


def _used(
    frames: FrameSource,
    formats: Collection[str],
    deadline: float,
    budget_ms: float | None,
    aiming: AimingPicture | None,
    cancelled: Callable[[], bool],
) -> tuple[Frame, FrameRead] | None:
    """The frame whose reading counts, or the last one when none does."""
    still = isinstance(frames, PictureFolder)
    budget_ms = budget_ms or (STILL_BUDGET_MS if still else LIVE_BUDGET_MS)
    live = LiveReading()
    used: tuple[Frame, FrameRead] | None = None
    whole_since = 0
    for taken, frame in enumerate(frames.frames(deadline, cancelled), start=1):
        if aiming is not None:
            aiming.look(frame.gray)
        read = read_symbols(frame.gray, formats, budget_ms)
        judged = live.add(frame.gray, read)
        if aiming is not None:
            aiming.say(judged.reasons, judged.symbols)
        if still or used is None or judged.symbols:
            used = (frame, judged)
        done = bool(judged.symbols) and not judged.reasons
        if not still and done and taken >= AGREEING_FRAMES:
            whole_since = whole_since or taken
        if whole_since and _settled(judged, taken - whole_since):
            break
        if cancelled():
            break
    return used


def _settled(judged: FrameRead, frames: int) -> bool:
    """Whether nothing more is to be expected of this label: its matrix symbol holds all of it."""
    done = bool(judged.symbols) and not judged.reasons
    if done and any(symbol.symbology not in LINEAR for symbol in judged.symbols):
        return True
    return frames >= (SETTLING_FRAMES if done else SETTLING_FRAMES_MAX)


def _broke_off(frames: FrameSource, judged: FrameRead) -> bool:
    """Whether the camera went before a label was read whole."""
    read = bool(judged.symbols) and not judged.reasons
    return not read and frames.trouble() in GONE


def _kept(frame: Frame, evidence: Path | None) -> str:
    """Keep a video frame as a picture: the record needs what was looked at."""
    folder = evidence or Path(tempfile.mkdtemp(prefix="cellwright-frame-"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{frame.name}.png"
    good, data = cv2.imencode(".png", frame.gray)
    assert good, path
    path.write_bytes(data.tobytes())
    return str(path)
