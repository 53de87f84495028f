"""Every label is counted by its serial: printed, applied, void, destroyed, or missing and signed for."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from bedside import ADA, BEN, CLEO, RECIPE_B, Bedside, bag_texts, with_proof

from appliance.domain import events as ev
from appliance.domain import isbt128
from appliance.domain.batch import DeviceSpec, ReadingNow
from appliance.domain.before import unit_before
from appliance.domain.issued_labels import issued, serial_read
from appliance.domain.recipe import parse
from appliance.domain.recipe_check import check

APPLIED, RECONCILE, MISSING = "label/applied", "label/reconcile", "label/missing"
L1, L2, L3 = (f"UNIT-1-00001-L{number}" for number in (1, 2, 3))


def reprints(bedside: Bedside, serial: str, reason: str = "damaged") -> None:
    bedside.answer(f"label/reprint:{serial}", reason=reason)


def states(bedside: Bedside) -> dict[str, str]:
    return {one.short: one.state for one in issued(bedside.batch.runs["label"])}


def applies(bedside: Bedside, serial: str) -> None:
    """Put a label on the bag and show it."""
    bedside.answer(f"label/apply:{serial}")
    bedside.scan(APPLIED, bedside.labels[serial])


def is_reprinted(bedside: Bedside) -> None:
    """L1 was damaged and is void; L2 is on the bag."""
    bedside.begin_batch()
    bedside.works_until(APPLIED)
    reprints(bedside, L1)
    applies(bedside, L2)


def loses_a_label(bedside: Bedside) -> None:
    """L1 is void and nobody finds it."""
    is_reprinted(bedside)
    bedside.answer(MISSING, label=L1)


# ── Reprint ────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-007", "T18")
def test_a_second_print_carries_flag_05_its_own_serial_and_why_it_was_made(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)

    reprints(bedside, L1, "unreadable")

    first, second = bedside.all(ev.LabelRequested)
    labels = [isbt128.label_of(bedside.labels[serial]) for serial in (L1, L2)]
    assert (first.reprint, second.reprint, second.replaces) == (False, True, L1)
    assert (second.reason, second.asked_by) == ("The label cannot be read", ADA.id)
    assert [label.flags for label in labels] == ["89", "05"]  # 60 and the check value; a second print
    assert [serial_read(label) for label in labels] == ["1L001", "1L002"]
    assert labels[0].identity == labels[1].identity


def test_a_third_print_is_told_from_the_second_by_its_serial_alone(bedside: Bedside) -> None:
    is_reprinted(bedside)
    reprints(bedside, L2)

    bedside.answer(f"label/apply:{L3}")
    bedside.scan(APPLIED, bedside.labels[L2])

    assert isbt128.label_of(bedside.labels[L3]).flags == "05"
    assert "This is the voided label L2. Take it off and put on L3." in bedside.last(ev.BagRefused).words
    assert bedside.last(ev.ProductLabelled).label_id == L2


def test_a_reason_that_is_on_no_list_is_asked_for_in_own_words(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)

    reprints(bedside, L1, "other")
    asked, prints = bedside.asks(), len(bedside.all(ev.LabelRequested))
    bedside.answer(f"label/reprint_words:{L1}", words="It fell into the water bath")

    assert (asked, prints) == ([f"label/reprint_words:{L1}"], 1)
    assert bedside.last(ev.LabelRequested).reason == "It fell into the water bath"


@pytest.mark.requirement("F-007")
def test_the_void_label_shown_in_place_of_the_new_one_is_a_stop_that_says_so(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)
    reprints(bedside, L1)
    bedside.answer(f"label/apply:{L2}")

    bedside.scan(APPLIED, bedside.labels[L1])

    refused = bedside.last(ev.BagRefused)
    assert refused.words == "STOP. This is the voided label L1. Take it off and put on L2."
    assert "Do not hand this bag over" in bedside.alarm_words()
    assert not bedside.has(ev.ProductLabelled)
    bedside.scan(APPLIED, bedside.labels[L2])
    assert bedside.last(ev.ProductLabelled).label_id == L2


@pytest.mark.parametrize("shown", ["another donation", "the batch before", "another expiry"])
def test_a_label_of_something_else_holds_the_phase_until_a_supervisor_comes(
    bedside: Bedside, shown: str
) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)
    other, code = "A999926654321", "S9992"
    texts = {
        "another donation": bag_texts(other, code=code),
        "the batch before": [text.replace("0001L001", "0009L001") for text in bedside.labels[L1]],
        "another expiry": [text.replace("&>026061", "&>026062") for text in bedside.labels[L1]],
    }[shown]

    bedside.scan(APPLIED, texts)
    bedside.waits(1)

    refused = bedside.last(ev.BagRefused)
    assert (refused.reason, bedside.state_of("label")) == ("wrong_label", "held")
    assert bedside.refusal(bedside.restart).reason == "supervisor_needed"
    bedside.restart(CLEO)
    bedside.works_through("label")


# ── Reconciliation ─────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-008", "T18")
def test_a_void_label_that_is_shown_is_counted_and_the_sum_opens_the_gate(bedside: Bedside) -> None:
    is_reprinted(bedside)
    first = bedside.asks()[0]

    bedside.scan(f"label/found:{L1}", bedside.labels[L1])
    wrong = bedside.refusal(lambda: bedside.answer(RECONCILE, applied="1", void="0", destroyed="1"))
    bedside.answer(RECONCILE, void="1")
    bedside.works_through("label")

    assert first == f"label/found:{L1}"  # nobody is asked for numbers before each label is seen
    assert "By their serials there are 1 applied, 1 void, 0 destroyed" in str(wrong)
    told = bedside.last(ev.LabelsReconciled)
    assert (told.printed, told.applied, told.void, told.destroyed, told.missing) == (2, 1, 1, 0, 0)
    assert told.labels == {L1: "void", L2: "applied"}


def test_another_label_shown_for_the_void_one_does_not_count_for_it(bedside: Bedside) -> None:
    is_reprinted(bedside)

    bedside.scan(f"label/found:{L1}", bedside.labels[L2])

    assert "This is not label L1" in bedside.last(ev.BagRefused).words
    assert states(bedside) == {"L1": "voided", "L2": "applied"}


@pytest.mark.requirement("F-008")
def test_a_void_label_is_destroyed_before_a_witness_who_is_not_who_voided_it(bedside: Bedside) -> None:
    is_reprinted(bedside)
    key = f"label/destroy:{L1}"

    alone = bedside.refusal(lambda: bedside.answer(key, by=with_proof(ADA, "pin")))
    bedside.answer(key, by=with_proof(BEN, "pin"))
    bedside.answer(RECONCILE, destroyed="1")
    bedside.works_through("label")

    assert alone.reason == "same_person"
    destroyed = bedside.last(ev.LabelDestroyed)
    assert (destroyed.label_id, destroyed.person, destroyed.witness) == (L1, ADA.id, BEN.id)
    assert bedside.last(ev.LabelsReconciled).labels == {L1: "destroyed", L2: "applied"}


@pytest.mark.requirement("F-008", "T18")
def test_with_one_label_missing_no_number_closes_the_step(bedside: Bedside) -> None:
    loses_a_label(bedside)
    bedside.waits(1)

    held, refused, alarm = bedside.state_of("label"), bedside.refusal(bedside.restart), bedside.alarm_words()
    bedside.restart(CLEO)

    assert (held, refused.reason) == ("held", "supervisor_needed")
    assert f"Label L1 ({L1}) of this batch was printed and is not there" in bedside.deviations()[0]
    assert "Search the printer" in alarm
    assert RECONCILE not in bedside.asks()
    refused = bedside.refusal(lambda: bedside.answer(RECONCILE, applied="2"))
    assert not bedside.has(ev.LabelsReconciled)
    assert refused.reason in ("not_open", "out_of_order")


@pytest.mark.requirement("F-008", "T18")
def test_the_gate_opens_by_two_signatures_and_the_loss_stays_on_record(bedside: Bedside) -> None:
    loses_a_label(bedside)
    bedside.waits(1)
    bedside.restart(CLEO)
    bedside.answer(f"label/searched:{L1}", searched="Tray, waste and floor; it went with the torn roll")

    cleo, ben = with_proof(CLEO, "password"), with_proof(BEN, "password")
    not_a_supervisor = bedside.refusal(lambda: bedside.answer(f"label/loss_approved:{L1}", by=ben))
    bedside.answer(f"label/loss_approved:{L1}", by=cleo)
    twice = bedside.refusal(lambda: bedside.answer(f"label/loss_verified:{L1}", by=cleo))
    bedside.answer(f"label/loss_verified:{L1}", by=ben)
    bedside.answer(RECONCILE)
    bedside.works_through("label")

    assert (not_a_supervisor.reason, twice.reason) == ("not_permitted", "same_person")
    accepted = bedside.last(ev.LabelLossAccepted)
    assert (accepted.first_person, accepted.second_person) == (CLEO.id, BEN.id)
    assert "torn roll" in accepted.reason
    told = bedside.last(ev.LabelsReconciled)
    assert (told.printed, told.applied, told.missing) == (2, 1, 1)
    assert told.labels == {L1: "missing", L2: "applied"}
    assert bedside.unit.missing_labels == {L1: bedside.batch.id}


def test_a_label_that_is_found_after_all_is_shown_and_no_loss_is_signed(bedside: Bedside) -> None:
    loses_a_label(bedside)
    bedside.waits(1)
    bedside.restart(CLEO)

    bedside.scan(f"label/found:{L1}", bedside.labels[L1])
    bedside.answer(RECONCILE, void="1")
    bedside.works_through("label")

    assert bedside.has(ev.LabelMissing)  # that it was missing stays on record
    assert bedside.last(ev.LabelsReconciled).labels == {L1: "void", L2: "applied"}
    assert bedside.unit.missing_labels == {}


def test_an_applied_label_that_is_lost_is_void_and_the_bag_gets_another(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(RECONCILE)

    bedside.answer(MISSING, label=L1)
    bedside.waits(1)
    bedside.restart(CLEO)

    assert f"label/apply:{L2}" in bedside.asks()
    assert states(bedside) == {"L1": "missing", "L2": "printed"}


@pytest.mark.requirement("F-008")
def test_the_next_line_clearance_reminds_of_a_label_that_was_never_found(bedside: Bedside) -> None:
    bedside.unit.missing_labels["UNIT-1-00000-L2"] = "UNIT-1-00000"

    bedside.begin_batch()

    shown = {fact.label: fact.value for fact in bedside.prompt("clear_line/clear").facts}
    assert "UNIT-1-00000-L2 of batch UNIT-1-00000 was never found" in shown["Missing label"]
    again = unit_before("UNIT-1", bedside.batch.opened)
    assert again.missing_labels == {"UNIT-1-00000-L2": "UNIT-1-00000"}


@pytest.mark.requirement("F-007")
def test_each_copy_that_the_recipe_asks_for_has_its_serial_and_its_scan(bedside: Bedside) -> None:
    recipe = RECIPE_B.replace('expiry = { value = "2 h"', 'labels = "2 count"\nexpiry = { value = "2 h"')
    two = Bedside(recipe)
    two.begin_batch()
    two.works_until(APPLIED)

    two.scan(APPLIED, two.labels[L1])
    two.answer(f"label/apply:{L2}")
    two.scan(APPLIED, two.labels[L1])
    words = two.last(ev.BagRefused).words
    two.scan(APPLIED, two.labels[L2])
    two.answer(RECONCILE, applied="2")
    two.works_through("label")

    assert "This is label L1. Show label L2." in words
    assert isbt128.label_of(two.labels[L2]).flags == "89"  # a second copy is no second print
    assert two.last(ev.ProductLabelled).label_id == L1
    assert two.last(ev.LabelsReconciled).applied == 2


@pytest.mark.requirement("F-007", "F-008")
def test_a_void_label_shown_at_the_bed_stops_the_hand_over(bedside: Bedside) -> None:
    is_reprinted(bedside)
    bedside.scan(f"label/found:{L1}", bedside.labels[L1])
    bedside.answer(RECONCILE, void="1")
    bedside.works_through("seal")
    bedside.seal()
    bedside.qp_decides("released")
    bedside.works_until("hand_over/dose")

    bedside.scan("hand_over/dose", bedside.labels[L1])
    bedside.waits(1)

    words = bedside.last(ev.BagRefused).words
    assert "This is label L1. It is void. The dose carries label L2. Do not give it." in words
    assert bedside.state_of("hand_over") == "held"
    bedside.restart(CLEO)
    bedside.works_through("hand_over")
    assert bedside.last(ev.HandedOver).dose_label == L2


# ── The printer ────────────────────────────────────────────────────────────────────────


class Printer:
    """What the printer of a bedside says, moved by hand."""

    def __init__(self, bedside: Bedside) -> None:
        bedside.unit.devices["printer-1"] = DeviceSpec("printer-1", "printer", "Label printer")
        bedside.unit.qualified["printer-1"] = True
        self.bedside, self.state, self.done, self.waiting = bedside, "ready", 0, 0
        self.outcome: dict[str, str] | None = {"printed": "1", "state": "ready"}  # none: nobody answers
        self.fault, self.orders = "", list[ev.DeviceOrdered]()
        obeys, says = bedside.world.obeys, bedside.world.says

        def obey(order: ev.DeviceOrdered) -> ev.Event | None:
            return self.obeys(order) if order.device == "printer-1" else obeys(order)

        def say(unit: object, now: object) -> None:
            says(unit, now)  # type: ignore[arg-type]
            self.says()

        bedside.world.obeys, bedside.world.says = obey, say  # type: ignore[method-assign]

    def obeys(self, order: ev.DeviceOrdered) -> ev.Event | None:
        self.orders.append(order)
        told = {"phase": order.phase, "order_id": order.order_id, "device": order.device}
        if self.outcome is None:
            return None
        if self.fault:
            return ev.DeviceRefusedOrder(**told, fault=self.fault, words="No labels.", result=self.outcome)
        return ev.DeviceReported(**told, result=self.outcome)

    def says(self) -> None:
        bedside = self.bedside
        values = {"state": self.state, "labels_done": str(self.done), "labels_waiting": str(self.waiting)}
        for name, value in values.items():
            jobs = [order.parameters["job"] for order in self.orders if order.name == "print"]
            detail = f"of 1, job {jobs[-1]}" if jobs else ""
            bedside.unit.readings["printer-1", name] = ReadingNow(
                value, "", "good", detail, bedside.now.isoformat(), bedside.now
            )


def goes_on(bedside: Bedside) -> None:
    bedside.answer(next(one for one in bedside.asks() if "/go_on:" in one))


def saw(bedside: Bedside, what: str) -> None:
    bedside.answer(next(one for one in bedside.asks() if "/came_out:" in one), came_out=what)


def with_printer(**changes: object) -> tuple[Bedside, Printer]:
    bedside = Bedside()
    printer = Printer(bedside)
    for name, value in changes.items():
        setattr(printer, name, value)
    bedside.begin_batch()
    bedside.works_until("label")
    bedside.waits(2)
    return bedside, printer


def test_one_order_with_exactly_the_drawn_bytes_goes_to_the_printer_which_says_that_it_is_out() -> None:
    bedside, printer = with_printer()

    drawn, printed = bedside.last(ev.LabelDrawn), bedside.last(ev.LabelPrinted)
    assert [order.parameters for order in printer.orders] == [
        {"job": L1, "zpl_file": drawn.zpl_file, "copies": "1", "sha256": drawn.zpl_blob}
    ]
    assert (printed.printer, printed.order_id) == ("printer-1", printer.orders[0].order_id)
    assert printed.said_by == "printer"


def test_without_a_printer_the_picture_is_the_label_and_the_record_says_so(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(APPLIED)

    assert (bedside.last(ev.LabelPrinted).printer, bedside.last(ev.LabelPrinted).said_by) == ("", "")


def test_a_printer_that_is_not_ready_is_given_no_order_and_the_screen_says_what_to_do() -> None:
    bedside, printer = with_printer(state="paper_out")

    asked, orders = bedside.prompt(bedside.asks()[0]), list(printer.orders)
    printer.state = "ready"
    bedside.waits(1)

    assert (asked.kind, orders) == ("wait", [])
    assert "Load a roll and close the printer" in asked.instruction
    assert len(printer.orders) == 1
    assert bedside.has(ev.LabelPrinted)


def test_another_printer_than_the_qualified_one_is_given_no_label_and_the_screen_says_why() -> None:
    bedside, printer = with_printer(state="paper_out")
    bedside.unit.qualified["printer-1"] = False
    printer.state = "ready"
    bedside.waits(1)

    assert printer.orders == []
    assert "not the qualified printer" in bedside.prompt(bedside.asks()[0]).instruction


def test_with_paper_out_in_mid_job_the_printer_finishes_its_label_and_no_second_one_is_ordered() -> None:
    bedside, printer = with_printer(state="ready", fault="paper_out", outcome={"printed": "0"})
    printer.state, printer.waiting = "paper_out", 1
    bedside.waits(1)
    asked = bedside.prompt(bedside.asks()[0])

    goes_on(bedside)
    bedside.waits(2)
    before = bedside.has(ev.LabelPrinted)
    printer.state, printer.waiting, printer.done = "ready", 0, 1
    bedside.waits(1)

    assert "Load a roll and close the printer" in asked.instruction
    assert not before
    assert len(printer.orders) == 1
    assert [one.label_id for one in bedside.all(ev.LabelPrinted)] == [L1]
    assert bedside.last(ev.LabelPrinted).said_by == "printer"


def test_a_label_that_was_out_before_the_paper_ended_is_not_printed_twice() -> None:
    bedside, printer = with_printer(fault="paper_out", outcome={"printed": "1"})

    assert len(printer.orders) == 1
    assert f"label/apply:{L1}" in bedside.asks()


def test_a_job_that_the_printer_forgot_is_sent_again_only_when_a_person_saw_nothing_come_out() -> None:
    bedside, printer = with_printer(fault="paper_out", outcome={"printed": "0"})
    goes_on(bedside)
    bedside.waits(2)
    orders, printer.fault, printer.outcome = len(printer.orders), "", {"printed": "1"}

    saw(bedside, "nothing")
    bedside.waits(1)

    assert orders == 1
    assert [order.parameters["job"] for order in printer.orders] == [L1, f"{L1}-2"]
    assert [one.label_id for one in bedside.all(ev.LabelPrinted)] == [L1]


def test_half_a_label_is_counted_as_printed_and_void_and_the_next_one_says_second_print() -> None:
    bedside, printer = with_printer(fault="head_open", outcome={"printed": "0"})
    goes_on(bedside)
    bedside.waits(2)
    printer.fault, printer.outcome = "", {"printed": "1"}

    saw(bedside, "damaged")
    bedside.waits(1)

    assert states(bedside) == {"L1": "voided", "L2": "printed"}
    assert bedside.last(ev.LabelRequested).reprint
    assert bedside.last(ev.LabelPrinted).said_by == "printer"


@pytest.mark.parametrize(("said", "jobs"), [("whole", [L1]), ("nothing", [L1, f"{L1}-2"])])
def test_after_a_crash_between_order_and_outcome_only_a_person_orders_a_second_label(
    said: str, jobs: list[str]
) -> None:
    bedside, printer = with_printer(outcome=None)
    bedside.crash()
    printer.outcome = {"printed": "1"}
    bedside.waits(1)
    held = bedside.state_of("label")

    bedside.restart()
    bedside.waits(2)
    asked, orders = bedside.asks(), len(printer.orders)
    saw(bedside, said)
    bedside.waits(2)

    assert (held, orders) == ("held", 1)
    assert asked[0].startswith("label/came_out:")
    assert [order.parameters["job"] for order in printer.orders] == jobs
    printed = bedside.all(ev.LabelPrinted)
    assert [one.label_id for one in printed] == [L1]
    assert printed[0].said_by == (ADA.id if said == "whole" else "printer")


def test_a_label_that_came_in_by_half_is_forgotten_by_the_printer_and_then_a_person_is_asked() -> None:
    bedside, printer = with_printer(outcome=None)
    bedside.crash()
    printer.outcome, printer.state, printer.waiting = {"printed": "1"}, "printing", 1
    bedside.waits(1)
    bedside.restart()
    bedside.waits(2)
    kinds = [bedside.prompt(one).kind for one in bedside.asks()]
    cancel = bedside.asks()[1]
    assert "/cancel1:" in cancel

    printer.state, printer.waiting = "ready", 0  # as the printer does when it is told to forget
    bedside.answer(cancel)
    bedside.waits(1)

    assert kinds == ["wait", "confirm"]
    assert [order.name for order in printer.orders] == ["print", "cancel"]
    assert bedside.asks()[0].startswith("label/came_out:")


def test_more_labels_than_were_ordered_hold_the_step_until_they_are_gathered() -> None:
    bedside, _ = with_printer(fault="surplus", outcome={"printed": "1", "counted": "2"})
    held, refused = bedside.state_of("label"), bedside.refusal(bedside.restart)

    bedside.restart(CLEO)

    assert (held, refused.reason) == ("held", "supervisor_needed")
    assert "No labels." in bedside.deviations()[0]
    assert [one.label_id for one in bedside.all(ev.LabelPrinted)] == [L1]


def test_an_order_that_the_printer_never_took_is_sent_again_when_a_person_says_go_on() -> None:
    bedside, printer = with_printer(fault="refused", outcome={})
    orders, printer.fault, printer.outcome = len(printer.orders), "", {"printed": "1"}

    goes_on(bedside)
    bedside.waits(1)

    assert orders == 1
    assert len(printer.orders) == 2
    assert bedside.has(ev.LabelPrinted)


def test_a_record_of_before_is_decided_by_the_label_phase_of_then(bedside: Bedside) -> None:
    opening = bedside.opening
    bedside.opening = lambda **order: dataclasses.replace(opening(**order), rules=3)  # type: ignore[method-assign]
    bedside.prints = lambda request: ev.LabelPrinted(
        phase=request.phase,
        label_id=request.label_id,
        picture="",
        texts=[request.fields[name] for name in ("din_text", "product_text", "compound_text")],
    )
    bedside.begin_batch()
    bedside.works_until("label")
    bedside.waits(timedelta(seconds=5).total_seconds())

    asked = bedside.last(ev.LabelRequested)
    assert "&,2" not in asked.fields["compound_text"]
    assert "serial" not in asked.identity
    bedside.labels[L1] = list(bedside.last(ev.LabelPrinted).texts)
    bedside.works_through("label")
    assert bedside.last(ev.LabelsReconciled).labels == {}


@pytest.mark.requirement("T08")
def test_a_recipe_cannot_leave_the_label_out(bedside: Bedside) -> None:
    text = RECIPE_B.replace(
        "[phase.label.instruction]", '[phase.label.text]\nlabel = "immediate"\n[phase.label.instruction]'
    )

    faults = check(parse(text.encode()))

    assert [fault for fault in faults if "a product without a label is not made here" in fault]
    assert check(parse(RECIPE_B.encode())) == []


# ── The print head's test ──────────────────────────────────────────────────────────────


TESTED_DAILY = RECIPE_B.replace('expiry = { value = "2 h"', 'print_test = "24 h"\nexpiry = { value = "2 h"')


def head_was_tested(bedside: Bedside, *, hours_ago: float, verdict: str = "pass") -> None:
    head = ev.PrintHeadTested(
        device="printer-1",
        job="PT-1",
        verdict=verdict,
        words="A white line at 31.2 mm." if verdict == "fail" else "No dead dot.",
        picture="",
        dead_mm=[],
        narrowest_mm="0.04",
        person=ADA.id,
        tested_at=(bedside.now - timedelta(hours=hours_ago)).isoformat(),
    )
    bedside.commit([head], ADA.id)


@pytest.mark.requirement("F-007", "T18")
@pytest.mark.parametrize(
    ("hours_ago", "verdict", "said"),
    [
        (None, "", "was not tested within 24 h"),
        (25, "pass", "was not tested within 24 h"),
        (1, "fail", "was not passed: A white line at 31.2 mm."),
        (23, "pass", ""),
    ],
)
def test_a_batch_that_prints_begins_only_with_a_print_head_that_was_seen_to_be_whole(
    hours_ago: float | None, verdict: str, said: str
) -> None:
    bedside = Bedside(TESTED_DAILY)
    Printer(bedside)
    if hours_ago is not None:
        head_was_tested(bedside, hours_ago=hours_ago, verdict=verdict)

    if not said:
        bedside.begin_batch()
        told = bedside.batch.opened.unit_before["print_head_test"]
        assert told == f"pass {(bedside.now - timedelta(hours=23)).isoformat()}"
        return
    refused = bedside.refusal(bedside.begin_batch)
    assert refused.reason == "print_head_not_tested"
    assert said in str(refused) and "show it to the camera" in str(refused)


def test_a_unit_without_a_printer_is_asked_for_no_test() -> None:
    bedside = Bedside(TESTED_DAILY)

    bedside.begin_batch()

    assert bedside.batch.state == "running"
