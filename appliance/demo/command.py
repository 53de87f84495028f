"""`cellwright demo`: a whole batch on simulated devices, by scripted people or by your own taps."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

FAULTS = {
    "wrong-bag": "a bag of another donation is shown first; refused, a supervisor goes on with the right one",
    "expired-bag": "an expired bag is shown first; refused",
    "engine-killed": "the engine is killed while the pump runs; held, resumed by a person",
    "vision-killed": "the vision worker is killed before the count",
    "spent-roll": "the printer runs out of labels in the middle of the dose's label; loaded, it goes on",
    "stop": "STOP is pressed while the pump runs",
    "central-away": "central is away for the whole run; ends awaiting_disposition",
    "qp-rejects": "the QP rejects the batch",
    "unsigned-recipe": "the recipe lacks QA's signature; no batch opens",
}
SPEED_MAX = "60"


def demo(argv: Sequence[str]) -> int:
    """Run a whole batch on simulated devices, with the bedside terminal or headless."""
    parser = argparse.ArgumentParser("cellwright demo", description=demo.__doc__, allow_abbrev=False)
    parser.add_argument("--headless", action="store_true", help="scripted people instead of the terminal")
    parser.add_argument("--recipe", default="thaw-wash-dose-50", metavar="NAME")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="noise, hands and pictures")
    parser.add_argument(
        "--speed", metavar="FACTOR|max", help="speed of process time (headless: max; else 10)"
    )
    parser.add_argument("--fault", choices=sorted(FAULTS), metavar="NAME", help=", ".join(sorted(FAULTS)))
    parser.add_argument("--out", type=Path, metavar="DIR", help="where archive and logs go")
    options = parser.parse_args(argv)
    if not options.headless and not (sys.stdin.isatty() and sys.stderr.isatty()):
        print("There is no terminal here, so scripted people play the batch (--headless).", file=sys.stderr)
        options.headless = True
    if not _usable(options, parser):
        return 2
    from appliance.demo.run import run_headless, run_interactive

    return run_headless(options) if options.headless else run_interactive(options)


def _usable(options: argparse.Namespace, parser: argparse.ArgumentParser) -> bool:
    from appliance.demo.site import RECIPES

    if options.recipe not in RECIPES:
        print(
            f"{parser.prog}: there is no recipe {options.recipe}; there are {', '.join(RECIPES)}.",
            file=sys.stderr,
        )
        return False
    speed = ("max" if options.headless else "10") if options.speed is None else options.speed
    options.speed = SPEED_MAX if speed == "max" else speed
    try:
        good = 1 <= float(options.speed) <= 100
    except ValueError:
        good = False
    if not good:
        print(f"{parser.prog}: --speed is a factor from 1 to 100, or max.", file=sys.stderr)
    return good
