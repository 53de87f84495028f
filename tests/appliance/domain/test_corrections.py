"""A person corrects what was typed: the first value stays, the reason is kept, what depends on it follows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, Bedside, with_proof

from appliance.domain import corrections, decisions
from appliance.domain import events as ev
from appliance.domain.corrections import Asked
from appliance.domain.roles import EMERGENCY, Actor

WASH, TESTS, RECONCILE = "wash/result", "safety_tests/result", "label/reconcile"
WHY = "Typed wrongly"


def corrects(
    bedside: Bedside, target: str, by: Actor = ADA, *, why: str = WHY, proof: str = "password", **values: str
) -> None:
    actor = with_proof(by, proof)
    asked = Asked(target, values, why)
    bedside.commit(corrections.correct(bedside.unit, asked, actor, bedside.now), actor.id)


def confirms(bedside: Bedside, by: Actor = BEN) -> None:
    """The second person looks at the one correction that waits."""
    prompt = next(one for one in bedside.asks() if "/correction:" in one)
    bedside.answer(prompt, by=with_proof(by, "pin"))


def entered(bedside: Bedside, target: str) -> dict[str, str]:
    """The values as they hold now."""
    batch = bedside.batch
    return next(e.values for e in corrections.entries(batch) if f"{e.run.phase.id}/{e.key}" == target)


def after_the_wash(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("wash")


def before_the_seal(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("seal/performed")


# ── Before anybody has verified ────────────────────────────────────────────────────────


@pytest.fixture
def typed(bedside: Bedside) -> Bedside:
    """The washer's result is typed, and waits for its second person."""
    bedside.begin_batch()
    bedside.works_until(WASH)
    bedside.answer(WASH, recovery="28")
    return bedside


@pytest.mark.requirement("R-07", "R-09", "R-10", "F-055")
def test_a_correction_says_who_what_why_and_keeps_the_first_value(typed: Bedside) -> None:
    first = next(
        f
        for f in typed.facts
        if isinstance(f.event, ev.InstructionConfirmed) and "recovery" in f.event.values
    )

    corrects(typed, WASH, recovery="82")

    corrected = typed.last(ev.ValueCorrected)
    assert (corrected.phase, corrected.key, corrected.field) == ("wash", "result", "recovery")
    assert (corrected.old, corrected.new, corrected.unit) == ("28", "82", "%")
    assert (corrected.person, corrected.name, corrected.reason) == (ADA.id, ADA.name, WHY)
    assert corrected.corrected_seq == first.seq
    assert isinstance(first.event, ev.InstructionConfirmed) and first.event.values["recovery"] == "28"


@pytest.mark.requirement("R-17", "F-058")
def test_before_the_second_person_has_looked_it_holds_at_once_and_they_see_the_corrected_value(
    typed: Bedside,
) -> None:
    before = typed.prompt("wash/result.verify")

    corrects(typed, WASH, recovery="82")

    shown = typed.prompt("wash/result.verify")
    assert "82 %" in {fact.value for fact in shown.facts}
    assert shown.content != before.content
    typed.answer(shown.id)
    assert typed.batch.runs["wash"].value("recovery") == 82
    assert typed.deviations() == []


@pytest.mark.requirement("R-17", "F-058")
def test_whoever_corrected_a_value_is_not_its_second_person(typed: Bedside) -> None:
    corrects(typed, WASH, by=CLEO, recovery="82")

    for person in (ADA, CLEO):
        refused = typed.refusal(
            lambda person=person: typed.answer("wash/result.verify", by=with_proof(person, "pin"))
        )
        assert refused.reason == "same_person"


# ── What a correction needs ────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-10")
@pytest.mark.parametrize("why", ["", "  ", "ab", "x" * 201])
def test_without_a_reason_nothing_is_corrected(typed: Bedside, why: str) -> None:
    refused = typed.refusal(lambda: corrects(typed, WASH, why=why, recovery="82"))

    assert refused.reason == "reason_missing"
    assert not typed.has(ev.ValueCorrected)


@pytest.mark.requirement("R-17")
@pytest.mark.parametrize("value", ["111", "-1", "82.55", "eighty", ""])
def test_a_corrected_value_meets_the_range_of_the_first_one(typed: Bedside, value: str) -> None:
    assert typed.refusal(lambda: corrects(typed, WASH, recovery=value)).reason == "not_plausible"


def test_the_value_that_is_on_record_already_is_no_correction(typed: Bedside) -> None:
    assert "Nothing was changed" in str(typed.refusal(lambda: corrects(typed, WASH, recovery="28")))


