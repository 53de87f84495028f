"""What others would count with: plain pipelines of OpenCV and scikit-image, their knobs in lists.

A bench shows each peer with the knobs that do best on the very set it is scored on, which favours the peers.
scikit-image (with SciPy) is used where it is installed and left out, and said to be, where it is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np

from vision.counting.training import scoring

try:
    from scipy import ndimage
    from skimage import feature, filters, morphology, segmentation
except ImportError:
    HAS_SKIMAGE = False
else:
    HAS_SKIMAGE = True

Grey = np.ndarray
Finder = Callable[[Grey], list[scoring.Found]]
Masker = Callable[[Grey], np.ndarray]


def kind_at(grey: Grey, x: float, y: float, level: float) -> str:
    """Call a place live when its core outshines the picture's middle grey by the level."""
    column, row = round(x), round(y)
    core = grey[max(0, row - 3) : row + 4, max(0, column - 3) : column + 4]
    return "live" if core.size and core.max() > level * np.median(grey) else "dead"


def told(grey: Grey, places: Any, level: float) -> list[scoring.Found]:
    """Give each place (x, y) its kind."""
    return [scoring.Found(float(x), float(y), kind_at(grey, x, y, level)) for x, y in places]


def contrast_of(grey: Grey, sigma: float = 3.0) -> Grey:
    """Local contrast: how far a place is from the picture's middle grey, smoothed."""
    relative = grey / max(1.0, float(np.median(grey))) - 1
    return np.asarray(cv2.GaussianBlur(np.abs(relative).astype(np.float32), (0, 0), sigma), np.float32)


def hough_circles(votes: float, level: float, grey: Grey) -> list[scoring.Found]:
    """OpenCV's HoughCircles with a radius band of 6 to 16 px."""
    smooth = cv2.medianBlur(np.clip(grey, 0, 255).astype(np.uint8), 5)
    circles = cv2.HoughCircles(
        smooth, cv2.HOUGH_GRADIENT, 1, 12, param1=60, param2=votes, minRadius=6, maxRadius=16
    )
    if circles is None:
        return []
    return told(grey, np.asarray(circles).reshape(-1, circles.shape[-1])[:, :2], level)


def simple_blobs(threshold: float, level: float, grey: Grey) -> list[scoring.Found]:
    """OpenCV's SimpleBlobDetector on the local contrast."""
    knobs = cv2.SimpleBlobDetector.Params()
    knobs.filterByColor, knobs.blobColor = True, 255
    knobs.filterByArea, knobs.minArea, knobs.maxArea = True, 60, 1500
    knobs.filterByCircularity = knobs.filterByConvexity = False
    knobs.filterByInertia, knobs.minInertiaRatio = True, 0.25
    knobs.minThreshold, knobs.maxThreshold, knobs.thresholdStep = threshold, threshold + 80, 10
    knobs.minDistBetweenBlobs = 10
    points = cv2.SimpleBlobDetector.create(knobs).detect(
        np.clip(600 * contrast_of(grey), 0, 255).astype(np.uint8)
    )
    return told(grey, [point.pt for point in points], level)


def laplacian_blobs(threshold: float, level: float, grey: Grey) -> list[scoring.Found]:
    """scikit-image's blob_log on the local contrast."""
    blobs = feature.blob_log(
        contrast_of(grey, 1.5), min_sigma=4, max_sigma=8, num_sigma=4, threshold=threshold, overlap=0.3
    )
    return told(grey, blobs[:, 1::-1], level)


def otsu_watershed_cells(distance: int, level: float, grey: Grey) -> list[scoring.Found]:
    """scikit-image: Otsu on the local contrast, watershed on the distance."""
    contrast = contrast_of(grey, 3.0)
    # Without a floor, an empty field is cut in two like any other.
    mask = ndimage.binary_fill_holes(contrast > max(CONTRAST_LEAST, filters.threshold_otsu(contrast)))
    labels = _split(morphology.remove_small_objects(mask, max_size=100), distance)
    numbers = np.arange(1, int(labels.max()) + 1)
    return told(grey, [(x, y) for y, x in ndimage.center_of_mass(mask, labels, numbers)], level)


