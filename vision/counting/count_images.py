"""Count the cells of a specimen: its fields one by one, then pooled.

This is the room's door for counting; the command line and the worker both come through it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from vision.counting import cells, frame_quality, kernels, segment, uncertainty
from vision.counting.cells import Cell
from vision.counting.chamber import FieldGeometry, concentration_cells_ml
from vision.counting.frame_quality import Quality, Verdict
from vision.picture_file import PIXELS_MAX, FieldPicture, PictureUnreadable, read_grey

METHODS = (cells.METHOD_ID,)
# Below this a pooled viability says too little to be used (10 percentage points either way).
POOLED_CELLS_LEAST = 100
# One object diameter outside this band is no cell that the method was validated for.
DIAMETER_PX_LEAST, DIAMETER_PX_MOST = 6.0, 200.0
# Smaller than one cell at the working scale there is nothing to find.
SIDE_LEAST_PX = 24
POOLED_OVERLAY = "pooled.png"


class UnknownMethod(Exception):
    """The asked counting method does not exist; `str(error)` names those that do."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What is known of size: micrometres a pixel, or a cell's diameter in pixels, or neither."""

    um_per_px: float | None = None
    object_diameter_px: float | None = None

    def known(self) -> bool:
        """Say whether lengths in the picture mean something."""
        return self.um_per_px is not None or self.object_diameter_px is not None

    def factor(self) -> float:
        """Return the factor that brings a picture to the method's working scale."""
        if self.um_per_px is not None:
            return segment.working_scale(
                segment.WORKING_DIAMETER_PX * segment.WORKING_UM_PER_PX / self.um_per_px
            )
        return segment.working_scale(self.object_diameter_px or segment.WORKING_DIAMETER_PX)


@dataclass(frozen=True, slots=True)
class ImageResult:
    """The count of one picture; `live`, `dead` count included cells only."""

    image: str
    verdict: Verdict
    reasons: tuple[str, ...]
    cells: tuple[Cell, ...]
    live: int
    dead: int
    unclassified: int
    viability_percent: float | None
    viability_interval_percent: tuple[float, float] | None
    elapsed_ms: float
    width_px: int = 0
    height_px: int = 0
    words: str = ""
    quality: Quality | None = None

    def line(self) -> dict[str, Any]:
        """Return the JSON object of the command line, with the cells."""
        return {
            **self.summary(),
            "live": self.live,
            "dead": self.dead,
            "viability_percent": self.viability_percent,
            "viability_interval_percent": _listed(self.viability_interval_percent),
            "cells": [
                {"x": c.x, "y": c.y, "radius": c.radius, "class": c.kind, "included": c.included}
                for c in self.cells
            ],
            "elapsed_ms": round(self.elapsed_ms, 1),
        }

    def summary(self) -> dict[str, Any]:
        """Return the result without cells, its measured numbers as decimal strings, for the record."""
        return {
            "image": self.image,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "live": self.live,
            "dead": self.dead,
            "unclassified": self.unclassified,
            "viability_percent": _decimal(self.viability_percent),
            "viability_interval_percent": _decimals(self.viability_interval_percent),
        }


@dataclass(frozen=True, slots=True)
class PooledResult:
    """All fields of one specimen together."""

    verdict: Verdict
    reasons: tuple[str, ...]
    live: int
    dead: int
    unclassified: int
    viability_percent: float | None
    viability_interval_percent: tuple[float, float] | None
    concentration_cells_ml: float | None
    concentration_interval_cells_ml: tuple[float, float] | None
    fields: int
    fields_left_out: int

    def summary(self) -> dict[str, Any]:
        """Return the result with its measured numbers as decimal strings, for the record."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "live": self.live,
            "dead": self.dead,
            "unclassified": self.unclassified,
            "viability_percent": _decimal(self.viability_percent),
            "viability_interval_percent": _decimals(self.viability_interval_percent),
            "concentration_cells_ml": _cells_ml(self.concentration_cells_ml),
            "concentration_interval_cells_ml": None
            if self.concentration_interval_cells_ml is None
            else [_cells_ml(v) for v in self.concentration_interval_cells_ml],
            "fields": self.fields,
            "fields_left_out": self.fields_left_out,
        }


@dataclass(frozen=True, slots=True)
class CountResult:
    """What `count_files` returns."""

    images: tuple[ImageResult, ...]
    pooled: PooledResult
    method: dict[str, str]
    overlay: Path | None

    def message(self) -> dict[str, Any]:
        """Return the worker's answer: no cells, numbers as decimal strings."""
        return {
            "images": [image.summary() for image in self.images],
            "pooled": self.pooled.summary(),
            "method": self.method,
            "overlay": None if self.overlay is None else str(self.overlay),
        }


