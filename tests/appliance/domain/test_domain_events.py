"""Every event goes to the record and comes back the same, without floats, in names that fit its header."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain import events as ev
from appliance.record.canonical import encode_payload

NAMES = sorted(ev.KINDS)
KIND_BYTES_MAX = 48  # the record header's field


def strategy_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values that a field of this type may hold."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(st.characters(blacklist_categories=["Cs"]), max_size=20),
        int: st.integers(-(2**53) + 1, 2**53 - 1),
        bool: st.booleans(),
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return st.lists(strategy_of(arguments[0]), max_size=3)
    assert origin is dict, annotation
    return st.dictionaries(strategy_of(arguments[0]), strategy_of(arguments[1]), max_size=3)


def event_of(name: str) -> st.SearchStrategy[ev.Event]:
    kind = ev.KINDS[name]
    hints = typing.get_type_hints(kind)
    fields = {field.name: strategy_of(hints[field.name]) for field in dataclasses.fields(kind)}
    return st.builds(kind, **fields)


@pytest.mark.parametrize("name", NAMES)
def test_an_event_comes_back_from_its_body_as_it_was(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=15)
    @given(event_of(name))
    def round_trip(event: ev.Event) -> None:
        payload = encode_payload("B-1", "C-1", ev.to_body(event))
        body = msgspec.json.decode(payload)["body"]
        assert ev.from_body(name, body) == event

    round_trip()


@pytest.mark.parametrize("name", NAMES)
def test_no_event_has_room_for_a_float_or_for_nothing(name: str) -> None:
    for field, hint in typing.get_type_hints(ev.KINDS[name]).items():
        if field != "VERSION":
            assert "float" not in str(hint) and "None" not in str(hint), (name, field)
            strategy_of(hint)


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_fits_the_records_header_and_says_what_became_true(name: str) -> None:
    assert len(name.encode()) <= KIND_BYTES_MAX
    assert name[0].isupper()
    assert ev.KINDS[name].VERSION >= 1


def test_a_body_of_another_shape_is_refused() -> None:
    for body in ({}, {"phase": 1}, {"phase": None}, {"phase": ["p"]}):
        with pytest.raises(msgspec.ValidationError):
            ev.from_body("PhaseStarted", body)


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        ev.from_body("PhaseExploded", {})


def test_the_named_lists_name_kinds_that_exist() -> None:
    assert ev.KINDS.keys() >= ev.UNIT_KINDS
    assert ev.KINDS.keys() >= ev.NOT_A_CHANGE_AFTER_SEAL


def test_what_changes_a_batch_is_never_on_the_list_of_what_does_not() -> None:
    changing = {
        "CommentAdded",
        "SignatureGiven",
        "ResultReceived",
        "DeviationOpened",
        "BatchAborted",
        "LabelPrinted",
        "CellCountReported",
        "DeviceOrdered",
    }
    assert not changing & ev.NOT_A_CHANGE_AFTER_SEAL
