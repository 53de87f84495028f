"""A label that cannot be read is typed by two people; two labels in one picture are none."""

from __future__ import annotations

import random

import pytest
from bedside import (
    ADA,
    BEN,
    CLEO,
    DIN,
    IN_200_DAYS,
    OTHER_DIN,
    START,
    Bedside,
    bag_texts,
    coi_texts,
    with_proof,
)

from appliance.domain import events as ev
from appliance.domain import isbt128, scans, typed_entry
from appliance.domain.errors import NotPlausible

# Only what leads to the bag: a label can be typed whatever else a recipe holds.
RECIPE = """
[recipe]
id = "thaw-wash-dose-50"
version = "1"
title = "Only receive the bag"
[procedure]
title = "All"
[unit_procedure.all]
title = "All"
[operation.all]
title = "All"
unit_procedure = "all"
[phase.clear]
title = "Clear the line"
type = "line_clearance"
operation = "all"
verify = ["clear"]
instruction = { clear = "Look at the whole station." }
[phase.receive_bag]
title = "Receive the bag"
type = "scan_bag"
operation = "all"
after = ["clear"]
verify = ["identity"]
instruction = { retrieve = "Take the bag out.", identity = "Both carry the same number." }
limit = { out_of_cold = { action = "<= 50 min", on_action = "deviation" } }
[phase.seal]
title = "Sign and seal"
type = "seal"
operation = "all"
after = ["receive_bag"]
"""
BAG, TYPED = "receive_bag/bag", "receive_bag/typed:bag"
AGAIN = f"{TYPED}.verify"
BEN_HERE = with_proof(BEN, "pin")


@pytest.fixture
def bedside() -> Bedside:
    return Bedside(RECIPE)


def bag_entry(din: str = DIN, *, division: str = "00", expires: str = "202612270800") -> dict[str, str]:
    """What two people read on the bag: 27 Dec 2026 08:00, as the label's symbols say."""
    return {"din": din + isbt128.check_character(din), "product": f"S99911{division}", "expires": expires}


def with_an_unreadable_bag(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)
    bedside.scan(BAG, [], reasons=("blur",))


# ── Every wrong character is caught while it is typed ──────────────────────────────────────


@pytest.mark.requirement("F-005")
def test_every_wrong_character_and_every_swapped_pair_of_a_typed_donation_number_is_caught() -> None:
    chance = random.Random(5)
    facilities = ("A9990", "A9997", "A9998", "A9999", "W0000", "G1234", "Z5499")
    dins = [f"{chance.choice(facilities)}{chance.randrange(10**8):08d}" for _ in range(200)]
    tried = 0
    for din in dins:
        whole = din + isbt128.check_character(din)
        assert typed_entry.judge("din", whole).good
        for place, character in enumerate(whole):
            for other in set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*") - {character}:
                tried += 1
                assert not typed_entry.judge("din", whole[:place] + other + whole[place + 1 :]).good
            swapped = whole[:place] + whole[place + 1 : place + 2] + character + whole[place + 2 :]
            assert swapped == whole or not typed_entry.judge("din", swapped).good, (whole, swapped)

    assert tried == 200 * 14 * 36


@pytest.mark.requirement("F-005")
def test_only_characters_that_the_grammar_allows_can_follow_so_that_o_and_0_are_never_confused() -> None:
    assert "O" not in typed_entry.may_follow("din", "") and "0" not in typed_entry.may_follow("din", "")
    assert "O" not in typed_entry.may_follow("din", "A9")
    assert typed_entry.may_follow("din", "A9999") == "0123456789"
    assert "*" in typed_entry.may_follow("din", "A999926123456")
    assert typed_entry.may_follow("din", "A999926123456*") == ""
    assert typed_entry.may_follow("coi", "") == "C"


@pytest.mark.requirement("F-005")
def test_a_wristband_is_not_typed_without_its_check_character_and_no_refusal_repeats_it() -> None:
    for typed in ("CHA999926000001", "CHA999926000001A", "19610304", "Maria Keller 1961"):
        with pytest.raises(NotPlausible) as refused:
            typed_entry.entry_of(typed_entry.COI, {"coi": typed})
        assert typed not in str(refused.value)

    assert typed_entry.entry_of(typed_entry.COI, {"coi": "CH A9999 26 000001 *"}).texts == (coi_texts()[0],)


def test_a_typed_label_says_what_its_symbols_would_say() -> None:
    bag = typed_entry.entry_of(typed_entry.BAG, bag_entry())
    item = typed_entry.entry_of(
        typed_entry.MATERIAL, {"catalogue": "XXWASH01", "lot": "LOT1", "day": "2026-09-18"}
    )
    gs1 = typed_entry.entry_of(
        typed_entry.MATERIAL, {"catalogue": "09501101530003", "lot": "AB-12", "day": "20270630"}
    )

    assert isbt128.label_of(bag.texts).identity == isbt128.label_of(bag_texts()).identity
    assert (isbt128.label_of(item.texts).lot, isbt128.label_of(item.texts).maker) == ("LOT1", "XX")
    assert (gs1.texts, gs1.identifiers) == (("01095011015300031727063010AB-12",), ("]d2",))
    assert not typed_entry.judge("catalogue", "09501101530004").good
    assert not typed_entry.judge("day", "20260230").good


