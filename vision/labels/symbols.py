"""Read the symbols of one still: a cascade by cost, each read confirmed by an independent look or not at all.

Whole frame, then located and turned cut-outs, then prepared variants, then turned frames. zxing-cpp reads,
ZBar confirms, OpenCV only locates. What a symbol means is not known here.
"""

import io
import os
import stat
import time
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from vision.labels.agreement import LINEAR, Read, Symbol, agree, overlap
from vision.labels.bar_looks import bar_looks, crop_scale
from vision.labels.engines import DEFAULT_FORMATS, check_formats, read_zbar, read_zxing
from vision.labels.locate import (
    LOCATE_SIDE_PX,
    Crop,
    Gray,
    Points,
    Region,
    linear_regions,
    turned_crop,
    turned_frame,
)
from vision.labels.matrix_looks import matrix_variants, second_looks
from vision.labels.one_label import TWO_LABELS, two_labels
from vision.labels.prepare import scaled
from vision.labels.why_unread import reasons_for
from vision.picture_file import DAMAGE

# A cascade run to its end takes a quarter of a second; the rest is for a busy machine.
BUDGET_MS = 3000
FILE_BYTES_MAX = 64 * 1024 * 1024
PIXELS_MAX = 60_000_000
# What cameras and printers write; every further decoder is one more way in for bad bytes.
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
SIDE_PX_MAX = 20_000
SLIMNESS_MAX = 32
WORK_SIDE_PX = 1600
FINE_SIDE_PX = 1100
TURN_SIDE_PX = 900
TURNS_DEG = (45.0, 22.5, 67.5, 11.0, 34.0, 56.0, 79.0)
CROPS_MAX = 4


class UnreadableImage(Exception):
    """The file is no picture that can be decoded; `str(error)` says why."""


@dataclass(frozen=True, slots=True)
class FrameRead:
    """All symbols of one frame; `reasons` say why something was not read or not confirmed.

    `first_look_ms` is the time until the first look's answer was there; the rest is spent on confirming it,
    or on harder looks where it found nothing.
    """

    symbols: tuple[Symbol, ...]
    reasons: tuple[str, ...]
    elapsed_ms: float
    first_look_ms: float = 0.0


def load_gray(path: Path) -> Gray:
    """Decode a picture file to 8-bit grey, turned as its EXIF says; clear parts are white paper."""
    try:
        data = _bytes_of(path)
        # The header alone tells the size, before any decoder allocates for it.
        with warnings.catch_warnings(), Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as header:
            warnings.simplefilter("ignore")
            width, height = header.size
            if width * height > PIXELS_MAX or max(width, height) > SIDE_PX_MAX:
                raise UnreadableImage(f"{path} has {width} x {height} pixels, more than can be looked at.")
            if header.mode in ("RGBA", "LA", "PA") or "transparency" in header.info:
                return _on_white(header)
        gray = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except (*DAMAGE, Image.DecompressionBombError, cv2.error) as error:
        raise UnreadableImage(f"{path} cannot be read as a picture: {error}") from error
    if gray is None:
        raise UnreadableImage(f"{path} cannot be decoded as a picture.")
    return np.asarray(gray, dtype=np.uint8)


