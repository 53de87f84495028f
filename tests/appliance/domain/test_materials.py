"""Materials: nothing is used that another person did not release, is recalled, or expires later."""

from __future__ import annotations

import dataclasses
from datetime import date, timedelta

import pytest
from bedside import (
    ADA,
    BEN,
    CLEO,
    IN_200_DAYS,
    RECIPE_B,
    START,
    TIME_ZONE,
    Bedside,
    bag_texts,
    material_received,
    material_texts,
)

from appliance.domain import decisions, isbt128, material_labels, materials
from appliance.domain import events as ev
from appliance.domain.before import unit_before
from appliance.domain.errors import CommandRefused
from appliance.domain.identity import LabelNotUsable
from appliance.domain.recipe import parse
from appliance.domain.recipe_check import check
from appliance.domain.stock import FINISHED_KEPT_MAX, catalogue_key

SCAN = "scan_materials/material"
SALINE, DYE, DYE_GTIN = "XXSALHSA", "XXTRYPAN", "09501101530003"
SOONER = IN_200_DAYS - timedelta(days=100)


def gs1(lot: str = "ABC", on: date = IN_200_DAYS, *, separator: str = "\x1d", gtin: str = DYE_GTIN) -> str:
    return f"01{gtin}10{lot}{separator}17{on:%y%m%d}"


