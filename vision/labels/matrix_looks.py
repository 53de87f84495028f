"""Looks at a frame for matrix symbols, cheap ones first, and second looks at one that was read."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from vision.labels.locate import Crop, Gray, Points, matrix_regions, square_crop
from vision.labels.prepare import closed, even, flattened, scaled, sharpened, smooth

REGIONS_MAX = 4
# A doubled copy of a larger picture costs more than it brings; its symbols are cut out and enlarged instead.
DOUBLED_SIDE_PX_MAX = 1200
DOUBLED_PIXELS_MAX = 700_000
SMALL_SIDE_PX = 350

# A cut-out, the look's name, and whether one threshold is taken for the whole of it.
Look = tuple[Crop, str, bool]


def resized(gray: Gray, scale: float) -> Crop:
    """The frame in another size, with the way back."""
    return Crop(scaled(gray, scale), np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]]))


def matrix_variants(gray: Gray, work: Gray, shrink: float) -> Iterator[Look]:
    """Prepare the frame for a symbol that the plain frame does not give.

    Parameters
    ----------
    work : (h, w) uint8 ndarray
        The frame in its working size, `shrink` times its own.

    Notes
    -----
    The order is by what a look adds to those before it, for its time, on harmed photographs: doubling for few
    pixels a dot, halving for grain, sharpening for blur, closing for print lines, dividing for shadow.
    """
    back = np.array([[1 / shrink, 0, 0], [0, 1 / shrink, 0]])
    side = max(gray.shape)
    doubles = side <= DOUBLED_SIDE_PX_MAX and gray.size <= DOUBLED_PIXELS_MAX
    doubled = resized(gray, 2.0) if doubles else None
    if side > 150:
        yield resized(gray, min(0.5, 800 / side)), "half", False
    if doubled:
        yield doubled, "double", False
    yield Crop(smooth(work), back), "smooth", False
    if doubled:
        flat = scaled(flattened(gray), 2.0)
        yield Crop(sharpened(flat, 3.0, 3.0), doubled.to_frame), "double, sharp", False
        yield Crop(closed(doubled.image, 5), doubled.to_frame), "double, closed", False
        yield Crop(smooth(doubled.image), doubled.to_frame), "double, smooth", True
    else:
        yield Crop(sharpened(flattened(work), 1.5, 3.0), back), "sharp", False
    yield Crop(smooth(work), back), "smooth, one level", True
    if doubled and side <= SMALL_SIDE_PX:
        yield Crop(smooth(doubled.image), doubled.to_frame), "double, smooth, by place", False
        yield Crop(even(gray), back), "even", False
    for region in matrix_regions(work)[:REGIONS_MAX]:
        corners = region.corners() / shrink
        reach = float(np.ptp(corners, axis=0).max())
        crop = square_crop(gray, corners, scale=min(3.0, max(0.5, 360 / max(reach, 1.0))), turn_deg=17.0)
        yield Crop(sharpened(crop.image, 2.0, 2.0), crop.to_frame), "matrix sharp", True
        yield Crop(closed(crop.image), crop.to_frame), "matrix closed", False
        yield Crop(even(crop.image), crop.to_frame), "matrix even", False


def second_looks(gray: Gray, corners: Points) -> Iterator[Look]:
    """Look at one symbol again: cut, turned, sized or prepared differently."""
    reach = float(np.ptp(corners, axis=0).max())
    scale = min(4.0, max(0.5, 300 / max(reach, 1.0)))
    natural = 1.0 / scale
    for factor, turn, prepare in (
        (1.0, 17.0, None),
        (natural, 90.0, smooth),
        (1.3, -28.0, smooth),
        (natural * 1.5, 2.0, None),
        (0.8, 40.0, None),
        (natural * 2, 180.0, smooth),
        (1.0, 8.0, even),
        (natural * 0.7, 270.0, None),
        (2.0, 0.0, closed),
        # Sizes in pixels of the frame: a blur of one and a half, a white line of two or three.
        (1.0, 3.0, lambda image: sharpened(image, 1.5 * scale, 3.0)),
        (1.3, -7.0, lambda image: sharpened(flattened(image), 1.5 * scale * 1.3, 3.0)),
        (natural * 2, 12.0, lambda image: sharpened(image, 3.0, 3.0)),
        (natural * 3, 33.0, lambda image: sharpened(smooth(image), 4.0, 3.0)),
        (1.0, -5.0, lambda image: closed(image, int(2 * scale) | 1)),
        (1.0, 5.0, lambda image: closed(image, int(3 * scale) | 1)),
        (natural * 2, 14.0, lambda image: smooth(closed(image, 5))),
        (1.5, 21.0, lambda image: np.asarray(cv2.medianBlur(image, 5), np.uint8)),
        # Shadow: what was read on paper made even has to be made even again.
        (natural, -12.0, flattened),
        (natural * 2, 10.0, lambda image: sharpened(flattened(image), 3.0, 3.0)),
        (natural * 1.5, 184.0, lambda image: smooth(flattened(image))),
        (natural, 3.0, even),
        (natural * 1.2, -2.0, even),
        (natural * 0.9, -4.0, lambda image: even(smooth(image))),
    ):
        crop = square_crop(gray, corners, scale=min(4.0, scale * factor), turn_deg=turn)
        image = prepare(crop.image) if prepare else crop.image
        yield Crop(image, crop.to_frame), f"matrix again {turn}", False
    yield Crop(smooth(gray), np.eye(2, 3)), "matrix again smooth", False
    yield resized(gray, 2.0 if max(gray.shape) <= 700 else 0.5), "matrix again resized", False
    # Whatever preparation read it first may do so again on other samples: never on the same, so it is turned.
    near = square_crop(gray, corners, scale=1.0, turn_deg=6.0)
    for crop, look, one_level in matrix_variants(near.image, near.image, 1.0):
        back = near.to_frame @ np.vstack([crop.to_frame, [0.0, 0.0, 1.0]])
        yield Crop(crop.image, back), f"matrix again {look}", one_level
