"""`cellwright label`: draw a label from its data, and hold a picture of one against what it must say."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vision.labels.label_template import LabelTemplate

EXIT_GOOD, EXIT_DIFFERENT, EXIT_USAGE = 0, 1, 2
PAYLOAD_ENDING = "_text"


class DataUnusable(ValueError):
    """The file with the label's data cannot be used; `str(error)` says why."""


def label(argv: Sequence[str]) -> int:
    """Draw a label from its data, or hold a picture of one against what it must say.

    Returns 0 when the label was drawn, or says what it must; 1 when it does not; 2 on wrong usage.
    """
    try:
        options = _parser().parse_args(argv)
    except SystemExit as stop:
        return EXIT_GOOD if stop.code == 0 else EXIT_USAGE
    try:
        if options.action == "templates":
            return _templates()
        return _render(options) if options.action == "render" else _verify(options)
    except (DataUnusable, OSError) as error:
        print(f"cellwright label: {error}", file=sys.stderr)
        return EXIT_USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright label", description=label.__doc__, allow_abbrev=False)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("templates", help="the labels that can be drawn, with their fields")
    render = actions.add_parser("render", help="draw a label, read it back, and write it")
    render.add_argument("template", metavar="TEMPLATE", help="a name of `templates`, or a TOML file")
    render.add_argument("--data", type=Path, required=True, metavar="FILE.json", help="its fields")
    for kind, words in (("png", "a picture"), ("pdf", "a page of its size"), ("zpl", "for a Zebra printer")):
        render.add_argument(f"--{kind}", type=Path, metavar="OUT", help=words)
    render.add_argument(
        "--dpi", type=int, choices=(203, 300), default=300, help="dots an inch of the printer"
    )
    verify = actions.add_parser("verify", help="read a picture of a label and compare")
    verify.add_argument("image", type=Path, metavar="IMAGE")
    verify.add_argument(
        "--expect", type=Path, required=True, metavar="FILE.json", help="the data it was drawn from"
    )
    verify.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def _templates() -> int:
    from vision.labels.label_template import shipped_templates

    for name, plan in shipped_templates().items():
        size = f"{plan.head.width_mm:g} x {plan.head.height_mm:g} mm"
        texts = [field for field, needed in plan.fields.items() if needed and field not in plan.payloads]
        payloads = [field for field in plan.payloads if plan.fields[field]]
        print(f"{name} (version {plan.version}, {size}): {' '.join([*payloads, *sorted(texts)])}")
        if optional := sorted(field for field, needed in plan.fields.items() if not needed):
            print(f"  if there is one: {' '.join(optional)}")
    return EXIT_GOOD


def _plan(named: str) -> str | LabelTemplate:
    """A shipped template by its name, or one in a file: to look at, for only a signed one is printed."""
    from vision.labels.label_template import TemplateRefused, read_template

    if not named.endswith(".toml"):
        return named
    try:
        return read_template(Path(named).read_bytes())
    except TemplateRefused as refused:
        raise DataUnusable(f"{named}: {refused}") from refused


def _fields(path: Path) -> Mapping[str, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataUnusable(f"{path} is no JSON file ({error}).") from error
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise DataUnusable(f"{path} must hold one object whose values are texts.")
    return data


def _render(options: argparse.Namespace) -> int:
    from vision.labels.label_outputs import as_pdf, as_zpl
    from vision.labels.label_picture import LabelNotDrawn, draw_label

    wanted = {kind: path for kind in ("png", "pdf", "zpl") if (path := getattr(options, kind)) is not None}
    if not wanted:
        print("cellwright label: say where to: --png, --pdf or --zpl OUT.", file=sys.stderr)
        return EXIT_USAGE
    try:
        drawn = draw_label(_plan(options.template), _fields(options.data), dpi=options.dpi)
    except LabelNotDrawn as error:
        print(f"cellwright label: {error}", file=sys.stderr)
        return EXIT_USAGE
    data = {"png": lambda: drawn.png, "pdf": lambda: as_pdf(drawn), "zpl": lambda: as_zpl(drawn)}
    for kind, path in wanted.items():
        _put(path, data[kind]())
        print(
            f"{path}: {drawn.template} label, version {drawn.version}, {len(drawn.symbols)} symbols read back"
        )
    return EXIT_GOOD


def _put(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def _verify(options: argparse.Namespace) -> int:
    from vision.labels.symbols import UnreadableImage, load_gray, read_symbols

    fields = _fields(options.expect)
    expected = {name: text for name, text in fields.items() if name.endswith(PAYLOAD_ENDING)}
    if not expected:
        raise DataUnusable(f"{options.expect} names no payload (a field that ends in {PAYLOAD_ENDING}).")
    try:
        gray = load_gray(options.image)
    except UnreadableImage as error:
        raise DataUnusable(str(error)) from error
    read = read_symbols(gray, ("code128", "datamatrix"))
    confirmed = {each.text for each in read.symbols if each.confirmed}
    line: dict[str, Any] = {
        "image": str(options.image),
        "missing": sorted(name for name, text in expected.items() if text not in confirmed),
        "unexpected": sorted({each.text for each in read.symbols} - set(expected.values())),
        "reasons": list(read.reasons),
    }
    line["agrees"] = not line["missing"] and not line["unexpected"]
    print(json.dumps(line) if options.json else _words(line))
    return EXIT_GOOD if line["agrees"] else EXIT_DIFFERENT


def _words(line: Mapping[str, Any]) -> str:
    if line["agrees"]:
        return f"{line['image']}: every symbol is there and says what it must."
    said = [f"{line['image']}: this is not the label, or it does not read."]
    said += [f"  not confirmed: {name}" for name in line["missing"]]
    said += [f"  not of this label: {text!r}" for text in line["unexpected"]]
    said += [f"  why not: {', '.join(line['reasons'])}"] if line["reasons"] else []
    return "\n".join(said)
