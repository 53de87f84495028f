"""A shipper comes through the engine: typed with gloves, its log read from the station's folder and kept."""

from __future__ import annotations

import hashlib
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from engine_room import RECIPE, Room, make_room, told

sys.path.insert(0, str(Path(__file__).parents[1] / "domain"))

from bedside import transport_csv

from appliance.access.documents import add_signature, dump, sign
from appliance.domain import events as ev
from appliance.domain import transport_log
from appliance.record.command import report_of
from appliance.record.errors import BlobMissing
from appliance.record.genealogy import genealogy_of
from appliance.record.report.batch_record import page

pytestmark = pytest.mark.requirement("F-006", "T31")
FILE = "log.csv"
ENTERED = {
    "courier": "Night courier 7",
    "seal_number": "SEAL-0042",
    "seal": "intact",
    "arrival_temperature": "4.5",
    "log": "yes",
}


@pytest.fixture
def room(tmp_path: Path) -> Room:
    """A unit whose recipe takes a fresh product at 2 to 8 degrees from the courier."""
    made = make_room(tmp_path / "unit")
    asks = 'custody = "Look at seal and logger.", transport_log = "Choose its file.", retrieve'
    limits = "\n".join(
        (
            'limit.arrival_temperature_max = { action = "<= 8 degC", on_action = "hold" }',
            'limit.arrival_temperature_min = { action = ">= 2 degC", on_action = "hold" }',
            'limit.transport_outside = { action = "<= 15 min", on_action = "deviation" }',
            'limit.transport_gap = { action = "<= 60 min", on_action = "deviation" }',
            'limit.out_of_cold = { action = "<= 50 min", on_action = "deviation" }',
        )
    )
    recipe = RECIPE.replace("instruction = { retrieve", f"instruction = {{ {asks}")
    recipe = recipe.replace(
        'limit = { out_of_cold = { action = "<= 50 min", on_action = "deviation" } }', limits
    )
    signed = sign("recipe", recipe.encode(), made.keys["developer"], "recipe_developer")
    dump(add_signature(signed, made.keys["reviewer"], "qa_reviewer"), made.home.recipes / "short.json")
    (made.home.root / "sources" / "exchange").mkdir(parents=True)
    return made


async def chooses(room: Room, data: bytes) -> None:
    (room.home.root / "sources" / "exchange" / FILE).write_bytes(data)
    await room.done("import_file", {"prompt": "bag/transport_log", "file": FILE})
    asked = len(room.events(ev.ExchangeFileRequested))
    await room.until(lambda: len(room.events(ev.ExchangeFileRead)) == asked)


async def takes_the_shipper(room: Room) -> None:
    await room.goes_to("bag/retrieve")
    await room.done("answer", {"prompt": "bag/custody", "values": ENTERED})


def test_a_log_is_read_kept_byte_for_byte_and_stands_in_record_and_genealogy(room: Room) -> None:
    async def story() -> None:
        await takes_the_shipper(room)
        log = transport_csv(room.clock.utc(), ("4", "4.5", "9.5", "5", "4", "4"), seal="SEAL-0042")
        await chooses(room, log)
        await room.until(lambda: bool(room.events(ev.TransportRecorded)))

        (moved,) = room.events(ev.TransportRecorded)
        assert isinstance(moved, ev.TransportRecorded)
        assert (moved.outside_min, moved.highest_c, moved.verdict) == ("20", "9.5", "excursion")
        assert moved.blob == hashlib.sha256(log).hexdigest()
        assert room.engine.record.blob(moved.blob) == log
        (passed,) = room.events(ev.CustodyTransferred)
        assert isinstance(passed, ev.CustodyTransferred)
        assert (passed.giver, passed.receiver, passed.place) == ("Night courier 7", "p-0001", "Ward")
        await room.engine.seal_soon()
        said = page(report_of(room.engine.record, room.batch.id)).decode()
        assert "9.5 °C; allowed 2 to 8 °C" in said
        assert genealogy_of(room.engine.record.read()).found("DRY-0042")

    told(room, story)


def test_a_long_log_of_three_weeks_is_read_and_one_that_is_no_log_is_not_kept(room: Room) -> None:
    async def story() -> None:
        await takes_the_shipper(room)
        await chooses(room, b"Patient: Hana Demo\n" * 100)
        (refused,) = room.events(ev.ExchangeFileRefused)
        long = transport_csv(room.clock.utc(), ("4.5",) * 20_000, step_min=1)
        await chooses(room, long)

        assert isinstance(refused, ev.ExchangeFileRefused)
        assert refused.reason == "malformed"
        with pytest.raises(BlobMissing):
            room.engine.record.blob(refused.sha256)
        assert transport_log.BYTES_MAX > len(long) > 500_000
        (moved,) = room.events(ev.TransportRecorded)
        assert isinstance(moved, ev.TransportRecorded)
        assert (moved.readings, moved.verdict) == (20_000, "pass")

    told(room, story)


def test_a_log_that_is_larger_than_any_is_refused_unread(room: Room) -> None:
    async def story() -> None:
        await takes_the_shipper(room)
        await chooses(room, b"x" * (transport_log.BYTES_MAX + 1))

        (refused,) = room.events(ev.ExchangeFileRefused)
        assert isinstance(refused, ev.ExchangeFileRefused)
        assert refused.reason == "too_large"

    told(room, story)


def test_the_engine_dies_while_it_reads_and_the_file_is_asked_for_again(room: Room) -> None:
    async def story() -> None:
        await takes_the_shipper(room)
        await room.restarts()
        await room.signs_in()
        await room.done("restart", {"reason": "Looked at everything"})
        room.clock.advance(timedelta(minutes=1).total_seconds())
        await room.signs_in()
        await chooses(room, transport_csv(room.clock.utc(), ("4", "4", "4")))

        assert len(room.events(ev.CustodyTransferred)) == 1, "the courier gives once"
        assert room.events(ev.TransportRecorded)

    told(room, story)
