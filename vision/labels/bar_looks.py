"""Looks at one patch of bars, cheap ones first.

Bars carry everything in one direction, so a strip of them can be averaged along the bars to one line of grey
levels. Grain goes, and the line can be restored: its light evened out and its edges sharpened, which two
dimensions would not allow without inventing dots. A strip of a third of the height misses a glare spot, a
fold or a scratch that the whole does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from vision.labels.agreement import RESTORED
from vision.labels.locate import Crop, Gray, Region, bar_profile, turned_crop
from vision.labels.prepare import even, smooth

Line = npt.NDArray[np.float32]

CROP_LENGTH_PX_MAX = 1400
CROP_PIXELS_MAX = 400_000
# The shortest Code 128 (start, one character, check, stop) has 25 edges; Code 39 more.
EDGES_MIN = 20
STRIPS = ((0.1, 0.9), (0.08, 0.36), (0.36, 0.64), (0.64, 0.92))
STRIP_ROWS = 40
STRIP_LENGTH_PX_MAX = 2800
STRIP_SCALE_MAX = 4.0
SLANTS = np.linspace(-0.06, 0.06, 13)
SLANT_ROWS = 16
LINE_HEIGHT_PX = 40
# A tenth of a symbol is ten modules and more; the widest element has four, so black and white are in it.
WINDOW_SHARE = 0.1
WINDOW_PX_MIN = 24.0
CONTRAST_MIN = 8.0
CONTRAST_SHARE_MIN = 0.2
SHARPEN_SIGMA_PX = 1.5
SHARPEN_AMOUNT = 2.0


def crop_scale(region: Region) -> float:
    """How much a patch is shrunk so that no look at it costs too much."""
    area = max(region.length_px * region.height_px, 1.0)
    return min(1.0, CROP_LENGTH_PX_MAX / max(region.length_px, 1.0), math.sqrt(CROP_PIXELS_MAX / area))


def bar_looks(gray: Gray, region: Region) -> Iterator[tuple[Crop, str]]:
    """Ever more prepared cut-outs of one patch of bars; few where its strips show no bars."""
    scale = crop_scale(region)
    plain = turned_crop(gray, region, scale=scale)
    yield plain, "bars"
    yield Crop(even(plain.image), plain.to_frame), "bars, even"
    strips = [_Strip(gray, region, *part) for part in STRIPS]
    if max(strip.edges for strip in strips) < EDGES_MIN:
        return
    for number, strip in enumerate(strips):
        yield strip.crop(strip.levelled), f"{RESTORED} level {number}"
        yield strip.crop(_sharp(strip.levelled, strip.scale)), f"{RESTORED} sharp {number}"
    yield bar_profile(gray, region), "bars, averaged"
    if scale == 1.0 and region.length_px <= CROP_LENGTH_PX_MAX:
        doubled = turned_crop(gray, region, scale=2.0)
        yield doubled, "bars, double"
        yield Crop(smooth(doubled.image), doubled.to_frame), "bars, double, smooth"
    # A wider margin and a small turn give other scan lines the chance to miss a scratch or a glare spot.
    yield turned_crop(gray, region, scale=scale * 1.3, turn_deg=4.0), "bars, turned"


class _Strip:
    """A strip of a patch, `low` to `high` as shares of its height, as one line of grey levels."""

    def __init__(self, gray: Gray, region: Region, low: float, high: float) -> None:
        self._gray, self._region = gray, region
        self._low, self._high = low, high
        self._margin_px = 0.1 * region.length_px + 10
        length = region.length_px + 2 * self._margin_px
        self.scale = min(STRIP_SCALE_MAX, STRIP_LENGTH_PX_MAX / length)
        # Bars that lean a little against the patch would smear; the sharpest slant is theirs.
        slopes = [float(np.abs(np.diff(self._line(slant, 1.0, SLANT_ROWS))).sum()) for slant in SLANTS]
        self._slant = float(SLANTS[int(np.argmax(slopes))])
        self.levelled = _levelled(self._line(self._slant, self.scale, STRIP_ROWS), self._window_px())
        inside = self.levelled[int(self._margin_px * self.scale) : -int(self._margin_px * self.scale)]
        self.edges = int(np.count_nonzero(np.diff(inside > 127)))

    def _window_px(self) -> int:
        return int(max(WINDOW_PX_MIN, WINDOW_SHARE * self._region.length_px) * self.scale)

    def _to_frame(self, slant: float, scale: float, rows: int) -> npt.NDArray[np.float64]:
        """Return where a pixel of the cut-out lies in the frame."""
        turn = math.radians(self._region.angle_deg)
        along = np.array([math.cos(turn), math.sin(turn)])
        across = np.array([-along[1], along[0]])
        height = self._region.height_px
        row_px = (self._high - self._low) * height / rows
        first = (self._low - 0.5) * height
        middle = (self._low + self._high - 1) / 2 * height
        begin = -self._region.length_px / 2 - self._margin_px
        origin = np.array(self._region.center) + along * (begin + slant * (first - middle)) + across * first
        return np.column_stack([along / scale, (across + slant * along) * row_px, origin])

    def _line(self, slant: float, scale: float, rows: int) -> Line:
        length = int((self._region.length_px + 2 * self._margin_px) * scale)
        cut = cv2.warpAffine(
            self._gray,
            self._to_frame(slant, scale, rows),
            (max(length, 24), rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(cut.mean(axis=0), dtype=np.float32)

    def crop(self, line: Line) -> Crop:
        """Draw the line as bars again: engines read pictures."""
        image = np.repeat(np.clip(line, 0, 255).astype(np.uint8)[np.newaxis], LINE_HEIGHT_PX, axis=0)
        return Crop(image, self._to_frame(self._slant, self.scale, LINE_HEIGHT_PX))


def _levelled(line: Line, window_px: int) -> Line:
    """Stretch a line between the darkest and the brightest around each place; the quiet zone stays white."""
    row = line[np.newaxis]
    window = np.ones((1, window_px), np.uint8)
    high = cv2.blur(cv2.dilate(row, window), (window_px, 1))
    low = cv2.blur(cv2.erode(row, window), (window_px, 1))
    contrast = high - low
    least = max(CONTRAST_MIN, CONTRAST_SHARE_MIN * float(np.median(contrast)))
    stretched = 255 * (1 - (high - row) / np.maximum(contrast, least))
    return np.asarray(np.clip(stretched[0], 0, 255), dtype=np.float32)


def _sharp(line: Line, scale: float) -> Line:
    soft = cv2.GaussianBlur(line[np.newaxis], (0, 0), SHARPEN_SIGMA_PX * scale)[0]
    return np.asarray(line + SHARPEN_AMOUNT * (line - soft), dtype=np.float32)
