"""While nobody can trust the clock, no expiry passes silently (SAFETY 17)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, Bedside, bag_texts, material_texts

from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.domain.errors import CommandRefused


def two_persons_confirm(bedside: Bedside) -> None:
    events = decisions.confirm_time(bedside.unit, ADA, CLEO, bedside.now + timedelta(seconds=20), bedside.now)
    bedside.commit(events, ADA.id)


def test_a_bag_and_a_material_are_not_taken_while_time_is_not_trusted(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until("scan_materials/material")
    bedside.unit.clock_trusted = False

    bedside.scan("scan_materials/material", material_texts("XXSALHSA"))
    refused = bedside.last(ev.MaterialRefused)
    two_persons_confirm(bedside)
    bedside.works_until("receive_bag/bag")
    bedside.scan("receive_bag/bag", bag_texts())

    assert (refused.reason, "clock is not trusted" in refused.words) == ("time_untrusted", True)
    assert bedside.has(ev.BagAccepted)


def test_a_hand_over_waits_until_two_persons_vouch_for_the_clock(bedside: Bedside) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/giver")
    bedside.unit.clock_trusted = False

    asked = bedside.asks()
    two_persons_confirm(bedside)
    bedside.works_through("hand_over")

    assert asked == []
    assert bedside.batch.state == "handed_over"


def test_the_word_of_two_persons_ends_with_the_next_start(bedside: Bedside) -> None:
    two_persons_confirm(bedside)
    before = bedside.unit.time_confirmed

    bedside.crash()

    assert (before, bedside.unit.time_confirmed) == (True, False)


@pytest.mark.parametrize(("off_s", "reason"), [(61, "clock_off"), (-61, "clock_off")])
def test_a_clock_that_is_a_minute_off_is_not_confirmed(bedside: Bedside, off_s: int, reason: str) -> None:
    with pytest.raises(CommandRefused, match="Set it, then confirm again") as refused:
        decisions.confirm_time(bedside.unit, ADA, CLEO, bedside.now + timedelta(seconds=off_s), bedside.now)

    assert refused.value.reason == reason


def test_one_person_does_not_confirm_the_time_alone_and_a_verifier_does_not_begin(bedside: Bedside) -> None:
    for first, second, reason in ((ADA, ADA, "same_person"), (BEN, ADA, "not_permitted")):
        with pytest.raises(CommandRefused) as refused:
            decisions.confirm_time(bedside.unit, first, second, bedside.now, bedside.now)
        assert refused.value.reason == reason
