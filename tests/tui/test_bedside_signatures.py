"""Signatures, second persons and corrections at the bedside: what a person sees before they sign."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from PIL import Image
from scripted_engine import NOW, SECOND, SIGN, WAIT, ScriptedEngine, accepting, batch, running

from appliance.link.messages import Accepted, Command

PREVIEW = {
    "title": "Wash: correct what was entered",
    "instruction": "The first value stays on record.",
    "meaning": "corrected",
    "signs": "7f3a91c2",
    "facts": [{"label": "Recovery corrected to", "value": "85 %"}],
}


def previewing(engine: ScriptedEngine, command: Command) -> Accepted:
    return Accepted(command_id=command.command_id, seq=2001, result=PREVIEW if not command.proof else {})


@pytest.mark.requirement("R-21", "R-24", "F-056")
def test_at_the_moment_of_signing_name_time_zone_and_meaning_are_on_the_screen(walk):
    async def story(bedside):
        await bedside.tap("Sign with password")

        await bedside.see("Amara Okafor", "performed", " UTC, here ", "CET")

    walk(story, shows=running(SIGN))


@pytest.mark.requirement("R-27")
def test_the_first_signature_of_a_session_asks_for_the_id_and_the_password(walk):
    async def story(bedside):
        await bedside.tap("Sign with password")
        await bedside.tap("Sign with password")
        await bedside.see("Id or badge of Amara Okafor")
        await bedside.pilot.press(*"p-0001", "enter")
        await bedside.see("Password of Amara Okafor")
        await bedside.pilot.press(*"secret", "enter")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        proof = bedside.engine.asked("answer")[0].proof
        assert (proof.person, proof.typed, proof.password) == ("p-0001", "p-0001", "secret")

    walk(story, shows=running(SIGN), answer=accepting(running(WAIT)))


@pytest.mark.requirement("R-21", "R-23", "R-24", "F-057")
def test_the_record_screen_lists_who_signed_what_when_and_what_is_void(walk):
    async def story(bedside):
        await bedside.tap("Record")
        await bedside.tap("Signatures")

        await bedside.see("Amara Okafor", "performed: Sign the batch record", "UTC, here", "CET")
        await bedside.see("VOID.", "Entry 1211 changed what was signed")

    walk(story, shows=running(WAIT))


@pytest.mark.requirement("R-09", "F-055")
def test_one_key_press_shows_the_first_value_and_the_reason_of_its_correction(walk):
    async def story(bedside):
        await bedside.tap("Record")
        await bedside.tap("Typed values")
        await bedside.see("Recovery", "82 %")
        assert not bedside.shows("28 %")

        await bedside.tap("Show the first values")

        await bedside.see("First: 28 %", "Typed wrongly")

    walk(story, shows=running(WAIT))


@pytest.mark.requirement("R-10", "F-055")
def test_a_value_is_corrected_by_keypad_reason_and_password(walk):
    async def story(bedside):
        await bedside.tap("More…")
        await bedside.tap("Correct a value")
        await bedside.see("Readings, counts and scans are not corrected")
        await bedside.tap("Recovery: 82 %")
        await bedside.key_in("85")
        await bedside.tap("Enter")
        await bedside.tap("Typed wrongly")
        await bedside.see("You sign", "corrected", "Recovery corrected to", "85 %")
        await bedside.tap("Sign with password")
        await bedside.pilot.press(*"secret", "enter")

        await bedside.until(lambda: len(bedside.engine.asked("correct")) == 2)
        shown, signed = bedside.engine.asked("correct")
        assert shown.proof is None
        assert signed.body == shown.body | {"signs": "7f3a91c2"}
        assert signed.body["values"] == {"recovery": "85"}
        assert signed.body["reason"] == "Typed wrongly"
        assert signed.proof.password == "secret"

    walk(story, shows=running(WAIT, signature_needs=("password",)), correct=previewing)


def test_a_value_whose_correction_waits_for_a_second_person_is_not_corrected_again(walk):
    async def story(bedside):
        await bedside.tap("More…")
        await bedside.tap("Correct a value")

        await bedside.see("Waits for a second person: 0.06 EU/mL")
        assert bedside.find("Endotoxin: 0.05") is None

    walk(story, shows=running(WAIT))


def test_a_batch_in_which_nobody_typed_anything_says_so(walk):
    async def story(bedside):
        await bedside.tap("More…")
        await bedside.tap("Correct a value")

        await bedside.see("Nobody has typed a value in this batch yet.")

    walk(story, shows=running(WAIT, batch=msgspec.structs.replace(batch(), entered=[])))


@pytest.mark.requirement("F-058")
def test_the_card_says_how_long_a_second_person_has(walk):
    async def story(bedside):
        await bedside.see("A second person looks within 9 min")

    walk(story, shows=running(msgspec.structs.replace(SECOND, until=NOW + timedelta(minutes=9, seconds=40))))


@pytest.mark.requirement("R-17", "F-058")
def test_a_second_person_sees_the_picture_and_the_facts_before_the_pin(walk, tmp_path):
    picture = tmp_path / "label.png"
    Image.new("RGB", (80, 60), "white").save(picture)

    async def story(bedside):
        await bedside.tap("I have checked this myself")
        await bedside.tap("Bram Visser")
        await bedside.see("Touch the picture", "Cleared by")
        assert not bedside.shows("PIN of")

        await bedside.tap("I have checked this myself")

        await bedside.see("PIN of Bram Visser")

    walk(story, shows=running(msgspec.structs.replace(SECOND, picture=str(picture))))