def _bytes_of(path: Path) -> bytes:
    """Read an ordinary file; a pipe or a device could keep the reader for ever, or never end."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode) or told.st_size > FILE_BYTES_MAX:
            raise UnreadableImage(
                f"{path} is no file of a picture, or larger than {FILE_BYTES_MAX >> 20} MiB."
            )
        return file.read(FILE_BYTES_MAX)


def _on_white(picture: Image.Image) -> Gray:
    upright = ImageOps.exif_transpose(picture).convert("RGBA")
    paper = Image.new("RGBA", upright.size, "white")
    return np.asarray(Image.alpha_composite(paper, upright).convert("L"), dtype=np.uint8)


def read_symbols(
    gray: Gray,
    formats: Collection[str] = DEFAULT_FORMATS,
    budget_ms: float = BUDGET_MS,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> FrameRead:
    """Read one frame.

    Parameters
    ----------
    gray : (h, w) uint8 ndarray
        The frame; not changed.
    formats : collection of str
        Allow-list out of `engines.FORMATS`; nothing else is ever returned.
    budget_ms : float
        Between two looks the cascade ends when this time is spent; the first look is always taken.
    clock : callable
        Seconds that pass; a measurement on a busy machine takes processor time.
    """
    assert gray.ndim == 2, gray.shape
    assert gray.dtype == np.uint8, gray.dtype
    started = clock()
    gray = _not_too_slim(gray)
    cascade = _Cascade(gray, check_formats(formats), started + budget_ms / 1000, clock)
    for stage in (cascade.whole_frame, cascade.bars, cascade.matrices, cascade.turned_frames):
        stage()
        if cascade.spent():
            break
    symbols, conflict = agree(cascade.reads)
    reasons = list(reasons_for(gray, cascade.regions)) if not any(each.confirmed for each in symbols) else []
    if symbols and "no_symbol" in reasons:
        reasons.remove("no_symbol")
    if conflict:
        reasons = ["conflict"]
    elif symbols and not all(each.confirmed for each in symbols):
        reasons.append("not_confirmed")
    if not conflict and two_labels(symbols):
        reasons.insert(0, TWO_LABELS)
    elapsed_ms = (clock() - started) * 1000
    return FrameRead(tuple(symbols), tuple(reasons), elapsed_ms, (cascade.first_look_at - started) * 1000)


class _Cascade:
    """The looks at one frame and what they gave; each stage costs more than the one before."""

    def __init__(
        self, gray: Gray, formats: tuple[str, ...], deadline: float, clock: Callable[[], float]
    ) -> None:
        self.gray = gray
        self.formats = formats
        self.linear = tuple(name for name in formats if name in LINEAR)
        self.matrix = tuple(name for name in formats if name not in LINEAR)
        self.reads: list[Read] = []
        self.regions: list[Region] = []
        self.first_look_at = 0.0
        self._deadline, self._clock = deadline, clock
        self._scale = min(1.0, WORK_SIDE_PX / max(gray.shape))
        self.work = scaled(gray, self._scale) if self._scale < 1 else gray

    def spent(self) -> bool:
        return self._clock() >= self._deadline

    def whole_frame(self) -> None:
        """The first look; a frame larger than the working size is looked at in both."""
        back = np.array([[1 / self._scale, 0, 0], [0, 1 / self._scale, 0]])
        self._look(Crop(self.work, back), self.formats, "whole", zbar=False)
        self.first_look_at = self._clock()
        if not self.reads and self._scale < 1 and not self.spent():
            self._look(Crop(self.gray, np.eye(2, 3)), self.formats, "full", zbar=False)

    def bars(self) -> None:
        """Linear symbols: cut-outs of patches of parallel bars, turned level, by both engines."""
        if not self.linear:
            return
        self.regions = linear_regions(self.work if self._scale < 1 else self.gray)
        if self._scale < 1:
            self.regions = [_grown(region, 1 / self._scale) for region in self.regions]
        if any(read.symbology in LINEAR for read in self.reads) and not self.spent():
            # One look of the confirming engine at the whole frame covers all symbols that lie level.
            back = np.array([[1 / self._scale, 0, 0], [0, 1 / self._scale, 0]])
            self._look(Crop(self.work, back), self.linear, "whole", zxing=False)
        places = [_region_around(read.corners) for read in self._open(self.linear)] + self.regions
        for region in places[: CROPS_MAX + len(self._open(self.linear))]:
            self._bars_of(region)
        if self.reads or self.spent() or max(self.work.shape) <= 1.25 * LOCATE_SIDE_PX:
            return
        for region in linear_regions(self.work, FINE_SIDE_PX)[:CROPS_MAX]:
            grown = _grown(region, 1 / self._scale)
            if not self.spent() and not self._settled(grown.corners()):
                self._look(turned_crop(self.gray, grown, scale=crop_scale(grown)), self.linear, "bars, fine")

    def matrices(self) -> None:
        """Matrix symbols: variants until one reads, then a second, different look at each."""
        if not self.matrix:
            return
        if not self.reads:
            for crop, look, one_level in matrix_variants(self.gray, self.work, self._scale):
                if self.spent():
                    return
                self._look(crop, self.matrix, look, zbar=False, one_level=one_level)
                if self.reads:
                    break
        for read in self._open(self.matrix):
            for crop, look, one_level in second_looks(self.gray, read.corners):
                if self.spent():
                    return
                self._look(crop, self.matrix, look, zbar=False, one_level=one_level)
                if not any(each is read for each in self._open(self.matrix)):
                    break

    def turned_frames(self) -> None:
        """The tail, only for a frame that gave nothing: the whole frame at other angles."""
        if self.reads or not self.linear:
            return
        scale = min(1.0, TURN_SIDE_PX / max(self.gray.shape))
        small = scaled(self.gray, scale) if scale < 1 else self.gray
        for turn in TURNS_DEG:
            if self.spent() or self.reads:
                break
            crop = turned_frame(small, turn)
            self._look(_rescaled(crop, scale), self.linear, f"turned {turn}", zbar=False)
        for read in self._open(self.linear):
            self._bars_of(_region_around(read.corners))

    def _bars_of(self, region: Region) -> None:
        """Look at one patch of bars until both engines agree there, or nothing speaks for a symbol.

        ZBar only confirms, so it looks at nothing before zxing-cpp has read something here; then at all
        that zxing-cpp was shown.
        """
        shown: list[tuple[Crop, str]] = []
        for crop, look in bar_looks(self.gray, region):
            if self.spent() or self._settled(region.corners()):
                return
            self._look(crop, self.linear, look, zbar=False)
            shown.append((crop, look))
            while shown and self._read_in(region) and not self.spent():
                if self._settled(region.corners()):
                    return
                crop, look = shown.pop(0)
                self._look(crop, self.linear, look, zxing=False)

    def _read_in(self, region: Region) -> bool:
        """Whether zxing-cpp has read bars in this place."""
        corners = region.corners()
        linear = [read for read in self.reads if read.engine == "zxing" and read.symbology in LINEAR]
        return any(overlap(read.corners, corners) > 0.3 for read in linear)

    def _look(
        self,
        crop: Crop,
        formats: tuple[str, ...],
        look: str,
        *,
        zxing: bool = True,
        zbar: bool = True,
        one_level: bool = False,
    ) -> None:
        found = read_zxing(crop.image, formats, look, one_level=one_level) if zxing else []
        if zbar:
            found += read_zbar(crop.image, formats, look)
        for read in found:
            self.reads.append(replace(read, corners=crop.points_in_frame(read.corners)))

    def _open(self, formats: Collection[str]) -> list[Read]:
        """One read of each symbol of these formats that is not confirmed and not contradicted."""
        firsts = []
        for symbol in agree(self.reads)[0]:
            if symbol.symbology in formats and not symbol.confirmed:
                firsts.append(next(each for each in self.reads if each.corners is symbol.corners))
        return firsts

    def _settled(self, corners: Points) -> bool:
        """Nothing more to learn here: a confirmed symbol lies in this place."""
        return any(
            symbol.confirmed and overlap(symbol.corners, corners) > 0.3 for symbol in agree(self.reads)[0]
        )


def _not_too_slim(gray: Gray) -> Gray:
    """Add paper below or beside a strip, so that no shrunk copy of it has a side of nothing."""
    height, width = gray.shape
    least = max(8, max(height, width) // SLIMNESS_MAX)
    below, beside = max(0, least - height), max(0, least - width)
    if not below and not beside:
        return gray
    padded = cv2.copyMakeBorder(gray, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=255)
    return np.asarray(padded, dtype=np.uint8)


def _region_around(corners: Points) -> Region:
    """The patch of bars around a linear read: its reading direction, and some height where it is a strip."""
    middle_left, middle_right = (corners[0] + corners[-1]) / 2, (corners[1] + corners[-2]) / 2
    (x, y), (width, height), angle = cv2.minAreaRect(corners)
    if len(corners) == 4:
        step = middle_right - middle_left
        length = float(np.linalg.norm(step))
        angle = float(np.degrees(np.arctan2(step[1], step[0])))
        height = min(width, height) if length >= max(width, height) * 0.5 else max(width, height)
        width = length
    return Region((float(x), float(y)), float(width), max(float(height), 0.12 * float(width)), float(angle))


def _grown(region: Region, factor: float) -> Region:
    center = (region.center[0] * factor, region.center[1] * factor)
    return Region(center, region.length_px * factor, region.height_px * factor, region.angle_deg)


def _rescaled(crop: Crop, scale: float) -> Crop:
    return Crop(crop.image, crop.to_frame / scale)
