"""Consent, custody and the label of the patient before come out again when a record is decided anew."""

from __future__ import annotations

import dataclasses

import pytest
from recorded_bedside import CLEO, Recorded

from appliance.domain import consent, decisions
from appliance.domain import events as ev
from appliance.domain.before import unit_before
from appliance.record.canonical import StoredRecord, decode_payload
from appliance.record.replay import Outcome, Replay

BAG = "receive_bag/bag"
SECOND = {"id": "ORD-2", "din": "A999926654321", "coi": "CHA999926000002", "patient": "DEMO2222"}


def again(bedside: Recorded) -> Outcome:
    return Replay(bedside.before()).walk(bedside.log)


def alone(bedside: Recorded, batch: str) -> Outcome:
    """One batch by itself, as an archive holds it: from its opening to the end of the log."""
    opened, run = None, list[StoredRecord]()
    for stored in bedside.log:
        if stored.header.kind == "BatchOpened" and decode_payload(stored.payload).batch == batch:
            opened = next(
                one for one in bedside.all(ev.BatchOpened) if one.order_id == bedside.batch.order.id
            )
        if stored.header.kind == "CommandTaken" and opened is None:
            run = []
        run.append(stored)
    assert opened is not None
    return Replay(unit_before(bedside.unit.id, opened), whole=False).walk(run)


@pytest.mark.requirement("F-011", "R-07")
def test_a_withdrawal_in_mid_batch_and_the_abort_come_out_again() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until(BAG)
    bedside.withdraws_the_consent()
    bedside.waits(2)

    outcome = again(bedside)

    assert outcome.difference is None, outcome.difference.words
    assert [one.reason for one in bedside.all(ev.PhaseHolding)] == ["consent_withdrawn"]


@pytest.mark.requirement("F-011", "R-07")
def test_a_signed_withdrawal_is_an_input_of_its_own() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until(BAG)
    said = ev.ConsentWithdrawn(
        consent="CONSENT-1",
        coi="CHA999926000001",
        patient="DEMO7F3A",
        received_from="central",
        withdrawn_at=bedside.now.isoformat(),
        reason="The patient called",
        document_blob="00",
    )
    bedside.unit.looked_at.clear()
    bedside.commit(consent.withdrawn(bedside.unit, said))

    outcome = again(bedside)

    assert outcome.difference is None, outcome.difference.words
    assert bedside.batch.state == "held"


@pytest.mark.requirement("F-003", "F-010", "R-07")
def test_the_patient_before_is_known_again_from_the_batch_alone() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until(BAG)
    first = bedside.batch.id
    dose = ["=A99992612345600"]
    signer, why = dataclasses.replace(CLEO, proof="password"), "Not to be used"
    bedside.asked("abort_batch", signer, lambda: decisions.abort_batch(bedside.unit, signer, why), reason=why)
    bedside.has_consent(consent="CONSENT-2", coi=SECOND["coi"], patient=SECOND["patient"])
    bedside.begin_batch(**SECOND, consent="CONSENT-2")
    bedside.works_until(BAG)
    bedside.scan(BAG, dose)
    bedside.waits(2)
    bedside.restart(CLEO)
    bedside.works_until(BAG)

    whole, by_itself = again(bedside), alone(bedside, bedside.batch.id)

    assert bedside.last(ev.BagRefused).belongs_to == first
    assert whole.difference is None, whole.difference.words
    assert by_itself.difference is None, by_itself.difference.words


@pytest.mark.requirement("F-006", "T31", "R-07")
def test_a_broken_seal_and_a_warm_transport_come_out_again() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until("receive_bag/custody")
    bedside.answer("receive_bag/custody", seal="broken")
    bedside.waits(2)
    bedside.restart(CLEO)
    bedside.works_until("thaw")

    outcome = again(bedside)

    assert outcome.difference is None, outcome.difference.words
    assert bedside.last(ev.TransportRecorded).verdict == "pass"
