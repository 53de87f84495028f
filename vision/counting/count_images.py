"""Count the cells of pictures: one field by one method, from the file to the numbers.

This is the room's door for counting; the command line and the worker both come through it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from vision.counting import field_scale, frame_quality, output_files, specimen
from vision.counting.chamber import Dilution
from vision.counting.chamber_table import Chamber, chamber_named
from vision.counting.counting_region import CountingRegion, apply_two_edges, exclude_grid_lines
from vision.counting.field_scale import FieldScale
from vision.counting.frame_quality import Judgement, Verdict
from vision.counting.kernel_cache import refuse_parallel_kernels
from vision.counting.method import Finding, Method, Scale
from vision.counting.methods import USUAL, identity_of, method_named
from vision.counting.results import CountResult, ImageResult, Numbers
from vision.picture_file import ChannelsDiffer, FieldPicture, PictureUnreadable, read_grey

if TYPE_CHECKING:
    from vision.counting.neubauer import Grid

# One object diameter outside this band is no cell that a method was validated for.
DIAMETER_PX_LEAST, DIAMETER_PX_MOST = 6.0, 200.0
# Larger than a tile of any network: these take their memory in the shape that they were last run in.
WARM_SIDE_PX, WARM_PITCH_PX = 1200, 40
POOLED_OVERLAY, CELLS_TABLE = "pooled.png", "cells.csv"


@dataclass(frozen=True, slots=True)
class CountedField:
    """A field's result with what its pictures are drawn from; dropped once these are written."""

    result: ImageResult
    pictures: tuple[FieldPicture, ...] = ()
    finding: Finding | None = None
    grid: Grid | None = None
    region: CountingRegion | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all fields of one run."""

    method: Method
    scale: Scale
    allow_unscaled: bool = False
    field_depth_um: float | None = None
    dilution: float = 1.0
    chamber: Chamber | None = None

    def depth_um(self) -> float | None:
        """Return the depth of a field: stated, or the chamber's."""
        if self.field_depth_um is not None:
            return self.field_depth_um
        return None if self.chamber is None else self.chamber.depth_um


def warm(name: str = USUAL) -> None:
    """Count a small made-up field, so that nothing is left to compile or to load for the first true one.

    Raises
    ------
    UnknownMethod
    KernelCacheUnusable
    ParallelKernel
    """
    method = method_named(name)
    refuse_parallel_kernels()
    method.warm()
    identity_of(method)
    picture = FieldPicture(made_up_field(), 8, 0.0)
    scale = Scale(um_per_px=0.6)
    finding, _ = count_picture((picture,) * method.channels, method=method, scale=scale, allow_unscaled=False)
    fields = [specimen.field_count(method, finding.cells)]
    specimen.numbers_of_fields(method, fields, volume=None, dilution=Dilution.of(2.0))


def made_up_field() -> npt.NDArray[np.float32]:
    """Return grey levels with bright cores in dark rings, which every method takes for something."""
    rows, columns = np.mgrid[0:WARM_SIDE_PX, 0:WARM_SIDE_PX] % WARM_PITCH_PX - WARM_PITCH_PX / 2
    far = np.hypot(rows, columns)
    grey = 100 + 90 * np.exp(-((far / 4) ** 2)) - 50 * np.exp(-(((far - 8) / 2) ** 2))
    return np.asarray(grey, np.float32)


def count_picture(
    pictures: Sequence[FieldPicture], *, method: Method, scale: Scale, allow_unscaled: bool
) -> tuple[Finding, Judgement]:
    """Find the cells of one decoded field and judge it.

    Raises
    ------
    PictureUnreadable
        At the stated scale the picture holds less than one cell, or more than can be worked on.
    """
    finding = method.find(pictures, scale)
    judged = frame_quality.judge(method.id, pictures, finding, scale, allow_unscaled=allow_unscaled)
    return finding, judged


