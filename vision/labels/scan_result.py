"""The one JSON shape of a read picture, for the command line and the vision worker."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from vision.labels.agreement import Symbol
from vision.labels.engines import DEFAULT_FORMATS
from vision.labels.symbols import BUDGET_MS, UnreadableImage, load_gray, read_symbols

Meaning = Callable[[str, str], Mapping[str, object] | None]


def scan_file(
    path: str,
    formats: Collection[str] = DEFAULT_FORMATS,
    budget_ms: float = BUDGET_MS,
    meaning: Meaning | None = None,
) -> dict[str, object]:
    """Read one picture file; a file that is no picture gives the reason `unreadable_file`."""
    started = time.monotonic()
    try:
        gray = load_gray(Path(path))
    except UnreadableImage:
        return scan_line(path, (), ("unreadable_file",), started)
    found = read_symbols(gray, formats, budget_ms)
    return scan_line(path, found.symbols, found.reasons, started, meaning)


def scan_line(
    image: str,
    symbols: Sequence[Symbol],
    reasons: Sequence[str],
    started: float,
    meaning: Meaning | None = None,
) -> dict[str, object]:
    """Put a reading into the contract's shape; `started` is a reading of the monotonic clock, in seconds."""
    return {
        "image": image,
        "symbols": [symbol_line(symbol, meaning) for symbol in symbols],
        "reasons": list(reasons),
        "elapsed_ms": round((time.monotonic() - started) * 1000, 1),
    }


def symbol_line(symbol: Symbol, meaning: Meaning | None = None) -> dict[str, object]:
    """One symbol as plain JSON values; `meaning` stays null where no grammar was given."""
    said = meaning(symbol.text, symbol.symbology_identifier) if meaning else None
    return {
        "symbology": symbol.symbology,
        "text": symbol.text,
        "hex": symbol.data.hex(),
        "confirmed": symbol.confirmed,
        "position": [[round(float(x), 1), round(float(y), 1)] for x, y in symbol.corners],
        "meaning": dict(said) if said is not None else None,
        "symbology_identifier": symbol.symbology_identifier,
    }
