"""What a count says of one picture and of a specimen, as programs and as records read it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any

from vision.counting.frame_quality import Verdict
from vision.counting.method import Cell

Interval = tuple[float, float]
Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Counts and what follows from them; only included cells are in them.

    `live`, `dead` and `unclassified` are None for a method that tells no live cells from dead ones.
    `uncertainty` names each component of the intervals.
    """

    total: int = 0
    live: int | None = None
    dead: int | None = None
    unclassified: int | None = None
    viability_percent: float | None = None
    viability_interval_percent: Interval | None = None
    concentration_cells_ml: float | None = None
    concentration_interval_cells_ml: Interval | None = None
    uncertainty: Figures | None = None

    def line(self) -> dict[str, Any]:
        """Return the numbers as the command line writes them."""
        return {
            "live": self.live,
            "dead": self.dead,
            "unclassified": self.unclassified,
            "total": self.total,
            "viability_percent": _rounded(self.viability_percent),
            "viability_interval_percent": _rounded_pair(self.viability_interval_percent),
            "concentration_cells_ml": _significant(self.concentration_cells_ml),
            "concentration_interval_cells_ml": _significant_pair(self.concentration_interval_cells_ml),
            "uncertainty": None if self.uncertainty is None else plain(self.uncertainty),
        }

    def record(self) -> dict[str, Any]:
        """Return the numbers with what was measured as decimal strings, for the record."""
        return {
            "live": self.live,
            "dead": self.dead,
            "unclassified": self.unclassified,
            "total": self.total,
            "viability_percent": _decimal(self.viability_percent),
            "viability_interval_percent": _decimals(self.viability_interval_percent),
            "concentration_cells_ml": _cells_ml(self.concentration_cells_ml),
            "concentration_interval_cells_ml": None
            if self.concentration_interval_cells_ml is None
            else [_cells_ml(v) for v in self.concentration_interval_cells_ml],
            "uncertainty": None if self.uncertainty is None else as_text(self.uncertainty),
        }


class HasNumbers:
    """The numbers of a result by their names, for whoever reads them in Python."""

    __slots__ = ()
    numbers: Numbers
    verdict: Verdict
    words: str

    @property
    def total(self) -> int:
        """Included cells of every class."""
        return self.numbers.total

    @property
    def live(self) -> int | None:
        """Included live cells."""
        return self.numbers.live

    @property
    def dead(self) -> int | None:
        """Included dead cells."""
        return self.numbers.dead

    @property
    def unclassified(self) -> int | None:
        """Included cells that are neither surely live nor surely dead."""
        return self.numbers.unclassified

    @property
    def viability_percent(self) -> float | None:
        """Live cells of those classified, in percent."""
        return self.numbers.viability_percent

    @property
    def viability_interval_percent(self) -> Interval | None:
        """95 % interval of the viability, in percent."""
        return self.numbers.viability_interval_percent

    @property
    def concentration_cells_ml(self) -> float | None:
        """Cells per millilitre of the undiluted sample."""
        return self.numbers.concentration_cells_ml

    @property
    def concentration_interval_cells_ml(self) -> Interval | None:
        """95 % interval of the concentration, in cells per millilitre."""
        return self.numbers.concentration_interval_cells_ml


