"""The files that a count leaves: whole or absent, never over a picture, and each loss told in words."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from vision.counting.method import Cell, Labels

if TYPE_CHECKING:
    from vision.counting.count_images import CountedField

# What a 16-bit label picture can tell apart.
LABELS_MAX = 65_535
CELL_COLUMNS = (
    *("label", "x_px", "y_px", "radius_px", "area_px", "x_um", "y_um", "radius_um"),
    *("class", "included", "excluded_reason", "confidence", "typicality"),
)


class OutputNotWritten(Exception):
    """A file that was asked for is not there; `str(error)` says which and what to do."""


class TooManyObjects(OutputNotWritten):
    """One picture holds more objects than its label picture can number; other pictures may well do."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is the old one or the new one, never a part.

    Raises
    ------
    OutputNotWritten
        The disk is full, the folder may not be written, or the like.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            beside.write_bytes(data)
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputNotWritten(f"{path} was not written: {error.strerror}.") from error


def check_folder(folder: Path) -> None:
    """Make a folder and try that it can be written, before hours of counting are put into it.

    Raises
    ------
    OutputNotWritten
    """
    trial = folder / f".cellwright.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        raise OutputNotWritten(f"{folder} cannot be written: {error.strerror}.") from error


def check_targets(targets: Iterable[tuple[Path, Path]], pictures: Sequence[Path]) -> None:
    """Check that each file to write has one source, and that none of them is a picture to count.

    Parameters
    ----------
    targets : iterable of (Path, Path)
        File to write, and the picture that it is made from.
    pictures : sequence of Path
        All pictures given.

    Raises
    ------
    OutputNotWritten
        Two pictures would write one file, or a picture would be written over.
    """
    kept = {_real(picture) for picture in pictures}
    source_of: dict[str, Path] = {}
    for target, source in targets:
        name = _real(target)
        if name in kept:
            raise OutputNotWritten(f"{target} is one of the pictures to count. Name another folder.")
        first = source_of.setdefault(name, source)
        if _real(first) != _real(source):
            raise OutputNotWritten(
                f"{first} and {source} would both be written to {target}. Count them in two runs."
            )


def _real(path: Path) -> str:
    return os.path.realpath(path)


def discs(cells: Sequence[Cell], shape: tuple[int, int]) -> Labels:
    """Draw cells that are known by centre and radius as discs; where two overlap, the nearer centre wins.

    Returns
    -------
    (h, w) int32 ndarray
        0 for background, k + 1 for `cells[k]`.
    """
    height, width = shape
    labels = np.zeros(shape, np.int32)
    nearest = np.full(shape, np.float32(1.0))
    for number, cell in enumerate(cells, start=1):
        top, bottom = max(0, int(cell.y - cell.radius)), min(height, int(cell.y + cell.radius) + 2)
        left, right = max(0, int(cell.x - cell.radius)), min(width, int(cell.x + cell.radius) + 2)
        rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(cell.y)
        columns = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(cell.x)
        share = (rows * rows + columns * columns) / np.float32(max(0.5, cell.radius) ** 2)
        box = (slice(top, bottom), slice(left, right))
        inside = share <= nearest[box]
        labels[box][inside] = number
        nearest[box][inside] = share[inside]
    return labels


def label_png(labels: Labels) -> bytes:
    """Encode a label picture as 16-bit grey PNG.

    Raises
    ------
    TooManyObjects
        It holds more objects than 16 bits can number.
    """
    most = int(labels.max(initial=0))
    if most > LABELS_MAX:
        raise TooManyObjects(
            f"{most} objects are more than a 16-bit label picture can number ({LABELS_MAX}). "
            "Cut the picture into fields and count them one by one."
        )
    return png(labels.astype(np.uint16))


def png(pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """Encode pixels as PNG; colours are blue, green, red."""
    good, data = cv2.imencode(".png", pixels)
    assert good, "PNG encoding of 8 or 16 bit cannot fail"
    return data.tobytes()


def cells_csv(rows: Iterable[Sequence[object]], *, first_columns: Sequence[str] = ()) -> bytes:
    """Write rows of `cell_rows` as CSV with a head line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*first_columns, *CELL_COLUMNS])
    writer.writerows(rows)
    return text.getvalue().encode()


def rows_of(counted: CountedField) -> Iterable[tuple[object, ...]]:
    """Yield one row a cell of a field, in the order of `CELL_COLUMNS`; what is not known is empty.

    x and y are from the middle of the upper left pixel, to the right and downwards.
    """
    cells, um_per_px = counted.result.cells, counted.result.um_per_px
    labels = None if counted.finding is None else counted.finding.labels
    areas = None if labels is None else np.bincount(labels.ravel(), minlength=len(cells) + 1)
    for number, cell in enumerate(cells, start=1):
        sizes_um: tuple[object, ...] = ("", "", "")
        if um_per_px is not None:
            sizes_um = tuple(round(v * um_per_px, 3) for v in (cell.x, cell.y, cell.radius))
        yield (
            *(number, cell.x, cell.y, cell.radius, "" if areas is None else int(areas[number]), *sizes_um),
            *(cell.kind, str(cell.included).lower(), cell.excluded, cell.confidence, cell.typicality),
        )


def labels_of(counted: CountedField) -> Labels | None:
    """Return a field's label picture: the method's own, or discs; None when it could not be read."""
    if counted.finding is None:
        return None
    if counted.finding.labels is not None:
        return counted.finding.labels
    return discs(counted.result.cells, counted.pictures[0].grey.shape)
