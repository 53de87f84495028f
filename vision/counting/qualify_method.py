"""Judge one of this unit's counting methods by a dilution series, for the record of the unit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vision.counting.dilution_series import Series, SeriesUnusable, read
from vision.counting.methods import METHODS, identity
from vision.counting.qualification import Limits, as_json, qualify
from vision.counting.qualification_report import limits_in_words, page

FIGURES = (
    "slope_cells_ml", "r2", "pi_squared", "pi_absolute", "deviation_percent", "cv_percent",
)  # fmt: skip


def series_of(found: list[Series], method: str, name: str = "") -> Series:
    """The series of a method: the one asked for by name, else the one that carries the method's id.

    Raises
    ------
    SeriesUnusable
        None or several could be meant. What another method measured qualifies nothing.
    """
    wanted = name or method
    fitting = [one for one in found if wanted in (one.method, one.name)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(one.name or "(no name)" for one in found)
    if fitting:
        raise SeriesUnusable(
            f"The file has several series of {wanted!r}: {there}. Name the one that is meant."
        )
    raise SeriesUnusable(
        f"The file has no series with counting_method {wanted!r}; it has: {there}. "
        "Write the method's id into that column, or name the series that is meant."
    )


def judge(
    design: Path,
    *,
    method: str,
    series: str,
    limits: Mapping[str, float],
    about: Mapping[str, str],
    report: Path,
    fictitious: bool,
) -> dict[str, Any]:
    """Judge a method by its series, write the page, and say all that goes on record.

    Raises
    ------
    SeriesUnusable, UnknownMethod
        The file or the method cannot be judged.
    """
    who = identity(method)
    data = design.read_bytes()
    chosen = series_of(read(data), method, series)
    if chosen.method in METHODS and chosen.method != method:
        raise SeriesUnusable(f"This series was measured by {chosen.method}, not by {method}.")
    found = qualify(chosen, limits=Limits(**limits))
    figures = {
        name: f"{value:.6g}" for name in FIGURES if (value := getattr(found.indicators, name)) is not None
    }
    figures |= {
        f"{name}_{end}": f"{value:.6g}"
        for name, ends in found.intervals.items()
        for end, value in zip(("low", "high"), ends, strict=True)
    }
    said = as_json(found)
    figures |= {
        "dilutions": str(len(found.levels)),
        "observations": str(said["observations"]),
        "concentration_low_cells_ml": f"{min(one.concentration_cells_ml for one in found.levels):.6g}",
        "concentration_high_cells_ml": f"{max(one.concentration_cells_ml for one in found.levels):.6g}",
    }
    head = {
        "Method": f"{who['id']}, version {who['version']}",
        "SHA-256 of code and weights": who["hash"],
        **about,
        "Series": chosen.name,
        "SHA-256 of the file": hashlib.sha256(data).hexdigest(),
        "Limits": limits_in_words(found.limits),
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(page([found], about=head, fictitious=fictitious), encoding="utf-8")
    return {
        "method": who,
        "series": chosen.method or chosen.name,
        "verdict": found.verdict,
        "words": [*found.design_gaps, *found.failures, *found.remarks],
        "figures": figures,
        "limits": {name: f"{value:g}" for name, value in said["limits"].items() if value is not None},
        "report": str(report),
    }
