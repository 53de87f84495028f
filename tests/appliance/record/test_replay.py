"""A record is decided again from itself: the same comes out anywhere, or the first difference is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest
from recorded_bedside import CLEO, Recorded, chained, with_body

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))

from engine_room import BEN as BEN_AT_HOME
from engine_room import CLEO as CLEO_AT_HOME
from engine_room import GUS as GUS_AT_HOME
from engine_room import STATION, Room, bag_texts, make_room, told

from appliance.access.keys import load_key
from appliance.domain import events as ev
from appliance.domain import fitness
from appliance.domain.batch import DeviceSpec
from appliance.domain.before import unit_before
from appliance.domain.replay import COMMANDS, COMMANDS_OF_FACTS, FACTS
from appliance.domain.roles import Actor
from appliance.domain.state_digest import digest, plain, state_digest, unit_digest
from appliance.engine.commands import Commands
from appliance.record.canonical import NewRecord, Stamp
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.replay import Outcome, Replay
from appliance.record.replay_command import replay
from appliance.record.replay_target import replay_folder

INPUTS = {
    "EngineStarted", "CommandTaken", "ReadingsUsed", "ScanRead", "DeviceStopped", "DeviceIdentified",
    "WearCounted", "DeviceNoticeRaised",
}  # fmt: skip


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return make_room(tmp_path / "unit")


@pytest.fixture(scope="module")
def released() -> Recorded:
    """A whole batch with devices, from the first order to the bedside, with everything that may go wrong."""
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until("thaw/bag_out")
    bedside.crash()
    bedside.restart()
    bedside.works_until("dilute")
    bedside.holds()
    bedside.waits(2)
    bedside.restart()
    bedside.stop()
    bedside.ends_the_stop()
    bedside.waits(2)
    bedside.restart(CLEO)
    bedside.works_through("seal")
    bedside.seal()
    bedside.qp_decides("released")
    bedside.works_through("hand_over")
    return bedside


def again(bedside: Recorded) -> Outcome:
    return Replay(bedside.before()).walk(bedside.log)


# ── It comes out again ─────────────────────────────────────────────────────────────────


@pytest.mark.requirement("R-07", "R-13", "F-022")
def test_a_whole_batch_with_devices_a_crash_a_stop_and_holds_comes_out_again(released: Recorded) -> None:
    outcome = again(released)

    assert outcome.difference is None, outcome.difference.words
    assert (outcome.first_seq, outcome.last_seq) == (1, len(released.log))
    assert outcome.commands > 30
    assert outcome.by_itself > 30
    assert outcome.seals == 1
    assert outcome.state == state_digest(released.unit, released.now)
    assert outcome.unit_state == unit_digest(released.unit)


@pytest.mark.requirement("R-02", "F-022")
def test_the_wrong_bag_and_the_supervisor_who_goes_on_come_out_again() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until("receive_bag/bag")
    bedside.scan("receive_bag/bag", bag_texts("A999926654321"))
    bedside.waits(2)
    bedside.restart(CLEO)
    bedside.works_until("thaw")

    outcome = again(bedside)

    assert outcome.difference is None, outcome.difference.words
    assert bedside.has(ev.BagRefused)


@pytest.mark.requirement("R-02")
def test_a_correction_and_what_follows_from_it_come_out_again() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_through("wash")
    entered = next(one for one in bedside.all(ev.InstructionConfirmed) if "volume_out" in one.values)
    bedside.corrects(f"{entered.phase}/{entered.key}", {"volume_out": "32.5"})
    bedside.works_through("seal")

    outcome = again(bedside)

    assert outcome.difference is None, outcome.difference.words
    assert bedside.has(ev.ValueCorrected) or bedside.has(ev.CorrectionProposed)


def qualified_again(bedside: Recorded, device: str, serial_number: str) -> None:
    """Maintenance and a second person qualify the device that is there."""
    body = {
        "device": device, "serial_number": serial_number, "firmware": "1", "reason": "Exchanged",
        "calibrated_until": "2026-03-09", "qualified_until": "",
    }  # fmt: skip
    mia, asked = Actor("p-0009", "Mia", ("maintenance",)), fitness.Asked.of(body)
    bedside.asked(
        "qualify_device",
        mia,
        lambda: fitness.qualify(bedside.unit, mia, CLEO, asked, bedside.now),
        people=(mia, CLEO),
        **body,
    )


def told_apart(bedside: Recorded) -> None:
    """A pump that delivers too little, then another pump, a stuck probe, a bath that wears."""
    bedside.world.probe_at = Decimal("-60.00")
    bedside.works_until("thaw/bag_out")
    bedside.world.probe_at = None
    bedside.works_until("dilute/setup")
    bedside.world.arrives = Decimal("0.9")
    while bedside.state_of("dilute") != "held":
        bedside.do_next()
    bedside.identify("pump-1", serial_number="4711", qualified="")
    bedside.commit(fitness.wear_counted(bedside.unit, "thawer-1", "TG.SP", 85, 100))
    bedside.commit(fitness.warnings(bedside.unit, bedside.now))
    bedside.world.arrives = Decimal(1)
    qualified_again(bedside, "pump-1", "4711")
    bedside.restart()
    bedside.works_through("seal")
    bedside.seal()


@pytest.mark.requirement("F-022", "F-029", "F-030", "F-034")
def test_what_devices_said_of_each_other_and_of_themselves_comes_out_again() -> None:
    bedside = Recorded()
    bedside.identify("pump-1", serial_number="1", qualified="")
    qualified_again(bedside, "pump-1", "1")
    bedside.commit(fitness.warnings(bedside.unit, bedside.now))
    bedside.begin_batch()
    told_apart(bedside)
    opened = next(n for n, (header, _) in enumerate(bedside.records) if header.kind == "BatchOpened")

    whole = again(bedside)
    said = next(one for one in bedside.all(ev.BatchOpened))
    alone = Replay(unit_before(bedside.unit.id, said), whole=False)
    alone.fold(bedside.log[opened : opened + 1])
    archived = alone.walk(bedside.log[opened + 1 :])

    kinds = {type(fact.event) for fact in bedside.facts}
    assert {ev.DeviceQualified, ev.DeviceNoticeRaised, ev.WearCounted, ev.LimitCrossed} <= kinds
    for outcome in (whole, archived):
        assert outcome.difference is None, outcome.difference.words
        assert outcome.seals == 1
    assert whole.state == archived.state


def test_a_notice_that_nobody_would_have_raised_is_the_first_difference() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    invented = ev.DeviceNoticeRaised(
        device="pump-1",
        alarm="due:pump-1:calibration:2026-03-02",
        priority="low",
        title="",
        cause="",
        action="",
    )

    bedside.commit([invented])
    outcome = again(bedside)

    assert outcome.difference is not None
    assert outcome.difference.why == "nothing would have followed from it."


@pytest.mark.requirement("F-022")
def test_people_documents_and_a_killed_engine_come_out_again_from_a_real_record(room: Room) -> None:
    async def story() -> None:
        await room.goes_to("bag/bag")
        await room.shows("bag", "bag", bag_texts("A999926654321"))
        await room.restarts()
        await room.signs_in(CLEO_AT_HOME)
        await room.done("restart", {"reason": "The right bag is here"}, CLEO_AT_HOME.by_pin)
        await room.done("comment", {"text": "The first bag was another patient's."})
        await room.done("stop", {})
        await room.done("release_stop", {"reason": "All is safe"})
        await room.done("abort_batch", {"reason": "Not to be used"}, CLEO_AT_HOME.by_password)
        await room.signs_in(GUS_AT_HOME)
        await room.done("disable_account", {"person": BEN_AT_HOME.id, "reason": "Badge lost"})

    told(room, story)
    outcome = replay_folder(room.home.record)

    assert outcome.difference is None, outcome.difference.words
    assert outcome.commands >= 9
    assert not outcome.older_events


@pytest.mark.requirement("R-13", "F-022")
def test_the_same_transcript_comes_out_on_another_machine(room: Room, tmp_path: Path) -> None:
    """Another hash seed, time zone, language and folder: every byte of the answer is the same."""
    told(room, room.goes_to_the_seal)
    settings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C"},
        {"PYTHONHASHSEED": "77", "TZ": "Pacific/Chatham", "LANG": "tr_TR.UTF-8", "LC_ALL": "C.UTF-8"},
    ]

    answers = []
    for number, setting in enumerate(settings):
        elsewhere = tmp_path / f"elsewhere-{number}"
        elsewhere.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli", "replay", str(room.home.root), "--json"],
            cwd=elsewhere,
            env={**os.environ, **setting, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)

    assert answers[0] == answers[1]
    assert json.loads(answers[0])["equal"] is True
    assert json.loads(answers[0])["seals_compared"] == 1


def test_one_batch_of_a_record_and_its_archive_give_one_state(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        await room.engine.seal_soon()

    told(room, story)
    archive = exported(room, tmp_path)

    assert replay(["UNIT-1-00001", "--home", str(room.home.root), "--json"]) == 0
    assert replay([str(archive), "--json"]) == 0
    batch, archived = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    assert batch["state"] == archived["state"] != ""
    assert archived["from"] == "one batch, from its opening"
    assert archived["seals_compared"] == batch["seals_compared"] == 1


def exported(room: Room, out: Path, *, redact: bool = False) -> Path:
    key = load_key(room.home.unit_key)
    with Record.open_readonly(room.home.record) as record:
        return export_batch(record, "UNIT-1-00001", out, report_html=b"<p/>", key=key, redact=redact)


def test_a_redacted_archive_says_why_it_cannot_be_replayed(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        await room.goes_to_the_seal()
        await room.engine.seal_soon()

    told(room, story)

    assert replay([str(exported(room, tmp_path, redact=True))]) == 2
    assert "is redacted" in capsys.readouterr().err


# ── It does not come out again ─────────────────────────────────────────────────────────


def derived(bedside: Recorded) -> list[int]:
    """The places of events that were decided, not put in from outside."""
    outside = INPUTS | FACTS.keys()
    return [n for n, (header, _) in enumerate(bedside.records) if header.kind not in outside]


def found(bedside: Recorded, records: list[tuple[msgspec.Struct, bytes]]) -> bool:
    return Replay(bedside.before()).walk(chained(records)).difference is not None  # type: ignore[arg-type]


@pytest.mark.requirement("R-02", "R-13")
def test_whatever_derived_event_is_dropped_from_a_chained_anew_record_it_is_missed(
    released: Recorded,
) -> None:
    last = len(released.records) - 1
    unseen = [
        released.log[place].seq
        for place in derived(released)
        if place != last and not found(released, released.records[:place] + released.records[place + 1 :])
    ]

    assert unseen == []


@pytest.mark.requirement("R-02", "R-13")
def test_a_derived_event_that_is_altered_in_a_chained_anew_record_it_is_found(released: Recorded) -> None:
    unseen = []
    for place in derived(released)[::2]:
        stored = released.log[place]
        body = msgspec.json.decode(stored.payload)["body"]
        name = next((name for name, value in reversed(body.items()) if isinstance(value, str)), None)
        if name is None or stored.header.kind == "BatchSealed":
            continue
        records = list(released.records)
        records[place] = with_body(stored, **{name: body[name] + "x"})
        if not found(released, records):
            unseen.append((stored.seq, stored.header.kind, name))

    assert unseen == []


@pytest.mark.requirement("R-13")
def test_a_reading_that_is_altered_or_taken_out_is_found(released: Recorded) -> None:
    used = [n for n, (header, _) in enumerate(released.records) if header.kind == "ReadingsUsed"]
    assert used

    for place in used:
        assert found(released, released.records[:place] + released.records[place + 1 :]), place


def test_a_seal_over_another_state_is_found(released: Recorded) -> None:
    place = next(n for n, (header, _) in enumerate(released.records) if header.kind == "BatchSealed")
    for name in ("state_digest", "unit_digest", "sealed_hash"):
        records = list(released.records)
        records[place] = with_body(released.log[place], **{name: "00" * 32})

        difference = Replay(released.before()).walk(chained(records)).difference

        assert difference is not None and difference.seq == place + 1, name


def test_events_of_one_decision_with_two_times_are_found(released: Recorded) -> None:
    place = next(n for n, (header, _) in enumerate(released.records) if header.kind == "InstructionConfirmed")
    header, payload = released.records[place]
    later = msgspec.structs.replace(header, monotonic_ns=header.monotonic_ns + 1)
    records = [*released.records[:place], (later, payload), *released.records[place + 1 :]]

    assert found(released, records)


def test_an_act_by_somebody_who_may_not_do_it_is_found() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until("receive_bag/bag")
    bedside.holds()
    place = next(n for n, (_, payload) in enumerate(bedside.records) if b'"name":"hold"' in payload)
    body = msgspec.json.decode(bedside.log[place].payload)["body"]
    body["people"][0]["roles"] = "auditor"
    records = list(bedside.records)
    records[place] = with_body(bedside.log[place], **body)

    difference = Replay(bedside.before()).walk(chained(records)).difference

    assert difference is not None
    assert difference.why == "it would have been refused."
    assert "may not do this" in difference.again_says


def rewritten(room: Room, folder: Path, keep: Callable[[str], bool]) -> None:
    """A record that somebody with the unit's own key wrote anew and signed, with only some kinds in it."""
    key = load_key(room.home.unit_key)
    with Record.open_readonly(room.home.record) as record:
        everything = list(record.read())
        head = everything[0].header
    first = Stamp(head.wall, head.monotonic_ns, head.boot_id, head.clock_quality)
    with Record.create(
        folder, unit_id="UNIT-1", key=key, software_version="1", simulated=True, stamp=first, epoch=head.epoch
    ) as forged:
        for stored in everything[1:]:
            header = stored.header
            if keep(header.kind):
                new = NewRecord(
                    kind=header.kind,
                    payload=stored.payload,
                    actor=header.actor,
                    stamp=Stamp(header.wall, header.monotonic_ns, header.boot_id, header.clock_quality),
                )
                forged.append_many([new])
        with Record.open_readonly(room.home.record) as record:
            for reference in record.blob_refs():
                forged.put_blob(record.blob(reference.sha256), reference.media_type)
        forged.seal(first)


