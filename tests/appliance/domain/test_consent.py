"""No batch without the patient's consent, and nothing goes on once it is withdrawn."""

from __future__ import annotations

import dataclasses

import pytest
from bedside import ADA, BEN, CLEO, ORDER, START, WITHDRAWAL, Bedside, bag_texts, consent_given

from appliance.domain import consent, decisions
from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.errors import CommandRefused, NotPermitted, NotPlausible

pytestmark = pytest.mark.requirement("F-011")
FORM = consent.Asked(
    consent="CONSENT-1",
    coi=ORDER["coi"],
    patient=ORDER["patient"],
    received_from="study nurse",
    on="2026-02-20",
)


@pytest.fixture
def no_form() -> Bedside:
    """A unit that has heard of no consent."""
    bedside = Bedside()
    bedside.unit.consents.clear()
    return bedside


def test_no_batch_opens_before_the_consent_that_the_order_names_is_on_record(no_form: Bedside) -> None:
    refused = no_form.refusal(no_form.begin_batch)

    assert refused.reason == "consent_missing"
    assert "CONSENT-1 is not on this unit's record. Two persons" in str(refused)
    no_form.commit(consent.record(no_form.unit, ADA, BEN, FORM, no_form.now), ADA.id)
    no_form.begin_batch()
    assert no_form.batch.order.consent == "CONSENT-1"


def test_an_order_that_names_no_consent_is_refused(bedside: Bedside) -> None:
    refused = bedside.refusal(lambda: bedside.begin_batch(consent=""))

    assert refused.reason == "consent_missing"
    assert "names no consent" in str(refused)


@pytest.mark.parametrize("other", [{"coi": "CHA999926000009"}, {"patient": "DEMO0000"}])
def test_the_consent_of_another_patient_opens_nothing(no_form: Bedside, other: dict[str, str]) -> None:
    no_form.has_consent(**other)

    refused = no_form.refusal(no_form.begin_batch)

    assert refused.reason == "consent_missing"
    assert "Call QA" in str(refused)


def test_to_record_a_consent_takes_two_different_persons_who_work_here(no_form: Bedside) -> None:
    with pytest.raises(NotPermitted, match="different person"):
        consent.record(no_form.unit, ADA, ADA, FORM, no_form.now)
    with pytest.raises(NotPermitted):
        auditor = dataclasses.replace(BEN, roles=("auditor",))
        consent.record(no_form.unit, ADA, auditor, FORM, no_form.now)


@pytest.mark.parametrize("on", ["", "2026-3-2", "2026-02-30", "2026-03-03", "1899-01-01"])
def test_a_form_is_signed_on_a_day_that_was(no_form: Bedside, on: str) -> None:
    with pytest.raises(NotPlausible, match="a day such as"):
        consent.record(no_form.unit, ADA, BEN, dataclasses.replace(FORM, on=on), no_form.now)


def test_withdrawn_before_the_order_is_made_nothing_opens(bedside: Bedside) -> None:
    bedside.withdraws_the_consent()

    refused = bedside.refusal(bedside.begin_batch)

    assert refused.reason == "consent_withdrawn"
    assert "withdrawn the consent CONSENT-1" in str(refused)
    assert not bedside.has(ev.AlarmRaised), "no batch of this patient is open: nothing to put aside"


