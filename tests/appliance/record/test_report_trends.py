"""Trends of a report: thinned at once and one by one alike, gaps kept, nothing between them made up."""

from __future__ import annotations

import base64
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_bench import BATCH, BOOT_ID, EPOCH

from appliance.record.canonical import Header, StoredRecord, encode_payload, encode_record
from appliance.record.errors import RecordRefused
from appliance.record.measurements import KIND, PAYLOAD_VERSION, ChunkWriter
from appliance.record.report import trends as report_trends
from appliance.record.report import unpacked as report_unpacked
from appliance.record.report.trends import Grid, Trend
from appliance.record.telemetry_chunk import Chunk, Track

BEGIN = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
MINUTES = 200


def stored(seq: int, body: dict[str, object]) -> StoredRecord:
    header = Header(
        unit="unit-0001", log="telemetry", epoch=EPOCH, seq=seq, wall=BEGIN + timedelta(minutes=seq),
        monotonic_ns=seq, boot_id=BOOT_ID, clock_quality=2, algorithm=1, payload_version=PAYLOAD_VERSION,
        down_cursor=0, actor="unit", kind=KIND,
    )  # fmt: skip
    return StoredRecord(seq, bytes(32), encode_record(header, encode_payload(BATCH, None, body)))


def channel(number: int, minute: int, chance: random.Random) -> Track:
    """Noise, a ramp, a constant, a jump, a state in words: what rigs say."""
    names = ("rig", f"channel_{number}", "°C")
    ticks = list(range(60))
    match number:
        case 0:
            values = [f"{37 + chance.gauss(0, 0.05):.2f}" for _ in ticks]
        case 1:
            values = [f"{(60 * minute + tick) / 10:.1f}" for tick in ticks]
        case 2:
            values = ["20.0"] * 60
        case 3:
            values = [f"{-5 if tick < 30 else 900 + minute}" for tick in ticks]
        case 4:
            values = [chance.choice(["infusing", "stopped"]) for _ in ticks]
        case _:
            values = [f"{chance.random():.{chance.randint(1, 3)}f}" for _ in ticks]
    return Track(*names, ticks, list(values), ["good"] * 60)


def written(oddities: bool, *, often: float = 0.95) -> list[StoredRecord]:
    writer, chance = ChunkWriter(), random.Random(5)
    made = []
    for minute in range(MINUTES):
        if minute in (40, 41, 150):
            continue
        tracks = [channel(number, minute, chance) for number in range(6) if chance.random() < often]
        if oddities and minute % 17 == 0 and tracks:
            tracks[0].values[7], tracks[0].qualities[7] = None, "bad"
        if oddities and minute % 23 == 0 and tracks:
            one = tracks[-1]
            del one.ticks[20:45], one.values[20:45], one.qualities[20:45]
        chunk = Chunk(BEGIN + timedelta(minutes=minute), 1000, 60, tracks)
        made.append(stored(minute + 1, writer.body(chunk)))
        writer.stored(minute + 1)
    return made


def thinned(records: list[StoredRecord], monkeypatch: pytest.MonkeyPatch, fewest: int) -> list[Trend]:
    monkeypatch.setattr(report_trends, "FEWEST_AT_ONCE", fewest)
    by_number = {one.seq: one for one in records}
    grid = Grid.over(BEGIN + timedelta(minutes=3, seconds=17), BEGIN + timedelta(minutes=MINUTES))
    return report_trends.trends(records, by_number.get, grid)


@pytest.mark.parametrize("oddities", [False, True])
def test_chunks_read_at_once_say_what_they_say_one_by_one(
    monkeypatch: pytest.MonkeyPatch, oddities: bool
) -> None:
    records = written(oddities)

    at_once = thinned(records, monkeypatch, 8)
    one_by_one = thinned(records, monkeypatch, 10**6)

    assert len(at_once) == 6
    for fast, slow in zip(at_once, one_by_one, strict=True):
        assert fast == slow
    assert at_once[0].gaps and at_once[4].texts.keys() == {"infusing", "stopped"}


@pytest.mark.requirement("F-050")
def test_lost_minutes_are_gaps_and_every_reading_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ramp = thinned(written(False, often=1), monkeypatch, 8)[1]

    begin = timedelta(minutes=3, seconds=17)
    lost = [(timedelta(minutes=40), timedelta(minutes=42)), (timedelta(minutes=150), timedelta(minutes=151))]
    millisecond, second = timedelta(milliseconds=1), timedelta(seconds=1)
    assert ramp.gaps == [
        ((first - second - begin) // millisecond, (then - begin) // millisecond) for first, then in lost
    ]
    assert ramp.readings == 60 * (MINUTES - 3) - (3 * 60 + 17)
    assert min(low for low, _ in ramp.buckets.values()) == (3 * 60 + 17) / 10
    assert max(high for _, high in ramp.buckets.values()) == (60 * MINUTES - 1) / 10


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5))
def test_many_texts_in_base_85_are_read_as_one_is(raw: list[bytes]) -> None:
    texts = [base64.b85encode(one).decode() for one in raw]
    assert report_unpacked._decoded(texts) == raw


def test_a_text_that_is_not_base_85_is_refused() -> None:
    with pytest.raises(RecordRefused):
        report_unpacked._decoded(["ab\x00cd"])
    with pytest.raises(RecordRefused):
        report_unpacked._decoded(["~~~~~"])