def at_the_scan(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(SCAN)


def shows(bedside: Bedside, text: str, identifier: str = "]d2") -> None:
    """One symbol before the camera, with its symbology identifier."""
    asked = bedside.asks_the_camera(SCAN)
    read = ev.ScanRead(
        phase=asked.phase, key=asked.key, scan_id=asked.scan_id, texts=[text], symbologies=["datamatrix"],
        reasons=[], picture="", identifiers=[identifier],
    )  # fmt: skip
    bedside.commit(decisions.scan_read(bedside.unit, read, bedside.now))


def refused(bedside: Bedside) -> str:
    return bedside.last(ev.MaterialRefused).reason


# ── Quarantine and release ─────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-091")
def test_a_quarantined_material_is_refused_until_another_person_has_released_it(bedside: Bedside) -> None:
    receipt = bedside.receives(material_texts(SALINE, lot="NEW1", expires_on=SOONER))
    at_the_scan(bedside)

    bedside.scan(SCAN, material_texts(SALINE, lot="NEW1", expires_on=SOONER))

    assert refused(bedside) == "quarantined"
    assert "did not receive it" in bedside.last(ev.MaterialRefused).words
    assert bedside.refusal(lambda: bedside.releases(receipt, by=with_role(ADA))).reason == "same_person"

    bedside.releases(receipt, by=BEN)
    bedside.scan(SCAN, material_texts(SALINE, lot="NEW1", expires_on=SOONER))

    accepted = bedside.last(ev.MaterialAccepted)
    assert (accepted.receipt, accepted.received_by, accepted.released_by) == (receipt, ADA.id, BEN.id)


def with_role(actor: object) -> object:
    """The same person, who may also release: it is the person that counts, not the role."""
    return dataclasses.replace(actor, roles=("operator", "verifier"))  # type: ignore[type-var]


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize(
    ("prepared", "shown", "reason"),
    [
        ("nothing", material_texts(SALINE, lot="NEVER"), "not_received"),
        ("nothing", material_texts(SALINE, expires_on=START.date() - timedelta(days=1)), "expired"),
        ("nothing", material_texts(SALINE, expires_on=IN_200_DAYS + timedelta(days=9)), "label_differs"),
        ("rejected", material_texts(SALINE, lot="NEW1"), "material_rejected"),
        ("used up", material_texts(SALINE, lot="NEW1"), "used_up"),
        ("recalled", material_texts(SALINE), "lot_recalled"),
        ("nothing", material_texts("XXOTHER"), "wrong_material"),
        ("nothing", bag_texts(), "wrong_material"),
    ],
    ids=[
        "never received",
        "expired",
        "another expiry",
        "rejected",
        "used up",
        "recalled",
        "another one",
        "a bag",
    ],
)
def test_what_may_not_be_used_is_refused_for_its_own_reason_and_asked_for_again(
    bedside: Bedside, prepared: str, shown: list[str], reason: str
) -> None:
    if prepared in ("rejected", "used up"):
        receipt = bedside.receives(material_texts(SALINE, lot="NEW1"), quantity=1)
        if prepared == "used up":
            bedside.releases(receipt)
            bedside.commit(materials.book_out(bedside.unit, CLEO, receipt, 1, "discarded", "Broken"), CLEO.id)
        else:
            judged = materials.Judged(receipt=receipt, certificate="CoA 1", reason="Cloudy")
            bedside.commit(materials.reject(bedside.unit, BEN, judged), BEN.id)
    if prepared == "recalled":
        bedside.commit(materials.recall(bedside.unit, SALINE, "LOT1", "FSN-7", "Particles"))
    at_the_scan(bedside)

    bedside.scan(SCAN, shown)

    assert refused(bedside) == reason
    assert SCAN in bedside.asks()
    assert not bedside.has(ev.MaterialAccepted)


@pytest.mark.requirement("F-091")
def test_a_piece_counts_once_and_the_last_one_ends_the_receipt(bedside: Bedside) -> None:
    receipt = bedside.receives(material_texts(SALINE, lot="ONE", expires_on=SOONER), quantity=1)
    bedside.releases(receipt)
    at_the_scan(bedside)

    bedside.scan(SCAN, material_texts(SALINE, lot="ONE", expires_on=SOONER))

    assert bedside.unit.stock.finished[receipt].state == "used_up"
    assert bedside.refolded().stock == bedside.unit.stock


def test_what_is_not_in_the_record_is_not_decided_and_a_release_looks_at_the_right_certificate(
    bedside: Bedside,
) -> None:
    receipt = bedside.receives(material_texts(SALINE, lot="NEW1"))
    broken = bedside.receives(material_texts(SALINE, lot="NEW2"), visual_check="failed")

    def reason(**changes: str) -> str:
        return str(bedside.refusal(lambda: bedside.releases(**({"receipt": receipt} | changes))).reason)

    assert reason(certificate="CoA 2") == "certificate_differs"
    assert reason(receipt=broken) == "visual_check_failed"
    assert reason(receipt="UNIT-1-M99999") == "not_open"
    assert reason(reason="") == "reason_missing"
    bedside.now += timedelta(days=201)
    assert reason() == "material_expired"


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"texts": material_texts(SALINE, expires_on=START.date() - timedelta(days=1))}, "material_expired"),
        ({"texts": [isbt128.item_text("XX", "SALHSA")]}, "incomplete"),
        ({"texts": [gs1(separator="")], "identifiers": ["]d2"]}, "lot_in_doubt"),
        ({"texts": [f"01{DYE_GTIN}10ABC"], "identifiers": ["]d2"]}, "expiry_needed"),
        ({"quantity": 0}, "not_plausible"),
        ({"visual_check": "looked"}, "not_plausible"),
        ({"certificate_reference": " "}, "not_plausible"),
        ({"supplier": ""}, "not_plausible"),
    ],
)
def test_a_receipt_that_is_not_whole_is_refused_with_what_to_do(
    bedside: Bedside, changes: dict[str, object], reason: str
) -> None:
    asked = dataclasses.replace(material_received(material_texts(SALINE)), **changes)  # type: ignore[arg-type]

    with pytest.raises(CommandRefused) as told:
        materials.receive(bedside.unit, ADA, asked, bedside.now)

    assert told.value.reason == reason
    assert str(told.value).count(".") >= 1


@pytest.mark.requirement("F-091")
def test_while_time_is_not_trusted_nothing_is_received_released_or_used(bedside: Bedside) -> None:
    receipt = bedside.receives(material_texts(SALINE, lot="NEW1"))
    at_the_scan(bedside)
    bedside.unit.clock_trusted = False

    bedside.scan(SCAN, material_texts(SALINE))

    assert refused(bedside) == "time_untrusted"
    for act in (lambda: bedside.releases(receipt), lambda: bedside.receives(material_texts(SALINE, lot="X"))):
        assert bedside.refusal(act).reason == "time_untrusted"


# ── First expired, first out ───────────────────────────────────────────────────────────


