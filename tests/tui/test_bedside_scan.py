"""Before the camera, by taps: aim, end it, a tick that leaves, a stop that stays, a number typed by two."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import msgspec
import pytest
from scripted_engine import (
    AMARA,
    PIN,
    SCAN,
    TYPED,
    UNDER_WAY,
    WAIT,
    ScriptedEngine,
    accepting,
    checking_pin,
    refusing,
    running,
    snapshot,
)

from appliance.domain import isbt128
from appliance.link.messages import Accepted, BadgeView, Command
from tui.screens import scan as scan_screen
from tui.screens.scan import NotReadScreen, ScanScreen, TickScreen

DIN = "A999926123456"
WHOLE = DIN + isbt128.check_character(DIN)
LABEL = [isbt128.din_text(DIN), isbt128.product_text("S1295", "V", "00")]
SECOND = msgspec.structs.replace(
    TYPED,
    id="receive-bag/typed:din.verify",
    needs="second_person",
    button="Type it again",
    not_by=[AMARA.id],
    roles=["verifier"],
    fields=TYPED.fields[2:],
)


@pytest.fixture(autouse=True)
def short_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick that leaves sooner leaves by the same clock."""
    monkeypatch.setattr(scan_screen, "TICK_STAYS_S", 0.5)


def writes(path: Path, number: int, *hints: str, seen: bool = False, pixels: bool = True) -> None:
    """The file as the camera's program leaves it."""
    outlines = [[[0.2, 0.3], [0.8, 0.3], [0.8, 0.5], [0.2, 0.5]]] if seen else []
    said = {"number": number, "hints": list(hints), "outlines": outlines, "pixels": pixels, "aspect": 1.778}
    grey = bytes(range(0, 240, 15)) * 9 if pixels else b"\0"
    size = b"16 9" if pixels else b"1 1"
    part = path.with_suffix(".part")
    part.write_bytes(b"P5\n# " + json.dumps(said).encode() + b"\n" + size + b"\n255\n" + grey)
    part.replace(path)


async def held_until(bedside, words: str, path: Path, *hints: str, **more: bool) -> None:
    """The camera goes on to write, as it does while a hand holds the label, until these words are seen."""
    ends_s, number = time.monotonic() + 15.0, time.monotonic_ns()
    while not bedside.shows(words):
        assert time.monotonic() < ends_s, f"never seen: {words}\n{bedside.text()}"
        number += 1
        writes(path, number, *hints, **more)
        await asyncio.sleep(0.12)


def begins(path: Path | str = "") -> object:
    """The engine takes the scan and says that it is under way."""

    def answer(engine: ScriptedEngine, command: Command) -> Accepted:
        engine.show(running(WAIT, scan=UNDER_WAY, aiming=str(path)))
        return Accepted(command_id=command.command_id, seq=2000)

    return answer


def reads(engine: ScriptedEngine, texts: list[str], *prompts: object, **refusal: str) -> None:
    """The scan is over: what was read, what follows, and what is asked then."""
    body = {"phase": "receive-bag", "key": "din", "scan_id": "S-7", "texts": texts, "identifiers": []}
    engine.tell("ScanRead", **body)
    if refusal:
        engine.tell("BagRefused", phase="receive-bag", **refusal)
    engine.show(running(*(prompts or (SCAN,))))


@pytest.mark.requirement("F-001", "F-004")
def test_while_a_scan_runs_the_picture_is_shown_with_what_to_change(walk, tmp_path):
    path = tmp_path / "aiming.pgm"

    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("ends by itself in", "Hold the bag's label")
        await held_until(bedside, "▀▀▀▀▀▀▀▀", path, "glare")
        await held_until(bedside, "tilt the label a little", path, "glare")
        await held_until(bedside, "Good: hold still", path, seen=True)
        path.unlink()
        await bedside.see("The camera looks")
        assert "▀▀▀▀▀▀▀▀" not in bedside.text()

    walk(story, shows=running(SCAN, aiming=str(path)), scan=begins(path), size=(80, 24))


def test_at_the_patients_side_there_is_no_picture_but_the_place_of_what_is_seen(walk, tmp_path):
    path = tmp_path / "aiming.pgm"
    at_patient = msgspec.structs.replace(UNDER_WAY, at_patient=True)

    async def story(bedside):
        await bedside.tap("Show the camera")
        await held_until(bedside, "No picture at the patient's side", path, pixels=False)

    walk(story, shows=running(WAIT, scan=at_patient, aiming=str(path)))


