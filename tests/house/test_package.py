"""What is installed fits what is written: versions, entry points, locked requirements."""

from __future__ import annotations

import importlib
import re
import tomllib
from importlib.metadata import version
from typing import Any

import pytest
from house import REPOSITORY

import appliance

REQUIREMENTS = ("requirements.txt", "requirements-central.txt", "requirements-dev.txt")
PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[a-z,]+\])?==([^\s;\\]+)\s*(;[^\\]*)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
HOST = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]*://|\b[a-z0-9-]+(\.[a-z0-9-]+)*\.(com|org|net|io|dev|eu|de|local)\b"
)


def project() -> dict[str, Any]:
    return tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def entry_points() -> list[tuple[str, str, str]]:
    groups = project()["project"]["entry-points"] | {"scripts": project()["project"]["scripts"]}
    return [(group, name, target) for group, points in groups.items() for name, target in points.items()]


def pins(name: str) -> dict[tuple[str, str], tuple[str, frozenset[str]]]:
    """(package, marker) → (version, hashes) of a requirements file."""
    text = (REPOSITORY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            pin = PIN.match(line)
            assert pin is not None, f"{name}: this line pins nothing: {line[:80]}"
            marker = (pin[4] or "").split("--hash")[0].strip()
            found[pin[1].lower(), marker] = (pin[3], frozenset(HASH.findall(line)))
    return found


def test_the_version_is_written_the_same_everywhere() -> None:
    written = project()["project"]["version"]

    assert appliance.__version__ == written
    assert version("cellwright") == written
    assert re.search(rf"^## {re.escape(written)}\b", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize(("group", "name", "target"), entry_points(), ids=lambda part: str(part))
def test_every_entry_point_leads_to_something_that_can_be_called(group: str, name: str, target: str) -> None:
    module, attribute = target.split(":")

    found = getattr(importlib.import_module(module), attribute)

    assert callable(found)
    assert (found.__doc__ or "").strip(), f"{target} has no docstring, which is its help"


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_has_its_hashes(name: str) -> None:
    found = pins(name)

    assert found
    assert [package for package, (_, hashes) in found.items() if not hashes] == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_requirements_name_no_registry(name: str) -> None:
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()

    asked = [line for line in lines if re.match(r"\s*-(i|f|-index|-extra|-find|-trusted|r|c|e)", line)]
    hosts = [line for line in lines if HOST.search(line)]

    assert asked == []
    assert hosts == []


def test_each_set_of_requirements_is_contained_in_the_next() -> None:
    smaller, middle, larger = (pins(name) for name in REQUIREMENTS)

    assert {key: pin for key, pin in smaller.items() if middle.get(key) != pin} == {}
    assert {key: pin for key, pin in middle.items() if larger.get(key) != pin} == {}


def test_what_the_project_asks_for_is_locked() -> None:
    asked = project()["project"]
    extras = asked["optional-dependencies"]
    name_of = re.compile(r"[A-Za-z0-9._-]+")
    for wanted, file in (
        (asked["dependencies"], REQUIREMENTS[0]),
        (asked["dependencies"] + extras["central"], REQUIREMENTS[1]),
        (asked["dependencies"] + extras["central"] + extras["dev"], REQUIREMENTS[2]),
    ):
        locked = {package.replace("_", "-") for package, _ in pins(file)}
        names = {name_of.match(one)[0].lower().replace("_", "-") for one in wanted}  # type: ignore[index]

        assert names - locked == set(), file
