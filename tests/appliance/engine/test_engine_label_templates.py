"""Only what two people approved is printed: a template that is unsigned, altered or older opens no batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from engine_room import DORA, ORDER, RECIPE, Room, make_room, told

from appliance.access.documents import add_signature, dump, sign
from appliance.access.keys import Trust, make_key
from appliance.domain import events as ev
from appliance.domain import label_templates
from appliance.domain.errors import CommandRefused
from appliance.engine.approved_templates import TemplateGone, text_of
from appliance.engine.shelf import load_shelf
from appliance.label_command import label
from appliance.record.attachments import blob_path
from vision.labels.label_template import shipped_templates

DOSE = shipped_templates()["dose"].text
PRINTS = """
[phase.label]
title = "Label"
type = "print_label"
operation = "all"
after = ["bag"]
verify = ["reconcile"]
instruction = { apply = "Put it on.", reconcile = "Count them.", pack = "Pack it." }
parameter = { expiry = { value = "2 h", range = "1..4 h" }, volume = "30 mL" }
"""


def dose(version: int = 2) -> str:
    return DOSE.replace("version = 2", f"version = {version}", 1)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A unit whose recipe prints a label, and an approved template for it."""
    room = make_room(tmp_path)
    head = 'title = "Only look, sign and hand over"\n'
    text = RECIPE.replace(head, f'{head}description_code = "S9992"\ncollection_type = "1"\ndivision = "00"\n')
    text = text.replace(
        'type = "seal"\noperation = "all"\nafter = ["bag"]',
        'type = "seal"\noperation = "all"\nafter = ["label"]',
    )
    envelope = sign("recipe", (text + PRINTS).encode(), room.keys["developer"], "recipe_developer")
    dump(add_signature(envelope, room.keys["reviewer"], "qa_reviewer"), room.home.recipes / "short.json")
    room.home.label_templates.mkdir(parents=True)
    approves(room)
    return room


def approves(
    room: Room, text: str = DOSE, *, by: tuple[str, ...] = ("developer", "reviewer"), file: str = "dose"
) -> Path:
    """Sign a template; the first key as developer, the second as reviewer."""
    envelope = sign("label_template", text.encode(), room.keys[by[0]], "recipe_developer")
    for name in by[1:]:
        envelope = add_signature(envelope, room.keys[name], "qa_reviewer")
    path = room.home.label_templates / f"{file}.json"
    dump(envelope, path)
    return path


def asked_for(template: str, sha256: str) -> ev.LabelRequested:
    return ev.LabelRequested(
        phase="label", label_id="L1", template=template, fields={}, identity={}, template_hash=sha256
    )


def altered(room: Room) -> None:
    path = room.home.label_templates / "dose.json"
    tree = json.loads(path.read_text())
    tree["content"] = (
        tree["content"][:80] + ("A" if tree["content"][80] != "A" else "B") + tree["content"][81:]
    )
    path.write_text(json.dumps(tree))


SPOILT: dict[str, Callable[[Room], object]] = {
    "nobody approved it": lambda room: approves(room, by=("developer",)),
    "altered after it was approved": altered,
    "approved by a stranger": lambda room: approves(room, by=("developer", "stranger")),
    "a recipe in its place": lambda room: dump(
        sign("recipe", DOSE.encode(), room.keys["developer"], "recipe_developer"),
        room.home.label_templates / "dose.json",
    ),
    "text over the symbol": lambda room: approves(room, DOSE.replace("y_mm = 74.0", "y_mm = 78.0")),
    "without the warning that T17 asks for": lambda room: approves(
        room, DOSE.replace("WARNING: This product may transmit infectious agents", "Handle with care")
    ),
    "without a place for the donor's sentence": lambda room: approves(
        room,
        DOSE.replace('"donor_statement", "biohazard_statement"', '"other_statement"'),
    ),
    "gone": lambda room: (room.home.label_templates / "dose.json").unlink(),
}


@pytest.mark.requirement("F-007", "T17", "T18")
@pytest.mark.parametrize("name", SPOILT)
def test_no_batch_opens_without_an_approved_template_and_the_refusal_is_on_record(
    room: Room, name: str
) -> None:
    async def story() -> None:
        await room.signs_in()
        SPOILT[name](room)

        refused = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == "label_template_missing", refused
        assert "label template dose" in refused.words and "QA" in refused.words
        assert [event.reason for event in room.events(ev.CommandWasRefused)] == [refused.reason]  # type: ignore[attr-defined]
        assert not room.events(ev.BatchOpened)

    told(room, story)


