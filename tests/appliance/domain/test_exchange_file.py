"""The file of a device: whatever the bytes, values come out exactly as written, or a refusal in words."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.domain.exchange_file import (
    BYTES_MAX,
    FILE_NAME,
    RESULTS_MAX,
    ExchangeFile,
    ExchangeFileUnusable,
    read,
)
from drivers.simulated.cell_processor import FAULTS, CellProcessor, Notation, main

STARTED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
GOOD = {
    "format": "cellwright-exchange/1",
    "serial_number": "SN-7",
    "programme": "WASH-2",
    "started": "2026-03-02T09:00:00Z",
    "ended": "2026-03-02T09:14:30Z",
    "results": {"recovery": {"value": "82", "unit": "%"}},
}
NOTATIONS: tuple[Notation, Notation] = ("json", "csv")


def refused(data: bytes) -> ExchangeFileUnusable:
    with pytest.raises(ExchangeFileUnusable) as unusable:
        read(data)
    return unusable.value


def changed(**fields: object) -> bytes:
    return json.dumps({name: one for name, one in (GOOD | fields).items() if one is not None}).encode()


@pytest.mark.requirement("F-036")
@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_good_file_says_what_the_device_wrote_digit_for_digit(notation: Notation) -> None:
    device = CellProcessor(results={"recovery": ("82.50", "%"), "cells_out": ("000040.0", "million cells")})

    said = read(device.run(STARTED, notation=notation))

    assert (said.serial_number, said.programme) == (device.serial_number, device.programme)
    assert (said.started, said.ended) == (STARTED, STARTED + timedelta(hours=3))
    assert {one.name: (one.value, one.unit) for one in said.results} == device.results


def test_a_number_of_json_keeps_its_digits_too() -> None:
    text = changed().decode().replace('"82"', "82.10000000")

    assert read(text.encode()).results[0].value == "82.10000000"


BROKEN = {
    "nothing": (b" \r\n", "cut_off"),
    "too much": (b"{" + b" " * BYTES_MAX + b"}", "too_large"),
    "another format": (changed(format="cellwright-exchange/2"), "malformed"),
    "a key that nobody knows": (changed(patient="Hana"), "malformed"),
    "a name twice": (changed().replace(b'"programme"', b'"serial_number"'), "malformed"),
    "no serial number": (changed(serial_number=None), "malformed"),
    "a serial number of blanks": (changed(serial_number="  "), "malformed"),
    "a text that turns its writing round": (changed(programme="WASH\u202e2"), "malformed"),
    "a text that is half a character": (changed(programme="\ud800"), "malformed"),
    "a time without its zone": (changed(started="2026-03-02T09:00:00"), "malformed"),
    "a time of another zone": (changed(started="2026-03-02T09:00:00+01:00"), "malformed"),
    "a day that no calendar has": (changed(started="2026-02-30T09:00:00Z"), "malformed"),
    "an hour that no clock has": (changed(started="2026-03-02T25:00:00Z"), "malformed"),
    "an end before its start": (changed(ended="2026-03-02T08:00:00Z"), "malformed"),
    "no results": (changed(results={}), "malformed"),
    "results that are none": (changed(results=[]), "malformed"),
    "a result without a unit": (changed(results={"recovery": {"value": "82"}}), "malformed"),
    "a value with an exponent": (changed(results={"recovery": {"value": "8e1", "unit": "%"}}), "malformed"),
    "a value that is none": (changed(results={"recovery": {"value": None, "unit": "%"}}), "malformed"),
    "not a number": (changed().replace(b'"82"', b"NaN"), "malformed"),
    "a deep nest": (b'{"results":' + b"[" * 30_000 + b"}", "malformed"),
    "a list": (b"[]", "malformed"),
    "a CSV of something else": (b"date;value\r\n1;2\r\n", "malformed"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(128, 200)), "not_text"),
    "an end that counts wrong": (
        CellProcessor().run(STARTED, notation="csv").replace(b"end,10", b"end,11"),
        "cut_off",
    ),
    "a line too many": (
        CellProcessor().run(STARTED, notation="csv").replace(b"end,10", b"note,x,y\r\nend,11"),
        "malformed",
    ),
    "an open quote": (
        CellProcessor().run(STARTED, notation="csv").replace(b"SELECT", b'"SELECT'),
        "malformed",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_no_exchange_file_is_refused_with_its_reason(fault: str) -> None:
    data, reason = BROKEN[fault]

    assert refused(data).reason == reason
    assert str(refused(data)).endswith((".", "bytes."))


def test_more_results_than_fit_are_refused() -> None:
    many = {f"r{number}": {"value": "1", "unit": ""} for number in range(RESULTS_MAX + 1)}

    assert refused(changed(results=many)).reason == "malformed"
    assert refused(b"\n".join([b"cellwright-exchange/1", *[b"a,b"] * 5_000])).reason == "malformed"


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_file_that_ends_anywhere_before_its_end_is_refused(notation: Notation) -> None:
    data = CellProcessor().run(STARTED, notation=notation)

    for length in range(len(data.rstrip())):
        refused(data[:length])


@settings(derandomize=True, deadline=None, max_examples=400)
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace")))
@example(data=b"{}")
@example(data=b"cellwright-exchange/1\nend,1\n")
@example(data=b'{"format":"cellwright-exchange/1","results":{"a":{"value":1,"unit":"%"}}}')
def test_any_bytes_are_values_or_a_typed_refusal(data: bytes) -> None:
    try:
        said = read(data)
    except ExchangeFileUnusable as unusable:
        assert str(unusable) and unusable.reason
    else:
        assert isinstance(said, ExchangeFile)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    notation=st.sampled_from(NOTATIONS),
    place=st.integers(0, 400),
    cut=st.integers(0, 20),
    put=st.binary(max_size=12),
)
def test_a_good_file_with_bytes_changed_is_values_or_a_typed_refusal(
    notation: Notation, place: int, cut: int, put: bytes
) -> None:
    data = CellProcessor().run(STARTED, notation=notation)
    changed_data = data[:place] + put + data[place + cut :]
    try:
        said = read(changed_data)
    except ExchangeFileUnusable:
        return
    assert all(one.value.replace(".", "").lstrip("-").isdecimal() for one in said.results)
    assert said.started <= said.ended and said.started.utcoffset() == timedelta(0)


TEXTS = st.text(
    st.characters(categories=("L", "N", "P"), exclude_characters='"'), min_size=1, max_size=40
).filter(str.isprintable)
NUMBERS = st.from_regex(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", fullmatch=True)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    serial=TEXTS.filter(lambda text: "," not in text),
    programme=TEXTS.filter(lambda text: "," not in text),
    value=NUMBERS,
    notation=st.sampled_from(NOTATIONS),
)
def test_what_a_device_writes_is_what_is_read(
    serial: str, programme: str, value: str, notation: Notation
) -> None:
    device = CellProcessor(serial_number=serial, programme=programme, results={"recovery": (value, "%")})

    said = read(device.run(STARTED, notation=notation))

    assert (said.serial_number, said.programme) == (serial, programme)
    assert said.results[0].value == value


def test_the_simulated_device_repeats_its_file_and_its_faults_by_seed() -> None:
    for fault in FAULTS:
        first, again = (CellProcessor().run(STARTED, fault=fault, seed=5) for _ in range(2))
        assert first == again
    device = CellProcessor()
    written = device.run(STARTED)
    assert device.run(STARTED + timedelta(days=1), fault="twice_the_same") == written


def test_the_simulated_device_writes_its_file_whole_under_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--out", str(tmp_path / "stick" / "run.csv"), "--minutes", "5"]) == 0

    assert [path.name for path in (tmp_path / "stick").iterdir()] == ["run.csv"]
    assert read((tmp_path / "stick" / "run.csv").read_bytes()).programme == "SELECT-CD34"
    assert "run.csv" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["run.json", "RUN-0007.CSV", "2026-03-02_09.15.csv"])
def test_plain_names_are_offered(name: str) -> None:
    assert FILE_NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", [".run.json", "a/b.json", "run.json.part", "-run.json", "ru n.json", "rün.json"]
)
def test_other_names_are_not(name: str) -> None:
    assert not FILE_NAME.fullmatch(name)
