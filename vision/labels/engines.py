"""The two decoding engines behind one kind of result: zxing-cpp reads, ZBar (optional) confirms."""

import functools
from collections.abc import Callable, Collection
from typing import Any

import cv2
import numpy as np
import zxingcpp

from vision.labels.agreement import Read
from vision.labels.locate import Gray, Points

FORMATS = ("code128", "datamatrix", "qr", "code39")
# Retail formats stay out: they misread far more often, and no label of ours carries them.
DEFAULT_FORMATS = ("code128", "datamatrix", "qr")

_ZXING_FORMATS = {
    "code128": zxingcpp.BarcodeFormat.Code128,
    "datamatrix": zxingcpp.BarcodeFormat.DataMatrix,
    "qr": zxingcpp.BarcodeFormat.QRCode,
    "code39": zxingcpp.BarcodeFormat.Code39,
}
_NAMES = {
    zxingcpp.BarcodeFormat.Code128: "code128",
    zxingcpp.BarcodeFormat.DataMatrix: "datamatrix",
    zxingcpp.BarcodeFormat.QRCode: "qr",
    zxingcpp.BarcodeFormat.QRCodeModel1: "qr",
    zxingcpp.BarcodeFormat.QRCodeModel2: "qr",
    zxingcpp.BarcodeFormat.Code39: "code39",
    zxingcpp.BarcodeFormat.Code39Std: "code39",
}
_ONE_LEVEL = zxingcpp.Binarizer.GlobalHistogram
_ZBAR_NAMES = {"code128": "CODE128", "code39": "CODE39"}


def check_formats(formats: Collection[str]) -> tuple[str, ...]:
    """Return the allow-list in a fixed order; an unknown or empty one is a ValueError with words."""
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise ValueError(f"Formats are {', '.join(FORMATS)}; got {', '.join(unknown) or 'none'}.")
    return tuple(name for name in FORMATS if name in formats)


def read_zxing(
    gray: Gray, formats: Collection[str], look: str, *, one_level: bool = False, level: bool = False
) -> list[Read]:
    """Read a frame or cut-out with zxing-cpp; all results, never a choice among them.

    Parameters
    ----------
    one_level : bool
        Take one threshold between black and white for the whole picture, not one for each place.
    level : bool
        Bars stand upright in the picture: it need not be searched along its columns.

    `try_downscale=False`: with it on, zxing-cpp 3.1 invents a second payload on clean, slightly tilted
    Code 128 now and then, mod 103 passed.
    """
    results = zxingcpp.read_barcodes(
        np.ascontiguousarray(gray),
        formats=zxingcpp.BarcodeFormats([_ZXING_FORMATS[name] for name in formats]),
        try_downscale=False,
        try_rotate=not level,
        binarizer=_ONE_LEVEL if one_level else zxingcpp.Binarizer.LocalAverage,
        text_mode=zxingcpp.TextMode.Plain,
    )
    reads = []
    for result in results:
        name = _NAMES.get(result.format, "")
        if not result.valid or name not in formats:
            continue
        place = result.position
        corners = [place.top_left, place.top_right, place.bottom_right, place.bottom_left]
        points = np.array([[point.x, point.y] for point in corners], dtype=np.float32)
        data = bytes(result.bytes)
        reads.append(Read("zxing", look, name, data, result.text, result.symbology_identifier, points))
    return reads


def read_zbar(gray: Gray, formats: Collection[str], look: str) -> list[Read]:
    """Read the linear formats with ZBar; empty where the library is missing.

    Matrix symbols are left out: ZBar guesses the character set of QR and knows no DataMatrix.
    """
    decode = zbar_decoder()
    names = [_ZBAR_NAMES[name] for name in formats if name in _ZBAR_NAMES]
    if decode is None or not names:
        return []
    reads = []
    for result in decode(gray, names):
        name = "code128" if result.type == "CODE128" else "code39"
        points = _outline(result)
        data = bytes(result.data)
        reads.append(Read("zbar", look, name, data, data.decode("utf-8", "replace"), "", points))
    return reads


def _outline(result: Any) -> Points:
    corners = [(point.x, point.y) for point in result.polygon]
    if len(corners) < 2:
        left, top, width, height = result.rect
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
    return np.array(corners, dtype=np.float32)


@functools.cache
def zbar_decoder() -> Callable[[Gray, list[str]], list[Any]] | None:
    """Return ZBar's reader of named symbologies, or None where the library is missing."""
    try:
        from pyzbar import pyzbar
    except (ImportError, OSError):
        # The wheel is there and the system library is not, or neither: stills then confirm linear symbols
        # by a matrix symbol only, live reading by frames.
        return None

    def decode(gray: Gray, names: list[str]) -> list[Any]:
        symbols = [pyzbar.ZBarSymbol[name] for name in names]
        found: list[Any] = pyzbar.decode(np.ascontiguousarray(gray), symbols=symbols)
        return found

    return decode


def versions() -> dict[str, str]:
    """Names and versions of the decoders, for the record of an accepted scan."""
    from importlib.metadata import version

    told = {"zxing-cpp": version("zxing-cpp"), "opencv": cv2.__version__}
    if zbar_decoder() is not None:
        told["pyzbar"] = version("pyzbar")
    return told
