"""Readings in the telemetry log: every digit comes back, gaps stay gaps, and old chunks stay readable."""

from __future__ import annotations

import base64
import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_bench import BATCH, new_record, run_batch, stamp

from appliance.record import archive
from appliance.record.canonical import NewRecord, StoredRecord, encode_payload, split_record
from appliance.record.errors import RecordRefused
from appliance.record.export import export_batch
from appliance.record.log import Record
from appliance.record.measurements import (
    KIND,
    PAYLOAD_VERSION,
    ChunkWriter,
    channels,
    minutes,
)
from appliance.record.series import BitReader, BitWriter
from appliance.record.telemetry_chunk import QUALITIES, Chunk, Row, Track, pack, table_of, unpack

START = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
PAGE = Path(__file__).parents[3] / "docs" / "record-format.md"


def put(record: Record, body: dict[str, Any], *, second: int = 0, version: int = PAYLOAD_VERSION) -> int:
    new = NewRecord(
        kind=KIND,
        payload=encode_payload(BATCH, None, body),
        actor="unit",
        stamp=stamp(second),
        payload_version=version,
        log="telemetry",
    )
    return record.append_many([new])[0].seq


def minute_of(number: int, *tracks: Track, span: int = 60) -> Chunk:
    return Chunk(START + timedelta(minutes=number), 1000, span, list(tracks))


def good(device: str, name: str, values: list[str | None], unit: str = "degC") -> Track:
    qualities = ["bad" if value is None else "good" for value in values]
    return Track(device, name, unit, list(range(len(values))), values, qualities)


texts = st.one_of(
    st.none(),
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-1000, max_value=1000).map(str),
    st.sampled_from(
        ["0", "-0.00", "37", "37.0", "37.00", "9.99", "10.0", "1E-7", "007", "+1", "", "open", "é"]
    ),
)


@st.composite
def chunks_of_anything(draw: st.DrawFn) -> Chunk:
    tracks = []
    for number in range(draw(st.integers(0, 3))):
        ticks = sorted(draw(st.sets(st.integers(0, 89), min_size=1, max_size=30)))
        kind = draw(st.sampled_from([texts, st.integers(-(10**17), 10**17).map(str), st.just("21.5")]))
        values = draw(st.lists(kind, min_size=len(ticks), max_size=len(ticks)))
        qualities = [draw(st.sampled_from(QUALITIES)) for _ in ticks]
        tracks.append(Track(f"device-{number}", "reading", "mL", ticks, values, qualities))
    return Chunk(START, draw(st.sampled_from([1, 1000, 10_000])), 90, tracks)


@pytest.mark.requirement("R-45")
@settings(derandomize=True, deadline=None, max_examples=300)
@given(chunks_of_anything())
def test_what_is_packed_comes_back_to_the_last_digit(chunk: Chunk) -> None:
    table = table_of(chunk.tracks)

    again = unpack(pack(chunk, table, 0), lambda _: table)

    assert [one.track() for one in again.tracks] == chunk.tracks
    assert (again.start, again.tick_ms, again.span) == (chunk.start, chunk.tick_ms, chunk.span)
    assert [one.track() for one in unpack(pack(chunk, table, 7), lambda _: table).tracks] == chunk.tracks


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.one_of(
        st.lists(st.integers(-(2**58), 2**58), min_size=1, max_size=70),
        st.lists(st.integers(-3, 3), min_size=1, max_size=70),
        st.lists(st.sampled_from([0, 0, 0, 1, 10_000_000]), min_size=1, max_size=70),
    ),
    st.integers(-(2**58), 2**58),
)
def test_any_numbers_come_back_from_their_bits(values: list[int], near: int) -> None:
    writer = BitWriter()
    writer.series(values, near)
    writer.text("°")

    reader = BitReader(writer.bytes())

    assert reader.series(len(values), near) == values
    assert reader.text() == "°"
    assert reader.at_end()


@pytest.mark.requirement("R-36")
@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_chunk_or_are_refused(raw: bytes) -> None:
    try:
        unpack(raw, lambda _: (Row("a", "b", "c", 1, 0),))
    except RecordRefused:
        return


def test_one_changed_bit_of_a_chunk_never_crashes_its_reader() -> None:
    chunk = minute_of(0, good("bath", "bath_c", ["37.0", "37.1", None, "36.9"] * 15), span=60)
    raw = pack(chunk, table_of(chunk.tracks), 0)
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            unpack(bytes(changed), lambda _: ())
        except RecordRefused:
            continue


