"""What a label says: the minimum label of LABELS.md's table, and the sentences that T17 and T19 ask for."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import numpy as np
import pytest
from bedside import ORDER, RECIPE_B
from PIL import Image

from appliance.domain import isbt128
from appliance.domain.batch import Order
from appliance.domain.label_fields import (
    final_product_fields,
    in_process_fields,
    print_test_fields,
    sample_fields,
)
from appliance.domain.label_templates import MINIMUM, lacking
from appliance.domain.label_wording import (
    AUTOLOGOUS,
    BIOHAZARD,
    NOT_EVALUATED,
    faults_of_settings,
    statements,
)
from appliance.domain.recipe import parse
from vision.labels.label_picture import LabelNotDrawn, draw_label
from vision.labels.label_template import read_template, shipped_templates
from vision.labels.symbols import read_symbols

NEW_YORK, LONDON = "America/New_York", "Europe/London"
AT = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)  # half past one in New York, for the first time of two
ORDERED = Order.from_text(json.dumps(ORDER))
SETTINGS = parse(RECIPE_B.encode()).settings


def final(settings: dict[str, str] | None = None, zone: str = LONDON) -> dict[str, str]:
    return final_product_fields(
        ORDERED,
        dict(SETTINGS) | (settings or {}),
        expires_at=AT,
        time_zone=zone,
        product="Washed autologous cells",
        volume_ml="30",
        lot="UNIT-1-00001, label UNIT-1-00001-L1",
        site="Demo Ward, Example Hospital",
        contents="Cells in saline with albumin",
    )


def read_off(template: str, fields: dict[str, str]) -> isbt128.Label:
    """What the picture's symbols say together."""
    drawn = draw_label(template, fields)
    gray = np.asarray(Image.open(io.BytesIO(drawn.png)).convert("L"))
    return isbt128.label_of(each.text for each in read_symbols(gray, ("code128", "datamatrix")).symbols)


# Each item of the minimum label (LABELS.md, section 8), and what of ours says it.
MINIMUM_LABEL = {
    "unique product identifier": lambda label, fields: (
        label.din,
        fields["din_readable"],
        fields["din_check"],
    ),
    "product code and division": lambda label, fields: (label.description_code, label.division),
    "proper name": lambda label, fields: (fields["product_readable"],),
    "recipient identifier": lambda label, fields: (
        fields["patient_readable"],
        label.coi,
        fields["coi_readable"],
    ),
    "approximate volume": lambda label, fields: (fields["volume_readable"],),
    "additives": lambda label, fields: (fields["contents_readable"],),
    "storage temperature": lambda label, fields: (fields["storage_readable"],),
    "processing facility": lambda label, fields: (fields["facility_readable"],),
    "expiry date and time": lambda label, fields: (
        label.expires_local,
        fields["expiry_readable"],
        fields["expiry_utc_readable"],
    ),
    "lot": lambda label, fields: (fields["batch_readable"],),
}


@pytest.mark.requirement("T17", "T18", "T19", "T20")
def test_each_item_of_the_minimum_label_stands_on_the_final_product() -> None:
    fields = final({"processing_facility": "A9999", "facility_product_code": "AB3456"})
    printed = shipped_templates()["dose"].fields

    label = read_off("dose", fields)

    for item, said in MINIMUM_LABEL.items():
        assert all(said(label, fields)), item
    assert set(fields) <= set(printed)
    assert (label.din, label.description_code, label.division) == (ORDERED.din, "S9992", "00")
    assert (label.coi, label.facility) == (ORDERED.coi, "A9999")
    assert fields["din_check"] == isbt128.check_character(ORDERED.din)
    assert "irradiate" in fields["storage_readable"]


@pytest.mark.requirement("T19")
def test_an_expiry_is_local_with_offset_and_zone_and_utc_beside_it() -> None:
    london, new_york = final(), final(zone=NEW_YORK)

    assert london["expiry_readable"] == "01 Nov 2026 05:30 +00:00 Europe/London"
    # In the hour that the clock change repeats, only the offset tells which of the two it is.
    assert new_york["expiry_readable"] == "01 Nov 2026 01:30 -04:00 America/New_York"
    assert london["expiry_utc_readable"] == new_york["expiry_utc_readable"] == "01 Nov 2026 05:30"


