"""Why a frame gave no confirmed read, in words the operator can act on.

These measures tell what to change (light, distance, focus, angle). They never accept anything.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from vision.labels.locate import Gray, Region, linear_regions, matrix_regions

DARK_MEAN_MAX = 45.0
BURNT_LEVEL = 250
BURNT_SHARE_MIN = 0.01
PAPER_LEVEL_MAX = 225.0
# Eleven modules a character, at least about 90 modules a symbol: below this length a module has one pixel.
LINEAR_LENGTH_PX_MIN = 110.0
MATRIX_SIDE_PX_MIN = 36.0
# Steepest edges of a sharp print rise over less than three pixels.
EDGE_SHARE_MIN = 0.22


def reasons_for(gray: Gray, regions: Sequence[Region]) -> tuple[str, ...]:
    """Name what hinders reading, the most likely first; `no_symbol` when nothing looks like one."""
    side = max(gray.shape)
    small = cv2.resize(gray, None, fx=640 / side, fy=640 / side, interpolation=cv2.INTER_AREA)
    gray = np.asarray(small, dtype=np.uint8) if side > 640 else gray
    scale = 640 / side if side > 640 else 1.0
    if float(np.percentile(gray, 90)) < 2 * DARK_MEAN_MAX and float(gray.mean()) < DARK_MEAN_MAX:
        return ("dark",)
    bars = [each for each in (regions or linear_regions(gray)) if each.length_px > 1.2 * each.height_px]
    squares = matrix_regions(gray)
    reasons = []
    if _glare(gray):
        reasons.append("glare")
    if not bars and not squares:
        return tuple(reasons) or (("blur",) if _is_soft(gray) and _has_content(gray) else ("no_symbol",))
    if _is_soft(gray):
        reasons.append("blur")
    if bars:
        far = all(each.length_px < LINEAR_LENGTH_PX_MIN for each in bars)
    else:
        far = all(max(each.length_px, each.height_px) / scale < MATRIX_SIDE_PX_MIN for each in squares)
    if far:
        reasons.append("too_far")
    if not reasons:
        reasons.append("angle" if bars else "no_symbol")
    return tuple(reasons)


def _glare(gray: Gray) -> bool:
    """A burnt patch in a picture whose paper is not burnt all over."""
    burnt = np.asarray(gray >= BURNT_LEVEL, dtype=np.uint8)
    burnt = np.asarray(cv2.morphologyEx(burnt, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)), dtype=np.uint8)
    share = float(burnt.mean())
    rest = gray[burnt == 0]
    return share >= BURNT_SHARE_MIN and rest.size > 0 and float(np.percentile(rest, 90)) < PAPER_LEVEL_MAX


def _is_soft(gray: Gray) -> bool:
    """The steepest single-pixel step is small beside the contrast of its neighbourhood."""
    step = np.abs(np.diff(gray.astype(np.int16), axis=1))
    high = cv2.dilate(gray, np.ones((9, 9), np.uint8))
    low = cv2.erode(gray, np.ones((9, 9), np.uint8))
    contrast = float(np.percentile(cv2.subtract(high, low), 98))
    return contrast > 8 and float(np.percentile(step, 99.5)) / contrast < EDGE_SHARE_MIN


def _has_content(gray: Gray) -> bool:
    return float(np.percentile(gray, 98)) - float(np.percentile(gray, 2)) > 30