def _split(mask: np.ndarray, distance: int) -> np.ndarray:
    """Part a mask by the watershed of its distance to the background."""
    depth = ndimage.distance_transform_edt(mask)
    smooth = filters.gaussian(depth, 1)
    peaks = feature.peak_local_max(smooth, min_distance=distance, labels=mask.astype(np.int32))
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return np.asarray(segmentation.watershed(-smooth, markers, mask=mask), np.int32)


def local_threshold(block: int, distance: int, grey: Grey) -> np.ndarray:
    """scikit-image: local threshold with a floor over the noise, distance watershed."""
    smooth = filters.gaussian(grey, 1, preserve_range=True)
    floor = np.median(smooth) + 3 * np.median(np.abs(grey - smooth)) + 0.15 * filters.threshold_otsu(smooth)
    mask = (smooth > filters.threshold_local(smooth, block, offset=0)) & (smooth > floor)
    mask = ndimage.binary_fill_holes(morphology.remove_small_objects(mask, max_size=25))
    return _split(mask, distance)


def otsu_watershed(distance: int, grey: Grey) -> np.ndarray:
    """scikit-image: Otsu, distance watershed."""
    smooth = filters.gaussian(grey, 1, preserve_range=True)
    mask = morphology.remove_small_objects(smooth > filters.threshold_otsu(smooth), max_size=25)
    return _split(ndimage.binary_fill_holes(mask), distance)


def opencv_watershed(share: float, grey: Grey) -> np.ndarray:
    """OpenCV as in its tutorial: Otsu, opening, sure cores by a share of the greatest distance, watershed."""
    picture = cv2.GaussianBlur(np.clip(grey, 0, 255).astype(np.uint8), (3, 3), 0)
    _, mask = cv2.threshold(picture, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8), iterations=1)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    tall = cv2.dilate(distance, np.ones((9, 9), np.uint8))
    cores = (distance > share * tall) & (distance > 1.5)
    count, markers = cv2.connectedComponents(cores.astype(np.uint8))
    markers = markers + 1
    markers[(mask > 0) & ~cores] = 0
    cv2.watershed(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR), markers)
    labels = np.where((markers > 1) & (mask > 0), markers - 1, 0).astype(np.int32)
    assert labels.max() <= count, count
    return labels


# How far a live cell's core outshines the field, at three levels to choose from.
LEVELS = (1.3, 1.6, 2.0)
CONTRAST_LEAST = 0.15


_left_out = False


def leave_out() -> None:
    """Run no peers: they take most of the time."""
    global _left_out
    _left_out = True


def cell_finders() -> dict[str, list[Finder]]:
    """Peers for trypan blue, each with all its knobs."""
    if _left_out:
        return {}
    found: dict[str, list[Finder]] = {
        "opencv HoughCircles": [partial(hough_circles, v, x) for v in (10, 12, 14, 16, 19) for x in LEVELS],
        "opencv SimpleBlobDetector": [partial(simple_blobs, t, x) for t in (8, 15, 25) for x in LEVELS],
    }
    if HAS_SKIMAGE:
        found["skimage blob_log"] = [partial(laplacian_blobs, t, x) for t in (0.2, 0.25, 0.3) for x in LEVELS]
        found["skimage Otsu + watershed"] = [
            partial(otsu_watershed_cells, d, x) for d in (10, 13) for x in LEVELS
        ]
    return found


def nuclei_maskers() -> dict[str, list[Masker]]:
    """Peers for nuclei, each with all its knobs."""
    if _left_out:
        return {}
    found: dict[str, list[Masker]] = {
        "opencv Otsu + watershed": [partial(opencv_watershed, s) for s in (0.6, 0.75, 0.9)]
    }
    if HAS_SKIMAGE:
        found["skimage local threshold + watershed"] = [
            partial(local_threshold, b, d) for b in (51, 101) for d in (5, 8)
        ]
        found["skimage Otsu + watershed"] = [partial(otsu_watershed, d) for d in (5, 8)]
    return found
