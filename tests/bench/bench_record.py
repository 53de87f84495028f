"""Appends a second beside raw commits and raw fsyncs of the same minute.

    python tests/bench/bench_record.py [--pairs N] [--folder DIR]

The three are interleaved, because a disk's fsync swings by itself: compare only within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.record import sqlite
from appliance.record.canonical import Stamp, encode_payload
from appliance.record.log import Record
from appliance.record.verify import verify_folder

PAYLOAD = encode_payload(
    "batch-0001", "command-0001", {"phase": "wash", "key": "weight_g", "value": "1" * 80}
)


def timed(act: Callable[[], object], times: int) -> list[int]:
    """Nanoseconds of each of `times` calls."""
    took = []
    for _ in range(times):
        begin = time.perf_counter_ns()
        act()
        took.append(time.perf_counter_ns() - begin)
    return took


def raw_fsync(folder: Path) -> Callable[[], None]:
    descriptor = os.open(folder / "raw.bin", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def act() -> None:
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)

    return act


def raw_commit(folder: Path) -> Callable[[], None]:
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


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--pairs", type=int, default=20, help="interleaved rounds of 50 each")
    parser.add_argument("--folder", type=Path, help="where to write; left out: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        stamp = Stamp(datetime.now(UTC), time.monotonic_ns(), bytes(16), 1)
        record = Record.create(
            folder / "record",
            unit_id="bench",
            key=Ed25519PrivateKey.generate(),
            software_version="bench",
            simulated=True,
            stamp=stamp,
        )
        acts: dict[str, Callable[[], object]] = {
            "append": lambda: record.append("ValueRecorded", PAYLOAD, actor="unit", stamp=stamp),
            "raw_commit": raw_commit(folder),
            "raw_fsync": raw_fsync(folder),
        }
        took: dict[str, list[int]] = {name: [] for name in acts}
        cpu = 0.0
        for _ in range(options.pairs):
            for name, act in acts.items():
                before = time.process_time()
                took[name] += timed(act, 50)
                cpu += time.process_time() - before if name == "append" else 0
        result: dict[str, object] = {name: figures(values) for name, values in took.items()}
        result["append_of_raw_commit_percent"] = round(
            100 * statistics.median(took["raw_commit"]) / statistics.median(took["append"]), 1
        )
        result["append_cpu_us"] = round(cpu / len(took["append"]) * 1e6, 1)
        record.seal(stamp)
        begin = time.perf_counter()
        verdict = verify_folder(folder / "record")
        result["verify_events_per_s"] = round(verdict.events / (time.perf_counter() - begin))
        record.close()
        print(json.dumps({"bench": "record", **result}))
        return 0 if verdict.whole else 1


if __name__ == "__main__":
    sys.exit(main())
