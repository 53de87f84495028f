"""Each kind of prompt, from the instruction to the command it ends in, by taps alone."""

from __future__ import annotations

import msgspec
from PIL import Image
from scripted_engine import (
    AMARA,
    CONFIRM,
    ENTER,
    PASSWORD,
    PIN,
    REVIEW,
    SCAN,
    SECOND,
    SIGN,
    WAIT,
    accepting,
    batch,
    checking_pin,
    refusing,
    running,
    snapshot,
)

WRONG_BAG = "This bag is A9991 26 654321. This batch is A9991 26 123456. Put the bag aside."


def test_a_person_signs_in_by_name_and_pin_and_a_wrong_pin_is_answered_in_the_engines_words(walk):
    async def story(bedside):
        await bedside.see("Nobody is signed in.")
        await bedside.tap("Sign in")
        await bedside.tap("Amara Okafor")
        await bedside.key_in("111111")
        await bedside.tap("Sign in")
        await bedside.see("The PIN is not right. Two more tries.")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")

        await bedside.see("Signed in: Amara Okafor")
        proofs = [command.proof for command in bedside.engine.asked("sign_in")]
        assert [(proof.person, proof.pin) for proof in proofs] == [("p-0001", "111111"), ("p-0001", PIN)]

    walk(story, sign_in=checking_pin(snapshot(person=AMARA)))


def test_a_badge_reader_that_types_is_understood_whatever_has_focus(walk):
    async def story(bedside):
        await bedside.tap("Sign in")
        await bedside.see("Who are you?")
        await bedside.pilot.press(*"B77", "enter")
        await bedside.see("PIN of the person with this badge")
        await bedside.key_in(PIN)
        await bedside.tap("Sign in")

        await bedside.see("Signed in: Amara Okafor")
        assert bedside.engine.asked("sign_in")[0].proof.person == "B77"

    walk(story, sign_in=checking_pin(snapshot(person=AMARA)))


def test_an_order_is_opened_and_the_run_screen_follows(walk):
    async def story(bedside):
        await bedside.tap("Open an order")
        await bedside.see("its recipe is not signed")
        assert bedside.find("O-2026-0118") is None
        await bedside.tap("O-2026-0117")

        await bedside.see("Remove everything of any earlier batch")
        assert bedside.engine.asked("open_batch")[0].body == {"order": "O-2026-0117"}

    walk(story, shows=snapshot(person=AMARA), open_batch=accepting(running(CONFIRM, current=1)))


def test_a_confirm_prompt_takes_one_tap(walk):
    async def story(bedside):
        await bedside.see("Clear the line", "B-000041, handed over")
        await bedside.tap("The line is clear")

        await bedside.see("The bag warms in the bath")
        command = bedside.engine.asked("answer")[0]
        assert command.body == {"prompt": CONFIRM.id, "values": {}}
        assert command.proof is None

    walk(story, shows=running(CONFIRM, current=1), answer=accepting(running(WAIT)))


def test_a_second_person_is_offered_only_to_others_and_sees_the_facts_beside_the_keypad(walk):
    async def story(bedside):
        await bedside.tap("I have checked this myself")
        await bedside.see("Who is the second person?", "somebody else than: Amara Okafor")
        assert bedside.find("Amara Okafor") is None
        await bedside.tap("Bram Visser")
        await bedside.see("PIN of Bram Visser", "Cleared by", "12:01:40 UTC")
        await bedside.key_in(PIN)
        await bedside.tap("Confirm as Bram Visser")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        proof = bedside.engine.asked("answer")[0].proof
        assert (proof.person, proof.pin, proof.password) == ("p-0002", PIN, "")

    walk(story, shows=running(SECOND), answer=accepting(running(WAIT)))


def test_a_scan_says_what_is_expected_and_goes_on_when_it_matches(walk):
    async def story(bedside):
        await bedside.see("Expected: DIN A9991 26 123456")
        await bedside.tap("Scan the bag")

        await bedside.see("The bag warms in the bath")
        assert bedside.engine.asked("scan")[0].body == {"prompt": SCAN.id}

    walk(story, shows=running(SCAN), scan=accepting(running(WAIT)))


