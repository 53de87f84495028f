"""`cellwright count qualify`: judge counting methods by a dilution series (ISO 20391-2)."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import sys
from calendar import monthrange
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from vision.counting.dilution_series import Series, SeriesUnusable, read
from vision.counting.qualification import (
    ROUNDS,
    ROUNDS_MAX,
    SEED,
    Limits,
    Qualification,
    as_json,
    qualify,
)
from vision.counting.qualification_report import limits_in_words, page

EXIT_PASS, EXIT_FAIL, EXIT_USAGE = 0, 1, 2
MONTHS_MAX = 60
USUAL = Limits()


def _number(low: float, high: float) -> Callable[[str], float]:
    def read_number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not from {low:g} to {high:g}")
        return value

    return read_number


def _whole(low: int, high: int) -> Callable[[str], int]:
    def read_whole(text: str) -> int:
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {low} to {high}")
        return value

    return read_whole


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a day such as 2027-06-30") from None


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The options of the limits and of the bootstrap."""
    percent = _number(0.01, 1000)
    parser.add_argument(
        "--cv-max",
        type=percent,
        default=USUAL.cv_percent_max,
        metavar="P",
        help="replicates of each dilution vary by less, in percent",
    )
    parser.add_argument(
        "--r2-min", type=_number(0, 1), default=USUAL.r2_min, metavar="R", help="of the proportional fit"
    )
    parser.add_argument(
        "--deviation-max",
        type=percent,
        default=USUAL.deviation_percent_max,
        metavar="P",
        help="mean distance from proportionality, in percent",
    )
    parser.add_argument(
        "--pi-max", type=_number(0, 1e6), metavar="PI", help="proportionality index, squared form"
    )
    parser.add_argument(
        "--rounds", type=_whole(100, ROUNDS_MAX), default=ROUNDS, metavar="N", help="of the bootstrap"
    )


def limits_of(options: argparse.Namespace) -> Limits:
    """The limits that were asked for."""
    return Limits(
        cv_percent_max=options.cv_max,
        r2_min=options.r2_min,
        deviation_percent_max=options.deviation_max,
        pi_squared_max=options.pi_max,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellwright count qualify",
        description="Judge counting methods by a dilution series, with the indicators of ISO 20391-2.",
        epilog="A picture of this name is counted as ./qualify. Exit: 0 every method passes, 1 one does not, "
        "2 the file cannot be judged.",
        allow_abbrev=False,
    )
    parser.add_argument("design", type=Path, metavar="DESIGN.csv", help="columns as in NIST's COMET tool")
    parser.add_argument("--json", action="store_true", help="one JSON object a method")
    parser.add_argument("--report", type=Path, metavar="FILE.html", help="write one page with the plots")
    parser.add_argument("--series", metavar="NAME", help="only this counting_method of the file")
    parser.add_argument("--method-id", default="", metavar="ID", help="the unit's method that was used")
    parser.add_argument(
        "--performed-on", type=_day, metavar="DAY", help="when it was measured; today if left out"
    )
    parser.add_argument(
        "--expires-months",
        type=_whole(1, MONTHS_MAX),
        metavar="N",
        help="name the day up to which it would hold",
    )
    add_limits(parser)
    return parser


def months_later(day: date, months: int) -> date:
    """The same day some months later, or the last one of a shorter month."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def qualify_design(argv: Sequence[str]) -> int:
    """Judge counting methods by a dilution series."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_PASS if stop.code == 0 else EXIT_USAGE
    try:
        data = options.design.read_bytes()
        found = [
            qualify(series, limits=limits_of(options), rounds=options.rounds)
            for series in _chosen(read(data), options.series)
        ]
        about = _about(options, hashlib.sha256(data).hexdigest())
        if options.report is not None:
            options.report.write_text(page(found, about=about), encoding="utf-8")
    except SeriesUnusable as why:
        print(f"cellwright count qualify: {why}", file=sys.stderr)
        return EXIT_USAGE
    except OSError as error:
        print(f"cellwright count qualify: {error.filename}: {error.strerror}.", file=sys.stderr)
        return EXIT_USAGE
    for one in found:
        print(json.dumps(as_json(one) | _named(about), allow_nan=False) if options.json else in_words(one))
    if not options.json:
        print("\n".join(f"{name}: {value}" for name, value in about.items()))
    return EXIT_PASS if all(one.passed for one in found) else EXIT_FAIL


def _chosen(series: list[Series], name: str | None) -> list[Series]:
    chosen = [one for one in series if name in (None, one.method, one.name)]
    if not chosen:
        there = ", ".join(one.method or "(no name)" for one in series)
        raise SeriesUnusable(f"The file has no counting_method {name!r}; it has: {there}.")
    return chosen


def _about(options: argparse.Namespace, sha256: str) -> dict[str, str]:
    day: date = options.performed_on or datetime.now(UTC).date()
    about = {"File": options.design.name, "SHA-256 of the file": sha256}
    if options.method_id:
        about["Method of the unit"] = options.method_id
    about["Measured on"] = day.isoformat()
    if options.expires_months is not None:
        about["Would hold up to"] = months_later(day, options.expires_months).isoformat()
    about["Limits"] = limits_in_words(limits_of(options))
    return about


_JSON_NAMES = {
    "File": "file",
    "SHA-256 of the file": "file_sha256",
    "Method of the unit": "method_id",
    "Measured on": "performed_on",
    "Would hold up to": "expires_on",
}


def _named(about: dict[str, str]) -> dict[str, str]:
    return {_JSON_NAMES[name]: value for name, value in about.items() if name in _JSON_NAMES}


def in_words(found: Qualification) -> str:
    """Verdict, reasons and figures as text."""
    of, ends = found.indicators, found.intervals

    def between(name: str, form: str) -> str:
        if name not in ends:
            return ""
        return f"  ({' to '.join(format(end, form) for end in ends[name])})"

    cv = "-" if of.cv_percent is None else f"{of.cv_percent:.2f} %{between('cv_percent', '.2f')}"
    lines = [
        f"{found.series.name or 'Method'}: {found.verdict.upper()}",
        *(f"  ! {words}" for words in (*found.design_gaps, *found.failures)),
        f"  stock, proportional fit   {of.slope_cells_ml:.3e} cells/mL{between('slope_cells_ml', '.3e')}",
        f"  CV of the replicates      {cv}",
        f"  R2 of the fit             {of.r2:.5f}{between('r2', '.5f')}",
        f"  proportionality index     {of.pi_squared:.4f}{between('pi_squared', '.4f')} squared, "
        f"{of.pi_absolute:.4f}{between('pi_absolute', '.4f')} absolute",
        f"  off proportionality       {of.deviation_percent:.2f} %{between('deviation_percent', '.2f')}",
        f"  {'dilution':>9} {'samples':>8} {'looks':>6} {'cells/mL':>11} {'CV %':>7} {'off the line %':>15}",
    ]
    for level in found.levels:
        cv = "-" if level.judged_cv_percent is None else f"{level.judged_cv_percent:.2f}"
        lines.append(
            f"  {level.target:>9g} {level.samples:>8d} {level.observations:>6d} "
            f"{level.concentration_cells_ml:>11.3e} {cv:>7} {level.residual_percent:>+15.2f}"
        )
    lines += [f"  {words}" for words in found.remarks]
    lines.append(f"  intervals: 95 %, {found.rounds} bootstrap rounds, seed {SEED}\n")
    return "\n".join(lines)
