"""What the house checks look at: the tracked files, and the modules of each room."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("appliance", "drivers", "vision", "tui", "sync")
BINARY = {
    ".f16",
    ".png",
    ".jpg",
    ".webp",
    ".npz",
    ".ico",
    ".woff2",
    ".gz",
    ".xz",
    ".ttf",
    ".pdf",
    ".db",
    ".zip",
    ".mp4",
    ".mkv",
    ".avi",
    ".onnx",
}


@functools.cache
def tracked() -> tuple[Path, ...]:
    """Every file that is in the repository, relative to its root; skips outside a git checkout."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True, timeout=30
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("This is no git checkout, so nobody can say which files belong to it.")
    paths = (Path(name.decode()) for name in listed.stdout.split(b"\0") if name)
    return tuple(path for path in paths if (REPOSITORY / path).is_file())


@functools.cache
def texts() -> dict[Path, str]:
    """The tracked text files by their path."""
    chosen = (path for path in tracked() if path.suffix not in BINARY)
    return {path: (REPOSITORY / path).read_text(encoding="utf-8") for path in chosen}


def modules_of(room: str) -> list[str]:
    """The dotted names of all modules of a room, training scripts left out (they need other tools)."""
    found = []
    for path in sorted((REPOSITORY / room).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        if "training" in parts or parts[-1] == "stand_alone_verify":
            continue
        found.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return found


def loaded_after(*statements: str) -> set[str]:
    """The top-level and dotted names in `sys.modules` of a fresh interpreter after some statements."""
    program = "; ".join([*statements, "import sys", "print('\\n'.join(sorted(sys.modules)))"])
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def intruders(loaded: set[str], unwanted: tuple[str, ...]) -> list[str]:
    """Which of the unwanted packages were loaded, by the names they came under."""
    return sorted(
        name for name in loaded if any(name == one or name.startswith(f"{one}.") for one in unwanted)
    )
