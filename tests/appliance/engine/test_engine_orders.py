"""Orders at a running unit: hand-back, re-assignment, and central's words that stop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from engine_room import ADA, CLEO, DORA, EMIL, ORDER, START, Room, make_room, order_envelope, told

from appliance.access.central_words import CentralWord, Notice, Recall, RecallLift, Use, Withdrawal
from appliance.access.documents import Envelope, dump, load, sign, to_json
from appliance.access.keys import save_key
from appliance.domain import events as ev
from appliance.engine.central_desk import CentralDesk
from appliance.orders_command import orders
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.replay_target import replay_archive, replay_folder

REASON = {"reason": "The patient was moved to another hospital"}
SAID = {"version": 1, "issued_at": START, "by": "p-qa", "name": "Ada Quist", "reason": "As the form says"}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path / "unit")


def delivered(envelope: Envelope) -> dict[str, Any]:
    return {"envelope": json.loads(to_json(envelope))}


def assigned(room: Room, *, unit: str, assignment: int, key: str = "central") -> Envelope:
    """The same order, given to a unit anew."""
    order = json.loads(order_envelope(room.keys).content)
    order |= {"unit": unit, "assignment": str(assignment)}
    content = json.dumps(order, sort_keys=True, separators=(",", ":")).encode()
    return sign("order", content, room.keys[key], "central")


def said(room: Room, word: CentralWord, key: str = "central") -> Envelope:
    return sign(word.TYPE, word.to_content(), room.keys[key], "central")  # type: ignore[arg-type]


def withdrawal(**changes: Any) -> Withdrawal:
    word = Withdrawal(
        id="CONSENT-1",
        consent="CONSENT-1",
        coi="CHA999926000001",
        patient="DEMO7F3A",
        received_from="study nurse",
        withdrawn_at=START,
        **SAID,
    )
    return msgspec.structs.replace(word, **changes)


def notice(batch: str, **changes: Any) -> Notice:
    uses = (Use(unit="UNIT-1", batch=batch), Use(unit="UNIT-2", batch="UNIT-2-00007"))
    word = Notice(id=f"order:{ORDER}", subject="order", key=ORDER, uses=uses, **SAID)
    return msgspec.structs.replace(word, **changes)


# ── Hand-back ──────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("T20")
def test_an_order_that_was_handed_back_is_never_made_here_also_after_a_crash(room: Room) -> None:
    async def story() -> None:
        by_operator = await room.refused("hand_back_order", {"order": ORDER, **REASON}, ADA.by_password)
        by_pin = await room.refused("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_pin)
        done = await room.done("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_password)
        await room.restarts()
        await room.signs_in()
        refused = await room.refused("open_batch", {"order": ORDER})

        assert (by_operator.reason, by_pin.reason) == ("not_permitted", "proof_missing")
        assert done.result == {"order": ORDER, "assignment": 1}
        assert refused.reason == "order_handed_back"
        assert [one.person for one in room.events(ev.OrderHandedBack)] == [CLEO.id]

    told(room, story)


def test_what_was_begun_cannot_be_handed_back(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()

        refused = await room.refused("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_password)

        assert refused.reason == "order_already_made"

    told(room, story)


def test_the_hand_back_is_signed_before_the_supervisor_is_answered(room: Room) -> None:
    async def story() -> None:
        await room.done("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_password)

        record = room.engine.record
        assert list(record.segments(1))[-1].last == record.head().seq

    told(room, story)


# ── Re-assignment ──────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("T20")
def test_the_first_unit_refuses_the_older_assignment_also_after_a_restart(room: Room) -> None:
    async def story() -> None:
        await room.done("deliver_document", delivered(assigned(room, unit="UNIT-2", assignment=2)))
        await room.restarts()
        older = await room.refused("deliver_document", delivered(assigned(room, unit="UNIT-1", assignment=1)))
        # Laid on the shelf again by hand: the record knows better.
        (room.home.orders / f"{ORDER}.json").write_bytes(to_json(order_envelope(room.keys)))
        await room.signs_in()
        refused = await room.refused("open_batch", {"order": ORDER})

        assert older.reason == "lower_version"
        assert refused.reason == "order_superseded"
        assert "for unit UNIT-2" in refused.words

    told(room, story)


def test_a_newer_assignment_for_this_unit_may_be_made_after_a_hand_back(room: Room) -> None:
    async def story() -> None:
        await room.done("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_password)
        again = await room.refused("deliver_document", delivered(order_envelope(room.keys)))
        await room.done("deliver_document", delivered(assigned(room, unit="UNIT-1", assignment=2)))
        twice = await room.done("deliver_document", delivered(assigned(room, unit="UNIT-1", assignment=2)))
        batch = await room.begins_batch()

        assert again.reason == "order_handed_back"
        assert "already" in twice.result["words"]
        assert len(room.events(ev.OrderAssigned)) == 1
        assert batch == "UNIT-1-00001"

    told(room, story)


def test_an_order_that_is_being_made_here_and_was_given_away_is_held_with_an_alarm(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()

        await room.done("deliver_document", delivered(assigned(room, unit="UNIT-2", assignment=2)))
        by_operator = await room.refused("restart", {"reason": "Looked at it"})

        assert room.batch.state == "held"
        assert by_operator.reason == "supervisor_needed"
        assert any("given to another unit" in one.title for one in room.events(ev.AlarmRaised))

    told(room, story)


@pytest.mark.parametrize("key", ["stranger", "unit"])
def test_an_order_or_word_that_central_did_not_sign_changes_nothing(room: Room, key: str) -> None:
    async def story() -> None:
        order = await room.refused(
            "deliver_document", delivered(assigned(room, unit="UNIT-2", assignment=2, key=key))
        )
        word = await room.refused("deliver_document", delivered(said(room, withdrawal(), key)))
        batch = await room.begins_batch()

        assert order.reason == word.reason == "wrong_key"
        assert batch and not room.events(ev.ConsentWithdrawn)

    told(room, story)


# ── Central's words ────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-011")
def test_a_withdrawal_signed_by_central_holds_the_batch_once_and_for_all(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        first = await room.done("deliver_document", delivered(said(room, withdrawal())))
        again = await room.done("deliver_document", delivered(said(room, withdrawal())))
        await room.restarts()
        after = await room.done("deliver_document", delivered(said(room, withdrawal())))

        assert "holds now" in first.result["words"]
        assert "already" in again.result["words"] and "already" in after.result["words"]
        assert len(room.events(ev.ConsentWithdrawn)) == 1
        assert room.batch.state == "held"

    told(room, story)


def test_a_stop_that_a_crash_cut_off_is_done_once_when_it_comes_again(room: Room) -> None:
    async def story() -> None:
        batch = await room.begins_batch()
        word, engine = notice(batch), room.engine
        # The engine dies after the effect and before the record says that this version was taken.
        await engine.turn(lambda: CentralDesk(engine)._effect(word, ""))
        await room.restarts()
        again = await room.done("deliver_document", delivered(said(room, word)))

        assert "holds now" in again.result["words"]
        assert len(room.events(ev.SecondUseNoticed)) == len(room.events(ev.CentralWordTaken)) == 1
        assert room.batch.state == "held"

    told(room, story)


@pytest.mark.requirement("F-011")
def test_a_withdrawal_with_a_mistyped_chain_still_stops_the_consent_that_it_names(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        await room.done("deliver_document", delivered(said(room, withdrawal(coi="CHA999926999999"))))

        assert room.batch.state == "held"

    told(room, story)


@pytest.mark.requirement("F-094")
def test_a_recall_signed_by_central_stands_on_record_and_an_older_one_is_refused(room: Room) -> None:
    def recall(version: int, lot: str = "LOT 1") -> Recall:
        return Recall(
            id="FIC1|LOT1", catalogue="FIC1", lot=lot, reference="FSN-7", **SAID | {"version": version}
        )

    async def story() -> None:
        await room.done("deliver_document", delivered(said(room, recall(2))))
        older = await room.refused("deliver_document", delivered(said(room, recall(1))))
        other = await room.refused("deliver_document", delivered(said(room, recall(2, "LOT 2"))))

        (recalled,) = room.events(ev.LotRecalled)
        assert (recalled.catalogue, recalled.lot, recalled.reference) == ("FIC1", "LOT1", "FSN-7")
        assert recalled.document_blob
        assert older.reason == other.reason == "lower_version"

    told(room, story)


@pytest.mark.requirement("F-094")
def test_only_a_qa_reviewers_own_key_says_that_a_signed_recall_is_over(room: Room) -> None:
    recall = Recall(id="FIC1|LOT1", catalogue="FIC1", lot="LOT1", reference="FSN-7", **SAID)

    def lift(by: str = DORA.id, version: int = 1) -> RecallLift:
        about = SAID | {"by": by, "version": version}
        return RecallLift(id="FIC1|LOT1", catalogue="FIC1", lot="LOT1", **about)

    def signed(word: RecallLift, key: str, role: Any = "qa_reviewer") -> dict[str, Any]:
        return delivered(sign("recall_lift", word.to_content(), room.keys[key], role))

    async def story() -> None:
        await room.done("deliver_document", delivered(said(room, recall)))
        refused = [
            await room.refused("deliver_document", signed(lift(), "central")),
            await room.refused("deliver_document", signed(lift(), "central", "central")),
            await room.refused("deliver_document", signed(lift(), "developer")),
            await room.refused("deliver_document", signed(lift(by=EMIL.id), "reviewer")),
        ]
        before = room.engine.unit.orders.recall_is_over("FIC1|LOT1")
        save_key(room.keys["reviewer"], room.home.root / "reviewer.key")
        dump(said(room, recall), room.home.root / "recall.json")
        words = ["lift-recall", str(room.home.root / "recall.json"), "--person", DORA.id, "--name", "Dora"]
        words += ["--key", str(room.home.root / "reviewer.key"), "--reason", "The maker took it back"]
        assert orders([*words, "--out", str(room.home.root / "over.json")]) == 0
        done = await room.done("deliver_document", delivered(load(room.home.root / "over.json")))
        after = room.engine.unit.orders.recall_is_over("FIC1|LOT1")
        newer = msgspec.structs.replace(recall, version=2, reference="FSN-8")
        await room.done("deliver_document", delivered(said(room, newer)))

        assert [one.reason for one in refused] == ["wrong_key"] * 3 + ["wrong_person"]
        assert (before, after) == (False, True)
        assert "Two persons may lift" in done.result["words"]
        assert not room.events(ev.RecallLifted)
        assert not room.engine.unit.orders.recall_is_over("FIC1|LOT1")

    told(room, story)


@pytest.mark.requirement("T20")
def test_a_notice_of_a_second_use_holds_the_batch_until_a_supervisor_lets_it_go_on(room: Room) -> None:
    async def story() -> None:
        batch = await room.begins_batch()
        await room.done("deliver_document", delivered(said(room, notice(batch))))
        (alarm,) = [key for key in room.engine.unit.alarms if key.startswith("custody:second_use:")]
        held = room.batch.state
        by_ada = await room.refused("acknowledge_alarm", {"alarm": alarm})
        no_restart = await room.refused("restart", {"reason": "Looked at it"})
        await room.restarts()
        await room.signs_in(CLEO)
        await room.done("restart", {"reason": "QA says this bag is the right one"})

        assert held == "held"
        assert by_ada.reason == no_restart.reason == "supervisor_needed"
        assert room.batch.state == "running"

    told(room, story)


def test_a_notice_after_the_seal_has_the_record_sealed_again_so_that_a_qp_can_decide(room: Room) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        before = room.batch.sealed
        await room.done("deliver_document", delivered(said(room, notice(room.batch.id))))
        await room.until(lambda: room.batch.sealed != before)

        assert before is not None and room.batch.sealed is not None
        assert room.batch.sealed.sealed_seq > before.sealed_seq
        assert room.batch.state == "awaiting_disposition"

    told(room, story)


def test_a_notice_that_comes_between_two_phases_holds_the_next_one_that_starts(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        await room.done("deliver_document", delivered(said(room, notice(room.batch.id))))

        assert room.batch.state == "held"

    told(room, story)


def test_a_notice_about_an_earlier_batch_alarms_and_leaves_the_open_one_alone(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()

        await room.done("deliver_document", delivered(said(room, notice("UNIT-1-00000"))))

        assert room.batch.state == "running"
        assert any(key.startswith("custody:second_use:") for key in room.engine.unit.alarms)

    told(room, story)


@pytest.mark.requirement("R-35")
def test_what_was_stopped_comes_out_again_from_the_record_and_from_the_batchs_archive(
    room: Room, tmp_path: Path
) -> None:
    archives: list[Path] = []
    other = Recall(id="FIC1|LOT1", catalogue="FIC1", lot="LOT1", reference="FSN-7", **SAID)

    async def story() -> None:
        await room.done("hand_back_order", {"order": ORDER, **REASON}, CLEO.by_password)
        await room.done("deliver_document", delivered(assigned(room, unit="UNIT-1", assignment=2)))
        await room.done("deliver_document", delivered(said(room, notice("UNIT-1-00000"))))
        batch = await room.begins_batch()
        second = notice(batch, id="bag:A9999", subject="bag", key="A9999")
        for envelope in (said(room, second), assigned(room, unit="UNIT-2", assignment=3), said(room, other)):
            await room.done("deliver_document", delivered(envelope))
            await room.signs_in(CLEO)
            if room.batch.state == "held":
                await room.done("restart", {"reason": "Compared with QA"})
        for alarm in [key for key in room.engine.unit.alarms if key.startswith("custody:")]:
            await room.done("acknowledge_alarm", {"alarm": alarm})
        await room.restarts()
        await room.done("deliver_document", delivered(said(room, withdrawal())))
        await room.engine.seal_soon()
        key = room.keys["unit"]
        await room.crashes()
        with Record.open_readonly(room.home.record) as record:
            archives.append(export_batch(record, batch, tmp_path / "batch.zip", report_html=b"", key=key))

    told(room, story)

    whole, alone = replay_folder(room.home.record), replay_archive(archives[0])
    assert whole.equal, whole.difference
    assert alone.equal, alone.difference


def test_altered_bytes_are_refused_on_record(room: Room) -> None:
    async def story() -> None:
        tree = delivered(said(room, withdrawal()))
        tree["envelope"]["content"] = "A" + tree["envelope"]["content"][1:]

        refused = await room.refused("deliver_document", tree)

        assert refused.reason == "altered"
        assert [one.type for one in room.events(ev.DocumentRefused)] == ["withdrawal"]

    told(room, story)


# ── On the command line ────────────────────────────────────────────────────────────────


def test_the_list_says_which_order_may_be_made_and_a_supervisor_hands_one_back(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async def listed() -> dict[str, Any]:
            def run() -> str:
                said = io.StringIO()
                with contextlib.redirect_stdout(said):
                    assert orders(["list", "--home", str(room.home.root), "--json"]) == 0
                return said.getvalue()

            return dict(json.loads(await asyncio.to_thread(run)))

        back = ["hand-back", ORDER, "--home", str(room.home.root), "--by", CLEO.id, "--password-stdin"]
        back += ["--reason", "The patient was moved"]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{ADA.password}\n"))
        assert await asyncio.to_thread(orders, back) == 1
        before = await listed()
        room.clock.advance(timedelta(days=40).total_seconds())
        after = await listed()

        assert (before["unit"], before["assignment"], before["refused_because"]) == ("UNIT-1", 1, "")
        assert "expired" in after["refused_because"]
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{CLEO.password}\n"))
        assert await asyncio.to_thread(orders, back) == 0
        assert len(room.events(ev.OrderHandedBack)) == 1

    told(room, story)
