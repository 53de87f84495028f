"""Many rounds of faults side by side: `fault_runs.py --seeds 1:300`, one JSON line a round.

Nearly all of a round is waiting, so that many fit beside each other; a process of its own keeps them
away from whatever else a test does. A round that does not end is a finding too: a hang.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
for _place in (HERE, HERE.parent.parent):
    if str(_place) not in sys.path:
        sys.path.insert(0, str(_place))

from fault_rounds import DEFAULT_RATES, VERBS, Tally, drawn_rates, play_round  # noqa: E402
from type_variants import LABELS  # noqa: E402

SIDE_BY_SIDE = 24
SHARPER = {"silent": 0.15, "one_way": 0.2}  # so that they strike among few requests
ROUND_S_MAX = 90.0
ACTS = 8
SHARES = 2  # processes beside each other: one a core of the smallest machine that builds this


@dataclass(frozen=True, slots=True)
class Case:
    """One round: a type, its faults with rates, its seed."""

    type_name: str
    rates: dict[str, float]
    seed: int


def cases_of_verbs(types: Iterable[str], seed: int) -> list[Case]:
    """Each type through each fault verb alone."""
    rates = DEFAULT_RATES | SHARPER
    return [Case(name, {verb: rates[verb]}, seed) for name in types for verb in VERBS]


def cases_of_seeds(types: tuple[str, ...], first: int, last: int) -> list[Case]:
    """One mixture of faults a seed, over all types in turn."""
    return [Case(types[seed % len(types)], drawn_rates(seed), seed) for seed in range(first, last + 1)]


def play(cases: list[Case], folder: Path) -> Iterator[tuple[Case, Tally]]:
    """Play all, some beside each other."""
    with ThreadPoolExecutor(max_workers=SIDE_BY_SIDE) as pool:
        futures = [
            pool.submit(play_round, case.type_name, case.rates, case.seed, folder, ACTS) for case in cases
        ]
        for case, future in zip(cases, futures, strict=True):
            try:
                yield case, future.result(timeout=ROUND_S_MAX)
            except TimeoutError:
                yield case, Tally(findings=[f"{case}: the round hangs"])
                sys.stdout.flush()
                os._exit(3)  # a thread that hangs cannot be ended otherwise
            except Exception as error:
                # Outermost loop: the other rounds still get their turn.
                yield case, Tally(rounds=1, findings=[f"{case}: the round broke with {error!r}"])


def in_processes(*options: str) -> list[tuple[Case, Tally]]:
    """Play in several processes and gather what came of it."""
    command = [sys.executable, str(Path(__file__)), *options]
    shares = [
        subprocess.Popen([*command, "--share", f"{share}:{SHARES}"], stdout=subprocess.PIPE, text=True)
        for share in range(SHARES)
    ]
    done = []
    for process in shares:
        said, _ = process.communicate(timeout=1200)
        lines = [json.loads(line) for line in said.splitlines()]
        done += [(Case(**line["case"]), as_tally(line["tally"])) for line in lines]
        assert process.returncode == 0, (process.returncode, [line["tally"]["findings"] for line in lines])
    return done


def as_tally(held: dict[str, Any]) -> Tally:
    """Read a tally as it was printed."""
    counters = {name: Counter(held[name]) for name in ("readings", "told", "struck", "orders")}
    return Tally(**(held | counters))


def summed(tallies: Iterable[Tally]) -> Tally:
    """Sum up."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def in_words(total: Tally, took_s: float) -> str:
    """Return what many rounds came to, for people."""
    slowest = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in sorted(total.slowest_s.items()))
    return "\n".join(
        (
            f"{total.rounds} rounds in {took_s:.0f} s: {sum(total.readings.values())} readings "
            f"{dict(total.readings)}, {total.judged} good ones judged against the truth",
            f"  faults struck, by rounds: {dict(total.struck.most_common())}",
            f"  faults told: {dict(total.told.most_common())}",
            f"  orders: {dict(sorted(total.orders.items()))}",
            f"  slowest calls: {slowest}; slowest recovery {total.recovery_s:.2f} s",
            f"  findings: {len(total.findings)}",
            *(f"    {finding}" for finding in total.findings),
        )
    )


def main() -> int:
    """Play one share and print one line a round; `--words` sums up for people instead."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--verbs", type=int, metavar="SEED", help="each type through each verb")
    parser.add_argument("--seeds", metavar="FIRST:LAST", help="mixtures of faults")
    parser.add_argument("--types", default=",".join(LABELS))
    parser.add_argument("--share", default="0:1", metavar="WHICH:OF")
    parser.add_argument("--words", action="store_true")
    asked = parser.parse_args()
    types = tuple(asked.types.split(","))
    cases = cases_of_verbs(types, asked.verbs) if asked.verbs is not None else []
    if asked.seeds:
        first, _, last = asked.seeds.partition(":")
        cases += cases_of_seeds(types, int(first), int(last or first))
    which, of = (int(part) for part in asked.share.split(":"))
    began_s, tallies = time.monotonic(), []
    with tempfile.TemporaryDirectory(prefix="cw-") as folder:
        for case, tally in play(cases[which::of], Path(folder)):
            tallies.append(tally)
            if not asked.words:
                print(json.dumps({"case": asdict(case), "tally": vars(tally)}), flush=True)
    if asked.words:
        print(in_words(summed(tallies), time.monotonic() - began_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
