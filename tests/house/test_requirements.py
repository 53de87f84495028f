"""Every statement that is due has a test, and no test names a statement that does not exist."""

from __future__ import annotations

import re

from house import texts

from tests.trace.statements import statements

MARK = re.compile(r"requirement\(([^)]*)\)", re.DOTALL)
ID = re.compile(r'"([A-Z]-?\d+)"')


def named() -> dict[str, list[str]]:
    """The ids on the marks of all tests, with the files that carry them."""
    found: dict[str, list[str]] = {}
    for path, text in texts().items():
        if path.parts[0] == "tests" and path.suffix == ".py" and path.parts[1] not in ("house", "trace"):
            for mark in MARK.findall(text):
                for one in ID.findall(mark):
                    found.setdefault(one, []).append(str(path))
    return found


def test_the_page_holds_all_forty_five_statements() -> None:
    assert [one.id for one in statements()] == [f"R-{number:02d}" for number in range(1, 46)]


def test_every_statement_that_is_due_has_a_test() -> None:
    tests = named()

    assert [one.id for one in statements() if one.due and one.id not in tests] == []


def test_no_test_names_a_statement_that_the_page_does_not_hold() -> None:
    known = {one.id for one in statements()}

    assert {one: files for one, files in named().items() if one.startswith("R") and one not in known} == {}
