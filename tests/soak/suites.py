"""What the soak repeats: each round is one function of its seed, and fails with an `AssertionError`."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
# The suites stand on the rooms' own test parts, which are found by their folder as under pytest.
for _room in ("stories", "appliance/record", "appliance/engine", "drivers"):
    sys.path.insert(0, str(TESTS / _room))

FLIPS_A_ROUND = 20
REAL_KILLS_A_ROUND = 10
SIMULATED_KILLS_A_ROUND = 100
TAMPERED_EVENTS = 110
FAULT_ROUNDS = 50
FUZZED_INPUTS = 2_000
CORPUS = Path("build") / "fuzz"  # kept from run to run, as `.soak.json` is
PRINTS_A_ROUND = 100
FUZZED_LABELS = 5_000
LABELS_A_ROUND = 50  # as many seeds as one part of the bench takes
TEXTS_A_ROUND = 200
IMAGES_A_ROUND = 100


@dataclass(frozen=True, slots=True)
class Suite:
    """One long suite.

    Parameters
    ----------
    goal
        What is to be reached over all runs together: rounds, or what a round has several of.
    round_s
        About how long one round takes; none begins with less time left.
    per_round
        How much of the goal one round is.
    """

    name: str
    goal: int
    round_s: float
    play: Callable[[int], None]
    per_round: int = 1


def demo_killed_at_random(seed: int) -> None:
    """One whole batch; engine, hosts, worker, agent and central are killed at moments drawn by seed."""
    from tests.soak.killed_demo import play

    play(seed)


def record_writer_killed(seed: int) -> None:
    """A writer of the record is killed five times; nothing that it acknowledged is lost."""
    from record_bench import UNIT_KEY
    from test_record_survives import killed_writer

    from appliance.record.log import Record
    from appliance.record.verify import verify_record

    chance, acknowledged = random.Random(seed), dict[int, str]()
    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        folder = Path(place) / "record"
        for _ in range(5):
            for line in killed_writer(folder, chance.uniform(0.0, 0.3)):
                name, value = line.split()
                if name != "blob":
                    assert int(name) not in acknowledged, f"number {name} was given twice"
                    acknowledged[int(name)] = value
            verdict = verify_record(folder, None)
            assert verdict.whole, verdict.words
        with Record.open(folder, key=UNIT_KEY) as record:
            held = {stored.seq: stored.hash.hex() for stored in record.read()}
    lost = {seq for seq, value in acknowledged.items() if held.get(seq) != value}
    assert not lost, f"acknowledged and lost: {sorted(lost)[:5]}"


def power_loss_images(seed: int) -> None:
    """The power is cut at many moments of one workload; each disk that may be left keeps its promises."""
    from power_loss_images import play_round

    play_round(seed, IMAGES_A_ROUND)


def kills_real(seed: int) -> None:
    """A real engine is killed under commands; what it acknowledged is there once."""
    import asyncio

    from killed_engine import rounds

    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        seen = asyncio.run(rounds(Path(place) / "unit", seed, REAL_KILLS_A_ROUND))
    faults = seen.faults + seen.other_answers + seen.running_after_start
    assert not faults, faults[:5]


def kills_simulated(seed: int) -> None:
    """Forked writers of one record are killed; in a process of its own, which forks without threads."""
    script = TESTS / "appliance" / "engine" / "simulated_kills.py"
    command = [sys.executable, str(script), str(seed), str(SIMULATED_KILLS_A_ROUND)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@cache
def _walked_log() -> Any:
    from tampering import read_log, write_archive, write_log

    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        write_log(Path(place) / "record", TAMPERED_EVENTS)
        raw = write_archive(Path(place) / "record", Path(place)).read_bytes()
        return read_log(Path(place) / "record"), raw


def tamper(seed: int) -> None:
    """Single bits of stored events are turned over; both verifiers name the event, in folder and archive."""
    from tampering import place_in_archive, place_in_record, put_into_archive, put_into_record, write_log
    from test_tamper_matrix import flipped

    chance, (log, raw) = random.Random(seed), _walked_log()
    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        write_log(Path(place) / "whole", TAMPERED_EVENTS)
        for number in range(FLIPS_A_ROUND):
            changed, seq = flipped(log, chance)
            copy = Path(place) / str(number)
            put_into_record(Path(place) / "whole", copy, changed)
            assert place_in_record(copy) == ("gxp", seq), f"event {seq} of the record"
            archive = put_into_archive(raw, changed)
            assert place_in_archive(Path(place) / "a.zip", archive) == ("gxp", seq), (
                f"event {seq} of the archive"
            )


def replays(seed: int) -> None:
    """A batch walked with crashes, holds and stops drawn by seed comes out again from its record."""
    from recorded_bedside import CLEO, Recorded

    from appliance.record.replay import Replay

    chance, bedside = random.Random(seed), Recorded()
    stops = ("receive_bag/bag", "thaw/bag_out", "thaw", "dilute", "wash", "seal")
    bedside.begin_batch()
    for where in sorted(chance.sample(range(len(stops)), chance.randint(1, len(stops)))):
        bedside.works_until(stops[where])
        match chance.randrange(3):
            case 0:
                bedside.crash()
            case 1:
                bedside.holds()
            case _:
                bedside.stop()
                bedside.ends_the_stop()
        bedside.waits(chance.randint(2, 5))
        bedside.restart(CLEO)
    bedside.works_through("seal")
    outcome = Replay(bedside.before()).walk(bedside.log)
    assert outcome.difference is None, outcome.difference.words


@cache
def _archive() -> bytes:
    from record_bench import BATCH, new_record, run_batch

    from appliance.record.export import export_batch

    with tempfile.TemporaryDirectory(prefix="cw-") as place, new_record(Path(place) / "record") as record:
        run_batch(record)
        return export_batch(record, BATCH, Path(place), report_html=b"<!doctype html>").read_bytes()


def archive_changed(seed: int) -> None:
    """Changed, cut and doubled bytes of an archive are found by both verifiers, with the same words."""
    from record_bench import trust
    from test_archive_verifiers import both

    chance, raw = random.Random(seed), _archive()
    with tempfile.TemporaryDirectory(prefix="cw-") as place:
        path = Path(place) / "a.zip"
        for _ in range(FLIPS_A_ROUND):
            changed = bytearray(raw)
            at = chance.randrange(len(raw))
            match chance.randrange(4):
                case 0:
                    del changed[at]
                case 1:
                    changed.insert(at, changed[at] ^ 1)
                case _:
                    changed[at] ^= chance.randrange(1, 256)
            assert not both(path, bytes(changed), trust())["whole"], f"byte {at}: nobody noticed"


def drivers_through_faults(seed: int) -> None:
    """Drivers read, order and stop through mixtures of faults, beside the truth of their twins."""
    from fault_runs import in_processes, in_words, summed

    first = (seed - 1) * FAULT_ROUNDS + 1
    began_s = time.monotonic()
    total = summed(tally for _, tally in in_processes("--seeds", f"{first}:{first + FAULT_ROUNDS - 1}"))
    print(in_words(total, time.monotonic() - began_s), file=sys.stderr, flush=True)
    assert total.rounds == FAULT_ROUNDS
    assert not total.findings, total.findings


def fuzzed_parsers(seed: int) -> None:
    """Frame cutters and drivers get bytes that are led by coverage; what reached something new is kept."""
    from fuzzed_replies import targets

    from tests.soak.coverage_fuzz import Fuzzer, in_drivers, keep_corpus, load_corpus

    names = sorted(targets())
    name = names[seed % len(names)]
    folder = CORPUS / re.sub(r"\W+", "-", name)
    fuzzer = Fuzzer(targets()[name], in_drivers, seed=seed)
    fuzzer.load(load_corpus(folder))
    fuzzer.run(max(0, FUZZED_INPUTS - fuzzer.inputs))
    keep_corpus(folder, fuzzer.corpus)
    print(f"{name}: {fuzzer.inputs} inputs, {fuzzer.steps} steps reached", file=sys.stderr, flush=True)
    assert not fuzzer.found, [f"{name}: {one.error} for {one.data!r}" for one in fuzzer.found]


def prints_through_damage(seed: int) -> None:
    """A label printer's answers are changed by chance; no label is told that did not come out."""
    from test_zebra_answers import printed_through

    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        for _ in range(PRINTS_A_ROUND):
            printed_through(
                Path(folder), chance.randbytes(chance.randrange(300)), stock=chance.choice((99, 2, 1))
            )


