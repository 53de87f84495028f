"""Draw fluorescence fields of nuclei with known labels, to teach the nuclei counter what no set shows.

Soft discs with wavy or cornered outlines and a mottled inside, alone, touching and overlapping, some out
of focus, on a dark or uneven background, with fibres and specks that are no nuclei. The looks follow
published simulators of the kind [1]_; no picture of a public set goes into them.

References
----------
.. [1] A. Lehmussola et al., "Computational framework for simulating fluorescence microscope images with
   cell populations", IEEE Trans. Med. Imaging 26(7), 1010-1016, 2007.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

POINTS = 48


def _outline(radius: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return an outline about the origin, (POINTS, 2) in pixels: wavy, or cornered as simulated ones are."""
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    if rng.random() < 0.4:
        corners = rng.integers(6, 12)
        at = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = 1 + rng.normal(0, 0.12, corners)
        r = np.interp(angles, at, reach, period=2 * np.pi)
    else:
        r = np.ones(POINTS)
        for order in (2, 3, 4, 5):
            r += rng.normal(0, 0.12 / order) * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    stretch = rng.uniform(1.0, 1.25) if rng.random() < 0.6 else rng.uniform(1.2, 2.0)
    x, y = radius * r * np.cos(angles) * stretch**0.5, radius * r * np.sin(angles) / stretch**0.5
    turn = rng.uniform(0, np.pi)
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)


def mottle(height: int, width: int, grain_px: float, rng: np.random.Generator) -> Image:
    """Return smooth noise of mean 0 and spread 1, (height, width) float32."""
    small = rng.standard_normal(
        (max(4, round(height / grain_px) + 3), max(4, round(width / grain_px) + 3)), np.float32
    )
    wide = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
    out: Image = (wide - wide.mean()) / (wide.std() + np.float32(1e-6))
    return out


def add_fibres(picture: Image, strength: float, rng: np.random.Generator) -> None:
    """Add soft lines and specks, which are no nuclei, to a picture in place."""
    height, width = picture.shape
    layer = np.zeros_like(picture)
    for _ in range(rng.integers(0, 3)):
        x, y, turn = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
        path = []
        for _ in range(12):
            path.append((x, y))
            turn += rng.normal(0, 0.25)
            x, y = x + 20 * np.cos(turn), y + 20 * np.sin(turn)
        value = float(rng.uniform(0.1, 0.8))
        cv2.polylines(layer, [np.array(path, np.int32)], False, value, int(rng.integers(1, 4)))
    for _ in range(rng.integers(0, 12)):
        column, row = rng.integers(0, width), rng.integers(0, height)
        layer[row, column] += np.float32(rng.uniform(0.3, 3.0))
    picture += np.float32(strength) * cv2.GaussianBlur(layer, (0, 0), float(rng.uniform(0.6, 2.0)))


def field(side: int, rng: np.random.Generator) -> tuple[Image, Labels]:
    """Draw one field.

    Parameters
    ----------
    side : int
        Height and width, in pixels.
    rng : numpy Generator
        The only source of chance.

    Returns
    -------
    grey : (side, side) float32 ndarray
        Grey levels, nuclei of some 60 to 200 on a background of 0 to 20.
    labels : (side, side) int32 ndarray
        0 background, 1..n nuclei; where two overlap, each pixel goes to the nearer outline's inside.
    """
    radius = float(np.exp(rng.uniform(np.log(4.5), np.log(26))))
    room = side * side / (np.pi * radius * radius)
    count = int(min(220, max(1, room * rng.uniform(0.03, 0.75))))
    brightness, reach = rng.uniform(60, 200), rng.uniform(0.05, 0.45)
    closeness = rng.uniform(0.8, 1.15)
    places: list[tuple[float, float, float]] = []
    labels = np.zeros((side, side), np.int32)
    deepest = np.zeros((side, side), np.float32)
    grey = np.zeros((side, side), np.float32)
    texture = mottle(side, side, max(2.0, radius / rng.uniform(1.5, 5)), rng)
    defocus_share = rng.choice([0.0, 0.0, 0.3])
    for _ in range(count):
        r = radius * float(np.exp(rng.normal(0, 0.15)))
        for _ in range(12):
            x, y = rng.uniform(-0.5 * r, side + 0.5 * r, 2)
            if places and rng.random() < 0.35:
                # Clumps: beside one that is there already.
                px, py, pr = places[rng.integers(len(places))]
                turn, gap = rng.uniform(0, 2 * np.pi), (pr + r) * rng.uniform(closeness * 0.85, 1.15)
                x, y = px + gap * np.cos(turn), py + gap * np.sin(turn)
            if all((x - a) ** 2 + (y - b) ** 2 > (closeness * 0.8 * (r + c)) ** 2 for a, b, c in places):
                break
        else:
            continue
        places.append((x, y, r))
        _draw(grey, labels, deepest, len(places), (x, y, r), brightness, reach, texture, defocus_share, rng)
    return grey + np.float32(rng.uniform(0, 20)), labels


def _draw(
    grey: Image,
    labels: Labels,
    deepest: Image,
    number: int,
    place: tuple[float, float, float],
    brightness: float,
    reach: float,
    texture: Image,
    defocus_share: float,
    rng: np.random.Generator,
) -> None:
    """Draw one nucleus into the field, in place; `labels` goes to whoever is deeper inside."""
    x, y, r = place
    side = len(grey)
    half = int(2.2 * r) + 4
    left, top = int(x) - half, int(y) - half
    mask = np.zeros((2 * half, 2 * half), np.uint8)
    points = _outline(r, rng) + np.array([x - left, y - top])
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    depth = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 3), np.float32)
    y0, y1 = max(0, top), min(side, top + 2 * half)
    x0, x1 = max(0, left), min(side, left + 2 * half)
    if y0 >= y1 or x0 >= x1:
        return
    part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    here = (slice(y0, y1), slice(x0, x1))
    bright = np.float32(brightness * np.exp(rng.normal(0, reach)))
    body = mask.astype(np.float32)
    blur = float(rng.uniform(1.5, 3.0)) if rng.random() < defocus_share else float(rng.uniform(0.4, 1.0))
    body = np.asarray(cv2.GaussianBlur(body, (0, 0), blur), np.float32)[part]
    lit = bright * body * (1 + np.float32(rng.uniform(0, 0.2)) * texture[here])
    # Light adds in part: a nucleus over another is brighter there, a hidden one shows through.
    adding = rng.uniform(0.0, 0.6)
    grey[here] = np.maximum(grey[here], lit) + np.float32(adding) * np.minimum(grey[here], lit)
    deeper = depth[part] > deepest[here]
    labels[here][deeper] = number
    np.maximum(deepest[here], depth[part], out=deepest[here])