@pytest.mark.requirement("F-007", "T18", "R-19")
def test_a_batch_freezes_its_templates_and_draws_by_them_whatever_lies_on_the_disk_later(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        approves(room, dose(3))
        await room.restarts()

        frozen = room.batch.opened.label_templates["dose"]
        assert (frozen["version"], frozen["hash"]) == ("2", hashlib.sha256(DOSE.encode()).hexdigest())
        assert DORA.id in frozen["signers"]
        asked = ev.LabelRequested(
            phase="label",
            label_id="L1",
            template="dose",
            fields={},
            identity={},
            template_hash=frozen["hash"],
        )
        told_to_worker = await text_of(asked, room.engine.unit, room.engine.record)
        assert told_to_worker == {"template_text": DOSE, "template_sha256": frozen["hash"]}

    told(room, story)


@pytest.mark.requirement("F-007", "T18")
def test_nothing_is_printed_when_the_frozen_template_is_gone_from_the_record_or_another_is_asked_for(
    room: Room,
) -> None:
    async def story() -> None:
        await room.begins_batch()
        frozen = room.batch.opened.label_templates["dose"]
        asked = ev.LabelRequested(
            phase="label",
            label_id="L1",
            template="dose",
            fields={},
            identity={},
            template_hash=frozen["hash"],
        )
        other = asked_for("bag", frozen["hash"])

        with pytest.raises(TemplateGone, match="no approved label template bag"):
            await text_of(other, room.engine.unit, room.engine.record)
        path = blob_path(room.engine.record.blobs_folder, frozen["template_blob"])
        path.chmod(0o600)
        path.write_bytes(path.read_bytes().replace(b"label_template", b"label_templatX"))
        with pytest.raises(TemplateGone, match="as it was approved"):
            await text_of(asked, room.engine.unit, room.engine.record)

    told(room, story)


@pytest.mark.requirement("F-007", "T18")
def test_an_older_version_is_never_printed_by_again(room: Room) -> None:
    async def story() -> None:
        approves(room, dose(5))
        await room.begins_batch()
        await room.restarts()
        offered = {"dose": {"version": "4", "hash": "00", "template_blob": ""}}

        with pytest.raises(CommandRefused, match="version 4; this unit printed by version 5") as refused:
            label_templates.refuse_unfit(room.engine.unit, room.batch.recipe, offered)
        assert refused.value.reason == "label_template_older"

    told(room, story)


def test_of_two_approved_versions_the_newer_one_is_used_and_the_older_one_named(room: Room) -> None:
    approves(room, dose(3), file="newer")

    shelf = load_shelf(room.home, Trust.load(room.home.trust))

    assert shelf.label_templates["dose"].template.version == 3
    approves(room, dose(3), file="twice")
    shelf = load_shelf(room.home, Trust.load(room.home.trust))
    assert shelf.refused["twice.json"][0] == "version_twice"


# ── The command ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    paths = {name: tmp_path / f"{name}.key" for name in ("developer", "reviewer")}
    for path in paths.values():
        make_key(path)
    return {name: str(path) for name, path in paths.items()}


@pytest.mark.requirement("F-007", "R-19")
def test_a_template_is_checked_signed_and_approved_from_the_command_line(
    tmp_path: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    toml, envelope = tmp_path / "dose.toml", tmp_path / "dose.json"
    toml.write_text(DOSE, encoding="utf-8")

    assert label(["check", str(toml)]) == 0
    assert label(["approve", str(toml), "--key", keys["reviewer"], "--out", str(envelope)]) == 1
    assert label(["sign", str(toml), "--key", keys["developer"], "--out", str(envelope)]) == 0
    assert label(["approve", str(envelope), "--key", keys["developer"], "--out", str(envelope)]) == 1
    assert "Another person approves it" in capsys.readouterr().err
    assert label(["approve", str(envelope), "--key", keys["reviewer"], "--out", str(envelope), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["template_hash"] == hashlib.sha256(DOSE.encode()).hexdigest()
    roles = [one["role"] for one in json.loads(envelope.read_text())["signatures"]]
    assert roles == ["recipe_developer", "qa_reviewer"]


def test_a_template_with_faults_is_not_signed_and_every_fault_is_told(
    tmp_path: Path, keys: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    toml, envelope = tmp_path / "dose.toml", tmp_path / "dose.json"
    toml.write_text(DOSE.replace('field = "coi_readable"', 'field = "coi"'), encoding="utf-8")

    assert label(["sign", str(toml), "--key", keys["developer"], "--out", str(envelope)]) == 1
    assert "needs a place for coi_readable" in capsys.readouterr().out
    assert not envelope.exists()


def test_the_approved_templates_of_a_unit_are_listed_with_who_approved_them(
    room: Room, capsys: pytest.CaptureFixture[str]
) -> None:
    assert label(["templates", "--home", str(room.home.root)]) == 0
    assert f"dose (version 2): approved by p-0005 as recipe_developer, {DORA.id}" in capsys.readouterr().out

    altered(room)
    assert label(["templates", "--home", str(room.home.root)]) == 1
    assert "altered after it was signed" in capsys.readouterr().err