@pytest.mark.requirement("F-091")
def test_what_expires_first_is_taken_first_and_only_a_supervisor_books_it_out(bedside: Bedside) -> None:
    first = bedside.receives(material_texts(SALINE, lot="FIRST", expires_on=SOONER), quantity=3)
    bedside.releases(first)
    at_the_scan(bedside)

    bedside.scan(SCAN, material_texts(SALINE))

    assert refused(bedside) == "earlier_expiry"
    assert "Take lot FIRST" in bedside.last(ev.MaterialRefused).words
    book_out = lambda by: materials.book_out(bedside.unit, by, first, 3, "lost", "Not on the shelf")  # noqa: E731
    assert bedside.refusal(lambda: book_out(ADA)).reason == "not_permitted"

    bedside.commit(book_out(CLEO), CLEO.id)
    bedside.scan(SCAN, material_texts(SALINE))

    assert bedside.last(ev.MaterialAccepted).lot == "LOT1"


def test_what_is_quarantined_recalled_or_expired_does_not_stand_before_a_later_lot(bedside: Bedside) -> None:
    bedside.receives(material_texts(SALINE, lot="WAITS", expires_on=SOONER))
    recalled = bedside.receives(material_texts(SALINE, lot="BACK", expires_on=SOONER))
    bedside.releases(recalled)
    bedside.commit(materials.recall(bedside.unit, SALINE, "BACK", "FSN-7", "Particles"))
    over = bedside.receives(material_texts(SALINE, lot="OVER", expires_on=START.date() + timedelta(days=1)))
    bedside.releases(over)
    bedside.now += timedelta(days=3)
    at_the_scan(bedside)

    bedside.scan(SCAN, material_texts(SALINE))

    assert bedside.last(ev.MaterialAccepted).lot == "LOT1"


# ── Standards and alternates ───────────────────────────────────────────────────────────


@pytest.mark.requirement("F-092")
def test_a_qualified_alternate_stands_in_on_record_without_a_deviation(bedside: Bedside) -> None:
    receipt = bedside.receives([gs1()], identifiers=["]d2"])
    bedside.releases(receipt)
    at_the_scan(bedside)

    shows(bedside, gs1())

    accepted = bedside.last(ev.MaterialAccepted)
    assert (accepted.material, accepted.catalogue, accepted.substitutes) == ("dye", DYE_GTIN, DYE)
    assert bedside.deviations() == []


@pytest.mark.requirement("F-092")
def test_a_number_that_the_recipe_does_not_qualify_is_refused(bedside: Bedside) -> None:
    other = "04012345678901"
    receipt = bedside.receives([gs1(gtin=other)], identifiers=["]d2"])
    bedside.releases(receipt)
    at_the_scan(bedside)

    shows(bedside, gs1(gtin=other))

    assert refused(bedside) == "wrong_material"


@pytest.mark.requirement("F-091")
def test_the_symbology_identifier_decides_which_standard_a_label_follows() -> None:
    def read(text: str, identifier: str) -> material_labels.MaterialLabel:
        return material_labels.read_material([text], [identifier], [], TIME_ZONE)

    for identifier in ("]C1", "]d2", "]Q3"):
        assert (read(gs1(), identifier).standard, read(gs1(), identifier).catalogue) == ("GS1", DYE_GTIN)
    assert read(material_texts(SALINE)[0], "]C0").standard == "ISBT 128"
    hibc = read(with_check("+A123ABCDEF1/$$3261231LOT9"), "]C0")
    assert (hibc.standard, hibc.catalogue, hibc.lot) == ("HIBC", "A123ABCDEF", "LOT9")
    assert hibc.expires_at is not None and hibc.expires_at.date() == date(2026, 12, 31)
    with pytest.raises(LabelNotUsable):
        read(gs1(), "]C0")


def with_check(text: str) -> str:
    from appliance.domain.hibc import check_character

    return text + check_character(text)


def test_two_standards_on_one_label_must_tell_one_lot() -> None:
    hibc = with_check("+A123ABCDEF1/$$3260918ABC")
    both = [gs1("ABC", date(2026, 9, 18)), hibc]

    assert material_labels.read_material(both, ["]d2", "]d1"], [], TIME_ZONE).lot == "ABC"

    other = [gs1("XYZ", date(2026, 9, 18)), hibc]
    with pytest.raises(LabelNotUsable, match="contradict"):
        material_labels.read_material(other, ["]d2", "]d1"], [], TIME_ZONE)


