"""A device's file comes through the engine: chosen by a person, read with bounds, kept byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zxingcpp
from engine_room import ADA, BEN, CLEO, Room, bag_texts, make_room, told

sys.path.insert(0, str(Path(__file__).parents[1] / "domain"))

from PIL import Image
from selection import RECIPE, SERIAL, UNIT_DEVICE, asking

from appliance.access.documents import add_signature, dump, sign
from appliance.domain import events as ev
from appliance.domain.exchange_file import BYTES_MAX
from appliance.engine import exchange_folder
from appliance.record.command import report_of
from appliance.record.replay_target import replay_folder
from appliance.record.report.batch_record import page as drawn
from drivers.simulated.cell_processor import CellProcessor

WITHOUT = {"scan_serial_number": "no", "photo": "no"}


def equip(room: Room, recipe: str) -> Room:
    """Give the unit its cell processor and its recipe."""
    signed = sign("recipe", recipe.encode(), room.keys["developer"], "recipe_developer")
    dump(add_signature(signed, room.keys["reviewer"], "qa_reviewer"), room.home.recipes / "short.json")
    text = room.home.unit_toml.read_text(encoding="utf-8")
    room.home.unit_toml.write_text(text + UNIT_DEVICE, encoding="utf-8")
    (room.home.root / "sources" / "exchange").mkdir(parents=True)
    return room


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return equip(make_room(tmp_path / "unit"), asking(**WITHOUT))


def folder_of(room: Room) -> Path:
    return room.home.root / "sources" / "exchange"


async def runs_the_programme(room: Room) -> None:
    """The bag is there, the programme was started and has ended."""
    await identifies_the_bag(room)
    await room.answers("select/setup")
    room.clock.advance(2 * 3600)
    await room.signs_in()


async def identifies_the_bag(room: Room) -> None:
    await room.goes_to("bag/retrieve")
    for prompt, proof in (("bag/retrieve", None), ("bag/bag", None), ("bag/identity", None)):
        if prompt == "bag/bag":
            await room.shows("bag", "bag", bag_texts())
        else:
            await room.answers(prompt, proof)
    await room.answers("bag/identity.verify", BEN.by_pin)


def puts(room: Room, data: bytes, name: str = "run.json") -> Path:
    path = folder_of(room) / name
    path.write_bytes(data)
    return path


def exported(room: Room, **how: Any) -> bytes:
    ended = room.clock.utc()
    return CellProcessor().run(ended - timedelta(hours=2), took=timedelta(hours=2), **how)


async def chooses(room: Room, name: str = "run.json") -> None:
    await room.done("import_file", {"prompt": "select/exchange_file", "file": name})
    await room.until(
        lambda: len(room.events(ev.ExchangeFileRead)) == len(room.events(ev.ExchangeFileRequested))
    )


def refusal(room: Room) -> ev.ExchangeFileRefused:
    refused = room.events(ev.ExchangeFileRefused)[-1]
    assert isinstance(refused, ev.ExchangeFileRefused)
    return refused


@pytest.mark.requirement("F-036", "R-17", "R-45")
def test_a_file_is_listed_chosen_read_kept_and_verified_by_a_second_person(room: Room) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        data = exported(room)
        puts(room, data, "run_7.json")
        listed = await room.done("import_file", {"prompt": "select/exchange_file"})
        assert [one["name"] for one in listed.result["files"]] == ["run_7.json"]
        assert not room.events(ev.ExchangeFileRequested)

        await chooses(room, "run_7.json")
        await room.answers("select/result")
        await room.answers("select/result.verify", BEN.by_pin)

        read = room.events(ev.ExchangeFileRead)[0]
        assert isinstance(read, ev.ExchangeFileRead)
        assert read.blob == hashlib.sha256(data).hexdigest()
        assert room.engine.record.blob(read.blob) == data
        assert room.batch.runs["select"].state == "complete"
        assert room.engine.unit.used_files == {read.blob: room.batch.id}

    told(room, story)


@pytest.mark.requirement("F-036")
@pytest.mark.parametrize(
    ("fault", "reason", "kept"),
    [
        ("wrong_serial", "wrong_device", True),
        ("wrong_programme", "wrong_programme", True),
        ("cut_off", "cut_off", False),
        ("foreign_characters", "not_text", False),
        ("out_of_range", "not_plausible", True),
    ],
)
def test_a_file_with_a_fault_is_refused_on_record_and_kept_only_if_it_is_an_exchange_file(
    room: Room, fault: str, reason: str, kept: bool
) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        data = exported(room, fault=fault, seed=3)
        puts(room, data)
        await chooses(room)

        read = room.events(ev.ExchangeFileRead)[0]
        assert isinstance(read, ev.ExchangeFileRead)
        assert refusal(room).reason == reason
        assert read.sha256 == refusal(room).sha256 == hashlib.sha256(data).hexdigest()
        assert bool(read.blob) is kept
        assert not room.events(ev.ValueRecorded)

    told(room, story)


def test_the_file_of_one_batch_is_not_taken_in_the_next_also_after_a_restart(room: Room) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        data = exported(room)
        puts(room, data)
        await chooses(room)
        first = room.batch.id
        await room.done("abort_batch", {"reason": "Not to be used"}, CLEO.by_password)
        await room.restarts()

        assert room.engine.unit.used_files == {hashlib.sha256(data).hexdigest(): first}

    told(room, story)


@pytest.mark.requirement("F-036")
def test_the_batch_record_shows_device_programme_numbers_file_and_what_was_refused(room: Room) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        puts(room, exported(room, fault="wrong_serial"), "other.json")
        await chooses(room, "other.json")
        data = exported(room)
        puts(room, data)
        await chooses(room)
        await room.answers("select/result")
        await room.answers("select/result.verify", BEN.by_pin)

        page = drawn(report_of(room.engine.record, room.batch.id)).decode()
        section = page[page.rindex("Devices run by people") : page.rindex("Recorded values")]
        for words in (
            "Select CD34 cells", "Cell processor (sorter)", "SELECT-CD34", hashlib.sha256(data).hexdigest(),
            "run.json", "purity out percent", "95.0 %", "recovery worked out", "verified by a second person",
            "p-0002", "SIM-CP-0002", "none was taken",
        ):  # fmt: skip
            assert words in section, words

    told(room, story)


ODD: dict[str, Callable[[Path, Room], object]] = {
    "a link that leads elsewhere": lambda path, room: path.symlink_to(room.home.unit_toml),
    "a pipe without a writer": lambda path, room: os.mkfifo(path),
    "a folder": lambda path, room: path.mkdir(),
    "nothing": lambda path, room: None,
    "more than a file can have": lambda path, room: path.write_bytes(b" " * (BYTES_MAX + 1)),
}


@pytest.mark.parametrize("what", ODD)
def test_what_is_no_plain_file_is_neither_offered_nor_read(room: Room, what: str) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        ODD[what](folder_of(room) / "run.json", room)
        listed = await room.done("import_file", {"prompt": "select/exchange_file"})
        await chooses(room)

        assert listed.result["files"] == [] or what.startswith("more")
        assert refusal(room).reason in ("unreadable", "too_large")
        assert (
            "again" in refusal(room).words
            or "Choose" in refusal(room).words
            or "no exchange" in refusal(room).words
        )

    told(room, story)


def test_a_stick_that_is_not_there_is_told_in_words_and_leaves_nothing_on_record(room: Room) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        folder_of(room).rmdir()
        refused = await room.refused("import_file", {"prompt": "select/exchange_file"})

        assert "Put the stick in" in refused.words
        assert not room.events(ev.ExchangeFileRequested)

    told(room, story)


def test_a_stick_that_hangs_is_told_in_time(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange_folder, "READ_TIMEOUT_S", 0.05)

    async def story() -> None:
        await runs_the_programme(room)
        path = folder_of(room) / "run.json"
        os.mkfifo(path)
        monkeypatch.setattr(os, "O_NONBLOCK", 0)
        for _ in range(4):
            await chooses(room)
        hanging = [one for one in threading.enumerate() if one.name == "exchange folder"]
        os.close(os.open(path, os.O_RDWR))  # the readers that hang are let go

        assert "does not answer" in refusal(room).words
        assert len(hanging) == exchange_folder.HANGING_MAX

    told(room, story)


def test_an_engine_that_dies_while_a_file_is_read_takes_nothing_of_it(room: Room) -> None:
    async def story() -> None:
        await runs_the_programme(room)
        puts(room, exported(room))
        room.engine.effects.carry_out = lambda fact: None  # type: ignore[method-assign]  # it dies before
        await room.done("import_file", {"prompt": "select/exchange_file", "file": "run.json"})
        await room.restarts()
        await room.signs_in()
        await room.done("restart", {"reason": "Looked at everything"})

        read = room.events(ev.ExchangeFileRead)[0]
        assert isinstance(read, ev.ExchangeFileRead) and read.reason == "interrupted"
        await chooses_again(room)
        assert room.events(ev.ExchangeFileAccepted)

    told(room, story)


async def chooses_again(room: Room) -> None:
    await room.done("import_file", {"prompt": "select/exchange_file", "file": "run.json"})
    await room.until(lambda: bool(room.events(ev.ExchangeFileAccepted, ev.ExchangeFileRefused)))


def test_the_device_is_known_from_the_appliance_file_at_each_start(room: Room) -> None:
    async def story() -> None:
        await room.restarts()

        known = [one for one in room.events(ev.DeviceIdentified) if isinstance(one, ev.DeviceIdentified)]
        assert [one.serial_number for one in known] == [SERIAL, SERIAL]
        assert all(one.qualified and "As the appliance file names it" in one.words for one in known)
        assert room.engine.pool.pids() == {} and room.engine.pool.view() == []
        shown = (await room.connects()).devices
        assert [(one.id, one.state, one.readings) for one in shown] == [("sorter", "by_hand", [])]

    told(room, story)


def test_a_calibration_that_has_ended_keeps_the_batch_from_opening(tmp_path: Path) -> None:
    room = equip(make_room(tmp_path / "unit"), RECIPE)
    text = room.home.unit_toml.read_text(encoding="utf-8").replace("2026-12-31", "2026-03-01")
    room.home.unit_toml.write_text(text, encoding="utf-8")

    async def story() -> None:
        await room.signs_in(ADA)
        refused = await room.refused("open_batch", {"order": "ORD-1"})
        assert refused.reason == "device_not_calibrated"

    told(room, story)


def shown_label(room: Room, text: str, name: str) -> None:
    """A label with a Data Matrix and bars of the same text appears before the camera."""
    sheet = Image.new("L", (760, 620), 235)
    bars = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.Code128)
    matrix = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.DataMatrix, force_square=True)
    sheet.paste(Image.fromarray(np.asarray(bars.to_image(scale=3, add_quiet_zones=True))), (40, 40))
    sheet.paste(Image.fromarray(np.asarray(matrix.to_image(scale=8, add_quiet_zones=True))), (40, 300))
    part = room.home.labels / f".{name}"
    sheet.save(part, format="PNG")
    part.rename(room.home.labels / name)


@pytest.mark.requirement("F-036", "R-16")
def test_the_label_of_another_device_is_refused_and_that_of_the_qualified_one_is_known(
    tmp_path: Path,
) -> None:
    room = equip(make_room(tmp_path / "unit"), asking(photo="no", exchange_file="no"))

    async def scans(text: str, name: str) -> None:
        before = len(room.events(ev.ScanRead))
        shown_label(room, text, name)
        await room.done("scan", {"prompt": "select/serial"})
        async with asyncio.timeout(60):
            while len(room.events(ev.ScanRead)) == before:
                await asyncio.sleep(0.05)

    async def story() -> None:
        await room.engine.vision.start()
        try:
            await identifies_the_bag(room)
            await scans("SIM-CP-0002", "another.png")
            refused = room.events(ev.DeviceLabelRefused)[-1]
            assert isinstance(refused, ev.DeviceLabelRefused)
            assert (refused.reason, refused.scanned) == ("wrong_device", "SIM-CP-0002"), refused
            assert room.engine.record.blob(refused.picture).startswith(b"\x89PNG")
            await scans(SERIAL, "right.png")
        finally:
            await room.engine.vision.close()
        read = [one for one in room.events(ev.ValueRecorded) if isinstance(one, ev.ValueRecorded)]
        assert [(one.key, one.value) for one in read] == [("serial_number", SERIAL)]

    told(room, story)


def test_a_picture_is_taken_and_kept_though_no_symbol_is_on_it(tmp_path: Path) -> None:
    room = equip(make_room(tmp_path / "unit"), asking(scan_serial_number="no", exchange_file="no"))
    picture = Path(__file__).parents[2] / "data" / "vision" / "ldc_trypan" / "ldc_0000.png"

    async def story() -> None:
        await room.engine.vision.start()
        try:
            await runs_the_programme(room)
            (room.home.labels / "display.png").write_bytes(picture.read_bytes())
            await room.done("scan", {"prompt": "select/photo"})
            async with asyncio.timeout(60):
                while not room.events(ev.ScanRead)[1:]:
                    await asyncio.sleep(0.05)
        finally:
            await room.engine.vision.close()
        read = room.events(ev.ScanRead)[-1]
        assert isinstance(read, ev.ScanRead)
        assert (read.key, read.texts, read.picture) == (
            "photo",
            [],
            hashlib.sha256(picture.read_bytes()).hexdigest(),
        )

    told(room, story)
    assert replay_folder(room.home.record).difference is None
