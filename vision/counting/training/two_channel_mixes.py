"""Make two-channel live/dead fields with a known truth, by seed: what `live-dead` is validated on.

No public set of two aligned channels with labels exists. A mix takes nuclei (a labelled picture of real
ones, or drawn ones), calls each live or dead by chance, and renders the light of both stains: spread of
staining, quenching of the live stain in dead nuclei, bleed-through, blur, a shift between the channels,
background, debris that one stain alone shows, shot and camera noise, and 8-bit rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int32]

# Brightness of a typical nucleus in the live stain's picture, in grey levels above the background.
TYPICAL_GREY = 90.0
# Of a picture's own grey levels these stay out of a mix: the background that it was taken with.
BACKGROUND_PERCENTILE = 20
SHOT_GREY_PER_GREY = 0.04


@dataclass(frozen=True, slots=True)
class Nuclei:
    """Nuclei to be stained: their light (grey levels over no background) and where each lies (1..n)."""

    light: Image
    labels: Labels

    @property
    def diameter_px(self) -> float:
        """Diameter of the disc as large as the median nucleus."""
        areas = np.bincount(self.labels.ravel())[1:]
        return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


@dataclass(frozen=True, slots=True, kw_only=True)
class Staining:
    """How a mix is made; shares have no unit.

    Attributes
    ----------
    live_share : float
        Chance of each nucleus to be live.
    bleed_a_to_b, bleed_b_to_a : float
        Share of a channel's light that the other one sees too.
    quenched : (low, high)
        What a dead nucleus keeps of its live stain, between these.
    exposure_b : float
        Brightness of a dead nucleus in B over that of a live one in A.
    spread_a, spread_b : float
        Standard deviation of the logarithm of a nucleus' staining.
    shift_px : (x, y)
        Where B lies against A.
    blur_px, background_grey, noise_grey : float
        Standard deviation of the blur; mean background; standard deviation of the camera's noise.
    uneven : float
        Share by which the background rises from one corner to the other.
    debris : float
        Specks, as a share of the number of nuclei; each is seen in one channel only.
    """

    live_share: float
    bleed_a_to_b: float = 0.1
    bleed_b_to_a: float = 0.0
    quenched: tuple[float, float] = (0.05, 0.4)
    exposure_b: float = 1.0
    spread_a: float = 0.25
    spread_b: float = 0.35
    shift_px: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.0
    background_grey: float = 12.0
    noise_grey: float = 2.0
    uneven: float = 0.3
    debris: float = 0.0


@dataclass(frozen=True, slots=True)
class Mix:
    """Two channels and what is true of them: the centre (x, y in A's pixels) and kind of each nucleus."""

    a: Image
    b: Image
    centres: npt.NDArray[np.float64]
    live: npt.NDArray[np.bool_]
    diameter_px: float


def nuclei_of(grey: Image, labels: npt.NDArray[np.integer]) -> Nuclei:
    """Take the nuclei out of a labelled picture: light over the background, its median at `TYPICAL_GREY`."""
    whole = labels.astype(np.int32)
    light = np.maximum(grey.astype(np.float32) - np.percentile(grey, BACKGROUND_PERCENTILE), 0)
    inside = light[whole > 0]
    typical = float(np.median(inside)) if inside.size else 1.0
    return Nuclei((light * (TYPICAL_GREY / max(typical, 1e-3))).astype(np.float32), whole)


def drawn_nuclei(side_px: int, count: int, radius_px: float, rng: np.random.Generator) -> Nuclei:
    """Draw elliptic nuclei with a grain inside; some touch, none lies on another's centre."""
    labels = np.zeros((side_px, side_px), np.int32)
    light = np.zeros((side_px, side_px), np.float32)
    placed: list[tuple[float, float]] = []
    for _ in range(60 * count):
        if len(placed) == count:
            break
        x, y = rng.uniform(radius_px, side_px - radius_px, 2)
        if any(np.hypot(x - u, y - v) < 1.9 * radius_px for u, v in placed):
            continue
        placed.append((x, y))
        size = radius_px * np.exp(rng.normal(0, 0.12))
        stretch = np.exp(rng.normal(0, 0.12))
        axes = (size * stretch, size / stretch)
        # Only the surroundings are drawn upon: the field is large.
        left, top = (max(0, int(v - 3 * radius_px)) for v in (x, y))
        around = (slice(top, int(y + 3 * radius_px)), slice(left, int(x + 3 * radius_px)))
        disc = np.zeros_like(light[around])
        box = ((x - left, y - top), (2 * axes[0], 2 * axes[1]), rng.uniform(0, 180))
        cv2.ellipse(disc, box, 1.0, -1, cv2.LINE_AA)
        labels[around][(disc > 0.5) & (labels[around] == 0)] = len(placed)
        light[around] = np.maximum(light[around], disc)
    grain = cv2.GaussianBlur(rng.normal(0, 1, light.shape).astype(np.float32), (0, 0), radius_px / 5)
    grain = grain * np.float32(0.15 / max(1e-6, float(grain.std())))
    edged = cv2.GaussianBlur(light, (0, 0), 0.9) * (1 + grain)
    return Nuclei((TYPICAL_GREY * np.maximum(edged, 0)).astype(np.float32), labels)


def mirrored(nuclei: Nuclei) -> Nuclei:
    """Return the same nuclei the other way round."""
    return Nuclei(np.ascontiguousarray(nuclei.light[:, ::-1]), np.ascontiguousarray(nuclei.labels[:, ::-1]))


def joined(parts: list[Nuclei], columns: int) -> Nuclei:
    """Lay pictures of one size side by side, as one field."""
    rows_light, rows_labels, used = [], [], 0
    for start in range(0, len(parts) - columns + 1, columns):
        row = parts[start : start + columns]
        numbered = []
        for part in row:
            numbered.append(np.where(part.labels > 0, part.labels + used, 0))
            used += int(part.labels.max())
        rows_light.append(np.hstack([part.light for part in row]))
        rows_labels.append(np.hstack(numbered))
    return Nuclei(np.vstack(rows_light), np.vstack(rows_labels).astype(np.int32))


def mixed(nuclei: Nuclei, staining: Staining, rng: np.random.Generator) -> Mix:
    """Render both channels of a field whose nuclei are live or dead by chance.

    Parameters
    ----------
    nuclei : Nuclei
    staining : Staining
    rng : Generator
        All chance comes from it.

    Returns
    -------
    Mix
        Channels in grey levels 0-255, rounded.
    """
    numbers, centres = _centres(nuclei.labels)
    live = rng.random(len(numbers)) < staining.live_share
    stain_a = np.exp(rng.normal(0, staining.spread_a, len(numbers)))
    stain_a[~live] *= rng.uniform(*staining.quenched, int((~live).sum()))
    stain_b = np.where(
        live, 0.0, staining.exposure_b * np.exp(rng.normal(0, staining.spread_b, len(numbers)))
    )
    owner = _nearest_nucleus(nuclei.labels)
    table = np.zeros((2, int(nuclei.labels.max()) + 1), np.float32)
    table[0, numbers], table[1, numbers] = stain_a, stain_b
    light_a, light_b = (
        nuclei.light * cv2.GaussianBlur(gains[owner], (0, 0), 0.7).astype(np.float32) for gains in table
    )
    specks_a, specks_b = _specks(nuclei, staining, rng)
    light_a, light_b = light_a + specks_a, light_b + specks_b
    seen_a = light_a + staining.bleed_b_to_a * light_b
    seen_b = light_b + staining.bleed_a_to_b * light_a
    a = _photographed(seen_a, staining, (0.0, 0.0), rng)
    b = _photographed(seen_b, staining, staining.shift_px, rng)
    return Mix(a, b, centres, live, nuclei.diameter_px)


def _centres(labels: Labels) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the numbers in use and the centre of gravity of each, x, y."""
    areas = np.bincount(labels.ravel())
    numbers = np.flatnonzero(areas)[1:] if areas[0] else np.flatnonzero(areas)
    rows, columns = np.nonzero(labels)
    which = labels[rows, columns]
    sums = [np.bincount(which, weights=places, minlength=len(areas))[numbers] for places in (columns, rows)]
    return numbers, np.stack(sums, axis=1) / areas[numbers, None]


def _nearest_nucleus(labels: Labels) -> Labels:
    """Give each pixel the number of the nucleus nearest to it: halos go with their nucleus."""
    empty = (labels == 0).astype(np.uint8)
    if empty.all():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inside = labels > 0
    table = np.zeros(int(nearest.max()) + 1, np.int32)
    table[nearest[inside]] = labels[inside]
    return table[nearest]


def _specks(nuclei: Nuclei, staining: Staining, rng: np.random.Generator) -> tuple[Image, Image]:
    """Draw debris: small bright specks off the nuclei, each in one channel."""
    height, width = nuclei.labels.shape
    pair = np.zeros((2, height, width), np.float32)
    radius = nuclei.diameter_px / 2
    for _ in range(round(staining.debris * int(nuclei.labels.max()))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        if nuclei.labels[int(y), int(x)]:
            continue
        size = radius * rng.uniform(0.15, 0.3)
        box = ((x, y), (2 * size, 2 * size), 0.0)
        grey = TYPICAL_GREY * rng.uniform(0.5, 1.5)
        cv2.ellipse(pair[rng.integers(2)], box, grey, -1, cv2.LINE_AA)
    return pair[0], pair[1]


def _photographed(
    light: Image, staining: Staining, shift: tuple[float, float], rng: np.random.Generator
) -> Image:
    """Blur, shift, lay over the background, add noise, and round to 8 bit."""
    if staining.blur_px > 0:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), staining.blur_px), np.float32)
    if shift != (0.0, 0.0):
        way = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        light = np.asarray(
            cv2.warpAffine(
                light, way, light.shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
            ),
            np.float32,
        )
    height, width = light.shape
    slope = np.linspace(-0.5, 0.5, height)[:, None] + np.linspace(-0.5, 0.5, width)[None, :]
    grey = staining.background_grey * (1 + staining.uneven * slope) + light
    spread = np.sqrt(staining.noise_grey**2 + SHOT_GREY_PER_GREY * np.maximum(grey, 0))
    return np.clip(np.rint(grey + rng.normal(0, 1, grey.shape) * spread), 0, 255).astype(np.float32)
