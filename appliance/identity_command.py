"""`cellwright identity`: names of patients beside the record. None is ever an argument or an output."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from appliance.config import add_home_option, home_from

GOOD, BAD, USAGE = 0, 1, 2
STATION = "service"
INPUT_BYTES_MAX = 64 * 1024


def identity(argv: Sequence[str]) -> int:
    """Take, open, list or erase patients' identities, which are sealed apart from the record."""
    parser = argparse.ArgumentParser("cellwright identity", description=identity.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    add = _verb(verbs, "add", "hand a signed identity document to the running unit", _add)
    add.add_argument("file", metavar="FILE", help="the document, or - for stdin")
    _verb(verbs, "list", "the pseudonyms of whom this unit keeps an identity", _list)
    unlock = _verb(verbs, "unlock", "open the identities of a running unit with the boot passphrase", _unlock)
    erase = _verb(verbs, "erase", "make a patient's name and bedside pictures unreadable for ever", _erase)
    erase.add_argument("patient", metavar="PSEUDONYM")
    erase.add_argument("--reason", required=True, metavar="TEXT", help="such as the number of the request")
    for verb in (unlock, erase):
        verb.add_argument("--by", required=True, metavar="PERSON", help="who acts: id, badge or name")
        verb.add_argument(
            "--secrets-stdin", action="store_true", help="read PIN, then passphrase, a line each, from stdin"
        )
    picture = _verb(verbs, "picture", "open a picture that was sealed at the bedside", _picture)
    picture.add_argument("sha256", metavar="SHA256", help="its name, as the record has it")
    picture.add_argument("--patient", required=True, metavar="PSEUDONYM")
    picture.add_argument("--out", required=True, type=Path, metavar="FILE", help="best on a tmpfs")
    picture.add_argument("--secrets-stdin", action="store_true", help="read the boot passphrase from stdin")
    sign = _verb(verbs, "sign", "at central: sign an identity for an order; who it is comes by stdin", _sign)
    sign.add_argument("--order", required=True, type=Path, metavar="FILE", help="the signed order")
    sign.add_argument("--key", required=True, type=Path, metavar="FILE", help="central's key")
    sign.add_argument("--out", required=True, type=Path, metavar="FILE")
    return _run(parser.parse_args(argv))


def _verb(verbs: Any, name: str, words: str, act: object) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=words, description=words, allow_abbrev=False
    )
    add_home_option(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    parser.set_defaults(act=act)
    return parser


def _run(options: argparse.Namespace) -> int:
    from appliance.domain.errors import ApplianceError
    from appliance.link.client import EngineAway

    try:
        return int(options.act(options))
    except EngineAway as away:
        print(away, file=sys.stderr)
        return BAD
    except ApplianceError as refused:
        unreadable = getattr(refused, "reason", "") in ("unreadable", "not_a_document")
        print(refused, file=sys.stderr)
        return USAGE if unreadable else BAD
    except OSError as error:
        print(f"{error.filename}: {error.strerror}.", file=sys.stderr)
        return USAGE


def _add(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.access import documents
    from appliance.link.client import ask
    from appliance.link.messages import Refused

    if options.file == "-":
        envelope = documents.parse(sys.stdin.buffer.read(INPUT_BYTES_MAX))
    else:
        envelope = documents.load(Path(options.file))
    if envelope.type != "identity":
        print(f"This is a document of type {envelope.type}, not an identity.", file=sys.stderr)
        return USAGE
    body = {"envelope": msgspec.to_builtins(envelope)}
    answer = ask(home_from(options).socket, "deliver_document", body, station=STATION)
    if isinstance(answer, Refused):
        print(answer.words, file=sys.stderr)
        return BAD
    patient = str(answer.result.get("patient", ""))
    _say(options, {"patient": patient}, f"The identity of {patient} is sealed on this unit.")
    return GOOD


def _list(options: argparse.Namespace) -> int:
    from appliance.access.identities import Identities

    for patient in Identities(home_from(options).root, "", None).pseudonyms():
        _say(options, {"patient": patient}, patient)
    return GOOD


def _unlock(options: argparse.Namespace) -> int:
    pin = _secret(options, f"PIN of {options.by}: ")
    passphrase = _secret(options, "Boot passphrase of this unit: ")
    return _as_person(options, pin, "unlock_identities", {}, passphrase)


def _erase(options: argparse.Namespace) -> int:
    body = {"patient": options.patient, "reason": options.reason}
    return _as_person(options, _secret(options, f"PIN of {options.by}: "), "erase_identity", body, "")


def _as_person(
    options: argparse.Namespace, pin: str, name: str, body: dict[str, str], passphrase: str
) -> int:
    """Sign in at the service station, act, sign out; a refusal is told in the unit's words."""
    from appliance.link.client import ask
    from appliance.link.messages import Proof, Refused

    socket = home_from(options).socket
    answer = ask(
        socket, "sign_in", {"person": options.by}, Proof(person=options.by, pin=pin), station=STATION
    )
    if not isinstance(answer, Refused):
        # The passphrase goes as a proof: proofs are never recorded, bodies of commands are.
        proof = Proof(person=options.by, password=passphrase) if passphrase else None
        try:
            answer = ask(socket, name, body, proof, station=STATION)
        finally:
            ask(socket, "sign_out", station=STATION)
    if isinstance(answer, Refused):
        print(answer.words, file=sys.stderr)
        return BAD
    _say(options, {"seq": answer.seq}, f"Done, on record as number {answer.seq}.")
    return GOOD


def _picture(options: argparse.Namespace) -> int:
    """Works beside the engine and without it: the key, or its passphrase, is all that it takes."""
    from appliance.access.identities import Identities
    from appliance.access.identity_key import is_wrapped, open_identity_key
    from appliance.access.private_files import write_private
    from appliance.record.attachments import load
    from appliance.record.errors import RecordError
    from appliance.record.log import Record

    home = home_from(options)
    passphrase = _secret(options, "Boot passphrase of this unit: ") if is_wrapped(home.identity_key) else ""
    key = open_identity_key(home.identity_key, passphrase)
    try:
        with Record.open_readonly(home.record) as record:
            unit, sealed = record.unit_id, load(record.blobs_folder, options.sha256)
    except RecordError as problem:
        print(problem, file=sys.stderr)
        return USAGE
    write_private(options.out, Identities(home.root, unit, key).open_picture(options.patient, sealed))
    _say(
        options, {"file": str(options.out)}, f"{options.out} shows a patient: remove it when you have looked."
    )
    return GOOD


def _sign(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.access import documents
    from appliance.access.identities import Identity, identity_content
    from appliance.access.keys import load_key

    try:
        who = msgspec.json.decode(sys.stdin.buffer.read(INPUT_BYTES_MAX), type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Without the decoder's words: they would quote a name.
        print('Give {"name", "birth_date", "hospital_number"} as JSON on stdin.', file=sys.stderr)
        return USAGE
    order = documents.load(options.order)
    content = identity_content(order.content.decode("utf-8"), who)
    documents.dump(documents.sign("identity", content, load_key(options.key), "central"), options.out)
    options.out.chmod(0o600)
    _say(options, {"file": str(options.out)}, f"{options.out} holds a name: carry it sealed or over TLS.")
    return GOOD


def _say(options: argparse.Namespace, facts: dict[str, Any], words: str) -> None:
    print(json.dumps(facts, ensure_ascii=False) if options.json else words)


def _secret(options: argparse.Namespace, words: str) -> str:
    return sys.stdin.readline().rstrip("\r\n") if options.secrets_stdin else getpass.getpass(words)
