"""Every type of the catalogue through every fault, beside the truth of its twin (SAFETY 4 and 6).

The rounds run in processes of their own, many beside each other; each test then looks at some of them.
`python tests/drivers/fault_runs.py --seeds 17 --words` plays one again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from fault_rounds import INSIDE_THE_DEVICE, RECOVERY_S, SCHEDULING_S, VERBS, Tally
from fault_runs import Case, in_processes, in_words, summed
from type_variants import LABELS

SEED = 1
ROUNDS = 300
Runs = list[tuple[Case, Tally]]


@pytest.fixture(scope="module")
def runs() -> Iterator[tuple[Runs, Runs, float]]:
    """All rounds: each type through each verb, then mixtures by seed."""
    began_s = time.monotonic()
    both = in_processes("--verbs", str(SEED), "--seeds", f"{SEED + 1}:{SEED + ROUNDS}")
    verbs = [one for one in both if one[0].seed == SEED]
    mixed = [one for one in both if one[0].seed != SEED]
    yield verbs, mixed, time.monotonic() - began_s


@pytest.fixture(scope="module")
def by_verb(runs: tuple[Runs, Runs, float]) -> dict[tuple[str, str], Tally]:
    return {(case.type_name, next(iter(case.rates))): tally for case, tally in runs[0]}


@pytest.mark.requirement("F-025", "F-028")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("type_name", LABELS)
def test_a_driver_keeps_to_the_truth_through_each_fault(
    by_verb: dict[tuple[str, str], Tally], type_name: str, verb: str
) -> None:
    tally = by_verb[type_name, verb]

    assert tally.findings == []
    assert tally.struck[verb] > 0, "the fault must have struck"
    assert tally.readings["good"] > 0
    assert tally.recovery_s <= RECOVERY_S + SCHEDULING_S


@pytest.mark.requirement("F-025", "F-028")
@pytest.mark.timeout(600)
def test_three_hundred_rounds_of_faults_by_seed_end_without_a_finding(
    runs: tuple[Runs, Runs, float], capsys: pytest.CaptureFixture[str]
) -> None:
    verbs, mixed, took_s = runs
    total = summed(tally for _, tally in [*verbs, *mixed])
    with capsys.disabled():
        print(f"\n{in_words(total, took_s)}")

    assert len(mixed) == ROUNDS
    assert total.findings == []
    assert set(total.struck) == set(VERBS)
    assert {case.type_name for case, _ in mixed} == set(LABELS)
    confirmed = sum(number for order, number in total.orders.items() if order.endswith("confirmed"))
    assert confirmed > ROUNDS / 4
    assert total.judged > 0.3 * total.readings["good"]


def test_what_stands_still_inside_a_device_is_no_fault_of_its_line() -> None:
    """Why two verbs are exempt from the truth: no line can show them, a cross-check must (SAFETY 6)."""
    assert set(VERBS) >= INSIDE_THE_DEVICE == {"stuck", "drift"}