def test_a_correction_needs_the_password(typed: Bedside) -> None:
    for proof in ("session", "pin"):
        refused = typed.refusal(lambda proof=proof: corrects(typed, WASH, proof=proof, recovery="82"))
        assert refused.reason == "proof_missing"


def test_a_verifier_and_the_emergency_account_correct_nothing(typed: Bedside) -> None:
    for person in (BEN, Actor(EMERGENCY, "Emergency", ())):
        refused = typed.refusal(lambda person=person: corrects(typed, WASH, by=person, recovery="82"))
        assert refused.reason in ("not_permitted", "not_active")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (ev.CellCountReported, "A count is not corrected"),
        (ev.ValueRecorded, "The reading of a device is not corrected"),
        (ev.BagAccepted, "What the camera read is not corrected"),
        (ev.ResultReceived, "Correct what was entered"),
        (ev.PhaseStarted, "Nothing was entered there"),
    ],
)
def test_readings_counts_scans_and_results_are_not_corrected(
    bedside: Bedside, kind: type[ev.Event], says: str
) -> None:
    before_the_seal(bedside)
    fact = next(fact for fact in bedside.facts if isinstance(fact.event, kind))

    refused = bedside.refusal(lambda: corrects(bedside, str(fact.seq), recovery="82"))

    assert refused.reason == "not_correctable"
    assert says in str(refused)


def test_numbers_that_must_fit_each_other_are_checked_together(bedside: Bedside) -> None:
    before_the_seal(bedside)

    refused = bedside.refusal(lambda: corrects(bedside, RECONCILE, void="1"))

    assert "1 labels were printed, 2 are told" in str(refused)


@pytest.mark.parametrize(("kind", "name"), [(ev.ResultReceived, "test"), (ev.ValueRecorded, "key")])
def test_a_result_that_was_typed_names_what_was_typed(
    bedside: Bedside, kind: type[ev.Event], name: str
) -> None:
    before_the_seal(bedside)
    wanted = {"test": ("endotoxin", "0.06"), "key": ("recovery", "88")}[name]
    fact = next(f for f in bedside.facts if isinstance(f.event, kind) and getattr(f.event, name) == wanted[0])

    corrects(bedside, str(fact.seq), **{wanted[0]: wanted[1]})
    confirms(bedside)

    assert bedside.last(ev.ValueCorrected).new == wanted[1]


def test_a_value_can_be_named_by_its_number_on_record(typed: Bedside) -> None:
    seq = next(e.fact.seq for e in corrections.entries(typed.batch) if e.key == "result")

    corrects(typed, str(seq), recovery="82")

    assert entered(typed, WASH)["recovery"] == "82"


# ── After two persons have seen the value ──────────────────────────────────────────────


@pytest.mark.requirement("R-17", "F-058")
def test_a_verified_value_changes_only_once_a_second_person_has_looked_again(bedside: Bedside) -> None:
    after_the_wash(bedside)

    corrects(bedside, WASH, recovery="88")
    before = entered(bedside, WASH)["recovery"]
    same = bedside.refusal(lambda: confirms(bedside, by=ADA))
    confirms(bedside)

    assert before == "82"
    assert same.reason == "same_person"
    assert entered(bedside, WASH)["recovery"] == "88"
    assert bedside.last(ev.ValueCorrected).person == ADA.id
    assert bedside.last(ev.SecondPersonConfirmed).person == BEN.id


def test_what_was_derived_is_derived_anew_and_names_the_correction(bedside: Bedside) -> None:
    after_the_wash(bedside)

    corrects(bedside, WASH, recovery="88")
    confirms(bedside)

    assert bedside.batch.runs["wash"].value("recovery") == 88
    recorded = [value for value in bedside.all(ev.ValueRecorded) if value.key == "recovery"]
    assert [value.value for value in recorded] == ["82", "88"]
    assert "keeps the first value" in recorded[1].source


def test_a_result_is_judged_anew_and_names_the_correction(bedside: Bedside) -> None:
    before_the_seal(bedside)

    corrects(bedside, TESTS, endotoxin="0.06")
    confirms(bedside)

    results = [one for one in bedside.all(ev.ResultReceived) if one.test == "endotoxin"]
    assert [(one.value, one.verdict) for one in results] == [("0.05", "pass"), ("0.06", "pass")]
    assert "corrected by entry" in results[1].rule
    assert bedside.deviations() == []


def test_no_corrected_number_says_otherwise_than_the_labels_serials(bedside: Bedside) -> None:
    before_the_seal(bedside)

    refused = bedside.refusal(lambda: corrects(bedside, RECONCILE, destroyed="1"))

    assert "1 labels were printed, 2 are told" in str(refused)
    assert len(bedside.all(ev.LabelsReconciled)) == 1


