"""`cellwright recipe`: check a recipe, sign it, show who signed it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from appliance.signed_files import read_text, tell_faults

GOOD, BAD, USAGE = 0, 1, 2
DOCUMENT: Final = "recipe"


def recipe(argv: Sequence[str]) -> int:
    """Check a recipe, sign it as developer or QA reviewer, or show who signed it."""
    from appliance.domain.errors import ApplianceError

    arguments = _parser().parse_args(list(argv))
    try:
        status: int = arguments.run(arguments)
    except ApplianceError as refused:
        print(str(refused), file=sys.stderr)
        unreadable = refused.reason in ("unreadable", "key_unreadable", "not_a_document")
        return USAGE if unreadable else BAD
    except (OSError, UnicodeDecodeError) as error:
        print(f"{arguments.file}: {error}. Give the path of a readable recipe file.", file=sys.stderr)
        return USAGE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cellwright recipe", description=recipe.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    sign = verbs.add_parser("sign", help="add a signature over the exact text", allow_abbrev=False)
    sign.add_argument("file", type=Path, metavar="FILE", help="a recipe, or an envelope to sign as well")
    sign.add_argument("--key", required=True, type=Path, metavar="FILE")
    sign.add_argument("--role", required=True, choices=["recipe_developer", "qa_reviewer"])
    sign.add_argument("--out", required=True, type=Path, metavar="ENVELOPE")
    sign.set_defaults(run=_sign)
    show = verbs.add_parser("show", help="show the text, its hash and its signatures", allow_abbrev=False)
    show.add_argument("file", type=Path, metavar="ENVELOPE")
    show.set_defaults(run=_show)
    check = verbs.add_parser("check", help="prove what can be proven about a recipe", allow_abbrev=False)
    check.add_argument("file", type=Path, metavar="FILE", help="a recipe or its envelope")
    check.set_defaults(run=_check)
    for verb in (sign, show, check):
        verb.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    return parser


def _faults(content: bytes) -> list[str]:
    from appliance.domain.errors import RecipeRefused
    from appliance.domain.recipe import parse
    from appliance.domain.recipe_check import check

    try:
        return list(check(parse(content)))
    except RecipeRefused as refused:
        return refused.faults or [str(refused)]


def _sign(arguments: argparse.Namespace) -> int:
    from appliance.access.documents import DocumentRefused, Envelope, add_signature, dump
    from appliance.access.keys import fingerprint, load_key

    content, envelope = read_text(arguments.file, DOCUMENT, "a recipe")
    if envelope is None and arguments.out.exists():
        earlier, envelope = read_text(arguments.out, DOCUMENT, "a recipe")
        if earlier != content:
            raise DocumentRefused(
                "other_recipe",
                f"{arguments.out} holds another text, signed by others. Move it away, then sign again.",
            )
    faults = _faults(content)
    if faults:
        tell_faults(arguments, faults)
        print("A recipe with faults is not signed.", file=sys.stderr)
        return BAD
    key = load_key(arguments.key)
    signed = add_signature(envelope or Envelope(type=DOCUMENT, content=content), key, arguments.role)
    dump(signed, arguments.out)
    facts = {"recipe_hash": signed.content_hash, "role": arguments.role, "key": fingerprint(key)}
    facts["file"] = str(arguments.out)
    if arguments.json:
        print(json.dumps(facts))
    else:
        print(f"Signed as {arguments.role}: {arguments.out}, recipe hash {signed.content_hash}")
    return GOOD


def _show(arguments: argparse.Namespace) -> int:
    from appliance.access.documents import SIGNING_ROLES, verify

    content, envelope = read_text(arguments.file, DOCUMENT, "a recipe")
    if envelope is None:
        print(
            f"{arguments.file} is a recipe without signatures. Sign it with `recipe sign`.", file=sys.stderr
        )
        return BAD
    if envelope.signatures:
        # Each key is taken at its own word here: this says whether the text is whole, not whom to trust.
        claimed = {role: {one.key for one in envelope.signatures} for role in SIGNING_ROLES}
        verify(envelope, allowed=claimed, threshold={envelope.signatures[0].role: 1})
    signatures = [(one.role, one.key) for one in envelope.signatures]
    if arguments.json:
        listed = [{"role": role, "key": key} for role, key in signatures]
        text = content.decode("utf-8")
        print(json.dumps({"recipe_hash": envelope.content_hash, "signatures": listed, "text": text}))
        return GOOD
    print(f"# recipe hash {envelope.content_hash}")
    for role, key in signatures:
        print(f"# signed as {role} with key {key}")
    print(content.decode("utf-8"), end="")
    return GOOD


def _check(arguments: argparse.Namespace) -> int:
    content, _ = read_text(arguments.file, DOCUMENT, "a recipe")
    faults = _faults(content)
    tell_faults(arguments, faults)
    return BAD if faults else GOOD
