"""A person sets another PIN or password at the bedside: asked for at once when one was issued for one use."""

from __future__ import annotations

import msgspec
import pytest
from scripted_engine import AMARA, CONFIRM, PASSWORD, PIN, accepting, refusing, running, snapshot

OWING = msgspec.structs.replace(AMARA, must_change=["pin"])
NEW = "573910"


@pytest.mark.requirement("R-28")
def test_who_has_an_issued_pin_is_asked_for_another_one_before_anything_else(walk):
    async def story(bedside):
        await bedside.see("The PIN you have now", "Set another one before anything else")
        await bedside.key_in(PIN)
        await bedside.tap("Enter")
        await bedside.see("Your new PIN")
        await bedside.key_in(NEW)
        await bedside.tap("Enter")
        await bedside.see("Your new PIN once more")
        await bedside.key_in(NEW)
        await bedside.tap("Enter")

        await bedside.see("Signed in: Amara Okafor")
        proof = bedside.engine.asked("change_secret")[0].proof
        assert (proof.person, proof.pin, proof.new) == ("p-0001", PIN, NEW)
        # A body goes on record, so no secret may be in it.
        assert bedside.engine.asked("change_secret")[0].body == {}

    walk(story, shows=snapshot(person=OWING), change_secret=accepting(snapshot(person=AMARA)))


def test_two_new_ones_that_differ_are_asked_for_again_and_a_refusal_is_shown(walk):
    async def story(bedside):
        for second, said in (("111111", "The two new ones differ"), (NEW, "was used before")):
            await bedside.see("The PIN you have now")
            await bedside.key_in(PIN)
            await bedside.tap("Enter")
            await bedside.see("Your new PIN")
            await bedside.key_in(NEW)
            await bedside.tap("Enter")
            await bedside.see("Your new PIN once more")
            await bedside.key_in(second)
            await bedside.tap("Enter")
            await bedside.see(said)

        assert len(bedside.engine.asked("change_secret")) == 1

    walk(
        story,
        shows=snapshot(person=OWING),
        change_secret=refusing("This one was used before. Choose another one.", "secret_used"),
    )


def test_who_goes_back_is_signed_out_and_stop_is_there_all_the_time(walk):
    async def story(bedside):
        await bedside.see("The PIN you have now", "STOP")
        await bedside.tap("Back")

        await bedside.see("Nobody is signed in.")
        assert bedside.engine.asked("sign_out")

    walk(story, shows=snapshot(person=OWING), sign_out=accepting(snapshot()))


def test_a_person_changes_the_password_of_their_own_accord(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Change your PIN or password")
        await bedside.tap("Change the password")
        for asked, typed in (
            ("The password you have now", PASSWORD),
            ("Your new password", "eleven small boats"),
            ("Your new password once more", "eleven small boats"),
        ):
            await bedside.see(asked)
            await bedside.pilot.press(*typed.replace(" ", "_").replace("_", " "))
            await bedside.tap("Enter")

        await bedside.until(lambda: bedside.engine.asked("change_secret"))
        proof = bedside.engine.asked("change_secret")[0].proof
        assert (proof.password, proof.new) == (PASSWORD, "eleven small boats")

    walk(story, shows=running(CONFIRM), change_secret=accepting(running(CONFIRM)))
