"""The appliance file is read once and checked whole."""

from __future__ import annotations

import argparse
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance import device_types
from appliance.config import (
    HOME_DEFAULT,
    MOVING_ROLES,
    ROLES,
    ConfigurationUnusable,
    Device,
    Home,
    add_home_option,
    home_from,
    parse_config,
    read_config,
)
from appliance.domain import operator_devices
from drivers import catalog, roles
from drivers.catalog import DeviceType

GOOD = """
[unit]
id = "unit-demo"
site = "Ward 4, Example Hospital"
time_zone = "Europe/Berlin"
simulated = true
clock_speed = "60"

[session]
idle_lock_min = 5
lock_out_failures = 5

[[device]]
id = "balance"
title = "Balance"
role = "balance"
type = "mt-sics"
port = "/run/bench/balance"
safe_state = "keep"
poll_ms = 250

[[device]]
id = "pump"
title = "Syringe pump"
role = "pump"
type = "new-era-ne1000"
port = "/run/bench/pump"
serial_number = "288954"
safe_state = "stop"

[station]
labels = "sources/labels"
microscope = "/srv/microscope"
um_per_px = "0.65"
field_depth_um = 100
field_depth_tolerance_percent = 10.0
dilution = "2"
fictitious = true

[central]
url = "https://central.example:8443"

[record]
reserve_mib = 64
free_percent_warn = 20
"""

HOME = Home(Path("/srv/cellwright"))


def faults_of(text: str) -> str:
    with pytest.raises(ConfigurationUnusable) as caught:
        parse_config(text, HOME)
    return str(caught.value)


def test_a_good_file_becomes_exact_values():
    config = parse_config(GOOD, HOME)

    assert config.unit.clock_speed == Decimal(60)
    assert config.device("balance").poll_ms == 250
    assert config.device("pump").serial_number == "288954"
    assert config.station.labels == "/srv/cellwright/sources/labels"
    assert config.station.microscope == Path("/srv/microscope")
    assert config.station.um_per_px == Decimal("0.65")
    assert config.central_url == "https://central.example:8443"


def test_optional_tables_have_safe_defaults():
    start, rest = GOOD.split("[session]")
    devices = rest[rest.index("[[device]]") : rest.index("[central]")]

    config = parse_config(start + devices, HOME)

    assert config.session.idle_lock_min == 5
    assert config.central_url == ""
    assert config.record.reserve_mib == 64


def test_every_fault_is_told_in_one_go_with_its_key():
    text = (
        GOOD.replace('id = "unit-demo"', 'id = "unit demo!"')
        .replace("idle_lock_min = 5", "idle_lock_min = 90")
        .replace('um_per_px = "0.65"', 'um_per_px = "NaN"')
        .replace("poll_ms = 250", "pol_ms = 250")
    )

    told = faults_of(text)

    for key in ("unit.id", "session.idle_lock_min", "station.um_per_px", "device[1].pol_ms"):
        assert key in told
    assert "from 2 to 15" in told


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("simulated = true", "simulated = false", "unit.clock_speed"),
        ('safe_state = "stop"', 'safe_state = "keep"', "device[2].safe_state"),
        ('port = "/run/bench/pump"', 'port = "ttyUSB0"', "device[2].port"),
        ('port = "/run/bench/pump"', 'port = "/run/bench/balance"', "device.port"),
        ('id = "pump"', 'id = "balance"', "device.id"),
        ('"https://central.example:8443"', '"http://central.example"', "central.url"),
        ("Europe/Berlin", "Mars/Olympus", "unit.time_zone"),
        ("[station]", "[statoin]", "[station]"),
        ("fictitious = true", 'fictitious = "yes"', "station.fictitious"),
        ('role = "pump"', 'role = "kettle"', "device[2].role"),
        ("lock_out_failures = 5", "lock_out_failures = 2", "session.lock_out_failures"),
    ],
)
def test_a_value_that_would_be_unsafe_or_meaningless_is_refused_by_its_key(old, new, key):
    assert old in GOOD

    assert key in faults_of(GOOD.replace(old, new))


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigurationUnusable, match="--home"):
        read_config(Home(tmp_path))


def test_a_file_that_is_no_toml_is_refused_with_its_place():
    assert "at line 2" in faults_of("[unit]\nid = = 1")


