"""`cellwright users`, as an administrator types it."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import pytest

from appliance.access.command import keys
from appliance.access.documents import load
from appliance.access.keys import fingerprint, load_key
from appliance.access.people import People
from appliance.users_command import users

FIRST = """
[[people]]
id = "p-0001"
name = "Anna Berg"
roles = ["operator"]
badge = "B1"
identity_confirmed_by = "p-0003"
identity_confirmed_at = 2026-03-02T08:00:00Z
pin = "482915"
password = "blue kettle morning"
training = [{ recipe = "thaw-wash-dose-50", until = 2999-01-01, by = "p-0003" }]

[[people]]
id = "p-0002"
name = "Ben Okafor"
roles = ["verifier"]
badge = "B2"
pin = "730164"
training = [{ recipe = "thaw-wash-dose-50", version = "1", until = 2020-01-01, by = "p-0003" }]

[[people]]
id = "p-0003"
name = "Gus Arlt"
roles = ["administrator"]
pin = "531975"
"""


def said(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


class Unit:
    """A home with a trusted root, and the command typed at it."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.home, self._capsys = folder, folder / "home", capsys
        self.root = folder / "root.key"
        assert keys(["root-make", "--out", str(self.root)]) == 0
        mark = fingerprint(load_key(self.root))
        assert keys(["init", "--home", str(self.home), "--unit", "unit-07", "--root", mark]) == 0
        capsys.readouterr()

    def types(self, verb: str, *words: str) -> tuple[int, list[dict], str]:
        status = users([verb, *words, "--home", str(self.home), "--json"])
        captured = self._capsys.readouterr()
        return status, [json.loads(line) for line in captured.out.splitlines()], captured.err

    def makes(self, text: str, *words: str) -> tuple[int, list[dict], str]:
        source = self.folder / "people.toml"
        source.write_text(text)
        return self.types("make", "--in", str(source), "--root-key", str(self.root), *words)

    @property
    def people(self) -> People:
        return People.from_content(load(self.home / "documents" / "people.json").content)


