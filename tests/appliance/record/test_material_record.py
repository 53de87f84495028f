"""Materials on record: decided again from the record and from one batch alone; lots traced to patients."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from recorded_bedside import ADA, BEN, CLEO, Recorded, chained

from appliance.domain import materials
from appliance.domain.before import unit_before
from appliance.materials_command import materials as command
from appliance.record.log import Record
from appliance.record.material_trace import KINDS, trace_lot
from appliance.record.replay import Replay

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from bedside import material_texts

SALINE = "XXSALHSA"


def with_materials_under_way() -> Recorded:
    """A batch during which materials come in, are judged, recalled and booked out: its own and others'."""
    bedside = Recorded()
    elsewhere = bedside.receives(material_texts("XXOTHER", lot="ELSE"))
    bedside.begin_batch()
    bedside.works_through("scan_materials")
    bedside.releases(elsewhere)
    own = bedside.receives(material_texts(SALINE, lot="NEW1"))
    judged = {"receipt": own, "certificate": "CoA 1", "reason": "Cloudy"}
    asked = materials.Judged.of(judged)
    bedside.asked("reject_material", BEN, lambda: materials.reject(bedside.unit, BEN, asked), **judged)
    gone = {"receipt": elsewhere, "quantity": "3", "why": "lost", "reason": "Not on the shelf"}
    bedside.asked(
        "book_out_material",
        CLEO,
        lambda: materials.book_out(bedside.unit, CLEO, elsewhere, 3, "lost", "Not on the shelf"),
        **gone,
    )
    recall = {"catalogue": SALINE, "lot": "LOT1", "reference": "FSN-7", "reason": "Particles"}
    bedside.asked(
        "recall_lot", CLEO, lambda: materials.recall_by(bedside.unit, CLEO, *recall.values()), **recall
    )
    bedside.restart(CLEO)
    people = (CLEO, DORA)
    bedside.asked(
        "lift_recall",
        CLEO,
        lambda: materials.lift(bedside.unit, *people, *recall.values()),
        people=people,
        **recall,
    )
    bedside.commit(materials.recall(bedside.unit, SALINE, "LOT1", "FSN-8", "Glass", document_blob="d" * 64))
    bedside.restart(CLEO)
    bedside.works_until("thaw")
    return bedside


DORA = type(ADA)("p-0004", "Dora", ("qa_reviewer",))


@pytest.mark.requirement("F-091", "F-094", "R-02")
def test_what_became_of_materials_under_way_is_decided_again_from_the_record_and_from_one_batch_alone() -> (
    None
):
    bedside = with_materials_under_way()

    whole = Replay(bedside.before()).walk(chained(bedside.records))
    opened = next(n for n, (header, _) in enumerate(bedside.records) if header.kind == "BatchOpened")
    alone = Replay(unit_before(bedside.unit.id, bedside.batch.opened), whole=False)
    alone.fold(bedside.log[opened : opened + 1])
    outcome = alone.walk(bedside.log[opened + 1 :])

    assert whole.difference is None, whole.difference.words
    assert outcome.difference is None, outcome.difference.words
    assert outcome.state == whole.state != ""


@pytest.mark.requirement("F-094", "F-091")
def test_a_lot_leads_to_its_batch_its_order_and_its_patient() -> None:
    bedside = with_materials_under_way()

    traced = trace_lot((one for one in bedside.log if one.header.kind in KINDS), "lot1", SALINE)

    assert [(one.batch, one.order, one.patient, one.state) for one in traced.uses] == [
        ("UNIT-1-00001", "ORD-1", "DEMO7F3A", "open")
    ]
    told = [one["what"] for one in traced.history]
    assert told == ["MaterialReceived", "MaterialReleased", "LotRecalled", "RecallLifted", "LotRecalled"]
    assert not trace_lot(iter(bedside.log[:0]), "lot1").found


@pytest.mark.requirement("F-094")
def test_a_recalled_lot_lists_a_thousand_batches_and_their_patients_in_under_a_second(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench_materials import LOT, events
    from bench_start import build, make_room

    room = make_room(tmp_path)
    build(room, 12_000, 1_000, events)

    took_s = []
    for _ in range(3):  # the machine of the test may be busy with other things
        began_s = time.perf_counter()
        with Record.open_readonly(room.home.record) as record:
            traced = trace_lot(record.read_of(KINDS), LOT)
        took_s.append(time.perf_counter() - began_s)

    assert len({one.batch for one in traced.uses}) == 1_000
    assert len({one.patient for one in traced.uses}) == 900
    assert min(took_s) < 1.0
    assert command(["trace", LOT, "--record", str(room.home.record), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["batches"], told["orders"], told["patients"]) == (1_000, 1_000, 900)
    assert command(["trace", "NONE", "--record", str(room.home.record)]) == 1
    assert "names no such lot" in capsys.readouterr().err
