"""`cellwright recipe`: what has faults is not signed, and what is signed is signed by two people."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from access_site import listed
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import appliance
from appliance.access.documents import DocumentRefused, Envelope, add_signature, load, sign
from appliance.access.keys import save_key
from appliance.access.recipe_approval import check_recipe_approval
from appliance.recipe_command import recipe

RECIPE = Path(appliance.__file__).parent / "recipes" / "thaw_wash_dose_50.toml"


@pytest.fixture
def desk(tmp_path, site):
    """A folder with the recipe and the two signers' keys."""
    (tmp_path / "recipe.toml").write_bytes(RECIPE.read_bytes())
    save_key(site.developer, tmp_path / "developer.key")
    save_key(site.reviewer, tmp_path / "reviewer.key")
    return tmp_path


def sign_as(desk, role: str, key: str, file: str = "recipe.toml") -> int:
    words = ["sign", str(desk / file), "--key", str(desk / key), "--role", role]
    return recipe([*words, "--out", str(desk / "recipe.json"), "--json"])


def test_the_shipped_recipe_has_no_fault(capsys):
    assert recipe(["check", str(RECIPE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []


def test_developer_and_reviewer_sign_one_text_and_the_unit_takes_it(desk, site, capsys):
    assert sign_as(desk, "recipe_developer", "developer.key") == 0
    with pytest.raises(DocumentRefused, match="signature"):
        check_recipe_approval(load(desk / "recipe.json"), site.people)
    assert sign_as(desk, "qa_reviewer", "reviewer.key") == 0

    approved = check_recipe_approval(load(desk / "recipe.json"), site.people)

    assert approved.content == RECIPE.read_bytes()
    assert approved.signers == ("p-0005 as recipe_developer", "p-0006 as qa_reviewer")
    hashes = {json.loads(line)["recipe_hash"] for line in capsys.readouterr().out.splitlines()}
    assert hashes == {approved.hash}


def test_the_second_signer_may_sign_the_envelope_itself(desk, site):
    sign_as(desk, "recipe_developer", "developer.key")

    assert sign_as(desk, "qa_reviewer", "reviewer.key", file="recipe.json") == 0
    assert check_recipe_approval(load(desk / "recipe.json"), site.people).content == RECIPE.read_bytes()


def test_show_prints_the_text_and_who_signed_it_unless_it_was_altered(desk, capsys):
    sign_as(desk, "recipe_developer", "developer.key")
    capsys.readouterr()

    assert recipe(["show", str(desk / "recipe.json")]) == 0
    shown = capsys.readouterr().out
    assert "signed as recipe_developer with key" in shown
    assert RECIPE.read_text() in shown

    envelope = load(desk / "recipe.json")
    altered = msgspec.structs.replace(envelope, content=envelope.content + b"# more\n")
    (desk / "altered.json").write_bytes(msgspec.json.encode(altered))
    assert recipe(["show", str(desk / "altered.json")]) == 1
    assert "altered" in capsys.readouterr().err


def test_a_recipe_with_a_fault_is_named_and_not_signed(desk, capsys):
    (desk / "recipe.toml").write_text("[recipe]\nname = 3\n")

    assert recipe(["check", str(desk / "recipe.toml"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"]
    assert sign_as(desk, "recipe_developer", "developer.key") == 1
    assert not (desk / "recipe.json").exists()


def test_a_changed_text_is_not_signed_into_an_envelope_of_the_old_one(desk, capsys):
    sign_as(desk, "recipe_developer", "developer.key")
    (desk / "recipe.toml").write_bytes(RECIPE.read_bytes() + b"\n# another word\n")

    assert sign_as(desk, "qa_reviewer", "reviewer.key") == 1
    assert "holds another text" in capsys.readouterr().err


def test_unreadable_input_ends_with_status_2(tmp_path, capsys):
    assert recipe(["check", str(tmp_path / "nowhere.toml")]) == 2
    (tmp_path / "order.json").write_text("{}")
    assert recipe(["show", str(tmp_path / "order.json")]) == 2
    assert "nowhere.toml" in capsys.readouterr().err


def test_one_person_with_two_keys_cannot_write_and_approve_a_recipe(site):
    both = tuple(
        msgspec.structs.replace(one, person="p-0005") if one.role == "qa_reviewer" else one
        for one in site.people.keys
    )
    people = msgspec.structs.replace(site.people, keys=both)
    envelope = add_signature(
        sign("recipe", b"text", site.developer, "recipe_developer"), site.reviewer, "qa_reviewer"
    )

    assert check_recipe_approval(envelope, site.people).text == "text"
    with pytest.raises(DocumentRefused, match="written and approved by the same person"):
        check_recipe_approval(envelope, people)


def test_a_reviewer_s_key_in_another_role_does_not_make_the_second_person(site):
    second_key = Ed25519PrivateKey.generate()
    author = msgspec.structs.replace(site.person("p-0005"), roles=("recipe_developer", "qa_reviewer"))
    others = tuple(one for one in site.people.people if one.id != "p-0005")
    people = msgspec.structs.replace(
        site.people,
        people=(*others, author),
        keys=(*site.people.keys, listed("p-0005", "qa_reviewer", second_key)),
    )
    envelope = sign("recipe", b"text", site.developer, "recipe_developer")
    envelope = add_signature(envelope, second_key, "qa_reviewer")
    envelope = add_signature(envelope, site.reviewer, "root")

    with pytest.raises(DocumentRefused, match="by the same person"):
        check_recipe_approval(envelope, people)


def test_an_unsigned_recipe_and_one_by_central_are_refused(site):
    unsigned = Envelope(type="recipe", content=b"text")
    with pytest.raises(DocumentRefused, match="This recipe is not signed"):
        check_recipe_approval(unsigned, site.people)
    by_central = add_signature(unsigned, site.central, "recipe_developer")
    with pytest.raises(DocumentRefused, match="is not trusted by this unit"):
        check_recipe_approval(by_central, site.people)