def _decimal(value: float | None) -> str | None:
    return None if value is None else str(Decimal(repr(value)).quantize(Decimal("0.1"), ROUND_HALF_EVEN))


def _decimals(pair: tuple[float, float] | None) -> list[str | None] | None:
    return None if pair is None else [_decimal(v) for v in pair]


def _cells_ml(value: float | None) -> str | None:
    """Write a concentration with three significant digits and no exponent, as people read it."""
    if value is None:
        return None
    return format(Decimal(f"{value:.2e}"), "f")


def _listed(pair: tuple[float, float] | None) -> list[float] | None:
    return None if pair is None else [round(v, 2) for v in pair]


def method_card() -> dict[str, str]:
    """Return id, version and hash of the method: what binds a result to code and weights."""
    return {
        "id": cells.METHOD_ID,
        "version": cells.committed_model().version,
        "hash": cells.method_hash(),
    }


def method_error() -> uncertainty.MethodError:
    """Return the committed model's validated error."""
    validation = cells.committed_model().validation
    return uncertainty.MethodError(
        viability_pp=validation["viability_rms_pp"],
        count_percent=validation["sample_count_rms_percent"],
        cells=validation["cells_per_specimen"],
    )


def warm() -> None:
    """Compile or load all that a count needs, so that the first one is not slower."""
    kernels.warm()
    cells.committed_model()
    cells.method_hash()


def _unreadable(path: Path, words: str, elapsed_ms: float) -> ImageResult:
    return ImageResult(
        str(path), "refused", ("unreadable",), (), 0, 0, 0, None, None, elapsed_ms, words=words
    )


def count_picture(
    picture: FieldPicture, *, scale: Scale, allow_unscaled: bool, model: cells.Model | None = None
) -> tuple[list[Cell], list[str], Verdict, Quality]:
    """Count one decoded picture: cells, reasons, verdict and what was measured of it.

    Raises
    ------
    PictureUnreadable
        At the stated scale the picture holds less than one cell, or more than can be worked on.
    """
    factor = scale.factor()
    height, width = picture.grey.shape
    if min(height, width) * factor < SIDE_LEAST_PX or height * width * factor**2 > PIXELS_MAX:
        raise PictureUnreadable(
            f"At this scale a picture of {width} x {height} pixels cannot be counted. Check the scale."
        )
    maps = segment.prepare(picture.grey, factor)
    found = cells.find_cells(maps, model or cells.committed_model())
    quality = frame_quality.measure(picture, maps)
    reasons = frame_quality.reasons_for(picture, quality, found)
    verdict = frame_quality.verdict_of(reasons, quality)
    if not scale.known() and not allow_unscaled:
        reasons.append("unknown_scale")
        verdict = "refused" if verdict == "refused" else "repeat"
    return found, reasons, verdict, quality


def count_file(
    path: Path, *, scale: Scale, allow_unscaled: bool = False, model: cells.Model | None = None
) -> ImageResult:
    """Count one file; a file that cannot be read is a result too, refused as `unreadable`."""
    began = time.perf_counter()
    try:
        picture = read_grey(path)
        found, reasons, verdict, quality = count_picture(
            picture, scale=scale, allow_unscaled=allow_unscaled, model=model
        )
    except PictureUnreadable as error:
        return _unreadable(path, str(error), 1000 * (time.perf_counter() - began))
    live, dead, unclassified = _numbers(found)
    # Blur turns live cells grey: a viability made of a faulty picture would be read as one.
    usable = set(reasons) <= {"unknown_scale"} and live + dead > 0
    interval = uncertainty.viability_interval(live, dead, unclassified, method_error()) if usable else None
    height, width = picture.grey.shape
    return ImageResult(
        image=str(path),
        verdict=verdict,
        reasons=tuple(reasons),
        cells=tuple(found),
        live=live,
        dead=dead,
        unclassified=unclassified,
        viability_percent=round(100 * live / (live + dead), 2) if usable else None,
        viability_interval_percent=interval,
        elapsed_ms=1000 * (time.perf_counter() - began),
        width_px=width,
        height_px=height,
        words=" ".join(frame_quality.WHAT_TO_DO[reason] for reason in reasons),
        quality=quality,
    )


def _numbers(found: Sequence[Cell]) -> tuple[int, int, int]:
    kinds = [cell.kind for cell in found if cell.included]
    return kinds.count("live"), kinds.count("dead"), kinds.count("unclassified")


