"""The camera in the hands of a person: aim, end a scan, pull the cable, type the label, show a badge."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from engine_room import ADA, BEN, CLEO, DIN, STATION, Room, bag_texts, make_room, told

from appliance.domain import events as ev
from appliance.domain import isbt128, typed_entry
from appliance.domain.batch import DeviceSpec
from appliance.domain.errors import NotPlausible
from appliance.domain.prompts import Prompt
from appliance.engine.scan_commands import nameless
from appliance.engine.scanning import BadgeLook
from appliance.record.report import exceptions
from tests.vision.net_camera import NetCamera, net_camera
from vision.labels.locate import Gray

EMPTY = np.full((720, 1280), 100, np.uint8)
BAG_ENTRY = {"din": DIN + isbt128.check_character(DIN), "product": "S9991100", "expires": "202612270800"}
TYPED = "bag/typed:bag"


def shown_label() -> Gray:
    """The three symbols of the bag's label, large on white."""
    import zxingcpp

    picture = np.full((720, 1280), 245, np.uint8)
    for place, text in enumerate(bag_texts()):
        matrix = place == 2
        format = zxingcpp.BarcodeFormat.DataMatrix if matrix else zxingcpp.BarcodeFormat.Code128
        symbol = np.asarray(
            zxingcpp.create_barcode(text, format).to_image(scale=8 if matrix else 4), np.uint8
        )
        if not matrix:
            symbol = np.repeat(symbol[:1], 110, axis=0)
        top = 60 + 180 * place
        picture[top : top + symbol.shape[0], 120 : 120 + symbol.shape[1]] = symbol
    return np.asarray(cv2.GaussianBlur(picture, (3, 3), 0), np.uint8)


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


