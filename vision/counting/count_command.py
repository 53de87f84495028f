"""`cellwright count`: cells and viability of pictures, one line each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vision.counting.methods import METHODS

if TYPE_CHECKING:
    from vision.counting.results import ImageResult

EXIT_GOOD, EXIT_REFUSED, EXIT_USAGE = 0, 1, 2


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a size; give a number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellwright count",
        description="Count live and dead cells in pictures of a stained sample.",
        allow_abbrev=False,
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture files, each one field")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0])
    parser.add_argument("--json", action="store_true", help="one JSON object a line, in the order given")
    parser.add_argument("--allow-unscaled", action="store_true", help="count pictures of unknown scale too")
    parser.add_argument("--object-diameter-px", type=_positive, metavar="N", help="typical cell, in pixels")
    parser.add_argument("--um-per-px", type=_positive, metavar="X", help="size of a pixel in micrometres")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="write pictures with the cells marked")
    return parser


def count(argv: Sequence[str]) -> int:
    """Count live and dead cells in pictures of a stained sample."""
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_GOOD if stop.code == 0 else EXIT_USAGE
    from vision.counting import count_images
    from vision.counting.method import Scale

    try:
        count_images.check_numbers(options.um_per_px, options.object_diameter_px, None, 1.0)
    except ValueError as error:
        print(f"cellwright count: {error}", file=sys.stderr)
        return EXIT_USAGE
    count_images.warm()
    scale = Scale(options.um_per_px, options.object_diameter_px)
    if not options.json:
        print(_HEADER)
    exits = [EXIT_GOOD]
    for number, text in enumerate(options.paths):
        result = count_images.count_file(Path(text), scale=scale, allow_unscaled=options.allow_unscaled)
        if options.json:
            # The path as given, not as Path writes it ("./a" would become "a").
            print(json.dumps({**result.line(), "image": text}, allow_nan=False), flush=True)
        else:
            print(_row(text, result), flush=True)
        if options.overlay is not None:
            _write_overlay(result, number, options.overlay)
        exits.append(_exit_of(result))
    return max(exits)


def _exit_of(result: ImageResult) -> int:
    if "unreadable" in result.reasons:
        return EXIT_USAGE
    return EXIT_GOOD if result.verdict == "counted" else EXIT_REFUSED


def _write_overlay(result: ImageResult, number: int, folder: Path) -> None:
    from vision.counting.annotate import write_overlay

    # The number keeps apart pictures of one name from different folders.
    target = folder / f"{number + 1:03d}-{Path(result.image).stem}.png"
    try:
        write_overlay(result, target)
    except OSError as error:
        print(f"cellwright count: {target} was not written: {error.strerror}.", file=sys.stderr)


_HEADER = f"{'picture':32} {'verdict':8} {'live':>5} {'dead':>5} {'unsure':>6}  viability, 95 % interval"


def _row(text: str, result: ImageResult) -> str:
    viability = "-"
    if result.viability_percent is not None and result.viability_interval_percent is not None:
        low, high = result.viability_interval_percent
        viability = f"{result.viability_percent:.1f} %  ({low:.1f} to {high:.1f})"
    numbers = f"{result.live:5d} {result.dead:5d} {result.unclassified:6d}"
    why = f"  {result.words}" if result.words else ""
    return f"{text[-32:]:32} {result.verdict:8} {numbers}  {viability}{why}"
