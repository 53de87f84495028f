"""No release is counted by a method, a version, a lens or a chamber that nobody qualified (F-039, T30)."""

from __future__ import annotations

import dataclasses
import json
from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, METHOD, MIA, START, Bedside, count_qualified, counted

from appliance.domain import count_fitness, decisions, fitness
from appliance.domain import events as ev
from appliance.domain.before import unit_before
from appliance.domain.errors import CommandRefused, NotPermitted
from appliance.domain.state_digest import unit_digest

ASKED = count_fitness.Asked(
    method="trypan-blue",
    version="1",
    hash="00",
    station={},
    series="trypan-blue",
    design_blob="aa" * 32,
    report_blob="bb" * 32,
    figures={"r2": "0.998"},
    limits={"r2_min": "0.98"},
    verdict="pass",
    words=[],
    performed_on="2026-03-01",
    qualified_until="2027-03-01",
    months_max=12,
    reason="Yearly dilution series",
)


@pytest.fixture
def bedside() -> Bedside:
    return Bedside()


def qualifies(bedside: Bedside, first=MIA, second=CLEO, **changes: object) -> None:
    asked = dataclasses.replace(ASKED, **changes)  # type: ignore[arg-type]
    bedside.commit(count_fitness.qualify(bedside.unit, first, second, asked, bedside.now), first.id)


def refused_opening(bedside: Bedside) -> CommandRefused:
    return bedside.refusal(bedside.begin_batch)


# ── Before a batch opens ───────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-039", "T30")
def test_without_a_qualification_no_product_is_thawed(bedside):
    bedside.unit.count_qualifications.clear()

    refusal = refused_opening(bedside)

    assert refusal.reason == "count_not_qualified"
    assert "trypan-blue is not qualified on this unit" in str(refusal)
    assert "cellwright unit qualify-count" in str(refusal)


@pytest.mark.requirement("F-039", "T30")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hash": "11"}, "is version 1 (00); qualified is version 1 (11)"),
        ({"version": "2"}, "qualified is version 2"),
        ({"verdict": "fail"}, "did not pass"),
        ({"qualified_until": "2026-03-01"}, "ended on 2026-03-01"),
        ({"station": {"um_per_px": "0.6"}}, "another station: um_per_px not named in place of 0.6"),
        ({"station": {"chamber": "neubauer"}}, "another station: chamber not named in place of neubauer"),
    ],
)
def test_any_other_method_lens_or_chamber_than_the_qualified_is_refused_in_words(bedside, changes, words):
    bedside.qualifies_the_count(**changes)

    assert words in str(refused_opening(bedside))


def test_a_counting_program_that_does_not_tell_its_version_is_not_trusted(bedside):
    opening = dataclasses.replace(bedside.opening(), count_methods=[])

    with pytest.raises(CommandRefused) as why:
        decisions.open_batch(bedside.unit, opening, ADA, bedside.now)

    assert "does not tell which version" in str(why.value)


def test_the_last_day_counts_whole_and_an_untrusted_clock_passes_nothing(bedside):
    bedside.qualifies_the_count(qualified_until="2026-03-02")
    bedside.begin_batch()

    other = Bedside()
    other.unit.clock_trusted = False
    assert "clock is not trusted" in str(refused_opening(other))


# ── In the count's phase ───────────────────────────────────────────────────────────────


