"""`cellwright keys`: make keys and say fingerprints."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

GOOD, BAD, USAGE = 0, 1, 2
_HOME_DEFAULT = "/var/lib/cellwright"


def keys(argv: Sequence[str]) -> int:
    """Make the unit's keys, a QP's locked key or an offline root key, and say fingerprints."""
    parser = argparse.ArgumentParser(prog="cellwright keys", description=keys.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    init = _verb(verbs, "init", "make the unit's key, its PIN secret and trust.json", _init)
    _add_home(init)
    init.add_argument("--unit", required=True, metavar="ID", help="id of this unit, at most 32 bytes")
    _add_trust(init)
    trust = _verb(verbs, "trust", "add fingerprints to trust.json", _trust)
    _add_home(trust)
    _add_trust(trust)
    _add_home(_verb(verbs, "fingerprint", "say whom this unit is and whom it trusts", _fingerprint))
    qp = _verb(verbs, "qp-make", "make a QP's key, locked by a passphrase", _qp_make)
    qp.add_argument("--out", required=True, type=Path, metavar="FILE")
    qp.add_argument("--person", required=True, metavar="ID", help="person id of the QP")
    qp.add_argument("--passphrase-stdin", action="store_true", help="read the passphrase from stdin")
    for name, what, run in (
        (
            "identity-make",
            "make the key of patients' identities; an empty passphrase leaves it open",
            _identity_make,
        ),
        ("identity-rewrap", "put that key under another passphrase, or under none", _identity_rewrap),
    ):
        key = _verb(verbs, name, what, run)
        _add_home(key)
        key.add_argument(
            "--passphrase-stdin", action="store_true", help="read passphrases from stdin, old first"
        )
    for name, what in (
        ("root-make", "make an offline root key (keep it off every networked machine)"),
        ("signer-make", "make a recipe developer's or QA reviewer's key"),
    ):
        made = _verb(verbs, name, what, _key_make)
        made.add_argument("--out", required=True, type=Path, metavar="FILE")
    return _run(parser, argv)


def _verb(
    verbs: Any, name: str, what: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.set_defaults(run=run)
    return parser


def _add_home(parser: argparse.ArgumentParser) -> None:
    home = Path(os.environ.get("CELLWRIGHT_HOME", _HOME_DEFAULT))
    parser.add_argument("--home", type=Path, default=home, metavar="DIR", help=f"home of the unit ({home})")


def _add_trust(parser: argparse.ArgumentParser) -> None:
    for kind in ("root", "central", "qp"):
        parser.add_argument(
            f"--{kind}", action="append", default=[], metavar="FINGERPRINT", help=f"trust this {kind} key"
        )


def _run(parser: argparse.ArgumentParser, argv: Sequence[str]) -> int:
    from appliance.access.errors import AccessRefused

    arguments = parser.parse_args(list(argv))
    try:
        status: int = arguments.run(arguments)
    except AccessRefused as refused:
        print(str(refused), file=sys.stderr)
        return USAGE if refused.reason in ("unreadable", "key_unreadable", "trust_unreadable") else BAD
    except OSError as error:
        print(f"{error.filename or parser.prog}: {error.strerror or error}.", file=sys.stderr)
        return BAD
    return status


def _say(as_json: bool, facts: dict[str, Any], lines: Sequence[str]) -> None:
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print("\n".join(lines))


def _init(arguments: argparse.Namespace) -> int:
    from appliance.access.keys import KeyRefused, Trust, fingerprint, make_key, make_pin_secret

    home: Path = arguments.home
    if not arguments.unit.isprintable() or not 1 <= len(arguments.unit.encode()) <= 32:
        print("--unit must be 1 to 32 printable bytes.", file=sys.stderr)
        return USAGE
    if (home / "trust.json").exists():
        raise KeyRefused("key_exists", f"{home / 'trust.json'} is there already. Nothing was changed.")
    trust = _with_given(Trust(), arguments)
    key = make_key(home / "keys" / "unit.key")
    make_pin_secret(home / "keys" / "pin.secret")
    trust = trust.with_key("unit", fingerprint(key))
    trust.save(home / "trust.json")
    facts = {"unit": arguments.unit, "home": str(home.absolute()), "fingerprint": fingerprint(key)}
    _say(arguments.json, facts, [f"Unit {arguments.unit}: key {fingerprint(key)}", f"Home {home.absolute()}"])
    return GOOD


def _with_given(trust: Any, arguments: argparse.Namespace) -> Any:
    for kind in ("root", "central", "qp"):
        for one in getattr(arguments, kind):
            trust = trust.with_key(kind, one)
    return trust


def _trust(arguments: argparse.Namespace) -> int:
    from appliance.access.keys import Trust

    path = arguments.home / "trust.json"
    _with_given(Trust.load(path), arguments).save(path)
    return _fingerprint(arguments)


def _fingerprint(arguments: argparse.Namespace) -> int:
    from appliance.access.keys import Trust, fingerprint, load_key

    trust = Trust.load(arguments.home / "trust.json")
    mine = fingerprint(load_key(arguments.home / "keys" / "unit.key"))
    trusted = {kind: list(getattr(trust, kind)) for kind in ("root", "unit", "central", "qp")}
    lines = [f"this unit  {mine}"]
    lines += [f"trusts {kind:8}{one}" for kind, ones in trusted.items() for one in ones]
    _say(arguments.json, {"fingerprint": mine, "trust": trusted}, lines)
    return GOOD


def _qp_make(arguments: argparse.Namespace) -> int:
    from appliance.access.keys import KeyRefused, fingerprint, make_qp_key, save_qp_key

    if arguments.passphrase_stdin:
        passphrase = sys.stdin.readline().rstrip("\r\n")
    else:
        passphrase = getpass.getpass("Passphrase (at least 12 characters): ")
        if getpass.getpass("The same passphrase again: ") != passphrase:
            raise KeyRefused("passphrase_differs", "The two passphrases differ. No key was made.")
    file, key = make_qp_key(arguments.person, passphrase)
    save_qp_key(file, arguments.out)
    facts = {"person": arguments.person, "file": str(arguments.out), "fingerprint": fingerprint(key)}
    _say(arguments.json, facts, [f"QP {arguments.person}: key {fingerprint(key)} in {arguments.out}"])
    return GOOD


def _identity_make(arguments: argparse.Namespace) -> int:
    from appliance.access.identity_key import make_identity_key

    path = arguments.home / "keys" / "identity.key"
    passphrase = _passphrase(arguments, "Boot passphrase (empty: none): ")
    make_identity_key(path, passphrase)
    return _say_identity_key(arguments, path, bool(passphrase))


def _identity_rewrap(arguments: argparse.Namespace) -> int:
    from appliance.access.identity_key import is_wrapped, rewrap_identity_key

    path = arguments.home / "keys" / "identity.key"
    old = _passphrase(arguments, "Present boot passphrase: ") if is_wrapped(path) else ""
    new = _passphrase(arguments, "New boot passphrase (empty: none): ")
    rewrap_identity_key(path, old, new)
    return _say_identity_key(arguments, path, bool(new))


def _passphrase(arguments: argparse.Namespace, words: str) -> str:
    return sys.stdin.readline().rstrip("\r\n") if arguments.passphrase_stdin else getpass.getpass(words)


def _say_identity_key(arguments: argparse.Namespace, path: Path, wrapped: bool) -> int:
    words = "under the boot passphrase" if wrapped else "open: NO protection against theft is claimed"
    _say(arguments.json, {"file": str(path), "wrapped": wrapped}, [f"{path} is {words}."])
    return GOOD


def _key_make(arguments: argparse.Namespace) -> int:
    from appliance.access.keys import fingerprint, make_key

    mark = fingerprint(make_key(arguments.out))
    _say(arguments.json, {"file": str(arguments.out), "fingerprint": mark}, [f"{mark}  {arguments.out}"])
    return GOOD
