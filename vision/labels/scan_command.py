"""`cellwright scan`: read the symbols of pictures from the command line."""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vision.labels.scan_result import Meaning

GRAMMARS = "cellwright.label_grammars"
BUDGET_MS_MAX = 60_000
STILL_BUDGET_MS = 3000.0
VIDEO_MS_MAX = 60_000.0


def scan(argv: Sequence[str]) -> int:
    """Read the symbols (Code 128, DataMatrix, QR) of label pictures and say what they mean.

    Returns 0 when each file was a picture, 2 when one could not be read, or on wrong usage.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.paths and not arguments.video:
        parser.error("give pictures, or a video or camera with --video")
    from vision.labels.engines import check_formats
    from vision.labels.scan_result import scan_file

    try:
        formats = check_formats(
            [name.strip().lower() for name in arguments.formats.split(",") if name.strip()]
        )
    except ValueError as refusal:
        print(refusal, file=sys.stderr)
        return 2
    meaning = _grammars()
    status = _scan_video(arguments, formats, meaning) if arguments.video else 0
    for path in arguments.paths:
        line = scan_file(path, formats, arguments.budget_ms or STILL_BUDGET_MS, meaning)
        if line["reasons"] == ["unreadable_file"]:
            status = 2
            print(f"{path} cannot be read as a picture. Give a PNG, JPEG or WebP file.", file=sys.stderr)
        print(json.dumps(line) if arguments.json else _readable(line), flush=True)
    return status


def _scan_video(arguments: argparse.Namespace, formats: Sequence[str], meaning: "Meaning") -> int:
    """Read one label from a video or a camera: what its frames agree on."""
    from vision.labels.frames import SourceGone
    from vision.labels.live_scan import scan_source

    try:
        line = scan_source(
            arguments.video, formats, VIDEO_MS_MAX, None, arguments.keep, budget_ms=arguments.budget_ms
        )
    except SourceGone as gone:
        print(gone, file=sys.stderr)
        return 2
    symbols = line["symbols"]
    assert isinstance(symbols, list), symbols
    for symbol in symbols:
        symbol["meaning"] = meaning(symbol["text"], symbol["symbology_identifier"])
    line |= {"image": arguments.video, "frame": line["image"]}
    print(json.dumps(line) if arguments.json else _readable(line), flush=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright scan", description=scan.__doc__, allow_abbrev=False)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="picture files, read in this order")
    parser.add_argument(
        "--video", metavar="FILE", help="a video, or a camera: read what two of its frames agree on"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="where the frame of a video that counted is kept"
    )
    parser.add_argument(
        "--formats",
        default="code128,datamatrix,qr",
        help="allow-list out of code128, datamatrix, qr, code39 (default: %(default)s)",
    )
    parser.add_argument(
        "--budget-ms", type=_budget, help="time a picture in ms (default: 3000; 150 a frame of a video)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a picture on stdout")
    return parser


def _budget(text: str) -> float:
    value = float(text)
    if not 1 <= value <= BUDGET_MS_MAX:
        raise argparse.ArgumentTypeError(f"the budget is 1 to {BUDGET_MS_MAX} ms")
    return value


def _grammars() -> "Meaning":
    """Ask each installed grammar in turn; the first that knows the symbol says what it means."""
    from importlib.metadata import entry_points

    grammars = [each.load() for each in sorted(entry_points(group=GRAMMARS), key=lambda each: each.name)]

    def meaning(text: str, symbology_identifier: str) -> Mapping[str, object] | None:
        for grammar in grammars:
            said: Mapping[str, object] | None = grammar(text, symbology_identifier)
            if said is not None:
                return said
        return None

    return meaning


def _readable(line: Mapping[str, object]) -> str:
    """Say a result in words: one line a symbol, control characters made visible."""
    symbols = line["symbols"]
    reasons = line["reasons"]
    assert isinstance(symbols, list), symbols
    assert isinstance(reasons, list), reasons
    words = [f"{line['image']}: {len(symbols)} symbol{'' if len(symbols) == 1 else 's'}"]
    for symbol in symbols:
        sure = "confirmed" if symbol["confirmed"] else "NOT confirmed"
        said = symbol["meaning"] or {}
        told = said.get("refused") or said.get("readable") or ""
        words.append(f"  {symbol['symbology']} {sure}: {symbol['text']!r}{f'  ({told})' if told else ''}")
    if reasons:
        words.append(f"  why not: {', '.join(reasons)}")
    return "\n".join(words)