@pytest.mark.parametrize(
    ("values", "deviation", "classification"),
    [
        ({"endotoxin": "0.9"}, "corrected from 0.05 to 0.9 EU/mL", "major"),
        ({"gram": "seen"}, "corrected to organisms seen", "critical"),
    ],
)
def test_a_correction_that_fails_a_limit_opens_a_deviation_and_holds_what_runs(
    bedside: Bedside, values: dict[str, str], deviation: str, classification: str
) -> None:
    before_the_seal(bedside)

    corrects(bedside, TESTS, **values)
    confirms(bedside)

    opened = bedside.last(ev.DeviationOpened)
    assert deviation in opened.words
    assert opened.classification == classification
    assert bedside.result(next(iter(values))).verdict == "fail"
    assert bedside.batch.state == "held"
    refused = bedside.refusal(lambda: bedside.restart(ADA))
    assert refused.reason == "supervisor_needed"
    bedside.restart(CLEO)
    assert deviation in bedside.prompt("seal/performed").content


def test_a_corrected_recovery_below_its_limit_holds_the_phases_that_work_on(bedside: Bedside) -> None:
    after_the_wash(bedside)

    corrects(bedside, WASH, recovery="50")
    confirms(bedside)

    assert any("corrected from 82 to 50 %" in words for words in bedside.deviations())
    assert bedside.last(ev.LimitCrossed).level == "action"
    assert bedside.batch.state == "held"


def test_a_value_that_is_corrected_back_passes_and_the_deviation_stays_on_record(bedside: Bedside) -> None:
    before_the_seal(bedside)
    corrects(bedside, TESTS, endotoxin="0.9")
    confirms(bedside)
    bedside.restart(CLEO)

    corrects(bedside, TESTS, endotoxin="0.09")
    confirms(bedside)

    assert bedside.result("endotoxin").verdict == "pass"
    assert len(bedside.deviations()) == 1


def test_one_value_has_one_open_correction_at_a_time(bedside: Bedside) -> None:
    after_the_wash(bedside)
    corrects(bedside, WASH, recovery="88")

    assert bedside.refusal(lambda: corrects(bedside, WASH, recovery="89")).reason == "correction_waits"


@pytest.mark.requirement("F-058")
def test_a_correction_that_no_second_person_confirms_in_time_lapses_and_changes_nothing(
    bedside: Bedside,
) -> None:
    after_the_wash(bedside)
    corrects(bedside, WASH, recovery="88")

    bedside.waits(10 * 60 + 5)

    lapsed = bedside.last(ev.FirstActLapsed)
    assert lapsed.person == ADA.id
    assert entered(bedside, WASH)["recovery"] == "82"
    assert not any("/correction:" in one for one in bedside.asks())
    corrects(bedside, WASH, recovery="88")
    confirms(bedside)
    assert entered(bedside, WASH)["recovery"] == "88"


# ── The window of a second person ──────────────────────────────────────────────────────


@pytest.mark.requirement("R-17", "F-058")
def test_a_second_person_who_comes_too_late_finds_the_first_one_asked_again(typed: Bedside) -> None:
    until = typed.prompt("wash/result.verify").until

    typed.waits(10 * 60 + 5)

    assert until is not None and until < typed.now
    assert typed.last(ev.FirstActLapsed).key == "result"
    assert WASH in typed.asks()
    assert "wash/result.verify" not in typed.asks()
    typed.answer(WASH)
    typed.answer("wash/result.verify")
    assert typed.batch.runs["wash"].value("recovery") == 82


@pytest.mark.requirement("F-058")
def test_a_confirmation_in_the_moment_after_the_window_is_too_late(typed: Bedside) -> None:
    typed.now += timedelta(minutes=10, seconds=1)

    refused = typed.refusal(lambda: typed.answer("wash/result.verify"))

    assert "came too late" in str(refused)
    assert not [one for one in typed.all(ev.SecondPersonConfirmed) if one.phase == "wash"]


@pytest.mark.requirement("F-058")
def test_the_site_sets_how_long_a_first_act_waits(bedside: Bedside) -> None:
    actor = ADA
    batch, events = decisions.open_batch(bedside.unit, bedside.opening(), actor, bedside.now)
    opened = ev.from_body("BatchOpened", ev.to_body(events[0]) | {"second_person_within_min": 2})
    bedside.commit([opened], actor.id, batch)
    bedside.answer("clear_line/clear")

    bedside.waits(115)
    still = bedside.asks()
    bedside.waits(10)

    assert "clear_line/clear.verify" in still
    assert "clear_line/clear" in bedside.asks()


