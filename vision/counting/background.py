"""The empty field's brightness, the picture divided by it, and the grain of its pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]

SHRINK = 8
# A window of 13 x 13 shrunken pixels is some 100 px a side: cells and thin lines do not move its median.
WINDOW_PX = 13
SMOOTHING_SIGMA_PX = 1.6
# The second median works on what the first left over, this much up and down (no unit).
REFINED_SPAN = 0.1
# One of every few rows serves to estimate the noise; some so many pixels are plenty.
NOISE_ROW_STRIDE, NOISE_PIXELS = 4, 250_000


def background_of(grey: Grey, factor: float = 1.0) -> Grey:
    """Estimate the empty field's brightness: a wide median that cells and thin lines do not move.

    Parameters
    ----------
    grey : (h, w) float32 ndarray
        Picture in grey levels. Not changed.
    factor : float
        Sizes of this module are in pixels of the picture resized by this factor.

    Returns
    -------
    (h, w) float32 ndarray
        Background, in grey levels, at least 1.

    Notes
    -----
    OpenCV's wide median knows bytes only, which are too coarse where light falls off. So it is taken
    twice: of the picture, then of the picture divided by the first, spread over all 256 levels.
    """
    height, width = grey.shape
    size = (max(1, round(width * factor / SHRINK)), max(1, round(height * factor / SHRINK)))
    small = np.maximum(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32(1.0))
    middle = np.float32(np.median(small))
    first = _median_of_bytes(small * (np.float32(100.0) / middle))
    coarse = cv2.GaussianBlur(np.maximum(first, np.float32(1.0)), (0, 0), SMOOTHING_SIGMA_PX)
    coarse = np.asarray(coarse * (middle / np.float32(100.0)), np.float32)
    step = 2 * REFINED_SPAN / 255
    rest = _median_of_bytes((small / coarse - 1.0) / step + 127.5)
    fine = cv2.GaussianBlur(coarse * ((rest - 127.5) * step + 1.0), (0, 0), SMOOTHING_SIGMA_PX)
    wide = cv2.resize(fine, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.maximum(wide, np.float32(1.0)), np.float32)


def _median_of_bytes(values: npt.NDArray[np.floating]) -> Grey:
    """Take the median of the window about each value, after rounding to 0-255."""
    reach = WINDOW_PX // 2
    octets = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    wide = cv2.copyMakeBorder(octets, reach, reach, reach, reach, cv2.BORDER_REFLECT)
    median = cv2.medianBlur(wide, WINDOW_PX)[reach : reach + len(values), reach : reach + values.shape[1]]
    return np.asarray(median, np.float32)


def relative_to(grey: Grey, background: Grey) -> Grey:
    """Return the picture over its background, minus 1 (no unit): 0 where the field is empty."""
    relative: Grey = np.asarray(cv2.divide(grey, background), np.float32)
    np.subtract(relative, np.float32(1.0), out=relative)
    return relative


def noise_of(relative: Grey) -> float:
    """Estimate the pixel noise of a relative image from its second differences (no unit).

    References
    ----------
    .. [1] J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image
       Understanding 64(2), 300-302, 1996; with the median instead of the mean, so that cells
       do not count as noise.
    """
    if min(relative.shape) < 3:
        return 0.0
    end = relative.shape[0] - 2
    stride = max(NOISE_ROW_STRIDE, relative.size // NOISE_PIXELS)
    above, here, below = (relative[k : end + k : stride] for k in range(3))
    corners = above[:, :-2] + above[:, 2:] + below[:, :-2] + below[:, 2:]
    sides = above[:, 1:-1] + below[:, 1:-1] + here[:, :-2] + here[:, 2:]
    mask = corners - np.float32(2) * sides + np.float32(4) * here[:, 1:-1]
    return float(np.median(np.abs(mask)) / (6.0 * 0.6745))
