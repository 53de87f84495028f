"""What kind of picture is this? Cheap statistics of texture, light and shape, read by a small network.

A field is looked at through a few windows. Each is described by some eighty numbers: how brightness is
spread about the local background, how much there is at each size, how lines run, what the connected
spots are like, and the mean profile around the strongest of them. A small static network, trained by
`vision.counting.training.train_picture_kind`, gives the odds of trypan-blue brightfield, of fluorescence,
and of anything else. It uses nothing of any counting method.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vision.picture_file import FieldPicture

MODEL_FILE = Path(__file__).parent / "models" / "picture_kind.json"
KINDS = ("brightfield", "fluorescence", "other")
WINDOW_PX = 224
WINDOWS_A_SIDE = 4
# Windows whose strongest spot is fainter than this (in logarithm of brightness) show nothing to judge by.
QUIET_CONTRAST = 0.04
BACKGROUND_SHRINK = 12
# Added to grey levels before the logarithm, so that the grain of a black ground stays small.
GREY_OFFSET = 4.0
SPOTS = 10
RING_EDGES_PX = (0, 2, 4, 6, 8, 10, 13, 16)
BIN_EDGES = (-1.0, -0.5, -0.25, -0.12, -0.06, -0.03, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Windows:
    """The parts of a field that are looked at.

    Attributes
    ----------
    greys : list of (h, w) float32 ndarray
        Grey levels at the working scale, at most `WINDOW_PX` a side.
    colour : (2,) tuple of float
        Mean and 95th percentile of the difference between the strongest and weakest channel, 0 to 1.
    """

    greys: list[Array]
    colour: tuple[float, float]


def _starts(length: int, window: int) -> list[int]:
    """Spread windows evenly over a length; one where the length is less than one and a half windows."""
    count = min(WINDOWS_A_SIDE, max(1, round(length / window)))
    if count == 1:
        return [max(0, (length - window) // 2)]
    return [round(k * (length - window) / (count - 1)) for k in range(count)]


def windows_of(picture: FieldPicture, factor: float) -> Windows:
    """Cut the windows of a picture and bring them to the working scale.

    Parameters
    ----------
    picture : FieldPicture
    factor : float
        What the picture is resized by, so that a cell measures about 20 px.
    """
    height, width = picture.grey.shape
    side = max(16, round(WINDOW_PX / factor))
    # A picture hardly larger than one window is taken whole: its border is as telling as its middle.
    greys = []
    for top in _starts(height, side):
        for left in _starts(width, side):
            part = picture.grey[top : top + side, left : left + side]
            if abs(factor - 1) > 0.15:
                way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
                part = np.asarray(cv2.resize(part, None, fx=factor, fy=factor, interpolation=way), np.float32)
            greys.append(np.ascontiguousarray(part, np.float32))
    return Windows(greys, (picture.colourfulness, picture.colourfulness_high))


def _blur(values: Array, sigma_px: float) -> Array:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)


def background_of(grey: Array) -> Array:
    """Estimate the empty ground of a window: a median over some 60 px of the picture made small."""
    height, width = grey.shape
    size = (max(2, round(width / BACKGROUND_SHRINK)), max(2, round(height / BACKGROUND_SHRINK)))
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    middle = cv2.GaussianBlur(cv2.medianBlur(small, 5), (0, 0), 0.8)
    return np.asarray(cv2.resize(middle, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _moments(values: Array) -> tuple[float, float, float]:
    """Return spread, lopsidedness (-3 to 3) and peakedness (mean size over spread) of a zero-mean map."""
    flat = values.ravel()
    power = float(np.dot(flat, flat)) / flat.size
    spread = float(np.sqrt(power)) + 1e-6
    cubed = float(np.dot(flat * flat, flat)) / flat.size / spread**3
    return spread, float(np.clip(np.cbrt(cubed), -3, 3)), float(np.abs(flat).mean()) / spread


def _noise_of(values: Array) -> tuple[float, Array]:
    """Return the grain (standard deviation) and the map of second differences that it is taken from."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    mask = np.abs(cv2.filter2D(values, cv2.CV_32F, kernel)) / 6
    return float(np.median(mask[::2, ::2]) / 0.6745), np.asarray(mask, np.float32)


