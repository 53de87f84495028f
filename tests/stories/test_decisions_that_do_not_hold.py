"""A record that changed after its certification, and a release by central itself: refused, on record."""

from __future__ import annotations

import pytest
from story_failing_parts import FailingParts

pytestmark = pytest.mark.timeout(600)


def test_a_decision_for_a_record_that_changed_after_sealing_is_refused_in_words(
    failing_parts: FailingParts,
) -> None:
    done = failing_parts.changed
    assert done is not None and done.returncode == 1
    assert "changed after it was certified. Certify again." in done.stdout


def test_a_decision_signed_by_centrals_own_key_is_refused_in_words(failing_parts: FailingParts) -> None:
    done = failing_parts.by_central
    assert done is not None and done.returncode == 1
    assert "signed by central's own key" in done.stdout


def test_both_refusals_are_on_record(failing_parts: FailingParts) -> None:
    assert [one["reason"] for one in failing_parts.refused] == ["changed", "central_key"]


def test_the_hand_over_stays_locked_after_refused_decisions(failing_parts: FailingParts) -> None:
    assert failing_parts.state_after_refusals["hand_over"] == "idle"


def test_a_changed_record_is_sealed_again_over_the_change(failing_parts: FailingParts) -> None:
    first, second = failing_parts.seals
    assert second["sealed_seq"] > first["sealed_seq"]


def test_certified_again_the_changed_record_is_released(failing_parts: FailingParts) -> None:
    decisions = [(one["disposition"], one["sealed_seq"]) for one in failing_parts.dispositions]
    assert decisions == [("released", failing_parts.seals[1]["sealed_seq"])]
