"""All checks in their order, each made whatever became of the one before."""

from __future__ import annotations

from collections.abc import Iterator

from drivers.conformance import line_checks, order_checks, reading_checks
from drivers.conformance.subject import Broken, Check, Finding, NotTried, Subject
from drivers.faults import DeviceFault

CHECKS: tuple[Check, ...] = (
    *line_checks.FIRST,
    *reading_checks.CHECKS,
    *line_checks.MIDDLE,
    *order_checks.CHECKS,
    *line_checks.LAST,
)


def conform(subject: Subject) -> Iterator[Finding]:
    """Make every check; each finding comes as soon as it is made. The line is closed at the end."""
    opened = True
    try:
        for check in CHECKS:
            if not opened:
                words = "the device could not be opened"
                yield Finding(check=check.name, words=check.words, result="skipped", evidence=words)
                continue
            finding = made(check, subject)
            yield finding
            opened = opened and not (check.name == "opens" and finding.result == "failed")
    finally:
        subject.driver.close()


def made(check: Check, subject: Subject) -> Finding:
    """Make one check and say what it came to."""
    try:
        evidence = check.run(subject)
    except NotTried as why:
        return Finding(check=check.name, words=check.words, result="skipped", evidence=str(why))
    except Broken as why:
        return Finding(check=check.name, words=check.words, result="failed", evidence=str(why))
    except DeviceFault as fault:
        words = f"{fault.kind}: {fault}"
        return Finding(check=check.name, words=check.words, result="failed", evidence=words)
    except Exception as error:
        # Outermost loop of the suite: a driver that raises anything but a device fault has failed
        # this check, and the others are still made.
        words = f"raised {error!r}, which is no device fault"
        return Finding(check=check.name, words=check.words, result="failed", evidence=words)
    return Finding(check=check.name, words=check.words, result="held", evidence=evidence)
