"""From the courier to the unit and on to the ward: who holds what, under which seal, and how warm."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from bedside import (
    ADA,
    CLEO,
    DIN,
    ORDER,
    OTHER_DIN,
    RECIPE_B,
    START,
    Bedside,
    bag_texts,
    coi_texts,
    order_texts,
    transport_csv,
    with_proof,
)

from appliance.domain import corrections, custody, isbt128, previous, transport_log
from appliance.domain import events as ev
from appliance.domain.exchange_file import ExchangeFileUnusable

CUSTODY, LOG, BAG = "receive_bag/custody", "receive_bag/transport_log", "receive_bag/bag"
BAG_KEY = f"{DIN}|S9991|00"
COLD = ("-183.0",) * 6
WRISTBAND, DOSE, SHEET = "hand_over/wristband", "hand_over/dose", "hand_over/order"


def takes_the_shipper(bedside: Bedside, **values: str) -> None:
    bedside.begin_batch()
    bedside.works_until(CUSTODY)
    bedside.answer(CUSTODY, ADA, **values)
    bedside.waits(1)


def with_log(bedside: Bedside, *temperatures: str, step_min: float = 10, **said: str) -> None:
    """The shipper comes with a log of these readings."""
    takes_the_shipper(bedside)
    bedside.imports_the_log(LOG, transport_csv(bedside.now, temperatures, step_min=step_min, **said))
    bedside.waits(1)


# ── The courier gives, the operator receives ───────────────────────────────────────────


@pytest.mark.requirement("F-006", "T31")
def test_the_shipper_passes_from_the_courier_to_the_operator_before_it_is_opened(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(CUSTODY)
    before = custody.holder(bedside.batch, BAG_KEY)

    bedside.works_until("receive_bag/retrieve")

    taken, moved = bedside.last(ev.CustodyTransferred), bedside.last(ev.TransportRecorded)
    assert before == "courier"
    assert custody.holder(bedside.batch, BAG_KEY) == "unit"
    assert (taken.giver, taken.receiver, taken.place) == ("Night courier 7", ADA.id, "Ward")
    assert (taken.coi, taken.kind, taken.key) == (ORDER["coi"], "bag", BAG_KEY)
    assert (taken.seal_number, taken.seal, taken.temperature_c) == ("SEAL-0042", "intact", "-182.5")
    assert taken.packing == "Dry shipper, bag in its cassette"
    assert (moved.shipper, moved.logger, moved.verdict) == ("DRY-0042", "LOG-17", "pass")
    assert (moved.lowest_c, moved.highest_c, moved.range_c) == ("-183", "-183", ["-200", "-150"])
    assert (moved.sent_from, moved.sent_to) == ("Apheresis centre", "Ward 7")
    assert bedside.deviations() == []


@pytest.mark.requirement("F-006")
def test_a_broken_seal_stops_the_receipt_until_a_supervisor_has_looked(bedside: Bedside) -> None:
    takes_the_shipper(bedside, seal="broken")

    assert bedside.state_of("receive_bag") == "held"
    assert bedside.deviations() == ["The seal SEAL-0042 of the shipper is broken or missing."]
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    bedside.restart(CLEO)
    bedside.waits(1)
    assert bedside.asks() == [LOG], "and it is said once"
    assert bedside.last(ev.CustodyTransferred).seal == "broken"


@pytest.mark.requirement("F-006", "T31")
def test_another_seal_than_the_sender_closed_it_with_stops_the_receipt(bedside: Bedside) -> None:
    with_log(bedside, *COLD, seal="SEAL-0041")

    assert bedside.state_of("receive_bag") == "held"
    assert "closed the shipper with seal SEAL-0041. Here is seal SEAL-0042" in bedside.alarm_words()


@pytest.mark.requirement("F-006", "T31")
@pytest.mark.parametrize("degrees", ["-149.9", "-200.1"])
def test_a_temperature_on_arrival_outside_the_range_holds_the_receipt(bedside: Bedside, degrees: str) -> None:
    takes_the_shipper(bedside, arrival_temperature=degrees)

    assert bedside.state_of("receive_bag") == "held"
    assert bedside.deviations()[0].startswith(f"Temperature on arrival: {degrees} degC, limit ")
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"


@pytest.mark.requirement("T31")
def test_an_excursion_of_the_transport_is_a_deviation_with_its_minutes(bedside: Bedside) -> None:
    with_log(bedside, "-183", "-183", "-140.5", "-149", "-183", "-183")

    moved = bedside.last(ev.TransportRecorded)
    assert (moved.outside_min, moved.verdict) == ("30", "excursion")
    assert [(one["minutes"], one["furthest_c"]) for one in moved.excursions] == [("30", "-140.5")]
    assert bedside.state_of("receive_bag") == "held"
    assert bedside.deviations() == ["Transport outside its range: 30 min, limit <= 15 min."]
    bedside.restart(CLEO)
    bedside.works_until("receive_bag/identity")
    assert bedside.has(ev.BagAccepted), "QA and QP see the deviation; the bag is not lost to a number"


@pytest.mark.requirement("T31")
@pytest.mark.parametrize(("step_min", "verdict", "opened"), [(30, "pass", 0), (90, "gap", 1)])
def test_hours_that_nobody_measured_are_named(
    bedside: Bedside, step_min: int, verdict: str, opened: int
) -> None:
    with_log(bedside, *COLD, step_min=step_min)

    moved = bedside.last(ev.TransportRecorded)
    assert moved.verdict == verdict
    assert [one["minutes"] for one in moved.gaps] == [str(step_min)] * 5
    assert len(bedside.deviations()) == opened
    assert "Transport without a reading" in bedside.alarm_words()


@pytest.mark.requirement("T31")
def test_a_log_that_ended_long_before_the_arrival_leaves_a_gap(bedside: Bedside) -> None:
    takes_the_shipper(bedside)

    bedside.imports_the_log(LOG, transport_csv(bedside.now - timedelta(hours=2), COLD))

    moved = bedside.last(ev.TransportRecorded)
    assert [one["minutes"] for one in moved.gaps] == ["120"]
    assert moved.verdict == "gap"


@pytest.mark.requirement("T31")
def test_without_a_log_a_supervisor_decides_and_the_record_says_so(bedside: Bedside) -> None:
    takes_the_shipper(bedside, log="none")

    assert bedside.deviations() == ["No temperature log came with the shipper."]
    bedside.restart(CLEO)
    bedside.waits(1)
    assert bedside.asks() == ["receive_bag/retrieve"]


@pytest.mark.requirement("T31")
def test_a_log_of_another_transport_or_no_log_at_all_is_asked_for_again(bedside: Bedside) -> None:
    takes_the_shipper(bedside)

    for data in (b"", b"%PDF-1.7", transport_csv(bedside.now, COLD)[:-4]):
        bedside.imports_the_log(LOG, data)
        assert bedside.asks() == [LOG]
    bedside.imports_the_log(LOG, transport_csv(bedside.now + timedelta(hours=1), COLD))
    assert "which is not yet" in bedside.prompt(LOG).facts[0].value
    assert not bedside.has(ev.TransportRecorded)
    assert len(bedside.all(ev.ExchangeFileRefused)) == 4


@pytest.mark.requirement("T31")
def test_one_log_speaks_of_one_transport(bedside: Bedside) -> None:
    takes_the_shipper(bedside)
    log = transport_csv(bedside.now, COLD)
    bedside.imports_the_log(LOG, log)
    bedside.abort_batch()
    bedside.begin_batch(id="ORD-2", din="A999926123457")
    bedside.works_until(LOG)

    bedside.imports_the_log(LOG, log)

    assert bedside.last(ev.ExchangeFileRefused).reason == "used"


@pytest.mark.requirement("F-006", "R-09")
def test_a_corrected_temperature_is_held_against_its_limit_anew(bedside: Bedside) -> None:
    takes_the_shipper(bedside)
    body = {"prompt": CUSTODY, "values": {"arrival_temperature": "-18.2"}, "reason": "Misread the display"}
    asked = corrections.asked_of(body)
    signer = with_proof(ADA, "password")

    bedside.commit(corrections.correct(bedside.unit, asked, signer, bedside.now), ADA.id)
    bedside.waits(1)

    taken = bedside.all(ev.CustodyTransferred)
    assert [one.temperature_c for one in taken] == ["-182.5", "-18.2"]
    assert "corrected from -182.5 to -18.2 degC" in bedside.deviations()[0]


# ── What is not in the unit's hands ────────────────────────────────────────────────────


@pytest.mark.requirement("F-006")
def test_what_the_courier_holds_is_not_scanned_and_not_worked_on(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(CUSTODY)

    refused = bedside.refusal(lambda: bedside.scan(BAG, bag_texts()))

    assert refused.reason == "not_open"
    assert not custody.may_work(bedside.batch, bedside.batch.runs["thaw"])
    assert custody.may_pass(bedside.batch, BAG_KEY, "unit")
    assert not custody.may_pass(bedside.batch, BAG_KEY, "ward")


@pytest.mark.requirement("F-006")
def test_a_recipe_that_asks_for_no_custody_begins_with_the_bag_as_it_always_did() -> None:
    lines = [
        line
        for line in RECIPE_B.splitlines()
        if not line.startswith(
            ("custody =", "transport_log =", "arrival_", "transport_", "dose_temperature_")
        )
    ]
    bedside = Bedside("\n".join(line for line in lines if line != "[phase.hand_over.limit]"))
    bedside.is_released()

    bedside.works_through("hand_over")

    assert not bedside.has(ev.CustodyTransferred)
    assert bedside.batch.state == "handed_over"


# ── To the ward ────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-006")
def test_the_dose_passes_to_the_ward_with_two_signatures(bedside: Bedside) -> None:
    bedside.is_released()

    bedside.works_through("hand_over")

    given = bedside.last(ev.CustodyTransferred)
    signed = bedside.last(ev.HandOverSigned)
    assert (given.kind, given.key, given.holder) == ("dose", signed.dose_label, "ward")
    assert (given.giver, given.receiver) == (signed.giver, signed.receiver)
    assert (given.place, given.seal, given.temperature_c) == ("Ward 7, bed 3", "intact", "21.5")
    assert custody.holder(bedside.batch, signed.dose_label) == "ward"
    assert custody.NEXT["ward"] == ()
    content = [one.content for one in bedside.all(ev.SignatureGiven) if one.phase == "hand_over"]
    assert all('"place":"Ward 7, bed 3"' in one for one in content), "both sign for it"


@pytest.mark.requirement("F-006")
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"dose_temperature": "31.0"}, "Temperature of the dose: 31 degC, limit <= 26 degC."),
        ({"dose_temperature": "4.0"}, "Temperature of the dose: 4 degC, limit >= 18 degC."),
        ({"box_seal": "broken"}, "The seal of the transport box is broken."),
    ],
)
def test_a_dose_too_warm_too_cold_or_under_a_broken_seal_is_not_given(
    bedside: Bedside, values: dict[str, str], words: str
) -> None:
    bedside.is_released()
    bedside.works_until("hand_over/custody")

    bedside.answer("hand_over/custody", ADA, **values)
    bedside.waits(1)

    assert bedside.state_of("hand_over") == "held"
    assert bedside.deviations() == [words]
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    assert not bedside.has(ev.HandOverSigned)


# ── The previous patient ───────────────────────────────────────────────────────────────


def after_another_patient(bedside: Bedside) -> str:
    """A batch went all its way; the next patient's waits for the bag. Returns the first one's id."""
    bedside.is_released()
    first = bedside.batch.id
    bedside.works_through("hand_over")
    bedside.has_consent(consent="CONSENT-2", coi="CHA999926000002", patient="DEMO2222")
    bedside.begin_batch(
        id="ORD-2", din=OTHER_DIN, coi="CHA999926000002", patient="DEMO2222", consent="CONSENT-2"
    )
    bedside.works_until(BAG)
    return first


@pytest.mark.requirement("F-003", "F-010")
@pytest.mark.parametrize("what", ["bag", "dose", "tube of the sample"])
def test_the_label_of_the_previous_patient_is_a_hard_stop_that_names_the_batch(
    bedside: Bedside, what: str
) -> None:
    first = after_another_patient(bedside)
    dose = list(bedside.labels.values())[-1]
    shown = {"bag": bag_texts(), "dose": dose, "tube of the sample": [isbt128.din_text(DIN, "07")]}[what]

    bedside.scan(BAG, shown)

    refused = bedside.last(ev.BagRefused)
    assert (refused.reason, refused.belongs_to) == ("previous_patient", first)
    assert f"This label belongs to batch {first} of before." in bedside.alarm_words()
    assert bedside.state_of("receive_bag") == "held"
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    bedside.restart(CLEO)
    bedside.waits(1)
    assert bedside.asks() == [BAG], "a supervisor may let it be asked again, and nothing else"
    bedside.scan(BAG, bag_texts(OTHER_DIN))
    assert bedside.last(ev.BagAccepted).din == OTHER_DIN


@pytest.mark.requirement("F-009", "F-010")
def test_the_previous_patients_dose_is_not_given_to_the_next(bedside: Bedside) -> None:
    first = after_another_patient(bedside)
    others = list(bedside.labels.values())[-1]
    bedside.scan(BAG, bag_texts(OTHER_DIN))
    bedside.works_through("seal")
    bedside.seal()
    bedside.qp_decides("released")
    bedside.works_until(DOSE)

    bedside.scan(DOSE, others)

    refused = bedside.last(ev.BagRefused)
    assert (refused.reason, refused.belongs_to) == ("previous_patient", first)
    assert bedside.state_of("hand_over") == "held"
    assert previous.belongs_to(bedside.unit, bag_texts(OTHER_DIN)) == "", "and the own bag is no stranger"


@pytest.mark.requirement("F-010")
def test_no_bag_is_scanned_before_the_line_is_clear_whatever_the_recipe_says() -> None:
    recipe = RECIPE_B.replace('after = ["scan_materials", "warm_bath"]', "after = []")
    recipe = recipe.replace('after = ["clear_line"]\nmaterial', 'after = ["receive_bag"]\nmaterial')
    bedside = Bedside(recipe)

    bedside.begin_batch()
    bedside.waits(5)
    before = bedside.state_of("receive_bag")
    bedside.answer("clear_line/clear")
    bedside.answer("clear_line/clear.verify")
    bedside.waits(1)

    assert before == "idle"
    assert bedside.state_of("receive_bag") == "running"


# ── The bedside match ──────────────────────────────────────────────────────────────────


def things(bedside: Bedside) -> dict[str, list[str]]:
    return {WRISTBAND: coi_texts(), DOSE: list(bedside.labels.values())[-1], SHEET: order_texts()}


@pytest.mark.requirement("F-009")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_three_are_shown_in_whatever_order_they_are_at_hand(
    bedside: Bedside, order: tuple[int, ...]
) -> None:
    bedside.is_released()
    shown = list(things(bedside).items())

    for place in order:
        bedside.scan(*shown[place])

    assert bedside.has(ev.BedsideMatched)


@pytest.mark.requirement("F-009")
def test_the_same_symbol_shown_three_times_is_not_three(bedside: Bedside) -> None:
    bedside.is_released()
    sheet = things(bedside)[SHEET]

    for prompt in (SHEET, WRISTBAND, DOSE):
        bedside.scan(prompt, sheet)

    assert not bedside.has(ev.BedsideMatched)
    assert [one.reason for one in bedside.all(ev.BagRefused)] == ["other_thing", "wrong_bag"]
    assert bedside.state_of("hand_over") == "held"


@pytest.mark.requirement("F-009")
@pytest.mark.parametrize("asked", [WRISTBAND, DOSE, SHEET])
@pytest.mark.parametrize("shown", [WRISTBAND, DOSE, SHEET])
def test_none_of_the_three_stands_in_for_another(bedside: Bedside, asked: str, shown: str) -> None:
    bedside.is_released()

    bedside.scan(asked, things(bedside)[shown])

    matched = {one.key for one in bedside.all(ev.ValueRecorded) if one.key.startswith("match_")}
    assert bool(matched) == (asked == shown)


@pytest.mark.requirement("F-009")
def test_one_picture_is_one_look(bedside: Bedside) -> None:
    bedside.is_released()
    shown = things(bedside)

    bedside.scan(WRISTBAND, shown[WRISTBAND], shown="aa")
    bedside.scan(SHEET, shown[SHEET], shown="aa")

    assert bedside.last(ev.BagRefused).reason == "same_picture"
    assert SHEET in bedside.asks()


@pytest.mark.requirement("F-009")
@pytest.mark.parametrize(
    ("prompt", "texts"),
    [
        (WRISTBAND, ["&/CHA999926000002"]),
        (WRISTBAND, ["patient:DEMO0000"]),
        (DOSE, bag_texts(OTHER_DIN, code="S9992")),
        (DOSE, bag_texts(code="S9992", division="Aa")),
        (SHEET, ["&/CHA999926000002"]),
    ],
)
def test_a_mismatch_of_any_of_the_three_stops_the_hand_over(
    bedside: Bedside, prompt: str, texts: list[str]
) -> None:
    bedside.is_released()
    for name, right in things(bedside).items():
        if name != prompt:
            bedside.scan(name, right)

    bedside.scan(prompt, texts)

    assert bedside.last(ev.BagRefused).reason == "wrong_bag"
    assert bedside.state_of("hand_over") == "held"
    assert bedside.refusal(lambda: bedside.restart(ADA)).reason == "supervisor_needed"
    bedside.restart(CLEO)
    bedside.waits(1)
    assert bedside.asks() == [WRISTBAND, DOSE, SHEET], "all three are shown anew"


@pytest.mark.requirement("F-009")
def test_a_look_counts_for_ten_minutes(bedside: Bedside) -> None:
    bedside.is_released()
    shown = things(bedside)
    bedside.scan(WRISTBAND, shown[WRISTBAND])
    bedside.scan(DOSE, shown[DOSE])

    bedside.waits(11 * 60, step_s=30)
    bedside.scan(SHEET, shown[SHEET])

    assert not bedside.has(ev.BedsideMatched)
    assert bedside.asks() == [WRISTBAND, DOSE]


# ── The file of the logger ─────────────────────────────────────────────────────────────


GOOD = transport_csv(START, COLD)


@pytest.mark.requirement("T31")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"  \n", "cut_off"),
        (GOOD[: len(GOOD) // 2], "cut_off"),
        (GOOD.replace(b"end,11", b"end,10"), "cut_off"),
        (GOOD.replace(b"cellwright-transport/1", b"cellwright-exchange/1"), "malformed"),
        (GOOD.replace(b"shipper,DRY-0042\n", b"").replace(b"end,11", b"end,10"), "malformed"),
        (GOOD.replace(b"logger,LOG-17", b"shipper,LOG-17"), "malformed"),
        (GOOD.replace(b"-183.0", b"-183,0", 1), "malformed"),
        (GOOD.replace(b"-183.0", b"NaN", 1), "malformed"),
        (GOOD.replace(b"2026-03-02T08:00:00Z", b"2026-03-02T07:00:00Z"), "malformed"),
        (GOOD.replace(b"2026-03-02T08:00:00Z", b"2026-13-02T08:00:00Z"), "malformed"),
        (GOOD.replace(b"LOG-17", b"LOG\xff"), "not_text"),
        (b"x" * (transport_log.BYTES_MAX + 1), "too_large"),
        (transport_csv(START, ("-183",)), "malformed"),
    ],
)
def test_a_file_that_is_not_whole_or_not_a_log_is_refused_with_words(data: bytes, reason: str) -> None:
    with pytest.raises(ExchangeFileUnusable) as refused:
        transport_log.read(data)

    assert refused.value.reason == reason
    assert str(refused.value)


def assessed(*temperatures: str, **how: Any) -> transport_log.Assessment:
    log = transport_log.read(transport_csv(START, temperatures, **how))
    return transport_log.assess(log, Decimal(2), Decimal(8))


@pytest.mark.requirement("T31")
@pytest.mark.parametrize(
    ("temperatures", "outside", "excursions"),
    [
        (("4", "4", "4"), "0", 0),
        (("2", "8", "2"), "0", 0),
        (("4", "9", "4"), "20", 1),
        (("9", "4", "4"), "10", 1),
        (("4", "4", "1.9"), "10", 1),
        (("4", "9", "4", "4", "1", "4"), "40", 2),
        (("4", "9", "4", "1", "4"), "40", 1),
        (("9", "9", "9"), "20", 1),
    ],
)
def test_minutes_outside_are_counted_up_and_never_down(
    temperatures: tuple[str, ...], outside: str, excursions: int
) -> None:
    found = assessed(*temperatures)

    assert found.outside_min == Decimal(outside)
    assert len(found.excursions) == excursions


@pytest.mark.requirement("T31")
def test_a_reading_each_ten_minutes_has_no_gap_and_a_later_one_has() -> None:
    assert assessed("4", "4").gaps == ()
    assert [one.minutes for one in assessed("4", "4", step_min=10.5).gaps] == [Decimal("10.5")]
