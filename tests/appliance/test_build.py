"""One hash names the program that made a record."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.build import PACKAGES, build_hash, hash_of


def program(root: Path) -> Path:
    for package in PACKAGES:
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text(f'"""The room {package}."""\n')
    return root


@pytest.mark.requirement("R-01")
def test_the_same_files_give_the_same_hash_anywhere(tmp_path: Path) -> None:
    first, second = program(tmp_path / "a"), program(tmp_path / "b" / "c")
    (second / "tui" / "__pycache__").mkdir()
    (second / "tui" / "__pycache__" / "x.pyc").write_bytes(b"made while it runs")
    (second / "elsewhere.txt").write_text("not of the program")
    assert hash_of(first) == hash_of(second)


@pytest.mark.requirement("R-01")
def test_any_changed_added_or_renamed_file_gives_another_hash(tmp_path: Path) -> None:
    root = program(tmp_path)
    hashes = {hash_of(root)}
    (root / "drivers" / "__init__.py").write_text('"""The room drivers!"""\n')
    hashes.add(hash_of(root))
    (root / "drivers" / "pump.py").write_text("")
    hashes.add(hash_of(root))
    (root / "drivers" / "pump.py").rename(root / "drivers" / "pomp.py")
    hashes.add(hash_of(root))
    assert len(hashes) == 4


def test_the_running_program_has_a_hash() -> None:
    assert len(build_hash()) == 64
