"""`cellwright label`: draw and verify labels; check, sign, approve and list their templates."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.signed_files import read_text, tell_faults

if TYPE_CHECKING:
    from appliance.access.documents import SigningRole

GOOD, BAD, USAGE = 0, 1, 2
DOCUMENT: Final = "label_template"
DRAWING = ("render", "verify")  # which need no unit, and no signature


def label(argv: Sequence[str]) -> int:
    """Draw labels and verify pictures of them; check, sign, approve and list label templates.

    Returns 0 when all was well, 1 when a template or picture is refused, 2 on wrong usage.
    """
    words = list(argv)
    if words and words[0] in DRAWING:
        from vision.labels.label_command import label as draw

        return draw(words)
    return _ruled(words)


def _ruled(words: list[str]) -> int:
    from appliance.domain.errors import ApplianceError

    try:
        arguments = _parser().parse_args(words)
    except SystemExit as stop:
        return GOOD if stop.code == 0 else USAGE
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except ApplianceError as refused:
        print(str(refused), file=sys.stderr)
        unreadable = refused.reason in ("unreadable", "key_unreadable", "not_a_document")
        return USAGE if unreadable else BAD
    except (OSError, UnicodeDecodeError) as error:
        print(f"cellwright label: {error}. Give the path of a readable file.", file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright label", description=label.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in DRAWING:
        verbs.add_parser(name, help=f"see `cellwright label {name} --help`", add_help=False)
    templates = verbs.add_parser("templates", help="the templates, with their fields", allow_abbrev=False)
    templates.add_argument("--home", type=Path, metavar="DIR", help="those approved on this unit")
    templates.set_defaults(run=_templates)
    check = verbs.add_parser("check", help="prove what can be proven about a template", allow_abbrev=False)
    check.add_argument("file", type=Path, metavar="TEMPLATE", help="a TOML file or its envelope")
    check.set_defaults(run=_check)
    sign = verbs.add_parser("sign", help="sign as the one who made it", allow_abbrev=False)
    sign.add_argument("file", type=Path, metavar="TEMPLATE.toml")
    sign.set_defaults(run=lambda arguments: _sign(arguments, "recipe_developer"))
    approve = verbs.add_parser("approve", help="sign as QA reviewer: another person", allow_abbrev=False)
    approve.add_argument("file", type=Path, metavar="ENVELOPE", help="what the developer signed")
    approve.set_defaults(run=lambda arguments: _sign(arguments, "qa_reviewer"))
    for verb in (sign, approve):
        verb.add_argument("--key", required=True, type=Path, metavar="FILE")
        verb.add_argument("--out", required=True, type=Path, metavar="ENVELOPE")
    for verb in (check, sign, approve):
        verb.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    return parser


def _faults(content: bytes) -> list[str]:
    from appliance.domain.label_templates import lacking
    from vision.labels.label_template import TemplateRefused, read_template

    try:
        template = read_template(content)
    except TemplateRefused as refused:
        return refused.faults
    return lacking(template.head.kind, template.fields, template.fixed_words)


def _check(arguments: argparse.Namespace) -> int:
    content, _ = read_text(arguments.file, DOCUMENT, "a label template")
    faults = _faults(content)
    tell_faults(arguments, faults)
    return BAD if faults else GOOD


def _sign(arguments: argparse.Namespace, role: SigningRole) -> int:
    from appliance.access.documents import DocumentRefused, Envelope, add_signature, dump
    from appliance.access.keys import fingerprint, load_key

    content, envelope = read_text(arguments.file, DOCUMENT, "a label template")
    if envelope is None and role == "qa_reviewer":
        raise DocumentRefused(
            "unsigned", f"{arguments.file} is not signed. Its developer signs it first with `label sign`."
        )
    faults = _faults(content)
    if faults:
        tell_faults(arguments, faults)
        print("A template with faults is not signed.", file=sys.stderr)
        return BAD
    key = load_key(arguments.key)
    before = envelope or Envelope(type=DOCUMENT, content=content)
    if any(one.key == fingerprint(key) and one.role != role for one in before.signatures):
        raise DocumentRefused(
            "same_person", "This key signed the template already. Another person approves it, with their key."
        )
    signed = add_signature(before, key, role)
    dump(signed, arguments.out)
    facts = {"template_hash": signed.content_hash, "role": role, "key": fingerprint(key)}
    if arguments.json:
        print(json.dumps(facts | {"file": str(arguments.out)}))
    else:
        print(f"Signed as {role}: {arguments.out}, template hash {signed.content_hash}")
    return GOOD


def _templates(arguments: argparse.Namespace) -> int:
    if arguments.home is None:
        from vision.labels.label_command import label as draw

        return draw(["templates"])
    from appliance.access.keys import Trust
    from appliance.config import Home
    from appliance.engine.shelf import load_shelf

    home = Home(arguments.home)
    shelf = load_shelf(home, Trust.load(home.trust))
    for name, one in sorted(shelf.label_templates.items()):
        print(f"{name} (version {one.template.version}): approved by {', '.join(one.approved.signers)}")
        print(f"  {one.approved.hash}")
    files = {path.name for path in home.label_templates.glob("*.json")}
    refused = {name: words for name, (_, words) in shelf.refused.items() if name in files}
    for name, words in sorted(refused.items()):
        print(f"{name}: not used. {words}", file=sys.stderr)
    return BAD if refused else GOOD
