"""Which readings are kept for the telemetry log, and how a chunk of them ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.engine.samples import FINISHED_MAX, LONGEST_TICKS, SPARING_TICKS, Samples
from appliance.record.telemetry_chunk import Chunk

START = datetime(2026, 11, 21, 7, 30, tzinfo=UTC)
BATH = ("bath", "bath_c", "degC")


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def polled(samples: Samples, *moments: float) -> None:
    for moment in moments:
        samples.take(BATH, f"{moment}", "good", after(moment))


def only(chunks: list[Chunk]) -> Chunk:
    (chunk,) = chunks
    return chunk


def test_the_first_reading_of_each_second_is_kept() -> None:
    samples = Samples()
    polled(samples, 0.2, 0.4, 0.9, 1.1, 1.5, 3.0)

    chunk = only(samples.finished(after(60.3)))

    assert (chunk.start, chunk.tick_ms) == (START, 1000)
    assert (chunk.tracks[0].ticks, chunk.tracks[0].values) == ([0, 1, 3], ["0.2", "1.1", "3.0"])


def test_a_minute_is_over_after_a_minute_and_not_before() -> None:
    samples = Samples()
    polled(samples, 0.0, 59.0)

    assert samples.finished(after(59.9)) == []
    assert only(samples.finished(after(60.0))).span == 61
    assert samples.finished(after(70.0)) == []


def test_a_chunk_can_be_ended_early_and_knows_how_long_it_watched() -> None:
    samples = Samples()
    polled(samples, 0.0)

    assert only(samples.finished(after(10.5), force=True)).span == 11


@pytest.mark.requirement("R-12")
def test_a_clock_that_is_set_begins_another_chunk_and_loses_nothing() -> None:
    samples = Samples()
    polled(samples, 0.0, 30.0, -3600.0, -3599.0, 7200.0)

    chunks = samples.finished(after(7200), force=True)

    assert [chunk.start for chunk in chunks] == [START, after(-3600), after(7200)]
    assert [chunk.tracks[0].ticks for chunk in chunks] == [[0, 30], [0, 1], [0]]
    assert all(chunk.span <= LONGEST_TICKS for chunk in chunks)


def test_a_clock_set_back_while_nothing_comes_in_cuts_nothing_off() -> None:
    samples = Samples()
    polled(samples, 0.0, 30.0)

    chunk = only(samples.finished(after(-100)))

    assert chunk.tracks[0].ticks == [0, 30]
    assert chunk.span == 31


def test_sparing_keeps_one_reading_in_ten_seconds() -> None:
    samples = Samples(every_ticks=SPARING_TICKS)
    polled(samples, *range(60))

    assert only(samples.finished(after(60))).tracks[0].ticks == [0, 10, 20, 30, 40, 50]


def test_a_unit_that_changes_makes_another_channel() -> None:
    samples = Samples()
    samples.take(("scale", "weight", "g"), "1.0", "good", START)
    samples.take(("scale", "weight", "kg"), "0.001", "good", after(1))

    assert [track.unit for track in only(samples.finished(after(60))).tracks] == ["g", "kg"]


def test_chunks_that_could_not_be_written_wait_in_order_and_are_bounded() -> None:
    samples = Samples()
    polled(samples, 0.0)
    first = samples.finished(after(60))
    polled(samples, 61.0)
    samples.put_back(first)

    assert [chunk.start for chunk in samples.finished(after(200))] == [START, after(61)]

    samples.put_back(first * 100)
    assert len(samples.finished(after(200))) == FINISHED_MAX
