"""What a reviewer is shown, and what blocks a batch."""

from __future__ import annotations

import msgspec
import pytest
from central_site import CentralProcess, Unit, agent_of, make_batch

from appliance.domain import events
from appliance.record.canonical import NewRecord, Stamp, encode_payload
from appliance.record.log import Record
from sync.central.blob_store import BlobStore
from sync.central.exceptions import exception_in
from sync.central.review import Review, review_batch
from sync.central.verdict import verify_record


def reviewed(unit: Unit, central: CentralProcess, batch: str = "B-0001") -> Review:
    agent_of(unit, central.url).round()
    found = review_batch(central.home.store(), unit.unit_id, batch)
    assert found is not None
    return found


def test_a_batch_without_exceptions_can_be_released_now(unit: Unit, shared_central: CentralProcess) -> None:
    make_batch(unit, deviation=False)

    review = reviewed(unit, shared_central)

    assert (review.group, review.exceptions, review.missing) == ("ready", [], [])
    verdict = verify_record(shared_central.home.store(), BlobStore(shared_central.home.blobs), review)
    assert verdict.good, verdict.faults


def test_a_deviation_puts_the_batch_among_the_exceptions_with_its_evidence(
    unit: Unit, shared_central: CentralProcess
) -> None:
    make_batch(unit)

    review = reviewed(unit, shared_central)

    [shown] = review.exceptions
    assert (review.group, shown.group, shown.entry.kind) == ("exceptions", "Deviation", "DeviationOpened")


def test_an_event_that_central_does_not_know_is_shown_and_not_hidden(
    unit: Unit, shared_central: CentralProcess
) -> None:
    payload = encode_payload("B-0001", None, {"colour": "blue"})
    unit.record.append("SomethingOfTomorrow", payload, actor="unit", stamp=unit.stamp())
    make_batch(unit, deviation=False)

    review = reviewed(unit, shared_central)

    [shown] = review.exceptions
    assert shown.group == "Unknown"
    assert "SomethingOfTomorrow" in shown.words


def test_a_refused_sign_in_during_the_batch_belongs_to_its_exceptions(
    unit: Unit, shared_central: CentralProcess
) -> None:
    unit.say(events.PhaseStarted(phase="clear_line"), batch="B-0001")
    unit.say(events.SignInRefused(person="p-3", station="b", reason="wrong_secret", failures=1, locked=False))
    make_batch(unit, deviation=False)

    groups = [shown.group for shown in reviewed(unit, shared_central).exceptions]

    assert groups == ["People"]


def test_an_untrusted_clock_is_an_exception(unit: Unit, shared_central: CentralProcess) -> None:
    stamp = unit.stamp()
    untrusted = Stamp(stamp.wall, stamp.monotonic_ns, stamp.boot_id, 0)
    body = encode_payload("B-0001", None, events.to_body(events.PhaseStarted(phase="clear_line")))
    unit.record.append_many([NewRecord(kind="PhaseStarted", payload=body, actor="unit", stamp=untrusted)])
    make_batch(unit, deviation=False)

    groups = [shown.group for shown in reviewed(unit, shared_central).exceptions]

    assert groups == ["Clock"]


def test_an_unsealed_batch_is_blocked(unit: Unit, shared_central: CentralProcess) -> None:
    unit.say(events.PhaseStarted(phase="thaw"), batch="B-0001")
    unit.record.seal(unit.stamp())

    review = reviewed(unit, shared_central)

    assert review.group == "blocked"
    assert "not sealed yet" in review.missing[0]


def test_a_file_that_has_not_arrived_blocks_the_batch(unit: Unit, shared_central: CentralProcess) -> None:
    batch = make_batch(unit, deviation=False)
    review = reviewed(unit, shared_central)
    blob = review.blobs[0]
    store = shared_central.home.store()
    store._write("UPDATE blobs SET verified=0 WHERE unit_id=? AND sha256=?", unit.unit_id, blob.sha256)

    again = review_batch(store, unit.unit_id, batch)

    assert again is not None
    assert again.missing == ["1 of 1 files have not arrived yet."]


def test_a_record_changed_on_centrals_disk_is_found_and_named(
    unit: Unit, shared_central: CentralProcess
) -> None:
    make_batch(unit)
    review = reviewed(unit, shared_central)
    store = shared_central.home.store()
    store._connection.execute("DROP TRIGGER records_keep")
    [seq] = [shown.entry.seq for shown in review.exceptions]
    [row] = store.records(unit.unit_id, "gxp", review.row.epoch, seq, seq)
    changed = row.data.replace(b"minor", b"major")
    store._write(
        "UPDATE records SET data=? WHERE unit_id=? AND seq=? AND log='gxp'", changed, unit.unit_id, seq
    )

    verdict = verify_record(store, BlobStore(shared_central.home.blobs), review)

    assert verdict.faults[0] == f"gxp record {seq} was changed here."


def test_a_record_cut_short_at_central_does_not_verify(unit: Unit, shared_central: CentralProcess) -> None:
    make_batch(unit)
    review = reviewed(unit, shared_central)
    store = shared_central.home.store()
    store._connection.execute("DROP TRIGGER records_stay")
    store._write("DELETE FROM records WHERE unit_id=? AND seq>=? AND log='gxp'", unit.unit_id, 9)

    verdict = verify_record(store, BlobStore(shared_central.home.blobs), review)

    assert any("ends at 8" in fault for fault in verdict.faults)


@pytest.mark.parametrize("kind", sorted(events.KINDS))
def test_no_event_however_empty_stops_the_page(kind: str) -> None:
    found = exception_in(kind, {})

    assert found is None or all(isinstance(part, str) and part for part in found)


def test_the_record_api_and_central_agree_on_the_segment_header(unit: Unit) -> None:
    from sync.central.intake import SegmentFacts

    unit.chatter(1)
    segment = next(Record.open_readonly(unit.home.record).segments())

    assert msgspec.json.decode(segment.header, type=SegmentFacts).unit == unit.unit_id


def test_a_signature_of_the_unit_that_was_changed_at_central_is_found(
    unit: Unit, shared_central: CentralProcess
) -> None:
    make_batch(unit)
    review = reviewed(unit, shared_central)
    store = shared_central.home.store()
    change = "UPDATE segments SET signature=? WHERE unit_id=? AND log='gxp'"
    store._write(change, bytes(64), unit.unit_id)

    verdict = verify_record(store, BlobStore(shared_central.home.blobs), review)

    assert any("The signature over gxp 1 to" in fault for fault in verdict.faults)
