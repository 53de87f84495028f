"""Stories of ISBT 128 strings: what is cut, what is refused, and in which words."""

import json
import string
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.isbt128 import (
    Identity,
    LabelRefused,
    check_character,
    check_typed_din,
    check_value,
    coi_text,
    compound,
    din_text,
    division_text,
    expires_at,
    expiry_date_text,
    expiry_text,
    expiry_utc_text,
    facility_text,
    item_lot_text,
    item_text,
    label_of,
    meaning,
    parse,
    patient_text,
    processor_text,
    product_text,
    readable_din,
    staff_text,
)
from appliance.domain.isbt128_table import BY_IDENTIFIER

# Times on labels have no zone of their own.
# ruff: noqa: DTZ001
BERLIN = ZoneInfo("Europe/Berlin")
DIN = "A999926000001"
PUBLISHED = "=+04000=/A9997XYZ100T0479=A99991712345600=,000012=>019031"
ROUNDS = settings(derandomize=True, deadline=None, max_examples=400)


@pytest.mark.parametrize(
    ("text", "character", "value"),
    [
        ("G123417654321", "A", 10),
        ("W000009123456", "G", 16),
        ("A999820123456", "E", 14),
        ("A999818123456", "N", 23),
        ("A999921123456", "3", 3),
        ("ABCDE27000069", "C", 12),
        ("A9990ABC123T0480", "8", 8),
        ("A999926000001", "8", 8),
        ("A999926000002", "6", 6),
        ("CHA999926000001", "*", 36),
    ],
)
def test_check_characters_are_the_published_ones(text: str, character: str, value: int) -> None:
    assert check_character(text) == character
    assert check_value(text) == value


def test_every_single_error_and_adjacent_swap_in_a_typed_din_is_caught() -> None:
    characters = string.digits + string.ascii_uppercase
    for din in (DIN, "G123417654321", "W000009123456"):
        right = check_character(din)
        wrong = {din[:i] + c + din[i + 1 :] for i in range(13) for c in characters if c != din[i]}
        wrong |= {din[:i] + din[i + 1] + din[i] + din[i + 2 :] for i in range(12) if din[i] != din[i + 1]}

        assert [each for each in wrong if check_character(each) == right] == []


def test_a_typed_din_is_accepted_with_its_check_character_only() -> None:
    assert check_typed_din(" g1234 17 654321", "a") == "G123417654321"

    with pytest.raises(LabelRefused, match="type both again"):
        check_typed_din("G1234 17 654321", "9")
    with pytest.raises(LabelRefused, match="Type the 13 characters"):
        check_typed_din("G1234 17 6543217", "A")


def test_the_published_compound_message_is_cut_into_its_structures() -> None:
    structures = parse(PUBLISHED)

    assert [each.number for each in structures] == ["023", "034", "001", "032", "004"]
    assert "".join(each.text for each in structures) == PUBLISHED
    assert label_of([PUBLISHED]).identity == Identity("A999917123456", "T0479", "000012", "A9997")


