"""Readings become chunks, and a signed event of the gxp log names the head of the telemetry log."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from engine_room import BEN, START, Room, make_room, told

from appliance.domain import events as ev
from appliance.record.measurements import channels
from appliance.record.verify import verify_folder


def reads(room: Room, value: str | None = "37.00", quality: str = "good") -> None:
    """A device says one thing now."""
    now = room.clock.utc()
    reading = {
        "name": "bath_c",
        "value": value,
        "unit": "degC",
        "quality": quality,
        "source_time": now.isoformat(),
    }
    room.engine.readings.take("bath", [reading], at=now, now_ns=room.clock.monotonic_ns())


def anchors(room: Room) -> list[ev.MeasurementsSealed]:
    return [event for event in room.events(ev.MeasurementsSealed) if isinstance(event, ev.MeasurementsSealed)]


@pytest.mark.requirement("R-45", "F-053")
def test_a_minute_of_readings_is_one_record_with_every_digit(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        for value in ("37.00", "37.01", None, "36.9"):
            reads(room, value, "bad" if value is None else "good")
            room.clock.advance(15.0)
        await room.engine.telemetry.tick()

        assert room.engine.record.head("telemetry").seq == 2
        ((device, _, unit, samples),) = channels(room.engine.record)
        assert (device, unit) == ("bath", "degC")
        assert [(moment, None if value is None else str(value)) for moment, value, _ in samples] == [
            (START, "37.00"),
            (START + timedelta(seconds=15), "37.01"),
            (START + timedelta(seconds=30), None),
            (START + timedelta(seconds=45), "36.9"),
        ]

    told(room, story)


@pytest.mark.requirement("R-02", "R-38")
def test_the_head_is_anchored_each_hour_and_only_when_it_grew(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        for _ in range(130):
            reads(room)
            room.clock.advance(60.0)
            await room.engine.telemetry.tick()
        said = anchors(room)
        for _ in range(3):
            room.clock.advance(3700.0)
            await room.engine.telemetry.tick()
        once_more = anchors(room)

        assert [anchor.why for anchor in said] == ["hour", "hour"]
        for anchor in said:
            head = next(room.engine.record.read(anchor.telemetry_seq, anchor.telemetry_seq, log="telemetry"))
            assert head.hash.hex() == anchor.telemetry_hash
        assert len(list(room.engine.record.segments(log="telemetry"))) == 2 + len(once_more) - len(said)
        assert len(once_more) - len(said) <= 1

    told(room, story)


def test_the_head_is_anchored_where_a_phase_ends_and_where_the_batch_ends(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.begins_batch()
        reads(room)
        await room.answers("clear/clear")
        await room.done("answer", {"prompt": "clear/clear.verify", "values": {}}, BEN.by_pin)
        await room.until(lambda: len(anchors(room)) == 1)

        assert anchors(room)[0].why == "end of clear"
        await room.engine.seal_soon()
        verdict = verify_folder(room.home.record)
        assert verdict.whole, verdict.words

    told(room, story)


def test_a_sealed_batch_stands_on_signed_telemetry(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        reads(room)
        await room.goes_to("seal/verified")
        reads(room, "36.5")
        await room.done("answer", {"prompt": "seal/verified", "values": {}}, BEN.by_password)
        await room.until(lambda: room.batch.sealed is not None)
        await room.engine.seal_soon()

        sealed = room.batch.sealed
        assert sealed is not None
        *_, last = room.engine.record.segments(log="telemetry")
        assert last.last >= sealed.telemetry_seq > 1
        assert verify_folder(room.home.record).whole

    told(room, story)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root can mount a small disk here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.requirement("R-38")
def test_on_a_nearly_full_disk_trends_are_kept_sparingly_and_it_is_on_record(tiny_disk: Path) -> None:
    room = make_room(tiny_disk)

    async def story() -> None:
        status = os.statvfs(tiny_disk)
        ballast = tiny_disk / "ballast"
        ballast.write_bytes(bytes(int(status.f_bavail * status.f_frsize - 0.02 * 64 * 1024 * 1024)))
        reads(room)
        room.clock.advance(60.0)
        await room.engine.telemetry.tick()
        for _ in range(60):
            reads(room)
            room.clock.advance(1.0)
        await room.engine.telemetry.tick()
        ballast.unlink()
        reads(room)
        room.clock.advance(60.0)
        await room.engine.telemetry.tick()

        ((_, _, _, samples),) = channels(room.engine.record)
        assert len(samples) == 1 + 6 + 1
        faults = [event.words for event in room.events(ev.RecordFaultSeen)]  # type: ignore[attr-defined]
        assert "once in 10 seconds" in faults[0] and "every second" in faults[1]
        assert room.engine.readings.samples.every_ticks == 1

    told(room, story)
