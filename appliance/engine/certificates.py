"""Certificates of materials: files that lie in the unit's folder for them, taken into the record whole."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path

from appliance.config import Home
from appliance.domain.errors import NotPlausible
from appliance.engine.port import EnginePort

FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()-]{0,99}")
MEDIA_TYPES = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}
BYTES_MAX = 8 * 1024 * 1024
LISTED_MAX = 20


def folder_of(home: Home) -> Path:
    """Where certificates are laid: by a scanner, from a stick, or by `cellwright materials receive`."""
    return home.root / "sources" / "certificates"


def listed(home: Home) -> list[str]:
    """The names to choose from, the newest first."""
    folder = folder_of(home)
    if not folder.is_dir():
        return []
    found = [
        one
        for one in folder.iterdir()
        if _is_certificate(one.name) and one.is_file() and not one.is_symlink()
    ]
    found.sort(key=lambda one: one.stat().st_mtime_ns, reverse=True)
    return [one.name for one in found[:LISTED_MAX]]


async def keep(engine: EnginePort, name: str) -> str:
    """Put one file into the record; its SHA-256. Raises `NotPlausible` with what to do."""
    if not _is_certificate(name):
        raise NotPlausible("A certificate is a PDF or a picture with a plain name. Choose another file.")
    try:
        data = await asyncio.to_thread(_read, folder_of(engine.home) / name)
    except OSError:
        raise NotPlausible(f"The certificate {name} cannot be read. Lay it there again.") from None
    media_type = MEDIA_TYPES[Path(name).suffix.lower()]
    reference = await engine.journal.in_writer(engine.record.put_blob, data, media_type)
    return str(reference.sha256)


def _is_certificate(name: str) -> bool:
    return FILE_NAME.fullmatch(name) is not None and Path(name).suffix.lower() in MEDIA_TYPES


def _read(path: Path) -> bytes:
    # Neither a link that leads out of the folder nor a pipe that never ends is opened.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        told = os.fstat(handle)
        if not stat.S_ISREG(told.st_mode) or not 0 < told.st_size <= BYTES_MAX:
            raise NotPlausible(
                f"A certificate is a file of at most {BYTES_MAX // 2**20} MiB. Choose another one."
            )
        return file.read(BYTES_MAX)