def test_bytes_that_are_no_utf8_are_refused(tmp_path):
    (tmp_path / "unit.toml").write_bytes(b"\xff\xfe[unit]")

    with pytest.raises(ConfigurationUnusable, match="UTF-8"):
        read_config(Home(tmp_path))


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_is_either_read_or_refused_with_words_but_never_breaks(data):
    place = data.draw(st.integers(0, len(GOOD) - 1))
    cut = data.draw(st.integers(0, 12))
    text = GOOD[:place] + data.draw(st.text(max_size=6)) + GOOD[place + cut :]

    try:
        config = parse_config(text, HOME)
    except ConfigurationUnusable as refused:
        assert refused.faults
    else:
        assert config.unit.id


def test_the_home_comes_from_option_then_environment_then_default(monkeypatch, tmp_path):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_home_option(parser)
    monkeypatch.delenv("CELLWRIGHT_HOME", raising=False)
    assert home_from(parser.parse_args([])).root == HOME_DEFAULT

    monkeypatch.setenv("CELLWRIGHT_HOME", str(tmp_path))
    assert home_from(parser.parse_args([])).root == tmp_path
    assert home_from(parser.parse_args(["--home", "/srv/x"])).socket == Path("/srv/x/run/engine.sock")


# ── What the catalogue of device types says of the file ────────────────────────────────


def with_pump(more: str) -> str:
    return GOOD.replace('serial_number = "288954"', f'serial_number = "288954"\n{more}')


@pytest.mark.requirement("R-16", "F-029", "F-030")
def test_a_device_is_qualified_by_number_firmware_and_two_days():
    text = with_pump('firmware = "2.01"\ncalibrated_until = "2027-06-30"\nqualified_until = "2028-01-31"')

    pump = parse_config(text, HOME).device("pump")

    assert (pump.serial_number, pump.firmware) == ("288954", "2.01")
    assert (pump.calibrated_until, pump.qualified_until) == ("2027-06-30", "2028-01-31")
    assert "qualified_until: is 'soon'; write a day" in faults_of(with_pump('qualified_until = "soon"'))


def types_faults_of(text: str) -> str:
    """What the catalogue says of a file that is whole in itself."""
    with pytest.raises(ConfigurationUnusable) as caught:
        device_types.checked(parse_config(text, HOME), HOME)
    return str(caught.value)


def test_settings_of_a_device_are_those_that_its_type_has():
    told = types_faults_of(with_pump('settings = { colour = "blue" }'))

    assert "device[2].settings: This type of device has no setting 'colour'" in told
    assert "device[2].settings.depth: is 3; write a text in quotes" in faults_of(
        with_pump("settings = { depth = 3 }")
    )


def test_a_type_that_nobody_knows_and_a_role_that_is_not_its_own_are_told():
    told = types_faults_of(GOOD.replace('"mt-sics"', '"mt-socs"').replace('role = "pump"', 'role = "probe"'))

    assert "device[1].type: There is no device type 'mt-socs'" in told
    assert "device[2].role: is 'probe'; a new-era-ne1000 is a pump" in told


def test_the_file_knows_the_roles_of_the_drivers_and_which_of_them_move_product():
    assert {role.name for role in roles.ROLES.values()} == set(ROLES)
    assert {role.name for role in roles.ROLES.values() if role.moves_product} == set(MOVING_ROLES)


# ── What stops a device whose host is dead (SAFETY 3) ──────────────────────────────────


def device(
    id: str, role: str, *, type: str = "new-era-ne1000", behind: str = "", safe: str = "stop"
) -> Device:
    return Device(
        id=id, title=id, role=role, type=type, port=f"/dev/{id}", serial_number="",
        safe_state=safe, poll_ms=500, behind_relay=behind,  # type: ignore[arg-type]
    )  # fmt: skip


