"""Read a dilution series: the file of an ISO 20391-2 experiment, in the columns of NIST's COMET tool.

One row is one observation: a dilution, a replicate sample of it, a repeated look at that sample, and
the concentration that the counting method gave.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 2_000_000
ROWS_MAX = 20_000
LEVELS_MAX = 20  # a polynomial through more levels says nothing
DELIMITERS = ",;\t"
NOT_AVAILABLE = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "."})

# What a column may be called, letters and digits only; the first is COMET's own name.
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "counting_method": ("countingmethod", "method", "methodid"),
    "target_dilution_fraction": (
        "targetdilutionfraction",
        "dilutionfraction",
        "targetfraction",
        "targetdilution",
        "fraction",
    ),
    "measured_dilution_fraction": (
        "measureddilutionfraction",
        "measuredfraction",
        "measureddilution",
        "actualdilutionfraction",
    ),
    "random_sample_number": (
        "randomsamplenumber",
        "samplenumber",
        "sampleid",
        "sample",
        "randomsample",
        "tube",
    ),
    "rep_obsv": (
        "repobsv",
        "repobs",
        "replicateobservation",
        "observation",
        "observationnumber",
        "replicate",
    ),
    "cell_conc": (
        "cellconc",
        "cellconcentration",
        "concentrationcellsml",
        "concentration",
        "cellsperml",
        "cellsml",
        "conc",
    ),
    "raw_count": ("rawcount", "count", "cellcount", "cellscounted", "total"),
    "percent_viable_cells": (
        "percentviablecells",
        "viabilitypercent",
        "percentviable",
        "viability",
        "viabilitypct",
    ),
    "cell_type": ("celltype", "cells", "cellline"),
    "concentration_type": ("concentrationtype", "conctype"),
}
NEEDED = ("target_dilution_fraction", "random_sample_number", "cell_conc")


class SeriesUnusable(Exception):
    """The file is no dilution series; `str(error)` says what is missing and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One look at one replicate sample.

    `fraction` is the measured dilution fraction where one was measured, else the target.
    """

    target: float
    fraction: float
    sample: str
    concentration_cells_ml: float
    cells: int | None = None
    viability_percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All observations of one counting method on one kind of cells, in the order of the file."""

    method: str
    cell_type: str
    concentration_type: str
    observations: tuple[Observation, ...]
    left_out: int = 0  # rows without a concentration

    @property
    def name(self) -> str:
        """The method, with what else keeps it apart from others of the file."""
        return " · ".join(filter(None, (self.method, self.cell_type, self.concentration_type)))


def read_file(path: Path) -> list[Series]:
    """Read a design file.

    Raises
    ------
    SeriesUnusable
        It cannot be read, or is no dilution series.
    """
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SeriesUnusable(f"{path} cannot be read: {error.strerror}.") from error
    return read(data)


def read(data: bytes) -> list[Series]:
    """The series of the methods in a file, in the order in which they first appear.

    Raises
    ------
    SeriesUnusable
        In words: too large, no text, columns that are missing (by name), or a value that cannot be.
    """
    if len(data) > FILE_BYTES_MAX:
        raise SeriesUnusable(f"The file has more than {FILE_BYTES_MAX // 1_000_000} MB. Save only the table.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Spreadsheets of Western Europe save so; only names of methods can differ by it.
        text = data.decode("cp1252", errors="replace")
    if "\x00" in text:
        raise SeriesUnusable("The file is no text. Save the table as CSV.")
    head, delimiter = _head_of(text)
    places = _places(head)
    missing = [name for name in NEEDED if name not in places]
    if missing:
        raise SeriesUnusable(
            f"{'A column is' if len(missing) == 1 else 'Columns are'} missing: {', '.join(missing)}. "
            f"The file has: {', '.join(filter(None, head))[:300] or 'no heading'}."
        )
    return _series(_rows(text, delimiter), places, decimal_comma=delimiter == ";")


def _head_of(text: str) -> tuple[list[str], str]:
    line = next((one for one in text.splitlines() if one.strip()), "")
    delimiter = max(DELIMITERS, key=line.count)
    return next(csv.reader([line], delimiter=delimiter), []), delimiter


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _places(head: list[str]) -> dict[str, int]:
    """Which column stands where; the likeliest of the names that a column may have."""
    plain = [_plain(name) for name in head]
    return {
        name: next(plain.index(alias) for alias in aliases if alias in plain)
        for name, aliases in COLUMNS.items()
        if any(alias in plain for alias in aliases)
    }


def _rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The rows below the heading that hold anything, with their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
            if len(rows) > ROWS_MAX + 1:
                raise SeriesUnusable(f"The file has more than {ROWS_MAX} rows.")
    except csv.Error as error:
        raise SeriesUnusable(f"Line {reader.line_num} is no row of a table: {error}.") from error
    return rows[1:]


def _series(
    rows: list[tuple[int, list[str]]], places: Mapping[str, int], *, decimal_comma: bool
) -> list[Series]:
    found: dict[tuple[str, str, str], list[Observation]] = {}
    left_out: dict[tuple[str, str, str], int] = {}
    for line, cells in rows:
        row = _Row(line, cells, places, decimal_comma)
        key = (row.text("counting_method"), row.text("cell_type"), row.text("concentration_type"))
        observation = row.observation()
        if observation is None:
            left_out[key] = left_out.get(key, 0) + 1
        else:
            found.setdefault(key, []).append(observation)
    if not found:
        raise SeriesUnusable("The file has no row with a concentration.")
    return [
        Series(
            method=method,
            cell_type=cell_type,
            concentration_type=kind,
            observations=tuple(observations),
            left_out=left_out.get((method, cell_type, kind), 0),
        )
        for (method, cell_type, kind), observations in found.items()
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    cells: list[str]
    places: Mapping[str, int]
    decimal_comma: bool

    def text(self, name: str) -> str:
        place = self.places.get(name)
        return self.cells[place].strip() if place is not None and place < len(self.cells) else ""

    def number(self, name: str) -> float | None:
        text = self.text(name)
        if text.lower() in NOT_AVAILABLE:
            return None
        try:
            value = float(text.replace(",", ".") if self.decimal_comma else text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0:
            raise SeriesUnusable(f"Line {self.line}: {name} is '{text[:40]}', which is no such number.")
        return value

    def observation(self) -> Observation | None:
        """What the row says; None where nothing was measured."""
        concentration = self.number("cell_conc")
        if concentration is None:
            return None
        target, measured = self.number("target_dilution_fraction"), self.number("measured_dilution_fraction")
        if target is None:
            raise SeriesUnusable(f"Line {self.line}: the target dilution fraction is missing.")
        fraction = target if measured is None else measured
        for name, value in (("target", target), ("measured", fraction)):
            if not 0 < value <= 1.5:
                raise SeriesUnusable(
                    f"Line {self.line}: the {name} dilution fraction is {value:g}. Write the share of stock "
                    "in the sample, such as 0.5; 1 is the undiluted stock."
                )
        sample = self.text("random_sample_number")
        if not sample:
            raise SeriesUnusable(f"Line {self.line}: the sample number is missing.")
        cells = self.number("raw_count")
        return Observation(
            target=target,
            fraction=fraction,
            sample=sample,
            concentration_cells_ml=concentration,
            cells=None if cells is None else round(cells),
            viability_percent=self.number("percent_viable_cells"),
        )
