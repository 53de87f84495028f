"""Training mode touches no real batch: twins only, its own record, and its name on everything (SAFETY 16)."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from engine_room import Room, make_room, told

from appliance.config import ConfigurationUnusable, Home, parse_config, read_config
from appliance.domain import events as ev
from appliance.engine import recovery
from appliance.record.errors import RecordUnusable


def in_mode(room: Room, mode: str) -> None:
    text = room.home.unit_toml.read_text("utf-8").replace('mode = "training"\n', "")
    line = 'mode = "training"\n' if mode == "training" else ""
    room.home.unit_toml.write_text(text.replace("[unit]\n", f"[unit]\n{line}", 1), encoding="utf-8")


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


@pytest.mark.requirement("R-18")
def test_training_says_so_on_screens_and_in_the_batch_and_is_a_simulated_record(room: Room) -> None:
    in_mode(room, "training")

    async def story() -> None:
        await room.begins_batch()
        shown = await room.connects()

        assert shown.unit.site == "Ward (TRAINING)"
        assert room.events(ev.BatchOpened)[0].site == "Ward (TRAINING)"  # type: ignore[attr-defined]
        assert room.engine.record.simulated

    told(room, story)


@pytest.mark.parametrize(("first", "then"), [("training", "production"), ("production", "training")])
def test_a_record_is_never_used_for_training_and_for_work(room: Room, first: str, then: str) -> None:
    async def story() -> None:
        await room.begins_batch()

    in_mode(room, first)
    told(room, story)
    in_mode(room, then)

    with pytest.raises(RecordUnusable, match="Give training its own home"):
        asyncio.run(recovery.start(room.home))


def test_training_needs_twins(room: Room) -> None:
    in_mode(room, "training")
    real = room.home.unit_toml.read_text("utf-8").replace("simulated = true", "simulated = false")

    with pytest.raises(ConfigurationUnusable, match="training needs twins"):
        parse_config(real, Home(room.home.root))
    assert read_config(room.home).unit.mode == "training"