@pytest.mark.requirement("R-13", "F-022")
def test_a_record_made_with_another_limit_and_signed_anew_is_named(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bag was out of the cold for too long, and the deviation was taken out with the unit's own key."""

    async def story() -> None:
        await room.goes_to("bag/bag")
        room.clock.advance(55 * 60)
        await room.engine.turn(list)
        await room.shows("bag", "bag", bag_texts())
        await room.signs_in()
        await room.answers("bag/identity")
        assert room.events(ev.DeviationOpened)

    told(room, story)
    hidden = {"LimitCrossed", "DeviationOpened", "AlarmRaised"}
    rewritten(room, tmp_path / "forged" / "record", lambda kind: kind not in hidden)
    rewritten(room, tmp_path / "true" / "record", lambda kind: True)

    assert replay([str(tmp_path / "true")]) == 0
    capsys.readouterr()
    status = replay([str(tmp_path / "forged"), "--json"])
    difference = json.loads(capsys.readouterr().out)["difference"]

    assert status == 1
    assert difference["record_says"].startswith("SessionOpened")  # the next that is there
    assert difference["decided_again"].startswith('LimitCrossed {"phase":"bag","limit":"out_of_cold"')
    assert "should have become true before it" in difference["why"]


# ── Targets that cannot be replayed ────────────────────────────────────────────────────


def test_a_record_of_before_inputs_were_kept_gets_an_honest_answer() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_through("seal")
    older = [
        with_body(stored, inputs_on_record=False) if header.kind == "EngineStarted" else (header, payload)
        for stored, (header, payload) in zip(bedside.log, bedside.records, strict=True)
        if header.kind not in ("CommandTaken", "ReadingsUsed")
    ]

    outcome = Replay(bedside.before()).walk(chained(older))

    assert outcome.difference is None
    assert outcome.commits == 0
    assert outcome.older_events == len(older)
    assert 0 < outcome.older_again < len(older)
    assert outcome.older_version == "1"


def test_a_broken_record_is_not_replayed(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def story() -> None:
        await room.begins_batch()

    told(room, story)
    database = room.home.record / "record.db"
    log = database.with_name("record.db-wal")
    for file in (database, log):
        if file.exists():
            file.write_bytes(file.read_bytes().replace(b"bedside-1", b"bedside-2"))

    status = replay([str(room.home.root)])

    assert status == 2
    assert "not replayed" in capsys.readouterr().err


def test_an_unknown_batch_and_an_empty_folder_are_unreadable(
    room: Room, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told(room, room.goes_to_the_seal)

    assert replay(["UNIT-1-00009", "--home", str(room.home.root)]) == 2
    assert "There is no batch UNIT-1-00009" in capsys.readouterr().err
    assert replay([str(tmp_path)]) == 2


def test_what_a_later_version_adds_to_the_state_does_not_change_an_older_records_digest() -> None:
    """A field that says nothing yet is no part of the digest; one that says something is."""
    silent, said = DeviceSpec("d", "pump", "Pump"), DeviceSpec("d", "pump", "Pump", "4711")

    assert plain(silent) == {"id": "d", "role": "pump", "title": "Pump"}
    assert plain(said) == {**plain(silent), "serial_number": "4711"}
    assert digest(silent) != digest(said)


# ── The tables ─────────────────────────────────────────────────────────────────────────


def test_every_command_of_the_unit_is_decided_again_or_named_as_facts(room: Room) -> None:
    async def story() -> None:
        known = set(Commands(room.engine)._handlers)

        assert known == COMMANDS.keys() | COMMANDS_OF_FACTS
        assert not COMMANDS.keys() & COMMANDS_OF_FACTS

    told(room, story)


def test_the_table_of_facts_names_kinds_that_exist() -> None:
    assert ev.KINDS.keys() >= FACTS.keys()
    assert ev.KINDS.keys() >= INPUTS


@pytest.mark.requirement("R-02")
def test_no_pin_and_no_password_ever_stands_in_a_command_on_record(room: Room) -> None:
    secrets = ("246813", "864213", "975318", "blue kettle morning", "quiet river stones", "seven green doors")

    async def story() -> None:
        await room.goes_to_the_seal()
        await room.ask("comment", {"text": "ok", "pin": "246813", "new_password": "blue kettle morning"})

    told(room, story)
    with Record.open_readonly(room.home.record) as record:
        written = b"".join(stored.data for stored in record.read())

    assert b"CommandTaken" in written
    assert STATION.encode() in written
    assert not [secret for secret in secrets if secret.encode() in written]


def test_a_command_on_record_says_who_was_proven_and_how(room: Room) -> None:
    told(room, room.goes_to_the_seal)

    signed = [one for one in room.events(ev.CommandTaken) if "seal/verified" in one.body.values()]  # type: ignore[attr-defined]

    assert [one.people[0]["proof"] for one in signed] == ["password"]  # type: ignore[attr-defined]
    assert [one.people[0]["id"] for one in signed] == [BEN_AT_HOME.id]  # type: ignore[attr-defined]