@pytest.mark.requirement("F-001")
def test_a_scan_can_be_ended_by_a_tap_and_by_a_key_and_nothing_is_accepted(walk):
    async def story(bedside):
        for end in ("tap", "key"):
            bedside.engine.show(running(SCAN))
            await bedside.tap("Scan the bag")
            await bedside.until(lambda: isinstance(bedside.app.screen, ScanScreen))
            await bedside.see("ends by itself")
            if end == "tap":
                await bedside.tap("End the scan")
            else:
                await bedside.pilot.press("escape")
            await bedside.see("The scan was ended.")

        assert [one.body for one in bedside.engine.asked("cancel_scan")] == [{"scan": "S-7"}] * 2

    walk(story, shows=running(SCAN), scan=begins(), cancel_scan=accepting(running(SCAN)))


@pytest.mark.requirement("F-004")
def test_a_label_that_was_read_is_ticked_with_what_it_says_and_the_tick_leaves_by_itself(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("ends by itself")
        reads(bedside.engine, LABEL, WAIT)
        await bedside.until(lambda: isinstance(bedside.app.screen, TickScreen))
        ticked_s = time.monotonic()
        await bedside.see("A9999 26 123456", "S1295V00", "██")
        await bedside.see("The bag warms in the bath")

        assert 0.4 < time.monotonic() - ticked_s < 3.0

    walk(story, shows=running(SCAN), scan=begins())


@pytest.mark.requirement("F-003")
def test_a_wrong_label_is_a_full_red_stop_that_stays_until_it_is_touched(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("ends by itself")
        reads(bedside.engine, LABEL, reason="wrong_kind", words="Put the bag aside. Call the supervisor.")
        await bedside.see("do not continue", "Put the bag aside.")
        await asyncio.sleep(scan_screen.TICK_STAYS_S + 0.3)
        await bedside.see("do not continue")
        await bedside.tap("I have read this")

        await bedside.see("Hold the bag's label")

    walk(story, shows=running(SCAN), scan=begins())


@pytest.mark.requirement("F-005")
def test_two_labels_in_one_picture_ask_for_another_look_without_a_stop(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("ends by itself")
        reads(bedside.engine, [], reason="two_labels", words="Show one label.")
        await bedside.see("Not read", "Show one label.")
        assert bedside.find("Type the number") is None and "do not continue" not in bedside.text()
        await bedside.tap("Scan again")
        await bedside.until(lambda: len(bedside.engine.asked("scan")) == 2)

    walk(story, shows=running(SCAN), scan=begins())


@pytest.mark.requirement("F-005")
def test_a_number_is_typed_with_keys_that_can_follow_and_its_check_character_is_judged_at_once(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("ends by itself")
        two = msgspec.structs.replace(TYPED, fields=[TYPED.fields[0], TYPED.fields[2]])
        reads(bedside.engine, [], SCAN, two, reason="not_read", words="The picture is blurred.")
        await bedside.tap("Type the number")
        await bedside.see("Donation number")
        off = {one.words for one in bedside.app.screen.query("#keyboard TouchButton") if one.disabled}
        assert {"O", "0"} <= off and not {"A", "1"} & off
        await bedside.tap("A")
        await bedside.pilot.press(*DIN[1:], "1" if WHOLE[-1] != "1" else "2")
        await bedside.see("A9999 26 123456 [", "does not fit")
        assert bedside.find("Enter and go on") is None
        await bedside.pilot.press("backspace", WHOLE[-1].lower())
        await bedside.see("The check character fits.")
        await bedside.tap("Enter and go on")
        await bedside.see("Year, month, day")
        await bedside.pilot.press(*"20260503")
        await bedside.see("2026-05-03")
        await bedside.tap("Enter")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        command = bedside.engine.asked("answer")[0]
        typed = {"din": WHOLE, "expires": "20260503"}
        assert command.body == {"prompt": TYPED.id, "values": typed} and command.proof is None
        await bedside.see("A different person types it again")

    walk(story, shows=running(SCAN), scan=begins(), answer=accepting(running(SCAN, SECOND)))


@pytest.mark.requirement("F-005")
def test_the_second_person_types_without_a_hint_and_proves_it_by_pin(walk):
    def takes(engine: ScriptedEngine, command: Command) -> Accepted:
        reads(engine, LABEL, WAIT)
        return Accepted(command_id=command.command_id, seq=2001)

    async def story(bedside):
        await bedside.tap("Type it again")
        await bedside.see("Expiry as it stands on the label")
        shown = bedside.text()
        await bedside.pilot.press(*"20260503", "enter")
        await bedside.tap("Bram Visser")
        await bedside.key_in(PIN)
        await bedside.tap("Confirm as Bram Visser")
        await bedside.until(lambda: isinstance(bedside.app.screen, TickScreen))

        assert "A9999 26" not in shown
        assert bedside.engine.asked("answer")[0].proof.person == "p-0002"

    walk(story, shows=running(SECOND), answer=takes)


@pytest.mark.soak  # the engine's story of three such entries is in `make test`
@pytest.mark.requirement("F-005")
def test_two_entries_that_differ_are_said_and_neither_is_shown(walk):
    words = "The two entries differ (1 of 3). Both read the label again and type anew."

    def differs(engine: ScriptedEngine, command: Command) -> Accepted:
        engine.tell("TypedEntriesDiffered", phase="receive-bag", key="din", tries=1, words=words)
        engine.show(running(SCAN, TYPED))
        return Accepted(command_id=command.command_id, seq=2001)

    async def story(bedside):
        await bedside.tap("Type it again")
        await bedside.see("Expiry as it stands on the label")
        await bedside.pilot.press(*"20260503", "enter")
        await bedside.tap("Bram Visser")
        await bedside.key_in(PIN)
        await bedside.tap("Confirm as Bram Visser")
        await bedside.see("The two entries differ (1 of 3).")

    walk(story, shows=running(SECOND), answer=differs)


@pytest.mark.requirement("F-003")
def test_a_badge_before_the_camera_names_who_signs_in_and_the_pin_follows(walk, tmp_path):
    aiming = str(tmp_path / "aiming.pgm")

    def sees(engine: ScriptedEngine, command: Command) -> Accepted:
        seen = BadgeView(scan="badge:1", state="read", badge="='A9999000123", name="Amara Okafor")
        engine.show(snapshot(aiming=aiming, badge=seen))
        return Accepted(command_id=command.command_id, seq=2000, result={"scan": "badge:1"})

    async def story(bedside):
        await bedside.tap("Sign in")
        await bedside.tap("Show a badge to the camera")
        await bedside.see("PIN of Amara Okafor")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")
        await bedside.see("Signed in: Amara Okafor")

        assert bedside.engine.asked("sign_in")[0].proof.person == "='A9999000123"
        assert len(bedside.engine.asked("forget_badge")) == 1

    walk(
        story,
        shows=snapshot(aiming=aiming),
        read_badge=sees,
        sign_in=checking_pin(snapshot(person=AMARA)),
    )


@pytest.mark.soak
def test_something_that_is_no_badge_is_said_and_can_be_shown_again(walk, tmp_path):
    aiming = str(tmp_path / "aiming.pgm")

    def sees(engine: ScriptedEngine, command: Command) -> Accepted:
        scan = f"badge:{len(engine.asked('read_badge'))}"
        seen = BadgeView(scan=scan, state="not_read", words="This is no badge of this unit's people.")
        engine.show(snapshot(aiming=aiming, badge=seen))
        return Accepted(command_id=command.command_id, seq=2000, result={"scan": scan})

    async def story(bedside):
        await bedside.tap("Sign in")
        await bedside.tap("Show a badge to the camera")
        await bedside.see("This is no badge")
        await bedside.tap("Scan again")
        await bedside.until(lambda: len(bedside.engine.asked("read_badge")) == 2)
        await bedside.until(lambda: isinstance(bedside.app.screen, NotReadScreen))

    walk(story, shows=snapshot(aiming=aiming), read_badge=sees)


@pytest.mark.soak
def test_a_scan_that_the_engine_refuses_is_said_in_its_words(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("This question is no longer open.")

    walk(story, shows=running(SCAN), scan=refusing("This question is no longer open.", "not_open"))
