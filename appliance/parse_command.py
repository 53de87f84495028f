"""`cellwright parse`: what a scanned symbol means, from its bytes and its symbology identifier."""

import argparse
import json
import sys
from collections.abc import Sequence

EXIT_UNDERSTOOD, EXIT_REFUSED, EXIT_USAGE = 0, 1, 2
BYTES_MAX = 4096
# What a scanner says of each symbology, for those who know it by its name.
BY_NAME = {
    "code128": "]C0",
    "gs1-128": "]C1",
    "code39": "]A0",
    "datamatrix": "]d1",
    "gs1-datamatrix": "]d2",
    "qr": "]Q1",
    "gs1-qr": "]Q3",
}


def parse(argv: Sequence[str]) -> int:
    """Say what the bytes of a scanned symbol mean: ISBT 128, GS1 or HIBC.

    Returns 0 when they are understood, 1 when they are refused, 2 on wrong usage.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_UNDERSTOOD if stop.code == 0 else EXIT_USAGE
    from appliance.domain.label_grammars import meaning

    # Latin-1 gives each byte one character, so that a byte no grammar allows is refused and not guessed at.
    text = options.hex.decode("latin-1")
    said = meaning(text, options.symbology) or {
        "standard": "unknown",
        "refused": "This symbol follows neither ISBT 128, GS1 nor HIBC. Show the label of the bag.",
    }
    line = {"symbology_identifier": options.symbology, "text": text, **said}
    print(json.dumps(line) if options.json else _readable(line))
    return EXIT_REFUSED if "refused" in said else EXIT_UNDERSTOOD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright parse", description=parse.__doc__, allow_abbrev=False)
    parser.add_argument("--hex", type=_bytes, required=True, metavar="HEX", help="the symbol's bytes")
    parser.add_argument(
        "--symbology",
        type=_symbology,
        required=True,
        metavar="ID",
        help=f"symbology identifier such as ]C1, or one of {', '.join(BY_NAME)}",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _bytes(text: str) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise argparse.ArgumentTypeError("give pairs of hexadecimal digits, such as 3d41") from None
    if not 1 <= len(data) <= BYTES_MAX:
        raise argparse.ArgumentTypeError(f"give 1 to {BYTES_MAX} bytes")
    return data


def _symbology(text: str) -> str:
    identifier = BY_NAME.get(text.lower(), text)
    if len(identifier) != 3 or not identifier.startswith("]") or not identifier[1:].isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is no symbology identifier; see --help")
    return identifier


def _readable(line: dict[str, object]) -> str:
    if "refused" in line:
        return f"{line['standard']}: refused. {line['refused']}"
    rows = [f"{line['standard']}: {line.get('readable', '')}".rstrip(": ")]
    rows += [
        f"  {key:22} {value}"
        for key, value in line.items()
        if key not in ("standard", "readable", "structures", "text") and value
    ]
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(parse(sys.argv[1:]))
