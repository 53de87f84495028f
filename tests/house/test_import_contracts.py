"""The arrows between the rooms point one way, and a tool says so."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from house import REPOSITORY

LINT = Path(sys.executable).with_name("lint-imports")


def lint(config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(LINT), "--no-cache", "--config", str(config)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )


def test_every_contract_of_the_house_is_kept() -> None:
    done = lint(REPOSITORY / "pyproject.toml")

    assert done.returncode == 0, done.stdout[-4000:]
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert f"Contracts: {len(settings['tool']['importlinter']['contracts'])} kept, 0 broken." in done.stdout


@pytest.mark.parametrize(
    "contract",
    [
        'type = "layers"\nlayers = ["drivers", "appliance"]',
        'type = "protected"\nprotected_modules = ["serial"]\nallowed_importers = ["vision"]',
        'type = "forbidden"\nsource_modules = ["appliance.engine"]\nforbidden_modules = ["asyncio"]',
    ],
    ids=["layers", "protected", "forbidden"],
)
def test_a_contract_that_is_broken_is_found(contract: str, tmp_path: Path) -> None:
    """The tool that says "kept" must be able to say otherwise about this same tree."""
    config = tmp_path / "contracts.toml"
    config.write_text(
        '[tool.importlinter]\nroot_packages = ["appliance", "drivers", "vision", "tui", "sync"]\n'
        f'include_external_packages = true\n[[tool.importlinter.contracts]]\nname = "wrong"\n{contract}\n'
    )

    done = lint(config)

    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "BROKEN" in done.stdout
