"""One unit's worth of people and keys; Argon2 at its cheapest, for the cost is tested on its own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access.keys import Trust, fingerprint, raw_public_key
from appliance.access.people import Argon2Cost, People, Person, PersonKey, make_person
from appliance.access.qp_decision import ExpectedSeal

PIN_SECRET = b"unit secret of thirty-two bytes!"
CHEAP = Argon2Cost(passes=1, memory_kib=8, lanes=1)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Site:
    """The keys of a small site and its list of people."""

    root: Ed25519PrivateKey
    unit: Ed25519PrivateKey
    central: Ed25519PrivateKey
    qp: Ed25519PrivateKey
    developer: Ed25519PrivateKey
    reviewer: Ed25519PrivateKey
    people: People

    @property
    def trust(self) -> Trust:
        return Trust(
            root=(fingerprint(self.root),),
            unit=(fingerprint(self.unit),),
            central=(fingerprint(self.central),),
        )

    def person(self, person_id: str) -> Person:
        person = self.people.person(person_id)
        assert person is not None
        return person


def listed(person: str, role: str, key: Ed25519PrivateKey) -> PersonKey:
    return PersonKey(person=person, role=role, public_key=raw_public_key(key), key=fingerprint(key))


def _person(number: int, name: str, *roles: str, pin: str = "", password: str = "") -> Person:
    return make_person(
        id=f"p-{number:04}",
        name=name,
        roles=roles,
        badge=f"BADGE-{number:04}",
        pin=pin,
        password=password,
        pin_secret=PIN_SECRET,
        cost=CHEAP,
    )


def make_site() -> Site:
    root, unit, central, qp, developer, reviewer = (Ed25519PrivateKey.generate() for _ in range(6))
    people = People(
        version=3,
        issued_at=NOW - timedelta(days=2),
        people=(
            _person(1, "Anna Berg", "operator", pin="482915", password="blue kettle morning"),
            _person(2, "Ben Okafor", "verifier", pin="730164", password="quiet river stones"),
            _person(5, "Dev Rao", "recipe_developer"),
            _person(6, "Rita Holm", "qa_reviewer"),
            _person(7, "Quinn Falk", "qp"),
        ),
        keys=(
            listed("p-0005", "recipe_developer", developer),
            listed("p-0006", "qa_reviewer", reviewer),
            listed("p-0007", "qp", qp),
        ),
    )
    people.check()
    return Site(root, unit, central, qp, developer, reviewer, people)


def make_seal() -> ExpectedSeal:
    return ExpectedSeal(
        unit="unit-07",
        batch="B-2026-0001",
        recipe_hash="11" * 32,
        log_epoch="22" * 16,
        sealed_seq=412,
        sealed_hash="33" * 32,
        telemetry_seq=51,
        telemetry_hash="44" * 32,
        blobs_hash="55" * 32,
        dose_labels=("=A999926123456 00 V 1",),
        following=("BatchSealed", "SessionClosed", "DocumentReceived"),
    )
