"""The printed record of an eight-day batch: time to its PDF, pages, size, and memory at the peak.

    python tests/bench/bench_report.py [--rounds N] [--days N] [--folder DIR]

The record has 20 channels read each second, about 20,000 events and 50 pictures. It is written once,
which takes minutes; each round then makes the PDF from the record folder in a fresh process.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from PIL import Image, ImageDraw

from appliance.record.canonical import NewRecord, Stamp, encode_payload
from appliance.record.log import Record
from appliance.record.measurements import KIND, PAYLOAD_VERSION, ChunkWriter
from appliance.record.telemetry_chunk import Chunk, Track

BATCH = "UNIT-BENCH-00001"
BEGIN = datetime(2026, 11, 1, 6, 0, tzinfo=UTC)
CHANNELS = 20
EVENTS = 20_000
PICTURES = 50
DAYS = 8
PAGE = 240
LOST_MINUTES = frozenset(range(4_000, 4_030)) | {7_000}


def stamp(second: float) -> Stamp:
    return Stamp(BEGIN + timedelta(seconds=second), int(second * 1e9), bytes(16), 2)


def picture(number: int) -> bytes:
    """A label as a camera sees it: grey, with some noise."""
    chance = random.Random(number)
    drawn = Image.effect_noise((1400, 1000), 12).convert("L")
    drawing = ImageDraw.Draw(drawn)
    drawing.rectangle((200, 150, 1200, 850), fill=235)
    for line in range(60):
        left = 240 + chance.randrange(900)
        drawing.rectangle((left, 200 + 10 * line, left + chance.randrange(8, 60), 206 + 10 * line), fill=20)
    out = BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def write_pictures(record: Record) -> list[str]:
    return [record.put_blob(picture(number), "image/png").sha256 for number in range(PICTURES)]


def bodies(number: int, pictures: list[str]) -> tuple[str, dict[str, object]]:
    """One event as the process writes them in eight days: mostly values, orders and reports."""
    phase, order = f"feed_{number // 2_000}", f"{BATCH}-O{number}"
    at = (BEGIN + timedelta(seconds=number)).isoformat()
    if number % (EVENTS // PICTURES) == 7:
        name = pictures[number // (EVENTS // PICTURES)]
        return "ScanRead", {"phase": phase, "scan_id": order, "texts": ["=A99992612345689"], "picture": name}
    if number % 200 == 11:
        alarm = {"alarm": f"{BATCH}:{number}", "priority": "low", "title": "Temperature near its limit"}
        return "AlarmRaised", {**alarm, "cause": "The bath is at 37.4 °C.", "action": "Look.", "phase": phase}
    kind = number % 4
    if kind == 0:
        wanted = {"volume_ml": "12.00", "rate_ml_min": "4"}
        rest = {"device": "pump-1", "name": "infuse", "parameters": wanted, "term": 1, "expires_in_ms": 2000}
        return "DeviceOrdered", {"phase": phase, "order_id": order, **rest}
    if kind == 1:
        result = {"volume_ml": "12.00", "rate_ml_min": "4.00"}
        return "DeviceReported", {"phase": phase, "order_id": order, "device": "pump-1", "result": result}
    value = {"value": f"{36 + number % 100 / 100:.2f}", "unit": "°C", "quality": "good"}
    return "ValueRecorded", {"phase": phase, "key": "bath_c", **value, "source": "thawer-1", "source_at": at}


def write_events(record: Record, days: float) -> None:
    pictures = write_pictures(record)
    opened = {"order_id": "ORD-1", "recipe_id": "expand-8d", "recipe_version": "1.0.0", "site": "Bench"}
    opened |= {"recipe_text": "# a recipe\n" * 400, "time_zone": "Europe/Berlin", "simulated": True}
    opened |= {"software_version": "bench", "devices": ["pump-1", "thawer-1"]}
    step = days * 86_400 / EVENTS
    events = [("BatchOpened", opened), *(bodies(number, pictures) for number in range(EVENTS))]
    for first in range(0, len(events), 500):
        record.append_many(
            [
                NewRecord(
                    kind=kind,
                    payload=encode_payload(BATCH, None, body),
                    actor="p-0001" if number % 7 == 0 else "unit",
                    stamp=stamp(step * number),
                )
                for number, (kind, body) in enumerate(events[first : first + 500], start=first)
            ]
        )


def chunk(minute: int, chance: random.Random) -> Chunk:
    tracks = []
    for channel in range(CHANNELS):
        middle = 3_700 + 100 * channel + round(80 * math.sin(minute / 700 + channel))
        values: list[str | None] = [f"{(middle + chance.randint(-4, 4)) / 100:.2f}" for _ in range(60)]
        tracks.append(
            Track(
                f"device-{channel // 4}", f"channel_{channel}", "°C", list(range(60)), values, ["good"] * 60
            )
        )
    return Chunk(BEGIN + timedelta(minutes=minute), 1000, 60, tracks)


def chunks(record: Record, minutes: int) -> Iterator[list[NewRecord]]:
    writer, chance = ChunkWriter(), random.Random(1)
    seq, page = record.head("telemetry").seq, list[NewRecord]()
    for minute in range(minutes):
        if minute in LOST_MINUTES:
            continue
        payload = encode_payload(BATCH, None, writer.body(chunk(minute, chance)))
        seq += 1
        writer.stored(seq)
        page.append(
            NewRecord(
                kind=KIND,
                payload=payload,
                actor="unit",
                stamp=stamp(60 * minute + 60),
                payload_version=PAYLOAD_VERSION,
                log="telemetry",
            )
        )
        if len(page) == PAGE:
            yield page
            page = []
    yield page


def build(folder: Path, days: float) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    with Record.create(
        folder, unit_id="UNIT-BENCH", key=key, software_version="bench", simulated=True, stamp=stamp(0)
    ) as record:
        write_events(record, days)
        for page in chunks(record, round(days * 1440)):
            record.append_many(page)


def one_round(folder: Path, out: Path) -> tuple[float, dict[str, int]]:
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "appliance.cli", "report", str(folder), "--pdf", str(out), "--json"],
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - begin, json.loads(done.stdout)["pdf"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--days", type=float, default=DAYS)
    parser.add_argument("--folder", type=Path, help="where the record lies or is written; kept afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name) / "record"
        if not (folder / "record.db").exists():
            build(folder, options.days)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        rounds = [one_round(folder, Path(name) / "r.pdf") for _ in range(options.rounds)]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took, told = zip(*rounds, strict=True)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = {
        "rounds": options.rounds,
        "days": options.days,
        "channels": CHANNELS,
        "events": EVENTS,
        "pictures": PICTURES,
        "median_s": round(statistics.median(took), 2),
        "best_s": round(min(took), 2),
        "worst_s": round(max(took), 2),
        # What one round takes of all cores together; on a busy machine the times above say less.
        "cpu_s": round(cpu_s / options.rounds, 2),
        "pages": told[0]["pages"],
        "megabytes": round(told[0]["bytes"] / 1e6, 2),
        "same_bytes": len({one["sha256"] for one in told}) == 1,
        # Of the largest process that took part, which is the typesetter.
        "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }
    print(json.dumps({"bench": "report", **result}))
    return 0 if result["same_bytes"] else 1


if __name__ == "__main__":
    sys.exit(main())
