"""The roles document, the revocation, and what a next list of people may not do."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from access_site import NOW
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.documents import DocumentRefused
from appliance.access.errors import PeopleRefused
from appliance.access.people import People, Person, Retired
from appliance.access.people_history import changes_between
from appliance.access.revocation import Revocation, Revoked
from appliance.access.site_roles import SecretRules, SiteRoles
from appliance.domain.roles import MAY, MAY_MEAN, ROLES, Actor, narrowed, widened

tables = st.dictionaries(
    st.sampled_from([*MAY, "release"]), st.frozensets(st.sampled_from([*ROLES, "wizard"])), max_size=6
)


def site_roles(**fields) -> SiteRoles:
    return SiteRoles(version=1, issued_at=NOW, **fields)


@pytest.mark.requirement("R-15", "F-099")
@settings(derandomize=True, deadline=None, max_examples=300)
@given(tables)
def test_no_table_ever_gives_more_than_the_built_in_one(table):
    whole = narrowed(table, MAY)

    for command, roles in whole.items():
        assert roles <= MAY[command]
        for role in ROLES:
            actor = Actor("p", "P", (role,))
            # Also a table that was never checked gives nobody more.
            assert actor.may(command, table) <= actor.may(command)
            assert actor.may(command, whole) == (role in roles)
    wider = any(name not in MAY or table[name] - MAY[name] for name in table)
    assert bool(widened(table, MAY)) == wider


@pytest.mark.requirement("F-099")
def test_in_the_built_in_tables_nobody_at_the_unit_releases_and_administrators_make_nothing():
    assert "release" not in MAY
    assert [command for command in MAY if Actor("p", "P", ("auditor",)).may(command)] == ["change_secret"]
    administrator = Actor("p", "P", ("administrator",))
    made = ("open_batch", "answer", "scan", "hold", "restart", "release_stop", "abort_batch", "correct")
    assert not any(administrator.may(command) for command in made)
    certify = [role for role in ROLES if Actor("p", "P", (role,)).may_mean("certified")]
    assert certify == ["qp"]
    assert not any(administrator.may_mean(meaning) for meaning in set(MAY_MEAN) - {"acknowledged"})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"permissions": {"open_batch": ("auditor",)}}, "'open_batch' is given to auditor"),
        ({"permissions": {"release": ("qp",)}}, "'release' is not known"),
        ({"meanings": {"certified": ("supervisor",)}}, "'certified' is given to supervisor"),
        ({"secrets": SecretRules(pin_digits_min=4)}, "'pin_digits_min' is 4, allowed are 6 to 16"),
        ({"secrets": SecretRules(password_characters_min=8)}, "allowed are 12 to 64"),
    ],
)
def test_a_roles_document_that_widens_or_weakens_is_refused_in_words(fields, words):
    with pytest.raises(DocumentRefused, match=words):
        site_roles(**fields).to_content()


def test_a_roles_document_comes_back_whole_and_names_the_whole_table():
    roles = site_roles(permissions={"hold": ("supervisor",)}, secrets=SecretRules(history=3))

    again = SiteRoles.from_content(roles.to_content())
    applied = again.applied("ab" * 32)

    assert again == roles
    assert applied.permissions["hold"] == ["supervisor"]
    assert applied.permissions["open_batch"] == ["operator", "supervisor"]
    assert SecretRules.of(applied.secrets) == SecretRules(history=3)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version":0,"issued_at":"2026-01-01T00:00Z"}', b"\xff"])
def test_signed_bytes_that_are_no_list_are_refused(content):
    for kind in (SiteRoles, Revocation):
        with pytest.raises(DocumentRefused):
            kind.from_content(content)


def test_a_revocation_names_people_with_reasons():
    made = Revocation(version=2, issued_at=NOW, revoked=(Revoked(person="p-0001", reason="Left"),))

    assert Revocation.from_content(made.to_content()).people == {"p-0001": "Left"}


# ── People ─────────────────────────────────────────────────────────────────────────────


def next_list(people: People, *, without: str = "", retired=(), **changed: Person) -> People:
    kept = tuple(changed.get(one.id.replace("-", "_"), one) for one in people.people if one.id != without)
    return msgspec.structs.replace(
        people,
        version=people.version + 1,
        people=kept,
        keys=tuple(key for key in people.keys if key.person != without),
        retired=retired,
    )


@pytest.mark.requirement("R-06")
@pytest.mark.parametrize("word", ["admin", "Operator", "SHARED", "test", "emergency", "unit", " guest "])
def test_no_account_stands_for_nobody_in_particular(site, word):
    for fields in ({"id": word.strip()}, {"name": word}, {"badge": word}):
        anna = msgspec.structs.replace(site.person("p-0001"), **fields)
        with pytest.raises(PeopleRefused, match="one named person"):
            msgspec.structs.replace(site.people, people=(anna,), keys=()).check()


@pytest.mark.requirement("R-25")
def test_an_id_and_badge_that_left_stay_retired_for_ever(site):
    gone = Retired(id="p-0001", badges=("BADGE-0001",))
    after = next_list(site.people, without="p-0001", retired=(gone,))

    after.check()
    after.check_successor_of(site.people)
    with pytest.raises(PeopleRefused, match="put id and badge under"):
        next_list(site.people, without="p-0001").check_successor_of(site.people)
    with pytest.raises(PeopleRefused, match="must stay on the list as retired"):
        next_list(after).check_successor_of(after)
    back = msgspec.structs.replace(after, people=(*after.people, site.person("p-0001")))
    with pytest.raises(PeopleRefused, match="Ids are never used again"):
        back.check()
    heir = msgspec.structs.replace(site.person("p-0002"), badge="BADGE-0001")
    with pytest.raises(PeopleRefused, match="was of p-0001"):
        next_list(after, retired=(gone,), p_0002=heir).check()


@pytest.mark.requirement("R-26")
def test_an_identity_is_confirmed_by_another_person_who_is_administrator_with_a_date(site):
    gus = Person(id="p-0009", name="Gus Arlt", roles=("administrator",))
    anna = site.person("p-0001")

    def with_anna(**fields) -> People:
        confirmed = msgspec.structs.replace(anna, **fields)
        return msgspec.structs.replace(site.people, people=(confirmed, *site.people.people[1:], gus))

    with_anna(identity_confirmed_by="p-0009", identity_confirmed_at=NOW).check()
    for fields in (
        {"identity_confirmed_by": "p-0009"},
        {"identity_confirmed_by": "p-0001", "identity_confirmed_at": NOW},
        {"identity_confirmed_by": "p-0002", "identity_confirmed_at": NOW},
        {"identity_confirmed_by": "p-0404", "identity_confirmed_at": NOW},
    ):
        with pytest.raises(PeopleRefused, match="must be confirmed by another person"):
            with_anna(**fields).check()


@pytest.mark.requirement("R-19", "R-35")
def test_the_history_names_what_each_version_made_different(site):
    anna = msgspec.structs.replace(site.person("p-0001"), roles=("operator", "verifier"))
    after = next_list(site.people, without="p-0002", retired=(Retired(id="p-0002"),), p_0001=anna)

    first = [one["change"] for one in changes_between(None, site.people)]
    second = [(one["change"], one["id"], one["fields"]) for one in changes_between(site.people, after)]

    assert first == ["created"] * len(site.people.people)
    assert second == [("changed", "p-0001", ["roles"]), ("removed", "p-0002", [])]
    assert list(changes_between(after, after)) == []


def test_times_of_training_end_with_the_day_in_utc(site):
    from appliance.domain.people_state import Training

    training = Training("r", "*", NOW.date().isoformat(), "p-0003")

    assert training.ends_at > NOW
    assert training.ends_at - NOW < timedelta(days=1)
    assert training.covers("r", "9") and not training.covers("q", "9")
    assert not Training("r", "1", "2026-01-01", "p").covers("r", "2")