@pytest.mark.parametrize(
    ("text", "number", "fields"),
    [
        ("=G12341765432170", "001", {"din": "G123417654321", "flags": "70"}),
        ("=<S1295V00", "003", {"description_code": "S1295", "collection_type": "V", "division": "00"}),
        ("=>019031", "004", {"local": "2019-01-31"}),
        ("&>0261232359", "005", {"local": "2026-05-03T23:59"}),
        ("=}017032", "008", {"local": "2017-02-01"}),
        ("=)2XX00AB123", "017", {"container": "2", "maker": "XX", "catalogue_number": "00AB123"}),
        ("&)00001234rZ", "018", {"lot": "00001234rZ"}),
        ("=;A99990000222244445555", "019", {"facility": "A9999"}),
        ("='A9999000123", "020", {"facility": "A9999", "staff": "000123"}),
        ("=-XX00027QzE", "021", {"maker": "XX", "catalogue_number": "00027QzE"}),
        ("=#0119700131", "024", {"born": "19700131"}),
        ("&#0105ABC12", "025", {"patient": "ABC12"}),
        ("=(2001202605032359", "031", {"zone": "utc", "type": "expiry", "moment": "2026-05-03T23:59"}),
        ("=,000012", "032", {"division": "000012"}),
        ("&+A9999AB3456", "033", {"facility": "A9999", "facility_code": "AB3456"}),
        ("=/A9999XYZ100T0944", "034", {"facility": "A9999", "description_code": "T0944"}),
        ("&,1000000000000XYZ123", "035", {"lot": "000000000000XYZ123"}),
        ("&,4PL001499Z549917123456A00T041600320181231", "038", {}),
        ("&/CHA999926000001", "040", {"coi": "CHA999926000001"}),
    ],
)
def test_each_structure_gives_its_fields(text: str, number: str, fields: dict[str, str]) -> None:
    (structure,) = parse(text)

    assert structure.number == number
    assert fields.items() <= structure.fields.items()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A99992600000168",
        "=O99992600000168",  # no facility begins with O
        "=A99992600000167",  # type 3 flags of another number
        "=A9999260000016",  # too short
        "=<S129510",
        "=>026366",  # 2026 has 365 days
        "&>0261232460",
        "=(2001202602300000",
        "&/XXA999926000001",
        "=+03000=A99992600000168=<S1295100",  # one structure missing
        "=+01000=A99992600000168=<S1295100",  # one too many
        "=+01123=A99992600000168",  # an order table that nobody here holds
        "=+02000=A99992600000168=+01000",
        "=A99992600000168&a12",
        "=A99992600000168\x1d",
        "=A٩٩٩٩2600000168",  # digits, but not of ASCII
        "=" * 2000,
    ],
)
def test_what_breaks_the_grammar_is_refused_in_words(text: str) -> None:
    with pytest.raises(LabelRefused) as refusal:
        parse(text)

    assert str(refusal.value).endswith(".")
    assert len(str(refusal.value)) > 40


def test_a_gs1_symbol_is_never_taken_for_isbt_whatever_it_says() -> None:
    assert meaning(din_text(DIN), "]C1") is None
    assert meaning(din_text(DIN), "]d2") is None
    assert meaning("0109501101530003", "]C0") is None
    assert meaning(din_text(DIN), "]C0") is not None


def test_a_refused_label_says_why_in_its_meaning() -> None:
    said = meaning("=A99992600000167", "]C0")

    assert said is not None
    assert set(said) == {"standard", "refused"}
    assert "misread" in str(said["refused"])


def test_flags_and_collection_type_are_no_part_of_the_identity() -> None:
    one = label_of([din_text(DIN, "00"), product_text("S1295", "1", "00")])
    other = label_of([din_text(DIN), product_text("S1295", "V", "00")])

    assert one.identity == other.identity


def test_the_other_division_is_another_bag() -> None:
    one = label_of([din_text(DIN), product_text("S1295", "1", "A0")])
    other = label_of([din_text(DIN), product_text("S1295", "1", "B0")])

    assert one.identity != other.identity


def test_division_99_needs_the_structure_that_says_it() -> None:
    with pytest.raises(LabelRefused, match="second symbol"):
        label_of([din_text(DIN), product_text("S1295", "1", "000012")])

    label = label_of([din_text(DIN), product_text("S1295", "1", "000012"), division_text("000012")])

    assert label.division == "000012"


def test_symbols_that_disagree_are_no_label() -> None:
    with pytest.raises(LabelRefused, match="contradicts itself"):
        label_of([din_text(DIN), compound(din_text("A999926000002"), product_text("S1295", "1", "00"))])


def test_a_label_without_product_code_has_no_identity() -> None:
    with pytest.raises(LabelRefused, match="no product code"):
        _ = label_of([din_text(DIN)]).identity


