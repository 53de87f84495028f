"""The people document: who may do what here, signed under the offline root.

New people and changed roles appear by a higher version of this document and in no other way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date, datetime
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
from appliance.domain.people_state import ANY_VERSION, Account, Training
from appliance.domain.roles import EMERGENCY, ROLES, UNIT_ACTOR

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
# No account stands for nobody in particular, or for several people.
SHARED_NAMES = frozenset(
    {
        UNIT_ACTOR, EMERGENCY, "admin", "administrator", "anonymous", "auditor", "default", "demo",
        "everybody", "everyone", "guest", "integrator", "lab", "laboratory", "maintenance", "nobody",
        "nurse", "operator", "qa", "qp", "root", "service", "shared", "supervisor", "system", "team",
        "temp", "temporary", "test", "user", "verifier", "ward",
    }
)  # fmt: skip

__all__ = [
    "ROLES",
    "Argon2Cost",
    "People",
    "Person",
    "PersonKey",
    "Retired",
    "TrainingRecord",
    "check_second_person",
    "dummy_verifier",
    "hash_secret",
    "make_person",
    "refuse_without_role",
    "verify_secret",
]


class TrainingRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Trained for a recipe (one version of it, or `*`) until the end of a day; `by` is who says so."""

    recipe: str
    version: str = ANY_VERSION
    until: date
    by: str


class Person(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One named account. `pin` and `password` are verifiers, empty where the person has none.

    A secret that an administrator issued is `one_time`: its person sets another before anything else
    (R-28). `identity_confirmed_by` is the administrator who has seen who the person is (R-26).
    """

    id: str
    name: str
    roles: tuple[Role, ...]
    badge: str = ""
    pin: str = ""
    password: str = ""
    active: bool = True
    pin_one_time: bool = False
    password_one_time: bool = False
    pin_set_at: datetime | None = None
    password_set_at: datetime | None = None
    identity_confirmed_by: str = ""
    identity_confirmed_at: datetime | None = None
    training: tuple[TrainingRecord, ...] = ()

    @property
    def account(self) -> Account:
        """The account as the record tells it: no secret, no verifier."""
        at = self.identity_confirmed_at
        return Account(
            self.id,
            self.name,
            tuple(self.roles),
            self.active,
            self.identity_confirmed_by,
            at.isoformat() if at else "",
            tuple(Training(t.recipe, t.version, t.until.isoformat(), t.by) for t in self.training),
        )


class Retired(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An id that is never given to anybody again, and the badges that go with it (R-25)."""

    id: str
    badges: tuple[str, ...] = ()


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
    retired: tuple[Retired, ...] = ()

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
            self._check_identity(person)
        for key in self.keys:
            self._check_key(key)
        self._check_retired()

    def check_successor_of(self, before: People) -> None:
        """Raises `PeopleRefused` when an id or a badge of this list was somebody else's before (R-25)."""
        listed = {person.id for person in self.people}
        retired = {one.id: set(one.badges) for one in self.retired}
        for one in before.retired:
            if not set(one.badges) <= retired.get(one.id, set()) or one.id not in retired:
                raise PeopleRefused("retired", f"{one.id} is retired and must stay on the list as retired.")
        for person in before.people:
            if person.id in listed:
                continue
            if person.id not in retired or (person.badge and person.badge not in retired[person.id]):
                raise PeopleRefused(
                    "retired",
                    f"{person.name} ({person.id}) left the list: put id and badge under [[retired]].",
                )
        holders = {person.badge: person.id for person in before.people if person.badge}
        for person in self.people:
            if person.badge and holders.get(person.badge, person.id) != person.id:
                raise PeopleRefused(
                    "badge", f"The badge {person.badge} was another person's. Take a new one."
                )

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

    def _check_identity(self, person: Person) -> None:
        by = person.identity_confirmed_by
        if not by:
            return
        confirming = self.person(by)
        gone = by in {one.id for one in self.retired}
        administrator = gone or (confirming is not None and "administrator" in confirming.roles)
        if by == person.id or not administrator or person.identity_confirmed_at is None:
            raise PeopleRefused(
                "identity",
                f"Who {person.name} is must be confirmed by another person, an administrator, with the date.",
            )

    def _check_retired(self) -> None:
        listed = {person.id for person in self.people}
        badges = {person.badge for person in self.people}
        _refuse_repeated("retired id", (one.id for one in self.retired))
        for one in self.retired:
            if one.id in listed:
                raise PeopleRefused("retired", f"The id {one.id} is retired. Ids are never used again.")
            for badge in one.badges:
                if badge in badges:
                    raise PeopleRefused("retired", f"The badge {badge} was of {one.id}. Take a new one.")

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
    one_time: bool = False,
    set_at: datetime | None = None,
    identity_confirmed_by: str = "",
    identity_confirmed_at: datetime | None = None,
    training: Iterable[TrainingRecord] = (),
    cost: Argon2Cost | None = None,
) -> Person:
    """A person with hashed PIN and password; raises `PeopleRefused` when either is too short.

    Parameters
    ----------
    one_time
        Whether the person must set other secrets before anything else.
    set_at
        When PIN and password were set, for their age.
    """
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
        pin_one_time=one_time and bool(pin),
        password_one_time=one_time and bool(password),
        pin_set_at=set_at if pin else None,
        password_set_at=set_at if password else None,
        identity_confirmed_by=identity_confirmed_by,
        identity_confirmed_at=identity_confirmed_at,
        training=tuple(training),
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
    for word in (person.id, person.name, person.badge):
        if word.strip().casefold() in SHARED_NAMES:
            raise PeopleRefused(
                "shared", f"'{word}' names nobody in particular. Each account is of one named person."
            )
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
