"""Is this picture good enough, and of the kind that the method was made for?

Each check gives a reason key of `docs/counting.md`. A check never mends a number: it says that
the picture should be taken again, or that it will never be counted by this method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting import kernels, segment
from vision.counting.method import Cell, Finding, Scale
from vision.picture_file import FieldPicture

Verdict = Literal["counted", "repeat", "refused"]

# Levels lie outside the range of all 480 labelled pictures, or beyond at most a few of them
# where the two overlap; docs/counting.md has the table.
DARK_GREY = 30.0
BRIGHT_GREY = 246.0
SATURATED_SHARE = 0.2
SATURATED_GREY = 254.5
UNEVEN_LOW, UNEVEN_HIGH = 0.25, 1.8
NOISE_MOST = 0.12
BUSY_CONTRAST, BUSY_SHARE = 0.12, 0.35
COLOURFUL = 0.2
TYPICALITY_MOST = 3.0
UNSURE_CONFIDENCE, UNSURE_CONFIDENCE_FEW = 0.82, 0.6
FEW_CELLS = 3
SHARPNESS_LEAST = 1.75
REBLUR_SIGMA_PX = 2.26
STRUCTURE_ACTIVITY, STRUCTURE_SHARE = 0.05, 0.2
STRUCTURES_LOOKED_AT = 12
FOCUS_WINDOW_PX, FOCUS_MARGIN_PX = 14, 9
DENSE_COVER = 0.35
CLUMPED_SHARE, CLUMPED_DISTANCE, CLUMPED_LEAST_CELLS = 0.6, 1.05, 20
FLAT_CONTRAST = 0.02
PERCENTILE_PIXELS = 250_000

REFUSING = ("unreadable", "not_this_kind")
# A field without cells is a true answer of zero; the key is a remark, not a fault.
REMARKS = ("empty",)

WHAT_TO_DO = {
    "unreadable": "The file cannot be read as a picture. Take it again.",
    "not_this_kind": "This is not a trypan-blue brightfield picture. Check sample, light and lens.",
    "out_of_focus": "Out of focus. Focus on the cells and take the picture again.",
    "dark": "Too dark. Raise the light or the exposure.",
    "bright": "Too bright. Lower the light or the exposure.",
    "saturated": "Over-exposed. Lower the light or the exposure.",
    "empty": "No cells in this field.",
    "dense": "Too many cells to tell apart. Dilute the sample and fill a new chamber.",
    "clumped": "Cells lie in clumps. Mix the sample and fill a new chamber.",
    "uneven_light": "The light is uneven. Centre the condenser and clear the field.",
    "unknown_scale": "The scale is not known. Give the size of a pixel or of a cell.",
    "too_few_cells": "Too few cells for a result. Take more fields of this sample.",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gates say of one field.

    Attributes
    ----------
    reasons : tuple of str
        Keys of `WHAT_TO_DO`, faults and remarks, the gravest first.
    verdict : str
        Only a field that is `counted` may give a viability or a concentration.
    quality : Quality
        What was measured, for the report.
    """

    reasons: tuple[str, ...]
    verdict: Verdict
    quality: Quality


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured of a picture; shares and contrasts have no unit."""

    median_grey: float
    saturated_share: float
    background_low: float
    background_high: float
    noise: float
    contrast: float
    busy_share: float
    sharpness: float | None


def _steep_end(patch: npt.NDArray[np.float32], inside: tuple[slice, slice]) -> float:
    """Return the 97th percentile of the squared gradient inside a patch (1/px^2)."""
    gx = cv2.Sobel(patch, cv2.CV_32F, 1, 0)[inside] / 8
    gy = cv2.Sobel(patch, cv2.CV_32F, 0, 1)[inside] / 8
    squared = (gx * gx + gy * gy).ravel()
    rank = int(0.97 * (squared.size - 1))
    return float(np.partition(squared, rank)[rank])


def _around(place: int, reach: int) -> slice:
    return slice(max(0, place - reach), place + reach + 1)


def _within(outer: slice, inner: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)


def _sharpness_of(maps: segment.Prepared) -> float | None:
    """Return how much steeper edges are than after one more blur, or None without any structure.

    About 3 for a sharp edge, towards 1 for a blurred one, whatever its contrast [1]_. The best
    quarter of the strongest structures decides, since dirt above or below the chamber's plane
    is blurred in sharp pictures too.

    References
    ----------
    .. [1] S. Zhuo and T. Sim, "Defocus map estimation from a single image", Pattern Recognition
       44(9), 1852-1858, 2011 (ratio of gradients before and after a known blur).
    """
    # The weak folds of a blurred background are no edges; they do not vote beside real structures.
    floor = max(STRUCTURE_ACTIVITY, 1.5 * maps.noise, STRUCTURE_SHARE * float(maps.activity.max()))
    found = kernels.local_maxima(maps.activity, floor, 8, 4096)
    if len(found) == 0:
        return None
    # Grain is steep too; its expected share is taken off before the two are compared.
    grain = (0.56 * maps.noise) ** 2
    ratios = []
    for x, y, _ in found[np.argsort(-found[:, 2], kind="stable")[:STRUCTURES_LOOKED_AT]].astype(int):
        # A margin around the window keeps the patch's own edge out of blur and gradient.
        rows, columns = (_around(place, FOCUS_WINDOW_PX + FOCUS_MARGIN_PX) for place in (y, x))
        window_rows, window_columns = (_around(place, FOCUS_WINDOW_PX) for place in (y, x))
        inside = (_within(rows, window_rows), _within(columns, window_columns))
        patch = maps.relative[rows, columns]
        coarse = np.asarray(cv2.GaussianBlur(patch, (0, 0), REBLUR_SIGMA_PX), np.float32)
        before, after = _steep_end(patch, inside), _steep_end(coarse, inside)
        ratios.append(np.sqrt(max(0.0, before - grain) / max(1e-9, after)))
    return float(np.percentile(ratios, 75))


def measure(picture: FieldPicture, maps: segment.Prepared) -> Quality:
    """Measure a picture and its maps (a picture at the working scale)."""
    coarse = cv2.GaussianBlur(maps.relative, (0, 0), 3.0)
    # A quarter of a million pixels give the same shares as the whole of a large field.
    step = max(1, int(np.sqrt(maps.relative.size / PERCENTILE_PIXELS)))
    low, middle, high = np.percentile(maps.background[::step, ::step], [5, 50, 95])
    least, most = np.percentile(maps.relative[::step, ::step], [0.5, 99.5])
    grey = picture.grey[::step, ::step]
    return Quality(
        median_grey=float(np.median(grey)),
        saturated_share=float((grey >= SATURATED_GREY).mean()),
        background_low=float(low / middle),
        background_high=float(high / middle),
        noise=maps.noise,
        contrast=float(most - least),
        busy_share=float((np.abs(coarse[::step, ::step]) > BUSY_CONTRAST).mean()),
        sharpness=_sharpness_of(maps),
    )


def _light_reasons(quality: Quality) -> list[str]:
    reasons = []
    if quality.median_grey < DARK_GREY:
        reasons.append("dark")
    if quality.median_grey > BRIGHT_GREY:
        reasons.append("bright")
    if quality.saturated_share > SATURATED_SHARE:
        reasons.append("saturated")
    if quality.background_low < UNEVEN_LOW or quality.background_high > UNEVEN_HIGH:
        reasons.append("uneven_light")
    return reasons


def _is_other_kind(picture: FieldPicture, quality: Quality, cells: Sequence[Cell]) -> bool:
    if picture.colourfulness > COLOURFUL or quality.noise > NOISE_MOST or quality.busy_share > BUSY_SHARE:
        return True
    if not cells:
        return False
    confidence = float(np.mean([cell.confidence for cell in cells]))
    typicality = float(np.median([cell.typicality for cell in cells]))
    unsure = UNSURE_CONFIDENCE if len(cells) >= FEW_CELLS else UNSURE_CONFIDENCE_FEW
    return typicality > TYPICALITY_MOST or confidence < unsure


def _crowding_reasons(cells: Sequence[Cell], area_px: int) -> list[str]:
    reasons = []
    if sum(np.pi * cell.radius**2 for cell in cells) > DENSE_COVER * area_px:
        reasons.append("dense")
    if len(cells) >= CLUMPED_LEAST_CELLS:
        places = np.array([(cell.x, cell.y) for cell in cells])
        radii = np.array([cell.radius for cell in cells])
        gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))
        touching = gaps < CLUMPED_DISTANCE * (radii[:, None] + radii[None])
        np.fill_diagonal(touching, False)
        if touching.any(axis=1).mean() > CLUMPED_SHARE:
            reasons.append("clumped")
    return reasons


def reasons_for(picture: FieldPicture, quality: Quality, cells: Sequence[Cell]) -> list[str]:
    """Name all that speaks against using this picture's numbers, keys of `WHAT_TO_DO`."""
    reasons = _light_reasons(quality)
    if _is_other_kind(picture, quality, cells):
        reasons.append("not_this_kind")
    if quality.sharpness is not None and quality.sharpness < SHARPNESS_LEAST:
        reasons.append("out_of_focus")
    if not cells:
        reasons.append("empty")
    return reasons + _crowding_reasons(cells, picture.grey.size)


