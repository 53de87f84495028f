"""Read the symbols of one still: a cascade by cost, each read confirmed by an independent look or not at all.

Whole frame, then located and turned cut-outs, then prepared variants, then turned frames. zxing-cpp reads,
ZBar confirms, OpenCV only locates. What a symbol means is not known here.
"""

import math
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from vision.labels.agreement import LINEAR, Read, Symbol, agree, overlap
from vision.labels.engines import DEFAULT_FORMATS, check_formats, read_zbar, read_zxing
from vision.labels.locate import (
    Crop,
    Gray,
    Points,
    Region,
    bar_profile,
    linear_regions,
    matrix_regions,
    square_crop,
    turned_crop,
    turned_frame,
)
from vision.labels.why_unread import reasons_for

# A cascade run to its end takes a quarter of a second; the rest is for a busy machine.
BUDGET_MS = 3000
FILE_BYTES_MAX = 64 * 1024 * 1024
PIXELS_MAX = 60_000_000
SIDE_PX_MAX = 20_000
SLIMNESS_MAX = 32
WORK_SIDE_PX = 1600
TURN_SIDE_PX = 900
TURNS_DEG = (45.0, 22.5, 67.5, 11.0, 34.0, 56.0, 79.0)
CROPS_MAX = 4
HOPELESS_AFTER_LOOKS = 4
CROP_LENGTH_PX_MAX = 1400
CROP_PIXELS_MAX = 400_000


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
    """Decode a picture file to 8-bit grey, turned as its EXIF says."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UnreadableImage(f"{path} is larger than {FILE_BYTES_MAX // 2**20} MiB.")
        data = path.read_bytes()
        # The header alone tells the size, before any decoder allocates for it.
        with Image.open(path) as header:
            width, height = header.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, ValueError) as error:
        raise UnreadableImage(f"{path} cannot be read as a picture: {error}") from error
    if width * height > PIXELS_MAX or max(width, height) > SIDE_PX_MAX:
        raise UnreadableImage(f"{path} has {width} x {height} pixels, more than can be looked at.")
    try:
        gray = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as error:
        raise UnreadableImage(f"{path} cannot be decoded: {error}") from error
    if gray is None:
        raise UnreadableImage(f"{path} cannot be decoded as a picture.")
    return np.asarray(gray, dtype=np.uint8)


def read_symbols(
    gray: Gray, formats: Collection[str] = DEFAULT_FORMATS, budget_ms: float = BUDGET_MS
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
    """
    assert gray.ndim == 2, gray.shape
    assert gray.dtype == np.uint8, gray.dtype
    started = time.monotonic()
    gray = _not_too_slim(gray)
    cascade = _Cascade(gray, check_formats(formats), started + budget_ms / 1000)
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
    elapsed_ms = (time.monotonic() - started) * 1000
    return FrameRead(tuple(symbols), tuple(reasons), elapsed_ms, (cascade.first_look_at - started) * 1000)


class _Cascade:
    """The looks at one frame and what they gave; each stage costs more than the one before."""

    def __init__(self, gray: Gray, formats: tuple[str, ...], deadline: float) -> None:
        self.gray = gray
        self.formats = formats
        self.linear = tuple(name for name in formats if name in LINEAR)
        self.matrix = tuple(name for name in formats if name not in LINEAR)
        self.reads: list[Read] = []
        self.regions: list[Region] = []
        self.first_look_at = 0.0
        self._deadline = deadline
        self._scale = min(1.0, WORK_SIDE_PX / max(gray.shape))
        self.work = _scaled(gray, self._scale) if self._scale < 1 else gray

    def spent(self) -> bool:
        return time.monotonic() >= self._deadline

    def whole_frame(self) -> None:
        """The first look; a frame larger than the working size is looked at in both."""
        back = np.array([[1 / self._scale, 0, 0], [0, 1 / self._scale, 0]])
        self._look(Crop(self.work, back), self.formats, "whole", zbar=False)
        self.first_look_at = time.monotonic()
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
        if self.reads or self.spent():
            return
        for region in linear_regions(self.work, 2 * TURN_SIDE_PX)[:CROPS_MAX]:
            grown = _grown(region, 1 / self._scale)
            if not self.spent() and not self._settled(grown.corners()):
                self._look(turned_crop(self.gray, grown, scale=_crop_scale(grown)), self.linear, "bars, fine")

    def matrices(self) -> None:
        """Matrix symbols: variants until one reads, then a second, different look at each."""
        if not self.matrix:
            return
        if not self.reads:
            for crop, look in self._matrix_variants():
                if self.spent():
                    return
                self._look(crop, self.matrix, look, zbar=False)
                if self.reads:
                    break
        for read in self._open(self.matrix):
            for crop, look in _second_looks(self.gray, read.corners):
                if self.spent():
                    return
                self._look(crop, self.matrix, look, zbar=False)
                if not any(each is read for each in self._open(self.matrix)):
                    break

    def turned_frames(self) -> None:
        """The tail, only for a frame that gave nothing: the whole frame at other angles."""
        if self.reads or not self.linear:
            return
        scale = min(1.0, TURN_SIDE_PX / max(self.gray.shape))
        small = _scaled(self.gray, scale) if scale < 1 else self.gray
        for turn in TURNS_DEG:
            if self.spent() or self.reads:
                break
            crop = turned_frame(small, turn)
            self._look(_rescaled(crop, scale), self.linear, f"turned {turn}", zbar=False)
        for read in self._open(self.linear):
            self._bars_of(_region_around(read.corners))

    def _bars_of(self, region: Region) -> None:
        """Look at one patch of bars until both engines agree there, or nothing speaks for a symbol."""
        before = len(self.reads)
        for number, (crop, look) in enumerate(_bar_looks(self.gray, region)):
            hopeless = number >= HOPELESS_AFTER_LOOKS and len(self.reads) == before
            if self.spent() or hopeless or self._settled(region.corners()):
                return
            self._look(crop, self.linear, look)

    def _matrix_variants(self) -> Iterator[tuple[Crop, str]]:
        side = max(self.gray.shape)
        still = np.eye(2, 3)
        if side <= 700:
            yield _resized(self.gray, 2.0), "double"
        yield Crop(_smooth(self.work), np.array([[1 / self._scale, 0, 0], [0, 1 / self._scale, 0]])), "smooth"
        if side > 150:
            yield _resized(self.gray, min(0.5, 800 / side)), "half"
        if side <= 350:
            doubled = _resized(self.gray, 2.0)
            yield Crop(_smooth(doubled.image), doubled.to_frame), "double, smooth"
        for region in matrix_regions(self.work)[:CROPS_MAX]:
            corners = region.corners() / self._scale
            reach = float(np.ptp(corners, axis=0).max())
            scale = min(3.0, max(0.5, 360 / max(reach, 1.0)))
            for turn, prepare in ((0.0, _smooth), (17.0, _closed), (0.0, _even)):
                crop = square_crop(self.gray, corners, scale=scale, turn_deg=turn)
                yield Crop(prepare(crop.image), crop.to_frame), f"matrix {prepare.__name__} {turn}"
        if side <= 1200:
            yield Crop(_even(self.gray), still), "even"
            yield Crop(_closed(self.gray), still), "closed"

    def _look(
        self, crop: Crop, formats: tuple[str, ...], look: str, *, zxing: bool = True, zbar: bool = True
    ) -> None:
        found = read_zxing(crop.image, formats, look) if zxing else []
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


