"""A container in process and a sample tube are labelled by serial too; neither is taken for the product."""

from __future__ import annotations

import dataclasses

import pytest
from bedside import RECIPE_B, TEMPLATES, Bedside
from test_issued_labels import Printer

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.errors import CommandRefused
from appliance.domain.issued_labels import serial_read
from appliance.domain.recipe import parse
from appliance.domain.recipe_check import check

PHASES = """
[phase.label_container]
title = "Label the container"
type = "print_in_process_label"
operation = "dilute"
after = ["thaw"]
verify = ["reconcile"]
[phase.label_container.instruction]
apply = "Put the label on the empty container, before the product moves."
reconcile = "Count the labels."
[phase.label_container.text]
stage = "Thawed and diluted"
[phase.label_tube]
title = "Label the tube"
type = "print_sample_label"
operation = "test"
after = ["take_sample"]
verify = ["reconcile"]
[phase.label_tube.instruction]
apply = "Put the label on the sample tube."
reconcile = "Count the labels."
[phase.label_tube.text]
test = "Cell count, viability"
"""


def with_labels() -> str:
    """Recipe B with both labels: the container's before the product moves, the tube's after the sample."""
    text = RECIPE_B.replace(
        'operation = "dilute"\nafter = ["thaw"]', 'operation = "dilute"\nafter = ["label_container"]'
    )
    text = text.replace(
        'after = ["label", "safety_tests"]', 'after = ["label", "safety_tests", "label_tube"]'
    )
    return text + PHASES


@pytest.fixture
def labelled(monkeypatch: pytest.MonkeyPatch) -> Bedside:
    others = {name: {"version": "1", "hash": "02", "template_blob": ""} for name in ("in_process", "sample")}
    for name, one in others.items():
        monkeypatch.setitem(TEMPLATES, name, one)
    bedside = Bedside(with_labels())
    bedside.begin_batch()
    return bedside


def test_recipe_b_with_both_labels_has_no_fault() -> None:
    assert check(parse(with_labels().encode())) == []


def test_a_tube_cannot_be_labelled_before_a_sample_is_taken() -> None:
    text = with_labels().replace(
        'after = ["take_sample"]\nverify = ["reconcile"]', 'after = ["wash"]\nverify = ["reconcile"]'
    )

    assert any(
        "label_tube: must come after a phase that takes a sample" in fault
        for fault in check(parse(text.encode()))
    )


@pytest.mark.requirement("F-002", "F-007", "T18")
def test_a_container_is_labelled_scanned_and_reconciled_before_the_product_moves_into_it(
    labelled: Bedside,
) -> None:
    labelled.works_until("label_container/applied")
    asked = labelled.last(ev.LabelRequested)
    printed = isbt128.label_of(labelled.labels[asked.label_id])

    assert labelled.state_of("dilute") == "idle"
    assert (asked.template, asked.template_version, asked.template_hash) == ("in_process", "1", "02")
    assert (printed.coi, printed.din) == (labelled.batch.order.coi, labelled.batch.order.din)
    assert asked.fields["stage_readable"] == "Thawed and diluted"

    labelled.scan("label_container/applied", labelled.labels[asked.label_id])
    labelled.works_through("label_container")
    assert labelled.last(ev.LabelVerified).label_id == asked.label_id
    assert not labelled.all(ev.ProductLabelled)


@pytest.mark.requirement("F-002", "T18")
def test_a_tube_carries_its_flag_and_its_sample_also_in_a_second_print(labelled: Bedside) -> None:
    labelled.works_until("label_tube/applied")
    first = labelled.last(ev.LabelRequested)

    labelled.answer(f"label_tube/reprint:{first.label_id}", reason="damaged")

    second = labelled.last(ev.LabelRequested)
    flags = [isbt128.label_of(labelled.labels[one.label_id]).flags for one in (first, second)]
    assert flags == ["07", "07"]
    assert second.fields["sample_readable"] == labelled.last(ev.SampleTaken).sample_id
    assert serial_read(isbt128.label_of(labelled.labels[second.label_id])) != serial_read(
        isbt128.label_of(labelled.labels[first.label_id])
    )


@pytest.mark.requirement("F-003", "T18")
def test_the_product_is_named_by_its_own_label_alone(labelled: Bedside) -> None:
    labelled.works_through("label_tube")
    labelled.works_through("label")

    named = labelled.all(ev.ProductLabelled)
    assert len(named) == 1
    assert {one.template for one in labelled.all(ev.LabelRequested)} == {"dose", "in_process", "sample"}
    request = next(one for one in labelled.all(ev.LabelRequested) if one.label_id == named[0].label_id)
    assert request.template == "dose"


@pytest.mark.requirement("F-007")
def test_no_batch_begins_when_one_of_its_labels_has_no_approved_template() -> None:
    bedside = Bedside(with_labels())

    with pytest.raises(CommandRefused, match="label template in_process is not approved"):
        bedside.begin_batch()


@pytest.mark.requirement("F-007")
def test_an_order_names_the_dots_of_a_print_head_that_is_not_the_usual_one(bedside: Bedside) -> None:
    printer, drawn = Printer(bedside), bedside.prints
    bedside.prints = lambda request: dataclasses.replace(drawn(request), dpi="203")  # type: ignore[call-arg]

    bedside.begin_batch()
    bedside.works_until("label/apply:UNIT-1-00001-L1")

    assert [order.parameters["dpi"] for order in printer.orders if order.name == "print"] == ["203"]