@pytest.mark.requirement("F-091")
def test_a_lot_that_may_hold_its_expiry_is_compared_with_the_print(bedside: Bedside) -> None:
    """The separator behind the lot was forgotten by the maker: the reader cannot tell where the lot ends."""
    run_on = gs1(separator="")
    receipt = bedside.receives([run_on], identifiers=["]d2"], lot="ABC")
    bedside.releases(receipt)
    at_the_scan(bedside)

    shows(bedside, run_on)
    assert refused(bedside) == "lot_in_doubt"

    bedside.answer("scan_materials/lot", lot="AXX")
    assert refused(bedside) == "lot_in_doubt"

    bedside.answer("scan_materials/lot", lot="ABC")
    assert (bedside.last(ev.MaterialAccepted).lot, bedside.last(ev.MaterialAccepted).receipt) == (
        "ABC",
        receipt,
    )
    assert "scan_materials/lot" not in bedside.asks()


def test_a_gtin_is_one_number_however_many_zeros_are_written() -> None:
    assert catalogue_key("9501101530003") == catalogue_key("09501101530003") == DYE_GTIN
    assert catalogue_key("xx salhsa") == SALINE


@pytest.mark.requirement("F-092")
def test_a_number_that_stands_for_two_materials_is_found_before_anybody_signs_the_recipe() -> None:
    text = RECIPE_B.replace('catalogue = "XXWASH01"', 'catalogue = "XXWASH01"\nalternates = ["XXSALHSA"]')

    faults = check(parse(text.encode()))

    assert any("is a number of 'diluent' already" in fault for fault in faults), faults


# ── Recall ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-094")
def test_a_recall_of_a_lot_that_an_open_batch_has_taken_holds_it_until_a_supervisor_decides(
    bedside: Bedside,
) -> None:
    bedside.begin_batch()
    bedside.works_through("scan_materials")
    bedside.works_until("receive_bag/identity")

    bedside.commit(materials.recall_by(bedside.unit, CLEO, SALINE, "lot1", "FSN-7", "Particles"), CLEO.id)

    assert bedside.state_of("receive_bag") == "held"
    assert "is recalled (FSN-7: Particles)" in bedside.alarm_words()
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    bedside.restart(CLEO)
    assert bedside.state_of("receive_bag") == "running"


