"""`cellwright count`: cells and viability of pictures, one line each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vision.counting.methods import METHODS, USUAL

EXIT_GOOD, EXIT_REFUSED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130
DILUTION_MOST = 1000.0


class GivenFields(NamedTuple):
    """The files of each field as given, and what is wrong with them (empty when nothing is)."""

    fields: list[tuple[str, ...]]
    words: str = ""


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is not a size; give a number above 0")
    return value


def _dilution(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= DILUTION_MOST:
        raise argparse.ArgumentTypeError(
            f"{text} is no dilution; give final volume over sample volume, 1 (none) to {DILUTION_MOST:g}"
        )
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellwright count",
        description="Count live and dead cells in pictures of a stained sample.",
        allow_abbrev=False,
        epilog="`cellwright count qualify DESIGN.csv` judges a method by its dilution series (ISO 20391-2); "
        "`cellwright count cards` tells how each method was validated.",
    )
    parser.add_argument("paths", nargs="*", metavar="IMAGE", help="picture files, each one field")
    parser.add_argument("--method", choices=METHODS, default=USUAL)
    parser.add_argument(
        *("--channels",),
        nargs=2,
        action="append",
        default=[],
        metavar=("FILE_A", "FILE_B"),
        help="one field by its two aligned channels: all cells, dead cells (live-dead); may be repeated",
    )
    size = parser.add_argument_group("size and volume")
    size.add_argument("--um-per-px", type=_positive, metavar="X", help="size of a pixel in micrometres")
    size.add_argument("--object-diameter-px", type=_positive, metavar="N", help="typical cell, in pixels")
    size.add_argument("--allow-unscaled", action="store_true", help="count pictures of unknown scale too")
    size.add_argument("--chamber", metavar="NAME", help="counting chamber: gives the depth of a field")
    size.add_argument(
        *("--dilution",), type=_dilution, default=1.0, metavar="D", help="final volume over sample volume"
    )
    size.add_argument("--pool", action="store_true", help="all pictures are one specimen: one last line")
    out = parser.add_argument_group("what is written")
    out.add_argument("--json", action="store_true", help="one JSON object a line, in the order given")
    out.add_argument("--overlay", type=Path, metavar="DIR", help="pictures with the cells marked")
    out.add_argument("--labels", type=Path, metavar="DIR", help="a 16-bit label PNG a picture, same stem")
    out.add_argument("--csv", type=Path, metavar="DIR", help="a table of its cells a picture, same stem")
    out.add_argument("--report", type=Path, metavar="FILE.html", help="one page to read and to print")
    return parser


def count(argv: Sequence[str]) -> int:
    """Count live and dead cells in pictures of a stained sample."""
    if argv and argv[0] == "qualify":
        from vision.counting.qualify_command import qualify_design

        return qualify_design(argv[1:])
    if argv and argv[0] == "cards":
        from vision.counting.cards import show

        return show(argv[1:])
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_GOOD if stop.code == 0 else EXIT_USAGE
    fields, wrong = _fields(options)
    if wrong:
        return _usage(wrong)
    # Only from here on OpenCV is needed, so that `--help` and a slip of the pen cost no second.
    from vision.counting import count_run

    try:
        run = count_run.prepared(options, [tuple(Path(name) for name in names) for names in fields])
    except count_run.CannotBegin as reason:
        return _usage(str(reason))
    return run.carry_out([names[0] for names in fields])


def _fields(options: argparse.Namespace) -> GivenFields:
    """Return the files of each field as given, or what is wrong with how they are given."""
    two_channels = options.method == "live-dead"
    if not options.paths and not options.channels:
        asked = "two channels of a field by --channels FILE_A FILE_B" if two_channels else "picture files"
        return GivenFields([], f"nothing to count; name {asked}.")
    if two_channels and options.paths:
        return GivenFields(
            [], "live-dead needs two channels of each field; give them by --channels FILE_A FILE_B."
        )
    if options.channels and not two_channels:
        return GivenFields([], f"--channels is for live-dead; {options.method} counts one picture a field.")
    return GivenFields([*((path,) for path in options.paths), *(tuple(pair) for pair in options.channels)])


def _usage(words: str) -> int:
    print(f"cellwright count: {words}", file=sys.stderr)
    return EXIT_USAGE
