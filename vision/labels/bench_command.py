"""`cellwright bench labels`: how many symbols are read, how fast, and is any read wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.labels.bench_run import Measured

BUDGET_MS = 3000.0
BUDGET_MS_MAX = 60_000.0
INTERRUPTED = 130
SMALL_SET = Path(__file__).parents[2] / "tests" / "data" / "labels"


def bench(argv: Sequence[str]) -> int:
    """Measure label reading on photographs, beside zxing-cpp alone and pyzbar alone in one run.

    Returns 0 when all was measured and no wrong read was confirmed, 1 when one was, 2 on wrong usage or a
    set that cannot be measured.
    """
    arguments = _parser().parse_args(argv)
    if arguments.data is None and not SMALL_SET.is_dir():
        print("Give a set of photographs with --data DIR: img/ and manifest.csv.", file=sys.stderr)
        return 2
    from vision.labels.bench_run import measure
    from vision.labels.bench_set import BadManifest, photos_of

    folder = arguments.data or SMALL_SET
    try:
        photos = photos_of(folder)
    except BadManifest as bad:
        print(bad, file=sys.stderr)
        return 2
    told = measure(photos, arguments.budget_ms, _progress)
    told.data = str(folder)
    print(json.dumps(told.line()) if arguments.json else _table(told), flush=True)
    for name in told.unreadable_files:
        print(f"{name} cannot be read as a picture and was left out.", file=sys.stderr)
    if not told.complete:
        return INTERRUPTED
    if told.unreadable_files:
        return 2
    return 1 if told.confirmed_wrong_views else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright bench", description=bench.__doc__, allow_abbrev=False)
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    labels = kinds.add_parser(
        "labels", help="photographs of symbols, each at four rotations", allow_abbrev=False
    )
    labels.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="img/ and manifest.csv (file, symbology, expected_hex, also_hex); left out: the small set "
        "of the source tree",
    )
    labels.add_argument(
        "--budget-ms", type=_budget, default=BUDGET_MS, help="time a view (default: %(default)s)"
    )
    labels.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _budget(text: str) -> float:
    value = float(text)
    if not 0 <= value <= BUDGET_MS_MAX:
        raise argparse.ArgumentTypeError(f"the budget is 0 to {BUDGET_MS_MAX:.0f} ms")
    return value


def _progress(done: int, photos: int) -> None:
    ends = "\r" if sys.stderr.isatty() and done < photos else "\n"
    if sys.stderr.isatty() or done % 20 == 0 or done == photos:
        print(f"{done} of {photos} photographs", end=ends, file=sys.stderr, flush=True)


def _table(told: Measured) -> str:
    """Say the figures for people: one line a symbology and reader."""
    rows = [
        f"{'symbology':<12}{'reader':<18}{'views':>6}{'decoded':>9}{'confirmed':>11}{'wrong':>7}{'ms':>8}{'p95':>8}"
    ]
    for symbology, readers in told.symbologies.items():
        for reader, tally in readers.items():
            line = tally.line()
            sure = f"{line['confirmed_percent']} %" if reader == "cellwright" else "-"
            rows.append(
                f"{symbology:<12}{reader:<18}{tally.views:>6}{line['decoded_percent']:>7} %{sure:>11}"
                f"{tally.wrong:>7}{line['median_ms']:>8}{line['p95_ms']:>8}"
            )
    whole = told.line()
    empty = whole["no_readable_symbol"]
    assert isinstance(empty, dict), empty
    rows += [
        f"Confirmed wrong reads: {whole['views_with_a_confirmed_wrong_read']} of {whole['views']} views.",
        f"No readable symbol: {empty['views_with_a_confirmed_read']} confirmed in {empty['views']} views.",
        f"An empty frame to the end: {empty['empty_median_ms']} ms (p95 {empty['empty_p95_ms']} ms).",
        f"First look: {whole['first_look_median_ms']} ms (median).",
    ]
    if not told.complete:
        rows.append("Interrupted: these are the views until then.")
    return "\n".join(rows)