@pytest.mark.requirement("F-053", "R-45")
def test_channels_are_read_back_with_times_qualities_and_gaps(tmp_path: Path) -> None:
    writer = ChunkWriter()
    valve = Track("valve", "state", "", [0, 30], ["open", "shut"], ["good", "uncertain"])
    with new_record(tmp_path / "record") as record:
        writer.stored(put(record, writer.body(minute_of(0, good("bath", "bath_c", ["37.0", None]), valve))))
        later = minute_of(2, good("bath", "bath_c", ["36.90"]))
        writer.stored(put(record, writer.body(later), second=120))

        found = {(device, name): (unit, samples) for device, name, unit, samples in channels(record)}

    assert found["bath", "bath_c"] == (
        "degC",
        [
            (START, Decimal("37.0"), "good"),
            (START + timedelta(seconds=1), None, "bad"),
            (START + timedelta(minutes=2), Decimal("36.90"), "good"),
        ],
    )
    assert str(found["bath", "bath_c"][1][2][1]) == "36.90"
    assert found["valve", "state"][1] == [
        (START, "open", "good"),
        (START + timedelta(seconds=30), "shut", "uncertain"),
    ]


def test_a_part_of_the_time_is_read_alone(tmp_path: Path) -> None:
    writer = ChunkWriter()
    with new_record(tmp_path / "record") as record:
        for number in range(5):
            body = writer.body(minute_of(number, good("bath", "bath_c", [f"{number}.5"] * 60)))
            writer.stored(put(record, body, second=60 * (number + 1)))

        first, last = START + timedelta(seconds=150), START + timedelta(seconds=200)
        ((_, _, _, samples),) = channels(record, first, last)
        ((_, _, _, rows),) = minutes(record, first, last)

    assert [moment for moment, _, _ in samples] == [first + timedelta(seconds=n) for n in range(50)]
    assert [row.begin for row in rows] == [START + timedelta(minutes=2), START + timedelta(minutes=3)]


def test_a_minute_is_summed_up_by_its_extremes_and_its_worst(tmp_path: Path) -> None:
    writer = ChunkWriter()
    valve = Track("valve", "state", "", [0], ["open"], ["good"])
    with new_record(tmp_path / "record") as record:
        bath = good("bath", "bath_c", ["37.0", "36.8", None, "37.4", "37.1"])
        writer.stored(put(record, writer.body(minute_of(0, bath, valve))))
        calm = good("bath", "bath_c", ["37.2", "37.0"])
        writer.stored(put(record, writer.body(minute_of(1, calm)), second=60))

        rows = {(device, name): found for device, name, _, found in minutes(record)}

    worst, calm_row = rows["bath", "bath_c"]
    assert (worst.low, worst.high, worst.last) == (Decimal("36.8"), Decimal("37.4"), Decimal("37.1"))
    assert worst.quality == "bad"
    assert (str(calm_row.low), str(calm_row.high), str(calm_row.last)) == ("37.0", "37.2", "37.0")
    assert (rows["valve", "state"][0].low, rows["valve", "state"][0].last) == (None, "open")


@pytest.mark.requirement("F-062")
def test_chunks_of_the_first_version_are_read_for_ever(tmp_path: Path) -> None:
    samples = [[0, "37.0", "good"], [1003, None, "bad"], [2001, "36.95", "uncertain"]]
    body = {
        "from": "2026-11-21T07:30:00+00:00",
        "to": "2026-11-21T07:31:00+00:00",
        "channels": [
            {"device": "bath", "name": "bath_c", "unit": "degC", "samples": samples},
            {"device": "empty", "name": "nothing", "unit": "", "samples": []},
        ],
    }
    with new_record(tmp_path / "record") as record:
        put(record, body, version=1)
        ((device, name, unit, found),) = channels(record)

    assert (device, name, unit) == ("bath", "bath_c", "degC")
    assert found == [
        (START, Decimal("37.0"), "good"),
        (START + timedelta(milliseconds=1003), None, "bad"),
        (START + timedelta(milliseconds=2001), Decimal("36.95"), "uncertain"),
    ]


