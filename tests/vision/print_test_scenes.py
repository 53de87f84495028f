"""Pictures of the print-head test label as a camera takes them, with dead dots that are known."""

from __future__ import annotations

import io
import math
from functools import cache

import cv2
import numpy as np
from label_scenes import PRINT_TEST
from PIL import Image

from vision.labels.label_picture import draw_label
from vision.labels.locate import Gray

BESIDE_PX = 80


@cache
def printed(dpi: int) -> Gray:
    """The label as a whole print head prints it."""
    png = draw_label("print_test", PRINT_TEST, dpi=dpi).png
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def seen(
    dead: tuple[int, ...] = (),
    *,
    dpi: int = 300,
    pixels_a_dot: float = 1.7,
    dots_wide: int = 1,
    blur_px: float = 0.8,
    tilt: float = 0.0,
    turn_deg: float = 0.0,
    light_fall: float = 0.0,
    grain: float = 3.0,
    seed: int = 0,
) -> Gray:
    """A picture of it: `dead` are columns of dots that print nothing, each `dots_wide` wide."""
    raster = printed(dpi).copy()
    for column in dead:
        raster[:, column : column + dots_wide] = 255
    samples = 2 if pixels_a_dot <= 2 else 4  # of a dot, before the lens
    fine = np.repeat(np.repeat(raster, samples, axis=0), samples, axis=1)
    scale = pixels_a_dot / samples
    if scale < 1:  # a pixel of the sensor takes the light of its whole area
        fine = np.asarray(cv2.GaussianBlur(fine, (0, 0), 0.35 / scale), np.uint8)
    height, width = fine.shape
    corners = np.asarray([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    placed = (corners - corners.mean(axis=0)) * scale
    placed[:, 0] *= 1 + tilt * placed[:, 1] / (height * scale)
    angle = math.radians(turn_deg)
    turn = np.asarray([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]], np.float32)
    placed = placed @ turn
    placed += BESIDE_PX - placed.min(axis=0)
    size = (int(placed[:, 0].max()) + BESIDE_PX, int(placed[:, 1].max()) + BESIDE_PX)
    lens = cv2.getPerspectiveTransform(corners, placed.astype(np.float32))
    picture = cv2.warpPerspective(fine, lens, size, flags=cv2.INTER_LINEAR, borderValue=150.0)
    lit = 25 + 180 * picture.astype(np.float32) / 255
    down, across = np.mgrid[0 : size[1], 0 : size[0]]
    lit *= 1 - light_fall * (0.6 * across / size[0] + 0.4 * down / size[1])
    lit = cv2.GaussianBlur(lit, (0, 0), blur_px)
    lit += np.random.default_rng(seed).normal(0, grain, lit.shape)
    _, data = cv2.imencode(".jpg", np.clip(lit, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
