"""Whose bag, which material, which person: what must never go on, and the words that say so."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from bedside import (
    ADA,
    BEN,
    CLEO,
    GUS,
    OTHER_DIN,
    START,
    Bedside,
    bag_texts,
    coi_texts,
    material_texts,
    with_proof,
)

from appliance.domain import decisions, isbt128
from appliance.domain import events as ev

BAG = "receive_bag/bag"


def before_the_bag_scan(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)


def test_a_bag_of_another_donation_never_reaches_the_pump(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)

    bedside.scan(BAG, bag_texts(OTHER_DIN))
    bedside.waits(600)

    refused = bedside.last(ev.BagRefused)
    assert (refused.reason, refused.scanned) == ("wrong_bag", OTHER_DIN)
    assert "Put the bag aside and call the supervisor" in bedside.alarm_words()
    assert bedside.state_of("receive_bag") == "held"
    assert bedside.pump_orders() == []
    assert bedside.asks() == []


def test_only_a_supervisor_lets_the_batch_go_on_after_a_wrong_bag(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)
    bedside.scan(BAG, bag_texts(OTHER_DIN))

    refused = bedside.refusal(lambda: bedside.restart(ADA))
    bedside.restart(CLEO)
    bedside.works_through("receive_bag")

    assert refused.reason == "supervisor_needed"
    assert "Only a supervisor" in str(refused)
    assert len(bedside.all(ev.BagAccepted)) == 1


def test_a_crash_does_not_wash_away_the_need_for_a_supervisor(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)
    bedside.scan(BAG, bag_texts(OTHER_DIN))

    bedside.crash()

    assert bedside.state_of("receive_bag") == "held"
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (bag_texts(code="S9993"), "wrong_bag"),
        (bag_texts(division="Aa"), "wrong_bag"),
        ([isbt128.din_text("A999926123456", "06")], "wrong_kind"),
        ([isbt128.din_text("A999926123456", "07")], "wrong_kind"),
        (bag_texts(expires_at=START - timedelta(days=2)), "expired"),
        ([bag_texts()[0][:-1] + "0", bag_texts()[1]], "label_refused"),
    ],
    ids=[
        "another product",
        "another division",
        "tube for tests",
        "tube of the donor",
        "expired",
        "check digits misread",
    ],
)
def test_a_bag_that_is_not_this_one_is_a_hard_stop(bedside: Bedside, texts: list[str], reason: str) -> None:
    before_the_bag_scan(bedside)

    bedside.scan(BAG, texts)

    assert bedside.last(ev.BagRefused).reason == reason
    assert bedside.state_of("receive_bag") == "held"
    assert "supervisor" in bedside.alarm_words()
    assert not bedside.has(ev.BagAccepted)


def test_an_expired_bag_names_the_day_on_which_it_expired(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)

    bedside.scan(BAG, bag_texts(expires_at=START - timedelta(days=2)))

    assert "expired on 28 Feb 2026" in bedside.last(ev.BagRefused).words


@pytest.mark.parametrize(
    ("texts", "reasons", "reason", "words"),
    [
        ([], ("blur",), "not_read", "The picture is blurred"),
        ([], ("glare", "too_far"), "not_read", "Tilt it a little. The label is too far away"),
        ([], ("conflict",), "not_read", "Two readings of this label differ"),
        ([], (), "not_read", "No symbol was found"),
        (bag_texts()[:1], (), "incomplete", "Show the whole label"),
        (bag_texts()[:2], (), "incomplete", "no expiry"),
    ],
    ids=["blurred", "glare and far", "frames differ", "nothing seen", "donation alone", "no expiry"],
)
def test_a_label_that_says_too_little_is_asked_for_again_with_words(
    bedside: Bedside, texts: list[str], reasons: tuple[str, ...], reason: str, words: str
) -> None:
    before_the_bag_scan(bedside)

    bedside.scan(BAG, texts, reasons=reasons)

    assert bedside.last(ev.BagRefused).reason == reason
    assert words in bedside.prompt(BAG).facts[0].value
    assert bedside.state_of("receive_bag") == "running"
    assert not bedside.has(ev.BagAccepted)


def test_a_bag_is_used_in_one_batch_only(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("receive_bag")
    bedside.abort_batch()
    bedside.begin_batch(id="ORD-2")
    bedside.works_until(BAG)

    bedside.scan(BAG, bag_texts())

    assert bedside.last(ev.BagRefused).reason == "used"
    assert bedside.state_of("receive_bag") == "held"


def test_what_the_camera_read_while_the_phase_is_held_changes_nothing(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)
    asked = bedside.asks_the_camera(BAG)
    bedside.stop()

    bedside.camera_reads(asked, bag_texts())

    assert not bedside.has(ev.BagAccepted)
    assert bedside.state_of("receive_bag") == "held"


def test_a_second_answer_of_the_camera_to_one_request_is_not_heard(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)
    asked = bedside.asks_the_camera(BAG)

    bedside.camera_reads(asked, bag_texts())
    bedside.camera_reads(asked, bag_texts(OTHER_DIN))

    assert len(bedside.all(ev.ScanRead)) == len(bedside.all(ev.ScanRequested))
    assert not bedside.has(ev.BagRefused)


def test_too_long_out_of_the_cold_opens_a_deviation_once(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)

    bedside.waits(6 * 60)
    bedside.works_through("receive_bag")

    assert len(bedside.deviations()) == 1
    assert "Bag out of the cold" in bedside.deviations()[0]


# ── Materials ──────────────────────────────────────────────────────────────────────────

MATERIAL = "scan_materials/material"


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (material_texts("XXSALHSA", expires_on=START.date() - timedelta(days=2)), "expired"),
        (material_texts("XXOTHER1"), "wrong_material"),
        (bag_texts(), "wrong_material"),
        ([isbt128.item_text("XX", "SALHSA")], "incomplete"),
        ([], "not_read"),
    ],
    ids=["expired", "another product", "a bag", "no lot", "not read"],
)
def test_a_material_that_may_not_be_used_is_refused_and_asked_for_again(
    bedside: Bedside, texts: list[str], reason: str
) -> None:
    bedside.begin_batch()
    bedside.works_until(MATERIAL)

    bedside.scan(MATERIAL, texts)

    assert bedside.last(ev.MaterialRefused).reason == reason
    assert bedside.prompt(MATERIAL).facts[0].out_of_limit
    assert not bedside.has(ev.MaterialAccepted)


def test_each_material_is_accepted_once_with_lot_and_expiry(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(MATERIAL)

    bedside.scan(MATERIAL, material_texts("XXSALHSA"))
    bedside.scan(MATERIAL, material_texts("XXSALHSA"))

    assert [m.lot for m in bedside.all(ev.MaterialAccepted)] == ["LOT1"]
    assert bedside.last(ev.MaterialRefused).reason == "wrong_material"


# ── People ─────────────────────────────────────────────────────────────────────────────


def test_the_same_person_is_never_the_second_person(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.answer("clear_line/clear", by=ADA)

    refused = bedside.refusal(lambda: bedside.answer("clear_line/clear.verify", by=with_proof(ADA, "pin")))

    assert refused.reason == "same_person"
    assert "A different person must do this" in str(refused)
    assert not bedside.has(ev.LineCleared)


def test_the_second_person_proves_who_they_are_at_that_moment(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.answer("clear_line/clear")

    refused = bedside.refusal(lambda: bedside.answer("clear_line/clear.verify", by=BEN))

    assert refused.reason == "proof_missing"
    assert "PIN" in str(refused)


def test_a_person_without_the_role_may_not_answer(bedside: Bedside) -> None:
    bedside.begin_batch()

    refused = bedside.refusal(lambda: bedside.answer("clear_line/clear", by=GUS))

    assert refused.reason == "not_permitted"
    assert "Gus may not do this" in str(refused)


def test_a_signature_needs_the_password_and_a_pin_is_not_one(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("count/accept")

    for actor in (with_proof(ADA, "session"), with_proof(ADA, "pin")):
        refused = bedside.refusal(partial(bedside.answer, "count/accept", actor))
        assert (refused.reason, "password" in str(refused)) == ("proof_missing", True)

    assert not bedside.has(ev.SignatureGiven)


def test_a_question_that_was_answered_is_no_longer_open(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.answer("clear_line/clear")

    assert bedside.refusal(lambda: bedside.answer("clear_line/clear", by=CLEO)).reason == "not_open"


def test_a_scan_is_not_answered_by_hand(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)

    assert bedside.refusal(lambda: bedside.answer(BAG, by=ADA)).reason == "scan_needed"


# ── At the bedside ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        ("hand_over/wristband", coi_texts("CHA999926000002")),
        ("hand_over/dose", bag_texts()),
        ("hand_over/order", coi_texts("CHA999926000002")),
    ],
    ids=["another patient", "the bag that came, not the dose", "another order"],
)
def test_a_match_that_differs_is_held_and_nothing_is_handed_over(
    bedside: Bedside, prompt: str, texts: list[str]
) -> None:
    bedside.is_released()
    bedside.works_until(prompt)

    bedside.scan(prompt, texts)

    assert bedside.state_of("hand_over") == "held"
    assert "Do not give" in bedside.alarm_words()
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    assert not bedside.has(ev.HandedOver)


def test_a_camera_that_never_answers_is_asked_anew_after_a_restart(bedside: Bedside) -> None:
    before_the_bag_scan(bedside)
    asked = bedside.asks_the_camera(BAG)
    nothing = bedside.asks()
    bedside.stop()
    bedside.waits(1)
    bedside.commit(decisions.release_stop(bedside.unit, ADA, "All is safe"), ADA.id)

    bedside.restart()
    bedside.scan(BAG, bag_texts())
    bedside.camera_reads(asked, bag_texts())

    assert nothing == []
    assert len(bedside.all(ev.BagAccepted)) == 1