@pytest.fixture
def unwatched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalogue in which the pump has nothing but a relay."""

    def typed(name: str) -> DeviceType:
        known = catalog.device_type(name)
        return replace(known, stops_by="relay") if name == "new-era-ne1000" else known

    monkeypatch.setattr(device_types, "device_type", typed)


@pytest.mark.usefixtures("unwatched")
def test_a_pump_that_nothing_stops_is_not_used_without_a_relay_in_its_supply():
    (fault,) = device_types.faults_of_types([device("pump-1", "pump")])

    assert fault.startswith("device[1].behind_relay: is missing")
    assert "Name the relay that stands in its supply, or do not move product with it" in fault


@pytest.mark.usefixtures("unwatched")
def test_what_stands_in_its_supply_is_a_relay_of_the_same_file_that_goes_off_by_itself():
    relay = device("relay-1", "valve", type="mt-sics")
    kept = device("relay-1", "valve", type="mt-sics", safe="keep")
    pump = device("pump-1", "pump", behind="relay-1")

    def told(*devices: Device) -> list[str]:
        return [one for one in device_types.faults_of_types(devices) if "behind_relay" in one]

    assert told(pump, relay) == []
    assert "write the id of the relay's own [[device]]" in told(pump)[0]
    assert "is no relay whose safe state is stop" in told(pump, kept)[0]
    assert told(device("pump-1", "pump", behind="pump-1"))


# ── Devices that people run ────────────────────────────────────────────────────────────

SORTER = """
[[device]]
id = "sorter"
title = "Cell processor"
role = "cell_processor"
type = "operator-confirmed"
maker = "Example"
model = "CP-1"
serial_number = "SIM-CP-0001"
calibrated_until = "2027-06-30"
qualified_until = "2027-06-30"
"""


def with_sorter(**changes: str) -> str:
    """The good file with a cell processor in which some lines are changed or added."""
    kept = [line for line in SORTER.strip().splitlines() if line.partition(" =")[0] not in changes]
    return "\n".join([GOOD, *kept, *(f"{key} = {value}" for key, value in changes.items() if value), ""])


@pytest.mark.requirement("F-036")
def test_a_device_that_people_run_is_named_without_a_port_and_no_host_is_started_for_it(
    tmp_path: Path,
) -> None:
    config = parse_config(with_sorter(), Home(tmp_path))

    sorter = config.device("sorter")
    assert (sorter.role, sorter.port, sorter.maker, sorter.has_line) == (
        "cell_processor",
        "",
        "Example",
        False,
    )
    assert "sorter" not in [device.id for device in config.served]
    assert config.station.exchange == tmp_path / "sources" / "exchange"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": '"/dev/ttyUSB0"'}, "no program speaks to it"),
        ({"poll_ms": "200"}, "no program speaks to it"),
        ({"serial_number": ""}, "serial_number: is missing"),
        ({"maker": ""}, "maker: is missing"),
        ({"role": '"pump"'}, "cell_processor or sealer or welder or other"),
        ({"qualified_until": '"soon"'}, "write a day such as"),
    ],
)
def test_what_such_a_device_cannot_have_or_lacks_is_told_with_its_key(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigurationUnusable) as unusable:
        parse_config(with_sorter(**changes), Home(tmp_path))

    assert any(fault.startswith("device[3].") and words in fault for fault in unusable.value.faults), unusable


def test_two_devices_of_one_kind_that_people_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationUnusable, match="name one of each"):
        parse_config(with_sorter() + SORTER.replace('"sorter"', '"sorter-2"'), Home(tmp_path))


def test_the_catalogue_lists_the_same_kinds_without_a_driver() -> None:
    by_hand = catalog.OPERATOR_CONFIRMED

    assert (by_hand.name, by_hand.roles) == (operator_devices.TYPE, operator_devices.KINDS)
    assert by_hand.name not in [entry.name for entry in catalog.device_types()]
    assert not set(by_hand.roles) & set(ROLES)


# ── The count ──────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-039")
def test_the_limits_of_a_counting_method_have_documented_defaults_and_are_the_sites_to_set():
    usual = parse_config(GOOD, HOME).counting
    strict = parse_config(f'{GOOD}\n[counting]\ncv_percent_max = "7"\nmonths_max = 6\n', HOME).counting

    assert usual.limits == {"cv_percent_max": "10", "r2_min": "0.98", "deviation_percent_max": "10"}
    assert (strict.limits["cv_percent_max"], strict.months_max) == ("7", 6)


@pytest.mark.parametrize("line", ['r2_min = "0.2"', "months_max = 0", 'cv_percent_max = "0"', 'cv_max = "7"'])
def test_a_limit_that_would_pass_anything_is_refused(line):
    with pytest.raises(ConfigurationUnusable) as why:
        parse_config(f"{GOOD}\n[counting]\n{line}\n", HOME)

    assert "counting." in str(why.value)


def test_what_a_qualified_count_is_bound_to_is_said_where_it_is_named():
    station = parse_config(GOOD, HOME).station
    named = replace(station, optics="Camera 4711, 10x/0.25", chamber="neubauer-improved")

    assert set(station.told) == {"um_per_px", "field_depth_um", "dilution", "scale"}
    assert (named.told["optics"], named.told["chamber"]) == ("Camera 4711, 10x/0.25", "neubauer-improved")
