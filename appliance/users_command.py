"""`cellwright users`: the signed lists of people and roles, their history, and acts at a running unit."""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.config import Home, add_home_option, home_from

if TYPE_CHECKING:
    from appliance.access.documents import Envelope
    from appliance.access.people import People

GOOD, BAD, USAGE = 0, 1, 2
UNREADABLE = ("unreadable", "key_unreadable", "trust_unreadable")
STATION = "service"
Run = Callable[[argparse.Namespace], int]


def users(argv: Sequence[str]) -> int:
    """Make, check and list the people of a unit; their history, training and locked accounts."""
    from appliance.access.errors import AccessRefused
    from appliance.link.client import EngineAway
    from appliance.record.errors import RecordError

    parser = argparse.ArgumentParser("cellwright users", description=users.__doc__, allow_abbrev=False)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _add_list_verbs(verbs)
    _add_signing_verbs(verbs)
    _add_unit_verbs(verbs)
    options = parser.parse_args(list(argv))
    try:
        status: int = options.act(options)
    except AccessRefused as refused:
        print(str(refused), file=sys.stderr)
        return USAGE if refused.reason in UNREADABLE else BAD
    except (RecordError, EngineAway) as fault:
        print(str(fault), file=sys.stderr)
        return BAD
    except OSError as error:
        print(f"{error.filename or parser.prog}: {error.strerror or error}.", file=sys.stderr)
        return BAD
    return status


def _add_list_verbs(verbs: Any) -> None:
    _verb(verbs, "list", "who is on the signed list: the review list of access rights", _list)
    _verb(verbs, "history", "who was created, changed or removed, in which version, signed by whom", _history)
    _verb(verbs, "locked", "which accounts are locked or disabled, by the record", _locked)
    training = _verb(verbs, "training", "who is trained for which recipe, and until when", _training)
    training.add_argument("--recipe", default="", metavar="ID")
    _verb(verbs, "roles", "who may do what: the permissions that hold", _roles)
    check = _verb(verbs, "check", "hold the next signed list against the one that holds", _check)
    check.add_argument("file", type=Path, metavar="PEOPLE.JSON")


def _add_signing_verbs(verbs: Any) -> None:
    for name, what, act in (
        ("make", "hash, sign and write the next list of people", _make),
        ("roles-make", "sign the next roles document", _roles_make),
    ):
        made = _verb(verbs, name, what, act)
        made.add_argument("--in", dest="source", required=True, type=Path, metavar="FILE.TOML")
        _add_signing(made)
    revoke = _verb(verbs, "revoke", "sign the next revocation with this person on it", _revoke)
    revoke.add_argument("person", metavar="PERSON")
    revoke.add_argument("--reason", required=True, metavar="TEXT")
    _add_signing(revoke)


def _add_signing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root-key", required=True, type=Path, metavar="FILE")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write here, to be delivered, instead of into the home"
    )


def _add_unit_verbs(verbs: Any) -> None:
    deliver = _verb(verbs, "deliver", "hand a signed list to the running unit", _deliver)
    deliver.add_argument("file", type=Path, metavar="FILE")
    for name, what, act in (
        ("disable", "disable an account of the running unit at once", _disable),
        ("enable", "take a disabling back", _enable),
    ):
        verb = _acting(_verb(verbs, name, what, act))
        verb.add_argument("person", metavar="PERSON")
        verb.add_argument("--reason", required=True, metavar="TEXT")
    test = _acting(
        _verb(verbs, "badge-test", "test whether a badge names its person, on record", _badge_test)
    )
    test.add_argument("person", metavar="PERSON")
    test.add_argument("--read", required=True, metavar="BADGE", help="what the reader reads")
    test.add_argument("--why", choices=("issue", "periodic"), default="periodic")

    issue = _acting(_verb(verbs, "badge-issue", "give a temporary badge for a lost one", _badge_issue))
    issue.add_argument("person", metavar="PERSON")
    issue.add_argument("--badge", required=True)
    issue.add_argument("--hours", type=int, default=12, metavar="N")
    issue.add_argument("--reason", required=True, metavar="TEXT")
    withdraw = _acting(_verb(verbs, "badge-withdraw", "let a lost badge name nobody", _badge_withdraw))
    withdraw.add_argument("person", metavar="PERSON")
    withdraw.add_argument("--badge", required=True)
    withdraw.add_argument("--reason", required=True, metavar="TEXT")


