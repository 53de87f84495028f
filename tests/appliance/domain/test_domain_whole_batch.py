"""Recipe B from line clearance to hand-over, in virtual time."""

from __future__ import annotations

import time
from itertools import pairwise

from bedside import ADA, BEN, Bedside

from appliance.domain import events as ev


def test_recipe_b_goes_from_line_clearance_to_hand_over(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("seal")
    bedside.seal()
    bedside.qp_decides("released")
    bedside.works_through("hand_over")

    assert bedside.batch.state == "handed_over"
    assert bedside.deviations() == []
    assert all(run.state == "complete" for run in bedside.batch.runs.values())


def test_a_whole_batch_takes_less_than_two_seconds_of_real_time(bedside: Bedside) -> None:
    began = time.monotonic()
    bedside.begin_batch()

    bedside.works_through("seal")

    assert time.monotonic() - began < 2.0
    assert (bedside.now - bedside.facts[0].at).total_seconds() > 40 * 60


def test_line_clearance_comes_before_the_first_scan_and_needs_two_persons(bedside: Bedside) -> None:
    bedside.begin_batch()

    first = bedside.asks()
    bedside.works_until("scan_materials")

    assert first == ["clear_line/clear"]
    cleared = bedside.last(ev.LineCleared)
    assert (cleared.performed_by, cleared.verified_by) == (ADA.id, BEN.id)
    scanned = [f.seq for f in bedside.facts if isinstance(f.event, ev.ScanRequested)]
    assert scanned == []


def test_no_phase_starts_before_all_that_it_follows_is_complete(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("seal")

    done: set[str] = set()
    for fact in bedside.facts:
        if isinstance(fact.event, ev.PhaseStarted):
            assert set(bedside.batch.recipe.phases[fact.event.phase].after) <= done
        if isinstance(fact.event, ev.PhaseCompleted):
            done.add(fact.event.phase)


def test_both_transfers_deliver_what_the_recipe_says_by_weight_and_by_pump(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("seal")

    assert [str(volume) for volume in bedside.world.infused] == ["50.00", "30.00"]
    assert bedside.batch.runs["dilute"].value("moved_g") == 50
    assert bedside.batch.runs["fill"].value("moved_g") == 30


def test_the_dose_is_concentration_times_volume_over_weight(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("fill")

    dose = bedside.result("dose")
    assert (dose.value, dose.verdict) == ("1.74e6", "pass")  # 4.5e6 x 0.9 x 30 mL / 70 kg
    assert len(dose.interval) == 2


def test_every_order_is_on_record_before_its_outcome(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("seal")

    numbers = {f.event.order_id: f.seq for f in bedside.facts if isinstance(f.event, ev.DeviceOrdered)}
    outcomes = {f.event.order_id: f.seq for f in bedside.facts if isinstance(f.event, ev.DeviceReported)}
    assert outcomes.keys() == numbers.keys()
    assert all(numbers[order] < outcomes[order] for order in numbers)


def test_no_id_of_a_batch_is_ever_used_twice(bedside: Bedside) -> None:
    bedside.begin_batch()

    bedside.works_through("seal")

    for kind, name in (
        (ev.DeviceOrdered, "order_id"),
        (ev.ScanRequested, "scan_id"),
        (ev.AlarmRaised, "alarm"),
    ):
        ids = [getattr(event, name) for event in bedside.all(kind)]
        assert len(ids) == len(set(ids)), kind


def test_the_same_facts_folded_twice_give_equal_states(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")

    assert bedside.refolded() == bedside.unit
    assert bedside.refolded() == bedside.refolded()


def test_one_patient_at_a_time(bedside: Bedside) -> None:
    bedside.begin_batch()

    refused = bedside.refusal(lambda: bedside.begin_batch(id="ORD-2"))

    assert refused.reason == "batch_open"
    assert "one patient at a time" in str(refused)


def test_one_order_is_made_at_most_once(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.abort_batch()

    refused = bedside.refusal(bedside.begin_batch)

    assert refused.reason == "order_already_made"


def test_times_of_the_record_never_run_backwards(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")

    assert all(before.at <= after.at for before, after in pairwise(bedside.facts))
