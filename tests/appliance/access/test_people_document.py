"""The list of people: its rules, its signature, and the PINs in it."""

from __future__ import annotations

import hashlib
import hmac

import argon2
import msgspec
import pytest
from access_site import CHEAP, NOW, PIN_SECRET, listed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.canonical import canonical_json
from appliance.access.documents import DocumentRefused, sign
from appliance.access.errors import PeopleRefused
from appliance.access.keys import fingerprint
from appliance.access.people import (
    ROLES,
    People,
    Person,
    Role,
    check_second_person,
    hash_secret,
    make_person,
    verify_secret,
)
from appliance.access.secret_hash import Argon2Cost, check_password, check_pin, dummy_verifier
from appliance.domain.errors import NotPermitted


def changed(original: People, **fields) -> People:
    return msgspec.structs.replace(original, **fields)


def with_person(people: People, **fields) -> People:
    return changed(people, people=(*people.people, Person(**fields)))


def test_a_list_signed_by_the_root_comes_back_whole(site):
    envelope = sign("people", site.people.to_content(), site.root, "root")

    people = People.from_envelope(envelope, root_keys=[fingerprint(site.root)], seen_version=3)

    assert people == site.people
    assert canonical_json(msgspec.json.decode(envelope.content)) == envelope.content


def test_a_list_by_another_key_or_of_a_lower_version_is_refused(site):
    by_central = sign("people", site.people.to_content(), site.central, "root")
    older = sign("people", site.people.to_content(), site.root, "root")
    root = [fingerprint(site.root)]

    with pytest.raises(DocumentRefused, match="must be signed by the offline root"):
        People.from_envelope(by_central, root_keys=root)
    with pytest.raises(DocumentRefused, match="version 3; this unit has version 4"):
        People.from_envelope(older, root_keys=root, seen_version=4)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"version":1}', b"\xff\xfe"])
def test_signed_bytes_that_are_no_list_are_refused(site, content):
    envelope = sign("people", content, site.root, "root")

    with pytest.raises(DocumentRefused, match="cannot be read"):
        People.from_envelope(envelope, root_keys=[fingerprint(site.root)])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": "p-0001", "name": "Twin", "roles": ("operator",)}, "stands on the list twice"),
        (
            {"id": "p-0009", "name": "Adam", "roles": ("operator",), "badge": "BADGE-0001"},
            "badge BADGE-0001 stands on the list twice",
        ),
        ({"id": "p-0009", "name": "Adam", "roles": ("administrator", "qa_reviewer")}, "to two people"),
        ({"id": "p-0009", "name": "Adam", "roles": ("qp", "administrator")}, "to two people"),
        ({"id": "p-0009", "name": "Adam", "roles": ()}, "has no role"),
        ({"id": "p-0009", "name": " ", "roles": ("operator",)}, "needs a printed name"),
        ({"id": "", "name": "Adam", "roles": ("operator",)}, "1 to 32 bytes"),
        ({"id": "ä" * 17, "name": "Adam", "roles": ("operator",)}, "1 to 32 bytes"),
        ({"id": "p-0009", "name": "Adam", "roles": ("operator",), "pin": "482915"}, "not an Argon2id"),
    ],
)
def test_a_list_that_breaks_a_rule_is_refused_in_words(site, fields, words):
    with pytest.raises(PeopleRefused, match=words):
        with_person(site.people, **fields).check()


def test_a_key_belongs_to_a_person_with_its_role_and_to_one_alone(site):
    key = Ed25519PrivateKey.generate()
    for person, words in (("p-0001", "without that role"), ("p-0099", "not on the list")):
        with pytest.raises(PeopleRefused, match=words):
            changed(site.people, keys=(listed(person, "qp", key),)).check()

    twice = (listed("p-0005", "recipe_developer", key), listed("p-0006", "qa_reviewer", key))
    with pytest.raises(PeopleRefused, match="twice"):
        changed(site.people, keys=twice).check()

    lying = msgspec.structs.replace(listed("p-0007", "qp", key), key="ab" * 32)
    with pytest.raises(PeopleRefused, match="does not match its fingerprint"):
        changed(site.people, keys=(lying,)).check()


def test_the_roles_are_those_of_the_one_table():
    assert Role.__args__ == ROLES


