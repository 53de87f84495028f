"""Secrets that people set at the unit: a private file beside the signed list."""

from __future__ import annotations

import msgspec
import pytest
from access_site import CHEAP, NOW, PIN_SECRET

from appliance.access.errors import KeyRefused, PeopleRefused
from appliance.access.local_secrets import LocalSecret, LocalSecrets, mark_of
from appliance.access.secret_hash import cost_of, hash_secret, verify_secret
from appliance.access.secret_rules import age_unjudged, check_strength, must_change
from appliance.access.site_roles import SecretRules
from appliance.domain.people_state import Changed

NEW_PIN = "573910"


def entry(site, **fields) -> LocalSecret:
    anna = site.person("p-0001")
    plain = LocalSecret(
        person="p-0001",
        factor="pin",
        replaces=mark_of(anna.pin),
        verifier=hash_secret(NEW_PIN, PIN_SECRET, CHEAP),
        set_at=NOW,
        people_version=3,
        why="own_wish",
    )
    return msgspec.structs.replace(plain, **fields)


@pytest.mark.requirement("R-28")
def test_a_secret_holds_beside_the_list_also_after_the_file_is_read_anew(site, tmp_path):
    LocalSecrets(tmp_path).put(entry(site))

    anna = LocalSecrets(tmp_path).applied_to(site.people, {}).person("p-0001")

    assert verify_secret(anna.pin, NEW_PIN, PIN_SECRET)
    assert anna.pin_set_at == NOW
    assert anna.password == site.person("p-0001").password
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.requirement("R-28")
def test_a_newer_list_that_issues_another_pin_ends_it(site, tmp_path):
    secrets = LocalSecrets(tmp_path)
    secrets.put(entry(site))
    issued = msgspec.structs.replace(site.person("p-0001"), pin=hash_secret("111999", PIN_SECRET, CHEAP))
    newer = msgspec.structs.replace(site.people, people=(issued, *site.people.people[1:]))

    anna = secrets.applied_to(newer, {("p-0001", "pin"): changed(site)}).person("p-0001")

    assert anna.pin == issued.pin


def changed(site) -> Changed:
    return Changed(replaces=mark_of(site.person("p-0001").pin), mark="00")


def test_a_pin_that_the_record_says_was_replaced_opens_nothing_where_the_file_is_lost(site, tmp_path):
    lost = LocalSecrets(tmp_path).applied_to(site.people, {("p-0001", "pin"): changed(site)})

    assert lost.person("p-0001").pin == ""


def test_an_undone_change_leaves_what_was_before(site, tmp_path):
    secrets = LocalSecrets(tmp_path)
    first, second = entry(site), entry(site, why="aged")
    secrets.put(first)
    secrets.put(second)
    secrets.put_back("p-0001", "pin", first)
    assert LocalSecrets(tmp_path).of("p-0001", "pin") == first

    secrets.put_back("p-0001", "pin", None)

    assert LocalSecrets(tmp_path).entries() == []


def test_a_damaged_or_open_file_is_refused_with_what_to_do(tmp_path):
    file = tmp_path / "secrets.json"
    file.write_text("{")
    file.chmod(0o600)
    with pytest.raises(KeyRefused, match="Put its copy back"):
        LocalSecrets(tmp_path)
    file.chmod(0o644)
    with pytest.raises(KeyRefused):
        LocalSecrets(tmp_path)


@pytest.mark.requirement("R-29")
@pytest.mark.parametrize(
    ("factor", "secret", "reason"),
    [
        ("pin", "12345", "pin_short"),
        ("pin", "5739102", "pin_short"),
        ("pin", "00000000", "pin_weak"),
        ("pin", "12345678", "pin_weak"),
        ("pin", "87654321", "pin_weak"),
        ("pin", "78901234", "pin_weak"),
        ("pin", "12121212", "pin_weak"),
        ("password", "eleven char", "password_short"),
        ("password", "fourteen chars", "password_short"),
        ("password", "aaaabbbbaaaabbbb", "password_weak"),
        ("password", "anna was here again", "password_weak"),
        ("password", "my Password is good", "password_weak"),
        ("password", "the p-0001 of all", "password_weak"),
    ],
)
def test_a_weak_secret_is_refused(site, factor, secret, reason):
    rules = SecretRules(pin_digits_min=8, password_characters_min=15)

    with pytest.raises(PeopleRefused) as refused:
        check_strength(factor, secret, site.person("p-0001"), rules)
    check_strength("pin", "57391027", site.person("p-0001"), rules)
    check_strength("password", "eleven small boats", site.person("p-0001"), rules)

    assert refused.value.reason == reason


@pytest.mark.requirement("R-28", "R-29")
def test_what_must_change_first_and_what_cannot_be_judged(site):
    anna = msgspec.structs.replace(site.person("p-0001"), pin_set_at=NOW, password_set_at=None)
    young, aged = SecretRules(), SecretRules(pin_days_max=30, password_days_max=30)
    issued = msgspec.structs.replace(anna, pin_one_time=True)

    assert must_change("pin", anna, young, NOW, time_trusted=True) == ""
    assert must_change("pin", anna, aged, NOW, time_trusted=True) == ""
    assert must_change("password", anna, aged, NOW, time_trusted=True) == "aged", "an unknown age is too old"
    assert must_change("password", anna, aged, NOW, time_trusted=False) == ""
    assert age_unjudged("password", anna, aged, time_trusted=False)
    assert not age_unjudged("password", anna, young, time_trusted=False)
    assert must_change("pin", issued, young, NOW, time_trusted=False) == "one_time"
    assert must_change("pin", site.person("p-0007"), aged, NOW, time_trusted=True) == "", "there is none"


def test_a_new_verifier_costs_what_the_one_before_it_costs(site):
    assert cost_of(site.person("p-0001").pin) == CHEAP
    assert cost_of("garbled").memory_kib == 64 * 1024