def test_names_are_written_once_an_hour_and_found_again_from_the_middle(tmp_path: Path) -> None:
    writer = ChunkWriter()
    sizes = []
    with new_record(tmp_path / "record") as record:
        for number in range(70):
            body = writer.body(minute_of(number, good("a-device-with-a-long-name", "bath_c", ["1.5"])))
            sizes.append(len(body["chunk"]))
            writer.stored(put(record, body, second=60 * (number + 1)))
        ((_, _, _, rows),) = minutes(record, START + timedelta(minutes=65))
        alone = [stored for stored in record.read(log="telemetry") if stored.seq > 65]
        with pytest.raises(RecordRefused, match="names of these channels"):
            list(minutes(alone))

    assert [number for number, size in enumerate(sizes) if size > min(sizes) + 20] == [0, 60]
    assert len(rows) == 6


def test_an_archive_has_the_names_of_its_channels_even_from_before_its_batch(tmp_path: Path) -> None:
    writer = ChunkWriter()
    with new_record(tmp_path / "record") as record:
        before = encode_payload(None, None, writer.body(minute_of(0, good("bath", "bath_c", ["1.5"]))))
        named = NewRecord(
            kind=KIND, payload=before, actor="unit", stamp=stamp(), payload_version=2, log="telemetry"
        )
        writer.stored(record.append_many([named])[0].seq)
        record.seal(stamp(1), log="telemetry")
        run_batch(record)
        put(record, writer.body(minute_of(1, good("bath", "bath_c", ["2.5"]))), second=60)
        record.seal(stamp(99), log="telemetry")
        path = export_batch(record, BATCH, tmp_path, report_html=b"<title>x</title>")

    raw = archive.take_apart(path.read_bytes()).entries["records/telemetry.bin"]
    stored = [StoredRecord(split_record(one)[0].seq, b"", one) for one in archive.unframe(raw)]
    ((_, _, _, samples),) = channels(stored)
    assert [str(value) for _, value, _ in samples] == ["1.5", "2.5"]


def test_a_new_channel_brings_its_name_along(tmp_path: Path) -> None:
    writer = ChunkWriter()
    with new_record(tmp_path / "record") as record:
        writer.stored(put(record, writer.body(minute_of(0, good("bath", "bath_c", ["1"])))))
        both = minute_of(1, good("bath", "bath_c", ["1"]), good("pump", "flow", ["2.50"], "mL/min"))
        writer.stored(put(record, writer.body(both), second=60))
        names = [(device, unit) for device, _, unit, _ in channels(record)]

    assert names == [("bath", "degC"), ("pump", "mL/min")]


def test_a_chunk_that_was_not_stored_leaves_the_names_for_the_next_one() -> None:
    writer = ChunkWriter()
    lost = writer.body(minute_of(0, good("bath", "bath_c", ["1.5"])))
    kept = writer.body(minute_of(1, good("bath", "bath_c", ["1.5"])))

    assert len(lost["chunk"]) == len(kept["chunk"])


def test_noise_at_the_last_digit_costs_little_more_than_the_noise_itself() -> None:
    chance = random.Random(1)
    values = [f"{3700 + round(chance.gauss(0, 1))}" for _ in range(6000)]
    numbers = [value[:-2] + "." + value[-2:] for value in values]
    tracks = [Track("d", f"channel-{n:03}", "degC", list(range(60)), numbers[60 * n :][:60], ["good"] * 60)
              for n in range(100)]  # fmt: skip
    table = table_of(tracks)

    raw = pack(Chunk(START, 1000, 60, tracks), table, 1)

    # The noise alone has 2.1 bits a reading: no packing can take fewer.
    assert 8 * len(raw) / 6000 < 2.7


def golden() -> dict[str, str]:
    """The fenced blocks of the section on telemetry."""
    found = {}
    for block in PAGE.read_text().split("```")[1::2]:
        head, _, text = block.partition("\n")
        found[head] = text.strip()
    return found


@pytest.mark.requirement("F-062")
def test_the_golden_chunk_comes_out_to_the_byte() -> None:
    blocks = golden()
    told = json.loads(blocks["json chunk"])
    tracks = [
        Track(one["device"], one["name"], one["unit"], one["ticks"], one["values"], one["qualities"])
        for one in told["channels"]
    ]
    chunk = Chunk(datetime.fromisoformat(told["start"]), told["tick_ms"], told["span"], tracks)
    raw = bytes.fromhex(blocks["hex chunk"].replace("\n", ""))

    assert pack(chunk, table_of(tracks), 0) == raw
    assert [one.track() for one in unpack(raw, lambda _: ()).tracks] == tracks
    assert base64.b85encode(raw).decode() == blocks["text chunk"]