def pool(
    images: Sequence[ImageResult], *, um_per_px: float | None, field_depth_um: float | None, dilution: float
) -> PooledResult:
    """Pool the counted fields of one specimen; fields with another verdict are left out."""
    counted = [image for image in images if image.verdict == "counted"]
    live, dead = sum(i.live for i in counted), sum(i.dead for i in counted)
    unclassified = sum(i.unclassified for i in counted)
    everything = live + dead + unclassified
    error = method_error()
    reasons = [] if everything >= POOLED_CELLS_LEAST else ["too_few_cells"]
    concentration, interval = None, None
    if um_per_px is not None and field_depth_um is not None and counted:
        volume_ml = sum(
            FieldGeometry(i.width_px, i.height_px, um_per_px, field_depth_um).volume_ml() for i in counted
        )
        concentration = concentration_cells_ml(everything, volume_ml, dilution)
        interval = uncertainty.concentration_interval(everything, volume_ml, dilution, error)
    if not counted:
        # What kept every field out is what the person must mend first.
        reasons = sorted({reason for image in images for reason in image.reasons}) or reasons
    refused = bool(images) and all(image.verdict == "refused" for image in images)
    return PooledResult(
        verdict="refused" if refused else "repeat" if reasons else "counted",
        reasons=tuple(reasons),
        live=live,
        dead=dead,
        unclassified=unclassified,
        viability_percent=100 * live / (live + dead) if live + dead else None,
        viability_interval_percent=uncertainty.viability_interval(live, dead, unclassified, error),
        concentration_cells_ml=concentration,
        concentration_interval_cells_ml=interval,
        fields=len(counted),
        fields_left_out=len(images) - len(counted),
    )


def count_files(
    paths: Sequence[Path],
    *,
    method: str = cells.METHOD_ID,
    um_per_px: float | None = None,
    object_diameter_px: float | None = None,
    allow_unscaled: bool = False,
    field_depth_um: float | None = None,
    dilution: float = 1.0,
    overlay_dir: Path | None = None,
    simulated: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> CountResult:
    """Count the fields of one specimen.

    Parameters
    ----------
    paths : sequence of Path
        Picture files, each one field; results come in this order.
    method : str
        One of `METHODS`.
    um_per_px, object_diameter_px : float, optional
        The scale; the first wins. With neither each picture is `repeat`, `unknown_scale`,
        unless `allow_unscaled`.
    field_depth_um : float, optional
        Depth of the chamber; with `um_per_px` it gives a concentration.
    dilution : float
        Final volume over sample volume, 1 or more.
    overlay_dir : Path, optional
        Where the pooled picture (`pooled.png`) is written; made if missing.
    simulated : bool
        Writes SIMULATED into the picture.
    on_progress : callable, optional
        Called with the share done, 0 to 1, after each picture.

    Raises
    ------
    UnknownMethod
        No such method.
    ValueError
        A scale, depth or dilution that cannot be.
    """
    if method not in METHODS:
        raise UnknownMethod(f"There is no method {method!r}. Use one of: {', '.join(METHODS)}.")
    check_numbers(um_per_px, object_diameter_px, field_depth_um, dilution)
    scale = Scale(um_per_px, object_diameter_px)
    results: list[ImageResult] = []
    for number, path in enumerate(paths, start=1):
        results.append(count_file(Path(path), scale=scale, allow_unscaled=allow_unscaled))
        if on_progress is not None:
            on_progress(number / len(paths))
    pooled = pool(results, um_per_px=um_per_px, field_depth_um=field_depth_um, dilution=dilution)
    overlay = None
    if overlay_dir is not None:
        from vision.counting.annotate import write_contact_sheet

        overlay = write_contact_sheet(results, overlay_dir / POOLED_OVERLAY, simulated=simulated)
    return CountResult(tuple(results), pooled, method_card(), overlay)


def check_numbers(
    um_per_px: float | None, object_diameter_px: float | None, field_depth_um: float | None, dilution: float
) -> None:
    """Raise ValueError, in words for a person, for numbers that cannot be."""
    if um_per_px is not None and not 0.06 <= um_per_px <= 2:
        raise ValueError("The size of a pixel must be 0.06 to 2 micrometres.")
    if object_diameter_px is not None and not DIAMETER_PX_LEAST <= object_diameter_px <= DIAMETER_PX_MOST:
        raise ValueError(f"The cell diameter must be {DIAMETER_PX_LEAST:g} to {DIAMETER_PX_MOST:g} pixels.")
    if field_depth_um is not None and not 1 <= field_depth_um <= 1000:
        raise ValueError("The chamber's depth must be 1 to 1000 micrometres.")
    if not 1 <= dilution <= 1000:
        raise ValueError("The dilution must be 1 to 1000 (final volume over sample volume).")


def without_elapsed(result: ImageResult) -> ImageResult:
    """Return the result without its time: what must be identical when a picture is counted again."""
    return replace(result, elapsed_ms=0.0)
