"""The plain TOML from which a people document is made, before anything is hashed or signed.

[[people]]
id = "p-0001"
name = "Anna Berg"
roles = ["operator"]
badge = "B-0001"
identity_confirmed_by = "p-0007"       # the administrator who has seen who this is
identity_confirmed_at = 2026-03-02T08:00:00Z
pin = "482915"                         # for one use; left out: as on the list before, else asked for
password = "…"
training = [{ recipe = "thaw-wash-dose-50", version = "*", until = 2027-03-01, by = "p-0003" }]

[[keys]]
person = "p-0007"
role = "qp"
file = "keys/qp.json"                  # or public_key = "<base64>"

Whoever is left out of the next list is retired: id and badge are never given to anybody again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.access.errors import PeopleRefused
from appliance.access.keys import fingerprint, read_public_key
from appliance.access.people import (
    KeyRole,
    People,
    Person,
    PersonKey,
    Retired,
    Role,
    TrainingRecord,
    make_person,
)
from appliance.access.secret_hash import Argon2Cost

# Who acts with a PIN at the unit, and who signs with a password there.
ROLES_WITH_PIN = frozenset({"operator", "verifier", "supervisor", "maintenance", "administrator"})
ROLES_WITH_PASSWORD = frozenset({"operator", "verifier", "supervisor"})

Ask = Callable[[str], str]


class PlainPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: str
    name: str
    roles: tuple[Role, ...]
    badge: str = ""
    pin: str = ""
    password: str = ""
    active: bool = True
    identity_confirmed_by: str = ""
    identity_confirmed_at: datetime | None = None
    training: tuple[TrainingRecord, ...] = ()


class PlainKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    person: str
    role: KeyRole
    public_key: bytes = b""
    file: str = ""


class PlainPeople(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    people: tuple[PlainPerson, ...]
    keys: tuple[PlainKey, ...] = ()


def read_people_file(path: Path) -> PlainPeople:
    """Read the TOML; raises `PeopleRefused` with the place of the fault."""
    try:
        return msgspec.convert(tomllib.loads(path.read_text("utf-8")), PlainPeople)
    except OSError as error:
        raise PeopleRefused("unreadable", f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise PeopleRefused("unreadable", f"{path} is not a list of people: {error}.") from error


def people_from_plain(
    plain: PlainPeople,
    *,
    folder: Path,
    issued_at: datetime,
    pin_secret: bytes,
    before: People | None = None,
    ask: Ask | None = None,
    cost: Argon2Cost | None = None,
) -> People:
    """The list that follows `before`: hash what is new, keep what is not, retire who has left.

    A PIN or password from the file or from `ask(question)` is for one use: its person sets another
    at the first sign-in, so that nobody else knows a secret that works (R-28).
    """
    people = People(
        version=before.version + 1 if before is not None else 1,
        issued_at=issued_at,
        people=tuple(_person(one, before, issued_at, pin_secret, ask, cost) for one in plain.people),
        keys=tuple(_key(one, folder) for one in plain.keys),
        retired=_retired(plain, before),
    )
    people.check()
    if before is not None:
        people.check_successor_of(before)
    return people


def _retired(plain: PlainPeople, before: People | None) -> tuple[Retired, ...]:
    if before is None:
        return ()
    listed = {one.id for one in plain.people}
    left = [one for one in before.people if one.id not in listed]
    gone = (Retired(id=one.id, badges=(one.badge,) if one.badge else ()) for one in left)
    return (*before.retired, *gone)


def _person(
    plain: PlainPerson,
    before: People | None,
    issued_at: datetime,
    pin_secret: bytes,
    ask: Ask | None,
    cost: Argon2Cost | None,
) -> Person:
    kept = before.person(plain.id) if before is not None else None
    pin, password = plain.pin, plain.password
    if ask is not None and not pin and ROLES_WITH_PIN & set(plain.roles) and not (kept and kept.pin):
        pin = ask(f"PIN of {plain.name}: ")
    needs_password = bool(ROLES_WITH_PASSWORD & set(plain.roles))
    if ask is not None and not password and needs_password and not (kept and kept.password):
        password = ask(f"Password of {plain.name}: ")
    made = make_person(
        id=plain.id,
        name=plain.name,
        roles=plain.roles,
        badge=plain.badge,
        pin=pin,
        password=password,
        active=plain.active,
        one_time=True,
        set_at=issued_at,
        identity_confirmed_by=plain.identity_confirmed_by,
        identity_confirmed_at=plain.identity_confirmed_at,
        training=plain.training,
        pin_secret=pin_secret,
        cost=cost,
    )
    return _with_kept(made, kept)


def _with_kept(made: Person, kept: Person | None) -> Person:
    """What was not issued anew stays as it was, with its age."""
    if kept is None:
        return made
    fields: dict[str, object] = {}
    for factor in ("pin", "password"):
        if not getattr(made, factor):
            names = (factor, f"{factor}_one_time", f"{factor}_set_at")
            fields |= {name: getattr(kept, name) for name in names}
    return msgspec.structs.replace(made, **fields)


def _key(plain: PlainKey, folder: Path) -> PersonKey:
    if bool(plain.public_key) == bool(plain.file):
        raise PeopleRefused("key_garbled", f"The key of {plain.person} needs either public_key or file.")
    public_key = plain.public_key or read_public_key(folder / plain.file)
    if len(public_key) != 32:
        raise PeopleRefused("key_garbled", f"The public key of {plain.person} does not have 32 bytes.")
    return PersonKey(person=plain.person, role=plain.role, public_key=public_key, key=fingerprint(public_key))
