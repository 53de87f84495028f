"""Ports by names that last."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.ports import advice, lasting_name, ports


@pytest.fixture
def by_id(tmp_path: Path) -> Iterator[Path]:
    """A folder like /dev/serial/by-id with one adapter, which is a terminal of this machine."""
    master, slave = os.openpty()
    folder = tmp_path / "by-id"
    folder.mkdir()
    (folder / "usb-FTDI_FT232R_A1B2C3-if00-port0").symlink_to(os.ttyname(slave))
    yield folder
    os.close(master)
    os.close(slave)


def test_an_adapter_is_listed_with_the_name_that_lasts(by_id):
    link = by_id / "usb-FTDI_FT232R_A1B2C3-if00-port0"

    found = ports(by_id)[0]

    assert (found.port, found.by_id, found.device) == (str(link), str(link), str(link.resolve()))
    assert json.dumps(found.as_json())


def test_a_port_is_found_under_its_lasting_name(by_id):
    link = by_id / "usb-FTDI_FT232R_A1B2C3-if00-port0"

    assert lasting_name(str(link.resolve()), by_id) == str(link)
    assert lasting_name("/dev/ttyUSB77", by_id) == ""


def test_a_name_by_the_order_of_plugging_in_is_advised_against(by_id):
    assert "/dev/ttyUSB77 may become another device" in advice("/dev/ttyUSB77", by_id)


@pytest.mark.parametrize("port", ["rfc2217://server:4000", "/run/bench/pump", "/dev/serial/by-path/pci-1"])
def test_a_name_that_lasts_needs_no_advice(by_id, port):
    assert advice(port, by_id) == ""
    assert advice(str(by_id / "usb-FTDI_FT232R_A1B2C3-if00-port0"), by_id) == ""


def test_the_command_lists_ports_as_json(cellwright):
    told = cellwright("device", "ports", "--json")

    assert told.returncode == 0
    assert all(
        {"port", "by_id", "maker", "serial_number"} <= json.loads(line).keys()
        for line in told.stdout.splitlines()
    )


def test_a_live_trace_shows_each_exchange_and_the_readings_it_became(cellwright, bench_process):
    told = cellwright(
        "device", "trace", "mt-sics", "--port", bench_process.port("balance"), "--seconds", "0.1", "--json"
    )

    lines = [json.loads(line) for line in told.stdout.splitlines()]
    reading = next(line for line in lines if line.get("reading") == "weight_g")
    exchange = next(line for line in lines if line.get("exchange") == reading["exchanges"][-1])
    assert exchange["sent_text"] == "SI<CR><LF>"
    assert reading["value"].encode() in bytes.fromhex(exchange["received"])


def test_a_trace_is_of_a_device_or_of_a_file(cellwright, tmp_path):
    assert cellwright("device", "trace").returncode == 2
    assert cellwright("device", "trace", "mt-sics", "--file", tmp_path / "x").returncode == 2
    assert "no trace" in cellwright("device", "trace", "--file", Path(__file__)).stderr
