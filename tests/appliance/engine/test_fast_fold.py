"""A long record starts fast: what is left out of closed batches changes nothing that the unit goes by."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from engine_room import ORDER, RECIPE, START, Room, make_room, told
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain import events as ev
from appliance.domain.batch import Fact, Unit, evolve
from appliance.domain.state_digest import plain, unit_digest
from appliance.engine import recovery
from appliance.engine.clock import HandClock, stamp
from appliance.engine.folding import OF_THEIR_BATCH, Folded, folded
from appliance.record.canonical import NewRecord, encode_payload
from appliance.record.log import Record


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path / "unit")


ELSEWHERE = sorted(ev.KINDS.keys() - {"BatchOpened"})
KEPT = sorted(ev.KINDS.keys() - {"BatchOpened"} - OF_THEIR_BATCH)
EVERYTHING_ON = (
    ev.DeviceStopped(station="a", latency_ms={}),
    ev.AlarmRaised(alarm="a", priority="a", title="a", cause="a", action="a"),
    ev.AccountDisabled(person="a", reason="a", source="unit"),
    ev.DeviceWentSilent(device="a", words="a"),
)
PEOPLE = ("p-0001", "p-0002")
# Few names, so that events meet: an alarm is raised and cleared, a person disabled and enabled.
NAMES = st.sampled_from(["a", "b", *PEOPLE])
SPECIAL: dict[tuple[str, str], st.SearchStrategy[Any]] = {
    ("EngineStarted", "devices"): st.lists(
        st.fixed_dictionaries({"id": NAMES, "role": NAMES, "title": NAMES, "serial_number": NAMES}),
        max_size=2,
    ),
    ("AccountSet", "training"): st.lists(
        st.fixed_dictionaries({"recipe": NAMES, "version": NAMES, "until": NAMES, "by": NAMES}), max_size=1
    ),
}


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    simple: dict[Any, st.SearchStrategy[Any]] = {str: NAMES, int: st.integers(0, 9), bool: st.booleans()}
    if annotation in simple:
        return simple[annotation]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list:
        return st.lists(values_of(arguments[0]), max_size=2)
    return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=2)


def event_of(name: str) -> st.SearchStrategy[ev.Event]:
    kind = ev.KINDS[name]
    hints = typing.get_type_hints(kind)
    fields = {
        field.name: SPECIAL.get((name, field.name), values_of(hints[field.name]))
        for field in dataclasses.fields(kind)
    }
    return st.builds(kind, **fields)


def opened(number: int) -> ev.BatchOpened:
    order = {
        "id": f"ORD-{number}",
        "recipe": "short",
        "patient": "P",
        "coi": "C",
        "din": "D",
        "description_code": "S",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1",
    }
    texts = {field.name: "" for field in dataclasses.fields(ev.BatchOpened) if field.type in ("str", str)}
    lists = {"recipe_signers": [], "devices": []}
    more = {"order_id": f"ORD-{number}", "order_text": json.dumps(order), "recipe_text": RECIPE}
    return ev.BatchOpened(**(texts | lists | more), people_version=1, simulated=True, station={})


def written(folder: Path, batches: Sequence[Sequence[ev.Event]]) -> Record:
    """A record of several batches, each with these events after its opening."""
    clock = HandClock(START)
    record = Record.create(
        folder,
        unit_id="UNIT-1",
        key=Ed25519PrivateKey.generate(),
        software_version="1",
        simulated=True,
        stamp=stamp(clock),
    )
    for number, events in enumerate(batches):
        batch = f"B-{number}" if number else None  # the first events come before any batch
        all_events = [opened(number), *events] if number else list(events)
        clock.advance(1)
        news = [
            NewRecord(
                kind=type(event).__name__,
                payload=encode_payload(
                    None if type(event).__name__ in ev.UNIT_KINDS else batch, None, ev.to_body(event)
                ),
                actor="unit",
                stamp=stamp(clock),
            )
            for event in all_events
        ]
        if news:
            record.append_many(news)
    return record


def in_full(record: Record) -> Folded:
    """Every event folded, as it would be without any haste."""
    state = Folded(Unit("UNIT-1", True, {}))
    for stored in record.read():
        state.take(stored)
    state.unit.qualified.clear()
    state.unit.silent.clear()
    return state


@pytest.mark.requirement("R-07", "F-022")
def test_whatever_is_on_record_the_fast_fold_gives_the_state_of_the_full_one() -> None:
    batch = st.lists((st.sampled_from(KEPT) | st.sampled_from(ELSEWHERE)).flatmap(event_of), max_size=25)

    @settings(derandomize=True, deadline=None, max_examples=60)
    @given(st.lists(batch, min_size=1, max_size=4))
    def equal(batches: list[list[ev.Event]]) -> None:
        with tempfile.TemporaryDirectory() as folder, written(Path(folder) / "r", batches) as record:
            fast, full = folded(Unit("UNIT-1", True, {}), record), in_full(record)

            assert plain(fast.unit.people) == plain(full.unit.people)
            assert unit_digest(fast.unit) == unit_digest(full.unit)
            assert fast.unit.batch == full.unit.batch
            assert fast.unit.labels_of == full.unit.labels_of  # no part of the digest
            assert fast.access == full.access

    equal()


@pytest.mark.parametrize("name", sorted(OF_THEIR_BATCH))
def test_a_kind_that_is_left_out_changes_nothing_but_its_own_batch(name: str) -> None:
    @settings(derandomize=True, deadline=None, max_examples=15)
    @given(st.lists(st.sampled_from(KEPT).flatmap(event_of), max_size=20), event_of(name))
    def unchanged(earlier: list[ev.Event], event: ev.Event) -> None:
        unit = Unit("UNIT-1", True, {})
        for one in [opened(1), *earlier, *EVERYTHING_ON]:
            evolve(unit, Fact(one, START, "unit", 1, "B-1"))
        before, labels = unit_digest(unit), dict(unit.labels_of)

        evolve(unit, Fact(event, START, "unit", 2, "B-0"))

        assert unit_digest(unit) == before
        assert unit.labels_of == labels

    unchanged()


def test_what_a_unit_goes_by_for_years_is_never_left_out() -> None:
    kept = {"BatchOpened", "BagAccepted", "DispositionRecorded", "AlarmRaised", "AccountSet", "SignInRefused"}
    kept |= {"MaterialReceived", "MaterialReleased", "MaterialAccepted", "MaterialBookedOut", "LotRecalled"}
    kept |= {"ProductLabelled", "SampleTaken", "ConsentRecorded", "ConsentWithdrawn"}

    assert not kept & OF_THEIR_BATCH
    assert ev.KINDS.keys() >= OF_THEIR_BATCH


def test_a_real_record_with_a_closed_batch_gives_the_same_state(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        await room.crashes()

        with Record.open_readonly(room.home.record) as record:
            fast, full = folded(Unit("UNIT-1", True, {}), record), in_full(record)
            assert fast.unit == full.unit
            assert fast.unit.made_orders == {ORDER: "UNIT-1-00001"}
            assert unit_digest(fast.unit) == unit_digest(full.unit)
        await room.starts()
        assert recovery.fresh_unit(room.engine.config).id == room.engine.unit.id

    told(room, story)
