"""One order, one unit: what a unit refuses to begin (SAFETY 9)."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest
from bedside import ADA, CLEO, ORDER, START, Bedside

from appliance.domain import decisions, second_use
from appliance.domain import events as ev
from appliance.domain.batch import Order
from appliance.domain.order_book import SECOND_USE

pytestmark = pytest.mark.requirement("T20")


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def test_an_order_for_another_unit_is_refused_and_names_that_unit(bedside):
    refused = bedside.refusal(lambda: bedside.begin_batch(unit="UNIT-2"))

    assert refused.reason == "order_other_unit"
    assert "for unit UNIT-2. This is unit UNIT-1" in str(refused)
    assert bedside.unit.batch is None


def test_an_order_that_names_no_unit_is_made_nowhere(bedside):
    refused = bedside.refusal(lambda: bedside.begin_batch(unit=""))

    assert refused.reason == "order_without_unit"


def test_an_expired_order_is_refused_from_the_very_second_on(bedside):
    bedside.now = START + timedelta(days=30)

    refused = bedside.refusal(bedside.begin_batch)

    assert refused.reason == "order_expired"
    assert "expired on 01 Apr 2026 08:00 UTC" in str(refused)


def test_an_order_without_an_expiry_is_refused(bedside):
    assert bedside.refusal(lambda: bedside.begin_batch(expires_at="")).reason == "order_expired"


def test_while_time_is_not_trusted_no_order_passes_as_unexpired(bedside):
    bedside.unit.clock_trusted = False

    refused = bedside.refusal(bedside.begin_batch)

    assert refused.reason == "time_untrusted"
    assert "Two persons" in str(refused)


def test_a_batch_opened_by_the_rules_of_before_needs_no_unit_in_its_order(bedside):
    before = dataclasses.replace(bedside.opening(unit="", expires_at=""), rules=3)

    batch, _ = decisions.open_batch(bedside.unit, before, ADA, bedside.now)

    assert batch == "UNIT-1-00001"


def notice(batch: str, version: int = 1) -> ev.SecondUseNoticed:
    return ev.SecondUseNoticed(
        notice="bag:A9999",
        version=version,
        subject="bag",
        key="A9999",
        batches=[batch],
        elsewhere=["UNIT-2 UNIT-2-00007"],
        words="The bag was used in two batches.",
        blob="",
    )


def test_a_second_use_holds_what_runs_and_the_same_notice_again_changes_nothing(bedside):
    bedside.begin_batch()
    bedside.commit(second_use.noticed(bedside.unit, notice(bedside.batch.id)))

    assert bedside.batch.state == "held"
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    bedside.restart(CLEO)
    assert bedside.batch.state == "running"
    assert second_use.noticed(bedside.unit, notice(bedside.batch.id)) == []
    bedside.commit(second_use.noticed(bedside.unit, notice(bedside.batch.id, version=2)))
    assert bedside.batch.state == "held"


def test_where_nothing_runs_the_next_phase_that_starts_is_held(bedside):
    bedside.begin_batch()
    batch = bedside.batch
    for run in batch.runs.values():  # as between two phases: what runs waits for nobody
        run.state = "complete" if run.state == "running" else run.state
    assert second_use.follow(bedside.unit, batch) == []
    bedside.unit.orders.take(notice(batch.id), None)

    bedside.waits(5)

    held = [run for run in batch.runs.values() if run.state == "held"]
    assert [run.last(ev.PhaseHolding)[1].reason for run in held] == [SECOND_USE] * len(held)
    assert held


@pytest.mark.parametrize(
    "change",
    [
        {"assignment": "0"},
        {"assignment": "x"},
        {"expires_at": "tomorrow"},
        {"expires_at": "2026-03-02T08:00"},
    ],
)
def test_an_order_whose_assignment_or_expiry_cannot_be_read_is_no_order(change):
    with pytest.raises(ValueError):
        Order.from_text(json.dumps(ORDER | change))