def test_a_wrong_bag_fills_the_screen_with_a_stop_that_must_be_read(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("do not continue", "This bag is A9991 26 654321.", "Put the bag aside.")
        assert bedside.find("Scan") is None
        await bedside.tap("I have read this")

        await bedside.see("Hold the bag's label to the camera")

    walk(story, shows=running(SCAN), scan=refusing(WRONG_BAG, "wrong_bag"))


def test_a_label_that_could_not_be_read_asks_for_another_look_without_a_full_stop(walk):
    async def story(bedside):
        await bedside.tap("Scan the bag")
        await bedside.see("No label was seen. Hold it flat.")

        assert "do not continue" not in bedside.text()

    walk(story, shows=running(SCAN), scan=refusing("No label was seen. Hold it flat.", "not_read"))


def test_a_bag_refused_at_another_screen_stops_this_one_too(walk):
    async def story(bedside):
        await bedside.see("Receive the bag")
        bedside.engine.tell("BagRefused", reason="wrong_bag", words=WRONG_BAG)

        await bedside.see("do not continue", "Put the bag aside.")

    walk(story, shows=running(SCAN))


def test_values_are_entered_one_by_one_and_the_range_is_judged_while_typing(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.see("Allowed: 0.01 to 10.00 EU/mL", "nothing entered yet")
        await bedside.key_in("12")
        await bedside.see("ABOVE the range")
        assert bedside.find("Enter and go on") is None
        await bedside.tap("Clear")
        await bedside.key_in("0.25")
        await bedside.see("within the range")
        await bedside.tap("Enter and go on")
        await bedside.tap("No organisms seen")
        await bedside.see("Lot of the cartridge")
        for letter in "ab":
            await bedside.tap(letter)
        await bedside.tap("123")
        await bedside.tap("7")
        await bedside.tap("Enter")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        values = bedside.engine.asked("answer")[0].body["values"]
        assert values == {"endotoxin_eu_ml": "0.25", "gram": "none_seen", "cartridge_lot": "ab7"}

    walk(story, shows=running(ENTER), answer=accepting(running(WAIT)))


def test_a_temperature_below_zero_is_typed_with_its_point(walk):
    cold = msgspec.structs.replace(
        ENTER.fields[0], name="arrival", label="On arrival", unit="degC", minimum="-210", maximum="60"
    )
    prompt = msgspec.structs.replace(ENTER, fields=[cold])

    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.key_in("182.5")
        await bedside.see("±")
        await bedside.tap("±")
        await bedside.see("within the range")
        await bedside.tap("Enter")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        assert bedside.engine.asked("answer")[0].body["values"] == {"arrival": "-182.5"}

    walk(story, shows=running(prompt), answer=accepting(running(WAIT)))


def test_back_goes_to_the_field_before_and_out_of_the_first_field(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.key_in("1")
        await bedside.tap("Enter and go on")
        await bedside.see("No organisms seen")
        await bedside.tap("Back")
        await bedside.see("nothing entered yet")
        await bedside.tap("Back")

        await bedside.see("Enter what the cartridge reader shows")
        assert bedside.engine.commands == []

    walk(story, shows=running(ENTER))


def test_a_count_is_accepted_with_picture_interval_and_verdict_in_view(walk, tmp_path):
    picture = tmp_path / "count.png"
    Image.radial_gradient("L").convert("RGB").save(picture)
    prompt = msgspec.structs.replace(REVIEW, picture=str(picture))

    async def story(bedside):
        await bedside.tap("Look at the count")
        await bedside.see("Replicate 1: counted", "viable 92.9 % (90.1 to 95.0 %)", "OUT OF LIMIT", "▀▀▀")
        await bedside.tap("Accept the count")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        assert bedside.engine.asked("answer")[0].body["values"] == {"decision": "accept"}

    walk(story, shows=running(prompt), answer=accepting(running(WAIT)))


def test_a_count_without_an_interval_is_never_shown_as_a_number(walk):
    plain = batch()
    count = msgspec.structs.replace(plain.counts[0], viability_interval_percent=[])
    bare = msgspec.structs.replace(plain, counts=[count])

    async def story(bedside):
        await bedside.tap("Look at the count")
        await bedside.see("no interval: do not use", "There is no picture.")

        assert "92.9" not in bedside.text()

    walk(story, shows=running(REVIEW, batch=bare))


def test_a_broken_picture_says_so(walk, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n but no picture")
    prompt = msgspec.structs.replace(REVIEW, picture=str(broken))

    async def story(bedside):
        await bedside.tap("Look at the count")
        await bedside.see("The picture cannot be shown.")

    walk(story, shows=running(prompt))


def test_a_signature_shows_meaning_and_code_before_the_password(walk):
    async def story(bedside):
        await bedside.tap("Sign with password")
        await bedside.see("performed", "Amara Okafor", "Code of what is signed", "Entries")
        await bedside.tap("Sign with password")
        await bedside.see("Password of Amara Okafor")
        await bedside.pilot.press(*(key if key != " " else "space" for key in PASSWORD))
        assert PASSWORD not in bedside.text()
        await bedside.tap("Show")
        await bedside.see(PASSWORD)
        await bedside.tap("Sign")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        proof = bedside.engine.asked("answer")[0].proof
        assert (proof.person, proof.pin, proof.password) == ("p-0001", "", PASSWORD)

    walk(story, shows=running(SIGN, signature_needs=("password",)), answer=accepting(running(WAIT)))


def test_a_refused_password_is_asked_again_with_the_engines_words(walk):
    async def story(bedside):
        await bedside.tap("Sign with password")
        await bedside.tap("Sign with password")
        await bedside.tap("a")
        await bedside.tap("Sign")

        await bedside.see("This is not the password.")
        assert len(bedside.engine.asked("answer")) == 1

    walk(
        story,
        shows=running(SIGN, signature_needs=("password",)),
        answer=refusing("This is not the password."),
    )


def test_a_wait_offers_nothing_to_tap_and_says_what_the_wait_is_for(walk):
    async def story(bedside):
        await bedside.see("Thawing", "Dilution goes in slowly", "2:05 of 5:00, at most 8:00")
        await bedside.settle()

        assert not bedside.app.screen.query_one("#act").display

    walk(story, shows=running(WAIT))


def test_a_prompt_that_the_unit_withdraws_closes_what_was_open_for_it(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.see("Allowed: 0.01")
        bedside.engine.show(running(WAIT))

        await bedside.see("that question is no longer open", "The bag warms in the bath")

    walk(story, shows=running(ENTER))


def test_of_several_prompts_the_next_is_one_tap_away(walk):
    async def story(bedside):
        await bedside.see("Hold the bag's label")
        await bedside.tap("Next of 2")
        await bedside.see("Remove everything of any earlier batch")
        await bedside.tap("The line is clear")

        await bedside.until(lambda: bedside.engine.asked("answer"))
        assert bedside.engine.asked("answer")[0].body["prompt"] == CONFIRM.id

    walk(story, shows=running(SCAN, CONFIRM))


def test_after_a_batch_has_ended_the_next_order_can_be_opened(walk):
    ended = snapshot(person=AMARA, batch=batch(12, state="handed_over"))

    async def story(bedside):
        await bedside.tap("Home")
        await bedside.tap("Open an order")
        await bedside.tap("O-2026-0117")

        await bedside.until(lambda: bedside.engine.asked("open_batch"))

    walk(story, shows=ended)


def test_a_label_that_was_not_read_after_the_scan_began_is_said_without_a_full_stop(walk):
    async def story(bedside):
        await bedside.see("Receive the bag")
        bedside.engine.tell("BagRefused", reason="not_read", words="No label was seen. Hold it flat.")
        await bedside.see("No label was seen. Hold it flat.")

        assert "do not continue" not in bedside.text()

    walk(story, shows=running(SCAN))


def test_a_full_stop_comes_before_whatever_was_being_entered(walk):
    async def story(bedside):
        await bedside.tap("Enter results")
        await bedside.see("nothing entered yet")
        bedside.engine.tell("BagRefused", reason="wrong_bag", words=WRONG_BAG)

        await bedside.see("do not continue")

    walk(story, shows=running(ENTER))


def test_a_withdrawal_of_consent_is_said_with_three_taps_and_nothing_typed(walk):
    async def story(bedside):
        await bedside.tap("Hold")
        await bedside.tap("The patient withdraws the consent")
        await bedside.tap("Study nurse")

        await bedside.until(lambda: bedside.engine.asked("withdraw_consent"))
        said = bedside.engine.asked("withdraw_consent")[0].body
        assert said == {"received_from": "Study nurse", "reason": "The patient withdraws the consent"}
        assert not bedside.engine.asked("hold")

    walk(story, shows=running(CONFIRM, current=1), withdraw_consent=accepting(running(WAIT)))