def fuzzed_labels(seed: int) -> None:
    """Grammars and the reader's results get bytes that are led by coverage, judged by a second opinion."""
    from tests.soak.coverage_fuzz import Fuzzer, keep_corpus, load_corpus
    from tests.soak.fuzzed_labels import TOKENS, first_inputs, in_labels, targets

    names = sorted(targets())
    name = names[seed % len(names)]
    folder = CORPUS / re.sub(r"\W+", "-", name)
    fuzzer = Fuzzer(targets()[name], in_labels, seed=seed, tokens=TOKENS)
    fuzzer.load([*first_inputs(seed), *load_corpus(folder)])
    fuzzer.run(max(0, FUZZED_LABELS - fuzzer.inputs))
    keep_corpus(folder, fuzzer.corpus)
    print(f"{name}: {fuzzer.inputs} inputs, {fuzzer.steps} steps reached", file=sys.stderr, flush=True)
    assert not fuzzer.found, [f"{name}: {one.error} for {one.data!r}" for one in fuzzer.found]


def label_frames(seed: int) -> None:
    """Our own labels of distinct seeds, harmed as bags harm them: none is accepted as another."""
    from tests.bench.bench_bag_labels import SEEDS_A_PART, Standing, count_in, part_of

    standing, first = Standing(), (seed - 1) * SEEDS_A_PART
    count_in(standing, part_of(range(first, first + SEEDS_A_PART)))
    print(json.dumps(standing.line()), file=sys.stderr, flush=True)
    assert not standing.wrong_accepts, standing.wrong_seeds
    assert standing.decoded >= 0.9 * SEEDS_A_PART, standing


