"""The people document: who may do what here, signed under the offline root.

New people and changed roles appear by a higher version of this document and in no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Literal, Self

import msgspec

from appliance.access.canonical import canonical_json
from appliance.access.documents import (
    THRESHOLDS,
    Envelope,
    fingerprint,
    refuse_lower_version,
    verify,
)
from appliance.access.errors import DocumentRefused, PeopleRefused
from appliance.access.secret_hash import (
    Argon2Cost,
    check_password,
    check_pin,
    dummy_verifier,
    hash_secret,
    verify_secret,
)
from appliance.domain.errors import NotPermitted
from appliance.domain.roles import ROLES

Role = Literal[
    "operator",
    "verifier",
    "supervisor",
    "qa_reviewer",
    "qp",
    "recipe_developer",
    "integrator",
    "maintenance",
    "administrator",
    "auditor",
]
KeyRole = Literal["qp", "recipe_developer", "qa_reviewer"]

# The record's header holds an actor in 32 bytes.
PERSON_ID_BYTES_MAX = 32
PEOPLE_MAX = 10_000

__all__ = [
    "ROLES",
    "Argon2Cost",
    "People",
    "Person",
    "PersonKey",
    "check_second_person",
    "dummy_verifier",
    "hash_secret",
    "make_person",
    "refuse_without_role",
    "verify_secret",
]


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named account. `pin` and `password` are verifiers, empty where the person has none."""

    id: str
    name: str
    roles: tuple[Role, ...]
    badge: str = ""
    pin: str = ""
    password: str = ""
    active: bool = True


class PersonKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key with which a person signs documents, in one role."""

    person: str
    role: KeyRole
    public_key: bytes
    key: str


class People(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All accounts and keys of one version."""

    version: int
    issued_at: datetime
    people: tuple[Person, ...]
    keys: tuple[PersonKey, ...] = ()

    @classmethod
    def from_envelope(cls, envelope: Envelope, *, root_keys: Collection[str], seen_version: int = 0) -> Self:
        """Verify under the root and read.

        Raises
        ------
        DocumentRefused
            Not signed by the root, altered, or of a version below `seen_version`.
        PeopleRefused
            Signed, but it breaks a rule.
        """
        content = verify(
            envelope,
            allowed={"root": frozenset(root_keys)},
            threshold=THRESHOLDS["people"],
            document_type="people",
        )
        people = cls.from_content(content)
        refuse_lower_version("people", people.version, seen_version)
        return people

    @classmethod
    def from_content(cls, content: bytes) -> Self:
        """Read content bytes and check every rule; raises `DocumentRefused` or `PeopleRefused`."""
        try:
            people = msgspec.json.decode(content, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DocumentRefused(
                "garbled", f"The list of people cannot be read: {error}. Ask for it again."
            ) from error
        people.check()
        return people

    def to_content(self) -> bytes:
        """The bytes to sign; checks every rule first."""
        self.check()
        return canonical_json(msgspec.to_builtins(self))

    def check(self) -> None:
        """Raises `PeopleRefused` naming the first rule that is broken."""
        if self.version < 1:
            raise PeopleRefused("version", "The list of people needs a version of 1 or more.")
        if not self.people or len(self.people) > PEOPLE_MAX:
            raise PeopleRefused("nobody", "The list of people must hold at least one person.")
        _refuse_repeated("person id", (person.id for person in self.people))
        _refuse_repeated("badge", (person.badge for person in self.people if person.badge))
        _refuse_repeated("key", (key.key for key in self.keys))
        for person in self.people:
            _check_person(person)
        for key in self.keys:
            self._check_key(key)

    def person(self, person_id: str) -> Person | None:
        """The person with this id, active or not."""
        return next((person for person in self.people if person.id == person_id), None)

    def find(self, handle: str) -> Person | None:
        """The person of this id, badge or name; a name that two people carry finds nobody."""
        wanted = handle.strip()
        if not wanted:
            return None
        for person in self.people:
            if wanted == person.id or (person.badge and wanted == person.badge):
                return person
        named = [person for person in self.people if person.name.casefold() == wanted.casefold()]
        return named[0] if len(named) == 1 else None

    def key_owner(self, key: str) -> PersonKey | None:
        """Whose key this fingerprint is, and in which role."""
        return next((one for one in self.keys if one.key == key), None)

    def keys_of(self, role: KeyRole, *, active_only: bool = True) -> frozenset[str]:
        """Fingerprints that may sign in a role.

        With `active_only` False also those of people who left: what they approved while they
        were here stays approved until their key is taken off the document.
        """
        return frozenset(
            key.key
            for key in self.keys
            if key.role == role and (not active_only or self._is_active(key.person))
        )

    def _is_active(self, person_id: str) -> bool:
        person = self.person(person_id)
        return person is not None and person.active

    def _check_key(self, key: PersonKey) -> None:
        person = self.person(key.person)
        if person is None:
            raise PeopleRefused("key_of_nobody", f"A key belongs to {key.person}, who is not on the list.")
        if len(key.public_key) != 32 or fingerprint(key.public_key) != key.key:
            raise PeopleRefused("key_garbled", f"A key of {person.name} does not match its fingerprint.")
        if key.role not in person.roles:
            raise PeopleRefused("key_role", f"{person.name} has a key as {key.role} without that role.")


def make_person(
    *,
    id: str,
    name: str,
    roles: Iterable[Role],
    pin_secret: bytes,
    badge: str = "",
    pin: str = "",
    password: str = "",
    active: bool = True,
    cost: Argon2Cost | None = None,
) -> Person:
    """A person with hashed PIN and password; raises `PeopleRefused` when either is too short."""
    if pin:
        check_pin(pin)
    if password:
        check_password(password)
    return Person(
        id=id,
        name=name,
        roles=tuple(roles),
        badge=badge,
        pin=hash_secret(pin, pin_secret, cost) if pin else "",
        password=hash_secret(password, pin_secret, cost) if password else "",
        active=active,
    )


def check_second_person(second: Person, *, not_by: Collection[str], roles: Collection[str] = ()) -> None:
    """Nobody verifies their own act; raises `NotPermitted`."""
    if second.id in not_by:
        raise NotPermitted(
            f"{second.name} did this already. A different person must confirm it.", reason="same_person"
        )
    refuse_without_role(second, roles)


def refuse_without_role(person: Person, roles: Collection[str]) -> None:
    """Raises `NotPermitted` unless the person has one of the roles; no roles asked, none needed."""
    if roles and not set(roles) & set(person.roles):
        wanted = " or ".join(sorted(role.replace("_", " ") for role in roles))
        raise NotPermitted(f"{person.name} may not do this. It needs a person with the role {wanted}.")


def _check_person(person: Person) -> None:
    encoded_id = person.id.encode("utf-8", "surrogatepass")
    if not person.id or len(encoded_id) > PERSON_ID_BYTES_MAX or not person.id.isprintable():
        raise PeopleRefused(
            "person_id", f"The person id {person.id!r} must have 1 to {PERSON_ID_BYTES_MAX} bytes."
        )
    if not person.name.strip() or not person.name.isprintable():
        raise PeopleRefused("person_name", f"{person.id} needs a printed name.")
    if not person.roles:
        raise PeopleRefused("no_role", f"{person.name} has no role.")
    if "administrator" in person.roles and {"qa_reviewer", "qp"} & set(person.roles):
        raise PeopleRefused(
            "administrator_as_qa",
            f"{person.name} is administrator and QA or QP. Give these roles to two people.",
        )
    for verifier in (person.pin, person.password):
        if verifier and not verifier.startswith("$argon2id$"):
            raise PeopleRefused(
                "plain_secret", f"The PIN or password of {person.name} is not an Argon2id verifier."
            )


def _refuse_repeated(what: str, values: Iterable[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise PeopleRefused("repeated", f"The {what} {value} stands on the list twice.")
        seen.add(value)
