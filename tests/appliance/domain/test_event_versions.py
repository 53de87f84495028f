"""Events of earlier versions are read as today's; what this software does not know is kept and shown."""

from __future__ import annotations

from typing import Any

import pytest

from appliance.domain import events as ev
from appliance.domain.upcasters import UPCASTERS, NewerThanThisSoftware, event_of, todays_body


def named_first(body: dict[str, Any]) -> dict[str, Any]:
    return {"name": body["text"]}


def with_reason(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "reason": "none was asked for"}


STEPS = {("Renamed", 1): named_first, ("Renamed", 2): with_reason}


@pytest.mark.requirement("R-05", "R-42")
def test_an_old_body_goes_through_every_version_up_to_todays() -> None:
    written = {"text": "Ada"}

    assert todays_body("Renamed", 1, written, STEPS) == {"name": "Ada", "reason": "none was asked for"}
    assert todays_body("Renamed", 2, {"name": "Ada"}, STEPS)["reason"] == "none was asked for"
    assert todays_body("Renamed", 3, {"name": "Ada"}, STEPS) == {"name": "Ada"}
    assert written == {"text": "Ada"}


def test_the_domain_folds_an_old_body_as_its_steps_tell_it() -> None:
    steps = {("EngineStoppedCleanly", 0): lambda body: {"term": body["start"]}}

    assert event_of("EngineStoppedCleanly", 0, {"start": 7}, steps) == ev.EngineStoppedCleanly(term=7)


def test_a_body_that_says_less_means_its_defaults() -> None:
    event = event_of("SessionOpened", 1, {"person": "p-0001", "name": "Ada", "station": "bedside-1"})

    assert isinstance(event, ev.SessionOpened)
    assert event.note == ""


@pytest.mark.requirement("R-05")
def test_a_kind_that_nobody_knows_is_no_event_and_keeps_its_fields() -> None:
    body = {"colour": "blue", "n": 3}

    assert event_of("FutureThing", 1, body) is None
    assert todays_body("FutureThing", 9, body) == body


@pytest.mark.requirement("R-42")
def test_a_known_kind_in_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(NewerThanThisSoftware, match="up to version 1"):
        event_of("EngineStoppedCleanly", 2, {"term": 1})
    assert todays_body("EngineStoppedCleanly", 2, {"term": 1}) == {"term": 1}


def test_every_step_leads_to_a_version_that_exists_and_none_is_left_out() -> None:
    for kind, version in UPCASTERS:
        assert version < ev.KINDS[kind].VERSION, (kind, version)
    for kind, event in ev.KINDS.items():
        steps = {version for name, version in UPCASTERS if name == kind}
        assert steps == set(range(1, event.VERSION)), kind
