"""How sharp the symbols of a frame are, beside what this camera gave when it was set up.

The figure has no absolute meaning: lens, light and distance are in it. It tells an operator why a label was
not read; it never accepts anything.
"""

from __future__ import annotations

import cv2
import numpy as np

from vision.labels.locate import Gray, Region, linear_regions, matrix_regions

# Below this share of the station's own figure a frame is soft enough to say so.
SOFT_SHARE = 0.4
WINDOW_PX = 256


def focus_of(gray: Gray) -> float | None:
    """Return how steep the symbols' edges are, or None where nothing looks like a symbol.

    Returns
    -------
    float or None
        Root mean square of the Laplacian over the grey levels' spread, in the largest patch that looks like
        a symbol (no unit, about 0.1 to 2).
    """
    regions = linear_regions(gray)[:1] or matrix_regions(gray)[:1]
    return _sharpness(gray, regions[0]) if regions else None


def is_soft(gray: Gray, baseline: float) -> bool:
    """Say whether the frame's symbols are much softer than when the camera was set up."""
    found = focus_of(gray)
    return baseline > 0 and found is not None and found < SOFT_SHARE * baseline


def _sharpness(gray: Gray, region: Region) -> float:
    reach = int(min(WINDOW_PX, max(region.length_px, region.height_px))) // 2 + 4
    x, y = int(region.center[0]), int(region.center[1])
    patch = gray[max(0, y - reach) : y + reach, max(0, x - reach) : x + reach]
    low, high = np.percentile(patch, [2, 98])
    slope = cv2.Laplacian(patch, cv2.CV_32F)
    return float(np.sqrt(np.mean(slope * slope)) / max(high - low, 8.0))
