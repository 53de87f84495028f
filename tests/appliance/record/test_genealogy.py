"""What came from what: any identifier leads back to the patient and on to the dose, and to nobody else's."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from recorded_bedside import Recorded, chained

from appliance.domain import events as ev
from appliance.record.genealogy import Genealogy, Step, genealogy_of
from appliance.record.genealogy_command import coi
from appliance.record.genealogy_picture import as_svg

GOLDEN_CHAIN = "CHA999926000001"


@pytest.fixture(scope="module")
def bedside() -> Recorded:
    """A whole batch, from the order to the bedside."""
    made = Recorded()
    made.begin_batch()
    made.works_through("seal")
    made.seal()
    made.qp_decides()
    made.works_through("hand_over")
    return made


@pytest.fixture(scope="module")
def known(bedside: Recorded) -> Genealogy:
    return genealogy_of(chained(bedside.records))


def things(known: Genealogy, steps: list[Step]) -> set[str]:
    return {known.things[key].kind for step in steps for key in (step.source, step.target)}


@pytest.mark.requirement("F-002")
def test_from_the_chain_of_identity_everything_to_the_hand_over_is_found(
    bedside: Recorded, known: Genealogy
) -> None:
    (chain,) = known.found(bedside.batch.order.coi)

    assert things(known, known.before(chain.key)) == {"patient", "consent", "chain of identity"}
    assert things(known, known.after(chain.key)) >= {
        "order", "bag", "batch", "sample", "count", "result", "dose", "disposition", "bedside match",
        "hand-over", "custody", "transport",
    }  # fmt: skip


@pytest.mark.requirement("F-002")
def test_from_the_dose_the_way_back_leads_to_the_bag_the_lots_and_the_patient(
    bedside: Recorded, known: Genealogy
) -> None:
    labelled = bedside.last(ev.ProductLabelled)
    (dose,) = known.found(labelled.label_id)

    back = known.before(dose.key)

    assert things(known, back) >= {"bag", "material lot", "batch", "order", "chain of identity", "patient"}
    lots = {known.things[step.source].id for step in back if known.things[step.source].kind == "material lot"}
    assert lots == {f"{one.catalogue}/{one.lot}" for one in bedside.all(ev.MaterialAccepted)}


@pytest.mark.requirement("F-002", "F-006", "T31")
@pytest.mark.parametrize("written", ["DRY-0042", "SEAL-0042", "LOG-17"])
def test_seal_shipper_and_logger_lead_to_the_patient_and_to_the_dose(known: Genealogy, written: str) -> None:
    found = known.found(written)

    assert {thing.kind for thing in found} <= {"custody", "transport"}
    assert found
    for thing in found:
        assert "patient" in things(known, known.before(thing.key))
        assert {"batch", "sample", "dose", "hand-over"} <= things(known, known.after(thing.key))


@pytest.mark.requirement("F-002", "F-006")
def test_the_dose_is_told_with_the_hand_that_holds_it_now(known: Genealogy, bedside: Recorded) -> None:
    held = {key.partition(":")[0]: words for key, words in known.held.items()}

    assert held["dose"].startswith("ward: p-0002 at Ward 7, bed 3")
    assert held["bag"].startswith("unit: p-0001 at Ward, seal SEAL-0042 intact")


@pytest.mark.requirement("F-002", "F-011")
def test_a_withdrawal_is_found_from_the_chain_of_identity_and_from_the_form() -> None:
    bedside = Recorded()
    bedside.begin_batch()
    bedside.withdraws_the_consent()
    known = genealogy_of(chained(bedside.records))
    (chain,), (form,) = known.found(bedside.batch.order.coi), known.found("CONSENT-1")

    assert "withdrawal of consent" in things(known, known.after(chain.key))
    assert "withdrawal of consent" in things(known, known.after(form.key))
    assert things(known, known.before(form.key)) == {"patient", "consent"}


def test_a_donation_number_is_found_as_people_write_it(bedside: Recorded, known: Genealogy) -> None:
    din = bedside.batch.order.din

    for written in (din, f"{din[:5]} {din[5:7]} {din[7:]}", din.lower(), f"={din}"):
        assert "bag" in {thing.kind for thing in known.found(written)}, written
    assert known.found("A999926999999") == []


@pytest.mark.requirement("F-002")
def test_two_patients_on_one_record_share_nothing_but_the_lots_of_their_materials(bedside: Recorded) -> None:
    order = bedside.batch.order
    other = {
        order.patient: "DEMO9999",
        order.coi: "CHA999926000009",
        order.id: "ORD-9",
        order.din: "A999926654321",
        bedside.batch.id: "UNIT-1-00009",
    }
    second = []
    for header, payload in bedside.records:
        for mine, theirs in other.items():
            payload = payload.replace(mine.encode(), theirs.encode())
        second.append((header, payload))
    both = genealogy_of(chained([*bedside.records, *second]))

    reached = []
    for coi_id in (order.coi, "CHA999926000009"):
        (chain,) = both.found(coi_id)
        reached.append({key for step in both.after(chain.key) for key in (step.source, step.target)})

    assert len(reached[0]) > 10
    assert not reached[0] & reached[1]
    (lot, *_) = (thing for thing in both.things.values() if thing.kind == "material lot")
    assert {both.things[step.target].id for step in both.after(lot.key)} >= {bedside.batch.id, "UNIT-1-00009"}


def test_the_drawing_holds_every_thing_once_and_marks_the_one_that_was_asked_for(
    bedside: Recorded, known: Genealogy
) -> None:
    (chain,) = known.found(bedside.batch.order.coi)

    drawn = ElementTree.fromstring(as_svg(known, chain))

    boxes = [each for each in drawn.iter() if "box" in each.attrib.get("class", "")]
    reached = {key for step in known.after(chain.key) for key in (step.source, step.target)}
    assert len(boxes) == len(reached | {step.source for step in known.before(chain.key)})
    assert [each.attrib["class"] for each in boxes].count("box asked") == 1


@pytest.fixture
def golden(tmp_path: Path) -> Path:
    import tarfile

    release = sorted((Path(__file__).parents[2] / "data" / "golden").iterdir())[-1]
    with tarfile.open(release / "golden.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "record"


@pytest.mark.requirement("F-002")
def test_the_command_follows_an_identifier_in_a_record_folder(
    golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawing = tmp_path / "chain.svg"

    assert coi(["trace", GOLDEN_CHAIN, "--record", str(golden), "--svg", str(drawing), "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    came_from = {link["from"]["kind"] for link in line["before"]}
    assert (line["kind"], came_from) == ("chain of identity", {"consent", "patient"})
    assert drawing.read_text(encoding="utf-8").startswith("<svg ")

    assert coi(["trace", "CHA999926999999", "--record", str(golden)]) == 1
    assert "does not name" in capsys.readouterr().err
    assert coi(["trace", GOLDEN_CHAIN, "--record", str(tmp_path / "nowhere")]) == 2