@pytest.mark.requirement("F-094")
def test_a_recall_of_another_lot_leaves_the_batch_alone(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("scan_materials")

    bedside.commit(materials.recall(bedside.unit, SALINE, "LOT2", "FSN-7", "Particles"))

    assert not bedside.has(ev.LotOfBatchRecalled)
    assert bedside.batch.state == "running"


@pytest.mark.requirement("F-094")
def test_a_recall_after_the_seal_voids_what_was_signed_and_is_a_fact_of_the_batch(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_through("seal")
    bedside.seal()
    assert bedside.batch.changed_after_seal is None

    bedside.commit(
        materials.recall(bedside.unit, SALINE, "LOT1", "FSN-7", "Particles", document_blob="d" * 64)
    )

    changed = bedside.batch.changed_after_seal
    assert changed is not None and isinstance(changed.event, ev.LotOfBatchRecalled)
    assert bedside.batch.must_be_signed
    asked = bedside.prompt("seal/performed")
    assert "is recalled (FSN-7: Particles)" in asked.content
    assert ("Recalled", True) in {(fact.label, fact.out_of_limit) for fact in asked.facts}


@pytest.mark.requirement("F-094")
@pytest.mark.parametrize("when", ["released", "hand_over/dose", "hand_over/receiver"])
def test_a_recall_after_the_release_ends_it_and_the_qp_decides_anew(bedside: Bedside, when: str) -> None:
    bedside.is_released()
    if when != "released":
        bedside.works_until(when)

    bedside.commit(materials.recall(bedside.unit, SALINE, "LOT1", "FSN-7", "Particles"))
    bedside.waits(2)
    if bedside.batch.state == "held" or bedside.state_of("hand_over") == "held":
        bedside.restart(CLEO)
    bedside.waits(2)

    assert bedside.batch.disposition is None
    assert not [one for one in bedside.asks() if one.startswith("hand_over")]
    assert not bedside.has(ev.HandedOver)

    bedside.works_until("seal/verified")
    bedside.do_next()
    bedside.seal()
    bedside.qp_decides("released", version=2)
    bedside.works_through("hand_over")
    assert bedside.batch.state == "handed_over"


@pytest.mark.requirement("F-094")
def test_a_recall_ends_by_two_persons_and_one_of_qa_by_a_signed_document_alone(bedside: Bedside) -> None:
    unit = bedside.unit
    dora = dataclasses.replace(BEN, id="p-0004", roles=("qa_reviewer",))
    bedside.commit(materials.recall_by(unit, CLEO, SALINE, "LOT1", "FSN-7", "Particles"), CLEO.id)
    lift = lambda second, lot: materials.lift(unit, CLEO, second, SALINE, lot, "FSN-7", "Not our lot")  # noqa: E731

    assert bedside.refusal(lambda: lift(CLEO, "LOT1")).reason == "same_person"
    assert bedside.refusal(lambda: lift(dora, "LOT2")).reason == "not_open"
    bedside.commit(lift(dora, "LOT1"), CLEO.id)
    assert unit.stock.recall_of(SALINE, "LOT1") is None

    bedside.commit(materials.recall(unit, SALINE, "LOT1", "FSN-7", "Particles", document_blob="d" * 64))
    assert bedside.refusal(lambda: lift(dora, "LOT1")).reason == "signed_recall"
    assert materials.recall(unit, SALINE, "LOT1", "FSN-7", "Particles", document_blob="d" * 64) == []


# ── What the record tells ──────────────────────────────────────────────────────────────


def test_a_batchs_own_record_tells_what_there_was_of_its_materials(bedside: Bedside) -> None:
    bedside.receives(material_texts("XXOTHER", lot="ELSE"))
    bedside.receives(material_texts(SALINE, lot="WAITS"))
    bedside.commit(materials.recall(bedside.unit, DYE, "OLD", "FSN-7", "Particles"))
    bedside.begin_batch()

    known = unit_before(bedside.unit.id, bedside.batch.opened).stock

    assert known.received == bedside.unit.stock.received
    assert {one.lot for one in known.receipts.values()} == {"LOT1", "WAITS"}
    assert known.recall_of(DYE, "OLD") == bedside.unit.stock.recall_of(DYE, "OLD")


def test_only_the_newest_finished_receipts_are_kept(bedside: Bedside) -> None:
    for number in range(FINISHED_KEPT_MAX + 3):
        receipt = bedside.receives(material_texts(SALINE, lot=f"N{number}"), quantity=1)
        bedside.releases(receipt)
        bedside.commit(materials.book_out(bedside.unit, CLEO, receipt, 1, "lost", "Gone"), CLEO.id)

    assert len(bedside.unit.stock.finished) == FINISHED_KEPT_MAX
    assert f"{bedside.unit.id}-M00004" not in bedside.unit.stock.finished


@pytest.mark.requirement("F-091")
def test_a_batch_of_before_takes_materials_by_the_rules_of_then(bedside: Bedside) -> None:
    batch, events = decisions.open_batch(
        bedside.unit, dataclasses.replace(bedside.opening(), rules=3), ADA, bedside.now
    )
    bedside.commit(events, ADA.id, batch)
    bedside.works_until(SCAN)

    bedside.scan(SCAN, material_texts(SALINE, lot="NEVER"))

    assert bedside.last(ev.MaterialAccepted).receipt == ""


def test_of_two_deliveries_of_one_lot_the_label_says_which_it_came_with(bedside: Bedside) -> None:
    later = IN_200_DAYS + timedelta(days=30)
    bedside.releases(bedside.receives(material_texts(SALINE, lot="LOT1", expires_on=later)))
    at_the_scan(bedside)

    bedside.scan(SCAN, material_texts(SALINE, lot="LOT1", expires_on=later))
    assert refused(bedside) == "earlier_expiry"

    bedside.scan(SCAN, material_texts(SALINE, lot="LOT1"))
    assert bedside.last(ev.MaterialAccepted).lot == "LOT1"