def count_field(paths: Sequence[Path], settings: Settings) -> CountedField:
    """Count one field out of its files (one a channel); files that cannot be read are a result too."""
    began = time.perf_counter()
    method = settings.method
    known = FieldScale(settings.scale)
    try:
        pictures = tuple(read_grey(path) for path in paths)
        _check_one_size(pictures)
        known = field_scale.scale_of(pictures, method, settings.scale, settings.chamber)
        finding, judged = count_picture(
            pictures, method=method, scale=known.scale, allow_unscaled=settings.allow_unscaled
        )
    except PictureUnreadable as error:
        refused = _unreadable(paths, method, error, known)
        return CountedField(replace(refused, elapsed_ms=1000 * (time.perf_counter() - began)))
    height, width = pictures[0].grey.shape
    region = None
    if settings.depth_um() is not None:
        region = field_scale.region_of(known, (height, width), finding.cells)
    if known.grid is not None:
        bare = exclude_grid_lines(finding.cells, pictures[0].grey, known.grid)
        finding = replace(finding, cells=tuple(bare))
    if region is not None:
        finding = replace(finding, cells=tuple(apply_two_edges(finding.cells, region)))
    if known.disagrees:
        judged = replace(
            judged, reasons=(*judged.reasons, "scale_disagrees"), verdict=_no_better(judged.verdict)
        )
    result = ImageResult(
        image=str(paths[0]),
        verdict=judged.verdict,
        reasons=judged.reasons,
        cells=finding.cells,
        numbers=Numbers(),
        elapsed_ms=0.0,
        method=identity_of(method),
        um_per_px=known.scale.um_per_px,
        width_px=width,
        height_px=height,
        area_mm2=None if region is None else region.area_mm2,
        words=frame_quality.words_for(judged.reasons, method.id),
        quality=asdict(judged.quality),
        channels=tuple(str(path) for path in paths) if len(paths) > 1 else (),
        grid=None if known.grid is None else _of_grid(known.grid),
    )
    # Blur turns live cells grey: a number made of a faulty picture would be read as one.
    usable = judged.verdict == "counted" or set(judged.reasons) <= {"unknown_scale"}
    numbers = specimen.numbers_of(
        method,
        result,
        depth_um=settings.depth_um() if usable else None,
        dilution=settings.dilution,
        chamber=settings.chamber,
        with_viability=usable,
    )
    result = replace(result, numbers=numbers, elapsed_ms=1000 * (time.perf_counter() - began))
    return CountedField(result, pictures, finding, known.grid, region)


def _words(judged: Judgement) -> str:
    """Say what to do; of a field that is counted all the same, what is so."""
    asked = dict(frame_quality.WHAT_TO_DO)
    if judged.verdict == "counted":
        asked["unknown_scale"] = "Counted without a known scale; sizes are in pixels."
    return " ".join(asked[reason] for reason in judged.reasons)


def _no_better(verdict: Verdict) -> Verdict:
    return "refused" if verdict == "refused" else "repeat"


def _of_grid(grid: Grid) -> dict[str, Any]:
    """Return what a result says of the ruling found."""
    return {
        "ruling": grid.ruling,
        "spacings_mm": [list(axis) for axis in grid.spacings_mm],
        "px_per_mm": list(grid.px_per_mm),
        "angle_deg": grid.angle_deg,
        "um_per_px": grid.um_per_px,
        "um_per_px_relative_u": grid.um_per_px_relative_u,
    }


def _check_one_size(pictures: Sequence[FieldPicture]) -> None:
    if len({picture.grey.shape for picture in pictures}) > 1:
        raise ChannelsDiffer(
            "The two channels are pictures of different size. Take both with one camera and one binning."
        )


def _unreadable(
    paths: Sequence[Path], method: Method, error: PictureUnreadable, known: FieldScale
) -> ImageResult:
    nothing = 0 if specimen.tells_live_from_dead(method) else None
    return ImageResult(
        image=str(paths[0]),
        verdict="refused",
        reasons=(error.reason,),
        cells=(),
        numbers=Numbers(live=nothing, dead=nothing, unclassified=nothing),
        elapsed_ms=0.0,
        method=identity_of(method),
        um_per_px=known.scale.um_per_px,
        words=str(error),
        channels=tuple(str(path) for path in paths) if len(paths) > 1 else (),
        grid=None if known.grid is None else _of_grid(known.grid),
    )