# ── Who may type, when, and what follows ───────────────────────────────────────────────────


@pytest.mark.requirement("F-005")
def test_typing_is_offered_only_after_a_look_that_read_nothing(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)
    before = bedside.asks()
    bedside.scan(BAG, [], reasons=("dark",))

    assert before == [BAG]
    assert bedside.asks() == [BAG, TYPED]
    # What is expected stands on no screen while both read the label.
    assert (bedside.prompt(BAG).expects, bedside.prompt(TYPED).expects) == ("", "")


@pytest.mark.requirement("F-005")
def test_a_label_that_was_read_and_is_the_wrong_one_cannot_be_typed_instead(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    bedside.scan(BAG, bag_texts(OTHER_DIN))
    held = bedside.asks()
    bedside.restart(CLEO)

    assert held == []
    assert bedside.asks() == [BAG]


@pytest.mark.requirement("F-005")
def test_two_people_type_the_same_and_the_bag_is_accepted_as_typed_with_a_minor_deviation(
    bedside: Bedside,
) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **bag_entry())
    shown = repr(bedside.prompt(AGAIN))
    bedside.answer(AGAIN, BEN_HERE, **bag_entry())

    assert DIN not in shown and bag_entry()["din"] not in shown
    assert bedside.last(ev.BagAccepted).din == DIN
    assert bedside.last(ev.ScanRead).symbologies == ["typed"] * 3
    assert bedside.last(ev.DeviationOpened).classification == "minor"
    assert [one.number for one in bedside.all(ev.LabelTyped)] == [0, 1]
    assert "receive_bag/identity" in bedside.asks()


@pytest.mark.requirement("F-005")
@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (bag_entry(OTHER_DIN), "wrong_bag"),
        (bag_entry(division="0a"), "wrong_bag"),
        (bag_entry(expires="202601010000"), "expired"),
    ],
)
def test_a_typed_label_passes_the_same_gates_as_a_picture(
    bedside: Bedside, entry: dict[str, str], reason: str
) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **entry)
    bedside.answer(AGAIN, BEN_HERE, **entry)

    assert bedside.last(ev.BagRefused).reason == reason
    assert bedside.state_of("receive_bag") == "held"
    assert bedside.all(ev.BagAccepted) == []


@pytest.mark.requirement("F-005", "F-058")
def test_the_second_person_is_another_one_who_proves_it(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **bag_entry())

    same = bedside.refusal(lambda: bedside.answer(AGAIN, with_proof(ADA, "pin"), **bag_entry()))
    unproven = bedside.refusal(lambda: bedside.answer(AGAIN, BEN, **bag_entry()))

    assert (same.reason, unproven.reason) == ("same_person", "proof_missing")