def test_a_person_is_found_by_id_badge_or_name_and_a_shared_name_finds_nobody(site):
    anna = site.person("p-0001")

    assert [site.people.find(handle) for handle in ("p-0001", "BADGE-0001", "anna berg ")] == [anna] * 3
    assert site.people.find("") is None
    assert site.people.find("nobody") is None
    twins = with_person(site.people, id="p-0009", name="ANNA BERG", roles=("operator",))
    assert twins.find("Anna Berg") is None
    assert twins.find("p-0001") == anna


def test_the_keys_of_somebody_who_left_sign_no_decision_but_keep_old_approvals(site):
    left = changed(
        site.people, people=tuple(msgspec.structs.replace(one, active=False) for one in site.people.people)
    )

    assert left.keys_of("qp") == frozenset()
    assert left.keys_of("qa_reviewer", active_only=False) == {fingerprint(site.reviewer)}


def test_the_same_person_is_never_the_second_one_and_the_role_is_asked(site):
    anna, ben = site.person("p-0001"), site.person("p-0002")

    check_second_person(ben, not_by=[anna.id], roles=["verifier", "supervisor"])
    with pytest.raises(NotPermitted, match="A different person must confirm"):
        check_second_person(anna, not_by=[anna.id])
    with pytest.raises(NotPermitted, match="role supervisor"):
        check_second_person(ben, not_by=[anna.id], roles=["supervisor"])


@pytest.mark.parametrize("pin", ["", "12345", "12345a", "１２３４５６", "12 3456", "1" * 257])  # noqa: RUF001
def test_a_pin_has_six_plain_digits_or_more(pin):
    with pytest.raises(PeopleRefused, match="at least 6 digits"):
        check_pin(pin)
    check_pin("000000")


def test_a_password_has_twelve_characters_or_more(site):
    with pytest.raises(PeopleRefused, match="at least 12 characters"):
        check_password("eleven char")
    with pytest.raises(PeopleRefused):
        make_person(id="x", name="X", roles=("operator",), password="short", pin_secret=PIN_SECRET)
    check_password("twelve chars")


def test_the_default_verifier_has_the_cost_of_rfc_9106_and_is_keyed_by_the_unit():
    encoded = hash_secret("482915", PIN_SECRET)

    assert encoded.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    keyed = hmac.new(PIN_SECRET, b"482915", hashlib.sha256).digest()
    assert argon2.PasswordHasher().verify(encoded, keyed)
    assert verify_secret(encoded, "482915", PIN_SECRET)
    assert not verify_secret(encoded, "482915", bytes(32))


def test_two_people_with_one_pin_have_two_verifiers():
    assert hash_secret("482915", PIN_SECRET, CHEAP) != hash_secret("482915", PIN_SECRET, CHEAP)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(max_size=40), st.text(max_size=40))
def test_only_the_same_secret_opens_a_verifier(secret, other):
    encoded = hash_secret(secret, PIN_SECRET, CHEAP)

    assert verify_secret(encoded, secret, PIN_SECRET)
    if other != secret and other.isascii():
        assert not verify_secret(encoded, other, PIN_SECRET)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.text(max_size=60))
def test_a_garbled_verifier_opens_for_nobody_and_raises_nothing(encoded):
    assert not verify_secret(encoded, "482915", PIN_SECRET)


def test_a_stranger_s_attempt_costs_what_a_friend_s_costs():
    cost = Argon2Cost(passes=2, memory_kib=64, lanes=1)
    real = hash_secret("482915", PIN_SECRET, cost)

    dummy = dummy_verifier(real)

    assert dummy.rsplit("$", 2)[0] == real.rsplit("$", 2)[0] == "$argon2id$v=19$m=64,t=2,p=1"
    assert len(dummy) == len(real)
    assert not verify_secret(dummy, "482915", PIN_SECRET)
    assert dummy_verifier().startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_an_account_without_a_pin_is_opened_by_no_pin(site):
    assert site.person("p-0007").pin == ""
    assert not verify_secret("", "", PIN_SECRET)


def test_times_on_the_list_are_utc(site):
    assert People.from_content(site.people.to_content()).issued_at.utcoffset() == NOW.utcoffset()
