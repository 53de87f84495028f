"""Maintenance and a second person qualify an exchanged device at the bedside."""

from __future__ import annotations

import msgspec
import pytest
from scripted_engine import AMARA, PIN, WAIT, accepting, devices, refusing, running

from appliance.link.messages import Accepted, BadgeView, PersonView

MIA = PersonView(id="p-0009", name="Mia Lund", roles=["maintenance"])


def exchanged() -> list[object]:
    """The pump is another one; the bath has told nothing of itself."""
    balance, pump, bath = devices()
    pump.state, pump.fitness = "ready", "NOT QUALIFIED: it is given no order. Call maintenance."
    pump.identity = {"maker": "New Era", "model": "NE1000", "serial_number": "4711", "firmware": "3.94"}
    return [balance, pump, bath]


@pytest.mark.requirement("F-029")
def test_two_people_qualify_the_device_that_is_connected_and_see_what_it_tells(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Qualify a device")
        await bedside.see("serial number 4711, firmware 3.94", "Does not answer. Connect it first.")
        await bedside.tap("Syringe pump")
        await bedside.see("calibration hold")
        await bedside.tap("As before")
        await bedside.see("qualification hold")
        await bedside.tap("As before")
        await bedside.tap("The device was exchanged")
        await bedside.see("Who is the second person?")
        assert bedside.find("Amara Okafor") is None, "an operator confirms no qualification"
        await bedside.tap("Bram Visser")
        await bedside.see("serial number 4711")
        await bedside.key_in(PIN)
        await bedside.tap("Qualify it")

        await bedside.until(lambda: bedside.engine.asked("qualify_device"))
        asked = bedside.engine.asked("qualify_device")[0]
        assert asked.body == {
            "device": "pump",
            "serial_number": "4711",
            "firmware": "3.94",
            "calibrated_until": "",
            "qualified_until": "",
            "reason": "The device was exchanged; its plate was compared",
        }
        assert (asked.proof.person, asked.proof.pin) == ("p-0002", PIN)

    shows = running(WAIT, person=MIA, devices=exchanged())
    walk(story, shows=shows, qualify_device=accepting(shows))


def test_the_device_is_chosen_by_showing_its_label(walk, tmp_path):
    shows = running(WAIT, person=MIA, devices=exchanged(), aiming=str(tmp_path / "aiming.pgm"))

    def sees(engine, command):
        seen = BadgeView(scan="badge:1", state="read", badge="pump", name="Syringe pump")
        engine.show(msgspec.structs.replace(shows, badge=seen))
        return Accepted(command_id=command.command_id, seq=2000, result={"scan": "badge:1"})

    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Qualify a device")
        await bedside.tap("Show its label to the camera")
        await bedside.see("calibration hold")

        assert bedside.engine.asked("read_badge")[0].body == {"of": "equipment"}

    walk(story, shows=shows, read_badge=sees)


def test_a_day_is_typed_and_a_refusal_is_shown_before_the_pin_is_asked_again(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Qualify a device")
        await bedside.tap("Syringe pump")
        await bedside.tap("Another day")
        await bedside.see("Year-month-day")
        await bedside.pilot.press(*"2020")
        await bedside.tap("Enter")
        await bedside.tap("As before")
        await bedside.tap("It was calibrated")
        await bedside.tap("Bram Visser")
        await bedside.key_in(PIN)
        await bedside.tap("Qualify it")

        await bedside.see("write a day that is not over")
        assert bedside.engine.asked("qualify_device")[0].body["calibrated_until"] == "2020"

    words = "The calibration holds up to '2020': write a day that is not over, such as 2027-06-30."
    shows = running(WAIT, person=MIA, devices=exchanged())
    walk(story, shows=shows, qualify_device=refusing(words))


def test_nobody_else_is_offered_to_qualify_a_device(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.see("Write a comment")

        assert bedside.find("Qualify a device") is None

    walk(story, shows=running(WAIT, person=AMARA, devices=exchanged()))
