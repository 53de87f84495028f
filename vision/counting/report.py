"""What goes on the page of a run: collected field by field, bounded whatever the number of fields."""

from __future__ import annotations

import base64
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import cv2
import numpy as np

from vision.counting import report_page
from vision.counting.annotate import field_picture
from vision.counting.count_images import CountedField, Settings
from vision.counting.method import Cell, CellClass
from vision.counting.methods import identity_of
from vision.counting.results import ImageResult, PooledResult

PICTURES_MOST = 12
# Fields that are not counted are shown too, so that a person sees why.
FAULTY_PICTURES_MOST = 3
ROWS_MOST = 250
ONE_PICTURE_WIDTH_PX, PICTURE_WIDTH_PX = 900, 460
JPEG_QUALITY = 88
CORE_SHARE = 0.6


@dataclass(slots=True)
class Sizes:
    """Three numbers of each included cell, by class: what the histograms show."""

    # Packed: a run of thousands of fields has a million cells.
    diameters: dict[CellClass, array[float]] = field(default_factory=dict)
    brightness: dict[CellClass, array[float]] = field(default_factory=dict)
    confidences: dict[CellClass, array[float]] = field(default_factory=dict)

    def add(self, counted: CountedField) -> None:
        """Take the included cells of a counted field."""
        grey = counted.pictures[0].grey
        middle = float(np.median(grey[::4, ::4]))
        factor = counted.result.um_per_px or 1.0
        for cell in counted.result.cells:
            if cell.included:
                for values, value in (
                    (self.diameters, 2 * cell.radius * factor),
                    (self.brightness, _core_grey(grey, cell) - middle),
                    (self.confidences, cell.confidence),
                ):
                    values.setdefault(cell.kind, array("f")).append(value)


def _core_grey(grey: Any, cell: Cell) -> float:
    """Return the mean grey of the square within a cell's disc."""
    reach = max(1, round(CORE_SHARE * cell.radius))
    x, y = round(cell.x), round(cell.y)
    core = grey[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    return float(core.mean()) if core.size else 0.0


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture on the page, as a data address."""

    name: str
    verdict: str
    words: str
    address: str


@dataclass(slots=True)
class Page:
    """All that the page says; `report_page.page` writes it."""

    made_at: datetime
    method: Mapping[str, str]
    card: Mapping[str, Any]
    classes: Sequence[CellClass]
    given: dict[str, str]
    pooled: PooledResult
    is_pooled: bool
    rows: Sequence[ImageResult]
    fields: int
    verdicts: Mapping[str, int]
    pictures: Sequence[Shown]
    sizes: Sizes
    unit: str
    quality: Mapping[str, Sequence[float]]
    left_out: Mapping[str, int]
    note: str


class Report:
    """The page of one run.

    Parameters
    ----------
    settings : Settings
    fields : int
        How many fields the run has.
    pooled : bool
        All fields are one specimen.
    """

    def __init__(self, settings: Settings, fields: int, *, pooled: bool) -> None:
        self._settings, self._fields, self._is_pooled = settings, fields, pooled
        # Spread over the run, so that its end is seen as well as its beginning.
        self._to_show = {round(n * (fields - 1) / max(1, PICTURES_MOST - 1)) for n in range(PICTURES_MOST)}
        if fields <= PICTURES_MOST:
            self._to_show = set(range(fields))
        self._seen = self._faulty_shown = 0
        self._rows: list[ImageResult] = []
        self._verdicts: Counter[str] = Counter()
        self._pictures: list[Shown] = []
        self._sizes = Sizes()
        self._scaled = True
        self._quality: dict[str, list[float]] = {}
        self._left_out: Counter[str] = Counter()

    def add(self, counted: CountedField) -> None:
        """Take the next field."""
        result = counted.result
        self._verdicts[result.verdict] += 1
        if len(self._rows) < ROWS_MOST:
            self._rows.append(replace(result, cells=()))
        faulty = result.verdict != "counted" and self._faulty_shown < FAULTY_PICTURES_MOST
        if counted.finding is not None:
            if self._seen in self._to_show or faulty:
                self._show(counted)
                self._faulty_shown += result.verdict != "counted"
            for name, value in result.quality.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._quality.setdefault(name, []).append(float(value))
            self._left_out.update(cell.excluded for cell in result.cells if cell.excluded)
        if result.verdict == "counted":
            self._scaled = self._scaled and result.um_per_px is not None
            self._sizes.add(counted)
        self._seen += 1

    def html(self, pooled: PooledResult, note: str = "") -> bytes:
        """Return the page; `pooled` is all fields together, `note` stands at its head."""
        settings = self._settings
        return report_page.page(
            Page(
                made_at=datetime.now(UTC),
                method=identity_of(settings.method),
                card=settings.method.card(),
                classes=settings.method.classes,
                given=self._given(),
                pooled=pooled,
                is_pooled=self._is_pooled,
                rows=self._rows,
                fields=self._seen,
                verdicts=self._verdicts,
                pictures=self._pictures,
                sizes=self._sizes,
                unit="µm" if self._scaled else "px",
                quality=self._quality,
                left_out=self._left_out,
                note=note,
            )
        ).encode()

    def _given(self) -> dict[str, str]:
        settings, chamber = self._settings, self._settings.chamber
        scale = "not known"
        if settings.scale.um_per_px is not None:
            scale = f"{settings.scale.um_per_px:g} µm a pixel"
        elif settings.scale.object_diameter_px is not None:
            scale = f"a cell is {settings.scale.object_diameter_px:g} px"
        elif self._rows and self._rows[0].um_per_px is not None:
            scale = f"{self._rows[0].um_per_px:.4g} µm a pixel, from the grid in the picture"
        given = {"Scale": scale}
        if chamber is not None:
            given["Chamber"] = f"{chamber.name}, {chamber.depth_um:g} µm deep"
        given["Dilution"] = "none" if settings.dilution == 1 else f"1 in {settings.dilution:g}"
        return given

    def _show(self, counted: CountedField) -> None:
        height, width = counted.pictures[0].grey.shape
        most = ONE_PICTURE_WIDTH_PX if self._fields == 1 else PICTURE_WIDTH_PX
        fitting = min(most, round(most * width / height))
        drawn = field_picture(counted, self._settings.method.classes, width_px=fitting)
        assert drawn is not None, "a field with a finding has pictures"
        good, data = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        assert good, "JPEG encoding of an 8-bit picture cannot fail"
        address = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
        result = counted.result
        self._pictures.append(Shown(result.image, result.verdict, result.words, address))
