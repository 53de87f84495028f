"""The headless demonstration as a command: last line, streams and exit status."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from story_headless import Headless
from story_ward import call

pytestmark = pytest.mark.timeout(600)

KEYS = {
    "batch",
    "disposition",
    "viability_percent",
    "viability_interval_percent",
    "events",
    "archive",
    "wall_s",
}


@pytest.mark.parametrize(
    ("name", "disposition", "status"),
    [
        ("demo_released", "released", 0),
        ("demo_rejected", "rejected", 3),
        ("demo_awaiting", "awaiting_disposition", 4),
    ],
)
def test_the_exit_status_tells_how_the_batch_ended(
    demo_released: Headless,
    demo_rejected: Headless,
    demo_awaiting: Headless,
    name: str,
    disposition: str,
    status: int,
) -> None:
    runs = {"demo_released": demo_released, "demo_rejected": demo_rejected, "demo_awaiting": demo_awaiting}
    assert (runs[name].status, runs[name].result["disposition"]) == (status, disposition)


def test_a_recipe_without_qas_signature_opens_no_batch_and_exits_1(demo_unsigned: Headless) -> None:
    assert demo_unsigned.status == 1
    assert demo_unsigned.stdout == []
    assert any("recipe thaw-wash-dose-50 cannot be used" in line for line in demo_unsigned.stderr)


def test_the_last_line_has_exactly_the_promised_keys(demo_released: Headless) -> None:
    assert set(demo_released.result) == KEYS


def test_the_viability_lies_in_its_interval(demo_released: Headless) -> None:
    low, high = demo_released.result["viability_interval_percent"]
    assert low <= demo_released.result["viability_percent"] <= high


def test_the_archive_is_named_by_an_absolute_path_and_is_there(demo_released: Headless) -> None:
    archive = Path(demo_released.result["archive"])
    assert archive.is_absolute() and archive.is_file() and archive.parent == demo_released.out


def test_stdout_carries_json_only(
    demo_released: Headless, demo_rejected: Headless, demo_awaiting: Headless
) -> None:
    for ran in (demo_released, demo_rejected, demo_awaiting):
        assert all(isinstance(json.loads(line), dict) for line in ran.stdout)


def test_no_log_line_on_stderr_starts_with_a_brace(
    demo_released: Headless, demo_rejected: Headless, demo_awaiting: Headless, demo_unsigned: Headless
) -> None:
    for ran in (demo_released, demo_rejected, demo_awaiting, demo_unsigned):
        assert not [line for line in ran.stderr if line.lstrip().startswith("{")]


def test_progress_names_each_phase_on_stderr(demo_released: Headless) -> None:
    told = "\n".join(demo_released.stderr)
    for title in ("Clear the line", "Thaw", "Dilute 1:1", "Count cells and viability", "Fill the dose"):
        assert title in told


def test_the_demonstrations_archive_verifies_under_its_trust_file(demo_released: Headless) -> None:
    trust = str(demo_released.out / "trust.json")
    done = call("verify", demo_released.result["archive"], "--trust", trust)
    assert done.returncode == 0 and "signed by trusted keys" in done.stdout


def test_a_rejected_batch_has_an_archive_that_verifies_without_cellwright(
    demo_rejected: Headless, tmp_path: Path
) -> None:
    archive = demo_rejected.result["archive"]
    with zipfile.ZipFile(archive) as zipped:
        zipped.extract("verify.py", tmp_path)
    command = [sys.executable, "-I", "-S", str(tmp_path / "verify.py"), archive]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "whole and unchanged" in done.stdout


@pytest.mark.parametrize("arguments", [["--speed", "0"], ["--recipe", "none"], ["--fault", "none"]])
def test_a_wrong_option_is_said_and_exits_2(arguments: list[str]) -> None:
    done = call("demo", "--headless", *arguments)
    assert (done.returncode, done.stdout) == (2, "") and done.stderr