def texts_and_frames(seed: int) -> None:
    """Label texts and frames that were changed by chance end in a value or in a typed refusal."""
    from appliance.domain.isbt128 import LabelRefused, meaning, parse
    from drivers.framing import BrokenFrame, safe_packet, take_line, take_safe_packet

    chance = random.Random(seed)
    good = ("=A99992612345600", "=<S9991100", "&>0263251559", "=%5100", "&,1000000000000XXSALHSA")
    for _ in range(TEXTS_A_ROUND):
        text = list("".join(chance.sample(good, chance.randint(1, 3))))
        for _ in range(chance.randint(0, 4)):
            text[chance.randrange(len(text))] = chr(chance.randrange(0x20, 0x7F))
        written = "".join(text)
        json.dumps(meaning(written, "]d1"))
        with suppress(LabelRefused):
            assert "".join(one.text for one in parse(written)) == written
        payload = chance.randbytes(chance.randrange(40))
        packet = bytearray(safe_packet(payload))
        packet[chance.randrange(len(packet))] ^= 1 << chance.randrange(8)
        for take in (take_safe_packet, take_line):
            try:
                taken = take(bytearray(packet))
            except BrokenFrame:
                continue
            assert take is take_line or taken is None, f"a changed packet of {payload!r} was taken"


def batch_by_taps(seed: int) -> None:
    """A whole batch at a real terminal by taps alone; the seed only numbers the round."""
    story = TESTS / "stories" / "test_bedside_by_taps.py"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "soak", str(story)]
    done = subprocess.run(command, cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


SUITES = (
    Suite("demo_killed_at_random", goal=200, round_s=150, play=demo_killed_at_random),
    Suite("batch_by_taps", goal=100, round_s=260, play=batch_by_taps),
    Suite("record_writer_killed", goal=2_000, round_s=8, play=record_writer_killed),
    Suite("power_loss_images", goal=100_000, round_s=5, play=power_loss_images, per_round=IMAGES_A_ROUND),
    # Together 10,000 kills.
    Suite("kills_real", goal=2_000, round_s=15, play=kills_real, per_round=REAL_KILLS_A_ROUND),
    Suite("kills_simulated", goal=8_000, round_s=6, play=kills_simulated, per_round=SIMULATED_KILLS_A_ROUND),
    Suite("tamper", goal=20_000, round_s=1.5, play=tamper, per_round=FLIPS_A_ROUND),
    Suite("replays", goal=10_000, round_s=0.5, play=replays),
    Suite("archive_changed", goal=5_000, round_s=5, play=archive_changed),
    Suite(
        "drivers_through_faults", goal=10_000, round_s=15, play=drivers_through_faults, per_round=FAULT_ROUNDS
    ),
    Suite("fuzzed_parsers", goal=1_000_000, round_s=30, play=fuzzed_parsers, per_round=FUZZED_INPUTS),
    Suite(
        "prints_through_damage", goal=20_000, round_s=1, play=prints_through_damage, per_round=PRINTS_A_ROUND
    ),
    Suite("fuzzed_labels", goal=1_000_000, round_s=8, play=fuzzed_labels, per_round=FUZZED_LABELS),
    Suite("label_frames", goal=20_000, round_s=15, play=label_frames, per_round=LABELS_A_ROUND),
    Suite("texts_and_frames", goal=20_000, round_s=1, play=texts_and_frames),
)
