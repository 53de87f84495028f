"""A restored unit goes on in a new log: central takes it where it names the old one's end, and says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from central_site import CentralProcess, Unit, agent_of, make_batch
from small_engine import SmallEngine

from appliance.access import documents
from appliance.domain import events
from appliance.record import acknowledgements
from appliance.record.backup import take_backup
from appliance.record.epochs import earlier_epochs, link_of
from appliance.record.errors import RecordUnusable
from appliance.record.log import DATABASE, Record
from appliance.record.restore import Restored, restore
from sync.central.review import review_batch


def sent(unit: Unit, central: CentralProcess) -> dict[str, str]:
    """One round of the agent beside an engine; what central disputed, by log."""
    engine = SmallEngine(unit, central.home.fingerprint())
    agent = agent_of(unit, central.url)
    try:
        while agent.round().moved():
            pass
    finally:
        agent.close()
        engine.close()
    return engine.blocked


def copied(unit: Unit, tmp_path: Path) -> Path:
    path, _ = take_backup(unit.home, tmp_path / "medium")
    return path


def restored(unit: Unit, copy: Path) -> Restored:
    unit.record.close()
    done = restore(
        copy, unit.home, key=unit.key, reason="the disk failed", replace=True, software_version="0.1.0"
    )
    unit.record = Record.open(unit.home.record, key=unit.key)
    return done


def begun_anew(unit: Unit, previous: dict[str, object] | None) -> None:
    unit.record.close()
    (unit.home.record).rename(unit.home.root / "aside")
    unit.record = Record.create(
        unit.home.record,
        unit_id=unit.unit_id,
        key=unit.key,
        software_version="0.1.0",
        simulated=True,
        stamp=unit.stamp(),
        previous=previous,
    )
    unit.chatter(2)
    unit.trend()


def central_says(central: CentralProcess, unit: Unit, kind: str) -> list[dict[str, object]]:
    store = central.home.store()
    try:
        return [json.loads(one.body) for one in store.events(unit_id=unit.unit_id) if one.kind == kind]
    finally:
        store.close()


@pytest.mark.requirement("R-37", "R-41")
def test_a_restored_units_new_log_is_taken_from_its_first_event_and_is_an_incident(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(5)
    unit.trend(2)
    assert sent(unit, shared_central) == {}
    copy = copied(unit, tmp_path)
    end = unit.record.head()
    unit.chatter(6)
    assert sent(unit, shared_central) == {}

    done = restored(unit, copy)
    picture = unit.record.put_blob(b"a picture after the restore", "image/png").sha256
    read = events.LabelPrinted(phase="label", label_id="l-1", picture=picture, texts=[])
    unit.say(read, batch="B-0001")
    unit.record.seal(unit.stamp())

    assert sent(unit, shared_central) == {}
    head = unit.record.head()
    assert head.epoch != end.epoch and unit.record.acked()[0] == head.seq
    assert done.central_only["gxp"] == [end.seq + 1, end.seq + 6]
    told = central_says(shared_central, unit, "UnitRestored")
    assert {one["log"] for one in told} == {"gxp", "telemetry"}
    (gxp,) = [one for one in told if one["log"] == "gxp"]
    assert (gxp["goes_on_from"], gxp["held_here_up_to"]) == (end.seq, end.seq + 6)
    assert gxp["reason"] == "the disk failed"
    store = shared_central.home.store()
    blob = store.blob(unit.unit_id, picture)
    store.close()
    assert blob is not None and blob.verified


@pytest.mark.requirement("T20")
def test_a_restored_unit_hears_again_of_every_order_and_stop_and_of_no_old_decision(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(5)
    assert sent(unit, shared_central) == {}
    copy, store = copied(unit, tmp_path), shared_central.home.store()
    key = shared_central.home.signing_key()
    kinds: tuple[documents.DocumentType, ...] = ("order", "withdrawal", "decision", "recall")
    for kind in kinds:
        envelope = documents.sign(kind, b"{}", key, "central")
        store.queue_down(unit.unit_id, kind, documents.to_json(envelope).strip())
    store.close()
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    agent_of(unit, shared_central.url).round()
    first = [one["type"] for one in engine.documents if one["content"] == "e30="]
    engine.close()

    restored(unit, copy)
    unit.chatter(1)
    engine = SmallEngine(unit, shared_central.home.fingerprint())
    agent_of(unit, shared_central.url).round()
    agent_of(unit, shared_central.url).round()
    again = [one["type"] for one in engine.documents if one["content"] == "e30="]
    engine.close()

    assert first == ["order", "withdrawal", "decision", "recall"]
    assert again == ["order", "withdrawal", "recall"]


@pytest.mark.requirement("R-41")
@pytest.mark.parametrize("previous", ["nothing", "another epoch", "another hash"])
def test_a_second_log_that_does_not_name_the_first_ones_end_is_refused(
    unit: Unit, shared_central: CentralProcess, previous: str
) -> None:
    unit.chatter(5)
    unit.trend()
    assert sent(unit, shared_central) == {}
    head, telemetry = unit.record.head(), unit.record.head("telemetry")
    said: dict[str, object] = {
        "epoch": head.epoch.hex() if previous == "another hash" else "ab" * 16,
        "gxp": {"seq": head.seq, "hash": "cd" * 32},
        "telemetry": {"seq": telemetry.seq, "hash": "cd" * 32},
    }
    begun_anew(unit, None if previous == "nothing" else said)

    blocked = sent(unit, shared_central)

    assert set(blocked) == {"gxp", "telemetry"} and "call QA" in blocked["gxp"]
    assert unit.record.acked()[0] == 0
    assert central_says(shared_central, unit, "UnitRestored") == []


@pytest.mark.requirement("R-37", "R-41")
def test_an_old_copy_put_back_by_hand_is_refused_at_start_and_else_found_as_a_fork(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(5)
    copy = copied(unit, tmp_path)
    unit.chatter(6)
    assert sent(unit, shared_central) == {}
    unit.record.close()
    for path in unit.home.record.glob("record.db*"):
        path.unlink()
    (unit.home.record / DATABASE).write_bytes((copy / "record" / DATABASE).read_bytes())

    with pytest.raises(RecordUnusable, match="it is an old copy"):
        Record.open(unit.home.record, key=unit.key)

    # Whoever takes the second place away too is found at the next contact.
    acknowledgements.second_place_path(unit.home.record, "gxp").unlink()
    unit.record = Record.open(unit.home.record, key=unit.key)
    assert "it is an old copy" in sent(unit, shared_central)["gxp"]
    for _ in range(3):
        unit.chatter(4)
    blocked = sent(unit, shared_central)
    assert "differs from the one held here" in blocked["gxp"]


def test_a_batch_that_a_restore_cut_in_two_cannot_be_certified_from_half_of_it(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    batch = make_batch(unit)
    assert sent(unit, shared_central) == {}
    store = shared_central.home.store()
    before = review_batch(store, unit.unit_id, batch)
    restored(unit, copied(unit, tmp_path))
    unit.say(events.CommentAdded(text="after the restore"), batch=batch)
    unit.record.seal(unit.stamp())
    assert sent(unit, shared_central) == {}

    after = review_batch(store, unit.unit_id, batch)

    store.close()
    assert before is not None and after is not None
    assert not any("restored" in words for words in before.missing)
    assert any("restored from a copy" in words for words in after.missing)
    assert after.row == before.row


def test_the_restored_record_links_what_central_holds(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(3)
    assert sent(unit, shared_central) == {}
    end, acked = unit.record.head(), unit.record.acked()[0]
    restored(unit, copied(unit, tmp_path))

    link = link_of(unit.record)

    assert link is not None and link["acked"]["gxp"]["seq"] == acked
    assert link["gxp"] == {"seq": end.seq, "hash": end.hash.hex()}
    assert len(earlier_epochs(unit.home.record)) == 1


@pytest.mark.requirement("R-37", "R-41")
def test_what_central_never_got_of_the_log_before_is_sent_first_with_its_files(
    unit: Unit, shared_central: CentralProcess, tmp_path: Path
) -> None:
    unit.chatter(3)
    sent(unit, shared_central)
    make_batch(unit)
    unit.say(events.SessionOpened(person="p-1", name="Nobody", station="bedside"))  # not yet signed
    old, end = unit.record.head().epoch.hex(), unit.record.head()
    restored(unit, copied(unit, tmp_path))
    unit.chatter(2)

    blocked = sent(unit, shared_central)
    again = sent(unit, shared_central)

    store = shared_central.home.store()
    heads = {(head.log, head.epoch): (head.seq, head.hash) for head in store.heads(unit.unit_id)}
    files = store.batch_blobs(unit.unit_id, "B-0001")
    store.close()
    assert heads["gxp", old] == (end.seq, end.hash)
    assert heads["gxp", unit.record.head().epoch.hex()][0] == unit.record.head().seq
    assert files and all(one.verified for one in files)
    assert blocked == again == {}