def test_a_wrong_check_character_is_refused_at_once_and_nothing_is_recorded(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    wrong = bag_entry() | {"din": DIN + "0"}

    refused = bedside.refusal(lambda: bedside.answer(TYPED, **wrong))

    assert "check character does not fit" in str(refused)
    assert bedside.all(ev.LabelTyped) == []


@pytest.mark.requirement("F-005")
def test_three_entries_that_differ_lock_it_until_a_supervisor_has_looked(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    for _ in range(3):
        bedside.answer(TYPED, **bag_entry())
        bedside.answer(AGAIN, BEN_HERE, **bag_entry(OTHER_DIN))
    state = bedside.state_of("receive_bag")
    refused = bedside.refusal(lambda: bedside.restart(ADA))
    bedside.restart(CLEO)

    assert [one.tries for one in bedside.all(ev.TypedEntriesDiffered)] == [1, 2, 3]
    assert (state, refused.reason) == ("held", "supervisor_needed")
    assert bedside.asks() == [BAG]  # the label is looked at anew before anybody types again
    assert bedside.all(ev.BagAccepted) == []


@pytest.mark.requirement("F-058")
def test_a_first_entry_whose_second_person_is_late_is_typed_again(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **bag_entry())
    until = bedside.prompt(AGAIN).until
    bedside.waits(11 * 60, step_s=60)

    assert until is not None and until > START
    assert bedside.last(ev.FirstActLapsed).person == ADA.id
    assert bedside.asks() == [BAG, TYPED]


def test_a_label_that_is_read_after_all_makes_the_first_entry_needless(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **bag_entry())
    bedside.scan(BAG, bag_texts())

    assert bedside.asks() == ["receive_bag/identity"]


def test_a_crash_between_the_two_entries_loses_neither(bedside: Bedside) -> None:
    with_an_unreadable_bag(bedside)
    bedside.answer(TYPED, **bag_entry())
    bedside.crash()
    bedside.restart(CLEO)
    asked = bedside.asks()

    # Whoever restarts the phase has the label looked at anew: an entry from before counts for nothing.
    assert asked == [BAG]


# ── A scan that a person ends ──────────────────────────────────────────────────────────────


def test_what_the_camera_says_after_a_person_ended_the_scan_decides_nothing(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)
    asked = bedside.asks_the_camera(BAG)
    bedside.cancels(asked.scan_id)
    offered = bedside.asks()
    bedside.camera_reads(asked, bag_texts())

    assert offered == [BAG]
    assert bedside.all(ev.BagAccepted) == [] and bedside.all(ev.BagRefused) == []
    assert bedside.asks() == [BAG]
    assert bedside.refusal(lambda: bedside.cancels(asked.scan_id)).reason == "not_open"


# ── Two labels in one picture ──────────────────────────────────────────────────────────────

TUBE = isbt128.din_text(DIN, "07")


@pytest.mark.requirement("F-004")
@pytest.mark.parametrize(
    "texts",
    [
        [*bag_texts(), isbt128.din_text(OTHER_DIN)],
        [bag_texts()[0], bag_texts(OTHER_DIN)[2]],
        [*bag_texts(), TUBE],
        [*bag_texts(), bag_texts(division="0a")[1]],
    ],
    ids=["two bags", "linear of one, matrix of the other", "bag and tube", "two divisions"],
)
def test_two_labels_in_one_picture_are_refused_without_a_choice(bedside: Bedside, texts: list[str]) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)

    bedside.scan(BAG, texts)

    refused = bedside.last(ev.BagRefused)
    assert refused.reason == "two_labels" and refused.words.startswith("Two labels are in the picture.")
    assert bedside.last(ev.ScanRead).texts == texts
    assert bedside.all(ev.BagAccepted) == []
    assert (bedside.state_of("receive_bag"), bedside.asks()) == ("running", [BAG])


def test_all_symbols_of_one_label_are_one_label() -> None:
    assert not scans.shows_two_labels(bag_texts())
    assert not scans.shows_two_labels(coi_texts())
    assert scans.shows_two_labels([*coi_texts(), *coi_texts("CHA999926000002")])
    assert scans.shows_two_labels(["0109501101530003", "0195012345678903"], ["]d2", "]d2"])


@pytest.mark.requirement("F-004")
def test_a_tube_label_shown_where_the_bag_is_asked_for_is_the_wrong_kind(bedside: Bedside) -> None:
    bedside.begin_batch()
    bedside.works_until(BAG)

    bedside.scan(BAG, [TUBE])

    assert bedside.last(ev.BagRefused).reason == "wrong_kind"
    assert bedside.all(ev.BagAccepted) == []


def test_a_read_label_is_told_in_the_words_that_stand_on_it() -> None:
    said = dict(scans.words_of(bag_texts()))

    assert said["Donation"] == f"A9999 26 123456 {isbt128.check_character(DIN)}"
    assert said["Product code"] == "S9991100" and said["Expires"].startswith("2026-12-27")


# ── Materials, and the three looks at the bedside ──────────────────────────────────────────

COI_ENTRY = {"coi": "CHA999926000001*"}


def typed_by_both(bedside: Bedside, prompt: str, **values: str) -> None:
    """The label cannot be read, and two people type the same."""
    phase, _, key = prompt.partition("/")
    bedside.scan(prompt, [], reasons=("blur",))
    bedside.answer(f"{phase}/typed:{key}", ADA, **values)
    bedside.answer(f"{phase}/typed:{key}.verify", BEN_HERE, **values)


@pytest.mark.requirement("F-005")
def test_a_material_is_typed_with_catalogue_number_lot_and_expiry() -> None:
    bedside = Bedside()
    bedside.begin_batch()
    bedside.works_until("scan_materials/material")
    wanted = next(iter(bedside.batch.recipe.materials.values()))
    day = IN_200_DAYS.strftime("%Y%m%d")

    typed_by_both(bedside, "scan_materials/material", catalogue=wanted.catalogue, lot="LOT1", day=day)

    accepted = bedside.last(ev.MaterialAccepted)
    assert (accepted.catalogue, accepted.lot) == (wanted.catalogue, "LOT1")


@pytest.mark.requirement("F-005", "F-009")
def test_the_three_looks_at_the_bedside_are_typed_each_with_what_it_carries_and_another_patient_stops() -> (
    None
):
    bedside = Bedside()
    bedside.is_released()
    other = "CHA999926000002"
    typed_by_both(bedside, "hand_over/wristband", coi=other + isbt128.check_character(other))
    refused, state = bedside.last(ev.BagRefused).reason, bedside.state_of("hand_over")
    bedside.restart(CLEO)
    dose = isbt128.label_of(list(bedside.labels.values())[-1])
    typed_by_both(bedside, "hand_over/wristband", **COI_ENTRY)
    din = dose.din + isbt128.check_character(dose.din)
    typed_by_both(bedside, "hand_over/dose", din=din, product=dose.product_code)
    typed_by_both(bedside, "hand_over/order", **COI_ENTRY, din=bag_entry()["din"])

    assert (refused, state) == ("wrong_bag", "held")
    assert bedside.has(ev.BedsideMatched)
    assert bedside.last(ev.LabelTyped).number == 4
