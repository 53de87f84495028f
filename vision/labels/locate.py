"""Where a symbol may be in a frame: places and directions only, never a payload."""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Gray = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float32]
Tensor = npt.NDArray[np.integer[Any] | np.floating[Any]]

LOCATE_SIDE_PX = 512
REGIONS_MAX = 6
COHERENCE_MIN = 0.75
ENERGY_MIN = 400.0
PROFILE_SIGMA_PX = 0.8
PROFILE_ROWS_MAX = 320
PROFILE_HEIGHT_PX = 40
PROFILE_LENGTH_PX_MAX = 2800


@dataclass(frozen=True, slots=True)
class Region:
    """A patch of parallel bars, in frame pixels; `angle_deg` is the reading direction."""

    center: tuple[float, float]
    length_px: float
    height_px: float
    angle_deg: float

    def corners(self) -> Points:
        """(4, 2) corners in frame pixels."""
        box = ((self.center[0], self.center[1]), (self.length_px, self.height_px), self.angle_deg)
        return np.asarray(cv2.boxPoints(box), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Crop:
    """A turned and scaled cut-out with the way back to the frame."""

    image: Gray
    to_frame: npt.NDArray[np.float64]

    def points_in_frame(self, points: Points) -> Points:
        """Map (n, 2) points of the cut-out to frame pixels."""
        if not len(points):
            return points
        mapped = cv2.transform(points.reshape(-1, 1, 2).astype(np.float64), self.to_frame)
        return np.asarray(mapped.reshape(-1, 2), dtype=np.float32)


def linear_regions(gray: Gray, side_px: int = LOCATE_SIDE_PX) -> list[Region]:
    """Find patches whose brightness changes in one direction only, largest first.

    Parameters
    ----------
    gray : (h, w) uint8 ndarray
        The frame; not changed.
    side_px : int
        The frame is shrunk to this longer side before it is searched.

    Notes
    -----
    The structure tensor of bars has one large and one small eigenvalue; their relative difference is the
    coherence. Text and matrix symbols have two large ones and fall out.
    """
    scale = min(1.0, side_px / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else gray
    dx = cv2.Sobel(small, cv2.CV_32F, 1, 0)
    dy = cv2.Sobel(small, cv2.CV_32F, 0, 1)
    xx = cv2.boxFilter(dx * dx, -1, (15, 15))
    yy = cv2.boxFilter(dy * dy, -1, (15, 15))
    xy = cv2.boxFilter(dx * dy, -1, (15, 15))
    energy = xx + yy
    coherence = np.sqrt((xx - yy) ** 2 + 4 * xy * xy) / (energy + 1)
    strong = max(ENERGY_MIN, 0.15 * float(np.percentile(energy[::4, ::4], 98)))
    mask = ((coherence > COHERENCE_MIN) & (energy > strong)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    order = sorted(range(1, count), key=lambda each: -int(stats[each, cv2.CC_STAT_AREA]))
    area_min = max(60, small.size // 1000)
    found = []
    for index in order[:REGIONS_MAX]:
        if stats[index, cv2.CC_STAT_AREA] >= area_min:
            found.append(_region_of(labels == index, xx, yy, xy, scale))
    return found


def _region_of(
    inside: npt.NDArray[np.bool_],
    xx: Tensor,
    yy: Tensor,
    xy: Tensor,
    scale: float,
) -> Region:
    sum_xx, sum_yy, sum_xy = (float(each[inside].sum()) for each in (xx, yy, xy))
    turn = 0.5 * np.arctan2(2 * sum_xy, sum_xx - sum_yy)
    along = np.array([np.cos(turn), np.sin(turn)])
    across = np.array([-along[1], along[0]])
    points = np.argwhere(inside)[:, ::-1].astype(np.float64)
    first, last = np.percentile(points @ along, [1, 99])
    low, high = np.percentile(points @ across, [2, 98])
    center = ((first + last) / 2 * along + (low + high) / 2 * across) / scale
    return Region(
        (float(center[0]), float(center[1])),
        float(last - first) / scale,
        max(float(high - low) / scale, 4.0),
        float(np.degrees(turn)),
    )


def matrix_regions(gray: Gray, side_px: int = LOCATE_SIDE_PX) -> list[Region]:
    """Find roughly square patches that change in all directions: matrix symbols, some text."""
    scale = min(1.0, side_px / max(gray.shape))
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else gray
    texture = cv2.morphologyEx(small, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    texture = cv2.blur(texture, (9, 9))
    level, mask = cv2.threshold(texture, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if level < 12:
        return []
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((9, 9), np.uint8))
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    found = []
    for outline in sorted(outlines, key=cv2.contourArea, reverse=True)[:REGIONS_MAX]:
        (x, y), (width, height), angle = cv2.minAreaRect(outline)
        squarish = min(width, height) >= 12 and max(width, height) < 4.5 * min(width, height)
        if squarish and cv2.contourArea(outline) > 0.6 * width * height:
            found.append(Region((x / scale, y / scale), width / scale, height / scale, float(angle)))
    return found


def turned_crop(gray: Gray, region: Region, *, scale: float = 1.0, turn_deg: float = 0.0) -> Crop:
    """Cut a region out so that its reading direction lies level, plus `turn_deg`, with a quiet margin."""
    margin = 0.15 * region.length_px + 15
    width = int((region.length_px + 2 * margin) * scale)
    height = int((region.height_px + (2 * margin if turn_deg else 8)) * scale)
    return _cut(gray, region.center, (max(width, 24), max(height, 24)), region.angle_deg + turn_deg, scale)


def bar_profile(gray: Gray, region: Region) -> Crop:
    """Average a patch of bars along the bars: the noise goes, the edges stay where the bars are straight.

    The direction found in a noisy frame is a degree off at times, so the slant with the
    sharpest profile wins.
    """
    scale = min(2.0, PROFILE_LENGTH_PX_MAX / max(region.length_px, 1.0))
    strip = replace(region, height_px=min(region.height_px, PROFILE_ROWS_MAX / scale))
    crop = turned_crop(gray, strip, scale=scale)
    height, width = crop.image.shape
    middle = crop.image[height // 6 : height - height // 6]
    best: tuple[float, Tensor] | None = None
    for slant in np.linspace(-0.04, 0.04, 9):
        shear = np.array([[1.0, slant, -slant * middle.shape[0] / 2], [0.0, 1.0, 0.0]])
        size = (width, middle.shape[0])
        level = cv2.warpAffine(middle, shear, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        profile = level.mean(axis=0)
        sharpness = float(np.abs(np.diff(profile)).sum())
        if best is None or sharpness > best[0]:
            best = (sharpness, profile)
    assert best is not None
    # ZBar takes any ripple for an edge: what averaging leaves is smoothed over less than a module.
    profile = cv2.GaussianBlur(best[1][np.newaxis, :], (0, 0), PROFILE_SIGMA_PX * scale)
    rows = np.repeat(profile, PROFILE_HEIGHT_PX, axis=0)
    to_frame = crop.to_frame.copy()
    to_frame[:, 1] *= height / PROFILE_HEIGHT_PX
    return Crop(np.asarray(np.clip(rows, 0, 255), dtype=np.uint8), to_frame)


def square_crop(gray: Gray, corners: Points, *, scale: float, turn_deg: float) -> Crop:
    """Cut a matrix symbol out, turned and scaled: another sampling of the same print."""
    center = corners.mean(axis=0)
    reach = 2.6 * float(np.linalg.norm(corners - center, axis=1).max()) + 16
    size = (int(reach * scale), int(reach * scale))
    return _cut(gray, (float(center[0]), float(center[1])), size, turn_deg, scale)


def turned_frame(gray: Gray, turn_deg: float) -> Crop:
    """Turn the whole frame about its middle; nothing is cut off."""
    height, width = gray.shape
    turn = np.radians(turn_deg)
    size = (
        int(width * abs(np.cos(turn)) + height * abs(np.sin(turn))),
        int(width * abs(np.sin(turn)) + height * abs(np.cos(turn))),
    )
    # The tail is paid by every empty frame; the coarser sampling costs a third.
    return _cut(gray, (width / 2, height / 2), size, turn_deg, 1.0, cv2.INTER_LINEAR)


def _cut(
    gray: Gray,
    center: tuple[float, float],
    size: tuple[int, int],
    turn_deg: float,
    scale: float,
    how: int = cv2.INTER_CUBIC,
) -> Crop:
    to_crop = cv2.getRotationMatrix2D(center, turn_deg, scale)
    to_crop[0, 2] += size[0] / 2 - center[0]
    to_crop[1, 2] += size[1] / 2 - center[1]
    how = cv2.INTER_LINEAR if scale < 1 else how
    image = cv2.warpAffine(gray, to_crop, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    back = np.asarray(cv2.invertAffineTransform(to_crop), dtype=np.float64)
    return Crop(np.asarray(image, dtype=np.uint8), back)