def _bands(contrast: Array) -> tuple[list[float], list[Array]]:
    """Describe what there is at each size, from 1 to 16 px."""
    small = _blur(contrast, 2.0)
    half = np.ascontiguousarray(small[::2, ::2])
    coarse = _blur(half, 1.73)
    quarter = np.ascontiguousarray(coarse[::2, ::2])
    wide, wider = _blur(quarter, 1.73), _blur(quarter, 3.9)
    fine = _blur(contrast, 1.0)
    numbers: list[float] = []
    for band in (contrast - fine, fine - small, half - coarse, quarter - wide, wide - wider):
        spread, lopsided, peaked = _moments(band)
        numbers += [np.log(spread), lopsided, peaked]
    levels = numbers[0::3]
    numbers += [b - a for a, b in itertools.pairwise(levels)]
    return numbers, [fine, small, quarter]


def _lines(fine: Array) -> list[float]:
    """Describe how edges run: their strength, and whether one direction or two prevail."""
    gx = cv2.Sobel(fine, cv2.CV_32F, 1, 0)[::2, ::2] / 8
    gy = cv2.Sobel(fine, cv2.CV_32F, 0, 1)[::2, ::2] / 8
    power = gx * gx + gy * gy
    ranked = np.sqrt(np.partition(power.ravel(), [int(q * (power.size - 1)) for q in (0.5, 0.9, 0.99)]))
    middle, high, top = (float(ranked[int(q * (power.size - 1))]) for q in (0.5, 0.9, 0.99))
    strong = power > max(1e-6, (0.3 * top) ** 2)
    angle = np.arctan2(gy[strong], gx[strong])
    weight = np.sqrt(power[strong])
    total = float(weight.sum()) + 1e-6
    turns = [
        abs(complex((weight * np.cos(n * angle)).sum(), (weight * np.sin(n * angle)).sum())) / total
        for n in (2, 4)
    ]
    upright = float((weight * np.cos(4 * angle)).sum()) / total
    return [
        np.log(middle + 1e-4),
        np.log(high + 1e-4),
        np.log(top + 1e-4),
        float(strong.mean()),
        *turns,
        upright,
    ]


