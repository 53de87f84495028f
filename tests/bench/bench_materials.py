"""How long it takes to list all batches and patients that a recalled lot has reached, without any network.

    python tests/bench/bench_materials.py [--batches N] [--rounds N]

The record holds as many batches of recipe B as asked for, each with the events of a demonstration's, written
in bulk with its chain and signed segments. One lot of dye went into all of them, another one into each tenth.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_start import PEOPLE, START, Written, build, make_room, opened, seconds, work

import appliance
from appliance.domain import events as ev
from appliance.record.log import Record
from appliance.record.material_trace import KINDS, trace_lot

BATCHES, EVENTS_OF_A_BATCH, ROUNDS = 1_000, 220, 5
TARGET_S = 1.0
RECIPE_B = (Path(appliance.__file__).parent / "recipes" / "thaw_wash_dose_50.toml").read_text("utf-8")
LOT, RARE_LOT = "DYE-7", "SET-3"


def events(count: int, batches: int) -> Iterator[tuple[Written, str | None]]:
    """Batches that were opened, took their materials, worked and were handed over."""
    for number in range(1, batches + 1):
        batch = f"UNIT-1-{number:05d}"
        for one in _batch(number, count // batches):
            yield one, batch


def _batch(number: int, size: int) -> Iterator[Written]:
    order = json.loads(opened(number).order_text) | {"patient": f"DEMO{number % 900:04d}"}
    yield replace(opened(number), recipe_text=RECIPE_B, order_text=json.dumps(order)), PEOPLE[0]
    lots = [
        ("dye", "XXTRYPAN", LOT),
        ("wash_set", "XXWASH01", RARE_LOT if number % 10 == 0 else f"SET-{number}"),
    ]
    for material, catalogue, lot in lots:
        yield ev.MaterialAccepted(
            phase="scan_materials", material=material, catalogue=catalogue, lot=lot, picture="ab" * 32,
            expires_at=(START + timedelta(days=300)).isoformat(), receipt=f"UNIT-1-M{number:05d}",
            received_by=PEOPLE[0], released_by=PEOPLE[1],
        ), "unit"  # fmt: skip
    yield from itertools.islice(work(number), size - 4)
    yield ev.HandedOver(dose_label=f"L-{number}", order_id=f"ORD-{number}"), PEOPLE[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0], allow_abbrev=False)
    parser.add_argument("--batches", type=int, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="cellwright-materials-"))
    try:
        room = make_room(folder / "unit")
        build(room, options.batches * EVENTS_OF_A_BATCH, options.batches, events)
        size_mib = (room.home.record / "record.db").stat().st_size // 2**20
        figures = {lot: _measured(room.home.record, lot, options.rounds) for lot in (LOT, RARE_LOT)}
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    whole = {"batches": options.batches, "size_mib": size_mib, "target_s": TARGET_S}
    print(json.dumps({"materials": {**whole, **figures}}))
    return 0 if all(one["command_s"] <= TARGET_S for one in figures.values()) else 1


def _measured(record: Path, lot: str, rounds: int) -> dict[str, float]:
    """The shortest of several rounds: reading alone, and the whole command in a fresh process.

    The processor's time is told too: on a machine that does other work it says more than the clock.
    """
    words = ["materials", "trace", lot, "--record", str(record), "--json"]
    reads, whole, cpu, told = list[float](), list[float](), list[float](), dict[str, int]()
    for _ in range(rounds):
        with Record.open_readonly(record) as opened_record:
            took, found = seconds(lambda: trace_lot(opened_record.read_of(KINDS), lot))
        reads.append(took)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took, done = seconds(
            lambda: subprocess.run(
                [sys.executable, "-m", "appliance.cli", *words], capture_output=True, check=True
            )
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole.append(took)
        cpu.append(round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2))
        told = json.loads(done.stdout)
        assert told["batches"] == len(found.uses)
    reached = {name: told[name] for name in ("batches", "patients")}
    return {**reached, "read_s": min(reads), "command_s": min(whole), "command_cpu_s": min(cpu)}


if __name__ == "__main__":
    sys.exit(main())
