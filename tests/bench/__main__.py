"""Run every bench in turn and print what each measured: `python -m tests.bench [NAME…]`.

Each bench is a module `bench_<name>.py` that prints JSON lines. It runs in a process of its own, so that
no bench warms a cache or keeps a thread for the next. The lines themselves go to stdout, the table to stderr.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent
BENCH_TIMEOUT_S = 1800


def main() -> int:
    """Run the benches that were named, or all; 1 when one of them failed."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(FOLDER.glob("bench_*.py"))}
    parser = argparse.ArgumentParser("python -m tests.bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"out of {', '.join(known)}; left out: all")
    chosen = parser.parse_args().names or list(known)
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        parser.error(f"there is no bench {', '.join(unknown)}; there are {', '.join(known)}")
    failed = [name for name in chosen if not _run(name, known[name])]
    if failed:
        print(f"These benches failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _run(name: str, path: Path) -> bool:
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            timeout=BENCH_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        print(f"\n{name}: not done after {BENCH_TIMEOUT_S} s", file=sys.stderr)
        return False
    print(f"\n{name} ({time.monotonic() - began:.0f} s)", file=sys.stderr)
    for line in done.stdout.splitlines():
        print(line, flush=True)
        for label, value in _rows(line):
            print(f"  {label:<58} {value:>18}", file=sys.stderr)
    return done.returncode == 0


def _rows(line: str) -> Iterator[tuple[str, str]]:
    """The figures of one JSON line; what is no JSON is shown as it is."""
    try:
        yield from _flat("", json.loads(line))
    except ValueError:
        yield line, ""


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(f"{prefix} {key}".strip(), inner)
    else:
        yield prefix, str(value)


if __name__ == "__main__":
    sys.exit(main())