def at_the_count(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("count/load")


@pytest.mark.requirement("F-039")
def test_a_qualification_that_ended_under_way_holds_the_count_until_two_persons_renew_it(bedside):
    bedside.qualifies_the_count(qualified_until="2026-03-02")
    at_the_count(bedside)
    bedside.now = START + timedelta(days=1)

    bedside.answer("count/load")

    assert not bedside.has(ev.CountRequested)
    assert bedside.state_of("count") == "held"
    assert "ended on 2026-03-02" in bedside.alarm_words()
    bedside.restart()
    assert bedside.state_of("count") == "held", "a restart alone is no way around"

    qualifies(bedside, performed_on="2026-03-02")
    bedside.restart()
    assert "count/accept" in bedside.asks()


@pytest.mark.requirement("F-039", "F-042")
def test_a_count_by_another_version_than_the_qualified_one_is_on_record_and_decides_nothing(bedside):
    at_the_count(bedside)
    other = dict(METHOD) | {"version": "2", "hash": "22"}
    bedside.count = lambda asked: counted(asked, method=other)

    bedside.answer("count/load")

    assert bedside.last(ev.CellCountReported).method == other
    assert bedside.state_of("count") == "held"
    assert "is version 2 (22); qualified is version 1 (00)" in bedside.alarm_words()
    assert "count/accept" not in bedside.asks()

    qualifies(bedside, version="2", hash="22", performed_on="2026-03-02")
    bedside.restart()
    assert "count/accept" in bedside.asks()
    assert len(bedside.all(ev.CountRequested)) == 4, "the one that was counted holds; three more were missing"


def test_another_lens_in_the_middle_of_a_batch_is_seen_by_its_first_count(bedside):
    at_the_count(bedside)
    bedside.count = lambda asked: counted(asked, station={"um_per_px": "0.3"})

    bedside.answer("count/load")

    assert bedside.state_of("count") == "held"
    assert "um_per_px 0.3 in place of none" in bedside.alarm_words()


def test_a_series_that_fails_after_the_count_and_before_its_acceptance_ends_it(bedside):
    at_the_count(bedside)
    bedside.answer("count/load")
    assert "count/accept" in bedside.asks()

    qualifies(bedside, verdict="fail", performed_on="2026-03-02")

    assert "count/accept" not in bedside.asks()
    assert bedside.state_of("count") == "held"


def test_the_phase_does_not_start_while_the_method_may_not_count_and_starts_by_itself_after(bedside):
    bedside.qualifies_the_count(qualified_until="2026-03-02")
    bedside.begin_batch()
    for phase in bedside.batch.runs["count"].phase.after:
        bedside.now = max(bedside.now, START + timedelta(days=1))
        bedside.works_through(phase)
    bedside.waits(1)

    assert bedside.state_of("count") == "idle"
    assert "cannot start" in " ".join(alarm.title for alarm, _, _ in bedside.unit.alarms.values())

    qualifies(bedside, performed_on="2026-03-02")
    bedside.waits(1)

    assert bedside.state_of("count") == "running"
    assert not [key for key in bedside.unit.alarms if ":calibration:" in key]


def test_a_batch_of_before_is_decided_by_the_rules_of_then(bedside):
    bedside.unit.count_qualifications.clear()
    opening = dataclasses.replace(bedside.opening(), rules=2, count_methods=[])
    batch, events = decisions.open_batch(bedside.unit, opening, ADA, bedside.now)
    bedside.commit(events, ADA.id, batch)
    bedside.works_until("count/load")
    bedside.answer("count/load")

    assert "count/accept" in bedside.asks()


# ── Two persons ────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-039", "R-15")
def test_maintenance_and_a_second_person_put_it_on_record(bedside):
    qualifies(bedside)

    said = bedside.last(ev.CountMethodQualified)
    assert (said.first_person, said.second_person, said.verdict) == (MIA.id, CLEO.id, "pass")
    assert said.fictitious, "a simulated unit's qualification is made up for ever"
    assert bedside.unit.count_qualifications["trypan-blue"] == said


@pytest.mark.parametrize(("first", "second"), [(ADA, CLEO), (MIA, ADA), (MIA, MIA), (CLEO, MIA)])
def test_nobody_else_and_nobody_alone_qualifies_a_count(bedside, first, second):
    with pytest.raises(NotPermitted):
        qualifies(bedside, first=first, second=second)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"performed_on": "2026-03-03"}, "which is not yet"),
        ({"performed_on": "yesterday"}, "write a day such as"),
        ({"qualified_until": "2026-03-01"}, "would have ended"),
        ({"qualified_until": "2027-03-02"}, "holds 12 months at most"),
        ({"reason": ""}, "reason"),
    ],
)
def test_days_that_cannot_be_are_refused(bedside, changes, words):
    with pytest.raises(CommandRefused) as why:
        qualifies(bedside, **changes)

    assert words in str(why.value).lower() or words in str(why.value)


def test_a_series_that_fails_goes_on_record_and_ends_what_was_before(bedside):
    qualifies(bedside, verdict="fail", words=["Dilution 0.1: the replicates vary by 30.65 %."])

    assert "did not pass" in str(refused_opening(bedside))


def test_two_weeks_before_its_end_it_is_told_once_a_day_and_a_new_one_ends_the_notice(bedside):
    bedside.qualifies_the_count(qualified_until="2026-03-09")

    bedside.commit(fitness.warnings(bedside.unit, bedside.now))

    (notice,) = bedside.all(ev.DeviceNoticeRaised)
    assert notice.title == "Counting method trypan-blue: qualification ends in 7 days"
    assert fitness.warnings(bedside.unit, bedside.now) == []
    qualifies(bedside, second=BEN)
    assert notice.alarm not in bedside.unit.alarms


def test_once_it_is_over_the_notice_says_that_nothing_is_released_by_it(bedside):
    bedside.qualifies_the_count(qualified_until="2026-02-27")

    (notice,) = fitness.warnings(bedside.unit, bedside.now)

    assert notice.action == "It counts for no release. Call maintenance."
    assert notice.priority == "medium"


def test_a_batch_of_its_own_knows_by_what_its_counts_were_qualified(bedside):
    bedside.begin_batch()

    alone = unit_before("UNIT-1", bedside.last(ev.BatchOpened))

    assert alone.count_qualifications == {"trypan-blue": count_qualified()}
    assert json.loads(bedside.last(ev.BatchOpened).unit_before["count_qualifications"])


def test_a_unit_that_knows_of_no_qualification_has_the_digest_that_it_always_had(bedside):
    without = Bedside()
    without.unit.count_qualifications.clear()

    assert "count_qualifications" not in json.dumps(unit_digest(without.unit))
    assert unit_digest(without.unit) != unit_digest(bedside.unit)


# ── What people read of a count ────────────────────────────────────────────────────────


@pytest.mark.requirement("F-040", "F-043")
def test_the_count_is_shown_with_its_viable_cells_and_their_interval_or_with_words(bedside):
    at_the_count(bedside)
    bedside.answer("count/load")

    pooled = bedside.prompt("count/accept").facts[-1]

    assert pooled.label == "Pooled"
    assert "90.0 % viable (86.9 to 92.4 %)" in pooled.value
    assert "4.05e6 viable cells/mL (" in pooled.value

    blurred = "Out of focus. Focus on the cells and take the picture again."
    bedside.count = lambda asked: counted(asked, verdict="repeat", reasons=["out_of_focus"], words=blurred)
    bedside.answer("count/accept", decision="repeat")
    bedside.answer("count/load")

    (fact, *_) = bedside.prompt("count/repeat").facts
    assert (fact.value, fact.out_of_limit) == (f"repeat: {blurred}", True)