@dataclass(frozen=True, slots=True)
class ImageResult(HasNumbers):
    """The count of one field; `image` is its first file, `channels` all of them where there are several.

    `area_mm2` is the part of the field that counts, None where the whole of it does.
    """

    image: str
    verdict: Verdict
    reasons: tuple[str, ...]
    cells: tuple[Cell, ...]
    numbers: Numbers
    elapsed_ms: float
    method: Mapping[str, str]
    um_per_px: float | None = None
    width_px: int = 0
    height_px: int = 0
    area_mm2: float | None = None
    words: str = ""
    quality: Figures = field(default_factory=dict)
    channels: tuple[str, ...] = ()
    grid: Figures | None = None

    def line(self) -> dict[str, Any]:
        """Return the JSON object of the command line, with the cells."""
        channels = {"channels": list(self.channels)} if self.channels else {}
        return {
            "image": self.image,
            **channels,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            **self.numbers.line(),
            "cells": [
                {"x": c.x, "y": c.y, "radius": c.radius, "class": c.kind, "included": c.included}
                for c in self.cells
            ],
            "quality": plain(self.quality),
            "method": dict(self.method),
            "um_per_px": _significant(self.um_per_px),
            "grid": plain(self.grid),
            "elapsed_ms": round(self.elapsed_ms, 1),
        }

    def summary(self) -> dict[str, Any]:
        """Return the result without cells, its measured numbers as decimal strings, for the record."""
        return {
            "image": self.image,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "um_per_px": None if self.um_per_px is None else format(Decimal(f"{self.um_per_px:.5g}"), "f"),
            **self.numbers.record(),
        }


@dataclass(frozen=True, slots=True)
class PooledResult(HasNumbers):
    """All fields of one specimen together; only the fields with the verdict `counted` are in the numbers."""

    verdict: Verdict
    reasons: tuple[str, ...]
    numbers: Numbers
    fields: int
    fields_left_out: int
    words: str = ""

    def line(self) -> dict[str, Any]:
        """Return the last JSON object of a pooled command line."""
        return {
            "image": None,
            "pooled": True,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            **self.numbers.line(),
            "fields": self.fields,
            "fields_left_out": self.fields_left_out,
        }

    def summary(self) -> dict[str, Any]:
        """Return the result with its measured numbers as decimal strings, for the record."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "words": self.words,
            **self.numbers.record(),
            "fields": self.fields,
            "fields_left_out": self.fields_left_out,
        }


@dataclass(frozen=True, slots=True)
class CountResult:
    """What `count_files` returns; `overlay` and `cells_csv` are the files that it wrote."""

    images: tuple[ImageResult, ...]
    pooled: PooledResult
    method: Mapping[str, str]
    overlay: Path | None
    cells_csv: Path | None = None

    def message(self) -> dict[str, Any]:
        """Return the worker's answer: no cells, numbers as decimal strings."""
        return {
            "images": [image.summary() for image in self.images],
            "pooled": self.pooled.summary(),
            "method": dict(self.method),
            "overlay": None if self.overlay is None else str(self.overlay),
            "cells_csv": None if self.cells_csv is None else str(self.cells_csv),
        }


def without_elapsed(result: ImageResult) -> ImageResult:
    """Return the result without its time: what must be identical when a picture is counted again."""
    return replace(result, elapsed_ms=0.0)


def plain(value: Any) -> Any:
    """Return a value of mappings, sequences and numbers as JSON takes it, floats to six digits."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return _significant(value, 6) if isinstance(value, float) else value


def as_text(value: Any) -> Any:
    """Return the same with each float as a decimal string: the record holds no binary fractions."""
    if isinstance(value, Mapping):
        return {str(key): as_text(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_text(item) for item in value]
    if isinstance(value, float):
        return format(Decimal(f"{value:.4g}"), "f") if math.isfinite(value) else None
    return value


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _rounded_pair(pair: Interval | None) -> list[float | None] | None:
    return None if pair is None else [_rounded(v) for v in pair]


def _significant(value: float | None, digits: int = 5) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.{digits}g}")


def _significant_pair(pair: Interval | None) -> list[float | None] | None:
    return None if pair is None else [_significant(v) for v in pair]


def _decimal(value: float | None) -> str | None:
    return None if value is None else str(Decimal(repr(value)).quantize(Decimal("0.1"), ROUND_HALF_EVEN))


def _decimals(pair: Interval | None) -> list[str | None] | None:
    return None if pair is None else [_decimal(v) for v in pair]


def _cells_ml(value: float | None) -> str | None:
    """Write a concentration with three significant digits and no exponent, as people read it."""
    return None if value is None else format(Decimal(f"{value:.2e}"), "f")
