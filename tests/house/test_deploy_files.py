"""What an installer copies is valid where a machine can say so, and fits the program it starts."""

from __future__ import annotations

import re
import shutil
import subprocess
from decimal import Decimal
from ipaddress import ip_address
from pathlib import Path

import pytest
from house import REPOSITORY

from appliance.cli import commands
from appliance.config import Home, parse_config

DEPLOY = REPOSITORY / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
RULES = DEPLOY / "udev" / "60-cellwright.rules"
PROGRAM = "/opt/cellwright/.venv/bin/cellwright"
UDEV_KEYS = {"SUBSYSTEM", "ACTION", "ENV", "ATTR", "SYMLINK", "GROUP", "MODE", "GOTO", "LABEL", "DRIVER"}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine.")
    return found


def settings(unit: Path) -> dict[str, list[str]]:
    """Each setting of a unit file with its values, sections put together."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#[":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_service_manager_takes_each_unit_without_a_word(unit: Path, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    for each in UNITS:  # a copy whose program exists here; the others, because units name each other
        (tmp_path / each.name).write_text(each.read_text().replace(PROGRAM, "/bin/true"))

    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / unit.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )

    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_each_unit_starts_a_command_that_exists(unit: Path) -> None:
    (line,) = settings(unit)["ExecStart"]
    program, command, *_ = line.split()

    assert program == PROGRAM
    assert command in commands()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_service_comes_back_for_ever_and_runs_as_nobody_special(unit: Path) -> None:
    found = settings(unit)

    assert found["Restart"] == ["always"]
    assert found["StartLimitIntervalSec"] == ["0"]
    assert found["User"][0].startswith("cellwright")
    assert found["NoNewPrivileges"] == ["yes"]
    assert found["CapabilityBoundingSet"] == [""]


def test_device_hosts_are_given_time_to_say_stop() -> None:
    """Killed at once, a host could not stop its pump when the engine dies."""
    found = settings(DEPLOY / "systemd" / "cellwright-engine.service")

    assert found["KillMode"] == ["control-group"]
    assert int(found["TimeoutStopSec"][0]) >= 5
    assert found["Type"] == ["notify"]
    assert "PrivateDevices" not in found  # it would hide the serial lines


def test_a_printers_address_is_all_that_the_engine_is_opened_to(tmp_path: Path) -> None:
    added = DEPLOY / "systemd" / "cellwright-engine.service.d" / "network-printer.conf"
    engine = DEPLOY / "systemd" / "cellwright-engine.service"
    found = settings(added)
    assert settings(engine)["PrivateNetwork"] == ["yes"]
    assert (found["PrivateNetwork"], found["IPAddressDeny"]) == (["no"], ["any"])
    (address,) = found["IPAddressAllow"]
    assert ip_address(address).is_private or address.startswith("192.0.2.")

    analyze = tool("systemd-analyze")
    folder = tmp_path / f"{engine.name}.d"
    folder.mkdir()
    shutil.copy(added, folder)
    (tmp_path / engine.name).write_text(engine.read_text().replace(PROGRAM, "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(tmp_path / engine.name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{tmp_path}:", "PATH": "/usr/bin:/bin"},
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


def test_the_agent_cannot_reach_the_key_that_signs_the_record() -> None:
    (hidden,) = settings(DEPLOY / "systemd" / "cellwright-sync.service")["InaccessiblePaths"]

    assert "keys/unit.key" in hidden
    assert "keys/pin.secret" in hidden


def test_the_accounts_are_valid(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = subprocess.run(
        [tool("systemd-sysusers"), f"--root={tmp_path}", str(DEPLOY / "sysusers.d" / "cellwright.conf")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, done.stderr)
    assert not re.search("(?i)fail|invalid|unknown|ignoring", done.stderr), done.stderr
    accounts = (tmp_path / "etc" / "passwd").read_text()
    assert [line.split(":")[0] for line in accounts.splitlines()] == [
        "cellwright",
        "cellwright-bedside",
        "cellwright-central",
    ]
    assert all(line.endswith("/usr/sbin/nologin") for line in accounts.splitlines())


def test_the_folders_are_made_and_the_keys_are_closed(tmp_path: Path) -> None:
    """The owner's name cannot be resolved in an empty tree, so the test's copy names numbers."""
    wanted = (DEPLOY / "tmpfiles.d" / "cellwright.conf").read_text()
    mine = re.sub(r"\bcellwright cellwright -", f"{Path('/proc/self').stat().st_uid} - -", wanted)
    (tmp_path / "t.conf").write_text(mine)

    done = subprocess.run(
        [tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", str(tmp_path / "t.conf")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "var/lib/cellwright/keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "var/lib/cellwright/run").readlink() == Path("/run/cellwright")


def test_every_account_that_a_file_names_is_made() -> None:
    made = set(
        re.findall(r"^[ug]\s+(\S+)", (DEPLOY / "sysusers.d/cellwright.conf").read_text(), re.MULTILINE)
    )
    named = {name for unit in UNITS for key in ("User", "Group") for name in settings(unit)[key]}
    named |= {group for unit in UNITS for group in settings(unit).get("SupplementaryGroups", [])}
    named |= set(re.findall(r'GROUP="(cellwright[^"]*)"', RULES.read_text()))

    assert named - made == set()


def test_udev_takes_the_rules(tmp_path: Path) -> None:
    udevadm = tool("udevadm")
    if (
        "verify"
        not in subprocess.run([udevadm, "--help"], capture_output=True, text=True, check=False).stdout
    ):
        pytest.skip("This udevadm is older than 254 and cannot verify rules.")

    done = subprocess.run([udevadm, "verify", str(RULES)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_is_made_of_keys_and_quoted_values() -> None:
    """The part of udev's grammar that a missing comma or quote breaks, also where no udevadm can verify."""
    one = re.compile(r'([A-Z]+)(\{[A-Za-z0-9_]+\})?(==|!=|\+=|:=|=)"[^"]*"')
    rules = [line for line in RULES.read_text().splitlines() if line and not line.startswith("#")]

    broken = [
        rule
        for rule in rules
        if not all((found := one.fullmatch(part)) and found[1] in UDEV_KEYS for part in rule.split(", "))
    ]

    assert broken == []


def test_the_example_of_the_appliance_file_is_taken_as_it_stands() -> None:
    text = (DEPLOY / "unit.toml.example").read_text(encoding="utf-8")

    config = parse_config(text, Home(Path("/var/lib/cellwright")))

    assert not config.unit.simulated
    assert config.station.um_per_px == Decimal("0.6")
    links = set(re.findall(r'^[^#\n]*SYMLINK\+="([^"]+)"', RULES.read_text(), re.MULTILINE))
    assert {device.port.removeprefix("/dev/") for device in config.devices} == links
