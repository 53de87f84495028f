"""What the nuclei counter makes of a picture's light: background, bright end, grain, and two views.

Everything is local and robust, so that a dim nucleus beside a bright one is seen, and bounded by the
grain, so that an empty field stays empty.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import nuclei_kernels

Image = npt.NDArray[np.float32]

BLOCK_PX = 32
# Grain is looked for in pieces this small: even between crowded nuclei some show background alone.
GRAIN_PX = 16
# One grey level of an 8-bit picture hides this much grain; nothing below it can be told.
GRAIN_LEAST = 0.5
# The bright end is at least this many times the grain above the background.
BRIGHT_LEAST_GRAINS = 12.0


@dataclass(frozen=True, slots=True)
class Light:
    """Background and bright end (grey levels, at block centres) and the grain (grey levels)."""

    low: Image
    high: Image
    noise: float


def _blocks(grey: Image, side: int) -> Image:
    """Return a picture's whole blocks as (rows, columns, side * side); a last part block is left out."""
    rows, columns = grey.shape[0] // side, grey.shape[1] // side
    cut = grey[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return np.ascontiguousarray(cut.transpose(0, 2, 1, 3)).reshape(rows, columns, side * side)


def _softened(grid: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(grid, (0, 0), 1.5, borderType=cv2.BORDER_REPLICATE), np.float32)


def light_of(grey: Image, grain_least: float = GRAIN_LEAST) -> Light:
    """Measure a picture's light.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        The picture, in grey levels of 0 to 255, 32 px a side or more. Not changed.
    grain_least : float
        Grain that is assumed at least, in grey levels.
    """
    # Every second pixel gives the same percentiles at a quarter of the cost.
    thin = grey[::2, ::2]
    side = BLOCK_PX // 2
    below, right = -thin.shape[0] % side, -thin.shape[1] % side
    whole = np.asarray(cv2.copyMakeBorder(thin, 0, below, 0, right, cv2.BORDER_REFLECT), np.float32)
    blocks = _blocks(whole, side)
    ranks = int(0.1 * (side * side - 1)), int(0.97 * (side * side - 1))
    ordered = np.partition(blocks, ranks, axis=2)
    low, high = ordered[:, :, ranks[0]].copy(), ordered[:, :, ranks[1]].copy()
    # A block may lie within one nucleus: the darkest of its neighbours is nearer to the background.
    low = np.asarray(cv2.medianBlur(cv2.erode(low, np.ones((3, 3), np.uint8)), 5), np.float32)
    high = np.asarray(cv2.dilate(high, np.ones((5, 5), np.uint8)), np.float32)
    low = _softened(low)
    high = _softened(high)
    pieces = _blocks(whole, GRAIN_PX // 2)
    spread = np.sort(pieces.std(axis=2).ravel())
    noise = max(grain_least, float(spread[len(spread) // 10]))
    high = np.maximum(high, low + np.float32(BRIGHT_LEAST_GRAINS * noise))
    return Light(low=low, high=high, noise=noise)


def views(grey: Image, light: Light, top: int = 0) -> Image:
    """Return rows of a picture, from row `top` on, as the network sees them: (2, h, w) float32."""
    out = np.empty((2, *grey.shape), np.float32)
    nuclei_kernels.two_views(grey, light.low, light.high, light.noise, float(BLOCK_PX), top, out)
    return out
