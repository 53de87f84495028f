"""Each room stands alone: what it must not know is not even in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from house import REPOSITORY, ROOMS, intruders, loaded_after, modules_of

SCREEN, EYES, LINE = ("textual", "rich"), ("cv2", "numba", "llvmlite", "pyzbar", "zxingcpp"), ("serial",)
WEB = ("starlette", "uvicorn", "jinja2", "httpx")
RECORD = ("pysqlite3", "sqlcipher3", "sqlite3", "sqlite_utils")
BENCH_TOOLS = ("pandas", "pytest", "hypothesis")

STRANGERS = {
    "drivers": ("appliance", "vision", "tui", "sync", *SCREEN, *EYES, *WEB, *RECORD, "msgspec"),
    "vision": ("appliance", "drivers", "tui", "sync", *SCREEN, *LINE, *WEB, *RECORD),
    "tui": ("drivers", "vision", "sync", *EYES, *LINE, *WEB, *RECORD, "numpy"),
    "sync": ("drivers", "vision", "tui", "textual", *EYES, *LINE, "numpy"),  # httpx takes rich where it is
    "appliance": ("tui", "sync", *SCREEN, "pyzbar", "zxingcpp"),
}
# A room of processes: what the process of each module may not carry along.
PROCESSES = {
    "appliance.engine.recovery": (
        *("drivers", "vision", "tui", "sync", "numpy", "PIL"),
        *(*SCREEN, *EYES, *LINE, *WEB, *BENCH_TOOLS),
    ),
    "appliance.engine.device_host": (
        "appliance.record",
        "appliance.access",
        "vision",
        *EYES,
        *SCREEN,
        *RECORD,
    ),
    "sync.agent": ("sync.central", "starlette", "uvicorn", *EYES, "textual"),
    "sync.central.server": ("appliance.engine", "vision", "drivers", *EYES, *SCREEN),
    "appliance.link.client": (
        "appliance.record",
        "appliance.access",
        "appliance.engine",
        *RECORD,
        "cryptography",
    ),
}

# A label template is text, and to read one loads nothing else: a shelf may hold it as it holds a recipe.
TEXT_ONLY = {"vision", "vision.labels", "vision.labels.label_template"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_loads_whole_without_the_rooms_it_must_not_know(room: str) -> None:
    modules = [name for name in modules_of(room) if not name.startswith("appliance.demo")]

    loaded = loaded_after(*(f"import {name}" for name in modules))

    assert intruders(loaded, (*STRANGERS[room], *BENCH_TOOLS)) == []


@pytest.mark.parametrize("module", sorted(PROCESSES))
def test_a_process_carries_nothing_that_could_crash_it_for_another(module: str) -> None:
    loaded = loaded_after(f"import {module}")

    assert intruders(loaded - TEXT_ONLY, PROCESSES[module]) == []


def test_the_domain_loads_without_any_door_to_the_world() -> None:
    names = [name for name in modules_of("appliance") if name.startswith("appliance.domain")]

    loaded = loaded_after(*(f"import {name}" for name in names))

    # What the interpreter itself loads at its start is not the domain's doing.
    added = loaded - loaded_after("import msgspec", "import zoneinfo, json, tomllib, hashlib, dataclasses")
    assert (
        intruders(added, ("socket", "sqlite3", "asyncio", "subprocess", "threading", "random", "logging"))
        == []
    )


def test_help_loads_every_command_and_no_heavy_library() -> None:
    loaded = loaded_after("from appliance.cli import help_text", "help_text()")

    heavy = (*SCREEN, *EYES, *WEB, *RECORD, "numpy", "PIL", "cryptography", "argon2")
    assert intruders(loaded, heavy) == []


def test_the_record_is_never_opened_by_the_sqlite_of_the_standard_library(tmp_path: Path) -> None:
    """Two SQLite libraries on one file in one process break each other's locks.

    The standard library tells each opening to audit hooks; the record's own library tells none.
    """
    program = f"""
import sys, time
opened = []
def watch(event, arguments):
    if event == "sqlite3.connect":
        opened.append(str(arguments))
sys.addaudithook(watch)
from datetime import UTC, datetime
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from appliance.record.canonical import Stamp, encode_payload
from appliance.record.log import Record
from appliance.record.verify import verify_folder
stamp = Stamp(datetime.now(UTC), time.monotonic_ns(), bytes(16), 1)
folder = Path({str(tmp_path / "record")!r})
key = Ed25519PrivateKey.generate()
with Record.create(folder, unit_id="u", key=key, software_version="t", simulated=True, stamp=stamp) as record:
    record.append("ValueRecorded", encode_payload(None, None, {{}}), actor="unit", stamp=stamp)
    record.seal(stamp)
assert verify_folder(folder).whole
print(opened)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
