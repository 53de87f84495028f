"""`cellwright device conform`: the suite at a port, one line a check."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib.metadata import version

from drivers.conformance.subject import Finding, Subject
from drivers.conformance.suite import conform

ALL_HELD, ONE_FAILED = 0, 1


def report(subject: Subject, *, as_json: bool) -> int:
    """Print each finding as it comes, then what it amounts to; return the exit status."""
    began = datetime.now(UTC)
    findings: list[Finding] = []
    for finding in conform(subject):
        findings.append(finding)
        if as_json:
            print(json.dumps(_told(finding), ensure_ascii=False), flush=True)
        else:
            print(f"{finding.result:8} {finding.check:18} {finding.words}. {finding.evidence}", flush=True)
    counts = {
        result: sum(one.result == result for one in findings) for result in ("held", "failed", "skipped")
    }
    if as_json:
        print(json.dumps(_summary(subject, began, counts), ensure_ascii=False), flush=True)
    else:
        print(
            f"{subject.entry.name}: " + ", ".join(f"{number} {result}" for result, number in counts.items())
        )
    return ONE_FAILED if counts["failed"] else ALL_HELD


def _told(finding: Finding) -> dict[str, str]:
    return {
        "check": finding.check,
        "result": finding.result,
        "words": finding.words,
        "evidence": finding.evidence,
    }


def _summary(subject: Subject, began: datetime, counts: dict[str, int]) -> dict[str, object]:
    return {
        "type": subject.entry.name,
        "port": subject.port,
        "moves": subject.moves,
        "utc": began.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "software": version("cellwright"),
        **counts,
    }
