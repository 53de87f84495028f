"""`python -m tests.soak --minutes N`: spend a budget of time over all long suites in turn.

Each run goes on with the seeds where the last one ended, as a small file remembers; a seed that
failed stays listed there until it is run again with `--suite NAME --seed N` and holds.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.suites import SUITES, Suite


@dataclass(slots=True)
class Standing:
    """How far one suite has come, over all runs."""

    rounds: int = 0
    failed: list[int] = field(default_factory=list)
    this_run: int = 0
    spent_s: float = 0.0  # in this run


def main() -> int:
    """Run, print one line a suite, and return 1 when any round failed."""
    parser = argparse.ArgumentParser("python -m tests.soak", description=__doc__, allow_abbrev=False)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="N")
    parser.add_argument("--state", type=Path, default=Path(".soak.json"), metavar="FILE")
    parser.add_argument("--suite", choices=[suite.name for suite in SUITES], help="this suite alone")
    parser.add_argument("--seed", type=int, metavar="N", help="one round of --suite with this seed")
    options = parser.parse_args()
    suites = [suite for suite in SUITES if options.suite in (None, suite.name)]
    if options.seed is not None and options.suite is None:
        parser.error("--seed needs --suite")
    standings = _load(options.state)
    if options.seed is not None:
        standing = standings[suites[0].name]
        good = _round(suites[0], options.seed)
        standing.failed = [one for one in standing.failed if one != options.seed]
        standing.failed += [] if good else [options.seed]
        _save(options.state, standings)
        return 0 if good else 1
    good = _spend(suites, standings, options.minutes * 60, options.state)
    for suite in suites:
        print(json.dumps(_line(suite, standings[suite.name])), flush=True)
    return 0 if good else 1


def _spend(suites: list[Suite], standings: dict[str, Standing], budget_s: float, state: Path) -> bool:
    """Play until the time is spent; whether every round held.

    The next round is of the suite that will have had the least time after it, so that long rounds do
    not starve short ones; the end of the budget goes to those that still fit into it.
    """
    deadline, good = time.monotonic() + budget_s, True
    rounds_s = {suite.name: suite.round_s for suite in suites}
    while True:
        left_s = deadline - time.monotonic()
        fitting = [suite for suite in suites if rounds_s[suite.name] < left_s]
        if not fitting:
            return good
        suite = min(fitting, key=lambda one: standings[one.name].spent_s + rounds_s[one.name])
        standing, began_s = standings[suite.name], time.monotonic()
        seed = standing.rounds + 1
        held = _round(suite, seed)
        took_s = time.monotonic() - began_s
        standing.rounds, standing.this_run = seed, standing.this_run + 1
        standing.spent_s += took_s
        # What a round takes on this machine is known better after each.
        rounds_s[suite.name] = (rounds_s[suite.name] + took_s) / 2
        standing.failed += [] if held else [seed]
        good = good and held
        _save(state, standings)


def _round(suite: Suite, seed: int) -> bool:
    try:
        suite.play(seed)
    except Exception:
        # Outermost loop: whatever a round raises is a finding; the other seeds still get their turn.
        print(f"{suite.name} --seed {seed} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
        return False
    return True


def _line(suite: Suite, standing: Standing) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "rounds_this_run": standing.this_run,
        "rounds": standing.rounds,
        "reached": standing.rounds * suite.per_round,
        "goal": suite.goal,
        "goal_reached_percent": 100 * standing.rounds * suite.per_round // suite.goal,
        "spent_s": round(standing.spent_s, 1),
        "failing_seeds": standing.failed,
        "again": f"python -m tests.soak --suite {suite.name} --seed {standing.failed[0]}"
        if standing.failed
        else "",
    }


def _load(path: Path) -> dict[str, Standing]:
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {
        suite.name: Standing(
            rounds=int(held.get(suite.name, {}).get("rounds", 0)),
            failed=list(held.get(suite.name, {}).get("failed", [])),
        )
        for suite in SUITES
    }


def _save(path: Path, standings: dict[str, Standing]) -> None:
    held = {name: {"rounds": one.rounds, "failed": one.failed} for name, one in standings.items()}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
