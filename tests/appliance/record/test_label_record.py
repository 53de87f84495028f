"""Labels on record: every serial with its fate in the batch record, and all of it decided again."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from record_bench import new_record, write
from recorded_bedside import BEN, CLEO, Recorded, chained

from appliance.domain.before import unit_before
from appliance.domain.redaction import reason_to_withhold
from appliance.domain.roles import Actor
from appliance.record.command import report_of
from appliance.record.replay import Replay
from appliance.record.report.batch_record import page as drawn

L1, L2, L3 = (f"UNIT-1-00001-L{number}" for number in (1, 2, 3))


@pytest.fixture(scope="module")
def counted() -> Recorded:
    """L1 is void and destroyed, L2 void and lost, L3 on the bag."""
    bedside = Recorded()
    bedside.begin_batch()
    bedside.works_until("label/applied")
    bedside.answer(f"label/reprint:{L1}", reason="damaged")
    bedside.answer(f"label/reprint:{L2}", reason="other")
    bedside.answer(f"label/reprint_words:{L2}", words="It stuck to the glove")
    bedside.answer(f"label/apply:{L3}")
    bedside.scan("label/applied", bedside.labels[L3])
    bedside.answer(f"label/destroy:{L1}")
    bedside.answer("label/missing", label=L2)
    bedside.waits(1)
    bedside.restart(CLEO)
    bedside.answer(f"label/searched:{L2}", searched="Gloves, waste and floor")
    bedside.answer(f"label/loss_approved:{L2}", by=with_password(CLEO))
    bedside.answer(f"label/loss_verified:{L2}", by=with_password(BEN))
    bedside.answer("label/reconcile", applied="1", destroyed="1")
    bedside.works_through("label")
    return bedside


def with_password(actor: Actor) -> Actor:
    return dataclasses.replace(actor, proof="password")


@pytest.mark.requirement("F-008", "R-02")
def test_what_became_of_each_label_is_decided_again_from_the_record_and_from_one_batch_alone(
    counted: Recorded,
) -> None:
    opened = next(n for n, (header, _) in enumerate(counted.records) if header.kind == "BatchOpened")

    whole = Replay(counted.before()).walk(chained(counted.records))
    alone = Replay(unit_before(counted.unit.id, counted.batch.opened), whole=False)
    alone.fold(counted.log[opened : opened + 1])
    outcome = alone.walk(counted.log[opened + 1 :])

    assert whole.difference is None, whole.difference.words
    assert outcome.difference is None, outcome.difference.words


@pytest.mark.requirement("F-008", "T18")
def test_the_batch_record_lists_each_serial_with_why_it_was_made_and_what_became_of_it(
    counted: Recorded, tmp_path: Path
) -> None:
    record = new_record(tmp_path)
    for header, payload in counted.records:
        body = json.loads(payload)["body"]
        write(record, header.kind, body, batch=json.loads(payload)["batch"])

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", drawn(report_of(record, "UNIT-1-00001")).decode()))
    record.close()

    table = text[text.index("Why it was made") :]
    assert f"{L1} dose version 1" in table
    assert "destroyed by" in table and "witnessed by" in table
    assert f"{L2} second print, flag 05" in table
    assert "The label is damaged" in table  # why L2 was made
    assert "MISSING, signed for" in table
    assert "It stuck to the glove" in table  # why L2 is void, and L3 was made
    assert "Gloves, waste and floor" in text[: text.index("Why it was made")]  # an exception


def test_why_a_label_was_printed_again_is_left_out_of_an_export_for_outside() -> None:
    assert reason_to_withhold("LabelRequested", {"reason": "It stuck to the glove"})
    assert not reason_to_withhold("LabelRequested", {"reason": ""})