def _spots(small: Array, floor: float) -> list[float]:
    """Describe the connected spots that stand out of the ground, dark and bright together."""
    mask = (np.abs(small) > floor).astype(np.uint8)
    _count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    stats = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= 12]
    cover = float(mask.mean())
    if len(stats) == 0:
        return [cover, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    wide, tall = stats[:, cv2.CC_STAT_WIDTH].astype(float), stats[:, cv2.CC_STAT_HEIGHT].astype(float)
    size = np.sqrt(area)
    return [
        cover,
        float(np.log1p(len(stats) * 5e4 / mask.size)),
        float(np.log(np.median(size))),
        float(np.std(np.log(size))),
        float(area.max() / area.sum()),
        float(area.max() / mask.size),
        float(np.median(area / (wide * tall))),
        float(np.median(np.minimum(wide, tall) / np.maximum(wide, tall))),
    ]


@cache
def _ring_table() -> list[tuple[npt.NDArray[np.intp], ...]]:
    reach = RING_EDGES_PX[-1]
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    far = np.hypot(rows, columns)
    return [np.nonzero((far >= low) & (far < high)) for low, high in itertools.pairwise(RING_EDGES_PX)]


def _profiles(contrast: Array, activity: Array) -> list[float]:
    """Describe what lies around the strongest spots: mean and spread of each ring, over the spots."""
    reach = RING_EDGES_PX[-1]
    peak = cv2.dilate(activity, np.ones((5, 5), np.uint8))
    rows, columns = np.nonzero((activity >= peak) & (activity > 0.01))
    order = np.argsort(-activity[rows, columns], kind="stable")[:SPOTS]
    rings = _ring_table()
    if len(order) == 0:
        return [0.0] * (4 * len(rings) + 2)
    border = cv2.copyMakeBorder(contrast, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    padded = np.asarray(border, np.float32)
    patches = np.stack(
        [
            _patch(padded, 4 * int(y), 4 * int(x), 2 * reach + 1)
            for y, x in zip(rows[order], columns[order], strict=True)
        ]
    )
    means = np.stack([patches[:, r, c].mean(axis=1) for r, c in rings], axis=1)
    spreads = np.stack([patches[:, r, c].std(axis=1) for r, c in rings], axis=1)
    strength = activity[rows[order], columns[order]]
    return [
        *means.mean(axis=0).tolist(),
        *means.std(axis=0).tolist(),
        *spreads.mean(axis=0).tolist(),
        *(spreads.mean(axis=0) / (np.abs(means).mean(axis=0) + 0.02)).clip(0, 10).tolist(),
        float(np.log1p(len(order))),
        float(strength[-1] / strength[0]),
    ]


def _patch(padded: Array, top: int, left: int, side: int) -> Array:
    top, left = min(top, padded.shape[0] - side), min(left, padded.shape[1] - side)
    return padded[top : top + side, left : left + side]


def contrast_of(grey: Array) -> tuple[Array, Array]:
    """Return the logarithm of brightness over the ground's, and the ground in grey levels."""
    ground = background_of(grey)
    offset = np.float32(GREY_OFFSET)
    return np.log((np.maximum(grey, 0) + offset) / (np.maximum(ground, 0) + offset)), ground


def describe(grey: Array, colour: tuple[float, float]) -> tuple[Array, float]:
    """Describe one window by numbers, and say how strong its strongest spot is.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Grey levels, at least 16 px a side.
    colour : tuple of float
        As in `Windows`.

    Returns
    -------
    (n,) float32 ndarray
        The description.
    float
        Contrast of the strongest spot (logarithm of brightness), without its share of grain.
    """
    contrast, ground = contrast_of(grey)
    noise, mask = _noise_of(contrast)
    bands, (fine, small, quarter) = _bands(contrast)
    activity = np.sqrt(np.maximum(_blur(quarter * quarter, 1.0), 0))
    shares = np.diff(
        np.searchsorted(np.sort(fine[::2, ::2].ravel()), BIN_EDGES), prepend=0, append=fine[::2, ::2].size
    )
    dark, bright = small < -max(0.1, 4 * noise), small > max(0.1, 4 * noise)
    grain = [
        float(np.log((np.median(mask[part]) + 1e-3) / (noise * 0.6745 + 1e-3))) if part.sum() > 60 else 0.0
        for part in (dark, bright)
    ]
    levels = cv2.calcHist([grey[::2, ::2].copy()], [0], None, [256], [0, 256]).ravel()
    cumulated = np.cumsum(levels) / max(1.0, float(levels.sum()))
    ranks = [float(np.searchsorted(cumulated, q)) / 255 for q in (0.01, 0.25, 0.5, 0.75, 0.99)]
    span = max(ranks[4] - ranks[0], 1 / 255)
    low, middle, high = np.percentile(ground[::4, ::4], [5, 50, 95])
    numbers = [
        *bands,
        *_lines(fine),
        *_spots(small, max(0.08, 3 * noise)),
        *_profiles(_blur(contrast, 0.8), activity),
        *np.sqrt(shares / max(1, int(shares.sum()))).tolist(),
        float(np.log(noise + 1e-3)),
        *grain,
        *ranks,
        (ranks[2] - ranks[0]) / span,
        float(np.log(span)),
        float((levels > 0).mean()),
        float(levels[0] / levels.sum()),
        float(levels[255] / levels.sum()),
        float(np.log((low + GREY_OFFSET) / (middle + GREY_OFFSET))),
        float(np.log((high + GREY_OFFSET) / (middle + GREY_OFFSET))),
        float(np.sqrt(colour[0])),
        float(np.sqrt(colour[1])),
    ]
    return np.asarray(numbers, np.float32), float(activity.max()) - noise
