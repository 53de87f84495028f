"""Two pictures of one field, each through its own filter: backgrounds, registration, the picture of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

# Backgrounds vary slowly: they are taken from pictures shrunk by this, in tiles of this many cell diameters.
SHRINK = 8
TILE_DIAMETERS = 3.0
BACKGROUND_PERCENTILE = 25
# Registration looks at pictures of at most this side; the peak's place is told to a fraction of a pixel.
REGISTRATION_SIDE_PX = 640
# Details finer than this share of a cell's diameter are grain and have no say.
DETAIL_SHARE = 1 / 12
# The peak of a true shift is this many spreads above the middle and this much above all peaks further off;
# of mixes whose stains share no light, chance made 18 spreads, and true peaks of others began at 20.
PEAK_SPREADS_LEAST = 25.0
PEAK_OVER_OTHERS_LEAST = 1.4
# What is corrected, in cell diameters; channels that lie further apart are not pictures of one field.
SHIFT_DIAMETERS_MOST = 0.5
# How far a shift is looked for, in cell diameters, so that one beyond the limit is told and not missed.
SEARCHED_DIAMETERS = 3.0
# A channel whose brightest places stand out of their noise by less holds nothing.
SIGNAL_SPREADS_LEAST = 8.0
# No channel is raised by more than this over the other to look for nuclei in both: it would raise grain.
GAIN_MOST = 4.0
LOOKED_AT_GREY = 150.0
PERCENTILE_PIXELS = 250_000


@dataclass(frozen=True, slots=True)
class Shift:
    """Where the second channel lies against the first, in pixels; `known` when the pictures say so."""

    x_px: float
    y_px: float
    known: bool

    @property
    def length_px(self) -> float:
        """Length of the shift."""
        return math.hypot(self.x_px, self.y_px)


def without_background(grey: Image, diameter_px: float) -> Image:
    """Take off the light between the cells.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Picture in grey levels. Not changed.
    diameter_px : float
        Diameter of a typical cell.

    Returns
    -------
    (h, w) float32 ndarray
        Grey levels above the background, about 0 where there is no cell.
    """
    height, width = grey.shape
    size = (max(1, -(-width // SHRINK)), max(1, -(-height // SHRINK)))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)
    side = max(4, round(TILE_DIAMETERS * diameter_px / SHRINK))
    rows, columns = max(1, round(size[1] / side)), max(1, round(size[0] / side))
    # Whole tiles: the picture is brought to a multiple of the tile's side, which changes its grain by little.
    fitted = cv2.resize(small, (columns * side, rows * side), interpolation=cv2.INTER_NEAREST)
    tiles = fitted.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(rows, columns, side * side)
    rank = side * side * BACKGROUND_PERCENTILE // 100
    levels = np.ascontiguousarray(np.partition(tiles, rank, axis=2)[:, :, rank])
    smooth = cv2.GaussianBlur(levels, (0, 0), 0.8)
    wide = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.subtract(grey, wide, out=wide), np.float32)


def _reduced(image: Image, factor: float) -> Image:
    small = image
    if factor < 1:
        small = np.asarray(
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32
        )
    # The square root keeps a few glaring nuclei from outvoting the many.
    rooted = np.sqrt(np.maximum(small, 0))
    height, width = rooted.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]).astype(np.float32)
    return np.asarray((rooted - rooted.mean()) * window, np.float32)


def shift_between(a: Image, b: Image, diameter_px: float) -> Shift:
    """Find how far the second channel is shifted against the first, by phase correlation [1]_.

    Parameters
    ----------
    a, b : (h, w) float32 ndarray
        Channels without their backgrounds. Not changed.
    diameter_px : float
        Diameter of a typical cell.

    Returns
    -------
    Shift
        Not known, and zero, when no shift stands out: the stains may show different cells.

    References
    ----------
    .. [1] C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method", Proc. IEEE
       Int. Conf. Cybernetics and Society, 163-165, 1975.
    """
    factor = min(1.0, REGISTRATION_SIDE_PX / max(a.shape))
    first, second = _reduced(a, factor), _reduced(b, factor)
    cross = np.fft.rfft2(second) * np.conj(np.fft.rfft2(first))
    size = np.abs(cross)
    sigma = diameter_px * factor * DETAIL_SHARE
    v = np.fft.fftfreq(first.shape[0])[:, None]
    u = np.fft.rfftfreq(first.shape[1])[None, :]
    passed = np.exp(-2 * (np.pi * sigma) ** 2 * (u * u + v * v))
    cross *= passed / (size + 1e-3 * float(size.mean()) + 1e-12)
    surface = np.fft.irfft2(cross, s=first.shape)
    reach = min(math.ceil(SEARCHED_DIAMETERS * diameter_px * factor), min(first.shape) // 2 - 2)
    near = np.roll(surface, (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    row, column = (int(k) for k in np.unravel_index(int(np.argmax(near)), near.shape))
    some = surface[::3, ::3]
    middle = float(np.median(some))
    spread = 1.4826 * float(np.median(np.abs(some - middle))) + 1e-12
    beyond = max(2, round(diameter_px * factor / 2))
    others = near.copy()
    others[max(0, row - beyond) : row + beyond + 1, max(0, column - beyond) : column + beyond + 1] = middle
    height = float(near[row, column]) - middle
    if height < max(PEAK_SPREADS_LEAST * spread, PEAK_OVER_OTHERS_LEAST * (float(others.max()) - middle)):
        return Shift(0.0, 0.0, False)
    x = column - reach + _vertex(near[row, max(0, column - 1) : column + 2])
    y = row - reach + _vertex(near[max(0, row - 1) : row + 2, column])
    return Shift(float(x / factor), float(y / factor), True)


def _vertex(three: npt.NDArray[np.floating]) -> float:
    """Place of a parabola's top through three values, against the middle one; 0 at the edge."""
    if len(three) < 3:
        return 0.0
    low, here, high = (float(v) for v in three)
    bend = low - 2 * here + high
    return 0.0 if bend >= 0 else 0.5 * (low - high) / bend


