"""Ways to prepare pixels before they are read: each has a fault of pictures that it undoes."""

from __future__ import annotations

import cv2
import numpy as np

from vision.labels.locate import Gray

PAPER_LEVEL = 235
FLATTEN_SHRINK = 4
FLATTEN_REACH_SHARE = 0.125


def scaled(gray: Gray, scale: float) -> Gray:
    """Resize; shrinking averages, so that no dot is skipped."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(gray, None, fx=scale, fy=scale, interpolation=how), dtype=np.uint8)


def smooth(gray: Gray) -> Gray:
    """Take the grain out."""
    return np.asarray(cv2.GaussianBlur(gray, (0, 0), 1.2), dtype=np.uint8)


def even(gray: Gray) -> Gray:
    """Even the light out by tiles: for glare, shadow and low contrast."""
    return np.asarray(cv2.createCLAHE(clipLimit=4.0, tileGridSize=(6, 6)).apply(gray), dtype=np.uint8)


def closed(gray: Gray, side_px: int = 3) -> Gray:
    """Join printed dots that do not touch, and close white lines narrower than `side_px`."""
    opened = cv2.morphologyEx(gray, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    return np.asarray(opened, dtype=np.uint8)


def flattened(gray: Gray) -> Gray:
    """Divide by the paper's own brightness: shadow and falling light go, the print stays.

    The paper around a place is the brightest there is within an eighth of the picture.
    """
    height, width = gray.shape
    shrink = FLATTEN_SHRINK if min(height, width) > 50 * FLATTEN_SHRINK else 1
    small = cv2.resize(gray, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    reach = max(5, int(FLATTEN_REACH_SHARE * min(small.shape))) | 1
    paper = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((reach, reach), np.uint8))
    paper = cv2.blur(paper, (reach, reach))
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.divide(gray, paper, scale=PAPER_LEVEL), dtype=np.uint8)


def sharpened(gray: Gray, sigma_px: float, amount: float) -> Gray:
    """Take the neighbourhood's blur away from each pixel: for a lens out of focus, or a hand that moved."""
    soft = cv2.GaussianBlur(gray, (0, 0), sigma_px)
    return np.asarray(cv2.addWeighted(gray, 1 + amount, soft, -amount, 0), dtype=np.uint8)
