"""The bedside terminal is killed in the middle of a batch and started again."""

from __future__ import annotations

import pytest
from story_failing_parts import FailingParts

pytestmark = pytest.mark.timeout(600)


def test_the_terminal_shows_the_same_question_after_it_was_killed(failing_parts: FailingParts) -> None:
    before, after = failing_parts.screens
    assert failing_parts.prompt_title in before
    assert failing_parts.prompt_title in after


def test_the_terminal_finds_its_person_still_signed_in(failing_parts: FailingParts) -> None:
    # Without a session it would offer "Sign in" in place of the answer.
    assert failing_parts.prompt_button in failing_parts.screens[1], failing_parts.screens[1]


def test_the_engine_does_not_notice_that_the_terminal_was_killed(failing_parts: FailingParts) -> None:
    before, after = failing_parts.terms
    assert before == after


def test_a_restarted_terminal_shows_its_question_within_ten_seconds(failing_parts: FailingParts) -> None:
    assert max(failing_parts.first_screen_s) <= 10, failing_parts.first_screen_s