def _verb(verbs: Any, name: str, what: str, act: Run) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=what, description=what, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="one JSON object a line on stdout")
    add_home_option(parser)
    parser.set_defaults(act=act)
    return parser


def _acting(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("--by", required=True, metavar="PERSON", help="who acts: id, badge or name")
    parser.add_argument("--pin-stdin", action="store_true", help="read the PIN from stdin; ask nothing")
    return parser


def _say(options: argparse.Namespace, facts: dict[str, Any], line: str) -> None:
    print(json.dumps(facts, ensure_ascii=False) if options.json else line)


# ── Lists ──────────────────────────────────────────────────────────────────────────────


def _people_of(home: Home) -> People:
    from appliance.access.documents import load
    from appliance.access.keys import Trust
    from appliance.access.people import People

    return People.from_envelope(load(home.people), root_keys=Trust.load(home.trust).root)


def _list(options: argparse.Namespace) -> int:
    listed = _people_of(home_from(options))
    for person in listed.people:
        marks = {key.role: key.key for key in listed.keys if key.person == person.id}
        facts: dict[str, Any] = {"id": person.id, "name": person.name, "roles": list(person.roles)}
        facts |= {"badge": person.badge, "active": person.active, "keys": marks, "version": listed.version}
        facts |= {
            "identity_confirmed_by": person.identity_confirmed_by,
            "must_change": [
                factor for factor in ("pin", "password") if getattr(person, f"{factor}_one_time")
            ],
        }
        state = "" if person.active else "  (not active)"
        state += "" if person.identity_confirmed_by else "  (identity not confirmed: may not sign)"
        _say(options, facts, f"{person.id}  {person.name}  {', '.join(person.roles)}{state}")
    for retired in listed.retired:
        _say(options, {"id": retired.id, "retired": True}, f"{retired.id}  retired; never given again")
    return GOOD


def _history(options: argparse.Namespace) -> int:
    from appliance.access.people_history import changes_between

    before: People | None = None
    for people, signed_by in _versions(home_from(options)):
        for change in changes_between(before, people):
            facts = {"version": people.version, "issued_at": people.issued_at.isoformat()}
            facts |= {"signed_by": signed_by, **change}
            what = f": {', '.join(change['fields'])}" if change["fields"] else ""
            line = f"version {people.version}  {facts['issued_at']}  {change['change']:8}{change['id']}{what}"
            _say(options, facts, f"{line}  signed by {', '.join(key[:16] for key in signed_by)}")
        before = people
    return GOOD


def _versions(home: Home) -> Iterator[tuple[People, list[str]]]:
    """Every version that was kept, the one that holds included, oldest first; each verified."""
    from appliance.access.documents import load
    from appliance.access.keys import Trust
    from appliance.access.people import People

    root_keys = Trust.load(home.trust).root
    paths = [*sorted((home.documents / "history").glob("people-*.json")), home.people]
    seen: set[int] = set()
    for path in paths:
        envelope = load(path)
        people = People.from_envelope(envelope, root_keys=root_keys)
        if people.version not in seen:
            seen.add(people.version)
            yield people, sorted(one.key for one in envelope.signatures)


def _training(options: argparse.Namespace) -> int:
    today = datetime.now(UTC).date()
    for person in _people_of(home_from(options)).people:
        for one in person.training:
            if options.recipe not in ("", one.recipe):
                continue
            valid = one.until >= today and person.active
            facts: dict[str, Any] = {"id": person.id, "name": person.name, "recipe": one.recipe}
            facts |= {"version": one.version}
            facts |= {"until": one.until.isoformat(), "by": one.by, "valid": valid}
            ended = "" if valid else "  NOT VALID"
            line = f"{person.id}  {person.name}  {one.recipe} {one.version}  until {one.until}{ended}"
            _say(options, facts, line)
    return GOOD


def _locked(options: argparse.Namespace) -> int:
    """From the record itself, whether or not the unit runs."""
    from appliance.access.lockouts import Lockouts
    from appliance.domain.upcasters import todays_body
    from appliance.record.canonical import decode_payload
    from appliance.record.log import Record

    lockouts, disabled = Lockouts(), dict[str, str]()
    with Record.open_readonly(home_from(options).record) as record:
        for stored in record.read():
            kind = stored.header.kind
            if not kind.startswith(("SignIn", "Account", "Session", "Secret", "Second", "Signature")):
                continue
            body = todays_body(kind, stored.header.payload_version, decode_payload(stored.payload).body)
            lockouts.fold(kind, body, 0.0)
            if kind == "AccountDisabled":
                disabled[str(body["person"])] = f"{body['reason']} ({body['source']})"
            elif kind == "AccountEnabled":
                disabled.pop(str(body["person"]), None)
    for person in lockouts.locked_people():
        _say(options, {"id": person, "state": "locked"}, f"{person}  locked after wrong entries")
    for person, why in disabled.items():
        _say(options, {"id": person, "state": "disabled", "reason": why}, f"{person}  disabled: {why}")
    return GOOD


def _roles(options: argparse.Namespace) -> int:
    from appliance.access.documents import THRESHOLDS, load, verify
    from appliance.access.keys import Trust
    from appliance.access.site_roles import SecretRules, SiteRoles
    from appliance.domain.people_rules import built_in_roles

    home, applied = home_from(options), built_in_roles(SecretRules().as_dict())
    path = home.documents / "roles.json"
    if path.exists():
        envelope = load(path)
        root = {"root": frozenset(Trust.load(home.trust).root)}
        content = verify(envelope, allowed=root, threshold=THRESHOLDS["roles"], document_type="roles")
        applied = SiteRoles.from_content(content).applied(envelope.content_hash)
    for table in ("permissions", "meanings"):
        for name, roles in getattr(applied, table).items():
            facts = {"version": applied.version, "table": table, "name": name, "roles": roles}
            _say(options, facts, f"{table[:-1]:11}{name:20}{', '.join(roles) or 'nobody'}")
    for name, value in applied.secrets.items():
        facts = {"version": applied.version, "table": "secrets", "name": name, "value": value}
        _say(options, facts, f"secrets    {name:25}{value}")
    return GOOD


def _check(options: argparse.Namespace) -> int:
    from appliance.access.documents import load
    from appliance.access.keys import Trust
    from appliance.access.people import People
    from appliance.access.people_history import changes_between

    home = home_from(options)
    now = _people_of(home)
    following = People.from_envelope(
        load(options.file), root_keys=Trust.load(home.trust).root, seen_version=now.version + 1
    )
    following.check_successor_of(now)
    changes = list(changes_between(now, following))
    facts = {"version": following.version, "follows": now.version, "changes": changes}
    _say(options, facts, f"Version {following.version} may follow {now.version}: {len(changes)} changes")
    return GOOD


# ── Signing ────────────────────────────────────────────────────────────────────────────


def _write(options: argparse.Namespace, envelope: Envelope, version: int) -> Path:
    """Into the home with its history, or where it waits to be delivered."""
    from appliance.access.documents import dump

    home = home_from(options)
    path: Path = options.out or home.documents / f"{envelope.type}.json"
    dump(envelope, path)
    if options.out is None:
        dump(envelope, home.documents / "history" / f"{envelope.type}-{version:06d}.json")
    return path


def _root_of(options: argparse.Namespace) -> Any:
    from appliance.access.keys import KeyRefused, Trust, fingerprint, load_key

    home, root = home_from(options), load_key(options.root_key)
    if fingerprint(root) not in Trust.load(home.trust).root:
        raise KeyRefused(
            "root_not_trusted",
            f"This unit does not trust that root key. `cellwright keys trust --home {home.root} --root "
            f"{fingerprint(root)}` makes it do so.",
        )
    return root


def _make(options: argparse.Namespace) -> int:
    from appliance.access.documents import sign
    from appliance.access.keys import load_pin_secret
    from appliance.access.people_file import people_from_plain, read_people_file

    home, plain = home_from(options), read_people_file(options.source)
    root = _root_of(options)
    made = people_from_plain(
        plain,
        folder=options.source.parent,
        issued_at=datetime.now(UTC),
        pin_secret=load_pin_secret(home.pin_secret),
        before=_people_of(home) if home.people.exists() else None,
        ask=getpass.getpass if sys.stdin.isatty() else None,
    )
    path = _write(options, sign("people", made.to_content(), root, "root"), made.version)
    facts = {"file": str(path), "version": made.version, "people": len(made.people)}
    facts |= {"keys": len(made.keys), "retired": len(made.retired)}
    _say(options, facts, f"{path}: version {made.version}, {len(made.people)} people")
    return GOOD


def _roles_make(options: argparse.Namespace) -> int:
    import tomllib

    import msgspec

    from appliance.access.documents import DocumentRefused, load, sign
    from appliance.access.site_roles import SiteRoles

    home, root = home_from(options), _root_of(options)
    path = home.documents / "roles.json"
    before = SiteRoles.from_content(load(path).content).version if path.exists() else 0
    try:
        plain = tomllib.loads(options.source.read_text("utf-8"))
        tree = {"version": before + 1, "issued_at": datetime.now(UTC), **plain}
        made = msgspec.convert(tree, SiteRoles)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise DocumentRefused("unreadable", f"{options.source} is no roles file: {error}.") from error
    written = _write(options, sign("roles", made.to_content(), root, "root"), made.version)
    _say(options, {"file": str(written), "version": made.version}, f"{written}: version {made.version}")
    return GOOD


def _revoke(options: argparse.Namespace) -> int:
    from appliance.access.documents import load, sign
    from appliance.access.revocation import Revocation, Revoked

    home, root = home_from(options), _root_of(options)
    path = home.documents / "revocation.json"
    before = Revocation.from_content(load(path).content) if path.exists() else None
    others = [one for one in (before.revoked if before else ()) if one.person != options.person]
    made = Revocation(
        version=(before.version if before else 0) + 1,
        issued_at=datetime.now(UTC),
        revoked=(*others, Revoked(person=options.person, reason=options.reason)),
    )
    written = _write(options, sign("revocation", made.to_content(), root, "root"), made.version)
    facts = {"file": str(written), "version": made.version, "revoked": list(made.people)}
    _say(options, facts, f"{written}: version {made.version}, {len(made.revoked)} people")
    return GOOD


# ── At the running unit ────────────────────────────────────────────────────────────────


def _deliver(options: argparse.Namespace) -> int:
    import msgspec

    from appliance.access.documents import load
    from appliance.link.client import ask

    envelope = msgspec.to_builtins(load(options.file))
    return _tell(options, ask(home_from(options).socket, "deliver_document", {"envelope": envelope}))


def _disable(options: argparse.Namespace) -> int:
    return _as_person(options, "disable_account", {"person": options.person, "reason": options.reason})


def _enable(options: argparse.Namespace) -> int:
    return _as_person(options, "enable_account", {"person": options.person, "reason": options.reason})


def _badge_test(options: argparse.Namespace) -> int:
    body = {"person": options.person, "read": options.read, "why": options.why}
    return _as_person(options, "test_badge", body)


def _badge_issue(options: argparse.Namespace) -> int:
    body = {"person": options.person, "badge": options.badge, "reason": options.reason}
    return _as_person(options, "issue_badge", {**body, "hours": options.hours})


def _badge_withdraw(options: argparse.Namespace) -> int:
    body = {"person": options.person, "badge": options.badge, "reason": options.reason}
    return _as_person(options, "withdraw_badge", body)


def _as_person(options: argparse.Namespace, name: str, body: dict[str, Any]) -> int:
    """Sign in at the service station, act, sign out."""
    from appliance.link.client import ask
    from appliance.link.messages import Proof, Refused

    socket = home_from(options).socket
    pin = sys.stdin.readline().strip() if options.pin_stdin else getpass.getpass(f"PIN of {options.by}: ")
    proof = Proof(person=options.by, pin=pin)
    answer = ask(socket, "sign_in", {"person": options.by}, proof, station=STATION)
    if isinstance(answer, Refused):
        return _tell(options, answer)
    try:
        return _tell(options, ask(socket, name, body, station=STATION))
    finally:
        ask(socket, "sign_out", station=STATION)


def _tell(options: argparse.Namespace, answer: Any) -> int:
    from appliance.link.messages import Refused

    if isinstance(answer, Refused):
        print(answer.words, file=sys.stderr)
        return BAD
    words = str(answer.result.get("words", "Done."))
    _say(options, {"seq": answer.seq, **answer.result}, f"{words} On record as number {answer.seq}.")
    return BAD if answer.result.get("passed") is False else GOOD