@pytest.mark.requirement("F-058")
def test_where_the_clock_runs_faster_people_have_as_long_as_ever(bedside: Bedside) -> None:
    batch, events = decisions.open_batch(bedside.unit, bedside.opening(), ADA, bedside.now)
    opened = ev.from_body("BatchOpened", ev.to_body(events[0]) | {"clock_speed": "60"})
    bedside.commit([opened], ADA.id, batch)
    bedside.answer("clear_line/clear")

    bedside.waits(9 * 60 * 60, step_s=600)

    assert "clear_line/clear.verify" in bedside.asks()


@pytest.mark.requirement("F-058", "R-17")
def test_a_second_persons_confirmation_keeps_exactly_the_facts_that_were_shown(typed: Bedside) -> None:
    prompt = typed.prompt("wash/result.verify")

    typed.answer(prompt.id)

    confirmed = typed.last(ev.SecondPersonConfirmed)
    assert confirmed.content == prompt.content
    assert '"28 %"' in confirmed.content
    assert confirmed.person not in prompt.not_by


# ── The end of it ──────────────────────────────────────────────────────────────────────


def test_after_the_qp_has_decided_nothing_is_corrected_any_longer(bedside: Bedside) -> None:
    bedside.is_released()

    assert bedside.refusal(lambda: corrects(bedside, WASH, recovery="88")).reason == "decided"


def test_an_aborted_batch_is_not_corrected(bedside: Bedside) -> None:
    after_the_wash(bedside)
    bedside.abort_batch()

    assert bedside.refusal(lambda: corrects(bedside, WASH, recovery="88")).reason == "not_open"


def test_the_record_alone_tells_what_holds_after_corrections(bedside: Bedside) -> None:
    after_the_wash(bedside)
    corrects(bedside, WASH, recovery="88")
    confirms(bedside)
    corrects(bedside, WASH, recovery="89")
    bedside.now += timedelta(seconds=1)

    bedside.unit = bedside.refolded()

    assert entered(bedside, WASH)["recovery"] == "88"
    assert any("/correction:" in one for one in bedside.asks())


# ── Devices whose calibration holds ────────────────────────────────────────────────────


def calibrated(bedside: Bedside, until: str, device: str = "pump-1") -> None:
    seen = next(e for e in bedside.all(ev.DeviceIdentified) if e.device == device)
    bedside.commit([ev.from_body("DeviceIdentified", ev.to_body(seen) | {"calibrated_until": until})])


@pytest.mark.requirement("R-16")
def test_no_batch_opens_with_a_device_whose_calibration_is_over(bedside: Bedside) -> None:
    calibrated(bedside, "2026-03-01")

    refused = bedside.refusal(bedside.begin_batch)
    calibrated(bedside, "2026-03-02")
    bedside.begin_batch()

    assert refused.reason == "device_not_calibrated"
    assert "The calibration of Pump ended on 2026-03-01. Call maintenance." in str(refused)


@pytest.mark.requirement("R-16")
def test_where_time_is_not_trusted_nobody_vouches_for_a_calibration(bedside: Bedside) -> None:
    calibrated(bedside, "2027-03-01")
    bedside.unit.clock_trusted = False

    refused = bedside.refusal(bedside.begin_batch)

    assert "not trusted" in str(refused)


@pytest.mark.requirement("R-16")
def test_a_phase_does_not_start_with_a_device_whose_calibration_ended_meanwhile(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    calibrated(bedside, "2026-03-01")

    bedside.answer("thaw/bag_out")
    bedside.waits(30)

    assert bedside.state_of("dilute") == "idle"
    assert "The calibration of Pump ended" in bedside.alarm_words()
    assert sum("cannot start" in alarm.title for alarm in bedside.all(ev.AlarmRaised)) == 1
    calibrated(bedside, "2027-03-01")
    assert bedside.state_of("dilute") == "running"
    assert "calibration" not in bedside.alarm_words()


# ── The recipe's order ─────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-14")
def test_no_question_of_the_recipe_is_answered_before_its_turn(bedside: Bedside) -> None:
    bedside.begin_batch()
    questions = [
        f"{phase.id}/{key}" for phase in bedside.batch.recipe.phases.values() for key in phase.instruction
    ]
    early = [question for question in questions if question not in bedside.asks()]

    refused = {
        bedside.refusal(
            lambda question=question: decisions.answer(bedside.unit, question, {}, ADA, bedside.now)
        ).reason
        for question in early
    }

    assert len(early) > 10
    assert refused == {"out_of_order"}


@pytest.mark.requirement("R-14")
def test_a_repeated_count_and_a_reprinted_label_carry_their_reason(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("count/accept")

    bedside.answer("count/accept", decision="repeat")

    assert bedside.last(ev.CountRepeated).reason == "Asked for by p-0001"
