"""One count: the pictures as they are kept, what the counting program is asked, and what it said of them.

The engine counts copies of its own, and keeps these very bytes: what is on record is what was counted.
Their names are its own too, so that whoever counts them again asks exactly the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from appliance.domain import events as ev

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
    ".csv": "text/csv",
}
SUFFIXES = {media_type: suffix for suffix, media_type in reversed(MEDIA_TYPES.items())}
# How a picture begins, for one that was kept without its media type.
BEGINNINGS = {
    b"\x89PNG": ".png",
    b"\xff\xd8\xff": ".jpg",
    b"RIFF": ".webp",
    b"II*\x00": ".tif",
    b"MM\x00*": ".tif",
    b"BM": ".bmp",
}
OVERLAYS, TABLES = "overlays", "tables"


def laid_out(folder: Path, pictures: Iterable[tuple[int, Callable[[], bytes]]]) -> list[Path]:
    """Write the pictures of a count, each with the number of its replicate, under names of our own.

    Each is read when its turn has come: a specimen's pictures together may be larger than the memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers: dict[int, int] = {}
    paths = []
    for replicate, read in pictures:
        data = read()
        numbers[replicate] = numbers.get(replicate, 0) + 1
        path = folder / f"replicate-{replicate}-field-{numbers[replicate]:03d}{suffix_of(data)}"
        path.write_bytes(data)
        paths.append(path)
    return paths


def suffix_of(data: bytes) -> str:
    """The suffix of a picture's kind by its first bytes; empty for one that is none of ours."""
    return next((suffix for begins, suffix in BEGINNINGS.items() if data.startswith(begins)), "")


def request(
    paths: Iterable[Path], method: str, station: Mapping[str, str], *, folder: Path, simulated: bool
) -> dict[str, Any]:
    """What the counting program is asked; `station` as the record tells it."""
    asked = {
        "images": [str(path) for path in paths],
        "method": method,
        "um_per_px": station["um_per_px"],
        "field_depth_um": station["field_depth_um"],
        "dilution": station["dilution"],
        "overlay_dir": str(folder / OVERLAYS),
        "csv_dir": str(folder / TABLES),
        "simulated": simulated,
    }
    return asked | ({"chamber": station["chamber"]} if station.get("chamber") else {})


def reported(
    count: ev.CountRequested,
    result: Mapping[str, Any],
    station: dict[str, str],
    *,
    images: list[str],
    overlay: str,
    cells_blob: str,
) -> ev.CellCountReported:
    """What the counting program said, as it goes on record; the files by their SHA-256."""
    pooled = result["pooled"]
    interval = pooled["viability_interval_percent"] or ["0", "100"]
    concentration = pooled["concentration_interval_cells_ml"] or ["0", "0"]
    budget = pooled.get("uncertainty") or {}
    viable = budget.get("viable_concentration_interval_cells_ml") or []
    return ev.CellCountReported(
        phase=count.phase,
        count_id=count.count_id,
        replicate=count.replicate,
        verdict=str(pooled["verdict"]),
        reasons=[str(reason) for reason in pooled["reasons"]],
        # A method that tells no live from dead gives neither, and no viability is claimed then.
        live=int(pooled["live"] or 0),
        dead=int(pooled["dead"] or 0),
        unclassified=int(pooled.get("unclassified") or 0),
        viability_percent=str(pooled["viability_percent"] or "0"),
        viability_interval_percent=[str(end) for end in interval],
        concentration_cells_ml=str(pooled["concentration_cells_ml"] or "0"),
        concentration_interval_cells_ml=[str(end) for end in concentration],
        fields=int(pooled["fields"]),
        images=images,
        overlay=overlay,
        method={key: str(value) for key, value in result["method"].items()},
        station=station,
        viable_concentration_cells_ml=str(budget.get("viable_concentration_cells_ml") or ""),
        viable_concentration_interval_cells_ml=[str(end) for end in viable],
        uncertainty=[
            {key: "" if value is None else str(value) for key, value in part.items()}
            for part in budget.get("components", ())
        ],
        cells_blob=cells_blob,
        words=str(pooled.get("words", "")),
    )
