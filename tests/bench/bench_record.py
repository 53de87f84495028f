"""Appends, checks and telemetry of the record beside what the disk and the hashing cost by themselves.

    python tests/bench/bench_record.py [--pairs N] [--events N] [--days N] [--folder DIR]

Each figure is a median over interleaved pairs, because a disk's fsync swings by itself: compare only
within one run. Verify is held against reading the rows and every hash that it must make (the chain and
the signed trees); the time of its signatures is reported apart.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.record import sqlite
from appliance.record.canonical import NO_HASH, NewRecord, Stamp, encode_payload, record_hash
from appliance.record.log import Record
from appliance.record.measurements import KIND, PAYLOAD_VERSION, ChunkWriter, minutes
from appliance.record.segments import LARGEST_SEGMENT_RECORDS, tree_head
from appliance.record.telemetry_chunk import Chunk, Track
from appliance.record.verify import verify_folder

PAYLOAD = encode_payload(
    "batch-0001", "command-0001", {"phase": "wash", "key": "weight_g", "value": "1" * 80}
)
START = datetime(2026, 11, 21, tzinfo=UTC)
CALLS_A_PAIR = 50
CHANNELS = 20
Clock = Callable[[], float]


def stamp_at(moment: datetime) -> Stamp:
    return Stamp(moment, time.monotonic_ns(), bytes(16), 1)


def fresh(folder: Path) -> Record:
    return Record.create(
        folder,
        unit_id="bench",
        key=Ed25519PrivateKey.generate(),
        software_version="bench",
        simulated=True,
        stamp=stamp_at(START),
    )


def raw_fsync(folder: Path) -> Callable[[], None]:
    descriptor = os.open(folder / "raw.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def act() -> None:
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)

    return act


def raw_commit(folder: Path) -> Callable[[], None]:
    """A row of the same size, with the same settings, without chain, guards or checks."""
    connection = sqlite.connect(folder / "raw.db", read_only=False)
    sqlite.begin_wal(connection)
    connection.execute("CREATE TABLE raw (seq INTEGER PRIMARY KEY, hash BLOB, data BLOB) STRICT")
    data = bytes(208 + len(PAYLOAD))

    def act() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO raw (hash, data) VALUES (?, ?)", (bytes(32), data))
        connection.execute("COMMIT")

    return act


def figures(took: list[int]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "per_s": round(len(took) / (sum(took) / 1e9), 1),
        "median_ms": round(statistics.median(ordered) / 1e6, 3),
        "p99_ms": round(ordered[len(ordered) * 99 // 100] / 1e6, 3),
        "worst_ms": round(ordered[-1] / 1e6, 3),
    }


def appends(folder: Path, pairs: int) -> dict[str, object]:
    """Appends beside raw commits and raw fsyncs of the same second."""
    record, stamp = fresh(folder / "append"), stamp_at(START)
    acts: dict[str, Callable[[], object]] = {
        "append": lambda: record.append("ValueRecorded", PAYLOAD, actor="unit", stamp=stamp),
        "raw_commit": raw_commit(folder),
        "raw_fsync": raw_fsync(folder),
    }
    took: dict[str, list[int]] = {name: [] for name in acts}
    wall: dict[str, list[float]] = {name: [] for name in acts}
    cpu: dict[str, list[float]] = {name: [] for name in acts}
    for _ in range(pairs):
        for name, act in acts.items():
            before = time.thread_time()
            calls = []
            for _ in range(CALLS_A_PAIR):
                begin = time.perf_counter_ns()
                act()
                calls.append(time.perf_counter_ns() - begin)
            cpu[name].append((time.thread_time() - before) / CALLS_A_PAIR * 1e6)
            wall[name].append(statistics.median(calls))
            took[name] += calls
    record.close()
    ratios = [100 * raw / ours for raw, ours in zip(wall["raw_commit"], wall["append"], strict=True)]
    own = [ours - raw for raw, ours in zip(cpu["raw_commit"], cpu["append"], strict=True)]
    return {
        **{name: figures(values) for name, values in took.items()},
        "append_of_raw_commit_percent": round(statistics.median(ratios), 1),
        "append_cpu_us": round(statistics.median(cpu["append"]), 1),
        "raw_commit_cpu_us": round(statistics.median(cpu["raw_commit"]), 1),
        "append_own_cpu_us": round(statistics.median(own), 1),
    }


def read_and_hash(folder: Path) -> None:
    """What verify cannot do without: every row, the chain, and the trees that are signed."""
    with Record.open_readonly(folder) as record:
        newest, leaves = NO_HASH, []
        for page in record.pages():
            for _, _, data in page:
                newest = record_hash(newest, data)
                leaves.append(hashlib.sha256(b"\x00" + data).digest())
                if len(leaves) == LARGEST_SEGMENT_RECORDS:
                    tree_head(leaves)
                    leaves = []


def verifies(folder: Path, pairs: int, events: int) -> dict[str, object]:
    """Verify beside reading and hashing the same rows."""
    payloads = [
        encode_payload("batch-0001", f"c-{n}", {"phase": "wash", "key": "g", "value": f"{n}.5", "unit": "g"})
        for n in range(events)
    ]
    with fresh(folder / "verify") as record:
        stamp = stamp_at(START)
        for first in range(0, events, 1000):
            record.append_many(
                [
                    NewRecord(kind="ValueRecorded", payload=payload, actor="p-0001", stamp=stamp)
                    for payload in payloads[first : first + 1000]
                ]
            )
            record.seal(stamp)
    ratios, ours_s, base_s, signed_s, signatures = [], [], [], [], 0
    for _ in range(pairs):
        begin = time.perf_counter()
        read_and_hash(folder / "verify")
        base = time.perf_counter() - begin
        begin = time.perf_counter()
        verdict = verify_folder(folder / "verify")
        signed = verdict.signatures_ns / 1e9
        ours = time.perf_counter() - begin - signed
        assert verdict.whole, verdict.words
        ratios.append(100 * base / ours)
        ours_s.append(ours)
        base_s.append(base)
        signed_s.append(signed)
        signatures = verdict.signatures
    return {
        "verify_of_reading_and_hashing_percent": round(statistics.median(ratios), 1),
        "verify_events_per_s": round(events / statistics.median(ours_s)),
        "reading_and_hashing_events_per_s": round(events / statistics.median(base_s)),
        "verify_signature_us": round(statistics.median(signed_s) / signatures * 1e6, 1),
    }


def noisy_minute(chance: random.Random, levels: list[float], digits: float) -> list[Track]:
    """One minute of channels at 1 Hz: a slow walk with noise of `digits` last digits (one sigma)."""
    tracks = []
    for channel in range(CHANNELS):
        values: list[str | None] = []
        for _ in range(60):
            levels[channel] += chance.gauss(0, 0.07)
            values.append(f"{round(levels[channel] + chance.gauss(0, digits)) / 100:.2f}")
        tracks.append(
            Track(
                f"device-{channel // 3}", f"channel_{channel:02}", "degC", [*range(60)], values, ["good"] * 60
            )
        )
    return tracks


def telemetry(folder: Path, days: float, digits: float) -> dict[str, object]:
    """Twenty channels at 1 Hz: bytes in the record, bytes on the disk, and the time to sum them up."""
    chance, writer = random.Random(1), ChunkWriter()
    levels = [chance.uniform(100, 9000) for _ in range(CHANNELS)]
    place = folder / f"telemetry-{digits}"
    total = round(days * 24 * 60)
    with fresh(place) as record:
        record.checkpoint()
        size, empty = 0, (place / "record.db").stat().st_size
        for number in range(total):
            moment = START + timedelta(minutes=number)
            body = writer.body(Chunk(moment, 1000, 60, noisy_minute(chance, levels, digits)))
            payload = encode_payload("batch-2026-0001", None, body)
            new = NewRecord(
                kind=KIND, payload=payload, actor="unit", stamp=stamp_at(moment), log="telemetry",
                payload_version=PAYLOAD_VERSION,
            )  # fmt: skip
            stored = record.append_many([new])[0]
            writer.stored(stored.seq)
            size += len(stored.data)
            if number % 60 == 59:
                record.seal(stamp_at(moment), log="telemetry")
                writer.begin_anew()
        record.checkpoint()
        begin = time.perf_counter()
        rows = sum(len(found) for _, _, _, found in minutes(record))
        took = time.perf_counter() - begin
    assert rows == total * CHANNELS, rows
    scale = 10 / days
    return {
        "noise_last_digits": digits,
        "record_mb_in_10_days": round(size * scale / 1e6, 2),
        "file_mb_in_10_days": round(((place / "record.db").stat().st_size - empty) * scale / 1e6, 2),
        "minutes_of_8_days_s": round(took * 8 / days, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--pairs", type=int, default=20, help="interleaved rounds")
    parser.add_argument("--events", type=int, default=20_000, help="events of the record that is verified")
    parser.add_argument("--days", type=float, default=0.5, help="days of telemetry; the figures are for ten")
    parser.add_argument("--folder", type=Path, help="where to write; left out: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        result: dict[str, object] = {"bench": "record", "pairs": options.pairs}
        result |= appends(folder, options.pairs)
        result |= verifies(folder, options.pairs, options.events)
        result["telemetry"] = [telemetry(folder, options.days, digits) for digits in (0.5, 1.0)]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
