"""`cellwright central …`: make, feed and run a central node."""

from __future__ import annotations

import argparse
import base64
import binascii
import getpass
import hashlib
import json
import logging
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sync.central.identity_command import add_verbs

if TYPE_CHECKING:
    from sync.central.home import CentralHome

GOOD, BAD, USAGE = 0, 1, 2
UNIT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")  # the rule of unit.toml; 32 bytes fit a record


def central(argv: Sequence[str]) -> int:
    """Make and run the QA node: units' records in, reviewed batches and signed decisions out."""
    parser = argparse.ArgumentParser(
        prog="cellwright central", description=central.__doc__, allow_abbrev=False
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _init_options(verbs)
    _unit_options(verbs)
    _account_options(verbs)
    add_verbs(verbs, _verb)
    _serve_options(verbs)
    options = parser.parse_args(argv)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from appliance.access.errors import AccessRefused
    from appliance.record.errors import RecordError
    from sync.central.home import CentralHome, CentralUnusable

    try:
        facts = options.act(CentralHome(options.home.absolute()), options)
    except (CentralUnusable, AccessRefused) as problem:
        print(problem, file=sys.stderr)
        return BAD
    except (OSError, RecordError, ValueError) as problem:
        print(f"{problem}", file=sys.stderr)
        return USAGE
    if facts:
        _say(facts, as_json=options.json)
    return GOOD


# ── Verbs ──────────────────────────────────────────────────────────────────────────────


def _init(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    hosts = options.host or ["localhost", "127.0.0.1"]
    settings = home.create(site=options.site, hosts=hosts, simulated=options.simulated)
    return {
        "home": str(home.root),
        "site": settings.site,
        "simulated": settings.simulated,
        "fingerprint": home.fingerprint(),
        "ca": str(home.ca_certificate),
    }


def _add_unit(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from cryptography.hazmat.primitives.serialization import Encoding

    from appliance.access.certificates import issue_unit_certificate
    from appliance.access.keys import fingerprint
    from appliance.access.private_files import write_whole
    from sync.acks import utc_text
    from sync.central.home import CentralUnusable
    from sync.central.stops import send_standing
    from sync.central.store import Certificate, Unit

    settings, now = home.settings(), datetime.now(UTC)
    if options.simulated and not settings.simulated:
        raise CentralUnusable(
            "This central takes no simulated units. Make one with `central init --simulated`."
        )
    key = _public_key(options.public_key)
    store = home.store()
    known = store.unit(options.unit)
    if known is not None and known.public_key != key:
        raise CentralUnusable(
            f"{options.unit} is enrolled with another key. A new key needs a new unit id and a QA decision."
        )
    unit = Unit(
        unit_id=options.unit,
        public_key=key,
        status="active",
        simulated=known.simulated if known else options.simulated,
        enrolled_at=utc_text(now),
    )
    issued = issue_unit_certificate(home.authority(), options.unit, now=now)
    der = issued.certificate.public_bytes(Encoding.DER)
    certificate = Certificate(
        fingerprint=hashlib.sha256(der).hexdigest(),
        unit_id=options.unit,
        status="active",
        not_after=utc_text(issued.certificate.not_valid_after_utc),
    )
    issued.save(options.out / "client.crt", options.out / "client.key", replace=known is not None)
    write_whole(options.out / "central_ca.crt", home.ca_certificate.read_bytes())
    with store.transaction():
        store.put_unit(unit)
        store.put_certificate(certificate)
        store.add_event(at=utc_text(now), actor="administrator", kind="UnitEnrolled", unit_id=options.unit)
        if known is None:
            send_standing(store, options.unit)
    return {
        "unit": options.unit,
        "key": fingerprint(key),
        "certificate": certificate.fingerprint,
        "not_after": certificate.not_after,
        "central": home.fingerprint(),
        "out": str(options.out),
    }


def _revoke(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import replace

    from sync.acks import utc_text
    from sync.central.home import CentralUnusable

    home.settings()
    store = home.store()
    unit = store.unit(options.unit)
    if unit is None:
        raise CentralUnusable(f"There is no unit {options.unit} here.")
    with store.transaction():
        if options.certificate:
            found = store.certificate(options.certificate)
            if found is None or found.unit_id != options.unit:
                raise CentralUnusable(f"{options.unit} has no certificate {options.certificate}.")
            store.put_certificate(replace(found, status="revoked"))
        else:
            store.put_unit(replace(unit, status="revoked"))
        store.add_event(
            at=utc_text(datetime.now(UTC)), actor="administrator", kind="UnitRevoked", unit_id=options.unit
        )
    return {"unit": options.unit, "revoked": options.certificate or "unit"}


def _add_account(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from appliance.access.keys import load_pin_secret
    from sync.central.accounts import Accounts

    home.settings()
    if options.password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = getpass.getpass(f"Password of {options.person} at central: ")
    Accounts(home.store(), load_pin_secret(home.password_secret)).add(
        person=options.person,
        name=options.name,
        role=options.role,
        password=password,
        now=datetime.now(UTC),
    )
    return {"person": options.person, "role": options.role}


def _import_document(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    import msgspec

    from appliance.access import documents
    from sync.central.certify import import_people
    from sync.central.home import CentralUnusable

    settings, store = home.settings(), home.store()
    envelope = documents.load(options.file)
    if envelope.type == "people":
        # The first root is named by whoever installs central; from then on it is remembered.
        root = tuple(dict.fromkeys([*settings.root, *options.root]))
        if not root:
            raise CentralUnusable("Name the offline root with --root FINGERPRINT.")
        import_people(store, envelope, root=root, now=datetime.now(UTC))
        if root != settings.root:
            home.save_settings(msgspec.structs.replace(settings, root=root))
    elif not options.to:
        raise CentralUnusable(f"A {envelope.type} goes to units: name them with --to.")
    for unit_id in options.to:
        if store.unit(unit_id) is None:
            raise CentralUnusable(f"There is no unit {unit_id} here.")
        store.queue_down(unit_id, envelope.type, documents.to_json(envelope).strip())
    return {"type": envelope.type, "sha256": envelope.content_hash, "to": options.to}


def _serve(home: CentralHome, options: argparse.Namespace) -> dict[str, Any]:
    from sync.central.server import serve

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s central %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    if options.ready_file is not None:
        options.ready_file.unlink(missing_ok=True)
    serve(home, host=options.host, port=options.port, qa_port=options.qa_port, ready_file=options.ready_file)
    return {}


# ── Options ────────────────────────────────────────────────────────────────────────────


def _verb(verbs: Any, name: str, what: str, act: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--home", required=True, type=Path, metavar="DIR", help="central's folder")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.set_defaults(act=act)
    return parser


def _init_options(verbs: Any) -> None:
    init = _verb(verbs, "init", "make a new central: keys, certificate authority, database", _init)
    init.add_argument("--site", default="site", metavar="NAME", help="shown on each page")
    init.add_argument(
        "--host",
        action="append",
        metavar="NAME",
        help="name or address in the server's certificate; may be repeated (else localhost and 127.0.0.1)",
    )
    init.add_argument(
        "--simulated", action="store_true", help="take simulated units, and say so on each page"
    )


def _unit_options(verbs: Any) -> None:
    add = _verb(verbs, "add-unit", "enrol a unit, or give it a new client certificate", _add_unit)
    add.add_argument("--unit", required=True, type=_unit_id, metavar="ID")
    add.add_argument(
        "--public-key",
        required=True,
        metavar="KEY",
        help="the unit's log key: base64 of 32 bytes, or a PEM file",
    )
    add.add_argument("--simulated", action="store_true", help="the unit's devices are twins")
    add.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="gets client.crt, client.key, central_ca.crt"
    )
    revoke = _verb(verbs, "revoke-unit", "refuse a unit, or one of its certificates, from now on", _revoke)
    revoke.add_argument("--unit", required=True, type=_unit_id, metavar="ID")
    revoke.add_argument("--certificate", default="", metavar="FINGERPRINT", help="only this certificate")


def _account_options(verbs: Any) -> None:
    account = _verb(verbs, "add-account", "make an account, or give it a new password", _add_account)
    account.add_argument("--person", required=True, metavar="ID", help="as in the list of people")
    account.add_argument("--name", required=True)
    account.add_argument("--role", required=True, choices=("qa_reviewer", "qp"))
    account.add_argument("--password-stdin", action="store_true", help="read the password from stdin")
    document = _verb(verbs, "import-document", "take in a signed document", _import_document)
    document.add_argument("file", type=Path, metavar="FILE")
    document.add_argument("--root", action="append", default=[], metavar="FINGERPRINT")
    document.add_argument("--to", action="append", default=[], metavar="UNIT", help="send it to this unit")


def _serve_options(verbs: Any) -> None:
    serve = _verb(verbs, "serve", "take records from units and show them to QA, until ended", _serve)
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8443, metavar="N", help="for units; 0 takes a free one")
    serve.add_argument(
        "--qa-port", type=int, default=8444, metavar="N", help="for people; 0 takes a free one"
    )
    serve.add_argument(
        "--ready-file", type=Path, metavar="PATH", help="written with the ports once listening"
    )


def _unit_id(text: str) -> str:
    if not UNIT_ID.fullmatch(text):
        raise argparse.ArgumentTypeError("a unit id has 1 to 32 letters, digits, '.', '_' or '-'")
    return text


def _public_key(text: str) -> bytes:
    """A raw Ed25519 public key, from base64 or from a PEM file."""
    from appliance.access.keys import read_public_key

    if Path(text).is_file():
        return read_public_key(Path(text))
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != 32:
        raise ValueError("The public key is neither a file nor base64 of 32 bytes.")
    return raw


def _say(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(facts))
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' ')}: {value}")
