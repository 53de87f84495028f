"""What every test run can do besides testing: note which statement each test proves, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_NOTED = pytest.StashKey[dict[str, dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--proofs",
        type=Path,
        metavar="FILE",
        help="write the tests that prove a statement, with their results, as JSON lines",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOTED] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        ids = [one for mark in item.iter_markers("requirement") for one in mark.args]
        if ids:
            config.stash[_NOTED][item.nodeid] = {"test": item.nodeid, "ids": sorted(set(ids)), "result": ""}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    report: pytest.TestReport = yield
    noted = item.config.stash[_NOTED].get(item.nodeid)
    # A fault in setting up or tearing down is no proof either.
    if noted is not None and (report.when == "call" or report.outcome != "passed"):
        noted["result"] = report.outcome
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("proofs")
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(noted) for noted in session.config.stash[_NOTED].values()]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
