"""How long a unit with a long record takes until its engine is usable, and where the time goes.

    python tests/bench/bench_start.py [--events N] [--batches N] [--folder DIR] [--keep]

The record is written in bulk, with its chain and its signed segments as an engine would have made
them: closed batches of a bedside recipe, then a last one that is open.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "appliance" / "engine"))

import msgspec
from engine_room import RECIPE, START, Room, make_room

from appliance.access.keys import load_key
from appliance.config import read_config
from appliance.domain import events as ev
from appliance.domain.event import Event
from appliance.engine import recovery
from appliance.engine.clock import HandClock, stamp
from appliance.engine.folding import folded
from appliance.record import sqlite, startup
from appliance.record.canonical import (
    StoredRecord,
    encode_payload,
    encode_record,
    record_hash,
)
from appliance.record.log import Record
from appliance.record.segments import LARGEST_SEGMENT_RECORDS, make_segment, public_bytes

EVENTS, BATCHES = 1_000_000, 500
TARGET_S = 10.0
PEOPLE = ("p-0001", "p-0002")
Written = tuple[Event, str]


def opened(number: int) -> ev.BatchOpened:
    order = {
        "id": f"ORD-{number}",
        "recipe": "short",
        "patient": "DEMO7F3A",
        "coi": "CHA999926000001",
        "din": f"A9999{number:08d}",
        "description_code": "S9991",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1.5e6",
    }
    return ev.BatchOpened(
        order_id=f"ORD-{number}",
        order_text=json.dumps(order, sort_keys=True),
        recipe_id="short",
        recipe_version="1",
        recipe_hash=hashlib.sha256(RECIPE.encode()).hexdigest(),
        recipe_text=RECIPE,
        recipe_signers=["p-0004", "p-0005"],
        recipe_blob="",
        order_blob="",
        people_blob="",
        people_version=1,
        software_version="1",
        devices=[],
        simulated=True,
        clock_speed="1",
        site="Ward",
        time_zone="Europe/London",
        station={},
        unit_before={"term": "1", "stop_count": "0", "batch_count": str(number), "time_confirmed": "no"},
    )


def beginning(number: int) -> Iterator[Written]:
    """What comes once a batch: a start of the day, sessions, the opening, the bag, an alarm."""
    yield ev.EngineStarted(
        term=number, software_version="1", check="good", check_passed=True, configuration_hash="00",
        inputs_on_record=True,
    ), "unit"  # fmt: skip
    for person in PEOPLE:
        yield ev.SessionOpened(person=person, name=person, station="bedside-1"), person
    yield opened(number), PEOPLE[0]
    for phase in ("clear", "bag"):
        yield ev.PhaseStarted(phase=phase), "unit"
    yield ev.BagAccepted(
        phase="bag", din=f"A9999{number:08d}", description_code="S9991", division="00",
        expires_at=(START + timedelta(days=300)).isoformat(), picture="",
    ), "unit"  # fmt: skip
    alarm = f"UNIT-1-{number:05d}:bag:hold-wrong_bag:1"
    yield (
        ev.AlarmRaised(alarm=alarm, priority="high", title="Held", cause="c", action="a", phase="bag"),
        "unit",
    )
    yield ev.AlarmCleared(alarm=alarm), "unit"


def work(number: int) -> Iterator[Written]:
    """What fills a batch: commands, readings, values, pictures."""
    for turn in itertools.count():
        person = PEOPLE[turn % 2]
        body = {"prompt": "bag/identity", "signs": "0123abcd"}
        who = [{"id": person, "name": f"{person} Demo", "roles": "operator", "proof": "session"}]
        yield ev.CommandTaken(name="answer", body=body, values={}, station="bedside-1", people=who), person
        yield (
            ev.InstructionConfirmed(phase="bag", key=f"k{turn}", words="Both carry the same number."),
            person,
        )
        reading = {
            "device": "scale-1", "name": "weight_g", "unit": "g", "quality": "good", "detail": "stable",
            "source_at": START.isoformat(), "received_at": START.isoformat(), "value": f"{turn}.02",
        }  # fmt: skip
        yield ev.ReadingsUsed(readings=[reading]), "unit"
        yield ev.ValueRecorded(
            phase="bag", key=f"v{turn}", value=f"{turn}.02", unit="g", quality="good", source="scale-1",
            source_at=START.isoformat(),
        ), "unit"  # fmt: skip
        yield ev.TimerElapsed(phase="bag", key=f"t{turn}", target_s=60), "unit"


def events(count: int, batches: int) -> Iterator[tuple[Written, str | None]]:
    """All events with the batch that each belongs to; the last batch stays open."""
    each = count // batches
    for number in range(1, batches + 1):
        batch = f"UNIT-1-{number:05d}"
        first = list(beginning(number))
        yield from ((one, None if type(one[0]).__name__ in ev.UNIT_KINDS else batch) for one in first)
        for one in itertools.islice(work(number), each - len(first) - 1):
            yield one, batch
        last: Event = ev.CommentAdded(text="still open")
        if number < batches:
            last = ev.BatchAborted(reason="to make room for the next")
        yield (last, PEOPLE[0]), batch


def build(
    room: Room,
    count: int,
    batches: int,
    events: Callable[[int, int], Iterator[tuple[Written, str | None]]] = events,
) -> None:
    """Write the record in bulk: same bytes, chain and segments as one event after the other."""
    key, clock = load_key(room.home.unit_key), HandClock(START)
    with Record.create(
        room.home.record, unit_id="UNIT-1", key=key, software_version="1", simulated=True, stamp=stamp(clock)
    ) as record:
        head = record.head()
        genesis = next(record.read(1, 1))
    connection = sqlite.connect(room.home.record / "record.db", read_only=False)
    connection.execute("PRAGMA synchronous=OFF")
    run, previous, before, seq = [genesis], genesis.hash, bytes(32), 1
    template = genesis.header
    connection.execute("BEGIN")
    for (event, actor), batch in events(count - 1, batches):
        clock.advance(1)
        seq += 1
        now = stamp(clock)
        header = msgspec.structs.replace(
            template, seq=seq, wall=now.wall, monotonic_ns=now.monotonic_ns, actor=actor,
            kind=type(event).__name__,
        )  # fmt: skip
        command = f"c{seq}" if actor != "unit" else None
        data = encode_record(header, encode_payload(batch, command, ev.to_body(event)))
        previous_of_run = previous
        previous = record_hash(previous_of_run, data)
        connection.execute("INSERT INTO gxp_record (seq, hash, data) VALUES (?, ?, ?)", (seq, previous, data))
        run.append(StoredRecord(seq, previous, data))
        if len(run) == LARGEST_SEGMENT_RECORDS:
            before = _signed(connection, run, before, key, now)
            run = []
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    assert head.seq == 1


def _signed(connection: Any, run: list[StoredRecord], before: bytes, key: Any, now: Any) -> bytes:
    made = make_segment(run, before, key, now, software_version="1", simulated=True)
    connection.execute(
        "INSERT INTO segment (log, first, last, header, signature) VALUES ('gxp', ?, ?, ?, ?)",
        (made.first, made.last, made.header, made.signature),
    )
    return run[-1].hash


def seconds(act: Callable[[], Any]) -> tuple[float, Any]:
    begin = time.perf_counter()
    result = act()
    return round(time.perf_counter() - begin, 2), result


def parts(room: Room) -> dict[str, float]:
    """Each part of a start by itself."""
    key, config = load_key(room.home.unit_key), read_config(room.home)
    folder, took = room.home.record, dict[str, float]()
    connection = sqlite.connect(folder / "record.db", read_only=False)
    took["quick_check_s"], _ = seconds(lambda: connection.execute("PRAGMA quick_check").fetchall())
    took["whole_check_s"], report = seconds(lambda: startup.check(connection, folder, public_bytes(key)))
    assert report.good, report.problems
    connection.close()
    with Record.open_readonly(folder) as record:
        took["fold_s"], state = seconds(lambda: folded(recovery.fresh_unit(config), record))
    assert state.unit.batch is not None and state.unit.batch_count == len(state.unit.used_bags)
    return took


async def start(room: Room) -> float:
    """From nothing to an engine that answers on its socket, as `cellwright engine` does it."""
    begin = time.perf_counter()
    await room.starts()
    took = time.perf_counter() - begin
    await room.crashes()
    return round(took, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--folder", type=Path, help="where to write; left out: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="leave the record there")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cellwright-start-", dir=options.folder))
    try:
        room = make_room(folder / "unit")
        built_s, _ = seconds(lambda: build(room, options.events, options.batches))
        size_mib = (room.home.record / "record.db").stat().st_size // 2**20
        took = parts(room)
        room.clock.advance(options.events + 60)
        whole_s = asyncio.run(start(room))
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    figures = {"events": options.events, "batches": options.batches, "size_mib": size_mib, "built_s": built_s}
    print(json.dumps({"start": {**figures, **took, "until_it_answers_s": whole_s, "target_s": TARGET_S}}))
    return 0 if whole_s <= TARGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