def verdict_of(reasons: Sequence[str], quality: Quality | None = None) -> Verdict:
    """Turn reasons into the verdict: refused beats repeat beats counted."""
    if any(reason in REFUSING for reason in reasons):
        return "refused"
    if any(reason not in REMARKS for reason in reasons):
        return "repeat"
    # A picture without even the camera's grain shows no empty field: nothing was pictured.
    if quality is not None and "empty" in reasons and quality.contrast < FLAT_CONTRAST:
        return "repeat"
    return "counted"


def judge(
    method_id: str,
    pictures: Sequence[FieldPicture],
    finding: Finding,
    scale: Scale,
    *,
    allow_unscaled: bool = False,
) -> Judgement:
    """Judge one field: may the numbers that a method found in it be used?

    Parameters
    ----------
    method_id : str
        `trypan-blue`, `nuclei` or `live-dead`.
    pictures : sequence of FieldPicture
        The field's channels, as the method was given them.
    finding : Finding
        What the method found in them.
    scale : Scale
        What is known of size.
    allow_unscaled : bool
        An unknown scale is a remark then, and not a fault.
    """
    picture = pictures[0]
    diameter = scale.object_diameter_px or segment.WORKING_DIAMETER_PX
    if scale.um_per_px is not None:
        diameter = segment.WORKING_DIAMETER_PX * segment.WORKING_UM_PER_PX / scale.um_per_px
    maps = segment.prepare(picture.grey, segment.working_scale(diameter))
    quality = measure(picture, maps)
    reasons = reasons_for(picture, quality, finding.cells)
    verdict = verdict_of(reasons, quality)
    if not scale.known():
        reasons.append("unknown_scale")
        if not allow_unscaled and verdict == "counted":
            verdict = "repeat"
    return Judgement(tuple(reasons), verdict, quality)
