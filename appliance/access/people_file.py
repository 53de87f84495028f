"""The plain TOML from which a people document is made, before anything is hashed or signed.

[[people]]
id = "p-0001"
name = "Anna Berg"
roles = ["operator"]
badge = "B-0001"
pin = "482915"            # left out: asked for at the terminal
password = "…"

[[keys]]
person = "p-0007"
role = "qp"
file = "keys/qp.json"     # or public_key = "<base64>"
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from appliance.access.errors import PeopleRefused
from appliance.access.keys import fingerprint, read_public_key
from appliance.access.people import KeyRole, People, Person, PersonKey, Role, make_person
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
    version: int,
    issued_at: datetime,
    pin_secret: bytes,
    ask: Ask | None = None,
    cost: Argon2Cost | None = None,
) -> People:
    """Hash every PIN and password and find every key; `ask(question)` is called for what is left out."""
    people = People(
        version=version,
        issued_at=issued_at,
        people=tuple(_person(one, pin_secret, ask, cost) for one in plain.people),
        keys=tuple(_key(one, folder) for one in plain.keys),
    )
    people.check()
    return people


def _person(plain: PlainPerson, pin_secret: bytes, ask: Ask | None, cost: Argon2Cost | None) -> Person:
    pin, password = plain.pin, plain.password
    if ask is not None and not pin and ROLES_WITH_PIN & set(plain.roles):
        pin = ask(f"PIN of {plain.name}: ")
    if ask is not None and not password and ROLES_WITH_PASSWORD & set(plain.roles):
        password = ask(f"Password of {plain.name}: ")
    return make_person(
        id=plain.id,
        name=plain.name,
        roles=plain.roles,
        badge=plain.badge,
        pin=pin,
        password=password,
        active=plain.active,
        pin_secret=pin_secret,
        cost=cost,
    )


def _key(plain: PlainKey, folder: Path) -> PersonKey:
    if bool(plain.public_key) == bool(plain.file):
        raise PeopleRefused("key_garbled", f"The key of {plain.person} needs either public_key or file.")
    public_key = plain.public_key or read_public_key(folder / plain.file)
    if len(public_key) != 32:
        raise PeopleRefused("key_garbled", f"The public key of {plain.person} does not have 32 bytes.")
    return PersonKey(person=plain.person, role=plain.role, public_key=public_key, key=fingerprint(public_key))
