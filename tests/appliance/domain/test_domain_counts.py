"""The cell count: never without verdict and interval, repeated when it must be, judged by its rule."""

from __future__ import annotations

import itertools

import pytest
from bedside import ADA, BEN, GUS, RECIPE_B, Bedside, counted, with_proof

from appliance.domain import decisions
from appliance.domain import events as ev

LOAD, ACCEPT, REPEAT, AGAIN = "count/load", "count/accept", "count/repeat", "count/again"


def before_counting(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(LOAD)


def test_three_replicates_and_their_pool_are_counted_before_anybody_is_asked(bedside: Bedside) -> None:
    before_counting(bedside)

    bedside.answer(LOAD)

    assert [count.replicate for count in bedside.all(ev.CellCountReported)] == [1, 2, 3, 0]
    assert ACCEPT in bedside.asks()
    assert not bedside.has(ev.ResultReceived)


def test_what_is_signed_names_every_replicate_and_its_interval(bedside: Bedside) -> None:
    before_counting(bedside)
    bedside.answer(LOAD)

    content = bedside.prompt(ACCEPT).content
    bedside.answer(ACCEPT)

    assert content.count('"interval"') == 4
    assert bedside.last(ev.SignatureGiven).content == content
    assert bedside.result("viability").interval == ["86.9", "92.4"]


def test_a_count_that_fails_is_tried_again_when_a_person_has_looked(bedside: Bedside) -> None:
    def fails(request: ev.CountRequested) -> ev.Event:
        words = "No pictures of replicate 1 came from the microscope."
        return ev.CountFailed(
            phase=request.phase, count_id=request.count_id, replicate=request.replicate, words=words
        )

    before_counting(bedside)
    bedside.count = fails
    bedside.answer(LOAD)
    words, requests = bedside.prompt(AGAIN).instruction, len(bedside.all(ev.CountRequested))
    bedside.count = counted

    bedside.answer(AGAIN)
    bedside.answer(ACCEPT)

    assert "No pictures of replicate 1" in words
    assert requests == 1
    assert bedside.state_of("count") == "complete"


def test_a_replicate_that_cannot_be_used_leaves_only_a_new_chamber(bedside: Bedside) -> None:
    before_counting(bedside)
    bedside.count = lambda request: counted(
        request, verdict="repeat" if request.replicate == 2 else "counted", reasons=["clumps"]
    )
    bedside.answer(LOAD)
    asked, facts = bedside.asks(), [fact.value for fact in bedside.prompt(REPEAT).facts]
    bedside.count = counted

    bedside.answer(REPEAT)
    bedside.answer(LOAD)
    bedside.answer(ACCEPT)

    assert REPEAT in asked and ACCEPT not in asked
    assert "repeat: clumps" in facts
    assert len(bedside.all(ev.CellCountReported)) == 8
    assert bedside.state_of("count") == "complete"


def test_a_person_may_throw_a_good_count_away_without_signing_it(bedside: Bedside) -> None:
    before_counting(bedside)
    bedside.answer(LOAD)

    bedside.answer(ACCEPT, by=ADA, decision="repeat")

    assert bedside.last(ev.CountRepeated).reason == "Asked for by p-0001"
    assert not bedside.has(ev.SignatureGiven)
    assert LOAD in bedside.asks()


@pytest.mark.parametrize("person", [GUS, BEN], ids=["administrator", "verifier"])
def test_who_may_not_accept_a_count_may_not_throw_it_away_either(bedside: Bedside, person: object) -> None:
    before_counting(bedside)
    bedside.answer(LOAD)

    refused = bedside.refusal(lambda: bedside.answer(ACCEPT, by=person, decision="repeat"))  # type: ignore[arg-type]

    assert refused.reason == "not_permitted"
    assert not bedside.has(ev.CountRepeated)


def test_a_decision_that_is_neither_yes_nor_again_is_refused(bedside: Bedside) -> None:
    before_counting(bedside)
    bedside.answer(LOAD)

    refused = bedside.refusal(
        lambda: bedside.answer(ACCEPT, by=with_proof(ADA, "password"), decision="maybe")
    )

    assert refused.reason == "not_plausible"
    assert not bedside.has(ev.SignatureGiven)


def test_too_few_cells_a_wide_spread_and_low_viability_each_open_a_deviation(bedside: Bedside) -> None:
    before_counting(bedside)
    lives = {1: 200, 2: 300, 3: 350, 0: 850}
    bedside.count = lambda request: counted(
        request, live=lives[request.replicate], dead=40, viability_percent="65.0"
    )

    bedside.answer(LOAD)
    bedside.answer(ACCEPT)

    words = bedside.deviations()
    assert [text.split(":")[0] for text in words] == [
        "Cells in the smallest replicate",
        "Variation between replicates",
        "Viability",
    ]
    numbers = [deviation.deviation for deviation in bedside.all(ev.DeviationOpened)]
    assert len(set(numbers)) == 3
    assert (bedside.result("viability").verdict, bedside.result("replicate_cv").verdict) == ("fail", "fail")
    assert bedside.state_of("count") == "complete"


def test_the_variation_is_the_sample_deviation_over_the_mean(bedside: Bedside) -> None:
    before_counting(bedside)
    cells = {1: 400, 2: 450, 3: 500, 0: 1350}
    bedside.count = lambda request: counted(request, live=cells[request.replicate], dead=0)

    bedside.answer(LOAD)
    bedside.answer(ACCEPT)

    assert bedside.result("replicate_cv").value == "11.1"  # 50 / 450


@pytest.mark.parametrize(("rule", "verdict"), [("point", "pass"), ("lower_bound", "fail")])
def test_the_recipe_says_whether_the_point_or_its_lower_end_is_judged(rule: str, verdict: str) -> None:
    bedside = Bedside(RECIPE_B.replace('rule = "point"', f'rule = "{rule}"'))
    before_counting(bedside)
    bedside.count = lambda request: counted(
        request, viability_percent="71.0", viability_interval_percent=["66.0", "75.8"]
    )

    bedside.answer(LOAD)
    bedside.answer(ACCEPT)

    assert bedside.result("viability").verdict == verdict
    assert len(bedside.deviations()) == (0 if verdict == "pass" else 1)


def test_a_crash_while_counting_is_told_as_a_failed_count(bedside: Bedside) -> None:
    before_counting(bedside)
    answers = itertools.count()
    bedside.count = lambda request: counted(request) if next(answers) == 0 else ev.CommentAdded(text="-")
    bedside.answer(LOAD)

    bedside.crash()
    bedside.restart()

    assert "Whether it happened is not known" in bedside.last(ev.CountFailed).words
    assert AGAIN in bedside.asks()


@pytest.mark.parametrize(
    ("concentration", "verdict"),
    [("1000000", "fail"), ("1300000", "pass"), ("10300000", "pass"), ("10400000", "fail")],
)
def test_a_dose_outside_its_window_fails_and_opens_a_deviation(
    bedside: Bedside, concentration: str, verdict: str
) -> None:
    bedside.begin_batch()
    bedside.count = lambda request: counted(request, concentration_cells_ml=concentration)

    bedside.works_through("fill")

    assert bedside.result("dose").verdict == verdict
    assert len(bedside.deviations()) == (0 if verdict == "pass" else 1)
    assert all("window 5.00e5 to 4.00e6 cells/kg" in words for words in bedside.deviations())


def test_a_count_that_nobody_answers_is_asked_anew_after_a_restart_and_no_replicate_counts_twice(
    bedside: Bedside,
) -> None:
    late: list[ev.CountRequested] = []

    def answers_late(request: ev.CountRequested) -> ev.Event:
        late.append(request)
        return ev.CommentAdded(text="still counting")

    before_counting(bedside)
    bedside.count = answers_late
    bedside.answer(LOAD)
    bedside.stop()
    bedside.waits(1)
    bedside.count = counted
    bedside.commit(decisions.release_stop(bedside.unit, ADA, "All is safe"), ADA.id)

    bedside.restart()
    bedside.commit([counted(late[0])])

    assert [fact.label for fact in bedside.prompt(ACCEPT).facts] == [
        "Replicate 1",
        "Replicate 2",
        "Replicate 3",
        "Pooled",
    ]
