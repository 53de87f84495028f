"""The fictitious site: its documents hold under its own keys, its labels are read, and it looks made up."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.access.keys import Trust, fingerprint, make_key
from appliance.config import read_config
from appliance.demo.command import FAULTS, demo
from appliance.demo.hands import Hands, _act
from appliance.demo.site import (
    DIN,
    ORDER,
    PEOPLE,
    WRONG_DIN,
    Site,
    add_central,
    draw_labels,
    fill_microscope,
    make_unit,
    order_content,
)
from appliance.domain.batch import Order
from appliance.domain.identity import read_label
from appliance.engine.shelf import Shelf, load_shelf
from vision.labels.symbols import load_gray, read_symbols

FORMATS = ("code128", "datamatrix")


def made(folder: Path) -> Site:
    site = Site(folder)
    make_unit(site, speed="60")
    make_key(site.central / "keys" / "central.key")
    add_central(site, url="https://127.0.0.1:1")
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = made(tmp_path_factory.mktemp("site"))
    draw_labels(site, now=datetime.now(UTC))
    return site


def shelf_of(site: Site) -> Shelf:
    return load_shelf(site.home, Trust.load(site.home.trust))


def test_every_document_of_the_site_holds_under_its_own_keys(site: Site) -> None:
    shelf = shelf_of(site)

    assert shelf.refused == {}
    assert list(shelf.orders) == [ORDER]
    assert [one.recipe.id for one in shelf.recipes.values()] == ["thaw-wash-dose-50"]
    assert {person.id for person in shelf.people.people} == {person.id for person in PEOPLE}


def test_a_recipe_that_lost_its_reviewer_is_on_no_shelf(site: Site, tmp_path: Path) -> None:
    copied = Site(Path(shutil.copytree(site.folder, tmp_path / "copy")))
    path = copied.home.recipes / "thaw-wash-dose-50.json"
    envelope = json.loads(path.read_text())
    path.write_text(json.dumps(envelope | {"signatures": envelope["signatures"][:1]}))

    shelf = shelf_of(copied)

    assert shelf.recipes == {}
    assert path.name in shelf.refused


def test_the_unit_is_simulated_and_its_scale_is_declared_fictitious(site: Site) -> None:
    config = read_config(site.home)

    assert config.unit.simulated
    assert config.station.fictitious
    assert {device.role: device.safe_state for device in config.devices}["pump"] == "stop"


def test_nobody_but_the_owner_can_read_the_keys(site: Site) -> None:
    secrets = [*site.home.keys.glob("*.key"), site.home.pin_secret, site.qp_key]

    assert secrets
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secrets)


def test_central_holds_no_key_that_the_unit_takes_for_the_qps(site: Site) -> None:
    trust = Trust.load(site.home.trust)

    assert not set(trust.central) & {*trust.qp, *trust.root, *trust.unit}
    assert len({*trust.central, *trust.qp, *trust.root, *trust.unit}) == 4
    assert fingerprint(b"\x00" * 32) not in trust.qp


def test_nothing_that_is_printed_or_ordered_names_a_person(site: Site) -> None:
    order = order_content()

    assert order["din"].startswith("A9999")  # ICCBBA's example facility
    assert all(person.name.split()[0] not in json.dumps(order) for person in PEOPLE)


@pytest.mark.parametrize(
    ("name", "din", "expired"),
    [("bag", DIN, False), ("wrong-bag", WRONG_DIN, False), ("expired-bag", DIN, True)],
)
def test_the_labels_that_hands_show_say_what_their_names_say(
    site: Site, name: str, din: str, expired: bool
) -> None:
    read = read_symbols(load_gray(site.labels / f"{name}.png"), FORMATS, budget_ms=30_000)
    label = read_label([one.text for one in read.symbols if one.confirmed], [], "Europe/London")

    assert label.label.din == din
    assert label.expires_at is not None
    assert (label.expires_at < datetime.now(UTC) + timedelta(hours=1)) is expired


def test_a_label_in_a_hand_is_a_new_frame_each_time_and_the_same_seed_holds_it_alike(
    site: Site, tmp_path: Path
) -> None:
    frames = []
    for _ in range(2):
        hands = Hands(site, seed=7)
        hands.show(site.labels / "bag.png")
        frames.append((site.home.labels / "frame-0001.png").read_bytes())
    hands.act("show wristband")

    assert frames[0] == frames[1]
    assert (site.home.labels / "frame-0002.png").exists()
    assert not list(site.home.labels.glob(".*.part"))


@pytest.mark.parametrize(
    ("words", "act"),
    [
        ("load_syringe 60", {"do": "load_syringe", "volume_ml": 60.0}),
        ("load_syringe 32 patient", {"do": "load_syringe", "volume_ml": 32.0, "bag": "patient"}),
        ("wash patient 33", {"do": "wash", "bag": "patient", "volume_ml": 33.0}),
        ("take_sample patient 0.5", {"do": "take_sample", "bag": "patient", "volume_ml": 0.5}),
        ("connect dose", {"do": "connect", "bag": "dose"}),
        ("state", {"do": "state"}),
    ],
)
def test_the_words_of_the_recipe_become_acts_at_the_bench(words: str, act: dict[str, Any]) -> None:
    verb, *rest = words.split()

    assert _act(verb, rest) == act


def test_every_act_of_the_recipe_is_one_that_hands_know(site: Site) -> None:
    known = {
        "bag_out_of_shipper", "bag_into_bath", "bag_out_of_bath", "bag_onto_balance", "bag_off_balance",
        "load_syringe", "connect", "wash", "take_sample", "export_transport_log",
    }  # fmt: skip
    recipe = next(iter(shelf_of(site).recipes.values())).recipe

    acts = [act for phase in recipe.phases.values() for act in phase.action.values()]

    assert acts
    assert {part.split()[0] for act in acts for part in act.split(";")} <= known


def test_the_seed_turns_which_pictures_are_which_replicate(tmp_path: Path) -> None:
    listed = []
    for seed in (0, 1):
        one = Site(tmp_path / str(seed))
        fill_microscope(one, seed=seed)
        folders = sorted(one.home.microscope.glob("replicate-*"))
        listed.append([sorted(path.name for path in folder.iterdir()) for folder in folders])

    assert len(listed[0]) == len(listed[1]) == 3
    assert listed[0] != listed[1]
    assert sorted(map(tuple, listed[0])) == sorted(map(tuple, listed[1]))


def test_an_order_is_read_as_it_was_written(site: Site) -> None:
    order = Order.from_text(shelf_of(site).orders[ORDER].text)

    assert (order.id, order.din, str(order.weight_kg)) == (ORDER, DIN, "70")


# ── The command ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("speed", ["0", "0.5", "101", "nan", "inf", "fast", "-1", ""])
def test_a_speed_that_the_bench_cannot_keep_is_wrong_usage(
    speed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _status(["--headless", "--speed", speed]) == 2

    said = capsys.readouterr()
    assert "--speed" in said.err
    assert said.out == ""


def test_an_unknown_recipe_names_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["--headless", "--recipe", "soup"]) == 2

    assert "there are thaw-wash-dose-50" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--head"], ["--fault", "flood"], ["--seed", "x"], ["more"]])
def test_what_the_command_does_not_know_is_wrong_usage(words: list[str]) -> None:
    assert _status(words) == 2


def test_the_help_names_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert _status(["--help"]) == 0

    # Wherever the terminal was too narrow for a name, the rest of it stands on the next line.
    said = "".join(capsys.readouterr().out.split())
    assert all(name in said for name in FAULTS)


def _status(words: list[str]) -> int:
    try:
        return demo(words)
    except SystemExit as left:
        return int(left.code or 0)
