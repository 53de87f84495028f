"""Read a picture of a field from a file into grey levels, within bounds, or say why not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

# More than a microscope camera gives; the maps of a picture take some 60 bytes a pixel.
PIXELS_MAX = 36_000_000
SIDE_PX_MIN = 32
FILE_BYTES_MAX = 512_000_000
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L")
EIGHT_BIT = ("1", "L", "LA", "RGB", "RGBA", "P")


class PictureUnreadable(Exception):
    """The file is no picture that can be counted; `str(error)` says what to do."""


@dataclass(frozen=True, slots=True)
class FieldPicture:
    """A picture in grey levels of 0 to 255, whatever its depth in the file.

    `colourfulness` is the mean difference between the strongest and weakest channel, 0 to 1.
    """

    grey: npt.NDArray[np.float32]
    bit_depth: int
    colourfulness: float


def read_grey(path: Path) -> FieldPicture:
    """Read a picture file.

    Raises
    ------
    PictureUnreadable
        Missing, truncated, too small, too large, or of a kind that holds no grey levels.
    """
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise PictureUnreadable(f"{path.name} is too large a file. Save the field as PNG and try again.")
        with warnings.catch_warnings():
            # Pillow warns of large pictures; the bound below refuses them before they are decoded.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _grey_of(picture, path.name)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PictureUnreadable(f"{path.name} cannot be read as a picture. Take it again.") from error


def _grey_of(picture: Image.Image, name: str) -> FieldPicture:
    width, height = picture.size
    if width * height > PIXELS_MAX:
        raise PictureUnreadable(f"{name} is too large ({width} x {height}). Take one field at a time.")
    if min(width, height) < SIDE_PX_MIN:
        raise PictureUnreadable(f"{name} is too small ({width} x {height}) to hold a field. Take it again.")
    if picture.mode in SIXTEEN_BIT:
        return FieldPicture(np.asarray(picture).astype(np.float32) / np.float32(257.0), 16, 0.0)
    if picture.mode not in EIGHT_BIT:
        raise PictureUnreadable(f"{name} is a {picture.mode} picture. Save it as grey or RGB PNG.")
    if picture.mode in ("1", "L", "LA"):
        return FieldPicture(np.asarray(picture.convert("L")).astype(np.float32), 8, 0.0)
    colours = np.asarray(picture.convert("RGB")).astype(np.float32)
    spread = float((colours.max(axis=2) - colours.min(axis=2)).mean() / 255.0)
    grey = np.asarray(picture.convert("RGB").convert("L")).astype(np.float32)
    return FieldPicture(grey, 8, spread)
