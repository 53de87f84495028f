"""Where a label printer may stand, and what `doctor` finds there."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from test_config import GOOD, HOME, faults_of, types_faults_of

from appliance.config import parse_config
from appliance.device_types import checked, is_there

PRINTER = """
[[device]]
id = "printer"
title = "Label printer"
role = "printer"
type = "zebra-zpl"
port = "{port}"
safe_state = "{safe_state}"
"""


def unit_with(port: str, *, safe_state: str = "keep", simulated: bool = True) -> str:
    text = GOOD.replace("[station]", PRINTER.format(port=port, safe_state=safe_state) + "\n[station]")
    if simulated:
        return text
    return text.replace("simulated = true", "simulated = false").replace(
        'clock_speed = "60"', 'clock_speed = "1"'
    )


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize(
    ("port", "simulated"),
    [
        ("tcp://192.168.1.20:9100", False),
        ("tcp://printer.ward4.example:9100", False),
        ("tcp://127.0.0.1:9100", True),
        ("/dev/serial/by-id/usb-FTDI-if00-port0", False),
    ],
)
def test_a_printer_stands_at_a_line_or_at_an_address(port: str, simulated: bool) -> None:
    config = checked(parse_config(unit_with(port, simulated=simulated), HOME), HOME)

    assert config.device("printer").port == port


@pytest.mark.requirement("F-091")
@pytest.mark.parametrize(
    ("port", "simulated", "words"),
    [
        ("tcp://192.168.1.20:9100", True, "write a twin on 127.0.0.1"),
        ("tcp://127.0.0.1:9100", False, "write the printer's own address"),
        ("tcp://localhost:9100", False, "write the printer's own address"),
        ("tcp://printer", False, "or tcp://HOST:9100 for a printer"),
        ("socket://printer:9100", False, "or tcp://HOST:9100 for a printer"),
    ],
)
def test_an_address_that_cannot_be_its_own_is_refused(port: str, simulated: bool, words: str) -> None:
    assert words in faults_of(unit_with(port, simulated=simulated))


def test_only_a_printer_stands_at_an_address() -> None:
    text = GOOD.replace('port = "/run/bench/balance"', 'port = "tcp://127.0.0.1:4001"')

    assert "a mt-sics stands at a serial line of this unit" in types_faults_of(text)


def test_a_print_is_not_broken_off_by_stop() -> None:
    assert "half a label helps nobody" in faults_of(unit_with("/dev/printer", safe_state="stop"))


@pytest.mark.requirement("F-091")
def test_a_port_that_somebody_listens_at_is_found_without_a_byte(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        assert is_there(port)
        peer, _ = server.accept()
        peer.settimeout(1.0)
        assert peer.recv(1) == b""
        peer.close()
    assert not is_there(port)
    assert is_there(str(tmp_path))


def test_doctor_names_a_printer_that_nobody_reaches(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from appliance.doctor import doctor

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    (tmp_path / "unit.toml").write_text(unit_with(port), encoding="utf-8")

    doctor(["--home", str(tmp_path), "--json"])

    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (printer,) = [one for one in findings if one["about"] == "printer"]
    assert (printer["state"], printer["words"]) == ("wrong", f"its port {port} is not there")
    assert "network" in printer["do"]


@pytest.mark.requirement("F-007")
def test_labels_are_drawn_for_the_dots_of_the_printer_that_stands_there() -> None:
    text = unit_with("tcp://127.0.0.1:9100").replace(
        'type = "zebra-zpl"', 'type = "zebra-zpl"\nsettings = { dpi = "203" }'
    )

    assert parse_config(text, HOME).label_dpi == 203
    assert parse_config(unit_with("tcp://127.0.0.1:9100"), HOME).label_dpi == 300
    assert parse_config(GOOD, HOME).label_dpi == 300
