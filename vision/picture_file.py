"""Read a picture of a field from a file into grey levels, within bounds, or say why not."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

# More than a microscope camera gives; the maps of a picture take some 40 bytes a pixel.
PIXELS_MAX = 36_000_000
SIDE_PX_MIN, SIDE_PX_MAX = 32, 12_000
FILE_BYTES_MAX = 512_000_000
# Formats that cameras and microscopes write; every further decoder is one more way in for bad bytes.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L")
EIGHT_BIT = ("L", "LA", "RGB", "RGBA", "P", "PA")
# Cameras digitise with one of these depths, and leave the upper bits of a 16-bit file empty.
CAMERA_BIT_DEPTHS = (8, 10, 12, 14, 16)
# Below this the ground is dark: light of one colour is read from its own channel.
DARK_GROUND_GREY = 64.0
# What decoders raise at damaged bytes, as met in Pillow.
DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    struct.error,
    zlib.error,
)

Bytes = npt.NDArray[np.uint8]


class PictureUnreadable(Exception):
    """The file is no picture that can be counted; `str(error)` says what to do, `reason` is its key."""

    reason = "unreadable"


class ChannelsDiffer(PictureUnreadable):
    """The pictures of one field's channels are not of one size."""

    reason = "channels_differ"


@dataclass(frozen=True, slots=True)
class FieldPicture:
    """A picture in grey levels of 0 to 255, whatever its depth in the file.

    Attributes
    ----------
    grey : (h, w) float32 ndarray
        Luminance; on a dark ground the strongest channel, so that blue light counts as much as green.
    bit_depth : int
        Depth that the camera used: see `read_grey`.
    colourfulness : float
        Mean difference between the strongest and weakest channel, 0 to 1.
    colourfulness_high : float
        95th percentile of the same difference, 0 to 1.
    colours : (h, w, 3) uint8 ndarray or None
        Red, green, blue; None where the picture is grey.
    """

    grey: npt.NDArray[np.float32]
    bit_depth: int
    colourfulness: float
    colourfulness_high: float = 0.0
    colours: Bytes | None = None


def read_grey(path: Path) -> FieldPicture:
    """Read a picture file, turned as its EXIF note says.

    A 16-bit file is divided by the top level of the least depth (8, 10, 12, 14 or 16 bits) that holds
    its brightest pixel: a 12-bit camera's picture comes out as bright as an 8-bit camera's. Nothing is
    stretched beyond that, for any method.

    Raises
    ------
    PictureUnreadable
        Missing, no ordinary file, truncated, too small, too large, of several pages, or of a kind that
        holds no plain grey levels.
    """
    try:
        with _opened(path) as file, warnings.catch_warnings():
            # Pillow warns of large pictures and odd notes; the bounds below refuse before decoding.
            warnings.simplefilter("ignore")
            with Image.open(file, formats=FORMATS) as picture:
                return _grey_of(picture, path.name)
    except MemoryError as error:
        raise PictureUnreadable(
            f"{path.name} needs more memory than there is. Take a smaller field."
        ) from error
    except Image.DecompressionBombError as error:
        raise PictureUnreadable(f"{path.name} is too large a picture. Take one field at a time.") from error
    except DAMAGE as error:
        raise PictureUnreadable(f"{path.name} cannot be read as a picture. Take it again.") from error


def _opened(path: Path) -> io.BufferedReader:
    """Open an ordinary file; a pipe or a device could keep the reader for ever."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb") if stat.S_ISREG(os.fstat(handle).st_mode) else None
    if file is None:
        os.close(handle)
        raise PictureUnreadable(f"{path.name} is no file of a picture. Name the picture's file.")
    size = os.fstat(handle).st_size
    if 0 < size <= FILE_BYTES_MAX:
        return file
    file.close()
    if size == 0:
        raise PictureUnreadable(f"{path.name} is empty, it cannot be read as a picture. Take it again.")
    raise PictureUnreadable(f"{path.name} is too large a file. Save the field as PNG and try again.")


def _refuse_what_is_no_field(picture: Image.Image, name: str) -> None:
    """Refuse by the header alone, before anything is decoded."""
    width, height = picture.size
    if width * height > PIXELS_MAX or max(width, height) > SIDE_PX_MAX:
        raise PictureUnreadable(f"{name} is too large ({width} x {height}). Take one field at a time.")
    if min(width, height) < SIDE_PX_MIN:
        raise PictureUnreadable(f"{name} is too small ({width} x {height}) to hold a field. Take it again.")
    if picture.mode not in EIGHT_BIT + SIXTEEN_BIT:
        raise PictureUnreadable(f"{name} is a {picture.mode} picture. Save it as grey or RGB PNG.")
    # A telephone's second page is its own preview; in any other file it is another field.
    if picture.format != "MPO" and _has_second_page(picture):
        raise PictureUnreadable(f"{name} holds several pictures. Save each field as a file of its own.")


def _has_second_page(picture: Image.Image) -> bool:
    try:
        picture.seek(1)
    except EOFError:
        return False
    return True


def _grey_of(picture: Image.Image, name: str) -> FieldPicture:
    _refuse_what_is_no_field(picture, name)
    picture.seek(0)
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode in SIXTEEN_BIT:
        return _sixteen_bit(np.asarray(upright))
    if upright.mode == "L":
        return field_of(np.asarray(upright))
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if int(np.asarray(upright.getchannel("A")).min()) < 255:
            raise PictureUnreadable(f"{name} is partly transparent. Save it as grey or RGB PNG.")
    return field_of(np.asarray(upright.convert("RGB")))


def _sixteen_bit(levels: npt.NDArray[np.uint16]) -> FieldPicture:
    brightest = int(levels.max())
    depth = next(bits for bits in CAMERA_BIT_DEPTHS if brightest < 2**bits)
    grey = levels.astype(np.float32)
    grey *= np.float32(255.0 / (2**depth - 1))
    return FieldPicture(grey, depth, 0.0)


def _coloured(colours: Bytes) -> FieldPicture:
    red, green, blue = cv2.split(colours)
    strongest = cv2.max(cv2.max(red, green), blue)
    spread = cv2.subtract(strongest, cv2.min(cv2.min(red, green), blue))
    if not spread.any():
        return FieldPicture(red.astype(np.float32), 8, 0.0)
    if _rank(strongest, 0.5) < DARK_GROUND_GREY:
        grey = strongest
    else:
        grey = np.asarray(Image.fromarray(colours).convert("L"))
    return FieldPicture(
        grey=np.asarray(grey, np.float32),
        bit_depth=8,
        colourfulness=float(cv2.mean(spread)[0]) / 255,
        colourfulness_high=_rank(spread, 0.95) / 255,
        colours=colours,
    )


def field_of(levels: Bytes) -> FieldPicture:
    """Make a field of 8-bit grey (h, w) or red, green, blue (h, w, 3) levels, as `read_grey` does."""
    if levels.ndim == 3:
        return _coloured(levels)
    return FieldPicture(levels.astype(np.float32), 8, 0.0)


def _rank(levels: npt.NDArray[np.generic], share: float) -> float:
    """Return the level below which this share of an 8-bit plane lies."""
    counts = np.bincount(np.asarray(levels, np.uint8).ravel(), minlength=256)
    return float(np.searchsorted(np.cumsum(counts), share * levels.size))
