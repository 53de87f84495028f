"""Signatures, second persons and corrections through the real socket, as an inspector would try them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import engine_room
import pytest
from engine_room import ADA, BEN, CLEO, GUS, RECIPE, Account, Room, bag_texts, make_room, told

from appliance.access.documents import to_json
from appliance.config import ConfigurationUnusable, read_config
from appliance.domain import decisions
from appliance.domain import events as ev
from appliance.link.messages import Proof
from appliance.record.log import Record
from appliance.record.replay_target import replay_folder

TESTS = """
[phase.tests]
title = "Endotoxin and Gram stain"
type = "enter_results"
operation = "all"
after = ["bag"]
verify = ["result"]
instruction = { setup = "Start the cartridge.", result = "Enter what it says." }
parameter = { time_expected = "1 s" }
limit = { endotoxin = { action = "<= 0.5 EU/mL", on_action = "deviation" } }
"""
RESULT = {"endotoxin": "0.05", "gram": "none_seen"}
WHY = "Typed wrongly"


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path)


@pytest.fixture
def typing_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Room:
    """A unit whose recipe asks for results that people type."""
    before, seal, after = RECIPE.partition("[phase.seal]")
    sealing = after.replace('after = ["bag"]', 'after = ["tests"]', 1)
    monkeypatch.setattr(engine_room, "RECIPE", before + TESTS + seal + sealing)
    return make_room(tmp_path)


def password_only(account: Account) -> Proof:
    return Proof(person=account.id, password=account.password)


async def to_the_seal(room: Room) -> None:
    """The results are typed and verified; the first signature is asked."""
    await room.begins_batch()
    for prompt, proof in (("clear/clear", None), ("clear/clear.verify", BEN.by_pin), ("bag/retrieve", None)):
        await room.answers(prompt, proof)
    await room.shows("bag", "bag", bag_texts())
    await room.answers("bag/identity")
    await room.answers("bag/identity.verify", BEN.by_pin)
    await room.answers("tests/setup")
    room.clock.advance(2)
    await room.done("answer", {"prompt": "tests/result", "values": RESULT})
    await room.answers("tests/result.verify", BEN.by_pin)


async def corrects(room: Room, proof: Proof, **values: str) -> dict[str, Any]:
    """Look at what would be signed, then sign it; the preview comes back."""
    body = {"prompt": "tests/result", "values": values, "reason": WHY}
    preview = (await room.done("correct", body)).result
    await room.done("correct", body | {"signs": preview["signs"]}, proof)
    return preview


def waiting(room: Room) -> str:
    asked = decisions.open_prompts(room.engine.unit, room.engine.clock.utc())
    return next(one.id for one in asked if "/correction:" in one.id)


def on_disk(room: Room) -> int:
    """The newest entry as another process sees it on the disk."""
    record = Record.open_readonly(room.home.record)
    try:
        return record.head().seq
    finally:
        record.close()


# ── Id and password ─────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-27", "F-056")
def test_the_first_signature_takes_id_and_password_and_later_ones_the_password(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        body = {"prompt": "tests/result", "values": {"endotoxin": "0.06"}, "reason": WHY}
        signs = (await room.done("correct", body)).result["signs"]
        body["signs"] = signs

        half = await room.refused("correct", body, password_only(ADA))
        await room.done("correct", body, ADA.by_password)
        await room.answers(waiting(room), BEN.by_pin)
        await room.answers("seal/performed", password_only(ADA))

        assert half.reason == "id_needed"
        assert "enter your id or show your badge" in half.words
        assert len(room.events(ev.SignatureGiven)) == 2

    told(room, story)


@pytest.mark.requirement("R-27")
@pytest.mark.parametrize("how", ["lock", "sign_out", "another person"])
def test_after_a_break_both_are_asked_again(room: Room, how: str) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        await room.answers("seal/performed", ADA.by_password)
        # What was signed changes, so that the same person signs again.
        await room.done("hold", {"phase": "", "reason": "A look at the bag"})
        await room.done("restart", {"reason": "All is well"})
        if how == "another person":
            await room.signs_in(CLEO)
        else:
            await room.done(how)
        await room.signs_in(ADA)

        half = await room.refused("answer", {"prompt": "seal/performed", "values": {}}, password_only(ADA))
        await room.answers("seal/performed", ADA.by_password)

        assert half.reason == "id_needed"

    told(room, story)


@pytest.mark.requirement("R-27")
def test_without_a_break_the_password_is_enough(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        await room.answers("seal/performed", ADA.by_password)
        await room.done("hold", {"phase": "", "reason": "A look at the bag"})
        await room.done("restart", {"reason": "All is well"})

        await room.answers("seal/performed", password_only(ADA))

        assert len(room.events(ev.SignatureGiven)) == 2

    told(room, story)


@pytest.mark.requirement("R-27", "R-28")
@pytest.mark.parametrize("typed", ["", BEN.id, "nobody", ADA.password])
def test_the_id_typed_must_be_the_signers_own(room: Room, typed: str) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        proof = Proof(person=ADA.id, password=ADA.password, typed=typed)

        refused = await room.refused("answer", {"prompt": "seal/performed", "values": {}}, proof)

        assert refused.reason == "id_needed"
        assert not room.events(ev.SignatureGiven)

    told(room, story)


@pytest.mark.requirement("R-27")
def test_the_second_signer_has_no_session_here_and_gives_both_each_time(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/verified")

        half = await room.refused("answer", {"prompt": "seal/verified", "values": {}}, password_only(BEN))
        await room.answers("seal/verified", BEN.by_password)

        assert half.reason == "id_needed"

    told(room, story)


@pytest.mark.requirement("R-27")
def test_a_badge_names_the_signer_as_well_as_the_id(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        proof = Proof(person=ADA.id, password=ADA.password, typed=f"BADGE-{ADA.id}")

        await room.done("answer", {"prompt": "seal/performed", "values": {}}, proof)

    told(room, story)


# ── Facts first (R-17, F-058) ──────────────────────────────────────────────────────────


@pytest.mark.requirement("R-17", "F-058")
@pytest.mark.parametrize(("shown", "reason"), [("", "unseen"), ("00000000", "content_changed")])
def test_a_second_person_confirms_only_the_facts_that_the_screen_showed(
    typing_room: Room, shown: str, reason: str
) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        body = {"prompt": waiting(room), "values": {}, "signs": shown}

        refused = await room.refused("answer", body, BEN.by_pin)

        assert refused.reason == reason
        assert not room.events(ev.ValueCorrected)

    told(room, story)


@pytest.mark.requirement("F-058")
@pytest.mark.parametrize("prompt", ["clear/clear.verify", "bag/identity.verify"])
def test_no_confirmation_is_taken_blind(room: Room, prompt: str) -> None:
    async def story() -> None:
        await room.goes_to(prompt)

        refused = await room.refused("answer", {"prompt": prompt, "values": {}, "signs": ""}, BEN.by_pin)

        assert refused.reason == "unseen"

    told(room, story)


@pytest.mark.requirement("F-058")
def test_the_second_person_comes_in_time_or_the_first_act_is_done_again(room: Room) -> None:
    text = room.home.unit_toml.read_text() + "\n[session]\nsecond_person_within_min = 3\n"
    room.home.unit_toml.write_text(text)

    async def story() -> None:
        await room.goes_to("clear/clear.verify")
        until = (await room.connects()).prompts[0].until

        room.clock.advance(3 * 60 + 1)
        await room.engine.turn(list)

        snapshot = await room.connects()
        assert until is not None and until < snapshot.utc
        assert [prompt.id for prompt in snapshot.prompts] == ["clear/clear"]
        lapsed = room.events(ev.FirstActLapsed)
        assert len(lapsed) == 1
        assert "within 3 min" in lapsed[0].words

    told(room, story)


@pytest.mark.parametrize("minutes", [0, 61])
def test_the_window_is_one_to_sixty_minutes(room: Room, minutes: int) -> None:
    text = room.home.unit_toml.read_text() + f"\n[session]\nsecond_person_within_min = {minutes}\n"
    room.home.unit_toml.write_text(text)

    with pytest.raises(ConfigurationUnusable, match="second_person_within_min"):
        read_config(room.home)


# ── Corrections ────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-09", "R-10", "R-17", "F-055")
def test_what_would_be_signed_is_shown_first_and_nothing_is_recorded_for_it(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        body = {"prompt": "tests/result", "field": "endotoxin", "value": "0.06", "reason": WHY}
        before = room.engine.journal.head.seq

        preview = (await room.done("correct", body)).result

        assert room.engine.journal.head.seq == before
        assert preview["meaning"] == "corrected"
        facts = {fact["label"]: fact["value"] for fact in preview["facts"]}
        assert facts["Endotoxin on record"] == "0.05 EU/mL"
        assert facts["Endotoxin corrected to"] == "0.06 EU/mL"
        assert facts["Reason"] == WHY
        for signs in ("", "00000000"):
            assert (await room.refused("correct", body | {"signs": signs}, ADA.by_password)).reason in (
                "unseen",
                "content_changed",
            )

    told(room, story)


@pytest.mark.requirement("R-07")
def test_a_change_is_one_entry_with_who_what_when_and_why(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        await room.answers(waiting(room), BEN.by_pin)

        stored = [one for one in room.engine.record.read() if one.header.kind == "ValueCorrected"]
        assert len(stored) == 1
        body = json.loads(stored[0].payload)["body"]
        assert (body["old"], body["new"], body["reason"], body["person"]) == ("0.05", "0.06", WHY, ADA.id)
        assert stored[0].header.actor == BEN.id  # whose look made it hold
        # Who asked, what was confirmed and what changed came to the disk in one commit, or not at all.
        command = json.loads(stored[0].payload)["command"]
        together = [
            one
            for one in room.engine.record.read()
            if (payload := json.loads(one.payload)).get("command") == command and command and payload
        ]
        kinds = [one.header.kind for one in together]
        assert {"CommandTaken", "SecondPersonConfirmed", "ValueCorrected"} <= set(kinds)
        assert [one.seq for one in together] == list(range(together[0].seq, together[0].seq + len(together)))

    told(room, story)


@pytest.mark.requirement("R-09", "F-055")
def test_screens_get_the_value_as_it_holds_and_the_first_one(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        proposed = (await room.connects()).batch
        await room.answers(waiting(room), BEN.by_pin)
        corrected = (await room.connects()).batch

        assert proposed is not None and corrected is not None
        assert (proposed.entered[0].words, proposed.entered[0].waits) == ("0.05 EU/mL", "0.06 EU/mL")
        shown = corrected.entered[0]
        assert (shown.words, shown.first, shown.reasons) == ("0.06 EU/mL", "0.05 EU/mL", [WHY])

    told(room, story)


@pytest.mark.requirement("R-21", "R-23", "R-24", "F-057")
def test_a_correction_after_the_seal_is_signed_by_both_before_it_is_sealed_again(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await room.answers("seal/performed", ADA.by_password)
        await room.answers("seal/verified", BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        await room.answers(waiting(room), BEN.by_pin)
        await room.answers("seal/performed", ADA.by_password)
        await room.engine._seal_batch()
        sealed_before = len(room.events(ev.BatchSealed))
        shown = (await room.connects()).batch
        await room.answers("seal/verified", BEN.by_password)
        await room.until(lambda: len(room.events(ev.BatchSealed)) == 2)

        assert sealed_before == 1
        assert shown is not None
        signatures = [one for one in shown.signatures if one.phase == "seal"]
        assert [bool(one.void) for one in signatures] == [True, True, False]
        assert signatures[0].name == f"{ADA.id} Demo"
        assert signatures[0].at.utcoffset() is not None
        assert len(room.events(ev.SignatureVoided)) == 3  # both of the seal, and the confirmed value

    told(room, story)


@pytest.mark.requirement("R-23", "F-057")
def test_the_qps_decision_does_not_hold_while_what_was_sealed_is_no_longer_signed(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await room.answers("seal/performed", ADA.by_password)
        await room.answers("seal/verified", BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)
        decision = {"envelope": json.loads(to_json(room.decision()))}
        await corrects(room, ADA.by_password, endotoxin="0.06")

        proposed = await room.refused("deliver_document", decision)
        await room.answers(waiting(room), BEN.by_pin)
        corrected = await room.refused("deliver_document", decision)
        await room.answers("seal/performed", ADA.by_password)
        half_signed = await room.refused("deliver_document", decision)

        assert {proposed.reason, corrected.reason, half_signed.reason} == {"changed"}
        assert not room.events(ev.DispositionRecorded)

    told(room, story)


@pytest.mark.requirement("R-22")
def test_each_signature_on_the_disk_names_the_bytes_it_binds(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        await room.answers(waiting(room), BEN.by_pin)
        await room.answers("seal/performed", ADA.by_password)

        for one in room.events(ev.SignatureGiven, ev.SecondPersonConfirmed):
            assert isinstance(one, ev.SignatureGiven | ev.SecondPersonConfirmed)
            assert one.signs == hashlib.sha256(one.content.encode()).hexdigest()
            said = json.loads(one.content)
            assert (said["unit"], said["batch"], said["phase"]) == ("UNIT-1", room.batch.id, one.phase)
            assert said["recipe_hash"] == room.batch.recipe.hash
            assert isinstance(said["recorded_up_to_seq"], int)

    told(room, story)


def test_what_holds_after_a_crash_is_what_the_record_tells(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.06")
        await room.answers(waiting(room), BEN.by_pin)

        await room.restarts()

        batch = (await room.connects()).batch
        assert batch is not None and batch.entered[0].words == "0.06 EU/mL"

    told(room, story)


@pytest.mark.requirement("F-057")
def test_corrections_voids_and_lapses_come_out_again_when_the_record_is_decided_again(
    typing_room: Room,
) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.9")
        await room.answers(waiting(room), BEN.by_pin)
        await room.done("restart", {"reason": "The QP was told"}, CLEO.by_pin)
        await room.answers("seal/performed", ADA.by_password)
        body = {"prompt": "tests/result", "field": "gram", "value": "seen", "reason": WHY}
        signs = (await room.done("correct", body)).result["signs"]
        await room.done("correct", body | {"signs": signs}, ADA.by_password)
        room.clock.advance(601)
        await room.engine.turn(list)

    told(room, story)
    outcome = replay_folder(room.home.record)

    assert outcome.equal, outcome
    assert outcome.commits
    assert len(room.events(ev.FirstActLapsed)) == 1


# ── Order, time, trail ─────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-14")
@pytest.mark.parametrize("prompt", ["bag/retrieve", "bag/identity", "seal/performed", "hand_over/giver"])
def test_what_comes_before_its_turn_is_refused_and_the_refusal_is_on_record(room: Room, prompt: str) -> None:
    async def story() -> None:
        await room.begins_batch()

        answered = await room.refused("answer", {"prompt": prompt, "values": {}})
        scanned = await room.refused("scan", {"prompt": prompt})

        assert answered.reason == scanned.reason == "out_of_order"
        assert "no step can be skipped" in answered.words
        refusals = room.events(ev.CommandWasRefused)
        assert [one.name for one in refusals] == ["answer", "scan"]

    told(room, story)


@pytest.mark.requirement("R-13")
def test_between_two_taps_the_record_has_grown_on_the_disk_before_the_answer_came(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        known = on_disk(room)
        steps = [
            ("clear/clear", None),
            ("clear/clear.verify", BEN.by_pin),
            ("bag/retrieve", None),
            ("bag/bag", None),
            ("bag/identity", None),
            ("bag/identity.verify", BEN.by_pin),
            ("seal/performed", ADA.by_password),
            ("seal/verified", BEN.by_password),
        ]
        for prompt, proof in steps:
            if prompt == "bag/bag":
                await room.shows("bag", "bag", bag_texts())
                known = on_disk(room)
                continue
            answer = await room.answers(prompt, proof)
            there = on_disk(room)
            assert known < answer.seq <= there, prompt
            known = there

    told(room, story)


@pytest.mark.requirement("R-12")
def test_stamps_are_utc_and_nobody_can_set_the_clock(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("seal/performed")
        await room.signs_in(GUS)

        for name in ("set_time", "set_clock", "adjust_clock", "change_time_zone"):
            refused = await room.refused(name, {"utc": "2020-01-01T00:00:00Z"}, GUS.by_pin)
            assert refused.reason == "unknown_command"
        stamps = [one.header for one in room.engine.record.read()]
        assert all(header.wall.utcoffset().total_seconds() == 0 for header in stamps)
        assert [header.monotonic_ns for header in stamps] == sorted(header.monotonic_ns for header in stamps)

    told(room, story)


@pytest.mark.requirement("R-08")
@pytest.mark.parametrize("account", [ADA, CLEO, GUS])
def test_no_role_edits_deletes_or_stops_the_trail_through_the_socket(room: Room, account: Account) -> None:
    tries = ("delete_event", "edit_event", "update_event", "stop_recording", "disable_audit", "purge", "sql")

    async def story() -> None:
        await room.signs_in(account)
        before = [one.hash for one in room.engine.record.read()]

        for name in tries:
            refused = await room.refused(name, {"seq": 2, "query": "DELETE FROM gxp"}, account.by_pin)
            assert refused.reason == "unknown_command"

        after = list(room.engine.record.read())
        assert [one.hash for one in after][: len(before)] == before
        refusals = [one for one in after if one.header.kind == "CommandWasRefused"]
        assert [json.loads(one.payload)["body"]["name"] for one in refusals] == list(tries)
        assert {one.header.actor for one in refusals} == {account.id}

    told(room, story)


@pytest.mark.requirement("R-08")
def test_the_record_offers_no_way_to_change_or_take_away_an_entry() -> None:
    offered = {name for name in dir(Record) if not name.startswith("_")}

    for word in ("update", "delete", "remove", "edit", "replace", "truncate", "purge", "disable"):
        assert not [name for name in offered if word in name], word


@pytest.mark.requirement("R-43")
def test_who_acknowledged_an_alarm_and_when_is_on_record(room: Room) -> None:
    async def story() -> None:
        await room.begins_batch()
        engine = room.engine
        await engine.turn(lambda: decisions.record_blocked(engine.unit, "gxp", "Another record is there."))
        alarm = next(iter(engine.unit.alarms))
        room.clock.advance(7)

        await room.done("acknowledge_alarm", {"alarm": alarm})

        stored = [one for one in engine.record.read() if one.header.kind.startswith("Alarm")]
        raised, acknowledged = stored[0], stored[1]
        assert json.loads(raised.payload)["body"]["priority"] == "high"
        assert acknowledged.header.kind == "AlarmAcknowledged"
        assert acknowledged.header.actor == ADA.id
        assert (acknowledged.header.wall - raised.header.wall).total_seconds() >= 7

    told(room, story)


@pytest.mark.requirement("R-43")
def test_the_set_points_of_alarms_are_in_the_record_and_come_with_each_crossing(typing_room: Room) -> None:
    room = typing_room

    async def story() -> None:
        await to_the_seal(room)
        await corrects(room, ADA.by_password, endotoxin="0.9")
        await room.answers(waiting(room), BEN.by_pin)

        opened, crossed = room.events(ev.BatchOpened)[0], room.events(ev.LimitCrossed)[0]
        assert "<= 0.5 EU/mL" in opened.recipe_text
        assert (crossed.value, crossed.bound, crossed.level) == ("0.9", "<= 0.5 EU/mL", "action")

    told(room, story)


# ── Devices ─────────────────────────────────────────────────────────────────────

DEVICE = """
[[device]]
id = "pump-1"
title = "Syringe pump"
role = "pump"
type = "new-era-ne1000"
port = "/dev/null"
safe_state = "stop"
calibrated_until = "{until}"
"""


@pytest.mark.requirement("R-16")
def test_the_site_says_until_when_a_device_is_calibrated(room: Room) -> None:
    plain = room.home.unit_toml.read_text()

    room.home.unit_toml.write_text(plain + DEVICE.format(until="2027-06-30"))
    said = read_config(room.home).device("pump-1").calibrated_until
    room.home.unit_toml.write_text(plain + DEVICE.format(until="June 2027"))

    assert said == "2027-06-30"
    with pytest.raises(ConfigurationUnusable, match="write a day such as 2027-06-30"):
        read_config(room.home)
