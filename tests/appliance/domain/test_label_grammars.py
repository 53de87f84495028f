"""What a symbol of a material says: read whole, or refused in words, and never guessed at."""

from __future__ import annotations

import json
import random
import string
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_payloads import MAKERS, damaged, objection_to

from appliance.domain import gs1, hibc, isbt128
from appliance.domain.isbt128 import LabelRefused
from appliance.domain.label_grammars import meaning

GTIN = "09501101530003"
HIBC_PRIMARY = "+A123BJC5D6E71G"
HIBC_COMBINED = "+A99912345/$$52001510X33"


def said_of(text: str, symbology: str) -> dict[str, object]:
    said = meaning(text, symbology)
    assert said is not None, text
    return said


# ── GS1 ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-001")
def test_a_gs1_label_gives_number_lot_and_expiry_with_the_day_ending_at_its_last_minute() -> None:
    said = said_of(f"01{GTIN}10ABC123\x1d17261231", "]C1")

    assert (said["gtin"], said["lot"], said["expires_local"]) == (GTIN, "ABC123", "2026-12-31T23:59")
    assert said["readable"] == f"{GTIN} lot ABC123 expires 2026-12-31 23:59"


def test_day_00_is_the_last_of_its_month_in_a_leap_year_too() -> None:
    assert said_of("17280200", "]d2")["expires_local"] == "2028-02-29T23:59"


def test_an_expiry_with_a_time_counts_before_the_day_that_contains_it() -> None:
    assert said_of(f"01{GTIN}1726050370032605031230\x1d10AB", "]d2")["expires_local"] == "2026-05-03T12:30"


def test_an_expiry_whose_time_stands_on_another_day_is_a_contradiction() -> None:
    assert "contradicts" in str(said_of(f"01{GTIN}1726050470032605031230", "]d2")["refused"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0109501101530004", "check digit"),
        (f"01{GTIN}0109501101530010", "contradicts"),
        ("11260231", "misread"),
        ("17261301", "misread"),
        ("70032605032530", "misread"),
        ("99", "misread"),
        ("", "empty"),
        ("\x1d0109501101530003", "misread"),
        ("10AB\x1d10CD", "contradicts"),
        ("10ÄB", "misread"),
        ("01" + GTIN + "10" + "A" * 21, "misread"),
    ],
)
def test_a_gs1_label_that_breaks_a_rule_is_refused_in_words(text: str, words: str) -> None:
    assert words in str(said_of(text, "]d2")["refused"])


def test_a_lot_that_swallowed_the_expiry_behind_it_is_doubted() -> None:
    said = said_of(f"01{GTIN}10ABC12317261231", "]C1")

    assert said["doubt"] == "lot"
    assert "doubt" not in said_of(f"01{GTIN}1726123110ABC12317261231", "]C1"), "the expiry is there already"
    assert "doubt" not in said_of(f"01{GTIN}10ABC123", "]C1")


def test_a_web_address_with_a_number_in_it_is_read_as_gs1_and_one_without_is_nothing() -> None:
    assert said_of(f"https://example.org/01/{GTIN}/10/ABC?17=261231", "]Q1")["lot"] == "ABC"
    assert meaning("https://example.org/shop/0109501101530003", "]Q1") is None


def test_the_symbology_decides_and_not_the_look_of_the_text() -> None:
    text = f"01{GTIN}10ABC"

    assert meaning(text, "]C0") is None
    assert "refused" in said_of("=A99992607352671", "]C1")


def test_two_symbols_of_one_material_join_and_of_two_are_refused() -> None:
    number, lot = gs1.parse(f"01{GTIN}"), gs1.parse("10ABC\x1d17261231")

    assert gs1.joined([number, lot])["lot"] == "ABC"
    with pytest.raises(LabelRefused, match="one material at a time"):
        gs1.joined([number, lot, gs1.parse("10XYZ")])


# ── HIBC ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("body", "check"),
    [
        ("+A123BJC5D6E71", "G"),
        ("+A99912345/$$52001510X3", "3"),
        ("+A99912345/$$52001510X3/16D20111212/S77DE1G45", "-"),
    ],
)
def test_the_check_characters_of_the_published_labels_are_these(body: str, check: str) -> None:
    assert hibc.check_character(body) == check


def test_a_combined_hibc_label_gives_maker_number_lot_serial_and_dates() -> None:
    label = hibc.parse("+A99912345/$$52001510X3/16D20111212/S77DE1G45-")

    assert (label.maker, label.catalogue_number, label.unit_of_measure) == ("A999", "1234", "5")
    assert (label.lot, label.serial) == ("10X3", "77DE1G45")
    assert (label.expires_local, label.produced_local) == ("2020-01-15T23:59", "2011-12-12T23:59")


@pytest.mark.parametrize(
    ("secondary", "expires", "lot", "serial", "quantity"),
    [
        ("$LOT7", "", "LOT7", "", ""),
        ("$+SER7", "", "", "SER7", ""),
        ("$$0928LOT7", "2028-09-30T23:59", "LOT7", "", ""),
        ("$$0228LOT7", "2028-02-29T23:59", "LOT7", "", ""),
        ("$$2093028LOT7", "2028-09-30T23:59", "LOT7", "", ""),
        ("$$3280930LOT7", "2028-09-30T23:59", "LOT7", "", ""),
        ("$$428093011LOT7", "2028-09-30T11:00", "LOT7", "", ""),
        ("$$528366LOT7", "2028-12-31T23:59", "LOT7", "", ""),
        ("$$62836607LOT7", "2028-12-31T07:00", "LOT7", "", ""),
        ("$$7LOT7", "", "LOT7", "", ""),
        ("$$+3280930SER7", "2028-09-30T23:59", "", "SER7", ""),
        ("$$8243280930LOT7", "2028-09-30T23:59", "LOT7", "", "24"),
        ("$$9001443280930LOT7", "2028-09-30T23:59", "LOT7", "", "144"),
        ("28366LOT7", "2028-12-31T23:59", "LOT7", "", ""),
    ],
)
def test_each_way_to_write_lot_and_date_is_read(
    secondary: str, expires: str, lot: str, serial: str, quantity: str
) -> None:
    body = f"+A99912345/{secondary}"
    label = hibc.parse(body + hibc.check_character(body))

    assert (label.expires_local, label.lot, label.serial, label.quantity) == (expires, lot, serial, quantity)