def _bar_looks(gray: Gray, region: Region) -> Iterator[tuple[Crop, str]]:
    """Ever more prepared cut-outs of one patch of bars."""
    scale = _crop_scale(region)
    plain = turned_crop(gray, region, scale=scale)
    yield plain, "bars"
    yield bar_profile(gray, region), "bars, averaged"
    if scale == 1.0 and region.length_px <= CROP_LENGTH_PX_MAX:
        doubled = turned_crop(gray, region, scale=2.0)
        yield doubled, "bars, double"
        yield Crop(_smooth(doubled.image), doubled.to_frame), "bars, double, smooth"
    # A wider margin and a small turn give other scan lines the chance to miss a scratch or a glare spot.
    yield turned_crop(gray, region, scale=scale * 1.3, turn_deg=4.0), "bars, turned"
    yield Crop(_even(plain.image), plain.to_frame), "bars, even"


def _second_looks(gray: Gray, corners: Points) -> Iterator[tuple[Crop, str]]:
    reach = float(np.ptp(corners, axis=0).max())
    scale = min(4.0, max(0.5, 300 / max(reach, 1.0)))
    natural = 1.0 / scale
    for factor, turn, prepare in (
        (1.0, 17.0, None),
        (natural, 90.0, _smooth),
        (1.3, -28.0, _smooth),
        (natural * 1.5, 2.0, None),
        (0.8, 40.0, None),
        (natural * 2, 180.0, _smooth),
        (1.0, 8.0, _even),
        (natural * 0.7, 270.0, None),
        (2.0, 0.0, _closed),
    ):
        crop = square_crop(gray, corners, scale=scale * factor, turn_deg=turn)
        image = prepare(crop.image) if prepare else crop.image
        yield Crop(image, crop.to_frame), f"matrix again {turn}"
    yield Crop(_smooth(gray), np.eye(2, 3)), "matrix again smooth"
    yield _resized(gray, 2.0 if max(gray.shape) <= 700 else 0.5), "matrix again resized"


def _not_too_slim(gray: Gray) -> Gray:
    """Add paper below or beside a strip, so that no shrunk copy of it has a side of nothing."""
    height, width = gray.shape
    least = max(8, max(height, width) // SLIMNESS_MAX)
    below, beside = max(0, least - height), max(0, least - width)
    if not below and not beside:
        return gray
    padded = cv2.copyMakeBorder(gray, 0, below, 0, beside, cv2.BORDER_CONSTANT, value=255)
    return np.asarray(padded, dtype=np.uint8)


def _crop_scale(region: Region) -> float:
    area = max(region.length_px * region.height_px, 1.0)
    return min(1.0, CROP_LENGTH_PX_MAX / max(region.length_px, 1.0), math.sqrt(CROP_PIXELS_MAX / area))


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


def _resized(gray: Gray, scale: float) -> Crop:
    return Crop(_scaled(gray, scale), np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]]))


def _scaled(gray: Gray, scale: float) -> Gray:
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=how), dtype=np.uint8)


def _smooth(gray: Gray) -> Gray:
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), 1.2), dtype=np.uint8)


def _even(gray: Gray) -> Gray:
    """Even the light out by tiles: for glare, shadow and low contrast."""
    return np.asarray(cv2.createCLAHE(clipLimit=4.0, tileGridSize=(6, 6)).apply(gray), dtype=np.uint8)


def _closed(gray: Gray) -> Gray:
    """Join printed dots that do not touch (etched or dotted DataMatrix)."""
    opened = cv2.morphologyEx(gray, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened, dtype=np.uint8)