def test_a_local_expiry_follows_the_zone_of_the_site_and_the_repeated_hour_counts_early() -> None:
    summer = label_of([expiry_text(datetime(2026, 7, 1, 12, 0))])
    repeated = label_of([expiry_text(datetime(2026, 10, 25, 2, 30))])

    assert expires_at(summer, BERLIN) == datetime(2026, 7, 1, 10, 0, tzinfo=UTC)
    assert expires_at(repeated, BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_an_expiry_in_utc_ignores_the_zone_and_a_date_alone_lasts_all_day() -> None:
    moment = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)

    assert expires_at(label_of([expiry_utc_text(moment)]), BERLIN) == moment
    material = label_of([expiry_date_text(date(2026, 1, 31))])
    assert expires_at(material, BERLIN) == datetime(2026, 1, 31, 22, 59, tzinfo=UTC)


def test_a_material_label_says_maker_catalogue_lot_and_expiry() -> None:
    on = date(2027, 2, 1)

    label = label_of([compound(item_text("XX", "27QzE"), item_lot_text("L77"), expiry_date_text(on))])

    assert (label.maker, label.catalogue_number, label.lot) == ("XX", "27QzE", "L77")
    assert label.expires_local == "2027-02-01T23:59"


FACILITIES = st.from_regex(r"[A-NP-Z1-9][A-NP-Z0-9]{2}[0-9]{2}", fullmatch=True)
DINS = st.builds(
    lambda facility, year, number: f"{facility}{year:02d}{number:06d}",
    FACILITIES,
    st.integers(0, 99),
    st.integers(0, 999_999),
)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2899, 12, 31))
WORDS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=6)
WRITTEN = st.one_of(
    DINS.map(din_text),
    st.builds(product_text, st.from_regex(r"[E-Z][0-9]{4}", fullmatch=True), st.just("1"), st.just("Aa")),
    st.builds(division_text, st.from_regex(r"[0-9]{6}", fullmatch=True)),
    MOMENTS.map(expiry_text),
    MOMENTS.map(lambda moment: expiry_utc_text(moment.replace(tzinfo=UTC))),
    MOMENTS.map(lambda moment: expiry_date_text(moment.date())),
    st.builds(staff_text, FACILITIES, WORDS),
    st.builds(item_text, st.just("XX"), WORDS),
    WORDS.map(item_lot_text),
    WORDS.map(patient_text),
    st.builds(facility_text, FACILITIES),
    st.builds(processor_text, FACILITIES, WORDS, st.just("T0479")),
    DINS.map(lambda din: coi_text("CH" + din)),
)


@ROUNDS
@given(st.lists(WRITTEN, min_size=1, max_size=8))
def test_what_is_written_is_read_back_structure_by_structure(texts: list[str]) -> None:
    structures = parse(compound(*texts))

    assert [each.text for each in structures[1:]] == texts


@ROUNDS
@given(DINS, st.integers(0, 13), st.sampled_from(string.digits + string.ascii_uppercase))
def test_a_misread_character_in_a_din_with_type_3_flags_is_never_another_din(
    din: str, place: int, character: str
) -> None:
    text = din_text(din)
    misread = text[: place + 1] + character + text[place + 2 :]

    try:
        label = label_of([misread])
    except LabelRefused:
        return

    # A wrong flag digit may leave the range of check flags; the number itself must then be whole.
    assert label.din == din


PIECES = st.one_of(st.sampled_from(sorted(BY_IDENTIFIER)), st.text(max_size=12), WRITTEN)


@settings(derandomize=True, deadline=None, max_examples=3000)
@given(st.lists(PIECES, max_size=6).map("".join))
def test_no_text_makes_the_parser_fail_and_nothing_is_dropped_or_invented(text: str) -> None:
    said = meaning(text, "]d1")
    if said is not None:
        json.dumps(said)
    try:
        structures = parse(text)
    except LabelRefused:
        return

    assert "".join(each.text for each in structures) == text


def test_a_din_is_grouped_as_it_is_printed() -> None:
    assert readable_din("G123417654321") == "G1234 17 654321"
