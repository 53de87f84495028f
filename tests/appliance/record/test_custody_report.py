"""What a reviewer reads of consent, hands and roads, on the page and at the terminal."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from record_bench import BATCH, new_record, stamp, write

from appliance.consent_command import consent
from appliance.domain import events as ev
from appliance.record.command import report_of
from appliance.record.log import Record
from appliance.record.report.batch_record import page
from appliance.record.report.exceptions import SOMETIMES
from sync.central.exceptions import exception_in

MINE, OTHER = "CHA999926000001", "CHA999926000002"
GIVEN = ev.ConsentRecorded(
    consent="CONSENT-1",
    coi=MINE,
    patient="DEMO7F3A",
    received_from="study nurse",
    given_on="2026-11-20",
    first_person="p-0001",
    second_person="p-0002",
)
TAKEN_BACK = ev.ConsentWithdrawn(
    consent="CONSENT-1",
    coi=MINE,
    patient="DEMO7F3A",
    received_from="ward physician",
    withdrawn_at="2026-11-21T07:30:00+00:00",
    reason="The patient called",
    noted_by="p-0001",
)
PASSED = ev.CustodyTransferred(
    phase="receive_bag",
    coi=MINE,
    kind="bag",
    key="A999926123456|S9991|00",
    giver="Night courier 7",
    receiver="p-0001",
    place="Ward 7",
    holder="unit",
    seal_number="SEAL-0042",
    seal="broken",
    temperature_c="-182.5",
)
ROAD = ev.TransportRecorded(
    phase="receive_bag",
    coi=MINE,
    key="A999926123456|S9991|00",
    shipper="DRY-0042",
    logger="LOG-17",
    packing="Dry shipper",
    sent_from="Apheresis centre",
    sent_to="Ward 7",
    started="2026-11-20T07:30:00+00:00",
    ended="2026-11-21T07:00:00+00:00",
    readings=142,
    lowest_c="-185",
    highest_c="-140.5",
    range_c=["-200", "-150"],
    gaps=[{"at": "2026-11-20T12:00:00+00:00", "minutes": "25"}],
    excursions=[{"at": "2026-11-20T20:00:00+00:00", "minutes": "30", "furthest_c": "-140.5"}],
    outside_min="30",
    verdict="excursion",
)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A batch whose consent was given before it, and withdrawn in it; another patient's is on record too."""
    made = new_record(tmp_path / "record")
    write(made, "ConsentRecorded", ev.to_body(GIVEN), batch=None)
    told = [{"withdrawn": False, "said": ev.to_body(GIVEN)}]
    opened = {
        "order_id": "ORD-1",
        "order_text": json.dumps({"coi": MINE}),
        "time_zone": "Europe/London",
        "unit_before": {"consents": json.dumps(told)},
    }
    write(made, "BatchOpened", opened)
    for event in (PASSED, ROAD):
        write(made, type(event).__name__, ev.to_body(event))
    other = dataclasses.replace(TAKEN_BACK, coi=OTHER, consent="CONSENT-OTHER")
    for event in (TAKEN_BACK, other):
        write(made, "ConsentWithdrawn", ev.to_body(event), batch=None)
    write(made, "PhaseHolding", {"phase": "thaw", "reason": "consent_withdrawn", "words": "Withdrawn"})
    made.seal(stamp(99))
    return made


def section_of(record: Record) -> str:
    text = page(report_of(record, BATCH)).decode()
    begin = text.index("Consent, custody and transport", text.index("Consent, custody and transport") + 1)
    return text[begin : text.index("Labels and hand-over", begin)]


@pytest.mark.requirement("F-006", "F-011", "T31")
def test_the_batch_record_tells_of_consent_hands_and_roads(record: Record) -> None:
    said = section_of(record)

    for words in (
        "CONSENT-1", "study nurse", "given", "withdrawn", "ward physician: The patient called",
        "Night courier 7 to p-0001", "A999926123456 S9991 00", "SEAL-0042 broken", "-182.5",
        "DRY-0042, LOG-17; Dry shipper", "142 readings", "-185 to -140.5 °C; allowed -200 to -150 °C",
        "30 min outside; 1 gaps", "excursion", "for 30 min, as far as -140.5 °C", "for 25 min",
    ):  # fmt: skip
        assert words in said, words


@pytest.mark.requirement("F-011")
def test_of_another_patients_consent_the_section_says_nothing(record: Record) -> None:
    assert "CONSENT-OTHER" not in section_of(record)


@pytest.mark.requirement("F-059", "T31")
def test_a_withdrawal_and_a_bad_transport_are_exceptions_at_the_unit_and_at_central() -> None:
    body = ev.to_body(ROAD)
    good = ev.to_body(dataclasses.replace(ROAD, verdict="pass"))
    judge = SOMETIMES["TransportRecorded"][1]

    assert "excursion" in judge(body)
    assert judge(good) == ""
    assert exception_in("TransportRecorded", body) == (
        "Transport",
        "Shipper DRY-0042, verdict excursion: 30 min outside -200, -150 °C",
    )
    assert exception_in("TransportRecorded", good) is None
    assert exception_in("ConsentWithdrawn", ev.to_body(TAKEN_BACK)) == ("Consent", "The patient called")


@pytest.mark.requirement("F-011")
@pytest.mark.parametrize("id", ["", "CONSENT-1", MINE, "DEMO7F3A"])
def test_the_command_shows_what_the_record_says_of_consents(
    record: Record, capsys: pytest.CaptureFixture[str], id: str
) -> None:
    folder = str(record.folder)
    record.close()

    code = consent(["show", *filter(None, [id]), "--record", folder])

    said = capsys.readouterr().out
    assert code == 0
    assert f"CONSENT-1 of {MINE}, patient DEMO7F3A: recorded, signed on 2026-11-20" in said
    assert "withdrawn, received from ward physician: The patient called" in said


def test_the_command_says_when_the_record_names_no_such_consent(
    record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(record.folder)
    record.close()

    assert consent(["show", "CONSENT-9", "--record", folder]) == 1
    assert "names no such consent" in capsys.readouterr().err
