"""`cellwright qp …`: certify from the QP's own machine, and carry a signed decision to a unit."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

    from appliance.access.qp_decision import Decision

GOOD, BAD, USAGE = 0, 1, 2
ASK_AGAIN_S = 0.5
TIMEOUT_S = 30.0


class NotCertified(Exception):
    """Nothing was signed, or nothing was taken; the words say why."""


def qp(argv: Sequence[str]) -> int:
    """Certify or reject a batch with your own key, or hand a signed decision to a unit."""
    parser = argparse.ArgumentParser(prog="cellwright qp", description=qp.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _certify_options(verbs.add_parser("certify", help="sign a decision about a batch", allow_abbrev=False))
    _deliver_options(verbs.add_parser("deliver", help="hand a signed file to a unit", allow_abbrev=False))
    options = parser.parse_args(argv)
    return int(options.act(options))


def _certify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--central", required=True, metavar="URL", help="central's address for people")
    parser.add_argument("--ca", required=True, type=Path, metavar="FILE", help="central's authority")
    parser.add_argument("--batch", required=True, metavar="ID")
    parser.add_argument("--unit", default="", metavar="ID", help="where two units used one batch id")
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help="your key file")
    parser.add_argument("--person", required=True, metavar="ID", help="you, as in the list of people")
    parser.add_argument(
        "--passphrase-stdin",
        action="store_true",
        help="read two lines from stdin: the key's passphrase, then the password at central; ask nothing",
    )
    parser.add_argument("--stage", choices=("conditional", "final"), default="conditional")
    parser.add_argument("--reject", action="store_true")
    parser.add_argument("--reason", default="", metavar="TEXT", help="a rejection needs one")
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep the signed file, to carry it by hand")
    parser.add_argument(
        "--wait-s", type=float, default=0.0, metavar="S", help="wait until the batch can be decided"
    )
    parser.set_defaults(act=_certify)


def _deliver_options(parser: argparse.ArgumentParser) -> None:
    from appliance.config import add_home_option

    add_home_option(parser)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(act=_deliver)


def _certify(options: argparse.Namespace) -> int:
    from appliance.access.errors import AccessRefused

    if options.reject and not options.reason.strip():
        print("A rejection needs a reason. Give --reason TEXT.", file=sys.stderr)
        return USAGE
    try:
        print(json.dumps(certify(options)))
    except (NotCertified, AccessRefused) as problem:
        print(problem, file=sys.stderr)
        return BAD
    except OSError as problem:
        print(problem, file=sys.stderr)
        return USAGE
    return GOOD


def certify(options: argparse.Namespace) -> dict[str, Any]:
    """Sign in, fetch the exact bytes, check them, sign them here, hand the envelope over."""
    from appliance.access import documents
    from appliance.access.keys import unlock_qp_key
    from appliance.access.qp_decision import read_decision, sign_decision

    passphrase, password = _secrets(options)
    key = unlock_qp_key(options.key, passphrase)
    with _client(options) as client:
        token = _sign_in(client, options.person, password)
        unit = _find(client, options, audited=not options.reject)
        place = f"/batches/{unit}/{options.batch}"
        disposition = "rejected" if options.reject else "released"
        asked = {"stage": options.stage, "disposition": disposition, "reason": options.reason}
        content = _bytes(_ask(client, "POST", f"{place}/offers", token, asked).get("content"))
        decision = read_decision(content)
        _refuse_other(decision, options, unit, disposition)
        _show(content, ask=not options.passphrase_stdin)
        envelope = sign_decision(content, key)
        if options.out is not None:
            documents.dump(envelope, options.out)
        _ask(client, "POST", f"{place}/decisions", token, documents.to_json(envelope))
    return {
        "batch": options.batch,
        "unit": unit,
        "disposition": disposition,
        "version": decision.version,
        "sha256": envelope.content_hash,
        "file": str(options.out) if options.out else None,
    }


def _refuse_other(decision: Decision, options: argparse.Namespace, unit: str, disposition: str) -> None:
    """What central offers must be what was asked for: this machine does not take its word."""
    offered = (decision.unit, decision.batch, decision.disposition, decision.stage, decision.by)
    if offered != (unit, options.batch, disposition, options.stage, options.person):
        raise NotCertified("Central offered another decision than the one you asked for. Call QA.")


def _show(content: bytes, *, ask: bool) -> None:
    """Each field of the very bytes that are about to be signed, for the QP's eyes."""
    for name, value in json.loads(content).items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        print(f"  {name:<15} {text}", file=sys.stderr)
    if ask and input("Sign exactly this? Type yes: ").strip() != "yes":
        raise NotCertified("Nothing was signed.")


