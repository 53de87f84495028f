"""Late, doubled and odd commands at a whole engine; crashes between two of them."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from engine_room import ADA, BEN, CLEO, GUS, ORDER, Room, bag_texts, make_room, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.access.documents import to_json
from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.link.messages import Accepted, Command, Refused
from appliance.link.server import Caller


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


async def taken(room: Room, command: Command) -> Accepted | Refused:
    """Hand a command to the server as a client's line would."""
    caller = Caller(pid=1, uid=0, gid=0, client="bedside", station="bedside-1")
    return await room.engine.server.answer(command, caller)


def command(name: str, **more: Any) -> Command:
    return Command(command_id=more.pop("command_id", f"c-{name}"), name=name, **more)


# ── Late and doubled ───────────────────────────────────────────────────────────────────


def test_a_command_of_an_engine_before_this_one_is_refused(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        term = room.engine.unit.term
        await room.restarts()
        await room.signs_in()

        late = await taken(room, command("open_batch", body={"order": ORDER}, term=term))
        now = await taken(room, command("open_batch", body={"order": ORDER}, term=term + 1, command_id="c-2"))

        assert isinstance(late, Refused) and late.reason == "old_term"
        assert "Look at the screen again" in late.words
        assert isinstance(now, Accepted)

    told(room, story)


def test_a_command_that_comes_after_its_time_is_refused(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        expires = room.clock.utc() + timedelta(seconds=2)
        room.clock.advance(2)

        late = await taken(room, command("open_batch", body={"order": ORDER}, expires=expires))

        assert isinstance(late, Refused) and late.reason == "expired"
        assert not room.events(ev.BatchOpened)

    told(room, story)


def test_stop_is_never_too_late_never_old_and_never_a_double(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        stop = command("stop", term=99, expires=room.clock.utc() - timedelta(hours=1))

        answers = [await taken(room, stop) for _ in range(3)]

        assert all(isinstance(answer, Accepted) for answer in answers)
        assert len(room.events(ev.DeviceStopped)) == 3

    told(room, story)


def test_a_double_tap_acts_once_and_gets_one_answer(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        tap = command("open_batch", body={"order": ORDER})

        first, second = await asyncio.gather(taken(room, tap), taken(room, tap))

        assert first == second
        assert len(room.events(ev.BatchOpened)) == 1

    told(room, story)


def test_a_send_that_is_repeated_over_a_crash_acts_once_and_gets_its_first_answer(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()
        opening = command("open_batch", body={"order": ORDER})
        comment = command("comment", body={"text": "The clamp was loose."})
        first = [await taken(room, opening), await taken(room, comment)]
        await room.restarts()

        again = [await taken(room, opening), await taken(room, comment)]

        assert [type(answer) for answer in again] == [Accepted, Accepted]
        assert again[0].result == first[0].result == {"batch": "UNIT-1-00001"}  # type: ignore[union-attr]
        assert len(room.events(ev.BatchOpened)) == len(room.events(ev.CommentAdded)) == 1

    told(room, story)


def test_a_refused_decision_stays_refused_when_it_is_sent_again_after_a_crash(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        body = {"envelope": json.loads(to_json(room.decision(key="central")))}
        first = await taken(room, command("deliver_document", body=body))
        await room.restarts()

        again = await taken(room, command("deliver_document", body=body))

        assert isinstance(first, Refused) and isinstance(again, Refused)
        assert (first.reason, first.words) == (again.reason, again.words)
        assert len(room.events(ev.DispositionRefused)) == 1

    told(room, story)


# ── Odd bodies ─────────────────────────────────────────────────────────────────────────

NAMES = (
    "sign_in", "sign_out", "lock", "open_batch", "scan", "answer", "hold", "restart", "abort_batch",
    "release_stop", "acknowledge_alarm", "comment", "store_ack", "deliver_document", "unlock_account",
    "confirm_time", "import_file", "nothing_of_ours",
)  # fmt: skip
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    ["person", "order", "prompt", "values", "reason", "phase", "alarm", "text", "ack", "signature", "log",
     "envelope", "reference", "file"]
)  # fmt: skip
bodies = st.dictionaries(FIELDS, odd | st.sampled_from(["clear/clear", ORDER, "gxp"]), max_size=4)


def test_no_odd_body_breaks_the_engine(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.begins_batch()
        number = iter(range(10_000))
        asked: list[Command] = []

        @settings(
            derandomize=True, deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(st.sampled_from(NAMES), bodies)
        def collects(name: str, body: dict[str, Any]) -> None:
            asked.append(command(name, body=body, command_id=f"odd-{next(number)}"))

        collects()
        for one in asked:
            answer = await taken(room, one)
            assert not isinstance(answer, Refused) or answer.reason != "engine_fault", one
            assert not isinstance(answer, Refused) or answer.words, one

        room.clock.advance(120)
        await room.signs_in()

    told(room, story)


@pytest.mark.parametrize("reason", ["", "  ", "no", "x" * 201])
def test_a_hold_needs_a_reason_that_says_something(room: Room, reason: str) -> None:
    async def story() -> None:
        await room.begins_batch()

        refused = await room.refused("hold", {"reason": reason})

        assert refused.reason in ("reason_missing", "not_plausible")
        assert not room.events(ev.PhaseHolding)

    told(room, story)


def test_a_comment_is_kept_whole_or_refused(room: Room) -> None:
    async def story() -> None:
        await room.signs_in()

        await room.done("comment", {"text": "x" * 1_000})
        refused = await room.refused("comment", {"text": "x" * 1_001})

        assert "at most 1000 characters" in refused.words
        assert [len(event.text) for event in room.events(ev.CommentAdded)] == [1_000]  # type: ignore[attr-defined]

    told(room, story)


# ── Roles, through the socket ──────────────────────────────────────────────────────────


def test_an_abort_needs_a_supervisor_and_the_password(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        body = {"reason": "Not to be used"}

        by_operator = await room.refused("abort_batch", body, ADA.by_password)
        by_pin = await room.refused("abort_batch", body, CLEO.by_pin)
        await room.done("abort_batch", body, CLEO.by_password)

        assert (by_operator.reason, by_pin.reason) == ("not_permitted", "proof_missing")
        assert room.batch.state == "aborted"
        assert len(room.events(ev.CommandWasRefused)) == 2

    told(room, story)


def test_an_administrator_may_not_work_on_a_batch(room: Room) -> None:
    async def story() -> None:
        await room.signs_in(GUS)

        refused = await room.refused("open_batch", {"order": ORDER})

        assert refused.reason == "not_permitted"
        assert room.events(ev.CommandWasRefused)

    told(room, story)


# ── Crashes ────────────────────────────────────────────────────────────────────────────


def test_after_a_crash_the_batch_is_held_and_goes_on_when_a_person_has_looked(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/identity")
        await room.restarts()
        held = room.batch.state
        await room.signs_in()

        await room.done("restart", {"reason": "Looked at everything"})
        await room.answers("bag/identity")
        await room.answers("bag/identity.verify", BEN.by_pin)

        assert held == "held"
        assert room.events(ev.RecoveredFromCrash)
        assert room.batch.runs["bag"].state == "complete"

    told(room, story)


def test_after_a_clean_end_nobody_speaks_of_a_crash_and_the_batch_is_held_all_the_same(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        term = room.engine.unit.term
        await room.engine.turn(lambda: [ev.EngineStoppedCleanly(term=term)])
        await room.restarts()

        assert not room.events(ev.RecoveredFromCrash)
        assert room.batch.state == "held"
        assert room.engine.unit.term == term + 1

    told(room, story)


def test_a_camera_that_never_answers_is_told_as_restarting_after_a_crash(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        await room.done("scan", {"prompt": "bag/bag"})
        await room.restarts()
        await room.signs_in()
        await room.done("restart", {"reason": "Looked at everything"})

        read = room.events(ev.ScanRead)[-1]
        assert isinstance(read, ev.ScanRead) and read.reasons == ["camera_restarting"]
        prompts = [one.id for one in decisions.open_prompts(room.engine.unit, room.clock.utc())]
        assert prompts == ["bag/bag"]

    told(room, story)


def test_a_wrong_bag_is_held_over_a_crash_until_a_supervisor_has_come(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        await room.shows("bag", "bag", bag_texts("A999926654321"))
        await room.restarts()
        await room.signs_in()

        refused = await room.refused("restart", {"reason": "Looked at everything"})
        await room.done("restart", {"reason": "Bag was put aside"}, CLEO.by_pin)

        assert refused.reason == "supervisor_needed"
        assert room.batch.state == "running"
        assert room.events(ev.CommandWasRefused)

    told(room, story)


def test_a_sealed_batch_is_not_sealed_again_by_a_restart(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        await room.restarts()

        await room.engine._seal_batch()

        assert len(room.events(ev.BatchSealed)) == 1
        assert room.batch.state == "awaiting_disposition"

    told(room, story)


def test_the_state_after_a_restart_is_the_state_before_it(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        before = [(f.seq, f.event, f.actor, f.at) for f in room.batch.facts]

        await room.restarts()

        after = [(f.seq, f.event, f.actor, f.at) for f in room.batch.facts]
        assert after[: len(before)] == before

    told(room, story)


def test_nobody_signs_what_has_changed_since_it_was_shown(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        prompt = next(one for one in (await room.connects()).prompts if one.id == "seal/performed")
        shown = {"prompt": prompt.id, "values": {}, "signs": prompt.signs}
        await room.done("hold", {"phase": "", "reason": "The clamp was loose"})
        await room.done("restart", {"reason": "The clamp is shut"})

        refused = await room.refused("answer", shown, ADA.by_password)
        prompt = next(one for one in (await room.connects()).prompts if one.id == "seal/performed")
        await room.done("answer", shown | {"signs": prompt.signs}, ADA.by_password)

        assert refused.reason == "content_changed"
        assert "Look at it again" in refused.words
        assert len(room.events(ev.SignatureGiven)) == 1

    told(room, story)
