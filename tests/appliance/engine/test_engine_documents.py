"""What comes from outside is checked by the unit alone: orders, recipes, decisions, acknowledgements."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_room import (
    ADA,
    CLEO,
    ORDER,
    UNIT_TOML,
    Room,
    make_room,
    order_envelope,
    recipe_envelope,
    told,
)

from appliance.access.documents import Envelope, dump, to_json
from appliance.access.errors import DocumentRefused
from appliance.domain import events as ev
from appliance.engine import recovery
from appliance.record.errors import RecordUnusable


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


def altered(path: Path) -> None:
    """One byte of the signed content is another one."""
    tree = json.loads(path.read_text())
    content = tree["content"]
    tree["content"] = content[:40] + ("A" if content[40] != "A" else "B") + content[41:]
    path.write_text(json.dumps(tree))


def delivered(envelope: Envelope) -> dict[str, Any]:
    return {"envelope": json.loads(to_json(envelope))}


# ── Recipes and orders ─────────────────────────────────────────────────────────────────

SPOILT: dict[str, tuple[Callable[[Room], object], str]] = {
    "a recipe without the reviewer": (
        lambda room: dump(recipe_envelope(room.keys, reviewed=False), room.home.recipes / "short.json"),
        "recipe_not_approved",
    ),
    "an altered recipe": (lambda room: altered(room.home.recipes / "short.json"), "recipe_not_approved"),
    "no recipe": (lambda room: (room.home.recipes / "short.json").unlink(), "recipe_not_approved"),
    "an altered order": (lambda room: altered(room.home.orders / f"{ORDER}.json"), "order_refused"),
    "an order by a stranger": (
        lambda room: dump(
            order_envelope(room.keys, signed_by="stranger"), room.home.orders / f"{ORDER}.json"
        ),
        "order_refused",
    ),
    "an order by the unit itself": (
        lambda room: dump(order_envelope(room.keys, signed_by="unit"), room.home.orders / f"{ORDER}.json"),
        "order_refused",
    ),
    "an order that is no file of ours": (
        lambda room: (room.home.orders / f"{ORDER}.json").write_text("{"),
        "order_refused",
    ),
    "no order": (lambda room: (room.home.orders / f"{ORDER}.json").unlink(), "order_refused"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_no_batch_opens_on_a_document_that_does_not_hold_and_the_refusal_is_on_record(
    room: Room, name: str
) -> None:
    spoil, reason = SPOILT[name]

    async def story() -> None:
        await room.signs_in()
        spoil(room)

        refused = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == reason, refused
        on_record = [e for e in room.events(ev.CommandWasRefused) if isinstance(e, ev.CommandWasRefused)]
        assert [(event.name, event.reason, event.words) for event in on_record] == [
            ("open_batch", reason, refused.words)
        ]
        assert not room.events(ev.BatchOpened)

    told(room, story)


def test_a_document_that_is_mended_is_taken_without_a_restart(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        altered(room.home.orders / f"{ORDER}.json")
        await room.refused("open_batch", {"order": ORDER})

        dump(order_envelope(room.keys), room.home.orders / f"{ORDER}.json")
        await room.done("open_batch", {"order": ORDER})

        assert room.batch.state == "running"

    told(room, story)


def test_without_a_people_document_signed_under_the_root_the_unit_does_not_start(room: Room) -> None:
    altered(room.home.people)

    with pytest.raises(DocumentRefused):
        told(room, _nothing)


def test_a_record_of_another_kind_or_unit_is_never_opened(room: Room) -> None:
    told(room, _nothing)

    for was, now, words in (
        ("simulated = true\nclock_speed", "simulated = false\nclock_speed", "own record folder"),
        ('id = "UNIT-1"', 'id = "UNIT-2"', "Put the right folder there"),
    ):
        room.home.unit_toml.write_text(UNIT_TOML.replace(was, now))
        with pytest.raises(RecordUnusable, match=words):
            told(room, _nothing)


async def _nothing() -> None:
    return


def test_what_a_batch_was_made_by_is_frozen_at_its_opening(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        (room.home.recipes / "short.json").unlink()
        (room.home.orders / f"{ORDER}.json").unlink()

        await room.restarts()

        opened = room.batch.opened
        assert room.batch.recipe.hash == opened.recipe_hash
        for blob in (opened.recipe_blob, opened.order_blob, opened.people_blob):
            assert room.engine.record.blob(blob)

    told(room, story)


# ── The QP's decision ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "reason", "words"),
    [
        ("central", "central_key", "central's own key"),
        ("unit", "unit_key", "this unit's own key"),
        ("reviewer", "wrong_role", "qa reviewer"),
        ("root", "wrong_key", "nobody on the list"),
        ("stranger", "wrong_key", "nobody on the list"),
    ],
)
def test_a_decision_by_any_key_but_the_qps_releases_nothing(
    room: Room, key: str, reason: str, words: str
) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()

        refused = await room.refused("deliver_document", delivered(room.decision(key=key)))

        assert refused.reason == reason
        assert words in refused.words
        on_record = [e for e in room.events(ev.DispositionRefused) if isinstance(e, ev.DispositionRefused)]
        assert [(event.reason, event.words) for event in on_record] == [(reason, refused.words)]
        assert room.engine.record.blob(on_record[0].decision_blob)
        assert room.batch.state == "awaiting_disposition"
        assert room.batch.runs["hand_over"].state == "idle"

    told(room, story)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"batch": "UNIT-1-00002"}, "wrong_batch"),
        ({"unit": "UNIT-2"}, "wrong_batch"),
        ({"sealed_seq": 3}, "changed"),
        ({"sealed_hash": "00" * 32}, "changed"),
        ({"telemetry_hash": "00" * 32}, "changed"),
        ({"blobs_hash": "00" * 32}, "changed"),
        ({"recipe_hash": "00" * 32}, "wrong_recipe"),
        ({"dose_labels": ["another"]}, "wrong_dose"),
        ({"by": "p-0004"}, "wrong_person"),
        ({"more": 1}, "garbled"),
    ],
)
def test_a_decision_for_anything_but_this_sealed_record_releases_nothing(
    room: Room, changes: dict[str, Any], reason: str
) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()

        refused = await room.refused("deliver_document", delivered(room.decision(**changes)))

        assert refused.reason == reason
        assert len(room.events(ev.DispositionRefused)) == 1
        assert room.batch.state == "awaiting_disposition"

    told(room, story)


def test_a_comment_after_the_seal_voids_the_decision_and_a_new_one_holds(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        decision = room.decision()
        await room.done("comment", {"text": "The clamp was loose."})

        refused = await room.refused("deliver_document", delivered(decision))
        await room.until(lambda: len(room.batch.all(ev.BatchSealed)) == 2)
        await room.done("deliver_document", delivered(room.decision()))

        assert refused.reason == "changed"
        assert "Certify again" in refused.words
        assert room.batch.state == "released"

    told(room, story)


def test_an_expired_decision_releases_nothing(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        decision = room.decision(expires_h=1)
        room.clock.advance(3601)

        refused = await room.refused("deliver_document", delivered(decision))

        assert refused.reason == "expired"

    told(room, story)


def test_while_time_is_not_trusted_no_release_holds(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        room.clock.set_trust("untrusted")

        refused = await room.refused("deliver_document", delivered(room.decision()))
        room.clock.set_trust("trusted")
        await room.done("deliver_document", delivered(room.decision()))

        assert "time" in refused.words or "clock" in refused.words
        assert room.batch.state == "released"

    told(room, story)


def test_the_word_of_two_persons_on_the_clock_lets_a_decision_be_judged(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        room.clock.set_trust("untrusted")
        await room.done("confirm_time", {"reference": room.clock.utc().isoformat()}, CLEO.by_pin)

        await room.done("deliver_document", delivered(room.decision()))

        assert room.batch.state == "released"

    told(room, story)


def test_a_rejection_wins_over_any_later_release(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        await room.done("deliver_document", delivered(room.decision(disposition="rejected")))

        refused = await room.refused("deliver_document", delivered(room.decision(version=2)))

        assert refused.reason == "already_rejected"
        assert room.batch.state == "rejected"

    told(room, story)


def test_a_decision_that_comes_twice_is_heard_once(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        body = delivered(room.decision())

        await room.done("deliver_document", body)
        again = await room.done("deliver_document", body)

        assert "on record already" in again.result["words"]
        assert len(room.events(ev.DispositionRecorded)) == 1

    told(room, story)


def test_before_the_seal_there_is_nothing_to_decide(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        decision = room.decision()
        other = make_room(room.home.root / "other")
        other.keys = room.keys

        async def unsealed() -> None:
            await other.signs_in()
            refused = await other.refused("deliver_document", delivered(decision))
            assert refused.reason in ("not_sealed", "wrong_key")

        await other.starts()
        await unsealed()
        await other.crashes()

    told(room, story)


def test_no_other_document_is_taken_over_the_socket(room: Room) -> None:
    async def story() -> None:
        envelope = recipe_envelope(room.keys)

        refused = await room.refused("deliver_document", delivered(envelope))

        assert refused.reason == "wrong_type"
        assert len(room.events(ev.DocumentRefused)) == 1

    told(room, story)


@pytest.mark.parametrize(
    "envelope", [None, 7, "x", [], {}, {"type": "decision"}, {"type": 1, "content": "%"}]
)
def test_what_is_no_envelope_is_refused_and_the_engine_goes_on(room: Room, envelope: Any) -> None:
    async def story() -> None:
        refused = await room.refused("deliver_document", {"envelope": envelope})

        assert refused.reason != "engine_fault", refused
        await room.signs_in()

    told(room, story)


# ── Central's acknowledgement ──────────────────────────────────────────────────────────


def test_an_acknowledgement_moves_the_watermark_over_a_restart(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        head = room.engine.record.head().seq

        await room.done("store_ack", room.acknowledgement())
        await room.restarts()

        assert room.engine.record.acked()[0] == head

    told(room, story)


@pytest.mark.parametrize(
    ("key", "changes", "reason"),
    [
        ("unit", {}, "ack_not_trusted"),
        ("qp", {}, "ack_not_trusted"),
        ("stranger", {}, "ack_not_trusted"),
        ("central", {"unit": "UNIT-2"}, "ack_other_log"),
        ("central", {"epoch": "00" * 16}, "ack_other_log"),
        ("central", {"log": "telemetry"}, "ack_other_log"),
        ("central", {"acked_hash": "00" * 32}, "fork"),
        ("central", {"acked_seq": 9_999}, "fork"),
        ("central", {"acked_seq": 0}, "fork"),
        ("central", {"acked_seq": "many"}, "not_plausible"),
    ],
)
def test_an_acknowledgement_that_does_not_fit_moves_nothing(
    room: Room, key: str, changes: dict[str, Any], reason: str
) -> None:
    async def story() -> None:
        await room.signs_in()

        refused = await room.refused("store_ack", room.acknowledgement(key=key, **changes))

        assert refused.reason == reason, refused
        assert room.engine.record.acked()[0] == 0

    told(room, story)


def test_a_fork_is_an_alarm_that_names_the_event_and_starts_no_batch(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()

        refused = await room.refused("store_ack", room.acknowledgement(acked_hash="11" * 32))

        assert "another event" in refused.words
        assert "Start no batch; call QA" in refused.words
        again = await room.refused("store_ack", room.acknowledgement(acked_hash="11" * 32))
        assert again.reason == "fork"
        alarms = [event for event in room.events(ev.AlarmRaised) if isinstance(event, ev.AlarmRaised)]
        assert [(alarm.priority, alarm.cause) for alarm in alarms] == [("high", refused.words)]
        opened = await room.refused("open_batch", {"order": ORDER})
        assert opened.reason == "record_blocked"

    told(room, story)


def test_an_acknowledgement_whose_signature_is_of_other_bytes_is_refused(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        body = room.acknowledgement()
        other = room.acknowledgement(acked_seq=1)

        refused = await room.refused("store_ack", body | {"signature": other["signature"]})

        assert refused.reason == "ack_not_trusted"

    told(room, story)


def test_a_unit_whose_trust_names_no_central_takes_no_acknowledgement_and_no_order(room: Room) -> None:
    async def story() -> None:
        engine = room.engine
        engine.trust = msgspec.structs.replace(engine.trust, central=())
        await room.signs_in(ADA)

        ack = await room.refused("store_ack", room.acknowledgement())
        order = await room.refused("open_batch", {"order": ORDER})

        assert (ack.reason, order.reason) == ("ack_not_trusted", "order_refused")

    told(room, story)


def test_the_shell_has_one_way_to_start_and_it_checks_the_record(room: Room) -> None:
    told(room, _nothing)
    room.home.record.joinpath("record.db").write_bytes(b"not a database" * 1000)

    with pytest.raises(RecordUnusable):
        told(room, _nothing)
    assert recovery.start.__doc__
