"""Two people open the emergency account at the bedside, and one of them comes back to it."""

from __future__ import annotations

from scripted_engine import AMARA, CONFIRM, NOW, PIN, accepting, running, snapshot

from appliance.link.messages import AlarmView, PersonView

REASON = "The unit must be left and the product secured"
OPEN = AlarmView(
    id="people:emergency:1",
    priority="medium",
    title="Emergency account open",
    cause="Opened by Amara Okafor and Bram Visser",
    action="Finish what runs, then sign out.",
    state="active",
    raised_at=NOW,
)
EMERGENCY = PersonView(id="emergency", name="Emergency account of Amara and Bram", roles=["emergency"])


def test_two_people_open_the_emergency_account_with_a_reason(walk):
    async def story(bedside):
        await bedside.tap("More")
        await bedside.tap("Open the emergency account")
        await bedside.tap(REASON)
        await bedside.see("Who is the second person?")
        assert bedside.find("Amara Okafor") is None
        await bedside.tap("Bram Visser")
        await bedside.see("It ends after 24 hours")
        await bedside.key_in(PIN)
        await bedside.tap("Open it")

        await bedside.until(lambda: bedside.engine.asked("open_emergency"))
        asked = bedside.engine.asked("open_emergency")[0]
        assert asked.body == {"reason": REASON}
        assert (asked.proof.person, asked.proof.pin) == ("p-0002", PIN)

    after = running(CONFIRM, person=EMERGENCY, alarms=[OPEN])
    walk(story, shows=running(CONFIRM), open_emergency=accepting(after))


def test_one_of_the_two_goes_on_after_the_session_was_lost(walk):
    async def story(bedside):
        await bedside.tap("Sign in")
        await bedside.tap("Go on under the emergency account")
        await bedside.see("Which of the two are you?")
        await bedside.tap("Bram Visser")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")

        await bedside.until(lambda: bedside.engine.asked("sign_in"))
        asked = bedside.engine.asked("sign_in")[0]
        assert asked.body == {"person": "emergency"}
        assert (asked.proof.person, asked.proof.pin) == ("p-0002", PIN)

    walk(story, shows=snapshot(alarms=[OPEN]), sign_in=accepting(snapshot(person=EMERGENCY, alarms=[OPEN])))


def test_everybody_else_signs_in_with_their_own_account_while_it_is_open(walk):
    async def story(bedside):
        await bedside.tap("Sign in")
        await bedside.tap("Sign in with your own account")
        await bedside.tap("Amara Okafor")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")

        await bedside.see("Signed in: Amara Okafor")

    walk(story, shows=snapshot(alarms=[OPEN]), sign_in=accepting(snapshot(person=AMARA, alarms=[OPEN])))