@pytest.mark.requirement("T17")
@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("1", {}, [AUTOLOGOUS]),
        ("X", {}, [AUTOLOGOUS, BIOHAZARD]),
        ("8", {"donor_evaluation": "evaluated"}, [AUTOLOGOUS]),
        ("A", {}, []),
        ("V", {"donor_evaluation": "not_evaluated"}, [NOT_EVALUATED]),
        ("0", {"biohazard": "yes"}, [BIOHAZARD]),
        (
            "1",
            {"donor_evaluation": "not_evaluated", "biohazard": "yes"},
            [AUTOLOGOUS, NOT_EVALUATED, BIOHAZARD],
        ),
    ],
)
def test_the_product_decides_which_sentences_its_label_bears(
    kind: str, settings: dict[str, str], said: list[str]
) -> None:
    assert list(statements(settings, kind).values()) == said


def test_a_word_that_decides_no_sentence_is_a_fault_of_the_recipe() -> None:
    assert faults_of_settings({"donor_evaluation": "no"}) == [
        "recipe.donor_evaluation: write evaluated or not_evaluated."
    ]


@pytest.mark.requirement("T17")
def test_a_sentence_that_has_no_place_on_the_template_is_never_left_out() -> None:
    without = shipped_templates()["dose"].text.replace(
        '"donor_statement", "biohazard_statement"', '"other_statement"'
    )

    with pytest.raises(LabelNotDrawn, match="with donor_statement, which it does not print"):
        draw_label(read_template(without.encode()), final())


@pytest.mark.requirement("F-002", "T18")
def test_a_container_in_process_carries_the_chain_of_identity_and_is_not_for_administration() -> None:
    fields = in_process_fields(
        ORDERED, SETTINGS, batch="UNIT-1-00001", stage="Washed, before dosing", made_at=AT, time_zone=LONDON,
        product="Washed autologous cells", site="Ward", volume_ml="33", storage="20 to 24 °C", expires_at=AT,
    )  # fmt: skip

    label = read_off("in_process", fields)

    assert (label.din, label.coi, label.description_code) == (ORDERED.din, ORDERED.coi, "S9992")
    assert "IN PROCESS - NOT FOR ADMINISTRATION" in shipped_templates()["in_process"].fixed_words
    assert fields["autologous_statement"] == AUTOLOGOUS


@pytest.mark.requirement("F-002", "T20")
def test_a_sample_tube_says_by_its_flag_that_it_is_no_bag() -> None:
    fields = sample_fields(
        ORDERED, sample="UNIT-1-00001-S1", test="Count", batch="UNIT-1-00001", taken_at=AT, time_zone=LONDON
    )  # fmt: skip

    label = read_off("sample", fields)

    assert (label.din, label.flags, label.coi) == (ORDERED.din, "07", ORDERED.coi)


def test_the_label_of_a_print_test_says_nothing_that_could_be_a_product() -> None:
    fields = print_test_fields(
        printer="printer-1", title="Label printer", printed_at=AT, time_zone=LONDON, dpi=300
    )

    drawn = draw_label("print_test", fields)

    for text in drawn.symbols:
        with pytest.raises(isbt128.LabelRefused):
            isbt128.parse(text)


@pytest.mark.requirement("F-007", "T17")
@pytest.mark.parametrize("name", sorted(shipped_templates()))
def test_every_shipped_template_has_a_place_for_all_that_its_kind_must_say(name: str) -> None:
    plan = shipped_templates()[name]

    assert lacking(plan.head.kind, plan.fields, plan.fixed_words) == []
    for field in MINIMUM[plan.head.kind].fields:
        others = set(plan.fields) - {field}
        assert lacking(plan.head.kind, others, plan.fixed_words) == [
            f"A {plan.head.kind.replace('_', ' ')} label needs a place for {field}."
        ]
