"""One raster for preview, print and test: the drawn label as PNG, as a PDF page, and for a Zebra printer.

A printer that draws symbols by itself is a second drawer whom nobody has read back; so it gets the dots.
"""

from __future__ import annotations

import io
import re
import time

import numpy as np
import numpy.typing as npt
from PIL import Image

from vision.labels.label_picture import LabelPicture

# The same label gives the same bytes: a page does not carry the moment of its making, the record does.
NO_MOMENT = time.gmtime(0)
Dots = npt.NDArray[np.bool_]

_ONES, _TENS = "GHIJKLMNOPQRSTUVWXY", "ghijklmnopqrstuvwxyz"
_GRAPHIC = re.compile(rb"\^GFA,(?P<total>\d+),(?P<field>\d+),(?P<row>\d+),(?P<data>[^^]*)\^FS")


class NotZpl(ValueError):
    """The bytes are no label of ours for a Zebra printer."""


def as_pdf(label: LabelPicture) -> bytes:
    """Return the label as a page of its own size, dot for dot."""
    with Image.open(io.BytesIO(label.png)) as picture:
        buffer = io.BytesIO()
        picture.convert("1").save(
            buffer,
            format="PDF",
            resolution=label.dpi,
            title=f"{label.template} label, version {label.version}",
            creationDate=NO_MOMENT,
            modDate=NO_MOMENT,
        )
    return buffer.getvalue()


def as_zpl(label: LabelPicture, *, copies: int = 1) -> bytes:
    """Return the label for a Zebra printer of the label's dots an inch, as one graphic.

    Parameters
    ----------
    copies : int
        1 to 99.

    Notes
    -----
    Rows are packed as ZPL's alternative compression does: a letter or two give how often the next digit
    stands there, "," ends a row of white, "!" one of black, ":" repeats the row before. A label of
    1200 x 900 dots takes a few kilobytes in place of 270, which on a serial line is seconds and not minutes.
    """
    assert 1 <= copies <= 99, copies
    dots = dots_of(label)
    height, width = dots.shape
    row_bytes = -(-width // 8)
    packed, before = [], ""
    for row in np.packbits(dots, axis=1):
        digits = row.tobytes().hex().upper()
        packed.append(":" if digits == before else _packed_row(digits))
        before = digits
    total = row_bytes * height
    head = f"^XA^PW{width}^LL{height}^LH0,0^FO0,0^GFA,{total},{total},{row_bytes},"
    return f"{head}{''.join(packed)}^FS^PQ{copies},0,0,N^XZ\n".encode("ascii")


def dots_of(label: LabelPicture) -> Dots:
    """Return where the label is black: (height, width) bool."""
    with Image.open(io.BytesIO(label.png)) as picture:
        black: Dots = np.asarray(picture.convert("L")) < 128
    return black


def dots_of_zpl(data: bytes) -> Dots:
    """Return the dots that a printer makes of `as_zpl`'s bytes; (height, whole bytes of width) bool.

    Raises
    ------
    NotZpl
        Not one graphic, or one that does not fill its own rows.
    """
    match = _GRAPHIC.search(data)
    if match is None:
        raise NotZpl("There is no graphic in these bytes.")
    row_digits = 2 * int(match["row"])
    rows: list[str] = []
    digits, times = "", 0
    for character in match["data"].decode("ascii", "replace"):
        if character in _TENS:
            times += 20 * (_TENS.index(character) + 1)
        elif character in _ONES:
            times += _ONES.index(character) + 1
        elif character in ",!":
            digits = digits.ljust(row_digits, "0" if character == "," else "F")
        elif character == ":" and rows and not digits:
            digits = rows[-1]
        elif character in "0123456789ABCDEF":
            digits += character * max(1, times)
            times = 0
        else:
            raise NotZpl(f"{character!r} does not belong into a graphic.")
        if len(digits) > row_digits:
            raise NotZpl("A row of the graphic is too long.")
        if len(digits) == row_digits:
            rows.append(digits)
            digits = ""
    if digits or len(rows) * row_digits != 2 * int(match["total"]):
        raise NotZpl("The graphic ends too early.")
    data_bytes = np.frombuffer(bytes.fromhex("".join(rows)), np.uint8).reshape(len(rows), row_digits // 2)
    return np.unpackbits(data_bytes, axis=1).astype(bool)


def _packed_row(digits: str) -> str:
    """Pack one row's hexadecimal digits."""
    for rest, mark in (("0", ","), ("F", "!")):
        stripped = digits.rstrip(rest)
        if len(digits) - len(stripped) > 1:
            return _runs(stripped) + mark
    return _runs(digits)


def _runs(digits: str) -> str:
    return "".join(_times(len(run[0])) + run[0][0] for run in re.finditer(r"(.)\1*", digits))


def _times(count: int) -> str:
    if count == 1:
        return ""
    tens, ones = divmod(count, 20)
    said = ""
    while tens:
        step = min(tens, len(_TENS))
        said += _TENS[step - 1]
        tens -= step
    return said + (_ONES[ones - 1] if ones else "")
