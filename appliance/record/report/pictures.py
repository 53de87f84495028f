"""Pictures of the record small enough for a page; the original stays in the record, under its SHA-256."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

from PIL import Image

from appliance.record.report.model import Thumbnail

FORMATS = ("PNG", "JPEG", "WEBP")
SEALED = "application/x-cellwright-sealed"
MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
LARGEST_PX = (1000, 1000)
MOST_PIXELS = 80_000_000
MOST_PICTURES = 200
QUALITY_PERCENT = 82
WORKERS = 2

Picture = tuple[bytes, str]  # bytes, media type
Shown = tuple[Thumbnail | None, str]  # the picture, or None and why
# What Pillow raises for a picture that is none, ends early or is damaged inside.
DAMAGED = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, struct.error, zlib.error)


def thumbnails(names: Iterable[str], picture: Callable[[str], Picture | None]) -> dict[str, Shown]:
    """Each picture scaled down, or None and why, by its name; the same picture gives the same bytes."""
    wanted = list(dict.fromkeys(names))
    found: dict[str, Shown] = dict.fromkeys(
        wanted[MOST_PICTURES:], (None, f"is not shown: a page holds {MOST_PICTURES} pictures")
    )
    with ThreadPoolExecutor(WORKERS) as pool:
        # Each worker reads its own file, so that few pictures are in memory at a time.
        jobs = {name: pool.submit(_made, name, picture) for name in wanted[:MOST_PICTURES]}
        found |= {name: job.result() for name, job in jobs.items()}
    return found


def _made(name: str, picture: Callable[[str], Picture | None]) -> Shown:
    return thumbnail(picture(name))


def thumbnail(picture: Picture | None) -> Shown:
    """The picture scaled down, or None and why not."""
    if picture is None:
        return None, "cannot be shown: the file is missing or was changed"
    data, media_type = picture
    if media_type == SEALED:
        return None, "is sealed, as it may name a patient; the unit that sealed it can open it"
    if media_type not in MEDIA_TYPES:
        return None, f"cannot be shown: the file is no picture ({media_type or 'of unknown type'})"
    try:
        with Image.open(BytesIO(data), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return None, f"is too large to show ({opened.width} by {opened.height} pixels)"
            return _scaled(opened), ""
    except (*DAMAGED, Image.DecompressionBombError):
        return None, "cannot be shown: the file cannot be read as a picture"


def _scaled(opened: Image.Image) -> Thumbnail:
    opened.draft("L" if opened.mode == "L" else "RGB", LARGEST_PX)
    small = opened.convert("L") if opened.mode in ("1", "I;16", "I", "F") else opened.copy()
    if small.mode in ("P", "PA", "LA", "RGBA"):
        clear = small.convert("RGBA")
        small = Image.new("RGB", clear.size, "white")
        small.paste(clear, mask=clear.getchannel("A"))
    elif small.mode not in ("L", "RGB"):
        small = small.convert("RGB")
    small.thumbnail(LARGEST_PX, Image.Resampling.BILINEAR, reducing_gap=2.0)
    small.info = {}  # what the file says of itself, comments and profiles, stays out of the page
    out = BytesIO()
    small.save(out, "JPEG", quality=QUALITY_PERCENT, optimize=False, progressive=False)
    return Thumbnail(data=out.getvalue(), width_px=small.width, height_px=small.height)