def count_file(
    path: Path, *, scale: Scale, allow_unscaled: bool = False, method: Method | None = None
) -> ImageResult:
    """Count one file; a file that cannot be read is a result too, refused as `unreadable`."""
    settings = Settings(method or method_named(USUAL), scale, allow_unscaled)
    return count_field([path], settings).result


def count_files(
    paths: Sequence[Path | Sequence[Path]],
    *,
    method: str = USUAL,
    um_per_px: float | None = None,
    object_diameter_px: float | None = None,
    allow_unscaled: bool = False,
    field_depth_um: float | None = None,
    chamber: str = "",
    dilution: float = 1.0,
    overlay_dir: Path | None = None,
    simulated: bool = False,
    cells_csv_dir: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> CountResult:
    """Count the fields of one specimen.

    Parameters
    ----------
    paths : sequence of Path, or of sequences of Path
        Picture files, each one field; of a method with several channels the files of each field.
        Results come in this order.
    method : str
        One of `methods.METHODS`.
    um_per_px, object_diameter_px : float, optional
        The scale; the first wins. With neither each picture is `repeat`, `unknown_scale`,
        unless `allow_unscaled`.
    field_depth_um : float, optional
        Depth of the chamber; with `um_per_px` it gives a concentration.
    chamber : str
        Name of the counting chamber, for its depth, its tolerances and its ruling; empty when not known.
    dilution : float
        Final volume over sample volume, 1 or more.
    overlay_dir : Path, optional
        Where the pooled picture (`pooled.png`) is written; made if missing.
    cells_csv_dir : Path, optional
        Where the table of all cells (`cells.csv`, first column: the field's number) is written.
    simulated : bool
        Writes SIMULATED into the picture.
    on_progress : callable, optional
        Called with the share done, 0 to 1, after each picture.

    Raises
    ------
    UnknownMethod, UnknownChamber
        No such method or chamber.
    ValueError
        A scale, depth or dilution that cannot be, or fields of another number of channels.
    OutputNotWritten
        A file asked for could not be written.
    """
    from vision.counting.annotate import ContactSheet

    check_numbers(um_per_px, object_diameter_px, field_depth_um, dilution)
    scale = Scale(um_per_px, object_diameter_px)
    named = chamber_named(chamber) if chamber else None
    settings = Settings(method_named(method), scale, allow_unscaled, field_depth_um, dilution, named)
    fields = [(each,) if isinstance(each, Path) else tuple(each) for each in paths]
    if any(len(files) != settings.method.channels for files in fields):
        raise ValueError(f"{method} counts a field out of {settings.method.channels} picture(s).")
    sheet = ContactSheet(len(fields), settings.method.classes) if overlay_dir is not None and fields else None
    results: list[ImageResult] = []
    rows: list[tuple[object, ...]] = []
    for number, files in enumerate(fields, start=1):
        counted = count_field(files, settings)
        results.append(counted.result)
        if sheet is not None:
            sheet.add(counted)
        if cells_csv_dir is not None:
            rows += ((number, *row) for row in output_files.rows_of(counted))
        # Its pictures must not lie in memory beside the next field's.
        del counted
        if on_progress is not None:
            on_progress(number / len(fields))
    pooled = specimen.pool(
        results, settings.method, field_depth_um=settings.depth_um(), dilution=dilution, chamber=named
    )
    overlay = cells_csv = None
    if overlay_dir is not None and sheet is not None:
        overlay = overlay_dir / POOLED_OVERLAY
        output_files.write_whole(overlay, sheet.png(simulated=simulated))
    if cells_csv_dir is not None:
        cells_csv = cells_csv_dir / CELLS_TABLE
        output_files.write_whole(cells_csv, output_files.cells_csv(rows, first_columns=("field",)))
    return CountResult(tuple(results), pooled, identity_of(settings.method), overlay, cells_csv)


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