def shifted_back(image: Image, shift: Shift) -> Image:
    """Lay the second channel over the first."""
    way = np.array([[1, 0, -shift.x_px], [0, 1, -shift.y_px]], np.float64)
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, way, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def brightest(image: Image, diameter_px: float) -> float:
    """Return how bright the two brightest nuclei are, or 0 where nothing stands out of the grain.

    The picture is first averaged over a part of a nucleus, so that neither a hot pixel nor a speck counts.
    """
    factor = min(1.0, 4 / diameter_px)
    small = np.asarray(
        cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32
    )
    nucleus_px = math.pi * (diameter_px * factor / 2) ** 2
    last = small.size - 1
    # The lower half of the values is background: from the median to the 16th percentile is one spread.
    ranks = [int(0.16 * last), last // 2, max(0, last - round(2 * nucleus_px))]
    ordered = np.partition(small, ranks, axis=None)
    low, middle, level = (float(ordered[rank]) for rank in ranks)
    return level if level - middle > SIGNAL_SPREADS_LEAST * max(middle - low, 0.1) else 0.0


def picture_of_both(a: Image, b: Image, diameter_px: float) -> Image:
    """Return the picture in which nuclei are looked for: the brighter channel at each pixel, on one scale.

    Parameters
    ----------
    a, b : (h, w) float32 ndarray
        Channels without backgrounds, one over the other. Not changed.
    diameter_px : float
        Diameter of a typical nucleus.

    Returns
    -------
    (h, w) float32 ndarray
        Grey levels 0 to 255.
    """
    top_a, top_b = brightest(a, diameter_px), brightest(b, diameter_px)
    top = max(top_a, top_b)
    if top <= 0:
        return np.clip(a, 0, 255)
    gain_a = LOOKED_AT_GREY / max(top_a, top / GAIN_MOST) if top_a else 0.0
    gain_b = LOOKED_AT_GREY / max(top_b, top / GAIN_MOST) if top_b else 0.0
    both = np.maximum(a * np.float32(gain_a), b * np.float32(gain_b))
    return np.asarray(np.clip(both, 0, 255, out=both), np.float32)
