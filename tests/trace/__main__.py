"""`python -m tests.trace`: run the tests that prove a statement, and write statement → test → result.

The statements stand in `docs/requirements.md`; a test names the ones it proves with
`@pytest.mark.requirement("R-02", …)`. Prints what is open; ends with 1 when a test failed or when a
statement that is due has no test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from typing import Any

from tests.trace.statements import REPOSITORY, Statement, statements

OUT = REPOSITORY / "build"
RESULTS = OUT / "trace.jsonl"
TABLE = OUT / "trace.md"
RULE = "| --- | --- | --- | --- |"


def main() -> int:
    """Run, write the table, and say what is open."""
    parser = argparse.ArgumentParser("python -m tests.trace", description=__doc__, allow_abbrev=False)
    parser.add_argument("--keep", action="store_true", help=f"use {RESULTS.name} as it is; run nothing")
    if not parser.parse_args().keep:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "requirement and not soak"]
        subprocess.run([*command, f"--proofs={RESULTS}"], cwd=REPOSITORY, check=False)
    proofs = read_proofs()
    known = statements()
    TABLE.write_text(table(known, proofs), encoding="utf-8")
    open_ones = [one.id for one in known if one.due and not proofs.get(one.id)]
    failed = sorted(
        {proof["test"] for tests in proofs.values() for proof in tests if proof["result"] != "passed"}
    )
    print(f"{TABLE.relative_to(REPOSITORY)}: {len(known)} statements, {len(proofs)} ids with tests.")
    print(f"Open, though due: {', '.join(open_ones) or 'none'}.")
    print(f"Not due yet: {', '.join(one.id for one in known if not one.due) or 'none'}.")
    for test in failed:
        print(f"Not passed: {test}")
    return 1 if open_ones or failed else 0


def read_proofs() -> dict[str, list[dict[str, Any]]]:
    """The tests and their results by id."""
    proofs: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        noted = json.loads(line)
        for one in noted["ids"]:
            proofs[one].append(noted)
    return dict(proofs)


def table(known: list[Statement], proofs: dict[str, list[dict[str, Any]]]) -> str:
    """Statements first, then features and the rest, each with its tests and their results."""
    lines = [
        "# Statement, test, result",
        "",
        "| id | statement | test | result |",
        "| --- | --- | --- | --- |",
    ]
    words = {one.id: one for one in known}
    for number in [*words, *sorted(set(proofs) - set(words))]:
        said = words[number].words if number in words else ""
        tests = proofs.get(number, [])
        if not tests:
            state = "OPEN" if words[number].due else "not due yet"
            lines.append(f"| {number} | {said} | - | {state} |")
        for proof in sorted(tests, key=lambda one: str(one["test"])):
            name = str(proof["test"]).replace("|", "\\|")
            lines.append(f"| {number} | {said} | `{name}` | {proof['result'] or 'not run'} |")
            said = ""
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
