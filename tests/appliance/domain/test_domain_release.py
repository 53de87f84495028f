"""Labels, signatures, seal, disposition, hand-over: what binds what, and what comes too late."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, Bedside, bag_texts, with_proof

from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.phase_logic import content_hash

APPLIED = "label/applied"
PERFORMED, VERIFIED = "seal/performed", "seal/verified"


def before_the_seal(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(PERFORMED)


# ── The label of the dose ──────────────────────────────────────────────────────────────


def test_the_applied_label_is_scanned_before_the_product_counts_as_labelled(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)
    before = bedside.has(ev.ProductLabelled)

    bedside.scan(APPLIED, next(iter(bedside.labels.values())))

    assert not before
    assert bedside.last(ev.ProductLabelled).label_id == bedside.last(ev.LabelVerified).label_id


def test_the_expiry_is_counted_from_the_thaw_in_whole_minutes_never_rounded_up(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("label")

    thawed = next(
        fact.at
        for fact in bedside.facts
        if isinstance(fact.event, ev.InstructionConfirmed) and fact.event.key == "bag_out"
    )
    assert bedside.batch.expires_at == (thawed + timedelta(hours=2)).replace(second=0, microsecond=0)


def test_a_label_that_is_not_the_printed_one_is_refused_with_what_differs(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)

    bedside.scan(APPLIED, bag_texts())

    refused = bedside.last(ev.BagRefused)
    assert refused.reason == "wrong_label"
    assert "S9991 for product code; S9992 was printed" in refused.words
    assert "Do not hand this bag over" in bedside.alarm_words()
    assert not bedside.has(ev.ProductLabelled)


@pytest.mark.parametrize(
    ("applied", "void", "destroyed"),
    [("0", "0", "0"), ("1", "1", "0"), ("0", "0", "1"), ("2", "0", "0"), ("1.5", "0", "0"), ("-1", "2", "0")],
)
def test_a_reconciliation_that_cannot_be_is_refused(
    bedside: Bedside, applied: str, void: str, destroyed: str
) -> None:
    bedside.begin_batch()
    bedside.works_until("label/reconcile")

    refused = bedside.refusal(
        lambda: bedside.answer("label/reconcile", applied=applied, void=void, destroyed=destroyed)
    )

    assert refused.reason == "not_plausible"
    assert not bedside.has(ev.LabelsReconciled)


def test_a_printer_that_fails_again_and_again_is_held_and_asked_anew_after_a_restart(
    bedside: Bedside,
) -> None:
    bedside.begin_batch()
    prints = bedside.prints
    bedside.prints = lambda request: ev.LabelVoided(
        phase=request.phase, label_id=request.label_id, reason="no paper"
    )
    bedside.works_until("label")
    bedside.waits(5)
    held, words, asked = bedside.state_of("label"), bedside.alarm_words(), len(bedside.all(ev.LabelRequested))
    bedside.prints = prints

    bedside.waits(1)
    bedside.restart()
    bedside.works_through("label")

    assert (held, asked) == ("held", 3)
    assert "no paper" in words


# ── Two signatures over one text ───────────────────────────────────────────────────────


def test_both_persons_sign_the_same_text(bedside: Bedside) -> None:
    before_the_seal(bedside)

    bedside.works_through("seal")

    first, second = bedside.all(ev.SignatureGiven)[-2:]
    assert (first.person, first.meaning) == (ADA.id, "performed")
    assert (second.person, second.meaning) == (BEN.id, "verified")
    assert first.content == second.content
    assert first.signs == second.signs == content_hash(first.content)


def test_nothing_is_sealed_with_one_signature(bedside: Bedside) -> None:
    before_the_seal(bedside)

    bedside.answer(PERFORMED)
    bedside.waits(3600, step_s=600)

    assert not bedside.has(ev.BatchCompleted)
    assert bedside.asks() == [VERIFIED]


@pytest.mark.requirement("R-17", "F-058")
def test_the_first_signer_is_not_the_second(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.answer(PERFORMED, by=with_proof(CLEO, "password"))

    refused = bedside.refusal(lambda: bedside.answer(VERIFIED, by=with_proof(CLEO, "password")))

    assert refused.reason == "same_person"


@pytest.mark.requirement("R-23", "F-057")
@pytest.mark.parametrize("when", [PERFORMED, VERIFIED])
def test_whatever_is_added_before_the_second_signature_asks_for_both_anew(
    bedside: Bedside, when: str
) -> None:
    before_the_seal(bedside)
    bedside.answer(PERFORMED)
    before = bedside.prompt(VERIFIED).content

    bedside.commit([ev.SampleTaken(phase="sample", sample_id="S", volume_ml="0.1")], CLEO.id)
    asked = bedside.asks()
    bedside.answer(PERFORMED)
    after = bedside.prompt(VERIFIED).content
    bedside.answer(VERIFIED)

    assert asked == [PERFORMED]
    assert before != after
    assert bedside.has(ev.BatchCompleted)


def test_a_refused_person_or_a_sign_in_does_not_change_what_is_signed(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.answer(PERFORMED)
    before = bedside.prompt(VERIFIED).content

    bedside.commit([ev.SessionOpened(person="p-0002", name="Ben", station="bedside-1")], BEN.id)
    bedside.commit([ev.CommandWasRefused(name="answer", reason="same_person", words="No.")], ADA.id)

    assert bedside.prompt(VERIFIED).content == before


def test_the_statement_names_results_deviations_label_and_that_it_is_simulated(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")
    bedside.answer("wash/result", recovery="50")
    bedside.works_until(PERFORMED)

    content = bedside.prompt(PERFORMED).content

    for said in (
        '"viability"',
        '"dose"',
        "recovery: 50 %",
        '"simulated":true',
        '"dose_label":"UNIT-1-00001-L1"',
    ):
        assert said in content


# ── Seal, decision, hand-over ──────────────────────────────────────────────────────────


def test_a_comment_after_the_seal_is_a_change(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.works_through("seal")
    bedside.seal()
    before = bedside.batch.changed_after_seal

    bedside.commit([ev.CommentAdded(text="One more thing")], ADA.id)

    assert before is None
    assert bedside.batch.changed_after_seal is not None
    assert isinstance(bedside.batch.changed_after_seal.event, ev.CommentAdded)


def test_signing_in_out_and_restarting_after_the_seal_is_no_change(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.works_through("seal")
    bedside.seal()

    bedside.commit([ev.SessionOpened(person="p-0001", name="Ada", station="bedside-1")], ADA.id)
    bedside.crash()

    assert bedside.batch.changed_after_seal is None


def test_a_sealed_batch_waits_and_nobody_at_the_unit_can_release_or_abort_it(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.works_through("seal")
    bedside.seal()

    bedside.waits(3600, step_s=600)

    assert bedside.batch.state == "awaiting_disposition"
    assert bedside.state_of("hand_over") == "idle"
    assert bedside.refusal(bedside.abort_batch).reason == "sealed"


def test_a_rejected_batch_is_never_handed_over(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.works_through("seal")
    bedside.seal()

    bedside.qp_decides("rejected")
    bedside.waits(60)

    assert (bedside.batch.state, bedside.state_of("hand_over")) == ("rejected", "idle")


def test_a_rejection_that_comes_at_the_bed_ends_the_hand_over(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/giver")

    bedside.qp_decides("rejected", version=2)
    bedside.waits(5)

    assert bedside.asks() == []
    assert bedside.refusal(lambda: bedside.answer("hand_over/giver", by=ADA)).reason == "not_open"
    assert not bedside.has(ev.HandedOver)


def test_an_expired_dose_is_held_and_no_restart_gives_it(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/giver")

    bedside.waits(3 * 3600, step_s=600)
    held = bedside.state_of("hand_over")
    bedside.restart(CLEO)
    bedside.waits(60)

    assert held == "held"
    assert "It must not be given" in bedside.alarm_words()
    assert bedside.state_of("hand_over") == "held"
    assert bedside.asks() == []
    assert not bedside.has(ev.HandedOver)


def test_a_hand_over_does_not_begin_for_an_expired_dose_or_decision(bedside: Bedside) -> None:
    before_the_seal(bedside)
    bedside.works_through("seal")
    bedside.seal()

    bedside.qp_decides("released", expires_h=0)
    bedside.waits(60)

    assert bedside.state_of("hand_over") == "idle"


def test_a_dose_is_handed_over_once_with_giver_and_receiver(bedside: Bedside) -> None:
    bedside.is_released()

    bedside.works_through("hand_over")
    bedside.waits(600)

    signed = bedside.last(ev.HandOverSigned)
    assert (signed.giver, signed.receiver) == (ADA.id, BEN.id)
    assert len(bedside.all(ev.HandedOver)) == 1
    assert bedside.asks() == []


def test_a_match_that_a_crash_interrupts_goes_on_where_it_was(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/wristband")
    bedside.do_next()
    bedside.do_next()

    bedside.crash()
    bedside.restart()
    bedside.waits(1)

    assert bedside.asks() == ["hand_over/order"]


def test_stop_at_the_bed_holds_the_hand_over(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/giver")

    bedside.stop()
    bedside.waits(5)
    bedside.commit(decisions.release_stop(bedside.unit, ADA, "All is safe"), ADA.id)
    bedside.restart()
    bedside.works_through("hand_over")

    assert bedside.batch.state == "handed_over"


def test_after_the_hand_over_the_next_patient_can_come(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_through("hand_over")

    bedside.begin_batch(id="ORD-2", din="A999926123457")

    assert bedside.batch.id == "UNIT-1-00002"
    assert dataclasses.astuple(bedside.batch.runs["thaw"])[1] == "idle"
