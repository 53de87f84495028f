"""Files that are no picture of one field, written by number into a folder, each with what it is."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

SIDE_PX = 96


def _grey() -> np.ndarray:
    return np.random.default_rng(5).integers(60, 200, (SIDE_PX, SIDE_PX), np.uint8)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a PNG chunk with its length and check sum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_header(width: int, height: int, body: bytes = b"\0" * 1000) -> bytes:
    """Return a grey PNG that claims a size, whatever its data holds."""
    header = struct.pack(">IIBBBBB", width & 0xFFFFFFFF, height & 0xFFFFFFFF, 8, 0, 0, 0, 0)
    data = png_chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + data + png_chunk(b"IEND", b"")


def _bmp_of_header(width: int, height: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 0, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 2000, 0, 0, 54 + 1024) + header + b"\0" * 4000


def _tiff_in_a_circle() -> bytes:
    """A TIFF whose second directory is its first."""
    data = bytearray(_saved(Image.fromarray(_grey()), "TIFF"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def _float_with_nan() -> bytes:
    values = _grey().astype(np.float32)
    values[10:20] = np.nan
    return _saved(Image.fromarray(values), "TIFF")


def _text_bomb() -> bytes:
    note = PngImagePlugin.PngInfo()
    note.add_text("Comment", "x" * 80_000_000, zip=True)
    return _saved(Image.fromarray(_grey()), "PNG", pnginfo=note)


def _files() -> dict[str, bytes]:
    grey = Image.fromarray(_grey())
    pages = [grey, grey.transpose(Image.Transpose.ROTATE_90)]
    half_clear = grey.convert("RGBA")
    half_clear.putalpha(Image.fromarray(_grey()))
    files = {
        "empty.png": b"",
        "one_pixel.png": _saved(grey.crop((0, 0, 1, 1)), "PNG"),
        "wide.png": _saved(Image.new("L", (20_000, 40), 90), "PNG"),
        "huge.png": png_of_header(60_000, 60_000),
        "negative.png": png_of_header(-96, -96),
        "nothing.png": png_of_header(0, 0),
        "negative.bmp": _bmp_of_header(-96, 96),
        "lowest.bmp": _bmp_of_header(96, -(2**31)),
        "short.png": png_of_header(4000, 4000),
        "text_bomb.png": _text_bomb(),
        "nan.tif": _float_with_nan(),
        "deep.tif": _saved(Image.fromarray(_grey().astype(np.int32)), "TIFF"),
        "cmyk.jpg": _saved(grey.convert("CMYK"), "JPEG"),
        "two_levels.png": _saved(grey.convert("1"), "PNG"),
        "half_clear.png": _saved(half_clear, "PNG"),
        "pages.tif": _saved(pages[0], "TIFF", save_all=True, append_images=pages[1:]),
        "moving.gif": _saved(pages[0], "GIF", save_all=True, append_images=pages[1:]),
        "moving.png": _saved(pages[0], "PNG", save_all=True, append_images=pages[1:]),
        "circle.tif": _tiff_in_a_circle(),
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\nshowpage\n",
    }
    for name, kind, options in (
        ("cut.png", "PNG", {}),
        ("cut.jpg", "JPEG", {}),
        ("cut_progressive.jpg", "JPEG", {"progressive": True}),
        ("cut.tif", "TIFF", {}),
        ("cut_lzw.tif", "TIFF", {"compression": "tiff_lzw"}),
        ("cut.webp", "WEBP", {"lossless": True}),
    ):
        data = _saved(grey, kind, **options)
        files[name] = data[: len(data) // 2]
    return files


def write_all(folder: Path) -> list[Path]:
    """Write every bad file, and what is no file at all, and return their paths."""
    for name, data in _files().items():
        (folder / name).write_bytes(data)
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "to_pipe.png").symlink_to("pipe.png")
    (folder / "loop.png").symlink_to("loop_back.png")
    (folder / "loop_back.png").symlink_to("loop.png")
    (folder / "to_nowhere.png").symlink_to("is_not_there.png")
    (folder / "to_zeros.png").symlink_to("/dev/zero")
    return [*sorted(folder.iterdir()), folder / "missing.png", folder / "a\0b.png", Path("/dev/zero")]