def _secrets(options: argparse.Namespace) -> tuple[str, str]:
    if options.passphrase_stdin:
        passphrase, password = (sys.stdin.readline().rstrip("\r\n") for _ in range(2))
        return passphrase, password
    return getpass.getpass("Passphrase of your key: "), getpass.getpass("Your password at central: ")


def _client(options: argparse.Namespace) -> httpx.Client:
    import ssl

    import httpx

    context = ssl.create_default_context(cafile=str(options.ca))
    url = options.central.rstrip("/")
    # The same-origin check of the pages holds for programs too, so we say who we are.
    return httpx.Client(
        base_url=url, verify=context, timeout=TIMEOUT_S, trust_env=False, headers={"Origin": url}
    )


def _sign_in(client: httpx.Client, person: str, password: str) -> str:
    answer = _ask(client, "POST", "/api/session", "", {"person": person, "password": password})
    return str(answer.get("form_token", ""))


def _find(client: httpx.Client, options: argparse.Namespace, *, audited: bool = False) -> str:
    """The unit of the batch; waits until the batch can be decided, if asked to.

    With `audited`, waits also for the review of its audit trail, without which there is no release.
    """
    deadline = time.monotonic() + options.wait_s
    while True:
        listed = _ask(client, "GET", "/api/batches", "").get("batches", [])
        found = [one for one in listed if one["batch"] == options.batch]
        found = [one for one in found if options.unit in ("", one["unit"])]
        if len(found) > 1:
            raise NotCertified("Two units have a batch of this id. Name the unit with --unit.")
        ready = found and not found[0]["missing"]
        if ready and not (audited and found[0].get("audit") != "holds" and time.monotonic() < deadline):
            return str(found[0]["unit"])
        if time.monotonic() >= deadline:
            if found:
                raise NotCertified("No decision is possible yet: " + " ".join(found[0]["missing"]))
            raise NotCertified(f"Central has no batch {options.batch} yet.")
        time.sleep(ASK_AGAIN_S)


def _ask(client: httpx.Client, method: str, path: str, token: str, body: Any = None) -> dict[str, Any]:
    import httpx

    headers = {"Form-Token": token, "Content-Type": "application/json"}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        answer = client.request(method, path, headers=headers, content=None if body is None else data)
        said = answer.json()
    except httpx.HTTPError as problem:
        raise NotCertified(f"Central does not answer: {problem or type(problem).__name__}.") from None
    except ValueError:
        raise NotCertified(f"Central answered {answer.status_code} without words.") from None
    if answer.status_code >= 300 or not isinstance(said, dict):
        words = said.get("words", "") if isinstance(said, dict) else ""
        raise NotCertified(str(words) or f"Central answered {answer.status_code}.")
    return said


def _bytes(value: object) -> bytes:
    import base64
    import binascii

    try:
        return base64.b64decode(str(value), validate=True)
    except binascii.Error:
        raise NotCertified("Central's offer cannot be read. Try again.") from None


def _deliver(options: argparse.Namespace) -> int:
    """Hand a signed file to the engine of this unit; the engine judges it."""
    import msgspec

    from appliance.access import documents
    from appliance.access.errors import AccessRefused
    from appliance.config import home_from
    from sync.agent import EngineAway
    from sync.engine_link import SocketEngine

    try:
        envelope = documents.load(options.file)
    except AccessRefused as problem:
        print(problem, file=sys.stderr)
        return USAGE
    try:
        words = SocketEngine(home_from(options).socket).deliver_document(msgspec.to_builtins(envelope))
    except EngineAway as away:
        print(away, file=sys.stderr)
        return BAD
    print(json.dumps({"type": envelope.type, "sha256": envelope.content_hash, "refused": words}))
    return BAD if words else GOOD