def at_a_camera(room: Room, camera: NetCamera, story: Callable[[], Awaitable[None]]) -> None:
    """The same room with a camera in the network and a real worker that looks through it."""
    text = room.home.unit_toml.read_text("utf-8")
    room.home.unit_toml.write_text(text.replace('"sources/labels"', f'"{camera.url}"'), "utf-8")

    async def seen() -> None:
        await room.engine.vision.start()
        try:
            await room.goes_to("bag/bag")
            await story()
        finally:
            await room.engine.vision.close()

    told(room, seen)


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> float:
    """Wait in real time; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not come to pass"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.requirement("F-001", "F-003")
def test_a_person_aims_ends_a_scan_pulls_the_cable_and_scans_on_without_a_restart(room: Room) -> None:
    with net_camera(EMPTY) as camera:

        async def story() -> None:
            aiming = Path((await room.connects()).aiming)
            read = lambda: room.events(ev.ScanRead)  # noqa: E731
            await room.done("scan", {"prompt": "bag/bag"})
            await until(aiming.exists)
            scan = (await room.connects()).scan
            assert scan is not None and (scan.prompt, scan.limit_s) == ("bag/bag", "20")
            await room.done("cancel_scan", {"scan": scan.id})
            assert await until(lambda: len(read()) == 1) < 2.0
            after = await room.connects()
            assert (after.scan, [one.id for one in after.prompts]) == (None, ["bag/bag"])
            assert not aiming.exists() and room.events(ev.BagRefused) == []

            await room.done("scan", {"prompt": "bag/bag"})
            await until(aiming.exists)
            camera.unplug()
            assert await until(lambda: len(read()) == 2) < 2.0
            refused = room.events(ev.BagRefused)
            assert isinstance(refused[0], ev.BagRefused)
            assert refused[0].reason == "not_read" and "camera" in refused[0].words
            assert room.events(ev.BagAccepted) == []

            camera.plug_in()
            camera.scene = shown_label()
            await room.done("scan", {"prompt": "bag/bag"})
            await until(lambda: len(read()) == 3)
            assert [type(one) for one in room.events(ev.BagAccepted)] == [ev.BagAccepted]
            assert list(room.home.run.glob("*aiming*")) == []

        at_a_camera(room, camera, story)


@pytest.mark.requirement("F-005")
def test_a_typed_label_is_on_record_as_typed_and_no_screen_shows_the_first_entry(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        await not_read(room)
        await room.done("answer", {"prompt": TYPED, "values": BAG_ENTRY})
        snapshot = await room.connects()
        second = next(one for one in snapshot.prompts if one.id == f"{TYPED}.verify")
        same = await room.refused("answer", {"prompt": second.id, "values": BAG_ENTRY}, ADA.by_pin)
        await room.done("answer", {"prompt": second.id, "values": BAG_ENTRY}, BEN.by_pin)

        said = json.dumps(
            [str(one) for one in snapshot.prompts] + [str(snapshot.batch and snapshot.batch.phases)]
        )
        assert BAG_ENTRY["din"] not in said and "S9991100" not in said
        assert (second.typed, second.not_by, second.until is not None) == ("bag", [ADA.id], True)
        assert same.reason == "same_person"
        read = room.events(ev.ScanRead)[-1]
        assert isinstance(read, ev.ScanRead) and set(read.symbologies) == {"typed"}
        assert len(room.events(ev.BagAccepted)) == 1
        assert "typed by two people" in str(room.events(ev.DeviationOpened)[-1])

    told(room, story)  # which decides the whole record again


@pytest.mark.requirement("F-005", "F-058")
def test_entries_that_differ_three_times_hold_the_step_and_are_decided_the_same_again(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        await not_read(room)
        for _ in range(3):
            await room.done("answer", {"prompt": TYPED, "values": BAG_ENTRY})
            other = BAG_ENTRY | {"product": "S9991101"}
            await room.done("answer", {"prompt": f"{TYPED}.verify", "values": other}, BEN.by_pin)
        refused = await room.refused("restart", {"reason": "Looked at the label"})
        await room.done("restart", {"reason": "Looked at the label"}, CLEO.by_pin)

        assert refused.reason == "supervisor_needed"
        assert [one.id for one in (await room.connects()).prompts] == ["bag/bag"]

    told(room, story)


@pytest.mark.requirement("F-005", "F-009")
def test_a_typed_wristband_of_another_patient_goes_on_record_as_a_hash_alone(room: Room) -> None:
    own, other = "CHA999926000001", "CHA999926000002"

    async def story() -> None:
        await room.begins_batch()
        prompt = Prompt(
            phase="hand_over",
            key="typed:wristband",
            kind="enter",
            title="",
            instruction="",
            button="",
            typed=typed_entry.COI,
        )
        ours = nameless(room.engine, prompt, {"coi": own + isbt128.check_character(own)})
        theirs = nameless(room.engine, prompt, {"coi": other + isbt128.check_character(other)})
        again = nameless(room.engine, prompt, {"coi": other + isbt128.check_character(other)})
        with pytest.raises(NotPlausible):
            nameless(room.engine, prompt, {"coi": own})

        assert ours == {"coi": own + isbt128.check_character(own)}
        assert theirs == again and theirs["coi"].startswith("keyed:") and other not in theirs["coi"]
        assert typed_entry.entry_of(typed_entry.COI, theirs).texts == (theirs["coi"],)

    told(room, story)


def test_a_reviewer_sees_each_typed_label_and_each_pair_that_differed() -> None:
    typed = {"phase": "bag", "key": "bag", "part": "second", "number": 2}
    differed = {"phase": "bag", "key": "bag", "tries": 1, "words": "The two entries differ."}

    assert exceptions._by_kind("LabelTyped", {**typed, "part": "first"}) is None
    group, words = exceptions._by_kind("LabelTyped", typed) or ("", "")
    assert group == "Identity" and "typed by two people" in words and "2" in words
    assert "The two entries differ." in str(exceptions._by_kind("TypedEntriesDiffered", differed))


@pytest.mark.parametrize(
    ("texts", "state"),
    [(("=-XX00027QzE", "4711"), "read"), (("4712",), "not_read"), ((), "not_read")],
)
def test_equipment_is_known_by_its_serial_number_and_not_by_its_catalogue_number(
    room: Room, texts: tuple[str, ...], state: str
) -> None:
    async def story() -> None:
        unit, scanning = room.engine.unit, room.engine.effects.scanning
        unit.devices["scale"] = DeviceSpec("scale", "balance", "Balance")
        unit.identities["scale"] = {"serial_number": "4711"}
        look = scanning.begin_badge(STATION, "equipment")
        look.texts, look.state = texts, "read" if texts else "not_read"
        badge = (await room.connects()).badge
        assert badge is not None and badge.state == state
        assert badge.badge == ("scale" if state == "read" else "")
        refused = await room.refused("read_badge", {"of": "visitors"})
        assert refused.reason == "not_plausible"

    told(room, story)


async def not_read(room: Room) -> None:
    """A look at the label that read nothing."""
    engine = room.engine
    read = ev.ScanRead(
        phase="bag",
        key="bag",
        scan_id="S-0",
        texts=[],
        symbologies=[],
        reasons=["blur"],
        picture="",
    )
    await engine._report(read)


@pytest.mark.requirement("F-003")
@pytest.mark.parametrize(
    ("texts", "state", "words"),
    [
        ((f"BADGE-{BEN.id}",), "read", ""),
        (("='A9999000123",), "not_read", "no badge of this unit"),
        ((f"BADGE-{BEN.id}", f"BADGE-{ADA.id}"), "not_read", "Several badges"),
        ((), "not_read", "The picture is dark"),
    ],
)
def test_a_badge_before_the_camera_names_a_person_and_proves_nothing(
    room: Room, texts: tuple[str, ...], state: str, words: str
) -> None:
    async def story() -> None:
        before = room.engine.journal.head.seq
        scanning = room.engine.effects.scanning

        async def seen(look: BadgeLook) -> None:
            look.texts, look.reasons = texts, () if texts else ("dark",)
            look.state = "read" if texts else "not_read"

        scanning.badge = seen  # type: ignore[method-assign]
        await room.done("read_badge")
        await room.until(lambda: scanning.badge_at(STATION).state != "looking")  # type: ignore[union-attr]
        badge = (await room.connects()).badge
        assert badge is not None and badge.state == state and words in badge.words
        if state == "read":
            assert badge.name.startswith(BEN.id) and (await room.connects()).person is None
            proof = BEN.by_pin
            proof.person = badge.badge
            await room.done("sign_in", {"person": badge.badge}, proof)
        else:
            assert room.engine.journal.head.seq == before  # nothing of a badge is on record
        await room.done("forget_badge")
        assert (await room.connects()).badge is None

    told(room, story)