@pytest.fixture
def unit(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", (tmp_path / "none").open("w+"))
    return Unit(tmp_path, capsys)


@pytest.mark.requirement("R-28")
def test_what_an_administrator_issues_is_for_one_use_and_what_is_not_issued_anew_stays(unit):
    assert unit.makes(FIRST)[0] == 0
    first = unit.people.person("p-0001")
    assert (
        unit.makes(FIRST.replace('pin = "482915"\n', "").replace('password = "blue kettle morning"\n', ""))[0]
        == 0
    )
    second = unit.people.person("p-0001")
    assert unit.makes(FIRST.replace('"482915"', '"999123"'))[0] == 0
    third = unit.people.person("p-0001")

    assert first.pin_one_time and first.password_one_time and first.pin_set_at is not None
    assert second == first
    assert third.pin != first.pin and third.pin_one_time


@pytest.mark.requirement("R-25")
def test_who_is_left_out_is_retired_by_itself_and_never_comes_back(unit):
    unit.makes(FIRST)
    without_ben = (
        FIRST[: FIRST.index('[[people]]\nid = "p-0002"')] + FIRST[FIRST.index('[[people]]\nid = "p-0003"') :]
    )

    status, facts, _ = unit.makes(without_ben)
    back, _, words = unit.makes(FIRST)
    listed = unit.types("list")[1]

    assert (status, facts[0]["retired"]) == (0, 1)
    assert back == 1 and "Ids are never used again" in words
    assert {"id": "p-0002", "retired": True} in listed
    assert unit.people.version == 2


@pytest.mark.requirement("R-19", "R-35")
def test_the_history_tells_who_was_created_changed_and_removed_and_whose_key_signed(unit):
    unit.makes(FIRST)
    unit.makes(FIRST.replace('roles = ["verifier"]', 'roles = ["verifier", "supervisor"]'))

    _, changes, _ = unit.types("history")

    mark = fingerprint(load_key(unit.root))
    assert [(one["version"], one["change"], one["id"]) for one in changes][:3] == [
        (1, "created", "p-0001"),
        (1, "created", "p-0002"),
        (1, "created", "p-0003"),
    ]
    assert {one["id"] for one in changes if one["version"] == 2} >= {"p-0002"}
    assert all(one["signed_by"] == [mark] for one in changes)
    assert not any("argon2" in json.dumps(one) for one in changes)


@pytest.mark.requirement("R-18")
def test_the_list_of_training_says_what_has_ended(unit):
    unit.makes(FIRST)

    _, all_of_it, _ = unit.types("training", "--recipe", "thaw-wash-dose-50")

    assert [(one["id"], one["version"], one["valid"]) for one in all_of_it] == [
        ("p-0001", "*", True),
        ("p-0002", "1", False),
    ]
    assert unit.types("training", "--recipe", "another")[1] == []


def test_a_next_list_is_checked_before_it_is_delivered(unit):
    unit.makes(FIRST)
    following = unit.folder / "next.json"
    unit.makes(FIRST.replace('name = "Anna Berg"', 'name = "Anna Bergmann"'), "--out", str(following))

    good = unit.types("check", str(following))
    old = unit.types("check", str(unit.home / "documents" / "people.json"))

    assert good[0] == 0 and good[1][0]["version"] == 2
    assert [one["id"] for one in good[1][0]["changes"]] != []
    assert old[0] == 1 and "version 1" in old[2]
    assert unit.people.version == 1, "what waits to be delivered does not hold yet"


def test_roles_are_printed_as_they_hold_and_a_document_narrows_them(unit):
    built_in = unit.types("roles")[1]
    source = unit.folder / "roles.toml"
    source.write_text('[permissions]\nhold = ["supervisor"]\n[secrets]\nhistory = 9\n')
    made = unit.types("roles-make", "--in", str(source), "--root-key", str(unit.root))
    narrowed = unit.types("roles")[1]
    source.write_text('[permissions]\nopen_batch = ["auditor"]\n')
    wide = unit.types("roles-make", "--in", str(source), "--root-key", str(unit.root))
    source.write_text("[permissions\n")
    odd = unit.types("roles-make", "--in", str(source), "--root-key", str(unit.root))

    def of(facts, name):
        found = next(one for one in facts if one["name"] == name)
        return found.get("roles", found.get("value"))

    assert of(built_in, "hold") == ["operator", "supervisor", "verifier"]
    assert made[1][0]["version"] == 1
    assert (of(narrowed, "hold"), of(narrowed, "history")) == (["supervisor"], 9)
    assert wide[0] == 1 and "never widen" in wide[2]
    assert odd[0] == 2


@pytest.mark.requirement("R-30")
def test_a_revocation_follows_the_one_before_and_keeps_its_people(unit):
    first = unit.types("revoke", "p-0001", "--reason", "Has left", "--root-key", str(unit.root))
    second = unit.types("revoke", "p-0002", "--reason", "Has left", "--root-key", str(unit.root))

    assert (first[1][0]["version"], second[1][0]["version"]) == (1, 2)
    assert second[1][0]["revoked"] == ["p-0001", "p-0002"]


@pytest.mark.requirement("R-06")
def test_an_account_of_nobody_in_particular_is_not_made(unit):
    status, _, words = unit.makes(FIRST.replace('"Anna Berg"', '"Operator"'))

    assert status == 1
    assert "names nobody in particular" in words
    assert not (unit.home / "documents" / "people.json").exists()


def test_where_no_unit_runs_an_act_at_the_unit_says_so(unit):
    unit.makes(FIRST)

    status, _, words = unit.types("deliver", str(unit.home / "documents" / "people.json"))

    assert status == 1
    assert words


def test_the_documented_file_is_one_that_can_be_made():
    guide = (Path(__file__).parents[3] / "docs" / "administrator-guide.md").read_text("utf-8")
    block = guide[guide.index("[[people]]") : guide.index("```", guide.index("[[people]]"))]

    plain = tomllib.loads(block)

    assert {"id", "name", "roles", "identity_confirmed_by", "training"} <= plain["people"][0].keys()