def test_withdrawn_in_mid_batch_all_that_runs_is_held_at_once_and_people_are_called(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("dilute/setup")
    for _ in range(20):
        bedside.do_next()
        if bedside.world.pump_state == "infusing":
            break
    running = [name for name, run in bedside.batch.runs.items() if run.state == "running"]

    bedside.withdraws_the_consent()

    assert "dilute" in running
    assert {bedside.state_of(name) for name in running} <= {"holding", "held"}
    assert bedside.world.pump_state == "stopped"
    assert "The patient has withdrawn the consent" in bedside.alarm_words()
    assert bedside.asks() == []
    bedside.waits(60)
    assert bedside.batch.state == "held", "and nothing goes on by itself"


def test_after_a_withdrawal_only_an_abort_ends_the_batch(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("receive_bag/bag")
    bedside.withdraws_the_consent()
    bedside.waits(2)

    tries = [
        bedside.refusal(lambda: bedside.restart(CLEO)),
        bedside.refusal(lambda: bedside.scan("receive_bag/bag", bag_texts())),
        bedside.refusal(lambda: bedside.answer("receive_bag/bag", ADA)),
    ]

    assert {one.reason for one in tries} == {"consent_withdrawn"}
    assert not bedside.has(ev.BagAccepted)
    bedside.abort_batch()
    assert bedside.batch.state == "aborted"


def test_withdrawn_before_the_label_no_label_is_printed(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("fill")

    bedside.withdraws_the_consent()
    bedside.waits(30)

    assert not bedside.has(ev.LabelRequested) or bedside.state_of("label") in ("held", "idle")
    assert bedside.asks() == []


@pytest.mark.parametrize("when", ["sealed", "released", "at the bed"])
def test_withdrawn_before_the_hand_over_the_dose_is_not_given(bedside: Bedside, when: str) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")
    bedside.seal()
    if when != "sealed":
        bedside.qp_decides("released")
    if when == "at the bed":
        bedside.works_until("hand_over/giver")

    bedside.withdraws_the_consent()
    if when == "sealed":
        bedside.qp_decides("released")
    bedside.waits(30)

    assert not [one for one in bedside.asks() if one.startswith("hand_over")]
    assert bedside.state_of("hand_over") == ("idle" if when == "sealed" else "held")
    assert not bedside.has(ev.HandedOver)
    assert ("released" if when == "sealed" else "held") == bedside.batch.state


def test_a_withdrawal_after_the_seal_is_a_change_that_a_decision_must_have_seen(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")
    bedside.seal()

    bedside.withdraws_the_consent()

    changed = bedside.batch.changed_after_seal
    assert changed is not None
    assert isinstance(changed.event, ev.AlarmRaised)


def test_who_consents_again_signs_a_form_with_an_id_of_its_own(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("receive_bag/bag")
    bedside.withdraws_the_consent()
    bedside.waits(2)

    refused = bedside.refusal(bedside.has_consent)
    bedside.has_consent(consent="CONSENT-2", given_on="2026-03-02")
    by_operator = bedside.refusal(lambda: bedside.restart(ADA))
    bedside.restart(CLEO)

    assert refused.reason == "consent_withdrawn"
    assert by_operator.reason == "supervisor_needed"
    assert "receive_bag/bag" in bedside.asks()


def test_one_person_withdraws_at_once_and_twice_is_once(bedside: Bedside) -> None:
    bedside.withdraws_the_consent(BEN)
    bedside.withdraws_the_consent(CLEO)

    withdrawn = bedside.all(ev.ConsentWithdrawn)
    assert [(one.noted_by, one.reason) for one in withdrawn] == [(BEN.id, "The patient called")]


def test_a_withdrawal_that_comes_before_its_consent_is_kept(no_form: Bedside) -> None:
    asked = consent.Asked.of(WITHDRAWAL | {"consent": "CONSENT-1"})
    no_form.commit(consent.withdraw(no_form.unit, ADA, asked, no_form.now), ADA.id)

    late = no_form.refusal(no_form.has_consent)
    opened = no_form.refusal(no_form.begin_batch)

    assert (late.reason, opened.reason) == ("consent_withdrawn", "consent_withdrawn")


def test_of_two_consents_one_may_go_and_the_other_stands(bedside: Bedside) -> None:
    bedside.has_consent(consent="CONSENT-2")
    bedside.begin_batch(consent="CONSENT-2")

    asked = consent.Asked.of(WITHDRAWAL | {"consent": "CONSENT-1"})
    bedside.commit(consent.withdraw(bedside.unit, ADA, asked, bedside.now), ADA.id)
    bedside.works_until("scan_materials")

    assert bedside.batch.state == "running"
    bedside.withdraws_the_consent()
    assert bedside.batch.state == "held"
    assert [one.alarm for one in bedside.all(ev.AlarmRaised) if one.alarm.startswith("consent:")] == [
        f"consent:{ORDER['coi']}"
    ]


def test_a_consent_for_something_else_does_not_carry_on_what_rests_on_the_one_withdrawn(
    bedside: Bedside,
) -> None:
    bedside.has_consent(consent="CONSENT-2")
    bedside.begin_batch(consent="CONSENT-1")
    bedside.works_until("receive_bag/bag")

    asked = consent.Asked.of(WITHDRAWAL | {"consent": "CONSENT-1"})
    bedside.commit(consent.withdraw(bedside.unit, ADA, asked, bedside.now), ADA.id)
    bedside.waits(2)

    assert bedside.batch.state == "held"
    assert f"consent:{ORDER['coi']}" in [one.alarm for one in bedside.all(ev.AlarmRaised)]
    assert bedside.refusal(lambda: bedside.restart(CLEO)).reason == "consent_withdrawn"


def test_both_consents_withdrawn_in_one_word_raise_one_alarm(bedside: Bedside) -> None:
    bedside.has_consent(consent="CONSENT-2")
    bedside.begin_batch()

    bedside.withdraws_the_consent()

    assert len(bedside.all(ev.ConsentWithdrawn)) == 2
    assert len([one for one in bedside.all(ev.AlarmRaised) if one.alarm.startswith("consent:")]) == 1
    assert bedside.batch.state == "held"


@pytest.mark.parametrize("words", ["", " ", "x" * 101])
def test_a_withdrawal_says_from_whom_it_was_received(bedside: Bedside, words: str) -> None:
    with pytest.raises(NotPlausible, match="never the patient's name"):
        asked = consent.Asked.of(WITHDRAWAL | {"received_from": words})
        consent.withdraw(bedside.unit, ADA, asked, bedside.now)


def test_a_batch_of_before_opens_without_a_consent_as_its_record_says(no_form: Bedside) -> None:
    opening = dataclasses.replace(no_form.opening(consent=""), rules=3)

    _, events = decisions.open_batch(no_form.unit, opening, ADA, START)

    opened = events[0]
    assert isinstance(opened, ev.BatchOpened)
    assert "consents" not in opened.unit_before


def test_what_the_unit_knew_of_consents_travels_with_the_batch(bedside: Bedside) -> None:
    bedside.has_consent(consent="CONSENT-9", coi="CHA999926000009")
    told = consent.told(bedside.unit, bedside.opening().order)
    other = Unit("UNIT-1", True, {})

    consent.know(other, told)

    assert other.consents == {"CONSENT-1": consent_given()}, "of no other patient"


def test_a_withdrawal_by_a_signed_document_does_the_same(bedside: Bedside) -> None:
    bedside.begin_batch()
    said = ev.ConsentWithdrawn(
        consent="CONSENT-1",
        coi=ORDER["coi"],
        patient=ORDER["patient"],
        received_from="central",
        withdrawn_at=START.isoformat(),
        reason="The patient called",
        document_blob="00",
    )

    bedside.commit(consent.withdrawn(bedside.unit, said))

    assert bedside.batch.state == "held"
    with pytest.raises(CommandRefused, match="withdrawn the consent"):
        consent.refuse_withdrawn(bedside.unit)