def test_a_separate_secondary_symbol_joins_its_own_primary_only() -> None:
    body = "+$$3280930LOT7G"
    secondary = hibc.parse(body + hibc.check_character(body))

    whole = hibc.joined(hibc.parse(HIBC_PRIMARY), secondary)

    assert (whole.maker, whole.catalogue_number, whole.lot) == ("A123", "BJC5D6E7", "LOT7")
    with pytest.raises(LabelRefused, match="not of one label"):
        hibc.joined(hibc.parse(HIBC_COMBINED), secondary)


@pytest.mark.parametrize(
    "date", ["$$1328L", "$$2133028L", "$$3281301L", "$$527366L", "$$528000L", "$$428093024L"]
)
def test_a_date_that_does_not_exist_is_refused(date: str) -> None:
    body = f"+A99912345/{date}"

    assert "refused" in said_of(body + hibc.check_character(body), "]C0")


def test_every_single_wrong_character_of_a_hibc_label_is_caught() -> None:
    for place in range(1, len(HIBC_COMBINED)):
        for other in string.digits + string.ascii_uppercase + "-. $/+%":
            if other == HIBC_COMBINED[place]:
                continue
            with pytest.raises(LabelRefused):
                hibc.parse(HIBC_COMBINED[:place] + other + HIBC_COMBINED[place + 1 :])


# ── ISBT 128 through the same door, and what no grammar knows ──────────────────────────────


def test_a_device_identifier_of_a_tissue_maker_is_read_whole() -> None:
    text = "=+06000=/A9999XYZ100T0944=,000025=A99971312345600=>014032=}013032&,1000000000000XYZ123"

    said = said_of(text, "]d1")

    assert (said["standard"], said["din"], said["division"]) == ("ISBT 128", "A999713123456", "000025")


def test_every_wrong_character_and_every_swap_of_neighbours_in_a_typed_donation_number_is_caught() -> None:
    letters = string.digits + string.ascii_uppercase
    for number in range(200):
        din = f"A9999{26 - number % 20:02d}{(number * 7919) % 1_000_000:06d}"
        check = isbt128.check_character(din)
        wrong = {din[:k] + c + din[k + 1 :] for k in range(13) for c in letters if c != din[k]}
        wrong |= {din[:k] + din[k + 1] + din[k] + din[k + 2 :] for k in range(12)} - {din}
        for typed in wrong:
            with pytest.raises(LabelRefused):
                isbt128.check_typed_din(typed, check)


@given(
    st.text(max_size=60), st.sampled_from(["", "]C0", "]C1", "]d1", "]d2", "]Q1", "]Q3", "]e0", "]A0", "]X9"])
)
def test_no_text_at_all_makes_a_grammar_crash(text: str, symbology: str) -> None:
    said = meaning(text, symbology)

    assert said is None or "standard" in said


@given(
    st.text(alphabet=string.digits + "ABCSDQ$/+=&<>,\x1d", max_size=40),
    st.sampled_from(["]C1", "]d2", "]C0"]),
)
def test_near_misses_are_read_or_refused_and_nothing_else(text: str, symbology: str) -> None:
    for start in ("", "+A1", "01" + GTIN, "=<", "=A9999"):
        said = meaning(start + text, symbology)
        assert said is None or isinstance(said.get("refused", ""), str)


def parsed(*arguments: str) -> tuple[int, str, str]:
    run = subprocess.run(
        [sys.executable, "-m", "appliance.parse_command", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return run.returncode, run.stdout, run.stderr


@pytest.mark.requirement("F-001")
def test_the_command_says_what_bytes_mean_and_its_exit_code_says_whether_they_may_be_used() -> None:
    good = f"01{GTIN}10ABC".encode().hex()

    code, out, _ = parsed("--hex", good, "--symbology", "]C1", "--json")
    assert (code, json.loads(out)["lot"]) == (0, "ABC")

    code, out, _ = parsed("--hex", good, "--symbology", "code128")
    assert code == 1
    assert "neither ISBT 128, GS1 nor HIBC" in out

    code, _, err = parsed("--hex", "zz", "--symbology", "]C1")
    assert code == 2
    assert "hexadecimal" in err


@pytest.mark.requirement("F-001")
def test_of_a_hundred_thousand_payloads_none_crashes_a_grammar_and_none_is_accepted_that_breaks_one() -> None:
    rng = random.Random(20261121)
    accepted = 0
    for number in range(100_000):
        text, symbology = MAKERS[number % len(MAKERS)](rng)
        if number % 10:
            text = damaged(text, rng)
        said = meaning(text, symbology)
        if said is None or "refused" in said:
            assert number % 10, f"{text!r} is a true label and was refused: {said}"
            continue
        accepted += 1
        assert not objection_to(text, said), f"{text!r} was accepted: {objection_to(text, said)}"
    assert accepted > 10_000
