"""What a signature covers, what voids it, and that nothing goes on while a needed one is void."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
from bedside import ADA, BEN, CLEO, Bedside, with_proof
from test_corrections import TESTS, confirms, corrects

from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.signatures import CHANGES_A_PHASE, NEUTRAL, OF_SIGNING, Signature, changes_batch

PERFORMED, VERIFIED = "seal/performed", "seal/verified"
SECOND_RECIPE_KEYS = {"unit", "batch", "phase", "recipe", "recipe_hash", "recorded_up_to_seq"}


@pytest.fixture
def sealed(bedside: Bedside) -> Bedside:
    """All went well, both have signed, and the record is sealed."""
    bedside.begin_batch()
    bedside.works_through("seal")
    bedside.seal()
    return bedside


@pytest.fixture
def signed_once(bedside: Bedside) -> Bedside:
    """The first of two signatures over the batch is given."""
    bedside.begin_batch()
    bedside.works_until(PERFORMED)
    bedside.answer(PERFORMED)
    return bedside


# ── What is bound ──────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-22", "F-056")
def test_every_signature_binds_the_record_it_was_given_in(bedside: Bedside) -> None:
    bedside.is_released()
    corrected_before = len(bedside.all(ev.SignatureGiven))
    bedside.works_through("hand_over")

    signatures = bedside.all(ev.SignatureGiven)

    assert len(signatures) >= corrected_before + 2
    seqs = {fact.seq for fact in bedside.facts}
    for signature in signatures:
        content = json.loads(signature.content)
        assert content.keys() >= SECOND_RECIPE_KEYS, signature.key
        assert content["unit"] == "UNIT-1"
        assert content["batch"] == bedside.batch.id
        assert content["phase"] == signature.phase
        assert content["recipe_hash"] == bedside.batch.recipe.hash
        assert content["recorded_up_to_seq"] in seqs
        assert signature.signs == hashlib.sha256(signature.content.encode()).hexdigest()
        assert signature.content == json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )


@pytest.mark.requirement("R-22")
def test_two_acts_never_bind_the_same_bytes_but_for_the_two_who_sign_one_thing(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_through("hand_over")

    contents = [signature.content for signature in bedside.all(ev.SignatureGiven)]
    sealing = {s.content for s in bedside.all(ev.SignatureGiven) if s.phase == "seal"}

    assert len(sealing) == 1
    assert len(set(contents)) == len(contents) - 1


@pytest.mark.requirement("R-21", "R-24")
def test_a_signature_carries_printed_name_time_with_zone_and_meaning(bedside: Bedside) -> None:
    bedside.is_released()

    signature = bedside.all(ev.SignatureGiven)[0]

    assert (signature.name, signature.meaning) == ("Ada", "performed")
    assert signature.at.endswith("+00:00")


@pytest.mark.requirement("R-22", "R-10")
def test_a_correction_binds_the_old_value_the_new_one_and_the_reason(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")
    bedside.answer("wash/result")

    corrects(bedside, "wash/result", recovery="88")

    signature = bedside.last(ev.SignatureGiven)
    content = json.loads(signature.content)
    assert signature.meaning == "corrected"
    assert content["changes"] == [{"field": "recovery", "old": "82", "new": "88", "unit": "%"}]
    assert content["reason"] == "Typed wrongly"
    assert content.keys() >= SECOND_RECIPE_KEYS


# ── What voids ─────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-23", "F-057")
def test_a_change_between_the_two_signatures_voids_the_first_and_says_why(signed_once: Bedside) -> None:
    bedside = signed_once
    first = next(fact for fact in reversed(bedside.facts) if isinstance(fact.event, ev.SignatureGiven))

    corrects(bedside, TESTS, endotoxin="0.06")
    confirms(bedside)

    voided = next(one for one in bedside.all(ev.SignatureVoided) if one.signed_seq == first.seq)
    cause = bedside.facts[voided.because_seq - 1].event
    assert isinstance(cause, ev.ValueCorrected)
    assert (voided.phase, voided.key, voided.person) == ("seal", "performed", ADA.id)
    assert "was changed by entry" in voided.words
    assert bedside.asks() == [PERFORMED]


@pytest.mark.requirement("R-23", "F-057")
def test_a_correction_voids_what_the_second_person_had_confirmed(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("wash")
    confirmed = next(
        fact for fact in reversed(bedside.facts) if isinstance(fact.event, ev.SecondPersonConfirmed)
    )

    corrects(bedside, "wash/result", recovery="88")
    before = bedside.has(ev.SignatureVoided)
    confirms(bedside)

    assert not before  # a proposal changes nothing
    assert [one.signed_seq for one in bedside.all(ev.SignatureVoided)] == [confirmed.seq]


@pytest.mark.parametrize(
    "event",
    [
        ev.CommentAdded(text="The clamp was loose."),
        ev.AlarmAcknowledged(alarm="a"),
        ev.SessionOpened(person="p-0002", name="Ben", station="bedside-1"),
        ev.CommandWasRefused(name="answer", reason="same_person", words="No."),
        ev.AlarmCleared(alarm="a"),
    ],
)
@pytest.mark.requirement("F-057")
def test_a_comment_and_an_acknowledged_alarm_void_nothing(signed_once: Bedside, event: ev.Event) -> None:
    before = signed_once.prompt(VERIFIED).content

    signed_once.commit([event], CLEO.id)

    assert not signed_once.has(ev.SignatureVoided)
    assert signed_once.prompt(VERIFIED).content == before
    signed_once.answer(VERIFIED)
    assert signed_once.has(ev.BatchCompleted)


def test_each_kind_of_event_is_either_neutral_or_voids_the_signatures_of_the_seal() -> None:
    neutral = {kind for kind in ev.KINDS if kind in NEUTRAL}

    for must_void in ("ValueCorrected", "ResultReceived", "DeviationOpened", "LimitCrossed", "PhaseHolding"):
        assert must_void not in neutral
    for kind in ("CommentAdded", "AlarmAcknowledged", "SignatureVoided", "CommandTaken", "ReadingsUsed"):
        assert kind in neutral
    assert not CHANGES_A_PHASE & NEUTRAL
    assert not OF_SIGNING & NEUTRAL


def test_signing_in_another_phase_changes_the_batch_and_in_the_seal_does_not() -> None:
    confirmed = ev.InstructionConfirmed(phase="wash", key="result", words="")

    assert changes_batch(confirmed, "seal")
    assert not changes_batch(dataclasses.replace(confirmed, phase="seal"), "seal")


@pytest.mark.parametrize(
    ("event", "voids"),
    [
        (ev.CountRepeated(phase="count", reason="Clumps"), True),
        (ev.CountRepeated(phase="other", reason="Clumps"), False),
        (ev.PhaseCompleted(phase="count"), False),
        (ev.DeviationOpened(deviation="D", phase="count", words="", classification="major"), False),
    ],
)
@pytest.mark.requirement("R-23", "F-057")
def test_a_signature_in_a_phase_is_voided_by_what_changes_that_phase(event: ev.Event, voids: bool) -> None:
    signature = Signature(
        phase="count", key="accept", person="p-0001", name="Ada", meaning="performed", what="", at="",
        signs="", seq=1, covers="phase",
    )  # fmt: skip

    assert signature.is_voided_by(event) is voids


def test_nothing_voids_the_signature_of_a_correction(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("wash/result")
    bedside.answer("wash/result", recovery="28")
    corrects(bedside, "wash/result", recovery="80")

    corrects(bedside, "wash/result", recovery="82")

    assert not bedside.has(ev.SignatureVoided)
    assert len(bedside.all(ev.SignatureGiven)) == 2


# ── Nothing goes on ────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-23", "F-057")
def test_while_a_correction_waits_nobody_signs_the_batch(signed_once: Bedside) -> None:
    corrects(signed_once, TESTS, endotoxin="0.06")

    assert VERIFIED not in signed_once.asks()
    assert PERFORMED not in signed_once.asks()
    assert not signed_once.has(ev.BatchCompleted)


@pytest.mark.requirement("R-23", "F-057")
def test_a_correction_after_the_seal_voids_both_signatures_and_asks_for_both_anew(sealed: Bedside) -> None:
    corrects(sealed, TESTS, endotoxin="0.06")
    waiting = sealed.batch.must_be_signed
    confirms(sealed)

    voided = [(one.phase, one.key) for one in sealed.all(ev.SignatureVoided) if one.phase == "seal"]
    assert waiting
    assert sealed.batch.state == "complete"
    assert sorted(voided) == [("seal", "performed"), ("seal", "verified")]
    assert sealed.batch.must_be_signed
    assert sealed.batch.changed_after_seal is not None
    assert sealed.asks() == [PERFORMED]
    sealed.answer(PERFORMED)
    assert sealed.batch.must_be_signed
    assert sealed.asks() == [VERIFIED]
    refused = sealed.refusal(lambda: sealed.answer(VERIFIED, by=with_proof(ADA, "password")))
    assert refused.reason == "same_person"
    sealed.answer(VERIFIED)
    assert not sealed.batch.must_be_signed
    assert sealed.asks() == []
    assert sealed.batch.state == "awaiting_disposition"
    assert '"0.06"' in sealed.last(ev.SignatureGiven).content


@pytest.mark.requirement("F-057")
def test_a_sealed_batch_that_nobody_changed_asks_for_no_signature(sealed: Bedside) -> None:
    assert sealed.asks() == []
    assert not sealed.batch.must_be_signed


@pytest.mark.requirement("R-23")
def test_signed_anew_and_sealed_anew_it_can_be_released_and_handed_over(sealed: Bedside) -> None:
    corrects(sealed, TESTS, endotoxin="0.06")
    confirms(sealed)
    sealed.answer(PERFORMED)
    sealed.answer(VERIFIED)
    sealed.seal()
    sealed.qp_decides()

    sealed.works_through("hand_over")

    assert sealed.batch.state == "handed_over"
    assert sealed.batch.signatures.missing() == []


@pytest.mark.requirement("F-057")
def test_after_the_decision_no_later_fact_voids_what_was_decided_upon(sealed: Bedside) -> None:
    sealed.qp_decides()
    before = len(sealed.all(ev.SignatureVoided))

    sealed.works_until("hand_over/giver")

    assert len(sealed.all(ev.SignatureVoided)) == before


@pytest.mark.requirement("R-23", "F-057")
def test_a_wrong_label_between_giver_and_receiver_voids_the_givers_signature(sealed: Bedside) -> None:
    sealed.qp_decides()
    sealed.works_until("hand_over/giver")
    sealed.answer("hand_over/giver")
    wrong = ev.BagRefused(
        phase="hand_over", scanned="x", expected="y", reason="wrong_bag", words="STOP", picture=""
    )

    sealed.commit([wrong])

    assert [one.key for one in sealed.all(ev.SignatureVoided)] == ["giver"]
    assert sealed.asks() == ["hand_over/giver"]
    assert not sealed.has(ev.HandedOver)


@pytest.mark.requirement("F-057")
def test_a_replay_of_the_facts_voids_the_same_signatures(sealed: Bedside) -> None:
    corrects(sealed, TESTS, endotoxin="0.06")
    confirms(sealed)
    sealed.answer(PERFORMED)

    again = sealed.refolded()

    assert again.batch is not None
    assert again.batch.signatures == sealed.batch.signatures
    assert decisions.advance(again, sealed.now) == decisions.advance(sealed.unit, sealed.now) == []


def test_the_verifier_may_sign_second_and_a_stranger_to_the_role_may_not(signed_once: Bedside) -> None:
    nobody = dataclasses.replace(BEN, id="p-0099", roles=("qa_reviewer",), proof="password")

    assert signed_once.refusal(lambda: signed_once.answer(VERIFIED, by=nobody)).reason == "not_permitted"
    signed_once.answer(VERIFIED)
